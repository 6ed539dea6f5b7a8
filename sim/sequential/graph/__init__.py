"""Nets of layers that are no chain: several sources, branches, loops. What NIR graphs become that are more than chains.

Stream time as in `sim.sequential`.
"""

from .counts import GraphCounter
from .definition import by_definition
from .net import Edge, Graph, Node
from .running import GraphStream, states_of

__all__ = ["Edge", "Graph", "GraphCounter", "GraphStream", "Node", "by_definition", "states_of"]

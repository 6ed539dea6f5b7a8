"""Nets of layers that are no chain: several sources, branches, loops. What NIR graphs become that are more than chains.

Stream time as in `sim.sequential`.
"""

from .net import Edge, Graph, Node
from .running import GraphStream

__all__ = ["Edge", "Graph", "GraphStream", "Node"]

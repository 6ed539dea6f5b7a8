"""The one stock expansion of a net: populations of stock neurons and the projections between them, without Lava and
without the limits of a chip. `sim.lava.stock` renders it, `deploy.chip` counts it.
"""

from .of_graph import expand_graph
from .of_net import expand_net
from .of_sequential import expand_sequential
from .parts import (
    CUBA,
    DELTA,
    READOUT,
    RELAY,
    RESONATOR,
    SIGMA,
    SIGMA_DELTA,
    Expansion,
    Line,
    Population,
    Projection,
    Reset,
    expand,
)
from .weights import Kernel

expand.register(expand_net)
expand.register(expand_graph)
expand.register(expand_sequential)

__all__ = [
    "CUBA",
    "DELTA",
    "READOUT",
    "RELAY",
    "RESONATOR",
    "SIGMA",
    "SIGMA_DELTA",
    "Expansion",
    "Kernel",
    "Line",
    "Population",
    "Projection",
    "Reset",
    "expand",
]

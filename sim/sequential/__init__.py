"""Nets as SLAYER exports them: a chain of layers over [batch, steps, channels, ...] without tokens, frames or read-out;
in `graph`, layers that are no chain.

Stream time as in `sim.net`: a layer's output at step k depends on its input at the same step k. In SLAYER
(`delay_shift`) and in Lava each layer with neurons answers one step later than that; `Sequential.lags` says by how
many steps.
"""

from .counts import Counter, fan_out
from .cuba import THRESHOLD_NEVER, Neuron
from .definition import by_definition
from .dendrite import dendrite
from .layers import AverageLayer, ConvLayer, DenseLayer, FlattenLayer, InputLayer, imaginary_part, wanted_shape
from .net import Sequential
from .resonator import Resonator
from .running import Stream, run_layer
from .sigma_delta import Delta, Sigma, SigmaDelta

__all__ = [
    "THRESHOLD_NEVER",
    "AverageLayer",
    "ConvLayer",
    "Counter",
    "Delta",
    "DenseLayer",
    "FlattenLayer",
    "InputLayer",
    "Neuron",
    "Resonator",
    "Sequential",
    "Sigma",
    "SigmaDelta",
    "Stream",
    "by_definition",
    "dendrite",
    "fan_out",
    "imaginary_part",
    "run_layer",
    "wanted_shape",
]

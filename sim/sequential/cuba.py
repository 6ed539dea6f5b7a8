"""CUBA neurons of one layer; the equations stand in `sim.integer`."""

from dataclasses import dataclass

import numpy as np

from ..integer import BIAS_MAX, BIAS_MIN, DECAY_ONE, THRESHOLD_MAX
from .checks import require, require_values

THRESHOLD_NEVER = (1 << 18) - 1  # SLAYER writes 18 bits for a neuron that must not spike


@dataclass(frozen=True, eq=False)
class Neuron:
    """CUBA neurons of one layer.

    Attributes:
        i_decay: int32 [n] or [1], 0..4096; 0 keeps the current for ever.
        v_decay, v_th: one integer each, 0..4096 and 0..2**18 - 1; from 131072 on a neuron never spikes.
        bias: int32 [channels] or [1], -4096..4095.
    """

    i_decay: np.ndarray
    v_decay: int
    v_th: int
    bias: np.ndarray

    graded = False  # what it sends
    takes_graded = False

    @property
    def is_readout(self) -> bool:
        """Whether it is there for its membrane: the threshold is as high as the format goes."""
        return self.v_th >= THRESHOLD_MAX

    def check(self, layer: str, shape: tuple) -> None:
        """Raises `UserError`, naming `layer`, unless all values are in range and fit neurons of `shape`."""
        require_values(self.i_decay, "iDecay", {1, int(np.prod(shape))}, 0, DECAY_ONE, layer)
        require_values(self.bias, "bias", {1, shape[0]}, BIAS_MIN, BIAS_MAX, layer)
        require(0 <= self.v_decay <= DECAY_ONE, layer, f"vDecay {self.v_decay} outside 0..{DECAY_ONE}")
        require(0 <= self.v_th <= THRESHOLD_NEVER, layer, f"vThMant {self.v_th} outside 0..{THRESHOLD_NEVER}")

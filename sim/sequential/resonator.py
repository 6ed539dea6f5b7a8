"""Resonate-and-fire neurons: a complex state that turns and decays, with a complex input.

Number formats and equations are those of Lava's fixed-point models (`lava/proc/rf/models.py` and
`lava/proc/rf_iz/models.py` of lava-nc 0.10.0), which SLAYER's `rf` and `rf_iz` blocks share but for the saturation. One
step, with dendritic sums a (real weights times spikes) and b (imaginary ones)::

    re' = clip(down(cos * re) - down(sin * im) + (a << 6))
    im' = clip(down(sin * re) + down(cos * im) + (b << 6))

where down(x) = sign(x) (|x| >> 12) and clip is to +-(2^23 - 1). A neuron that fires by phase (`resets` false)::

    s = re' >= (v_th << 6)  and  im' >= 0  and  im < 0

One with Izhikevich's reset (`resets` true)::

    s = im' >= (v_th << 6);   where it fires  re' <- 0,  im' <- (v_th << 6) - 1
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..integer import DECAY_ONE, STATE_SHIFT, clip24, decay
from .checks import require, require_values
from .cuba import THRESHOLD_NEVER

NONE = np.zeros(0, np.int32)


@dataclass(frozen=True, eq=False)
class Resonator:
    """Resonate-and-fire neurons of one layer.

    Attributes:
        sin_decay, cos_decay: int32 [channels] or [1], -4096..4096: decay times sine and cosine of the angle of a step.
        v_th: threshold mantissa, 1..2**18 - 1; from 131072 on a neuron never spikes.
        resets: whether a spike resets the state, see the module.
    """

    sin_decay: np.ndarray
    cos_decay: np.ndarray
    v_th: int
    resets: bool

    graded: ClassVar[bool] = False
    takes_graded: ClassVar[bool] = False
    is_readout: ClassVar[bool] = False
    bias: ClassVar[np.ndarray] = NONE  # it has none

    def check(self, layer: str, shape: tuple) -> None:
        """Raises `UserError`, naming `layer`, unless all values are in range and fit neurons of `shape`."""
        for name, values in (("sinDecay", self.sin_decay), ("cosDecay", self.cos_decay)):
            require_values(values, name, {1, shape[0]}, -DECAY_ONE, DECAY_ONE, layer)
        require(1 <= self.v_th <= THRESHOLD_NEVER, layer, f"vThMant {self.v_th} outside 1..{THRESHOLD_NEVER}")


def resonator_step(re: Any, im: Any, a: np.ndarray, b: np.ndarray, neuron: Resonator, sin: Any, cos: Any) -> tuple:
    """One step; see the module.

    Args:
        re, im: int64 states of one shape before the step. a, b: dendritic sums. sin, cos: decays that broadcast.

    Returns:
        (re, im, spikes): int64, after the step.
    """
    v_th = neuron.v_th << STATE_SHIFT
    new_re = clip24(_turned(re, cos) - _turned(im, sin) + (np.asarray(a, np.int64) << STATE_SHIFT))
    new_im = clip24(_turned(re, sin) + _turned(im, cos) + (np.asarray(b, np.int64) << STATE_SHIFT))
    if not neuron.resets:
        return new_re, new_im, ((new_re >= v_th) & (new_im >= 0) & (im < 0)).astype(np.int64)
    fired = new_im >= v_th
    return np.where(fired, 0, new_re), np.where(fired, v_th - 1, new_im), fired.astype(np.int64)


def _turned(x, share):
    """down(share * x): a decay whose share of 4096 that stays may be negative."""
    return np.sign(share) * decay(x, DECAY_ONE - np.abs(share))

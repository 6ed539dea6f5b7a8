"""The integer semantics of the neuron, defined once.

Number formats (Loihi 2, as modelled bit-accurately by Lava's `PyLifModelBitAcc`):

========  =======================================  ==========================================
symbol    range                                    meaning
========  =======================================  ==========================================
w         even integers in [-256, 254]             synaptic weight, 8 bits signed, times 2
a         integer, |a| <= 2**18                    dendritic input of one time step, sum of w over spikes
m         integer in [0, 2**8 - 1]                 message of a graded spike from the host; see `graded_input`
u         (-2**23, 2**23]                          current, 24 bits
v         [-(2**23 - 1), 2**23 - 1]                membrane voltage, 24 bits
i_decay   [1, 4096]                                current decay; 4096 forgets at once
v_decay   [0, 4096]                                membrane decay; 0 keeps for ever
v_th      [0, 2**17 - 1]                           threshold mantissa, compared as v_th * 64
bias      [-4096, 4095]                            bias mantissa, 13 bits, enters the membrane as bias * 64
========  =======================================  ==========================================

One time step of a CUBA neuron::

    u <- wrap24(decay(u, i_decay) + 64 * a)
    v <- clip24(decay(v, v_decay) + u + 64 * bias)
    s  = v > 64 * v_th
    v <- 0 where s

    decay(x, d) = sign(x) * ((|x| * (4096 - d)) >> 12)         rounds toward zero
    wrap24(x)   = x - 2**24 if x > 2**23, x + 2**24 if x <= -2**23, else x
    clip24(x)   = min(max(x, -(2**23 - 1)), 2**23 - 1)

The wrap corrects once, as Lava does. With |a| <= 2**18 (checked where a net is made) once is enough.
Source of the equations: Davies et al., IEEE Micro 38(1), 2018, and `lava/proc/lif/models.py` of lava-nc 0.10.0.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

STATE_SHIFT = 6  # weights, thresholds and biases are aligned to the state by this shift
DECAY_BITS = 12
DECAY_ONE = 1 << DECAY_BITS  # 4096
STATE_LIMIT = 1 << 23
WEIGHT_MIN, WEIGHT_MAX, WEIGHT_STEP = -256, 254, 2
THRESHOLD_MAX = (1 << 17) - 1
BIAS_MIN, BIAS_MAX = -4096, 4095
INPUT_LIMIT = 1 << 18  # bound on |a| under which one wrap is enough
MAX_DELAY = 62  # steps that a synapse can wait beyond the one that every synapse takes
MESSAGE_BITS = 24  # of a graded spike
PIXEL_BITS = 8  # of a graded spike that the host sends, at most
SHIFT_MAX = 8  # bits that a synapse's exponent can take off what it adds up
WEIGHT_BINS = 32  # of `weight_histogram`


def decay(x: ArrayLike, d: ArrayLike) -> np.ndarray:
    """`sign(x) * ((|x| * (4096 - d)) >> 12)`, elementwise on int64 arrays."""
    x = np.asarray(x, np.int64)
    return np.sign(x) * ((np.abs(x) * (DECAY_ONE - np.asarray(d, np.int64))) >> DECAY_BITS)


def wrap24(x: np.ndarray) -> np.ndarray:
    """Current overflow: one correction by 2**24, as in Lava. Maps to (-2**23, 2**23] for |x| < 3 * 2**23."""
    x = np.asarray(x, np.int64)
    return np.where(x > STATE_LIMIT, x - 2 * STATE_LIMIT, np.where(x <= -STATE_LIMIT, x + 2 * STATE_LIMIT, x))


def clip24(x: np.ndarray) -> np.ndarray:
    """Voltage overflow: saturation at +-(2**23 - 1)."""
    return np.clip(np.asarray(x, np.int64), -STATE_LIMIT + 1, STATE_LIMIT - 1)


def cuba_step(
    u: ArrayLike,
    v: ArrayLike,
    a: ArrayLike,
    i_decay: ArrayLike,
    v_decay: ArrayLike,
    v_th: ArrayLike,
    bias: ArrayLike,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One time step of CUBA neurons.

    Args:
        u, v: int64 arrays of one shape, the states before the step.
        a: integer array, dendritic input in weight units.
        i_decay, v_decay, v_th, bias: integers or arrays that broadcast to it, as in the table above.

    Returns:
        (u, v, s): states after the step and the spikes (bool). `v` is already reset where `s`.
    """
    u = wrap24(decay(u, i_decay) + (np.asarray(a, np.int64) << STATE_SHIFT))
    v = clip24(decay(v, v_decay) + u + (np.asarray(bias, np.int64) << STATE_SHIFT))
    s = v > (np.asarray(v_th, np.int64) << STATE_SHIFT)
    return u, np.where(s, 0, v), s


def graded_input(weight: np.ndarray, messages: ArrayLike, shift: int) -> np.ndarray:
    """What graded spikes add to the dendritic input: `(sum_i w[j, i] * m[i]) >> shift`, rounded down, as Lava's `Dense`
    does with `weight_exp = -shift`. The sum before the shift is held to 24 bits where a net is made.

    Args:
        weight: int16 [n, m]. messages: uint8 [.., m], at least one axis before the last.

    Returns:
        int32 [.., n].
    """
    # Integers below 2**24 are exact in float32, whose products are fast.
    total = np.asarray(messages, np.float32) @ np.asarray(weight, np.float32).T
    return total.astype(np.int32) >> shift


def fan_in(weight: np.ndarray) -> np.ndarray:
    """int64 [n_out]: the sum of |weights| of each row or kernel. weight: integers of 16 bits at most, [n_out, ...]; no
    wider copy of them is made.
    """
    return np.abs(weight.astype(np.int16, copy=False)).sum(tuple(range(1, weight.ndim)), dtype=np.int64)


def weight_bits(weights: Sequence[np.ndarray]) -> int:
    """Bits of two's complement that hold all weights after division by the largest power of two that divides them all.

    weights: list of integer arrays.
    """
    joined = low = high = 0
    for w in weights:
        joined |= int(np.bitwise_or.reduce(w, axis=None, initial=0))
        low, high = min(low, int(w.min(initial=0))), max(high, int(w.max(initial=0)))
    if joined == 0:
        return 0
    low, high = low // (joined & -joined), high // (joined & -joined)
    return 1 + max((-low - 1).bit_length() if low < 0 else 0, high.bit_length())


def weight_histogram(weights: list) -> tuple[list[int], int]:
    """(numbers of weights in `WEIGHT_BINS` equal bins from -256 to 256, zeros left out; zeros); what lies beyond counts
    in the last bin.

    weights: list of arrays, integers or not yet rounded, in the unit of the chip's weights.
    """
    flat = np.concatenate([np.ravel(w) for w in weights]) if weights else np.zeros(0)
    counts = np.histogram(np.clip(flat[flat != 0], WEIGHT_MIN, -WEIGHT_MIN), WEIGHT_BINS, (WEIGHT_MIN, -WEIGHT_MIN))[0]
    return [int(n) for n in counts], int((flat == 0).sum())

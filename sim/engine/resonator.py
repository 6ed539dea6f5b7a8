"""Resonate-and-fire neurons compiled; the equations stand in `sim.sequential.resonator`."""

import numba
import numpy as np

from ..base.numba_cache import cached_njit
from ..integer import DECAY_BITS, STATE_LIMIT, STATE_SHIFT

ROUND = (1 << DECAY_BITS) - 1  # added to what is negative, so that the shift rounds to zero


@numba.njit(inline="always")
def _down(x):
    return (x + (ROUND if x < 0 else 0)) >> DECAY_BITS


@numba.njit(inline="always")
def _clip(x):
    return min(max(x, -STATE_LIMIT + 1), STATE_LIMIT - 1)


@cached_njit(parallel=True)
def resonator_scan(a, b, sin, cos, v_th, resets, re, im, spikes, kept):
    """Runs neurons over a chunk of steps.

    Args:
        a, b: float32 or int32 [B, K, n], integers: dendritic sums, real and imaginary.
        sin, cos: int64 [n]. v_th: aligned to the state.
        re, im: int64 [B, n], states, changed in place.
        spikes: uint8 [B, K, n], written. kept: int32 [B, K or 0, 2, n], the states after each step, written.
    """
    steps, n = a.shape[1], a.shape[2]
    keep = kept.shape[1] > 0
    for i in numba.prange(len(a)):
        for k in range(steps):
            for j in range(n):
                x, y = re[i, j], im[i, j]
                u = _clip(_down(cos[j] * x) - _down(sin[j] * y) + (np.int64(a[i, k, j]) << STATE_SHIFT))
                v = _clip(_down(sin[j] * x) + _down(cos[j] * y) + (np.int64(b[i, k, j]) << STATE_SHIFT))
                if resets:
                    fired = v >= v_th
                    if fired:
                        u, v = 0, v_th - 1
                else:
                    fired = u >= v_th and v >= 0 and y < 0
                re[i, j], im[i, j], spikes[i, k, j] = u, v, fired
                if keep:
                    kept[i, k, 0, j], kept[i, k, 1, j] = u, v

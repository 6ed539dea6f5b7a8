"""Resonate-and-fire neurons compiled; the equations stand in `sim.sequential.resonator`."""

import numba

from ..base.numba_cache import cached_njit
from ..integer import STATE_SHIFT
from .kernels import clip64, decay64

UNIT = float(1 << STATE_SHIFT)


@cached_njit(parallel=True)
def resonator_scan(a, b, sin, cos, v_th, resets, re, im, spikes, kept):
    """Runs neurons over a chunk of steps.

    Args:
        a, b: float32 or int32 [B, K, n], integers: dendritic sums, real and imaginary.
        sin, cos: float64 [n], decays over 4096, as `decay64` takes them. v_th: aligned to the state.
        re, im: float64 [B, n], integer-valued states, changed in place.
        spikes: uint8 [B, K, n], written. kept: int32 [B, K or 0, 2, n], the states after each step, written.
    """
    steps, n = a.shape[1], a.shape[2]
    keep = kept.shape[1] > 0
    for i in numba.prange(len(a)):
        for k in range(steps):
            for j in range(n):
                x, y = re[i, j], im[i, j]
                u = clip64(decay64(x, cos[j]) - decay64(y, sin[j]) + a[i, k, j] * UNIT)
                v = clip64(decay64(x, sin[j]) + decay64(y, cos[j]) + b[i, k, j] * UNIT)
                if resets:
                    fired = v >= v_th
                    if fired:
                        u, v = 0.0, v_th - 1
                else:
                    fired = u >= v_th and v >= 0 and y < 0
                re[i, j], im[i, j], spikes[i, k, j] = u, v, fired
                if keep:
                    kept[i, k, 0, j], kept[i, k, 1, j] = u, v

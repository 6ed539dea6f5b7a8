"""The equations of `sim.integer` compiled, in int32, for whole streams at once.

`decay32` is the same function as `sim.integer.decay` for |x| < 2**31: the shift is taken on two halves so that every
product fits 32 bits, and the compiler turns the loop over neurons into vector code. tests/test_integer.py holds
it against the definition on the edges and on random numbers.
"""

import numba
import numpy as np

from .integer import STATE_LIMIT


@numba.njit(inline="always", cache=True)
def decay32(x, keep):
    """`sign(x) * ((|x| * keep) >> 12)` with keep = 4096 - decay in 0..4096, int32 throughout."""
    m = abs(x)
    r = (m >> numba.int32(12)) * keep + (((m & numba.int32(4095)) * keep) >> numba.int32(12))
    return r if x >= 0 else -r


@numba.njit(inline="always", cache=True)
def wrap32(x):
    """`wrap24` on int32."""
    return x - numba.int32(2 * STATE_LIMIT) if x > STATE_LIMIT else (x + numba.int32(2 * STATE_LIMIT) if x <= -STATE_LIMIT else x)


@numba.njit(inline="always", cache=True)
def clip32(x):
    """`clip24` on int32."""
    return min(max(x, numba.int32(-STATE_LIMIT + 1)), numba.int32(STATE_LIMIT - 1))


@numba.njit(parallel=True, cache=True)
def cuba_scan(a, keep_u, bias, keep_v, v_th, reset_every, u, v, spikes, stats):
    """Runs CUBA neurons over streams.

    Args:
        a: int32 [B, K, n] dendritic input in weight units; overwritten with the current u after each step.
        keep_u: int32 [n], 4096 - i_decay. bias: int32 [n], already times 64. keep_v: 4096 - v_decay. v_th: already times 64.
        reset_every: states are zeroed at steps divisible by it; 0 for never (the caller zeroes `u`, `v`).
        u, v: int32 [B, n] states, updated in place.
        spikes: uint8 [B, K, n], written.
        stats: int64 [B, 4]: largest |current| before the wrap, steps that wrapped, largest |voltage| before the clip, steps that clipped.
    """
    batch, steps, n = a.shape
    for b in numba.prange(batch):
        ub, vb = u[b], v[b]
        top_u, top_v = np.int32(0), np.int32(0)
        wraps, clips = 0, 0
        for k in range(steps):
            if reset_every > 0 and k % reset_every == 0:
                ub[:] = 0
                vb[:] = 0
            row, out = a[b, k], spikes[b, k]
            for j in range(n):
                raw = decay32(ub[j], keep_u[j]) + (row[j] << numba.int32(6))
                x = wrap32(raw)
                y = decay32(vb[j], keep_v) + x + bias[j]
                z = clip32(y)
                top_u = max(top_u, abs(raw))
                top_v = max(top_v, abs(y))
                wraps += raw != x
                clips += y != z
                s = z > v_th
                ub[j] = x
                row[j] = x
                vb[j] = numba.int32(0) if s else z
                out[j] = s
        stats[b, 0], stats[b, 1], stats[b, 2], stats[b, 3] = top_u, wraps, top_v, clips

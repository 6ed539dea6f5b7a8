"""The equations of `sim.integer` compiled, for whole streams at once.

States are integers held in float64: every product (24 bits times 12) and sum is far below 2**53, so the arithmetic is
exact, the conversion to int32 is the rounding toward zero that `decay` asks for, and the compiler turns the loop over
neurons into vector code, which it does not for mixed integer widths. tests/test_integer.py holds it against the
definition on the edges and on random numbers.
"""

import numba
import numpy as np

from .integer import DECAY_ONE, STATE_LIMIT

WRAP = 2.0 * STATE_LIMIT


@numba.njit(inline="always")
def decay64(x, keep):
    """`decay` for integer-valued x, |x| < 2**31; `keep` is (4096 - decay) / 4096."""
    return np.float64(np.int32(x * keep))


@numba.njit(inline="always")
def wrap64(x):
    """`wrap24` for integer-valued x."""
    if x > STATE_LIMIT:
        return x - WRAP
    if x <= -STATE_LIMIT:
        return x + WRAP
    return x


@numba.njit(inline="always")
def clip64(x):
    """`clip24` for integer-valued x."""
    return min(max(x, 1.0 - STATE_LIMIT), STATE_LIMIT - 1.0)


def keep_share(i_decay):
    """The factor that `decay64` takes for a decay in 0..4096: (4096 - decay) / 4096, exact in float64."""
    return (DECAY_ONE - np.asarray(i_decay, np.float64)) / DECAY_ONE


@numba.njit(parallel=True, cache=True)
def cuba_scan(a, keep_u, bias, keep_v, v_th, reset_every, u, v, spikes, stats):
    """Runs CUBA neurons over streams.

    Args:
        a: float32 [B, K, n] dendritic input in weight units (integers); overwritten with the current u after each step.
        keep_u: float64 [n], see `keep_share`; keep_v: one of the same.
        bias: float64 [n], v_th: float, both already times 64.
        reset_every: states are zeroed at steps divisible by it; 0 for never (the caller zeroes `u`, `v`).
        u, v: float64 [B, n] states, updated in place.
        spikes: uint8 [B, K, n], written.
        stats: float64 [B, 4]: largest |current| before the wrap, steps that wrapped, largest |voltage| before the clip, steps that clipped.
    """
    batch, steps, n = a.shape
    for b in numba.prange(batch):
        ub, vb = u[b], v[b]
        top_u, top_v, wraps, clips = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
        for k in range(steps):
            if reset_every > 0 and k % reset_every == 0:
                ub[:] = 0
                vb[:] = 0
            row, out = a[b, k], spikes[b, k]
            for j in range(n):
                raw = decay64(ub[j], keep_u[j]) + row[j] * 64.0
                x = wrap64(raw)
                y = decay64(vb[j], keep_v) + x + bias[j]
                z = clip64(y)
                top_u[j] = max(top_u[j], abs(raw))
                top_v[j] = max(top_v[j], abs(y))
                wraps[j] += raw != x
                clips[j] += y != z
                s = z > v_th
                ub[j] = x
                row[j] = x
                vb[j] = 0.0 if s else z
                out[j] = s
        stats[b, 0], stats[b, 1], stats[b, 2], stats[b, 3] = top_u.max(), wraps.sum(), top_v.max(), clips.sum()


@numba.njit(parallel=True, cache=True)
def synapse_scan(x, weight, a, hits):
    """Adds `weight @ spikes` to `a`, spike by spike: a silent input costs one look. Integers in float32, exact while |a| < 2**24.

    Args:
        x: uint8 [B, K, m], 0 or 1.
        weight: float32 [m, n], one row per source neuron.
        a: float32 [B, K, n], added to.
        hits: int64 [B, m], the number of spikes of each source neuron, added to.
    """
    batch, steps, m = x.shape
    n = weight.shape[1]
    for b in numba.prange(batch):
        for k in range(steps):
            row, out = x[b, k], a[b, k]
            for i in range(m):
                if row[i]:
                    hits[b, i] += 1
                    w = weight[i]
                    for j in range(n):
                        out[j] += w[j]

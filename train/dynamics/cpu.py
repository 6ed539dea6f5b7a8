"""The dynamics of `train.dynamics` on the CPU: the recursion over the whole stream in numba."""

import math
from typing import Any

import numba
import numpy as np
import torch

from sim.base.numba_cache import cached_njit
from sim.engine.kernels import clip64, decay64, wrap64
from sim.integer import DECAY_ONE

from .reference import STATE_SCALE


@cached_njit(parallel=True)
def _forward_exact(x, scale, keep_u, bias, keep_v, v_th, reset_every, u_state, v_state, v_out, s_out):
    batch, steps, n = x.shape
    for b in numba.prange(batch):
        u, v = u_state[b] * scale, v_state[b] * scale
        for k in range(steps):
            if reset_every > 0 and k % reset_every == 0:
                u[:] = 0
                v[:] = 0
            row, vo, so = x[b, k], v_out[b, k], s_out[b, k]
            for j in range(n):
                u[j] = wrap64(decay64(u[j], keep_u[j]) + np.float64(np.int32(row[j] * scale[j])))
                z = clip64(decay64(v[j], keep_v) + u[j] + bias[j])
                s = z > v_th[j]
                vo[j] = z / scale[j]
                so[j] = s
                v[j] = 0.0 if s else z
        for j in range(n):
            u_state[b, j] = u[j] / scale[j]
            v_state[b, j] = v[j] / scale[j]


@cached_njit(parallel=True)
def _forward_float(x, keep_u, bias, keep_v, v_th, reset_every, u_state, v_state, v_out, s_out):
    batch, steps, n = x.shape
    for b in numba.prange(batch):
        u, v = u_state[b], v_state[b]
        for k in range(steps):
            if reset_every > 0 and k % reset_every == 0:
                u[:] = 0
                v[:] = 0
            row, vo, so = x[b, k], v_out[b, k], s_out[b, k]
            for j in range(n):
                u[j] = u[j] * keep_u[j] + row[j]
                z = v[j] * keep_v + u[j] + bias[j]
                s = z > v_th
                vo[j] = z
                so[j] = s
                v[j] = np.float32(0) if s else z


# 2**f on [-0.5, 0.5]: the Taylor coefficients ln(2)**i / i!, float32-exact at this degree.
_POLY = tuple(np.float32(np.log(2) ** i / math.factorial(i)) for i in range(7))
_LOG2_E, _LOWEST = np.float32(1 / np.log(2)), np.float32(-126)


@numba.njit(inline="always")
def _exp(x):
    """exp for float32 x <= 0 in vector code, which numba's own is not; below 2**-126 it stays there."""
    z = max(x * _LOG2_E, _LOWEST)
    n = np.int32(z - np.float32(0.5))
    f = z - np.float32(n)
    p = _POLY[5] + f * _POLY[6]
    p = _POLY[3] + f * (_POLY[4] + f * p)
    p = _POLY[0] + f * (_POLY[1] + f * (_POLY[2] + f * p))
    return p * np.int32((n + np.int32(127)) << np.int32(23)).view(np.float32)


@cached_njit(parallel=True)
def _backward(grad, v, slope, height, keep_u, keep_v, reset_every, gx_out, gb_out):
    """The surrogate, `height * exp(slope * |v - 1|)`, and the two adjoint leaks.

    `gb_out` [batch, n]: the gradient at the bias, added to.
    """
    batch, steps, n = grad.shape
    for b in numba.prange(batch):
        gi, gx, gb = np.zeros(n, np.float32), np.zeros(n, np.float32), gb_out[b]
        for k in range(steps - 1, -1, -1):
            row, vo, xo = grad[b, k], v[b, k], gx_out[b, k]
            for j in range(n):
                gi[j] = gi[j] * keep_v + row[j] * height * _exp(abs(vo[j] - np.float32(1)) * slope)
                gx[j] = gx[j] * keep_u[j] + gi[j]
                xo[j] = gx[j]
                gb[j] += gi[j]
            if reset_every > 0 and k % reset_every == 0:
                gi[:] = 0
                gx[:] = 0


@cached_njit(parallel=True)
def _leak(x, keep, reset_every, reverse, start, out):
    """`y[k] = keep * y[k-1] + x[k]` in float32, or the same from the end of the stream: the current without
    rounding, and its adjoint. start [batch, n]: y before the first of these steps.
    """
    batch, steps, n = x.shape
    for b in numba.prange(batch):
        y = start[b].copy()
        for i in range(steps):
            k = steps - 1 - i if reverse else i
            if reset_every > 0 and not reverse and k % reset_every == 0:
                y[:] = 0
            row, o = x[b, k], out[b, k]
            for j in range(n):
                y[j] = y[j] * keep[j] + row[j]
                o[j] = y[j]
            if reset_every > 0 and reverse and k % reset_every == 0:
                y[:] = 0


def _rows(x):
    """[B, C, K] tensor -> float32 numpy [B, K, C] on the same memory when it is channels-last, else a copy."""
    return x.detach().transpose(1, 2).contiguous().float().numpy()


def _numpy(state):
    """The memory of a contiguous float32 tensor."""
    return state.numpy()


def _tensor(rows):
    """The inverse of `_rows`, without a copy."""
    return torch.from_numpy(rows).transpose(1, 2)


def _empty(rows):
    """Like `np.empty_like`, but aligned as torch aligns: matrix products round differently on other alignments, and
    runs would not repeat.
    """
    return torch.empty(rows.shape).numpy()


def forward(
    x: torch.Tensor,
    bias: torch.Tensor,
    i_decay: torch.Tensor,
    v_decay: int,
    gain: torch.Tensor | None,
    reset_every: int,
    state: Any = None,
) -> tuple:
    rows = _rows(x)
    v, s = _empty(rows), _empty(rows)
    u_state, v_state = np.zeros((2, len(rows), rows.shape[2]), np.float32) if state is None else map(_numpy, state)
    keep = (DECAY_ONE - i_decay.numpy().astype(np.float64)) / DECAY_ONE
    keep_v = (DECAY_ONE - v_decay) / DECAY_ONE
    b = bias.detach().numpy()
    if gain is None:
        _forward_float(
            rows,
            keep.astype(np.float32),
            b.astype(np.float32),
            np.float32(keep_v),
            np.float32(1),
            reset_every,
            u_state,
            v_state,
            v,
            s,
        )
    else:
        scale = gain.numpy().astype(np.float64) * STATE_SCALE
        _forward_exact(rows, scale, keep, np.trunc(b * scale), keep_v, scale, reset_every, u_state, v_state, v, s)
    return _tensor(v), _tensor(s)


def backward(
    grad: torch.Tensor, v: torch.Tensor, i_decay: torch.Tensor, v_decay: int, tau: float, scale: float, reset_every: int
) -> tuple:
    rows = _rows(grad)
    gx, gb = _empty(rows), np.zeros((rows.shape[0], rows.shape[2]), np.float32)
    keep = ((DECAY_ONE - i_decay.numpy()) / DECAY_ONE).astype(np.float32)
    _backward(
        rows,
        _rows(v),
        np.float32(-1 / tau),
        np.float32(scale / (2 * tau)),
        keep,
        np.float32((DECAY_ONE - v_decay) / DECAY_ONE),
        reset_every,
        gx,
        gb,
    )
    return _tensor(gx), torch.from_numpy(gb.sum(0))


def leak(
    x: torch.Tensor, i_decay: torch.Tensor, reset_every: int, reverse: bool, start: torch.Tensor | None = None
) -> torch.Tensor:
    rows = _rows(x)
    out = _empty(rows)
    start = np.zeros((len(rows), rows.shape[2]), np.float32) if start is None else _numpy(start)  # pyright: ignore[reportAssignmentType]
    _leak(rows, ((DECAY_ONE - i_decay.numpy()) / DECAY_ONE).astype(np.float32), reset_every, reverse, start, out)
    return _tensor(out)

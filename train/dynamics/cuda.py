"""The dynamics of `train.dynamics` as Triton kernels, for CUDA: a program takes some channels of one sample through the
whole stream.

The same arithmetic: integers in the exact forward pass (32-bit ones, as many GPUs have next to no float64), float32
elsewhere. All arrays are channels-last rows, [batch, steps, n].
`import` needs the package triton, which torch's CUDA builds for Linux bring along, 3.2 or later: earlier ones take
loops over tuples for something else.

A GPU waits several times longer for a value from memory than a step takes to compute, and there are too few neurons for
other work to fill the wait. So every kernel goes through the stream in chunks, and `_chunk` asks for the next one
before this one is computed."""

# Triton's loops exist for its compiler only.
# pyright: reportGeneralTypeIssues=false

from typing import Any

import torch
import triton
import triton.language as tl

from sim.integer import DECAY_ONE, STATE_LIMIT

from .reference import STATE_SCALE

_BLOCK = 32  # channels of a program: one warp; the scan waits for itself, so many small programs hide more
_CHUNK = tl.constexpr(8)  # steps that `_chunk` loads
_LIMIT = tl.constexpr(STATE_LIMIT)
_ONE = tl.constexpr(DECAY_ONE)
_UNIT = tl.constexpr(float(STATE_SCALE))


@triton.jit
def _unless_first(y, k, EVERY: tl.constexpr):
    """y, and 0 at steps divisible by EVERY."""
    return tl.where(k % EVERY == 0, tl.zeros_like(y), y) if EVERY > 0 else y


@triton.jit
def _chunk(x, at, by, left, inside):
    """x at eight steps, `by` elements apart; 0 where no steps are left."""
    return (
        tl.load(x + at, mask=inside & (left > 0), other=0.0),
        tl.load(x + at + by, mask=inside & (left > 1), other=0.0),
        tl.load(x + at + 2 * by, mask=inside & (left > 2), other=0.0),
        tl.load(x + at + 3 * by, mask=inside & (left > 3), other=0.0),
        tl.load(x + at + 4 * by, mask=inside & (left > 4), other=0.0),
        tl.load(x + at + 5 * by, mask=inside & (left > 5), other=0.0),
        tl.load(x + at + 6 * by, mask=inside & (left > 6), other=0.0),
        tl.load(x + at + 7 * by, mask=inside & (left > 7), other=0.0),
    )


@triton.jit
def _decay(x, keep):
    """`sim.integer.decay` of int32 |x| <= 2**23, by keep << 12: the upper half of a 64-bit product is its quotient
    by 2**32.
    """
    y = tl.umulhi(tl.abs(x).to(tl.uint32) << 8, keep.to(tl.uint32)).to(tl.int32)
    return tl.where(x < 0, -y, y)


@triton.jit
def _forward_exact(
    x,
    gain,
    bias,
    i_decay,
    v_decay,
    steps,
    n,
    u_state,
    v_state,
    v_out,
    s_out,
    EVERY: tl.constexpr,
    STATE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < n
    unit = (
        tl.load(gain + j, mask=inside, other=1.0) * _UNIT
    )  # a power of two, so that products with it and quotients by it are exact
    back = 1.0 / unit
    drive = (tl.load(bias + j, mask=inside, other=0.0) * unit).to(tl.int32)
    threshold = unit.to(tl.int32)
    keep_u = (_ONE - tl.load(i_decay + j, mask=inside, other=0).to(tl.int32)) << 12
    keep_v = (tl.zeros([BLOCK], tl.int32) + (_ONE - v_decay)) << 12
    u = tl.zeros([BLOCK], tl.int32)
    v = tl.zeros([BLOCK], tl.int32)
    own = tl.program_id(0) * n + j
    if STATE:
        u = (tl.load(u_state + own, mask=inside, other=0.0) * unit).to(tl.int32)
        v = (tl.load(v_state + own, mask=inside, other=0.0) * unit).to(tl.int32)
    at = tl.program_id(0).to(tl.int64) * steps * n + j
    xs = _chunk(x, at, n, steps, inside)
    for first in range(0, steps, _CHUNK):
        later = _chunk(x, at + _CHUNK * n, n, steps - first - _CHUNK, inside)
        for i in tl.static_range(_CHUNK):
            k = first + i
            u, v = _unless_first(u, k, EVERY), _unless_first(v, k, EVERY)
            u = _decay(u, keep_u) + (xs[i] * unit).to(tl.int32)
            u = tl.where(u > _LIMIT, u - 2 * _LIMIT, tl.where(u <= -_LIMIT, u + 2 * _LIMIT, u))
            v = _decay(v, keep_v) + u + drive
            v = tl.minimum(tl.maximum(v, 1 - _LIMIT), _LIMIT - 1)
            fires = v > threshold
            tl.store(v_out + at + i * n, v.to(tl.float32) * back, mask=inside & (k < steps))
            tl.store(s_out + at + i * n, fires.to(tl.float32), mask=inside & (k < steps))
            v = tl.where(fires, 0, v)
            if STATE:
                tl.store(u_state + own, u.to(tl.float32) * back, mask=inside & (k == steps - 1))
                tl.store(v_state + own, v.to(tl.float32) * back, mask=inside & (k == steps - 1))
        xs = later
        at += _CHUNK * n


@triton.jit
def _forward_float(
    x,
    bias,
    i_decay,
    keep_v,
    steps,
    n,
    u_state,
    v_state,
    v_out,
    s_out,
    EVERY: tl.constexpr,
    STATE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < n
    drive = tl.load(bias + j, mask=inside, other=0.0)
    keep_u = (_ONE - tl.load(i_decay + j, mask=inside, other=0).to(tl.float32)) / _ONE
    u = tl.zeros([BLOCK], tl.float32)
    v = tl.zeros([BLOCK], tl.float32)
    own = tl.program_id(0) * n + j
    if STATE:
        u = tl.load(u_state + own, mask=inside, other=0.0)
        v = tl.load(v_state + own, mask=inside, other=0.0)
    at = tl.program_id(0).to(tl.int64) * steps * n + j
    xs = _chunk(x, at, n, steps, inside)
    for first in range(0, steps, _CHUNK):
        later = _chunk(x, at + _CHUNK * n, n, steps - first - _CHUNK, inside)
        for i in tl.static_range(_CHUNK):
            k = first + i
            u = _unless_first(u, k, EVERY) * keep_u + xs[i]
            v = _unless_first(v, k, EVERY) * keep_v + u + drive
            fires = v > 1.0
            tl.store(v_out + at + i * n, v, mask=inside & (k < steps))
            tl.store(s_out + at + i * n, fires.to(tl.float32), mask=inside & (k < steps))
            v = tl.where(fires, 0.0, v)
            if STATE:
                tl.store(u_state + own, u, mask=inside & (k == steps - 1))
                tl.store(v_state + own, v, mask=inside & (k == steps - 1))
        xs = later
        at += _CHUNK * n


@triton.jit
def _backward(
    grad, v, i_decay, keep_v, slope, height, steps, n, gx_out, gb_out, EVERY: tl.constexpr, BLOCK: tl.constexpr
):
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < n
    keep_u = (_ONE - tl.load(i_decay + j, mask=inside, other=0).to(tl.float32)) / _ONE
    gi = tl.zeros([BLOCK], tl.float32)
    gx = tl.zeros([BLOCK], tl.float32)
    gb = tl.zeros([BLOCK], tl.float32)
    at = (tl.program_id(0).to(tl.int64) * steps + steps - 1) * n + j
    gs, vs = _chunk(grad, at, -n, steps, inside), _chunk(v, at, -n, steps, inside)
    for first in range(0, steps, _CHUNK):
        gs_later = _chunk(grad, at - _CHUNK * n, -n, steps - first - _CHUNK, inside)
        vs_later = _chunk(v, at - _CHUNK * n, -n, steps - first - _CHUNK, inside)
        for i in tl.static_range(_CHUNK):
            k = steps - 1 - first - i
            gi = gi * keep_v + gs[i] * height * tl.exp(tl.abs(vs[i] - 1.0) * slope)
            gx = gx * keep_u + gi
            gb += tl.where(k >= 0, gi, 0.0)
            tl.store(gx_out + at - i * n, gx, mask=inside & (k >= 0))
            gi, gx = _unless_first(gi, k, EVERY), _unless_first(gx, k, EVERY)
        gs, vs = gs_later, vs_later
        at -= _CHUNK * n
    tl.store(gb_out + tl.program_id(0) * n + j, gb, mask=inside)


@triton.jit
def _leak(
    x,
    i_decay,
    steps,
    n,
    start,
    out,
    REVERSE: tl.constexpr,
    EVERY: tl.constexpr,
    STATE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < n
    keep = (_ONE - tl.load(i_decay + j, mask=inside, other=0).to(tl.float32)) / _ONE
    y = tl.zeros([BLOCK], tl.float32)
    if STATE:
        y = tl.load(start + tl.program_id(0) * n + j, mask=inside, other=0.0)
    at = tl.program_id(0).to(tl.int64) * steps * n + j
    by = n
    if REVERSE:
        at += (steps - 1) * n
        by = -n
    xs = _chunk(x, at, by, steps, inside)
    for first in range(0, steps, _CHUNK):
        later = _chunk(x, at + _CHUNK * by, by, steps - first - _CHUNK, inside)
        for i in tl.static_range(_CHUNK):
            k = first + i
            if not REVERSE:
                y = _unless_first(y, k, EVERY)
            y = y * keep + xs[i]
            tl.store(out + at + i * by, y, mask=inside & (k < steps))
            if REVERSE:
                y = _unless_first(y, steps - 1 - k, EVERY)
        xs = later
        at += _CHUNK * by


def _rows(x):
    return x.detach().transpose(1, 2).contiguous().float()


def _over(kernel: Any, rows):
    """The kernel for all samples and channels of `rows`, to be called with its arguments."""
    return kernel[rows.shape[0], triton.cdiv(rows.shape[2], _BLOCK)]


def _keep(decay):
    """What a step leaves, exact in float32, in which Triton passes numbers."""
    return (DECAY_ONE - decay) / DECAY_ONE


def forward(
    x: torch.Tensor,
    bias: torch.Tensor,
    i_decay: torch.Tensor,
    v_decay: int,
    gain: torch.Tensor | None,
    reset_every: int,
    state: Any = None,
) -> tuple:
    """As `train.dynamics.forward_reference`: (v, s), [B, C, K]. No gain: no rounding."""
    rows = _rows(x)
    v, s = torch.empty_like(rows), torch.empty_like(rows)
    _, steps, n = rows.shape
    options = dict(EVERY=reset_every, STATE=state is not None, BLOCK=_BLOCK, num_warps=1)
    kept = (v, v) if state is None else state  # not touched where there is no state
    if gain is None:
        numbers = rows, bias.detach(), i_decay, _keep(v_decay), steps, n
        _over(_forward_float, rows)(*numbers, *kept, v, s, **options)
    else:
        numbers = rows, gain, bias.detach(), i_decay, v_decay, steps, n
        _over(_forward_exact, rows)(*numbers, *kept, v, s, **options)
    return v.transpose(1, 2), s.transpose(1, 2)


def backward(
    grad: torch.Tensor, v: torch.Tensor, i_decay: torch.Tensor, v_decay: int, tau: float, scale: float, reset_every: int
) -> tuple:
    """As `train.dynamics.backward_reference`: gradients at the input and at the bias."""
    rows = _rows(grad)
    batch, steps, n = rows.shape
    gx, gb = torch.empty_like(rows), torch.empty(batch, n, device=rows.device)
    _over(_backward, rows)(
        rows,
        _rows(v),
        i_decay,
        _keep(v_decay),
        -1 / tau,
        scale / (2 * tau),
        steps,
        n,
        gx,
        gb,
        EVERY=reset_every,
        BLOCK=_BLOCK,
        num_warps=1,
    )
    return gx.transpose(1, 2), gb.sum(0)


def leak(
    x: torch.Tensor, i_decay: torch.Tensor, reset_every: int, reverse: bool, start: torch.Tensor | None = None
) -> torch.Tensor:
    """As `train.dynamics.leak_reference`, [B, C, K]."""
    rows = _rows(x)
    out = torch.empty_like(rows)
    _, steps, n = rows.shape
    options = dict(REVERSE=reverse, EVERY=reset_every, STATE=start is not None, BLOCK=_BLOCK, num_warps=1)
    _over(_leak, rows)(rows, i_decay, steps, n, rows if start is None else start, out, **options)
    return out.transpose(1, 2)

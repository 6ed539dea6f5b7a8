"""The dynamics of `train.dynamics` as Triton kernels, for CUDA: a program takes some channels of one sample through the whole stream.

The same arithmetic: integers in float64 in the exact forward pass, float32 elsewhere. All arrays are channels-last rows, [batch, steps, n].
`import` needs the package triton, which torch's CUDA builds for Linux bring along.
"""

import torch
import triton
import triton.language as tl

from sim.integer import DECAY_ONE, STATE_LIMIT

from .dynamics import STATE_SCALE

_BLOCK = 32          # channels of a program: one warp; the scan waits for memory and for itself, so many small programs hide more
_HIGH = tl.constexpr(float(STATE_LIMIT))


@triton.jit
def _decay(x, keep):
    """`sim.kernels.decay64`: the conversion to int32 rounds toward zero."""
    return (x * keep).to(tl.int32).to(tl.float64)


@triton.jit
def _begins(k, reset_every):
    return (reset_every > 0) & (k % tl.maximum(reset_every, 1) == 0)


@triton.jit
def _forward_exact(x, scale, keep_u, bias, keep_v, reset_every, steps, n, v_out, s_out, BLOCK: tl.constexpr):
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < n
    unit = tl.load(scale + j, mask=inside, other=1.0)
    leak = tl.load(keep_u + j, mask=inside, other=0.0)
    drive = tl.load(bias + j, mask=inside, other=0.0)
    share = tl.load(keep_v)
    u = tl.zeros([BLOCK], tl.float64)
    v = tl.zeros([BLOCK], tl.float64)
    at = tl.program_id(0).to(tl.int64) * steps * n + j
    for k in range(steps):
        new = _begins(k, reset_every)
        u = tl.where(new, 0.0, u)
        v = tl.where(new, 0.0, v)
        a = (tl.load(x + at, mask=inside, other=0.0).to(tl.float64) * unit).to(tl.int32).to(tl.float64)
        u = _decay(u, leak) + a
        u = tl.where(u > _HIGH, u - 2 * _HIGH, tl.where(u <= -_HIGH, u + 2 * _HIGH, u))
        v = _decay(v, share) + u + drive
        v = tl.minimum(tl.maximum(v, 1 - _HIGH), _HIGH - 1)
        fires = v > unit
        tl.store(v_out + at, (v / unit).to(tl.float32), mask=inside)
        tl.store(s_out + at, fires.to(tl.float32), mask=inside)
        v = tl.where(fires, 0.0, v)
        at += n


@triton.jit
def _forward_float(x, keep_u, bias, keep_v, reset_every, steps, n, v_out, s_out, BLOCK: tl.constexpr):
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < n
    leak = tl.load(keep_u + j, mask=inside, other=0.0)
    drive = tl.load(bias + j, mask=inside, other=0.0)
    share = tl.load(keep_v)
    u = tl.zeros([BLOCK], tl.float32)
    v = tl.zeros([BLOCK], tl.float32)
    at = tl.program_id(0).to(tl.int64) * steps * n + j
    for k in range(steps):
        new = _begins(k, reset_every)
        u = tl.where(new, 0.0, u)
        v = tl.where(new, 0.0, v)
        u = u * leak + tl.load(x + at, mask=inside, other=0.0)
        v = v * share + u + drive
        fires = v > 1.0
        tl.store(v_out + at, v, mask=inside)
        tl.store(s_out + at, fires.to(tl.float32), mask=inside)
        v = tl.where(fires, 0.0, v)
        at += n


@triton.jit
def _backward(grad, v, slope, height, keep_u, keep_v, reset_every, steps, n, gx_out, gb_out, BLOCK: tl.constexpr):
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < n
    leak = tl.load(keep_u + j, mask=inside, other=0.0)
    share = tl.load(keep_v)
    gi = tl.zeros([BLOCK], tl.float32)
    gx = tl.zeros([BLOCK], tl.float32)
    gb = tl.zeros([BLOCK], tl.float32)
    at = (tl.program_id(0).to(tl.int64) * steps + steps - 1) * n + j
    for i in range(steps):
        surrogate = height * tl.exp(tl.abs(tl.load(v + at, mask=inside, other=0.0) - 1.0) * slope)
        gi = gi * share + tl.load(grad + at, mask=inside, other=0.0) * surrogate
        gx = gx * leak + gi
        gb += gi
        tl.store(gx_out + at, gx, mask=inside)
        new = _begins(steps - 1 - i, reset_every)
        gi = tl.where(new, 0.0, gi)
        gx = tl.where(new, 0.0, gx)
        at -= n
    tl.store(gb_out + tl.program_id(0) * n + j, gb, mask=inside)


@triton.jit
def _leak(x, keep, reset_every, steps, n, out, REVERSE: tl.constexpr, BLOCK: tl.constexpr):
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < n
    share = tl.load(keep + j, mask=inside, other=0.0)
    y = tl.zeros([BLOCK], tl.float32)
    at = tl.program_id(0).to(tl.int64) * steps * n + j
    if REVERSE:
        at += (steps - 1) * n
    for i in range(steps):
        k = steps - 1 - i if REVERSE else i
        if not REVERSE:
            y = tl.where(_begins(k, reset_every), 0.0, y)
        y = y * share + tl.load(x + at, mask=inside, other=0.0)
        tl.store(out + at, y, mask=inside)
        if REVERSE:
            y = tl.where(_begins(k, reset_every), 0.0, y)
            at -= n
        else:
            at += n


def _rows(x):
    return x.detach().transpose(1, 2).contiguous().float()


def _grid(rows):
    return rows.shape[0], triton.cdiv(rows.shape[2], _BLOCK)


def _share(decay, like, dtype):
    """(4096 - decay) / 4096 as a tensor, [n] or [1]."""
    return ((DECAY_ONE - torch.as_tensor(decay, device=like.device).double().reshape(-1)) / DECAY_ONE).to(dtype)


def forward(x, bias, i_decay, v_decay, gain, reset_every):
    """As `train.dynamics.forward_reference`: (v, s), [B, C, K]. No gain: no rounding."""
    rows = _rows(x)
    v, s = torch.empty_like(rows), torch.empty_like(rows)
    _, steps, n = rows.shape
    if gain is None:
        _forward_float[_grid(rows)](rows, _share(i_decay, x, torch.float32), bias.detach().float(), _share(v_decay, x, torch.float32),
                                    reset_every, steps, n, v, s, BLOCK=_BLOCK)
    else:
        scale = gain.double() * STATE_SCALE
        _forward_exact[_grid(rows)](rows, scale, _share(i_decay, x, torch.float64), (bias.detach() * scale).trunc(), _share(v_decay, x, torch.float64),
                                    reset_every, steps, n, v, s, BLOCK=_BLOCK)
    return v.transpose(1, 2), s.transpose(1, 2)


def backward(grad, v, i_decay, v_decay, tau, scale, reset_every):
    """As `train.dynamics.backward_reference`: gradients at the input and at the bias."""
    rows = _rows(grad)
    batch, steps, n = rows.shape
    gx, gb = torch.empty_like(rows), torch.empty(batch, n, device=rows.device)
    _backward[_grid(rows)](rows, _rows(v), -1 / tau, scale / (2 * tau), _share(i_decay, v, torch.float32), _share(v_decay, v, torch.float32),
                           reset_every, steps, n, gx, gb, BLOCK=_BLOCK)
    return gx.transpose(1, 2), gb.sum(0)


def leak(x, i_decay, reset_every, reverse):
    """As `train.dynamics.leak_reference`, [B, C, K]."""
    rows = _rows(x)
    out = torch.empty_like(rows)
    _, steps, n = rows.shape
    _leak[_grid(rows)](rows, _share(i_decay, x, torch.float32), reset_every, steps, n, out, REVERSE=reverse, BLOCK=_BLOCK)
    return out.transpose(1, 2)

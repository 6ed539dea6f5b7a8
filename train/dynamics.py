"""CUBA dynamics for training: SLAYER's recursion and gradients, compiled, and with the chip's 24-bit wrap and clip.

SLAYER (lava-dl 0.6.0, `slayer/neuron/dynamics/leaky_integrator.py`) steps through time in Python. The kernels here (for CUDA: `train.dynamics_cuda`) do the
same arithmetic on the whole stream. Shapes follow SLAYER, `[batch, channels, steps]`; memory is channels-last
(`x.transpose(1, 2)` contiguous), so that the synapse is one matrix product and the loop over channels is vector code.

Units. A neuron's threshold is 1 here and `64 * gain` on the chip; its weights and bias are the chip's mantissas / (64 * gain), its states the
chip's integers / (4096 * gain). The gain, a power of two per neuron, is chosen so that the weights use their 8 bits; it cancels in the gradients.
With gain 1 these are SLAYER's own units.

Backward is SLAYER's: with `g` the gradient at the voltage, the surrogate of the spike times the gradient at the spike,

    gi[k] = a_v * gi[k+1] + g[k],    gx[k] = a_u * gx[k+1] + gi[k],    a = 1 - decay/4096

that is, neither rounding, nor wrap, nor the reset after a spike takes part in the gradient.
"""

import math
from functools import cache

import numba
import numpy as np
import torch

from sim.errors import UserError
from sim.integer import DECAY_ONE
from sim.kernels import clip64, decay64, wrap64
from sim.memory import keep_heap

STATE_SCALE = 4096          # state integer = state here * 4096 * gain


@numba.njit(parallel=True, cache=True)
def _forward_exact(x, scale, keep_u, bias, keep_v, v_th, reset_every, v_out, s_out):
    batch, steps, n = x.shape
    for b in numba.prange(batch):
        u, v = np.zeros(n), np.zeros(n)
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


@numba.njit(parallel=True, cache=True)
def _forward_float(x, keep_u, bias, keep_v, v_th, reset_every, v_out, s_out):
    batch, steps, n = x.shape
    for b in numba.prange(batch):
        u, v = np.zeros(n, np.float32), np.zeros(n, np.float32)
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
_POLY = tuple(np.float32(np.log(2)**i / math.factorial(i)) for i in range(7))
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


@numba.njit(parallel=True, cache=True)
def _backward(grad, v, slope, height, keep_u, keep_v, reset_every, gx_out, gb_out):
    """The surrogate, `height * exp(slope * |v - 1|)`, and the two adjoint leaks. `gb_out` [batch, n]: the gradient at the bias, added to."""
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


@numba.njit(parallel=True, cache=True)
def _leak(x, keep, reset_every, reverse, out):
    """`y[k] = keep * y[k-1] + x[k]` in float32, or the same from the end of the stream: the current without rounding, and its adjoint."""
    batch, steps, n = x.shape
    for b in numba.prange(batch):
        y = np.zeros(n, np.float32)
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


def _tensor(rows):
    """The inverse of `_rows`, without a copy."""
    return torch.from_numpy(rows).transpose(1, 2)


def _empty(rows):
    """Like `np.empty_like`, but aligned as torch aligns: matrix products round differently on other alignments, and runs would not repeat."""
    return torch.empty(rows.shape).numpy()


def surrogate(v, threshold, tau, scale):
    """SLAYER's derivative of the spike: `scale / (2 tau) * exp(-|v - threshold| / tau)`."""
    return (scale / (2 * tau)) * torch.exp((v - threshold).abs_().mul_(-1 / tau))


def _kernels(device):
    """(forward, backward, leak) for a device. Raises `UserError` on CUDA without triton."""
    if device.type == "cpu":
        return _forward_cpu, _backward_cpu, _leak_cpu
    if device.type != "cuda":
        return forward_reference, backward_reference, leak_reference
    return _cuda_kernels()


_OR_CPU = "or hide the GPU with CUDA_VISIBLE_DEVICES= to train on the CPU"


@cache
def _cuda_kernels():
    try:
        import triton
    except ImportError:
        raise UserError(f"training on CUDA needs the package triton, which is not installed; pip install 'triton>=3.2', {_OR_CPU}") from None
    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 2):
        raise UserError(f"training on CUDA needs triton 3.2 or later (torch 2.6 brings it along), {triton.__version__} is installed; upgrade torch, {_OR_CPU}")
    from . import dynamics_cuda
    return dynamics_cuda.forward, dynamics_cuda.backward, dynamics_cuda.leak


class _Cuba(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias, i_decay, v_decay, gain, tau, scale, reset_every, exact):
        step = _kernels(x.device)[0]
        v, s = step(x, bias, i_decay, v_decay, gain if exact else None, reset_every)
        ctx.save_for_backward(v, i_decay)
        ctx.rest = (v_decay, tau, scale, reset_every)
        return s

    @staticmethod
    def backward(ctx, grad):
        v, i_decay = ctx.saved_tensors
        v_decay, tau, scale, reset_every = ctx.rest
        step = _kernels(v.device)[1]
        gx, gb = step(grad, v, i_decay, v_decay, tau, scale, reset_every)
        return gx, gb, None, None, None, None, None, None, None


def cuba(x, bias, i_decay, v_decay, gain, tau, scale, reset_every=0, exact=True):
    """CUBA neurons of threshold 1 over a stream.

    Args:
        x: [B, C, K] dendritic input.
        bias: [C], enters the membrane.
        i_decay: integer tensor [C], 1..4096. v_decay: int, 0..4096.
        gain: float tensor [C], powers of two; used where exact.
        tau, scale: of `surrogate`.
        reset_every: states are zeroed at steps divisible by it; 0 for never.
        exact: the chip's integers (`sim.integer`); else the same recursion in float32 with no rounding, wrap or clip.

    Returns:
        spikes, float 0 or 1, [B, C, K].
    """
    return _Cuba.apply(x, bias, i_decay, v_decay, gain, tau, scale, reset_every, exact)


def _forward_cpu(x, bias, i_decay, v_decay, gain, reset_every):
    rows = _rows(x)
    v, s = _empty(rows), _empty(rows)
    keep = (DECAY_ONE - i_decay.numpy().astype(np.float64)) / DECAY_ONE
    keep_v = (DECAY_ONE - v_decay) / DECAY_ONE
    b = bias.detach().numpy()
    if gain is None:
        _forward_float(rows, keep.astype(np.float32), b.astype(np.float32), np.float32(keep_v), np.float32(1), reset_every, v, s)
    else:
        scale = gain.numpy().astype(np.float64) * STATE_SCALE
        _forward_exact(rows, scale, keep, np.trunc(b * scale), keep_v, scale, reset_every, v, s)
    return _tensor(v), _tensor(s)


def _backward_cpu(grad, v, i_decay, v_decay, tau, scale, reset_every):
    rows = _rows(grad)
    gx, gb = _empty(rows), np.zeros((rows.shape[0], rows.shape[2]), np.float32)
    keep = ((DECAY_ONE - i_decay.numpy()) / DECAY_ONE).astype(np.float32)
    _backward(rows, _rows(v), np.float32(-1 / tau), np.float32(scale / (2 * tau)), keep, np.float32((DECAY_ONE - v_decay) / DECAY_ONE), reset_every, gx, gb)
    return _tensor(gx), torch.from_numpy(gb.sum(0))


def forward_reference(x, bias, i_decay, v_decay, gain, reset_every):
    """The same in plain torch, a loop over time: what the kernels are tested against, and for devices that have none. No gain: no rounding. Returns (v, s)."""
    keep_u, keep_v = DECAY_ONE - i_decay.long(), DECAY_ONE - v_decay
    if gain is not None:
        th = (gain * STATE_SCALE).long()
        x, bias = (x * th[:, None]).long(), (bias * th).long()
        limit = 1 << 23
        decay = lambda y, keep: torch.sign(y) * ((y.abs() * keep) >> 12)                                       # noqa: E731
        wrap = lambda y: torch.where(y > limit, y - 2 * limit, torch.where(y <= -limit, y + 2 * limit, y))     # noqa: E731
        clip = lambda y: y.clamp(-limit + 1, limit - 1)                                                        # noqa: E731
    else:
        keep_u, keep_v, th = keep_u.to(x.dtype) / DECAY_ONE, keep_v / DECAY_ONE, 1
        decay, wrap, clip = (lambda y, keep: y * keep), (lambda y: y), (lambda y: y)
    u = v = torch.zeros_like(x[..., 0])
    vs, ss = [], []
    for k in range(x.shape[-1]):
        if reset_every and k % reset_every == 0:
            u = v = torch.zeros_like(u)
        u = wrap(decay(u, keep_u) + x[..., k])
        z = clip(decay(v, keep_v) + u + bias)
        s = z > th
        v = torch.where(s, torch.zeros_like(z), z)
        vs.append(z)
        ss.append(s)
    v, s = torch.stack(vs, -1), torch.stack(ss, -1).float()
    return (v if gain is None else v / th[:, None]).float(), s


def backward_reference(grad, v, i_decay, v_decay, tau, scale, reset_every):
    """Plain torch twin of the backward kernel. Returns the gradients at the input and at the bias."""
    g = surrogate(v, 1.0, tau, scale).mul_(grad)
    gi = leak_reference(g, torch.full_like(i_decay, v_decay), reset_every, True)
    return leak_reference(gi, i_decay, reset_every, True), gi.sum((0, 2))


def leak_reference(x, i_decay, reset_every, reverse):
    """Plain torch twin of `_leak`, [B, C, K]."""
    keep = (DECAY_ONE - i_decay).to(x.dtype) / DECAY_ONE
    y, out = torch.zeros_like(x[..., 0]), [None] * x.shape[-1]
    for k in reversed(range(x.shape[-1])) if reverse else range(x.shape[-1]):
        first = reset_every and k % reset_every == 0
        if first and not reverse:
            y = torch.zeros_like(y)
        y = y * keep + x[..., k]
        out[k] = y
        if first and reverse:
            y = torch.zeros_like(y)
    return torch.stack(out, -1)


class _Leak(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, i_decay, reset_every):
        ctx.save_for_backward(i_decay)
        ctx.reset_every = reset_every
        return _kernels(x.device)[2](x, i_decay, reset_every, False)

    @staticmethod
    def backward(ctx, grad):
        return _kernels(grad.device)[2](grad, ctx.saved_tensors[0], ctx.reset_every, True), None, None


def _leak_cpu(x, i_decay, reset_every, reverse):
    rows = _rows(x)
    out = _empty(rows)
    _leak(rows, ((DECAY_ONE - i_decay.numpy()) / DECAY_ONE).astype(np.float32), reset_every, reverse, out)
    return _tensor(out)


def leak(x, i_decay, reset_every=0):
    """The current of CUBA neurons without rounding, `u[k] = (1 - i_decay/4096) u[k-1] + x[k]`, [B, C, K], differentiable."""
    return _Leak.apply(x, i_decay, reset_every)


def set_threads(n):
    """Threads of torch and of the kernels. In this order: the first launch of a numba kernel changes torch's number behind its back
    (both use the same OpenMP), and a run whose number changes on the way does not repeat bit by bit."""
    keep_heap()
    leak(torch.zeros(1, 1, 1), torch.tensor([DECAY_ONE]))
    numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))
    torch.set_num_threads(n)

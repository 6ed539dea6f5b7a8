"""The dynamics in plain torch, a loop over time: what the kernels are tested against, and for devices that have
none.
"""

from typing import Any

import torch

from sim.integer import DECAY_ONE

STATE_SCALE = 4096  # state integer = state here * 4096 * gain


def surrogate(v: torch.Tensor, threshold: float, tau: float, scale: float) -> torch.Tensor:
    """SLAYER's derivative of the spike: `scale / (2 tau) * exp(-|v - threshold| / tau)`."""
    return (scale / (2 * tau)) * torch.exp((v - threshold).abs_().mul_(-1 / tau))


def forward_reference(
    x: torch.Tensor,
    bias: torch.Tensor,
    i_decay: torch.Tensor,
    v_decay: int,
    gain: torch.Tensor | None,
    reset_every: int,
    state: Any = None,
) -> tuple:
    """The same in plain torch, a loop over time: what the kernels are tested against, and for devices that have
    none. No gain: no rounding. Returns (v, s).

    state: (u, v) [B, C] before the first step, is replaced by that after the last; None: zeros.
    """
    keep_u, keep_v = DECAY_ONE - i_decay.long(), DECAY_ONE - v_decay
    th: Any  # [C], or 1
    if gain is not None:
        th = (gain * STATE_SCALE).long()
        x, bias = (x * th[:, None]).long(), (bias * th).long()
        limit = 1 << 23
        decay = lambda y, keep: torch.sign(y) * ((y.abs() * keep) >> 12)  # noqa: E731
        wrap = lambda y: torch.where(y > limit, y - 2 * limit, torch.where(y <= -limit, y + 2 * limit, y))  # noqa: E731
        clip = lambda y: y.clamp(-limit + 1, limit - 1)  # noqa: E731
    else:
        keep_u, keep_v, th = keep_u.to(x.dtype) / DECAY_ONE, keep_v / DECAY_ONE, 1
        decay, wrap, clip = (lambda y, keep: y * keep), (lambda y: y), (lambda y: y)
    u, v = (torch.zeros_like(x[..., 0]),) * 2 if state is None else ((y * th).to(x.dtype) for y in state)
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
    if state is not None:
        for kept, y in zip(state, (u, v)):
            kept.copy_(y / th)
    v, s = torch.stack(vs, -1), torch.stack(ss, -1).float()
    return (v if gain is None else v / th[:, None]).float(), s


def backward_reference(
    grad: torch.Tensor, v: torch.Tensor, i_decay: torch.Tensor, v_decay: int, tau: float, scale: float, reset_every: int
) -> tuple:
    """Plain torch twin of the backward kernel. Returns the gradients at the input and at the bias."""
    g = surrogate(v, 1.0, tau, scale).mul_(grad)
    gi = leak_reference(g, torch.full_like(i_decay, v_decay), reset_every, True)
    return leak_reference(gi, i_decay, reset_every, True), gi.sum((0, 2))


def leak_reference(
    x: torch.Tensor, i_decay: torch.Tensor, reset_every: int, reverse: bool, start: torch.Tensor | None = None
) -> torch.Tensor:
    """Plain torch twin of `_leak`, [B, C, K]."""
    keep = (DECAY_ONE - i_decay).to(x.dtype) / DECAY_ONE
    y, out = torch.zeros_like(x[..., 0]) if start is None else start, [None] * x.shape[-1]
    for k in reversed(range(x.shape[-1])) if reverse else range(x.shape[-1]):
        first = reset_every and k % reset_every == 0
        if first and not reverse:
            y = torch.zeros_like(y)
        y = y * keep + x[..., k]
        out[k] = y  # pyright: ignore[reportArgumentType, reportCallIssue]
        if first and reverse:
            y = torch.zeros_like(y)
    return torch.stack(out, -1)  # pyright: ignore[reportArgumentType]

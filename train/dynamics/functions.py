"""CUBA neurons and the current alone as differentiable functions of a stream, by the kernels of the device they are on."""  # noqa: E501

from functools import cache
from typing import Any

import numba
import torch

from sim.base.errors import UserError
from sim.base.memory import keep_heap
from sim.integer import DECAY_ONE

from . import cpu, reference


def _kernels(device):
    """(forward, backward, leak) for a device. Raises `UserError` on CUDA without triton."""
    if device.type == "cpu":
        return cpu.forward, cpu.backward, cpu.leak
    if device.type != "cuda":
        return reference.forward_reference, reference.backward_reference, reference.leak_reference
    return _cuda_kernels()


_OR_CPU = "or hide the GPU with CUDA_VISIBLE_DEVICES= to train on the CPU"


@cache
def _cuda_kernels():
    try:
        import triton
    except ImportError:
        raise UserError(
            f"training on CUDA needs the package triton, which is not installed; pip install 'triton>=3.2', {_OR_CPU}"
        ) from None
    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 2):
        raise UserError(
            f"training on CUDA needs triton 3.2 or later (torch 2.6 brings it along), {triton.__version__} is"
            f" installed; upgrade torch, {_OR_CPU}"
        )
    from . import cuda

    return cuda.forward, cuda.backward, cuda.leak


class _Cuba(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias, i_decay, v_decay, gain, tau, scale, reset_every, exact, state):
        step = _kernels(x.device)[0]
        v, s = step(x, bias, i_decay, v_decay, gain if exact else None, reset_every, state)
        ctx.save_for_backward(v, i_decay)
        ctx.rest = (v_decay, tau, scale, reset_every)
        return s

    @staticmethod
    def backward(ctx, grad):
        v, i_decay = ctx.saved_tensors
        v_decay, tau, scale, reset_every = ctx.rest
        step = _kernels(v.device)[1]
        gx, gb = step(grad, v, i_decay, v_decay, tau, scale, reset_every)
        return gx, gb, *(None,) * 8


def cuba(
    x: torch.Tensor,
    bias: torch.Tensor,
    i_decay: torch.Tensor,
    v_decay: int,
    gain: torch.Tensor,
    tau: float,
    scale: float,
    reset_every: int = 0,
    exact: bool = True,
    state: Any = None,
) -> torch.Tensor:
    """CUBA neurons of threshold 1 over a stream.

    Args:
        x: [B, C, K] dendritic input.
        bias: [C], enters the membrane.
        i_decay: integer tensor [C], 1..4096. v_decay: int, 0..4096.
        gain: float tensor [C], powers of two; used where exact.
        tau, scale: of `surrogate`.
        reset_every: states are zeroed at steps divisible by it; 0 for never.
        exact: the chip's integers (`sim.integer`); else the same recursion in float32 with no rounding, wrap or clip.
        state: (u, v), float32 [B, C] each, contiguous, in thresholds: the neurons' state before the first step, which
            is overwritten with that after the last. None: zeros. Gradients end here.

    Returns:
        spikes, float 0 or 1, [B, C, K].
    """
    return _Cuba.apply(x, bias, i_decay, v_decay, gain, tau, scale, reset_every, exact, state)


class _Leak(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, i_decay, reset_every, start):
        ctx.save_for_backward(i_decay)
        ctx.reset_every = reset_every
        return _kernels(x.device)[2](x, i_decay, reset_every, False, start)

    @staticmethod
    def backward(ctx, grad):
        return _kernels(grad.device)[2](grad, ctx.saved_tensors[0], ctx.reset_every, True), None, None, None


def leak(
    x: torch.Tensor, i_decay: torch.Tensor, reset_every: int = 0, start: torch.Tensor | None = None
) -> torch.Tensor:
    """The current of CUBA neurons without rounding, `u[k] = (1 - i_decay/4096) u[k-1] + x[k]`, [B, C, K],
    differentiable. start: u before the first step, float32 [B, C], contiguous; None: zeros.
    """
    return _Leak.apply(x, i_decay, reset_every, start)


def set_threads(n: int) -> None:
    """Threads of torch and of the kernels. In this order: the first launch of a numba kernel changes torch's number
    behind its back
    (both use the same OpenMP), and a run whose number changes on the way does not repeat bit by bit."""
    keep_heap()
    leak(torch.zeros(1, 1, 1), torch.tensor([DECAY_ONE]))
    numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]
    torch.set_num_threads(n)

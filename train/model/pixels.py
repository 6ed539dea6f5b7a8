"""Weights that meet the pixels of photographs: how they are trained, and how they are rounded.

Pixels next to each other are much alike. In their own space gradients go along with what they share, and rounding
errors of the weights add up along it."""

from typing import Any

import torch

WHITE = 1e-2  # of the mean variance, added to every one: what there is less of is noise


def whitening(messages: Any, bits: int) -> Any:
    """What makes inputs white: [C, C], symmetric, the inverse square root of the covariance.

    Args:
        messages: [samples, C], below 2**bits, which count as shares of that.
    """
    x = (messages / (1 << bits)).double()
    x = x - x.mean(0)
    spread, axes = torch.linalg.eigh(x.T @ x / len(x))
    return ((axes * (spread + WHITE * spread.mean()).rsqrt()) @ axes.T).float()


def rounded(weight: torch.Tensor, white: Any, step: float, low: float, high: float) -> Any:
    """Weights as whole multiples of `step` in low..high, each one's error made up for by those that are still to be
    rounded, so that outputs change little for inputs of the covariance that `white` belongs to.

    weight: [n, C]. white: of `whitening`. Source: Frantar et al., GPTQ, 2022, with the inverse of the covariance in
    place of the Hessian's.
    """
    w, out = weight.double().clone(), torch.empty_like(weight, dtype=torch.float64)
    upper = torch.linalg.cholesky((white.double() @ white.double()), upper=True)
    for i in range(w.shape[1]):
        out[:, i] = (w[:, i] / step).round().clamp(low, high) * step
        error = (w[:, i] - out[:, i]) / upper[i, i]
        w[:, i:] -= error[:, None] * upper[i, i:]
    return out.to(weight.dtype)

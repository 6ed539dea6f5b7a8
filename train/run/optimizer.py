"""The optimiser of a phase, and its learning rate at every step."""

import math

import torch
from torch import nn

from ..config import Config


def adamw(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; no weight decay on norms, biases and skips."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    for group in optimizer.param_groups:
        group["base_lr"] = lr
    return optimizer


def set_lr(optimizer: torch.optim.Optimizer, cfg: Config, epoch: float) -> None:
    """Warm-up and cosine over the float phase, cosine over the integer phase. `epoch` counts in fractions."""
    if epoch < cfg.float_epochs:
        warm = cfg.warmup * cfg.float_epochs
        factor = (
            min(1.0, (epoch + 0.05) / warm if warm else 1.0) * 0.5 * (1 + math.cos(math.pi * epoch / cfg.float_epochs))
        )
    else:
        factor = 0.5 * (1 + math.cos(math.pi * (epoch - cfg.float_epochs) / cfg.exact_epochs))
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * max(factor, 0.01)

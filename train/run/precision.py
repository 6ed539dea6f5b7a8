"""Mixed precision (`--amp`) that leaves the chip's integers exact.

A weight of the integer phase is an even mantissa in [-256, 254] over a power of two: eight bits, exact in bfloat16,
float16 and TF32, as spikes are. Their
sums are not: they take up to 24 bits and must be added and *kept* in float32. `torch.autocast` rounds every product's
result to 16 bits, so it is
used in the float phase only. In the integer phase TF32 is, on CUDA: it rounds the operands, here without loss, and adds
up in and returns float32. That a given GPU does so is tried before the run, on the largest mantissas."""

from typing import Any

import torch
from rich.console import Console

from ..model.smolmamba import SmolMamba


def forward(
    model: SmolMamba, x: tuple[torch.Tensor, torch.Tensor], exact: bool, amp: bool, chain: int = 1
) -> torch.Tensor:
    """Class scores, float32, of x as `train.data.to_device` gives it. With `amp` and not `exact` the matrix products
    are bfloat16's. chain: of `SmolMamba.forward`.
    """
    with torch.autocast(x[0].device.type, torch.bfloat16, enabled=amp and not exact):
        logits = model(*x, exact=exact, chain=chain)
    return logits.float()


def prepare(device: Any, amp: bool, console: Console) -> None:
    """Switches TF32 on where it is asked for and exact, off otherwise. No effect on a CPU."""
    if torch.device(device).type != "cuda":
        return
    torch.set_float32_matmul_precision("high" if amp else "highest")
    if amp and not products_are_exact(device):
        torch.set_float32_matmul_precision("highest")
        console.print("TF32 products are not exact on this GPU: the integer phase runs in full precision")


def products_are_exact(device: Any, fan_in: int = 512) -> bool:
    """Whether float32 matrix products, as set now, of spikes and mantissas at the ends of the range are the exact
    integers.
    """
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(2048, fan_in, generator=generator) < torch.rand(2048, 1, generator=generator)).float()
    weights = torch.randint(-128, 128, (256, fan_in), generator=generator).float() * 2
    weights[::4], weights[1::4] = 254, -256
    return torch.equal((spikes.to(device) @ weights.to(device).T).cpu().double(), spikes.double() @ weights.double().T)

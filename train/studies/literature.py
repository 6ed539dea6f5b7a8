"""Operations of a net on real spikes, and their energy as the literature of spiking networks counts it.

Two countings of the same spikes:

- **synops**, those of the chip's graph, as `sim.engine` counts them (a test holds them equal): for every spike one for
  each non-zero weight that it meets.
- **AC and MAC** of the literature (45 nm, 32-bit floating point: 0.9 pJ an addition, 4.6 pJ a multiplication with an
  addition; M. Horowitz, ISSCC 2014). AC: every synop of a layer, the position embedding included (its phase line spikes
  at every place with a token); where tokens are chosen, one for each spike of a token that is sent (its events, which
  are counted) and one for the comparison of each token in each frame. MAC: the decay of each current that is a
  recurrence and of each membrane that is not memoryless, one per neuron and step, spike or no spike.

docs/ablations.md says what is left out.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch

from sim.integer import DECAY_ONE

from ..data.batches import to_device
from ..model.layer import MEMORYLESS, CubaLayer
from ..model.smolmamba import SmolMamba
from ..sparse.cost import fan_out

AC_PJ, MAC_PJ = 0.9, 4.6


@dataclass(frozen=True)
class Part:
    """Operations of one part of a net, summed over all samples.

    Attributes:
        neurons: their number. spikes: those that they send.
        synops: as on the chip's graph; None where there is none. acs, macs: as in the literature.
    """

    name: str
    neurons: int
    spikes: int
    synops: int | None
    acs: int
    macs: int

    @property
    def picojoule(self) -> float:
        return AC_PJ * self.acs + MAC_PJ * self.macs

    def __add__(self, other):
        return Part(
            self.name,
            self.neurons,
            self.spikes + other.spikes,
            None if self.synops is None or other.synops is None else self.synops + other.synops,
            self.acs + other.acs,
            self.macs + other.macs,
        )


@torch.no_grad()
def operations(model: Any, x: Any, batch: int = 64, device: Any = "cpu") -> list:
    """[Part] of a model in evaluation mode on streams, in the order of the net.

    A `SmolMamba` must be folded.
    """
    model.eval()
    total: list = []
    for i in range(0, len(x), batch):
        parts = batch_operations(model, *to_device(x[i : i + batch], device))
        total = parts if not total else [a + b for a, b in zip(total, parts)]
    return total


@singledispatch
def batch_operations(model: Any, tokens: torch.Tensor, which: torch.Tensor) -> list:
    """[Part] of one batch of streams: tokens float [B, C, K], which int64 [B, K]."""
    raise TypeError(type(model).__name__)


@batch_operations.register
def _(model: SmolMamba, tokens, which) -> list:
    model(tokens, which, exact=True)
    steps = which.numel()
    sent = {name: spikes.double().round().long() for name, spikes in model.activity.items()}
    synops, layers, parts = {}, model.named(), []
    for edge in model.edges():
        ops = int((sent[edge.source] * fan_out(edge.nonzero(exact=True)).long()).sum())
        synops[edge.target] = synops.get(edge.target, 0) + ops
    if model.encoder.places:
        chosen = int(sent["tokens"].sum()) + len(which) * model.n_frames * model.n_tokens
        parts.append(Part("choice of tokens", model.n_tokens, int((which >= 0).sum()), 0, chosen, 0))
    for name, ops in synops.items():
        macs = decays(layers[name]) * steps if name in layers else 0
        spikes = int(sent[name].sum()) if name in sent else 0
        parts.append(Part(name, model.sizes()[name], spikes, ops, ops, macs))
    return parts


def decays(layer: CubaLayer) -> int:
    """Multiplications of a layer per step: the neurons whose current decays, and those whose membrane does."""
    return int((layer.i_decay < DECAY_ONE).sum()) + (layer.n if layer.v_decay < MEMORYLESS else 0)  # pyright: ignore[reportOperatorIssue]

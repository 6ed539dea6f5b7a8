"""Synapses that are removed while the net is trained: those that matter least to their neuron, whose weight times the
root of their source's rate is smallest (what comes over a synapse of weight w from a source that fires with a small
probability p has the deviation w sqrt(p)). What is gone stays gone, and the others are trained on.

Each neuron keeps, of the synapses from one source, its strongest `ceil((1 - share) * n)`, never none, ties to the
lower index. The share rises over the float epochs, from FROM to TO of them, as `1 - (1 - x)^3`; folding removes what is
still too many. Kinds of synapses: `input` (from the tokens), `stem` (between layers of the patch embedding), `bank`,
`gate`, `out`, `readout`. The phase is never touched (its line says which token is on turn, and carries the bias of the
first layer), nor are the skips, of one synapse each."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from sim.net import PHASE

from ..config import REMOVABLE, Config
from ..data.batches import to_device
from ..distributed import ALONE, Ranks
from ..model.names import READOUT
from ..model.smolmamba import SmolMamba

FROM, TO = 0.2, 0.75


@dataclass(frozen=True, eq=False)
class Group:
    """The synapses from one source to one layer that may be removed.

    mask: bool [n, m], those that there are. weight(): [n, m].
    """

    kind: str
    source: str
    target: str
    mask: torch.Tensor
    weight: Callable


def groups(model: SmolMamba) -> list:
    """Every `Group` of a model; those of a stem that two towers share are there twice."""
    edges, out = model.edges(), []
    for name, layer in model.named().items():
        kind = layer.name if layer.name in REMOVABLE else "input" if PHASE in layer.sources else "stem"
        sources = [e.source for e in edges if e.target == name]
        for key, source in zip(layer.sources, sources, strict=True):
            if key in layer.masks:
                out.append(Group(kind, source, name, layer.masks[key], lambda layer=layer, key=key: layer.weight(key)))
    last = [e.source for e in edges if e.target == READOUT]
    for t, source in zip(model.towers, last, strict=True):
        weight = lambda t=t: model.readout_weight(t)  # noqa: E731
        out.append(Group("readout", source, READOUT, model.readout_masks[t], weight))
    return out


@torch.no_grad()
def rates(model: SmolMamba, x: Any, batch: int, device: Any = "cpu", ranks: Ranks = ALONE) -> dict:
    """Source -> float64 [n], its neurons' spikes over streams `x` of all processes together, as the model is now."""
    model.eval()
    total = {}
    for i in range(0, len(x), batch):
        model(*to_device(x[i : i + batch], device), exact=model.folded)
        total = added(total, model.activity)
    return together(total, ranks)


def added(total: dict, activity: dict) -> dict:
    """Counts of spikes with those of one more call."""
    return {name: spikes.double().cpu() + total.get(name, 0) for name, spikes in activity.items()}


def together(total: dict, ranks: Ranks) -> dict:
    """The counts of all processes."""
    return {name: ranks.add(total[name]) for name in sorted(total)}


def grown(cfg: Config, epochs: int) -> dict:
    """Kind -> share that is to be gone when so many float epochs have been trained."""
    x = (epochs / max(cfg.float_epochs, 1) - FROM) / (TO - FROM)
    part = 1 - (1 - min(max(x, 0.0), 1.0)) ** 3
    return {kind: share * part for kind, share in cfg.removed().items()}


@torch.no_grad()
def remove(model: SmolMamba, rates: dict, shares: dict) -> None:
    """Takes synapses out of the model's masks.

    Args:
        rates: of `rates`.
        shares: kind -> share of the synapses of each neuron that are gone then, 0 or more and below 1.
    """
    done = set()
    for group in groups(model):
        share = shares.get(group.kind, 0.0)
        if share and group.mask.data_ptr() not in done:
            done.add(group.mask.data_ptr())
            score = group.weight().cpu().double().abs() * rates[group.source].sqrt()
            score[~group.mask.cpu()] = -1
            group.mask.copy_(strongest(score, share).to(group.mask.device) & group.mask)


def strongest(score: torch.Tensor, share: float) -> torch.Tensor:
    """bool [n, m]: in each row the `ceil((1 - share) * m)` largest scores, at least one, ties to the lower column."""
    keep = max(1, math.ceil((1 - share) * score.shape[1] - 1e-9))
    best = score.argsort(dim=1, descending=True, stable=True)[:, :keep]
    return torch.zeros_like(score, dtype=torch.bool).scatter_(1, best, True)


def removed(model: SmolMamba) -> dict:
    """Kind -> share of its synapses that are gone, of those kinds that lack any, and `all`; rounded."""
    gone, total = {}, {}
    for group in groups(model):
        gone[group.kind] = gone.get(group.kind, 0) + int((~group.mask).sum())
        total[group.kind] = total.get(group.kind, 0) + group.mask.numel()
    gone, total = gone | {"all": sum(gone.values())}, total | {"all": sum(total.values())}
    return {kind: round(n / total[kind], 4) for kind, n in gone.items() if n}

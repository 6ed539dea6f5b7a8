"""From the float phase to the chip's integers: statistics of the norms, folding, synapses that go."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

import events
from events import token_streams

from ..data.batches import to_device
from ..distributed import ALONE, Ranks
from ..model.smolmamba import SmolMamba
from . import removal as sparsity


@torch.no_grad()
def reestimate_norms(model: SmolMamba, x: Any, sizes: Any, device: Any, every: int = 1) -> dict:
    """Statistics of the norms over the whole training set, or over one batch in `every`: lagging averages are far off
    in a net of binary activations.

    x: this process's samples, `sizes[i]` of them for batch i. Returns the spikes that were seen, of this process, as
    `train.sparse.removal.rates` does.
    """
    norms = [layer.norm for layer in model.layers()]
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    starts, seen = np.cumsum([0, *sizes]), {}
    for i in range(0, len(sizes), every):
        model(*to_device(x[starts[i] : starts[i + 1]], device))
        seen = sparsity.added(seen, model.activity)
    for norm in norms:
        norm.momentum = 0.1
    model.eval()
    return seen


@torch.no_grad()
def to_integers(model: SmolMamba, x: Any, device: Any = "cpu", ranks: Ranks = ALONE) -> None:
    """Folds the norms, then removes the synapses that the configuration wants gone and that are still there.

    x: streams, this process's share of the training set; may be None if no synapse is to go.
    """
    model.eval()
    shares = model.cfg.removed()
    rates = sparsity.rates(model, x, model.cfg.batch, device, ranks) if shares else {}
    model.fold()
    sparsity.remove(model, rates, shares)


def to_chip(model: SmolMamba, data_root: str | Path | None = None) -> bool:
    """Folds a float model; a model of the integer phase stays as it is: whether it was one is returned."""
    ready = model.folded
    if not ready:
        x = None
        if model.cfg.removed():
            x = token_streams(events.load(model.cfg.dataset, "train", data_root), model.encoder, progress=False)
        to_integers(model, x)
    return ready

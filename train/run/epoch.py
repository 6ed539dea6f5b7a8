"""One epoch of training: every batch goes forward and backward, and the optimiser takes a step."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from sim.base.errors import UserError
from sim.net.tokens import Stream
from sim.prices import Table

from ..config import Config
from ..data.batches import to_device
from ..model.smolmamba import SmolMamba
from ..sparse import cost
from . import precision
from .optimizer import set_lr


@dataclass
class Tally:
    """What an epoch has seen so far, of all processes together: loss of each batch, right predictions, and of the last
    batch the share of places with a token and of spikes.
    """

    losses: list = field(default_factory=list)
    hits: int = 0
    kept: float = 1.0
    rate: float = 0.0

    @property
    def loss(self) -> float:
        return float(np.mean(self.losses))


@dataclass(frozen=True)
class Energy:
    """The energy term of the loss: `factor`, a tensor of one element on the device (a CUDA graph reads it anew), per
    microjoule by `table`.
    """

    table: Table
    factor: torch.Tensor

    def term(self, model: SmolMamba, samples: int) -> torch.Tensor:
        """Of the model's last call, that of `samples`."""
        return self.factor * cost.microjoules(self.table, cost.caused(model, samples))


def train_epoch(run: Any, epoch: int, data: Any, show: Callable[..., object]) -> float:
    """All batches from `run.state["step"]` on. show(tally, waited, began): tells how it goes.

    Returns the share of the time that was spent waiting for batches.

    Raises:
        UserError: the loss is not finite.
    """
    cfg, exact, began, waited, share = run.cfg, epoch >= run.cfg.float_epochs, time.time(), 0.0, 0.0
    first, run.state["step"] = run.state["step"], 0
    run.model.train()
    for step, (x, y, n, wait) in enumerate(data.batches(epoch, first), first):
        set_lr(run.optimizer, cfg, epoch + step / data.steps)
        run.optimizer.zero_grad(set_to_none=True)
        due = run.save_is_due()
        sums = backward(run.model, x, y, n, cfg, exact, run.device, run.energy, run.recorded, chain_in(cfg, epoch))
        loss, due = _add(run, sums, due)
        if not math.isfinite(loss):
            with run.ranks.together():
                raise UserError(
                    f"{run.folder}: the loss is {loss} in epoch {epoch + 1}; start again with a smaller lr (--set"
                    " lr=...)"
                )
        run.update()
        waited += wait
        share = waited / max(time.time() - began, 1e-9)
        show(run.tally, share)
        if due and step + 1 < data.steps:
            run.save_within(step + 1)
    return share


def _add(run, sums, due):
    """Adds a batch, the sums of all processes, to the tally. Returns its loss, and whether the first process says that
    a save is due.
    """
    numbers = torch.tensor([*sums, float(due and run.ranks.first)], dtype=torch.float64)
    loss, hits, kept, rate, due = run.ranks.add(numbers).tolist()
    tally = run.tally
    tally.losses.append(loss)
    tally.hits, tally.kept, tally.rate = tally.hits + int(hits), kept, rate
    return loss, bool(due)


def chain_in(cfg: Config, epoch: int) -> int:
    """Recordings that stand one after the other in a stream in an epoch: `cfg.chain` after half of the float phase."""
    return cfg.chain if epoch >= cfg.float_epochs / 2 else 1


def passes(
    model: SmolMamba,
    x: tuple[torch.Tensor, torch.Tensor],
    y: torch.Tensor,
    exact: bool,
    cfg: Config,
    weight: float = 1.0,
    energy: Energy | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Forward and backward pass on the device: adds the gradients of the samples' mean loss times `weight`, the energy
    term included. The streams of x may hold several samples each.

    Returns tensors (that loss without the energy term, right predictions).
    """
    logits = precision.forward(model, x, exact, cfg.amp, len(y) // len(x[1]))
    loss = F.cross_entropy(logits, y, label_smoothing=cfg.label_smoothing) * weight
    whole = loss + energy.term(model, len(y)) * weight if energy else loss
    whole.backward()
    model.activity = {name: spikes.detach() for name, spikes in model.activity.items()}
    return loss.detach(), (logits.detach().argmax(1) == y).sum()


def backward(
    model: SmolMamba,
    x: Stream,
    y: torch.Tensor,
    n: int,
    cfg: Config,
    exact: bool,
    device: Any,
    energy: Energy | None = None,
    recorded: Any = None,
    chain: int = 1,
) -> np.ndarray:
    """Adds to the gradients those of samples (x a `Stream`, y [b]) of a batch of `n`, whose loss is the batch's mean,
    in `cfg.accumulate` parts.

    Args:
        energy: `Energy` or None. recorded: `train.run.graphs.Recorded`, for batches of the usual size, in one piece.
        chain: samples to lay one after the other in a stream, where that goes into the number of samples.

    Returns these samples' share of the batch's [loss, hits, share of tokens sent, spike rate]."""
    sums = np.zeros(4)
    for rows in np.array_split(np.arange(len(y)), cfg.accumulate):
        part = slice(rows[0], rows[-1] + 1)
        xs, ys, weight = chained(to_device(x[part], device), chain), y[part].to(device), len(rows) / n
        if recorded and len(rows) == n == cfg.batch:
            loss, hits = recorded(xs, ys, exact)
        else:
            loss, hits = passes(model, xs, ys, exact, cfg, weight, energy)
        rate = torch.stack([layer.rate for layer in model.layers()]).mean()
        kept = (xs[1] >= 0).float().mean() * model.n_places / model.n_tokens
        sums += [float(loss), int(hits), float(kept) * weight, float(rate) * weight]
    return sums


def chained(x: tuple[torch.Tensor, torch.Tensor], chain: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`chain` samples after one another in a stream, (tokens [B, C, K], which [B, K]) -> ([B/chain, C, chain*K], ..);
    as they are where `chain` does not divide their number.
    """
    tokens, which = x
    if chain == 1 or len(which) % chain:
        return x
    rows = tokens.transpose(1, 2)  # as they lie in memory
    return rows.reshape(len(rows) // chain, -1, rows.shape[2]).transpose(1, 2), which.reshape(len(which) // chain, -1)

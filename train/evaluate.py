"""Accuracy: of a model on token spikes, and of a run folder's model on a data set."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import events
from events import token_streams
from sim.base.errors import UserError
from sim.base.statistics import wilson
from sim.prices import COUNTS, Table

from . import checkpoint
from .data.batches import to_device
from .distributed import ALONE, Ranks
from .sparse import cost


@torch.no_grad()
def predict(model: nn.Module, x: Any, exact: bool, batch: int = 64, device: Any = "cpu") -> torch.Tensor:
    """Class scores for streams: a `sim.net.tokens.Stream`, or `events.TokenStreams`."""
    model.eval()
    parts = (to_device(x[i : i + batch], device) for i in range(0, len(x), batch))
    return torch.cat([model(*part, exact=exact).cpu() for part in parts])


def accuracy(
    model: nn.Module, x: Any, y: np.ndarray, exact: bool, batch: int = 64, device: Any = "cpu", ranks: Ranks = ALONE
) -> float:
    """Share of right predictions; with several processes of all of them, each with its own samples (one may have none)."""  # noqa: E501
    hits = int((predict(model, x, exact, batch, device).argmax(1) == y).sum()) if len(y) else 0  # pyright: ignore[reportAttributeAccessIssue]
    hits, n = ranks.add(torch.tensor([hits, len(y)])).tolist()
    return hits / n


@torch.no_grad()
def accuracy_and_energy(
    model: nn.Module,
    x: Any,
    y: np.ndarray,
    exact: bool,
    table: Table,
    batch: int = 64,
    device: Any = "cpu",
    ranks: Ranks = ALONE,
) -> tuple[float, float]:
    """(share of right predictions, microjoules of a sample by `table`, as `train.sparse.cost` counts them), of the
    samples of all processes; one may have none.
    """
    model.eval()
    sums = dict.fromkeys(("hits", "samples", *COUNTS), 0.0)
    for i in range(0, len(y), batch):
        labels = y[i : i + batch]
        logits = model(*to_device(x[i : i + batch], device), exact=exact)
        sums["hits"] += int((logits.argmax(1).cpu() == labels).sum())
        sums["samples"] += len(labels)
        for name, value in cost.counts(model, len(labels), exact).items():  # pyright: ignore[reportArgumentType]
            sums[name] += value * len(labels)
    hits, n, *counted = ranks.add(torch.tensor(list(sums.values()), dtype=torch.float64)).tolist()
    return hits / n, cost.microjoules(table, {name: value / n for name, value in zip(COUNTS, counted)})


def evaluate(
    run_dir: str | Path, dataset: str, split: str, data_root: str | Path | None = None, skip_bad: bool = False
) -> dict:
    """Accuracy of a run folder's `model.pt` on one part of a data set: in the chip's integers, and with rounding
    switched off.

    Returns dict(model, dataset, split, n, skipped, float={value, interval, hits}, integer={...}), the intervals
    Wilson's of 95 %; integer is None for a model of the float phase, which has no integers yet. Raises `UserError`: no
    model, or one of other classes."""
    path = Path(run_dir, "model.pt")
    if not path.exists():
        raise UserError(f"{path}: no such file; train first (without --epochs 0), or name another run with --name")
    model, content = checkpoint.load(path)
    part = events.load(dataset, split, data_root, skip_bad)
    if list(part.classes) != list(content["classes"]):
        raise UserError(
            f"data set {dataset!r} has classes {', '.join(part.classes)}; the model was trained on"
            f" {', '.join(content['classes'])}"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    x, y = token_streams(part, model.encoder), torch.from_numpy(part.labels)
    out = {
        "model": str(path),
        "dataset": dataset,
        "split": split,
        "n": len(part),
        "skipped": list(part.skipped),
        "float": None,
        "integer": None,
    }
    for name, exact in (("float", False), ("integer", True)):
        if model.folded or not exact:
            hits = int((predict(model, x, exact, device=device).argmax(1) == y).sum())
            out[name] = {"value": hits / len(part), "interval": wilson(hits, len(part)), "hits": hits}
    return out

"""The training loop, from top to bottom.

Two phases. First float: norms, dynamics without rounding. Then the norms are folded, synapses are removed where that is
asked for, and the rest of the epochs run the chip's integers forward (quantization-aware, straight-through backward).
After each epoch, and on request every few minutes, a complete state is written; a killed run goes on from there with
the same numbers. Started by torchrun, several processes share every batch (`train.distributed`)."""

import os
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import events
from events import token_streams
from events.recordings import Recordings
from sim.base import locks
from sim.base.errors import UserError
from sim.base.signals import say_when_ended

from .. import distributed
from ..config import Config
from ..data.batches import batches, chunks
from ..distributed import Ranks
from ..dynamics import set_threads
from ..evaluate import accuracy_and_energy
from ..sparse.fold import reestimate_norms
from .epoch import chain_in, train_epoch
from .state import open_run

SHOW_BATCHES = 20  # at least so many, spread over the training set, for norms that only serve to show an accuracy


@dataclass(frozen=True)
class Options:
    """How a run is made, without an influence on its numbers; see `train`."""

    resume: bool
    loaders: int
    save_minutes: float | None
    tensorboard: bool
    graph: bool


def train(
    cfg: Config,
    run_dir: str | Path,
    data_root: str | Path | None = None,
    resume: bool = True,
    quiet: bool = False,
    threads: int | None = None,
    loaders: int | None = None,
    save_minutes: float | None = None,
    tensorboard: bool = False,
    skip_bad: bool = False,
    graph: bool = True,
) -> dict:
    """Trains a model as `cfg` says and writes `model.pt` (the best on validation, `train.sparse.cost.rank`),
    `float.pt`, `last.pt` and the log into `run_dir`.

    Args:
        loaders: threads that prepare batches; default: two beside a CPU that computes, all cores of a process whose GPU
            does.
        save_minutes: write `last.pt` also within an epoch, so often. tensorboard: log for it, too.
        skip_bad: leave out recordings whose files are broken. graph: record steps as a CUDA graph, where they can be
            (`train.run.graphs`).

    Returns the facts that are stored with the model. Raises `UserError` for missing data, a run folder of another
    configuration or in which another process trains, an energy that no net can reach, or a batch that a GPU cannot
    hold."""
    with distributed.ranks() as ranks:
        torch.set_flush_denormal(True)
        cores = max(1, (os.cpu_count() or 1) // ranks.local_size)
        set_threads(threads or cores)
        loaders = loaders or (2 if ranks.device == "cpu" else min(cores, 16))
        console = Console(stderr=True, quiet=quiet or not ranks.first)
        with ranks.together():
            train_set, val_set = (events.load(cfg.dataset, split, data_root, skip_bad) for split in ("train", "val"))
            _check_batch(cfg, len(train_set), ranks)
        try:
            with _alone(run_dir, ranks):
                data = prepare(cfg, train_set, val_set, ranks, loaders, skip_bad)
                return _train(
                    cfg, Path(run_dir), data, ranks, console, Options(resume, loaders, save_minutes, tensorboard, graph)
                )
        except torch.cuda.OutOfMemoryError:
            raise UserError(
                f"the GPU's memory does not hold a batch of {cfg.batch} in {cfg.accumulate}"
                f" part{'s' * (cfg.accumulate > 1)}; start again with --accumulate {2 * cfg.accumulate} --fresh, which"
                " leaves the optimiser's steps as they are, or with a smaller batch"
            ) from None


@contextmanager
def _alone(run_dir, ranks):
    """No other training is in the folder meanwhile; the processes of one run are one training."""
    with ExitStack() as stack:
        with ranks.together():
            if ranks.first:
                stack.enter_context(locks.held(run_dir, "trains", "wait for it, or take another --name"))
        yield


def _check_batch(cfg, n_train, ranks):
    least = ranks.size * cfg.accumulate
    if min(cfg.batch, n_train) < least:
        raise UserError(
            f"a batch of {min(cfg.batch, n_train)} is smaller than {ranks.size} processes times accumulate"
            f" {cfg.accumulate}; take a larger batch (--set batch={least})"
        )


@dataclass(frozen=True, eq=False)
class Data:
    """What a process trains and validates on.

    Attributes:
        classes: names. n_train, n_val: recordings, of all processes. skipped: a line for each that was left out.
        x_train: streams of this process's share, `sizes[i]` of them for batch i. x_val, y_val: its share.
        batches(epoch, first): see `train.data.batches`. steps: batches of an epoch.
    """

    encoder: events.Encoder
    classes: tuple
    n_train: int
    n_val: int
    skip_bad: bool
    skipped: tuple
    x_train: object
    sizes: list
    x_val: object
    y_val: torch.Tensor
    batches: object

    @property
    def steps(self) -> int:
        return len(self.sizes)


def prepare(
    cfg: Config, train_set: Recordings, val_set: Recordings, ranks: Ranks, loaders: int | None, skip_bad: bool
) -> Data:
    """Streams of both parts: the first process writes the cache, if there is one, that the others then read."""
    encoder = cfg.make_encoder()
    parts = [ranks.share(part) for part in chunks(range(len(train_set)), cfg.batch, ranks.size * cfg.accumulate)]
    mine = ranks.share(np.arange(len(val_set)))
    with ranks.together():
        if ranks.first:
            x_all, x_val = (token_streams(part, encoder) for part in (train_set, val_set))
    with ranks.together():
        if not ranks.first:
            x_all, x_val = (token_streams(part, encoder, progress=False) for part in (train_set, val_set))
    return Data(
        encoder,
        train_set.classes,
        len(train_set),
        len(val_set),
        skip_bad,
        (*train_set.skipped, *val_set.skipped),
        x_all.only([i for part in parts for i in part]),
        [len(part) for part in parts],
        x_val.only(mine),
        torch.from_numpy(val_set.labels[mine]),
        lambda epoch, first: batches(
            train_set, encoder, cfg, epoch, ranks, first, loaders, x_all, chain_in(cfg, epoch)
        ),
    )


def _train(cfg, folder, data, ranks, console, options):
    for line in data.skipped:
        console.print(f"left out: {line}", highlight=False, markup=False)
    run = open_run(cfg, folder, data, ranks, options, console)
    say_when_ended(run.words)
    total = cfg.float_epochs + cfg.exact_epochs
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        done = run.state["epoch"] * data.steps + run.state["step"]
        bar = progress.add_task("training", total=total * data.steps, completed=done, state="")
        for epoch in run.epochs():
            began, phase = time.time(), "integer" if epoch >= cfg.float_epochs else "float"

            def show(tally, waited, text=f"epoch {epoch + 1}/{total} {phase}"):
                state = f"loss {tally.loss:.3f} kept {tally.kept:.2f} rate {tally.rate:.3f} wait {waited:.0%}"
                progress.update(bar, advance=1, description=text, state=state)

            run.begin(epoch, data.x_train)
            waited = train_epoch(run, epoch, data, show)
            row = _row(run, epoch, phase, data) | {"wait": round(waited, 3)}
            run.facts["seconds"] += time.time() - began
            row["seconds"] = round(time.time() - began, 2)
            progress.console.print(_line(row), highlight=False, soft_wrap=True)
            run.end(epoch, row)
    return run.close()


def _row(run, epoch, phase, data):
    """What the log says of an epoch, less its time: accuracy and energy are of validation data."""
    cfg, exact = run.cfg, phase == "integer"
    if not exact:  # all batches for the model that is kept, some for the accuracy that is shown
        every = 1 if epoch + 1 == cfg.float_epochs else max(1, len(data.sizes) // SHOW_BATCHES)
        run.rates = reestimate_norms(run.model, data.x_train, data.sizes, run.device, every)
    val, uj = accuracy_and_energy(run.model, data.x_val, data.y_val, exact, run.table, cfg.batch, run.device, run.ranks)
    run.ranks.check_same(run.model)
    return {
        "epoch": epoch + 1,
        "phase": phase,
        "loss": run.tally.loss,
        "train": run.tally.hits / data.n_train,
        "val": val,
        "uj": round(uj, 3),
        "factor": run.state["factor"],
        "kept": run.tally.kept,
        "rate": run.tally.rate,
    }


def _line(row):
    return (
        f"epoch {row['epoch']:3d} {row['phase']:7s} loss {row['loss']:.3f} train {row['train']:.3f} val"
        f" {row['val']:.3f} energy {row['uj']:.1f} uJ kept {row['kept']:.2f} rate {row['rate']:.3f}"
        f" {row['seconds']:.1f} s, wait {row['wait']:.0%}"
    )

"""The training loop, from top to bottom.

Two phases. First float: norms, dynamics without rounding; SST-TP by top-k, from `gate_from` on by fixed gates
calibrated after each epoch. Then
the norms are folded, and the rest of the epochs run the chip's integers forward (quantization-aware, straight-through
backward). After each epoch, and on request every few minutes, a complete state is written; a killed run goes on from
there with the same numbers. Started by torchrun, several processes share every batch (`train.distributed`)."""

import math
import os
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn import functional as F

import events
from events import token_streams
from sim.base import files
from sim.base.errors import UserError

from . import checkpoint, distributed, precision, pruning
from .data import batches, chunks, to_stream
from .distributed import ALONE
from .dynamics import set_threads
from .evaluate import accuracy
from .graphs import Recorded
from .logs import Log
from .model import SmolMamba

SHOW_BATCHES = 20  # at least so many, spread over the training set, for norms that only serve to show an accuracy


@dataclass
class Tally:
    """What an epoch has seen so far, of all processes together; `histograms` (gate -> counts, see `pruning`) of this
    one.
    """

    losses: list = field(default_factory=list)
    hits: int = 0
    kept: float = 1.0
    rate: float = 0.0
    histograms: dict = field(default_factory=dict)


def train(
    cfg,
    run_dir,
    data_root=None,
    resume=True,
    quiet=False,
    threads=None,
    loaders=None,
    save_minutes=None,
    tensorboard=False,
    skip_bad=False,
    graph=True,
):
    """Trains a model as `cfg` says and writes `model.pt` (best on validation), `float.pt`, `last.pt` and the log into
    `run_dir`.

    Args:
        loaders: threads that prepare batches; default: two beside a CPU that computes, all cores of a process whose GPU
            does.
        save_minutes: write `last.pt` also within an epoch, so often. tensorboard: log for it, too.
        skip_bad: leave out recordings whose files are broken. graph: record steps as a CUDA graph, where they can be
            (`train.graphs`).

    Returns the facts that are stored with the model. Raises `UserError` for missing data, a run folder of another
    configuration, or a batch that a GPU cannot hold."""
    with distributed.ranks() as ranks:
        run_dir, device = Path(run_dir), ranks.device
        torch.set_flush_denormal(True)
        cores = max(1, os.cpu_count() // ranks.local_size)
        set_threads(threads or cores)
        loaders = loaders or (2 if device == "cpu" else min(cores, 16))
        console = Console(stderr=True, quiet=quiet or not ranks.first)
        with ranks.together():
            sets = [events.load(cfg.dataset, split, data_root, skip_bad) for split in ("train", "val")]
            _check_batch(cfg, len(sets[0]), ranks)
        try:
            return _train(
                cfg, run_dir, *sets, ranks, device, console, resume, loaders, save_minutes, tensorboard, skip_bad, graph
            )
        except torch.cuda.OutOfMemoryError:
            raise UserError(
                f"the GPU's memory does not hold a batch of {cfg.batch} in {cfg.accumulate}"
                f" part{'s' * (cfg.accumulate > 1)}; start again with --accumulate {2 * cfg.accumulate} --fresh, which"
                " leaves the optimiser's steps as they are, or with a smaller batch"
            ) from None


def _check_batch(cfg, n_train, ranks):
    least = ranks.size * cfg.accumulate
    if min(cfg.batch, n_train) < least:
        raise UserError(
            f"a batch of {min(cfg.batch, n_train)} is smaller than {ranks.size} processes times accumulate"
            f" {cfg.accumulate}; take a larger batch (--set batch={least})"
        )


def _train(  # noqa: C901
    cfg,
    run_dir,
    train_set,
    val_set,
    ranks,
    device,
    console,
    resume,
    loaders,
    save_minutes,
    tensorboard,
    skip_bad,
    graph,
):
    encoder = events.Encoder(**cfg.encoder)
    parts = [ranks.share(part) for part in chunks(range(len(train_set)), cfg.batch, ranks.size * cfg.accumulate)]
    sizes = [len(part) for part in parts]
    mine = ranks.share(np.arange(len(val_set)))
    with ranks.together():
        if ranks.first:  # writes the cache, if there is one, that the others then read
            x_train, x_val = (token_streams(part, encoder) for part in (train_set, val_set))
    with ranks.together():
        if not ranks.first:
            x_train, x_val = (token_streams(part, encoder, progress=False) for part in (train_set, val_set))
    x_all, x_train, x_val, y_val = (
        x_train,
        x_train.only([i for part in parts for i in part]),
        x_val.only(mine),
        torch.from_numpy(val_set.labels[mine]),
    )
    for line in (*train_set.skipped, *val_set.skipped):
        console.print(f"left out: {line}", highlight=False, markup=False)
    last, total, steps = run_dir / "last.pt", cfg.float_epochs + cfg.exact_epochs, len(parts)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        torch.manual_seed(cfg.seed)
        model = SmolMamba(cfg, encoder, len(train_set.classes)).to(device)
        facts = {
            "dataset": cfg.dataset,
            "seed": cfg.seed,
            "n_train": len(train_set),
            "n_val": len(val_set),
            "device": torch.device(device).type,
            "processes": ranks.size,
            "parameters": sum(p.numel() for p in model.parameters()),
            "best_val": -1.0,
            "best_epoch": -1,
            "seconds": 0.0,
        }
        if skip_bad:
            facts["skipped"] = len(train_set.skipped) + len(val_set.skipped)
        optimizer, tally, state = None, Tally(), {"epoch": 0, "step": 0, "stale": 0}
        content = ranks.from_first(lambda: _open(run_dir, last, cfg, resume, console))
        if content:
            facts = content["facts"] | {key: facts[key] for key in ("device", "processes")}
            state = {"step": 0, "stale": 0} | content["loop"]
            model.load_state_dict(content["model"])
            for layer in model.layers():
                layer.train_what_counts()
        if ranks.size > 1:
            distributed.share_norms(model)
        if content:
            optimizer = _optimizer(model, cfg.lr, cfg.weight_decay)
            optimizer.load_state_dict(state.pop("optimizer"))
            tally = Tally(**state.pop("tally", {}))
            if not ranks.first:  # counts of all processes, which the first takes on
                tally.histograms = {}
        with ranks.together():
            log = Log(run_dir, state["epoch"], tensorboard) if ranks.first else None
        precision.prepare(device, cfg.amp, console)
        recorded = Recorded(model, partial(passes, cfg=cfg)) if graph and device != "cpu" and ranks.size == 1 else None

        def save(name, **more):
            if ranks.first:
                checkpoint.save(run_dir / name, model, train_set.classes, facts, **more)

        saved = time.monotonic()
        bar = progress.add_task(
            "training", total=total * steps, completed=state["epoch"] * steps + state["step"], state=""
        )
        for epoch in range(state["epoch"], total if "stopped_early" not in facts else 0):
            began, waited = time.time(), 0.0
            exact = epoch >= cfg.float_epochs
            if exact and not model.folded:
                to_integers(model, x_train, cfg, device, ranks)
                optimizer = None
            if optimizer is None:
                optimizer = _optimizer(model, cfg.exact_lr if exact else cfg.lr, cfg.weight_decay)
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            model.train()
            first, state["step"] = state["step"], 0
            for step, (x, y, n, wait) in enumerate(
                batches(train_set, encoder, cfg, epoch, ranks, first, loaders, x_all), first
            ):
                _set_lr(optimizer, cfg, epoch + step / steps)
                optimizer.zero_grad(set_to_none=True)
                due = save_minutes is not None and time.monotonic() - saved >= 60 * save_minutes
                sums = backward(model, x, y, n, cfg, exact, device, tally.histograms, recorded)
                loss, hits, tally.kept, tally.rate, due = ranks.add(
                    torch.tensor([*sums, float(due and ranks.first)], dtype=torch.float64)
                ).tolist()
                if not math.isfinite(loss):
                    with ranks.together():
                        raise UserError(
                            f"{run_dir}: the loss is {loss} in epoch {epoch + 1}; start again with a smaller lr (--set"
                            " lr=...)"
                        )
                ranks.add_gradients(parameters)
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                tally.losses.append(loss)
                tally.hits += int(hits)
                waited += wait
                share = waited / max(time.time() - began, 1e-9)
                progress.update(
                    bar,
                    advance=1,
                    description=f"epoch {epoch + 1}/{total} {'integer' if exact else 'float'}",
                    state=(
                        f"loss {np.mean(tally.losses):.3f} kept {tally.kept:.2f} rate {tally.rate:.3f} wait {share:.0%}"
                    ),
                )
                if due and step + 1 < steps:
                    _add_histograms(tally.histograms, ranks)
                    save(
                        "last.pt",
                        loop=state | {"step": step + 1, "optimizer": optimizer.state_dict(), "tally": asdict(tally)},
                    )
                    if not ranks.first:  # what the first process has in hand now is everyone's
                        tally.histograms = {}
                    saved = time.monotonic()
            if (
                cfg.gate_from * cfg.float_epochs <= epoch + 1 <= cfg.float_epochs + cfg.exact_epochs // 2
            ):  # then the thresholds hold still
                _add_histograms(tally.histograms, ranks)
                _calibrate(model, tally.histograms, cfg)
            if not exact:  # all batches for the model that is kept, some for the accuracy that is shown
                reestimate_norms(
                    model,
                    x_train,
                    sizes,
                    device,
                    1 if epoch + 1 == cfg.float_epochs else max(1, len(sizes) // SHOW_BATCHES),
                )
            val = accuracy(model, x_val, y_val, exact, cfg.batch, device, ranks)
            ranks.check_same(model)
            facts["seconds"] += time.time() - began
            row = {
                "epoch": epoch + 1,
                "phase": "integer" if exact else "float",
                "loss": float(np.mean(tally.losses)),
                "train": tally.hits / len(train_set),
                "val": val,
                "kept": tally.kept,
                "rate": tally.rate,
                "wait": round(share, 3),
                "seconds": round(time.time() - began, 2),
            }
            if log:
                log.add(row)
            progress.console.print(
                f"epoch {epoch + 1:3d} {row['phase']:7s} loss {row['loss']:.3f} train {row['train']:.3f} val {val:.3f} "
                f"kept {tally.kept:.2f} rate {tally.rate:.3f} {row['seconds']:.1f} s, wait {row['wait']:.0%}",
                highlight=False,
                soft_wrap=True,
            )
            if epoch + 1 == cfg.float_epochs:
                facts["float_val"] = val
                save("float.pt")
            if exact:
                state["stale"] = 0 if val > facts["best_val"] else state["stale"] + 1
            if exact and val >= facts["best_val"]:
                facts |= {"best_val": val, "best_epoch": epoch + 1, "kept": tally.kept}
                save("model.pt")
            if exact and cfg.patience and state["stale"] >= cfg.patience:
                facts["stopped_early"] = epoch + 1
            state["epoch"], tally = epoch + 1, Tally()
            save("last.pt", loop=state | {"optimizer": optimizer.state_dict()})
            saved = time.monotonic()
            if "stopped_early" in facts:
                break
    if facts["best_epoch"] < 0:  # no integer epoch: the float model, which export folds and calibrates
        save("model.pt")
    elif "stopped_early" in facts and ranks.first:
        best, _ = checkpoint.load(run_dir / "model.pt")
        checkpoint.save(run_dir / "model.pt", best, train_set.classes, facts)
    return facts


def passes(model, x, y, exact, cfg, weight=1.0):
    """Forward and backward pass on the device: adds the gradients of the samples' mean loss times `weight`. Returns
    tensors (that loss, right predictions).
    """
    logits = precision.forward(model, x, exact, cfg.amp)
    loss = F.cross_entropy(logits, y, label_smoothing=cfg.label_smoothing) * weight
    loss.backward()
    return loss.detach(), (logits.detach().argmax(1) == y).sum()


def backward(model, x, y, n, cfg, exact, device, histograms, recorded=None):
    """Adds to the gradients those of samples (x uint8 [b, K, C], y [b]) of a batch of `n`, whose loss is the batch's
    mean, in `cfg.accumulate` parts.
    recorded: `train.graphs.Recorded`, for batches of the usual size, that are in one piece.

    Adds the gates' counts to `histograms`. Returns these samples' share of the batch's [loss, hits, kept share, spike
    rate]."""
    sums = np.zeros(4)
    for rows in np.array_split(np.arange(len(y)), cfg.accumulate):
        xs, ys, weight = (
            to_stream(x[rows[0] : rows[-1] + 1], device),
            y[rows[0] : rows[-1] + 1].to(device),
            len(rows) / n,
        )
        loss, hits = (
            recorded(xs, ys, exact)
            if recorded and len(rows) == n == cfg.batch
            else passes(model, xs, ys, exact, cfg, weight)
        )
        rate = torch.stack([layer.rate for layer in model.layers()]).mean()
        sums += [float(loss), int(hits), _kept(model) * weight, float(rate) * weight]
        _count(model, histograms)
    return sums


def _kept(model):
    return float(torch.stack(list(model.kept.values())).mean()) if model.kept else 1.0


def _count(model, histograms, block=None):
    """Adds the spike counts at the gates in the last call of the model (at those of one block) to `histograms`, {"tower
    block": int64 tensor}.
    """
    for (tower, b), spikes in model.gate_inputs.items():
        if block in (None, b):
            c = pruning.counts(spikes, model.n_tokens)
            whole = histograms.setdefault(
                f"{tower} {b}", torch.zeros(spikes.shape[1] * model.n_frames + 1, dtype=torch.int64)
            )
            part = pruning.histogram(c).cpu()
            whole[: len(part)] += part


def _add_histograms(histograms, ranks):
    for name in sorted(histograms):
        ranks.add(histograms[name])


def _calibrate(model, histograms, cfg):
    for name, histogram in histograms.items():
        tower, block = name.split()
        model.set_threshold(tower, int(block), pruning.calibrate(histogram, cfg.keep[int(block)]))


def _open(run_dir, last, cfg, resume, console):
    """The state to go on from, or None; makes the folder and removes what a killed run has left half written."""
    run_dir.mkdir(parents=True, exist_ok=True)
    files.remove_unfinished(run_dir)
    if not (resume and last.exists()):
        return None
    model, content = checkpoint.load(last)
    changed = [k for k, v in cfg.to_dict().items() if model.cfg.to_dict()[k] != v]
    if changed:
        raise UserError(
            f"{run_dir}: holds a run with another configuration ({', '.join(changed)} differ); take another --name or"
            " delete the folder"
        )
    if "loop" not in content:
        raise UserError(f"{last}: holds a model but no state of a training run; delete it or train with --fresh")
    step = content["loop"].get("step", 0)
    console.print(f"going on from epoch {content['loop']['epoch']}{f' and step {step}' if step else ''} of {last}")
    return content


def _optimizer(model, lr, weight_decay):
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


def _set_lr(optimizer, cfg, epoch):
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


@torch.no_grad()
def reestimate_norms(model, x, sizes, device, every=1):
    """Statistics of the norms over the whole training set, or over one batch in `every`: lagging averages are far off
    in a net of binary activations.

    x: this process's samples, `sizes[i]` of them for batch i.
    """
    norms = [layer.norm for layer in model.layers()]
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    starts = np.cumsum([0, *sizes])
    for i in range(0, len(sizes), every):
        model(to_stream(x[starts[i] : starts[i + 1]], device))
    for norm in norms:
        norm.momentum = 0.1
    model.eval()


@torch.no_grad()
def to_integers(model, x, cfg, device, ranks=ALONE):
    """Folds the norms, then sets the gates' thresholds on the training set, block after block: a gate sees what the
    earlier gates leave.

    x: token spikes uint8 [n, K, C], this process's share of the set.
    """
    model.eval()
    model.fold()
    for block in range(cfg.blocks if pruning.has_gate(cfg) else 0):
        histograms = {}
        for i in range(0, len(x), cfg.batch):
            model(to_stream(x[i : i + cfg.batch], device), exact=True)
            _count(model, histograms, block)
        _add_histograms(histograms, ranks)
        _calibrate(model, histograms, cfg)


def to_chip(model, data_root=None):
    """Folds a float model and sets its gates on the training set.

    A model of the integer phase stays as it is: whether it was one is returned.
    """
    ready = model.folded and (not pruning.has_gate(model.cfg) or bool((model.thresholds > 0).all()))
    if not ready:
        to_integers(
            model,
            token_streams(events.load(model.cfg.dataset, "train", data_root), model.encoder, progress=False),
            model.cfg,
            "cpu",
        )
    return ready

"""`python -m train spikformer`: trains the spiking transformer on the data, augmentation, batches and number of epochs
of a SmolMamba preset.

Example: `python -m train spikformer --dataset digits --preset tiny`.
"""

import contextlib
import dataclasses
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import events
from sim.base import locks
from sim.base.command import run_command
from sim.base.console import data_root_option, print_json
from sim.base.errors import UserError

from ..config import PRESETS, Config, preset

VERSION = 2


def whole(cfg: Config) -> Config:
    """The configuration with streams of all tokens in reading order, which the transformer takes."""
    return dataclasses.replace(cfg, scan="forward", share=1.0, pruner="count", leak=0, least=0)


def train(
    cfg: Config,
    run_dir: str | Path,
    data_root: str | Path | None = None,
    quiet: bool = False,
    threads: int | None = None,
    limit: int | None = None,
) -> dict:
    """Trains a `Spikformer` of as many parameters as the `SmolMamba` of `cfg` and writes `spikformer.pt` and
    `log.jsonl` into `run_dir`.

    Kept is the best epoch on validation (`train.sparse.cost.rank`) among the last `cfg.exact_epochs` (those among which
    SmolMamba's integer phase chooses), or the last one. With `cfg.energy_uj` or `cfg.energy_factor` the loss has the
    same energy term, and its factor is steered in the same way (`train.sparse.cost`), by the convention of 45 nm
    (`train.studies.literature`), since no table prices its operations on the chip.
    `cfg.amp`: the matrix products of training in bfloat16; validation is float32 throughout.
    limit: only the first so many recordings of each part. Returns the facts that are stored with the model.
    """
    import torch
    from rich.console import Console

    from ..dynamics import set_threads

    run_dir = Path(run_dir)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    set_threads(threads or os.cpu_count() or 1)
    console = Console(stderr=True, quiet=quiet)
    sets = [_first(events.load(cfg.dataset, split, data_root), limit) for split in ("train", "val")]
    model, sizes, facts = _model(cfg, sets, device)
    with (
        locks.held(run_dir, "trains", "wait for it, or take another --name"),
        open(run_dir / "log.jsonl", "w") as log,
    ):
        for row in _epochs(whole(cfg), model, sets, facts, run_dir, device, console):
            log.write(json.dumps(row) + "\n")
            log.flush()
            if facts["best_epoch"] == row["epoch"]:
                save(run_dir / "spikformer.pt", model, sizes, whole(cfg), sets[0].classes, facts)
    return facts


def _model(cfg, sets, device):
    """(model, its sizes, facts): as many parameters as the SmolMamba of `cfg`."""
    import torch

    from ..model.smolmamba import SmolMamba
    from .spikformer import Spikformer, parameters, sizes_for

    classes = sets[0].classes
    torch.manual_seed(cfg.seed)
    target = parameters(SmolMamba(cfg, cfg.make_encoder(), len(classes)))
    given = given_sizes(whole(cfg), classes)
    sizes = sizes_for(target, **given)
    torch.manual_seed(cfg.seed)
    model = Spikformer(**given, **sizes).to(device)
    facts = {
        "dataset": cfg.dataset,
        "seed": cfg.seed,
        "n_train": len(sets[0]),
        "n_val": len(sets[1]),
        "device": device,
        "parameters": parameters(model),
        "smolmamba_parameters": target,
        **sizes,
        "best_val": -1.0,
        "best_epoch": -1,
        "uj": None,
        "seconds": 0.0,
    }
    return model, sizes, facts


def _epochs(cfg, model, sets, facts, run_dir, device, console):
    """Trains, and yields a row of the log after each epoch; `facts` then say whether it is the best so far."""
    import torch
    from rich.progress import track

    from ..data.augment import is_off
    from ..run.optimizer import adamw
    from ..sparse import cost

    encoder = cfg.make_encoder()
    x_train = events.token_streams(sets[0], encoder, progress=False) if is_off(cfg) else None
    x_val, y_val = events.token_streams(sets[1], encoder, progress=False), torch.from_numpy(sets[1].labels)
    total, factor = cfg.float_epochs + cfg.exact_epochs, cost.first_factor(cfg)
    optimizer = adamw(model, cfg.lr, cfg.weight_decay)
    for epoch in track(range(total), "training", console=console):
        began = time.time()
        loss = _epoch(cfg, model, optimizer, epoch, factor, (sets[0], encoder, x_train), run_dir, device)
        val, uj = accuracy_and_energy(model, x_val, y_val, cfg.batch, device)  # pyright: ignore[reportArgumentType]
        facts["seconds"] += time.time() - began
        best = cost.rank(facts["best_val"], facts["uj"], cfg) if facts["best_epoch"] >= 0 else (-1,)
        if epoch + 1 >= min(total, cfg.float_epochs + 1) and cost.rank(val, uj, cfg) >= best:
            facts |= {"best_val": val, "best_epoch": epoch + 1, "uj": uj}
        row = {"epoch": epoch + 1, "loss": loss, "val": val, "uj": uj, "factor": factor}
        row["seconds"] = round(time.time() - began, 2)
        console.print(
            f"epoch {epoch + 1:3d} loss {loss:.3f} val {val:.3f} energy {uj:.2f} uJ {row['seconds']:.1f} s",
            highlight=False,
        )
        factor = cost.steer(factor, uj, cfg)
        yield row


def _epoch(cfg, model, optimizer, epoch, factor, data, run_dir, device):
    """The mean loss of one epoch, without the energy term. data: (recordings, encoder, streams or None)."""
    import torch
    from torch.nn import functional as F

    from ..data.batches import batches, to_device
    from ..run.optimizer import set_lr
    from .spikformer import counting, microjoules

    recordings, encoder, streams = data
    total, steps, losses = cfg.float_epochs + cfg.exact_epochs, math.ceil(len(recordings) / cfg.batch), []
    one_phase = dataclasses.replace(cfg, float_epochs=total, exact_epochs=0)
    model.train()
    for step, (x, y, _, _) in enumerate(batches(recordings, encoder, cfg, epoch, streams=streams)):
        set_lr(optimizer, one_phase, epoch + step / steps)
        tokens = to_device(x, device)[0]
        with (
            torch.autocast(tokens.device.type, torch.bfloat16, enabled=cfg.amp),
            counting(model) if factor else contextlib.nullcontext([]) as found,
        ):
            scores = model(tokens)
        loss = F.cross_entropy(scores.float(), y.to(device), label_smoothing=cfg.label_smoothing)
        if not torch.isfinite(loss):
            raise UserError(
                f"{run_dir}: the loss is {float(loss.detach())} in epoch {epoch + 1}; start again with a smaller lr"
                " (--set lr=...)"
            )
        optimizer.zero_grad(set_to_none=True)
        (loss + factor * microjoules(found, len(y)) if factor else loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return sum(losses) / len(losses)


def _first(recordings, limit):
    return (
        recordings
        if limit is None
        else dataclasses.replace(
            recordings,
            events=recordings.events[:limit],
            labels=recordings.labels[:limit],
            names=recordings.names[:limit],
        )
    )


def given_sizes(cfg: Config, classes: Sequence[str]) -> dict:
    """The sizes of a `Spikformer` that follow from the configuration."""
    encoder = cfg.make_encoder()
    return dict(
        channels=encoder.channels,
        tokens=encoder.tokens,
        frames=encoder.frames,
        classes=len(classes),
        stem=cfg.stem,
        blocks=cfg.blocks,
    )


def accuracy_and_energy(model: Any, x: Any, y: np.ndarray, batch: int = 64, device: Any = "cpu") -> tuple[float, float]:
    """(share of right predictions, microjoules of a sample by the convention of 45 nm) on streams of all tokens."""
    import torch

    from ..data.batches import to_device
    from .spikformer import counting, microjoules

    model.eval()
    hits, uj = 0, 0.0
    with torch.no_grad():
        for i in range(0, len(y), batch):
            with counting(model) as found:
                scores = model(to_device(x[i : i + batch], device)[0]).cpu()
            hits += int((scores.argmax(1) == y[i : i + batch]).sum())
            uj += float(microjoules(found, 1))
    return hits / len(y), uj / len(y)


def accuracy(model: Any, x: Any, y: np.ndarray, batch: int = 64, device: Any = "cpu") -> float:
    """Share of right predictions on streams of all tokens."""
    return accuracy_and_energy(model, x, y, batch, device)[0]


def save(path: str | Path, model: Any, sizes: dict, cfg: Config, classes: Sequence[str], facts: dict) -> None:
    """Writes a checkpoint of plain tensors and JSON values. sizes: of `sizes_for`."""
    from .. import checkpoint

    content = {
        "spikformer": VERSION,
        "sizes": sizes,
        "config": cfg.to_dict(),
        "classes": list(classes),
        "facts": facts,
        "model": model.state_dict(),
    }
    checkpoint.write(path, content)


def load(path: str | Path) -> tuple | None:
    """(model, config, content) of a checkpoint that `save` wrote, or None for another file.

    Raises `UserError` for one of another version, or broken.
    """
    from .. import checkpoint
    from ..checkpoint import schema
    from .spikformer import Spikformer

    content = checkpoint.read(path)
    if not isinstance(content, dict) or "spikformer" not in content:
        return None
    if content["spikformer"] != VERSION:
        raise UserError(
            f"{path}: spiking transformer of version {content['spikformer']}, this program reads version {VERSION};"
            " train again"
        )
    unfit = f"{path}: a spiking transformer whose entries do not fit, train again"
    try:
        cfg, sizes = Config.from_dict(content["config"]), {k: content["sizes"][k] for k in ("width", "hidden")}
        if not all(type(n) is int and 1 <= n <= 65536 for n in sizes.values()):
            raise TypeError(f"sizes {sizes}")
        sizes |= given_sizes(cfg, content["classes"])
    except (KeyError, TypeError, UserError) as e:
        raise UserError(f"{unfit} ({e})") from None
    model = Spikformer(**sizes)
    try:
        schema.require(isinstance(content.get("model"), dict), "no weights")
        schema.check_facts(content.get("facts"))
        schema.check_state(content["model"], model)
        model.load_state_dict(content["model"])
    except (UserError, KeyError, TypeError, RuntimeError, AttributeError) as e:
        raise UserError(f"{unfit} ({str(e).splitlines()[0][:120]})") from None
    return model.eval(), cfg, content


@click.command(epilog="Example: python -m train spikformer --dataset digits --preset tiny")
@click.option("--dataset", default="digits", show_default=True, help="Name in the data registry.")
@click.option(
    "--preset",
    "preset_name",
    default="tiny",
    show_default=True,
    help=f"The SmolMamba to compare with: one of {', '.join(PRESETS)}.",
)
@data_root_option
@click.option("--name", default=None, help="Run folder under runs/; default: DATASET-PRESET-spikformer.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of weights, order and augmentation.")
@click.option(
    "--energy-uj",
    type=float,
    default=None,
    help="Microjoules a sample, by the convention of 45 nm, that training steers to; 0: no target.",
)
@click.option("--amp", is_flag=True, help="Mixed precision in training: matrix products in bfloat16.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Changes an entry of the configuration (lr, float_epochs, ...); VALUE is JSON. May be repeated.",
)
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the first so many recordings of each part.")
@click.option("--threads", type=int, default=None, help="Threads; default: the number of cores.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts of the run as JSON.")
def main(
    dataset: str,
    preset_name: str,
    data_root: str | None,
    name: str | None,
    seed: int,
    energy_uj: float | None,
    amp: bool,
    changes: tuple[str, ...],
    limit: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Train a spiking transformer with as many parameters as the preset's SmolMamba, on the same data, augmentation,
    batches and epochs.

    Writes runs/NAME/spikformer.pt; a run that was cut off starts anew.
    """
    from ..__main__ import _changes, _config

    values = {"seed": seed} | ({"amp": True} if amp else {}) | ({} if energy_uj is None else {"energy_uj": energy_uj})
    cfg = _config(preset(preset_name, dataset=dataset), _changes(changes), values, None, dataset, data_root)
    run_dir = f"runs/{name or f'{dataset}-{preset_name}-spikformer'}"
    facts = train(cfg, run_dir, data_root, threads=threads, limit=limit)
    if as_json:
        print_json(facts | {"run": run_dir})
    else:
        print(
            f"{run_dir}/spikformer.pt: validation accuracy {facts['best_val']:.3f} (epoch {facts['best_epoch']}),"
            f" {facts['uj']:.2f} uJ a sample at 45 nm, {facts['parameters']} parameters"
            f" (SmolMamba {facts['smolmamba_parameters']})"
        )


if __name__ == "__main__":
    run_command(main)

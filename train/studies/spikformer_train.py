"""`python -m train spikformer`: trains the spiking transformer on the data, augmentation, batches and number of epochs
of a SmolMamba preset.

Example: `python -m train spikformer --dataset digits --preset tiny`.
"""

import dataclasses
import json
import math
import os
import time
from pathlib import Path

import click

from sim.base.console import data_root_option, print_json
from sim.base.errors import UserError, run_command

from ..config import PRESETS, Config, preset

VERSION = 1


def train(cfg, run_dir, data_root=None, quiet=False, threads=None, limit=None):
    """Trains a `Spikformer` of as many parameters as the `SmolMamba` of `cfg` and writes `spikformer.pt` and
    `log.jsonl` into `run_dir`.

    Kept is the best epoch on validation among the last `cfg.exact_epochs` (those among which SmolMamba's integer phase
    chooses), or the last one.
    limit: only the first so many recordings of each part. Returns the facts that are stored with the model.
    """
    import torch
    from rich.console import Console
    from rich.progress import track
    from torch.nn import functional as F

    import events

    from ..augment import is_off
    from ..data import batches, to_stream
    from ..dynamics import set_threads
    from ..loop import _optimizer, _set_lr
    from ..model import SmolMamba
    from .spikformer import Spikformer, parameters, sizes_for

    run_dir = Path(run_dir)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    set_threads(threads or os.cpu_count())
    console = Console(stderr=True, quiet=quiet)
    train_set, val_set = (_first(events.load(cfg.dataset, split, data_root), limit) for split in ("train", "val"))
    encoder = events.Encoder(**cfg.encoder)
    x_val, y_val = events.token_streams(val_set, encoder, progress=False), torch.from_numpy(val_set.labels)
    x_train = events.token_streams(train_set, encoder, progress=False) if is_off(cfg) else None

    torch.manual_seed(cfg.seed)
    target = parameters(SmolMamba(cfg, encoder, len(train_set.classes)))
    sizes = sizes_for(target, **given_sizes(cfg, encoder, train_set.classes))
    torch.manual_seed(cfg.seed)
    model = Spikformer(**given_sizes(cfg, encoder, train_set.classes), **sizes).to(device)
    facts = {
        "dataset": cfg.dataset,
        "seed": cfg.seed,
        "n_train": len(train_set),
        "n_val": len(val_set),
        "device": device,
        "parameters": parameters(model),
        "smolmamba_parameters": target,
        **sizes,
        "best_val": -1.0,
        "best_epoch": -1,
        "seconds": 0.0,
    }
    total, steps = cfg.float_epochs + cfg.exact_epochs, math.ceil(len(train_set) / cfg.batch)
    one_phase = dataclasses.replace(cfg, float_epochs=total, exact_epochs=0)
    optimizer = _optimizer(model, cfg.lr, cfg.weight_decay)
    run_dir.mkdir(parents=True, exist_ok=True)
    with open(run_dir / "log.jsonl", "w") as log:
        for epoch in track(range(total), "training", console=console):
            began, losses = time.time(), []
            model.train()
            for step, (x, y, *_) in enumerate(batches(train_set, encoder, cfg, epoch, streams=x_train)):
                _set_lr(optimizer, one_phase, epoch + step / steps)
                loss = F.cross_entropy(model(to_stream(x, device)), y.to(device), label_smoothing=cfg.label_smoothing)
                if not torch.isfinite(loss):
                    raise UserError(
                        f"{run_dir}: the loss is {float(loss.detach())} in epoch {epoch + 1}; start again with a"
                        " smaller lr (--set lr=...)"
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                losses.append(float(loss.detach()))
            val = accuracy(model, x_val, y_val, cfg.batch, device)
            facts["seconds"] += time.time() - began
            row = {
                "epoch": epoch + 1,
                "loss": sum(losses) / len(losses),
                "val": val,
                "seconds": round(time.time() - began, 2),
            }
            log.write(json.dumps(row) + "\n")
            log.flush()
            console.print(
                f"epoch {epoch + 1:3d} loss {row['loss']:.3f} val {val:.3f} {row['seconds']:.1f} s", highlight=False
            )
            if epoch + 1 >= min(total, cfg.float_epochs + 1) and val >= facts["best_val"]:
                facts |= {"best_val": val, "best_epoch": epoch + 1}
                save(run_dir / "spikformer.pt", model, sizes, cfg, train_set.classes, facts)
    return facts


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


def given_sizes(cfg, encoder, classes):
    """The sizes of a `Spikformer` that follow from the configuration."""
    return dict(
        channels=encoder.channels,
        tokens=encoder.tokens,
        frames=encoder.frames,
        classes=len(classes),
        stem=cfg.stem,
        blocks=cfg.blocks,
    )


def accuracy(model, x, y, batch=64, device="cpu"):
    """Share of right predictions on token spikes uint8 [n, K, C]."""
    import torch

    from ..data import to_stream

    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(to_stream(x[i : i + batch], device)).cpu() for i in range(0, len(x), batch)])
    return float((logits.argmax(1) == y).double().mean())


def save(path, model, sizes, cfg, classes, facts):
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


def load(path):
    """(model, config, content) of a checkpoint that `save` wrote, or None for another file.

    Raises `UserError` for one of another version, or broken.
    """
    import torch

    from events import Encoder

    from .spikformer import Spikformer

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        return None
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
        sizes |= given_sizes(cfg, Encoder(**cfg.encoder), content["classes"])
    except (KeyError, TypeError, UserError) as e:
        raise UserError(f"{unfit} ({e})") from None
    model = Spikformer(**sizes)
    try:
        model.load_state_dict(content["model"])
    except (KeyError, TypeError, RuntimeError, AttributeError) as e:
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
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Changes an entry of the configuration (lr, float_epochs, ...); VALUE is JSON. May be repeated.",
)
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the first so many recordings of each part.")
@click.option("--threads", type=int, default=None, help="Threads; default: the number of cores.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts of the run as JSON.")
def main(dataset, preset_name, data_root, name, seed, changes, limit, threads, as_json):
    """Train a spiking transformer with as many parameters as the preset's SmolMamba, on the same data, augmentation,
    batches and epochs.

    Writes runs/NAME/spikformer.pt; a run that was cut off starts anew.
    """
    import events

    from ..__main__ import _changes

    values = {"encoder": events.default_encoder(dataset, data_root).settings()} | _changes(changes) | {"seed": seed}
    cfg = Config.from_dict(preset(preset_name, dataset=dataset).to_dict() | values)
    run_dir = f"runs/{name or f'{dataset}-{preset_name}-spikformer'}"
    facts = train(cfg, run_dir, data_root, threads=threads, limit=limit)
    if as_json:
        print_json(facts | {"run": run_dir})
    else:
        print(
            f"{run_dir}/spikformer.pt: validation accuracy {facts['best_val']:.3f} (epoch {facts['best_epoch']}),"
            f" {facts['parameters']} parameters (SmolMamba {facts['smolmamba_parameters']})"
        )


if __name__ == "__main__":
    run_command(main)

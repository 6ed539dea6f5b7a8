"""`python -m train energy`: operations and energy of models on real samples, as the literature counts them. Example:
`python -m train energy runs/digits-tiny/model.pt`.
"""

from pathlib import Path

import click

from sim.base.command import run_command
from sim.base.console import add_row, data_root_option, new_table, print_json, show
from sim.base.errors import UserError

from ..config import Config


def energy(path: str | Path, split: str = "val", data_root: str | Path | None = None, limit: int | None = None) -> dict:
    """dict(model, kind, dataset, split, n, parameters, accuracy, parts, total) of a checkpoint of SmolMamba or of the
    spiking transformer.

    `parts` and `total` hold, per sample, spikes, synops (None for the transformer), acs, macs, nanojoule. A SmolMamba
    is counted as the chip's integers."""
    import torch

    import events

    from .. import checkpoint
    from ..evaluate import accuracy
    from ..sparse.fold import to_chip
    from . import spikformer_train
    from .literature import operations

    other = spikformer_train.load(path)
    model, content = (other[0], other[2]) if other else checkpoint.load(path)
    cfg: Config = other[1] if other else model.cfg  # pyright: ignore[reportAssignmentType]
    encoder = cfg.make_encoder()
    recordings = events.load(cfg.dataset, split, data_root)
    if list(recordings.classes) != list(content["classes"]):
        raise UserError(
            f"{path}: trained on the classes {', '.join(map(str, content['classes']))}; data set {cfg.dataset!r} has"
            f" {', '.join(recordings.classes)}"
        )
    if not other:
        to_chip(model, data_root)
    y = torch.from_numpy(recordings.labels[:limit])
    x = events.token_streams(recordings, encoder, progress=False).only(range(len(y)))
    right = spikformer_train.accuracy(model, x, y) if other else accuracy(model, x, y, exact=True)  # pyright: ignore[reportArgumentType]
    return {
        "model": str(path),
        "kind": "spikformer" if other else "smolmamba",
        "dataset": cfg.dataset,
        "split": split,
        "n": len(x),
        "parameters": sum(p.numel() for p in model.parameters()),
        "accuracy": right,
        **per_sample(operations(model, x), len(x)),
    }


def per_sample(parts: list, n: int) -> dict:
    """dict(parts=[...], total={...}) of `literature.operations` over `n` samples."""
    rows = [{"part": p.name, "neurons": p.neurons, **_numbers([p], n)} for p in parts]
    return {"parts": rows, "total": {"neurons": sum(p.neurons for p in parts), **_numbers(parts, n)}}


def _numbers(parts, n):
    synops = [p.synops for p in parts]
    return {
        "spikes": sum(p.spikes for p in parts) / n,
        "synops": None if None in synops else sum(synops) / n,
        "acs": sum(p.acs for p in parts) / n,
        "macs": sum(p.macs for p in parts) / n,
        "nanojoule": sum(p.picojoule for p in parts) / n / 1e3,
    }


@click.command(
    epilog="Example: python -m train energy runs/digits-tiny/model.pt runs/digits-tiny-spikformer/spikformer.pt"
)
@click.argument("models", nargs=-1, required=True)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="The samples whose spikes are counted.",
)
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the first so many of them.")
@data_root_option
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def main(models: tuple[str, ...], split: str, limit: int | None, data_root: str | None, as_json: bool) -> None:
    """Count the operations of MODELS (checkpoints of SmolMamba or of the spiking transformer) on real samples: per part
    and sample, additions (AC, 0.9 pJ) and multiplications (MAC, 4.6 pJ), as the literature counts at 45 nm. An estimate
    by convention, not of a chip: see docs/ablations.md."""
    reports = [energy(path, split, data_root, limit) for path in models]
    if as_json:
        print_json(reports)
        return
    for report in reports:
        table = new_table(
            f"{report['model']}: {report['n']} samples of {report['dataset']} ({report['split']}),"
            f" {report['parameters']:,} parameters, accuracy {report['accuracy']:.4f}; per sample",
            "part",
            *COLUMNS,
        )
        for row in report["parts"] + [{"part": "total", **report["total"]}]:
            add_row(
                table,
                row["part"],
                *("" if row[c] is None else f"{row[c]:,.{1 if c == 'nanojoule' else 0}f}" for c in COLUMNS),
            )
        show(table)


COLUMNS = ("neurons", "spikes", "synops", "acs", "macs", "nanojoule")

if __name__ == "__main__":
    run_command(main)

"""`python -m train ablate`: what each part of the net is worth. Example: `python -m train ablate --dataset digits
--seeds 5`.

Runs that several groups share (the configuration as it stands, the net without pruning) are made once; see
`train.studies.runs`."""

from pathlib import Path
from typing import Any

import click

import events
from sim.base.command import run_command
from sim.base.console import data_root_option, note, print_json
from sim.base.errors import UserError

from ..config import PRESETS, Config, preset
from . import runs, tables

SHARES = (0.8, 0.6, 0.4, 0.2)
SPARSITIES = (0.0, 0.3, 0.5, 0.7)
LEAKS = (0, 64, 128, 256)
CHAINS = (1, 2, 4)
TARGETS = (0.6, 0.8, 1.25)  # of the energy that the configuration asks for
EVERY_TOKEN = {"share": 1.0, "pruner": "count", "leak": 0, "least": 0}


def variants(cfg: Config) -> dict:
    """Group -> {label: (folder, entries of the configuration that differ from `cfg`)}. Equal folders are one run."""
    own = ("default", {})

    def each(name, values, text=str):
        return {text(v): own if getattr(cfg, name) == v else (f"{name}-{text(v)}", {name: v}) for v in values}

    groups = {
        "default": {"as it stands": own},
        "pruner": {"none": ("pruner-none", EVERY_TOKEN), **_pruners(cfg, own)},
        "share": {"1": ("pruner-none", EVERY_TOKEN), **each("share", SHARES)},
        "leak": each("leak", LEAKS),
        "scan": each("scan", ("forward", "alternate", "cross", "twin")),
        "state": each("state", ("sample", "frame")),
        "gate": each("gate", ("read", "none")),
        "frames": {
            "x 1/2": ("frames-half", {"encoder": frames(cfg.encoder, 0.5)}),
            "x 1": own,
            "x 2": ("frames-double", {"encoder": frames(cfg.encoder, 2)}),
        },
        "chain": each("chain", CHAINS),
        "sparsity": each("sparsity", SPARSITIES),
    }
    if cfg.energy_uj:
        targets = {f"{f:g} x": (f"energy-{f:g}", {"energy_uj": f * cfg.energy_uj}) for f in TARGETS}
        groups["energy"] = {"off": ("energy-off", {"energy_uj": 0.0, "energy_factor": 0.0}), "1 x": own, **targets}
    return groups


def _pruners(cfg, own):
    """What the host keeps a token for: a hash, its first event alone, its count, and both."""
    kinds = {
        "random": {"pruner": "random"},
        "latency": {"pruner": "latency"},
        "count": {"pruner": "count", "early": 0},
        "count+latency": {"pruner": "count", "early": cfg.early or 4},
    }
    here = {"pruner": cfg.pruner, "early": cfg.early}
    return {name: own if here | kind == here else (f"pruner-{name}", kind) for name, kind in kinds.items()}


def frames(encoder: dict, factor: float) -> dict:
    """An encoder's entries with `factor` times the frames, each so much shorter (in time, or in events) that all of
    them together stay as long.
    """
    n = max(1, round(encoder["frames"] * factor))
    return (
        encoder
        | {"frames": n}
        | {k: max(1, round(encoder["frames"] * encoder[k] / n)) for k in ("frame_us", "frame_events") if encoder.get(k)}
    )


def picture(path: str | Path, summaries: list[dict]) -> None:
    """Accuracy against synaptic operations: the curve over shares of tokens, and the pruners."""

    def of(group):
        return [s for s in summaries if s["group"] == group and (group, s["variant"]) != ("pruner", "none")]

    series = {
        "share of tokens": ("o-", True, of("share")),
        "pruner": ("s", True, of("pruner")),
        "default": ("*", False, of("default")),
    }
    tables.picture(path, series, "synops", 1e-3, "synaptic operations per sample, thousands")


@click.command(epilog="Example: python -m train ablate --dataset digits --seeds 5 --only pruner,share")
@click.option("--dataset", default="digits", show_default=True, help="Name in the data registry.")
@click.option(
    "--preset",
    "preset_name",
    default="tiny",
    show_default=True,
    help=f"What all variants start from: one of {', '.join(PRESETS)}.",
)
@data_root_option
@click.option("--seeds", default="3", show_default=True, help="How many (5: 1 to 5), a range (4-6) or a list (1,3).")
@click.option(
    "--only",
    default=None,
    help="Groups, with commas: default, pruner, share, leak, scan, state, gate, frames, chain, sparsity, and energy"
    " where there is a target. Default: all.",
)
@click.option("--float-epochs", type=click.IntRange(0), default=None, help="Default: the preset's.")
@click.option("--exact-epochs", type=click.IntRange(0), default=None, help="Default: the preset's.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Changes an entry of the shared configuration; VALUE is JSON. May be repeated.",
)
@click.option("--out", default=None, help="Folder of the runs and tables; default: runs/ablate-DATASET.")
@click.option("--table", "table_only", is_flag=True, help="Train nothing; write the tables of what is finished.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Torch and kernel threads.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def main(
    dataset: str,
    preset_name: str,
    data_root: str | None,
    seeds: Any,
    only: str | None,
    float_epochs: int | None,
    exact_epochs: int | None,
    changes: tuple[str, ...],
    out: Any,
    table_only: bool,
    threads: int,
    as_json: bool,
) -> None:
    """Train the net without, or with another kind of, each of its parts, over several seeds, and write OUT/table.md,
    runs.csv, ablate.json and accuracy.png.

    Numbers are of validation data. Finished runs are kept, a run that was cut off goes on. Processes that are given the
    same OUT share the work."""
    from ..__main__ import _changes, _config

    values = {k: v for k, v in (("float_epochs", float_epochs), ("exact_epochs", exact_epochs)) if v is not None}
    cfg = _config(preset(preset_name, dataset=dataset), _changes(changes), values, None, dataset, data_root)
    groups, seeds = _groups(cfg, only), runs.parse_seeds(seeds)
    out = Path(out or f"runs/ablate-{dataset}")
    events.load(dataset, "val", data_root)  # before the folder is made
    runs.claim(out, cfg)
    busy = 0 if table_only else runs.work(runs.jobs_of(out, cfg, groups, seeds), data_root, threads)
    rows = runs.collect(out, cfg, groups, seeds)
    if not rows:
        raise UserError(
            f"{out}: no run of these groups and seeds is finished{', others are in progress' if busy else ''}"
        )
    default = runs.collect(out, cfg, {"default": variants(cfg)["default"]}, seeds)
    summaries = tables.write(out, rows, cfg, "ablate", next(iter(default), None))
    picture(out / "accuracy.png", summaries)
    if as_json:
        print_json({"out": str(out), "in_progress": busy, "rows": summaries})
    else:
        print(tables.markdown(summaries, cfg))
        print(f"wrote {out}/table.md, runs.csv, ablate.json and, of the groups share, pruner and default, accuracy.png")
    if busy:
        note(
            f"{busy} runs are in progress in another process and are not in the table; run again with --table when it"
            " is done"
        )


def _groups(cfg, only):
    """The groups of variants that are asked for.

    Raises:
        UserError: one that there is not; a configuration that sends every token, or has no epochs.
    """
    if cfg.share == 1:
        raise UserError(
            "configuration: share is 1; the ablation compares pruners, so the shared configuration must prune"
        )
    if cfg.float_epochs + cfg.exact_epochs == 0:
        raise UserError("configuration: no epochs; take --float-epochs of at least 1")
    groups = variants(cfg)
    wanted = [g.strip() for g in only.split(",")] if only else list(groups)
    unknown = [g for g in wanted if g not in groups]
    if unknown:
        raise UserError(f"--only: unknown group {', '.join(map(repr, unknown))}; there are {', '.join(groups)}")
    return {g: groups[g] for g in wanted}


if __name__ == "__main__":
    run_command(main)

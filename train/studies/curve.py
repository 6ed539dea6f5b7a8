"""`python -m train curve`: accuracy against energy, from a run for each target. Example: `python -m train curve
--dataset digits --targets 6,8,12,0`.

A target is what a sample may cost the integer net on validation data (`energy_uj` of the configuration); 0 is a net
that is trained without one. Runs, their resumption and the sharing of work: `train.studies.runs`."""

from pathlib import Path
from typing import Any

import click

import events
from sim.base.command import run_command
from sim.base.console import data_root_option, note, print_json
from sim.base.errors import UserError

from ..config import PRESETS, preset
from . import runs, tables

TARGETS = {"digits": "5,7,10,15,0", "nmnist": "20,30,45,80,0", "gestures": "80,110,150,250,0"}


def variants(targets: list[float]) -> dict:
    """The one group of runs, see `train.studies.runs.jobs_of`."""
    labels = {f"{t:g} uJ" if t else "no target": (f"uj-{t:g}" if t else "uj-off", {"energy_uj": t}) for t in targets}
    return {"target": labels}


def parse_targets(text: str) -> list:
    """'5,7.5,0' -> microjoules, the lowest first, 0 (none) last; `UserError` for anything else."""
    try:
        targets = sorted({float(part) for part in text.split(",") if part.strip()}, key=lambda t: (t == 0, t))
    except ValueError:
        targets = []
    if not targets or not all(0 <= t < 1e9 for t in targets):
        raise UserError(f"--targets {text}: expected microjoules with commas, such as 20,30,45,0 (0: no target)")
    return targets


@click.command(epilog="Example: python -m train curve --dataset digits --targets 6,8,12,0 --seeds 3")
@click.option("--dataset", default="digits", show_default=True, help="Name in the data registry.")
@click.option(
    "--preset",
    "preset_name",
    default="tiny",
    show_default=True,
    help=f"The net: one of {', '.join(PRESETS)}.",
)
@data_root_option
@click.option("--targets", default=None, help="Microjoules a sample, with commas; 0: no target. Default: by data set.")
@click.option("--seeds", default="1", show_default=True, help="How many (5: 1 to 5), a range (4-6) or a list (1,3).")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Changes an entry of the shared configuration; VALUE is JSON. May be repeated.",
)
@click.option("--out", default=None, help="Folder of the runs, table and picture; default: runs/curve-DATASET.")
@click.option("--table", "table_only", is_flag=True, help="Train nothing; write the table of what is finished.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Torch and kernel threads.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def main(
    dataset: str,
    preset_name: str,
    data_root: str | None,
    targets: str,
    seeds: Any,
    changes: tuple[str, ...],
    out: Any,
    table_only: bool,
    threads: int,
    as_json: bool,
) -> None:
    """Train a net for each energy target and write accuracy against energy: OUT/table.md, runs.csv, curve.json and
    curve.png.

    Numbers are of validation data. Finished runs are kept, a run that was cut off goes on. Processes that are given the
    same OUT share the work.
    """
    from ..__main__ import _changes, _config

    cfg = _config(preset(preset_name, dataset=dataset), _changes(changes), {"energy_uj": 0.0}, None, dataset, data_root)
    groups, seeds = variants(parse_targets(targets or TARGETS.get(dataset, TARGETS["nmnist"]))), runs.parse_seeds(seeds)
    out = Path(out or f"runs/curve-{dataset}")
    events.load(dataset, "val", data_root)  # before the folder is made
    runs.claim(out, cfg)
    busy = 0 if table_only else runs.work(runs.jobs_of(out, cfg, groups, seeds), data_root, threads)
    rows = runs.collect(out, cfg, groups, seeds)
    if not rows:
        raise UserError(
            f"{out}: no run of these targets and seeds is finished{', others are in progress' if busy else ''}"
        )
    summaries = tables.write(out, rows, cfg, "curve")
    tables.picture(
        out / "curve.png", {dataset: ("o-", True, summaries)}, "uj", 1, f"microjoules per sample, by {cfg.prices}"
    )
    if as_json:
        print_json({"out": str(out), "in_progress": busy, "rows": summaries})
    else:
        print(tables.markdown(summaries, cfg))
        print(f"wrote {out}/table.md, runs.csv, curve.json and curve.png")
    if busy:
        note(f"{busy} runs are in progress in another process; run again with --table when it is done")


if __name__ == "__main__":
    run_command(main)

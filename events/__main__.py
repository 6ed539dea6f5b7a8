"""`python -m events`: the data sets there are, and the generator of synthetic gestures."""

import os

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sim.errors import UserError, run_command

from . import gestures as twin
from .registry import DATASETS


@click.group()
def main():
    """Event recordings."""


@main.command("list")
def list_():
    """The data sets by name, and where their files are expected below DATA_ROOT."""
    table = Table("name", "what", "files")
    for entry in DATASETS.values():
        table.add_row(entry.name, entry.what, entry.where)
    Console().print(table)


@main.command(epilog="Example: python -m events gestures --out data/gestures --clips 1000 --seed 1 --preview preview.png")
@click.option("--out", default="data/gestures", show_default=True, help="Folder to write; `gestures` is looked for in DATA_ROOT/gestures.")
@click.option("--clips", type=click.IntRange(twin.SMALLEST), default=1000, show_default=True, help="How many; about 2.2 MB each.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="The same seed makes the same clips.")
@click.option("--workers", type=click.IntRange(1), default=None, help="Threads; default: the number of cores.")
@click.option("--preview", default=None, help="Also write a PNG picture of one clip a class to this file.")
def gestures(out, clips, seed, workers, preview):
    """Generate synthetic gestures in the layout of DVS128 Gesture. Interrupted and started again, it makes what is missing."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"clips to {out}", total=clips)
        twin.write(out, clips, seed, workers, lambda: progress.advance(task))
    print(f"{out}: {clips} clips of seed {seed}")
    if preview:
        _picture(preview, twin.preview(seed))
        print(f"{preview}: one row a class, one column each 120 ms; ON red, OFF blue")


def _picture(path, pixels):
    from matplotlib.image import imsave

    unfinished = f"{path}.part"
    try:
        imsave(unfinished, pixels, format="png")
        os.replace(unfinished, path)
    except OSError as e:
        raise UserError(f"cannot write {path!r}: {e.strerror or e}; choose another file") from None


if __name__ == "__main__":
    run_command(main)

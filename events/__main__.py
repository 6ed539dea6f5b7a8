"""`python -m events`: the data sets there are, a check of one's files, and the generator of synthetic gestures."""

import itertools
import sys
import time

import click

from sim.base import files
from sim.base.console import add_row, bar, data_root_option, new_table, print_json, show
from sim.base.errors import run_command

from . import commands
from .cache import token_streams
from .gestures import generate as twin
from .registry import DATASETS, SPLITS, default_encoder, load


@click.group()
def main():
    """Event recordings."""


main.add_command(commands.info)


@main.command("list")
def list_():
    """The data sets by name, and where their files are expected below DATA_ROOT."""
    table = new_table(None, "name", "what", "files", left=3)
    for entry in DATASETS.values():
        add_row(table, entry.name, entry.what, entry.where)
    show(table)


@main.command(epilog="Example: python -m events check --dataset nmnist --data-root data")
@click.option("--dataset", default="folder", show_default=True, help="Name in the data registry.")
@data_root_option
@click.option(
    "--samples", type=click.IntRange(1), default=512, show_default=True, help="Recordings of each part that are timed."
)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def check(dataset, data_root, samples, as_json):
    """Read every file of a data set, keep its frames (see docs/data.md), and say what is there, what is broken, and how
    fast it is read.

    Exit code 1 if a file is broken."""
    encoder = default_encoder(dataset, data_root)
    facts = {"dataset": dataset, "encoder": encoder.settings(), "parts": {}}
    for split in SPLITS:
        recordings = load(dataset, split, data_root, skip_bad=True)
        streams = token_streams(recordings, encoder)
        chosen = [i * len(recordings) // min(samples, len(recordings)) for i in range(min(samples, len(recordings)))]
        from_files = _rate(chosen, lambda part: encoder.encode_all([recordings.events[i] for i in part]))  # noqa: B023
        from_cache = _rate(chosen, lambda part: streams[part])  # noqa: B023
        facts["parts"][split] = {
            "recordings": len(recordings),
            "broken": list(recordings.skipped),
            "files_per_s": from_files,
            "cache_per_s": from_cache,
        }
    facts |= {"classes": list(recordings.classes), "sensor": [recordings.width, recordings.height]}
    broken = [line for part in facts["parts"].values() for line in part["broken"]]
    if as_json:
        print_json(facts)
    else:
        table = new_table(
            f"{dataset}: {len(facts['classes'])} classes, sensor {recordings.width} x {recordings.height}",
            "part",
            "recordings",
            "broken",
            "token streams/s from files",
            "from the cache",
        )
        for split, part in facts["parts"].items():
            add_row(
                table,
                split,
                f"{part['recordings']:,}",
                str(len(part["broken"])),
                f"{part['files_per_s']:,.0f}",
                f"{part['cache_per_s']:,.0f}",
            )
        show(table)
        print("\n".join(f"broken: {line}" for line in broken) or "no file is broken")
    sys.exit(1 if broken else 0)


def _rate(chosen, make, batch=32):
    """Recordings per second."""
    begin = time.perf_counter()
    for i in range(0, len(chosen), batch):
        make(chosen[i : i + batch])
    return len(chosen) / (time.perf_counter() - begin)


@main.command(
    epilog="Example: python -m events gestures --out data/gestures --clips 1000 --seed 1 --preview preview.png"
)
@click.option(
    "--out",
    default="data/gestures",
    show_default=True,
    help="Folder to write; `gestures` is looked for in DATA_ROOT/gestures.",
)
@click.option(
    "--clips", type=click.IntRange(twin.SMALLEST), default=1000, show_default=True, help="How many; about 2.2 MB each."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=1,
    show_default=True,
    help="The same seed makes the same clips.",
)
@click.option("--workers", type=click.IntRange(1), default=None, help="Threads; default: the number of cores.")
@click.option("--preview", default=None, help="Also write a PNG picture of one clip a class to this file.")
def gestures(out, clips, seed, workers, preview):
    """Generate synthetic gestures in the layout of DVS128 Gesture.

    Interrupted and started again, it makes what is missing.
    """
    done = itertools.count(1)
    with bar(f"clips to {out}", clips) as progress:
        twin.write(out, clips, seed, workers, lambda: progress(next(done)))
    print(f"{out}: {clips} clips of seed {seed}")
    if preview:
        _picture(preview, twin.preview(seed))
        print(f"{preview}: one row a class, one column each 120 ms; ON red, OFF blue")


def _picture(path, pixels):
    from matplotlib.image import imsave

    files.fill(path, lambda file: imsave(file, pixels, format="png"))


if __name__ == "__main__":
    run_command(main)

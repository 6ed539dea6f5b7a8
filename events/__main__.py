"""`python -m events`: the data sets there are, a check of one's files, and the generator of synthetic gestures."""

import sim.base.start  # noqa: F401  # isort: skip

import itertools
import sys
import time

import click
import numpy as np

from sim.base import files
from sim.base.command import run_command
from sim.base.console import add_row, bar, data_root_option, new_table, print_json, say, show

from . import cache, commands
from .cache import token_streams
from .gestures import generate as twin
from .registry import DATASETS, SPLITS, default_encoder, load, with_clips


@click.group()
def main() -> None:
    """Event recordings."""


main.add_command(commands.info)
main.add_command(commands.import_)
main.add_command(commands.show_)


@main.command("list")
def list_() -> None:
    """The data sets by name, and where their files are expected below DATA_ROOT."""
    table = new_table(None, "name", "what", "files", left=3)
    for entry in DATASETS.values():
        add_row(table, entry.name, entry.what, entry.where)
    show(table)


@main.command(epilog="Example: python -m events check --dataset nmnist --data-root data")
@click.option("--dataset", default="folder", show_default=True, help="Name in the data registry.")
@data_root_option
@commands.clip_options
@click.option(
    "--samples", type=click.IntRange(1), default=512, show_default=True, help="Recordings of each part that are timed."
)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def check(
    dataset: str, data_root: str, clip_ms: float | None, stride_ms: float | None, samples: int, as_json: bool
) -> None:
    """Read every file of a data set, keep its frames (see docs/data.md), and say what is there, what is broken, and how
    fast it is read.

    Exit code 1 if a file is broken."""
    dataset = with_clips(dataset, clip_ms, stride_ms)
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
            **_lengths(recordings),
            "broken": list(recordings.skipped),
            "files_per_s": from_files,
            "cache_per_s": from_cache,
        }
    facts |= {"classes": list(recordings.classes), "sensor": [recordings.width, recordings.height]}
    broken = [line for part in facts["parts"].values() for line in part["broken"]]
    if as_json:
        print_json(facts)
    else:
        _show_check(facts, recordings)
        for line in broken or ["no file is broken"]:
            say(f"broken: {line}" if broken else line)
    sys.exit(1 if broken else 0)


def _three(row):
    return isinstance(row, list) and len(row) == 3 and all(type(x) is int and abs(x) < 2**62 for x in row)


def _lengths(recordings):
    """What is in some recordings, of which each is read once and for all: events, on, off, seconds (all of them), the
    mean length, events a second, and microseconds to a unit of time."""

    def look(i):
        events = recordings.events[i]
        if events.dtype.names is None:  # a picture
            return [0, 0, 0]
        return [len(events), int(events["p"].sum()), int(events["t"][-1] - events["t"][0])]

    def sound(value):
        return isinstance(value, list) and len(value) == len(recordings) and all(map(_three, value))

    table = np.array(cache.remembered(recordings, "facts", lambda: list(cache.each(recordings, "facts", look)), sound))
    n, on, span = table.reshape(-1, 3).sum(0).tolist()
    unit = getattr(getattr(recordings.events, "read", None), "unit_us", None)
    return {
        "events": n,
        "on": on,
        "off": n - on,
        "span_us": span,
        "mean_ms": span / max(len(table), 1) / 1000,
        "events_per_s": n / max(span / 1e6, 1e-6),
        "time_unit_us": "as the format has it" if unit is None else unit,
    }


def _show_check(facts, recordings):
    table = new_table(
        f"{facts['dataset']}: {len(facts['classes'])} classes, sensor {recordings.width} x {recordings.height}",
        "part",
        "recordings",
        "broken",
        "mean length",
        "events",
        "events/s",
        "token streams/s from files",
        "from the cache",
    )
    for split, part in facts["parts"].items():
        add_row(
            table,
            split,
            f"{part['recordings']:,}",
            str(len(part["broken"])),
            f"{part['mean_ms']:,.1f} ms",
            f"{part['events']:,}",
            f"{part['events_per_s']:,.0f}",
            f"{part['files_per_s']:,.0f}",
            f"{part['cache_per_s']:,.0f}",
        )
    show(table)
    unit = next(iter(facts["parts"].values()))["time_unit_us"]
    say(f"a unit of time: {unit if isinstance(unit, str) else f'{unit:g} us'}")


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
def gestures(out: str, clips: int, seed: int, workers: int | None, preview: str | None) -> None:
    """Generate synthetic gestures in the layout of DVS128 Gesture.

    Interrupted and started again, it makes what is missing.
    """
    done = itertools.count(1)
    with bar(f"clips to {out}", clips) as progress:
        twin.write(out, clips, seed, workers, lambda: progress(next(done)))
    say(f"{out}: {clips} clips of seed {seed}")
    if preview:
        _picture(preview, twin.preview(seed))
        say(f"{preview}: one row a class, one column each 120 ms; ON red, OFF blue")


def _picture(path, pixels):
    from matplotlib.image import imsave

    files.fill(path, lambda file: imsave(file, pixels, format="png"))  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    run_command(main)

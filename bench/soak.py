"""`python -m bench.soak`: many runs of Lava in a row in one process, and what grows meanwhile."""

import sim.base.start  # noqa: F401  # isort: skip

import os
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import click
import numpy as np

from sim.base.command import run_command
from sim.base.console import add_row, bar, new_table, print_json, show
from sim.base.errors import Failure

from . import census
from .measure import MODELS

WARM = 50  # runs after which nothing may grow
RSS_KIB = 4096  # by which memory may be larger at the end, of caches that fill late
EVERY = 10


@click.command(epilog="Example: python -m bench.soak --n 300")
@click.option("--n", type=click.IntRange(2), default=1000, show_default=True, help="Runs.")
@click.option("--threads", is_flag=True, help="Without Lava's own runtime, which has a process for each part of a net.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=None, help="Ends after so long, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the measurements as JSON.")
def main(n: int, threads: bool, minutes: float | None, as_json: bool) -> None:
    """Run a sample through a net in Lava's simulator N times, and compare each run with the engine.

    Exit code 1 if a run differs, or if processes, descriptors, shared memory, files or memory grow after the first 50
    runs."""
    from sim.base.scratch import PREFIX

    mark = os.environ[census.MARK] = uuid4().hex
    shared, rows, began = census.shared_memory(), [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"], tempfile.tempdir = folder, folder
        for done, seconds in enumerate(_runs(n, threads), 1):
            over = minutes is not None and time.monotonic() - began > 60 * minutes
            if done % EVERY == 0 or done in (1, WARM, n) or over:
                rows.append(
                    dict(
                        runs=done,
                        seconds=round(seconds, 2),
                        processes=len(census.gone(mark, 2)),
                        descriptors=census.descriptors(),
                        resident_kib=census.resident_kib(),
                        shared=len(census.abandoned(shared, 2)),
                        folders=sum(name.startswith(PREFIX) for name in os.listdir(folder)),
                    )
                )
            if over:
                break
    _print(rows, as_json)
    grown = growth(rows)
    if grown:
        raise Failure(f"after {rows[-1]['runs']} runs: {'; '.join(grown)}")


def _runs(n: int, threads: bool):
    """Seconds of each run; Failure for one whose spikes differ."""
    from sim import engine, netx
    from sim.lava.simulate import simulate

    golden = netx.read_golden(MODELS / "digits-tiny.net")
    net = netx.read(MODELS / "digits-tiny.net")
    assert golden is not None
    stream = golden.stream[:1]
    expected = engine.run(net, stream, trace="all")
    with bar("runs", n) as progress:
        for i in range(n):
            began = time.monotonic()
            found = simulate(net, stream, trace="all", threads=threads)
            if any(not np.array_equal(found.traces[k], expected.traces[k]) for k in found.traces):
                raise Failure(f"run {i + 1} differs from the engine")
            progress(i + 1)
            yield time.monotonic() - began


def growth(rows: list[dict]) -> list[str]:
    """What has grown since the first `WARM` runs, and what is left over, in words."""
    warm = next((row for row in rows if row["runs"] >= WARM), rows[0])
    last = rows[-1]
    out = [f"{last[key]} {key} are left" for key in ("processes", "shared", "folders") if last[key]]
    for key, room in (("descriptors", 0), ("resident_kib", RSS_KIB)):
        if last[key] > warm[key] + room:
            out.append(f"{key} grew from {warm[key]:,} to {last[key]:,}")
    return out


def _print(rows: list[dict], as_json: bool) -> None:
    if as_json:
        print_json({"rows": rows})
        return
    table = new_table(f"Lava, {rows[-1]['runs']} runs in a row, {Path(MODELS).name}/digits-tiny.net", *rows[0])
    for row in rows:
        add_row(table, *(f"{value:,}" for value in row.values()))
    show(table)


if __name__ == "__main__":
    run_command(main)

"""The engine's speed over samples at once and over cores, on nmnist-small; `ratio` is the first row's time per sample
over the row's. And how long it takes from
nothing: the first call in a new Python, its compiled code in the cache already, and 10,000 samples."""

import subprocess
import sys
import time

import numba
import numpy as np

from .measure import MODELS, golden, median
from .registry import Row

BATCHES, SAMPLES = (1, 4, 16, 64, 256), 10_000
FIRST = (
    "import sys, time; t = time.perf_counter(); from sim import engine, netx; net = netx.read(sys.argv[1]); "
    "engine.run(net, netx.read_golden(sys.argv[1]).stream); print(time.perf_counter() - t)"
)


def rows(quick):
    from sim import engine, netx

    path = MODELS / "nmnist-small.net"
    net, stream = netx.read(path), golden("nmnist-small")
    samples = lambda n: stream[np.resize(np.arange(len(stream)), n)]  # noqa: E731
    engine.run(net, stream)  # compiled code is in the cache from here on
    yield Row("first call in a new Python, imports and reading included", _first_call(path), "s")
    yield from _speeds([(f"batch {n}", n, None) for n in BATCHES[:: 2 if quick else 1]], net, samples, quick)
    cores = [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= numba.config.NUMBA_NUM_THREADS]  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]
    yield from _speeds([(f"batch 64, {k} thread{'s' * (k > 1)}", 64, k) for k in cores], net, samples, quick)
    if not quick:
        part = samples(64)
        start = time.perf_counter()
        results = [engine.run(net, part[: min(64, SAMPLES - i)]) for i in range(0, SAMPLES, 64)]
        seconds = time.perf_counter() - start
        yield Row(
            f"{SAMPLES:,} samples, 64 at a time",
            seconds,
            "s",
            note=f"{sum(len(r.logits) for r in results):,} predictions",
        )


def _first_call(path):
    done = subprocess.run(
        [sys.executable, "-c", FIRST, str(path)], capture_output=True, text=True, check=True, cwd=MODELS.parent
    )
    return float(done.stdout)


def _speeds(cases, net, samples, quick):
    from sim import engine

    base = None
    for what, n, threads in cases:
        x, before = samples(n), numba.get_num_threads()
        numba.set_num_threads(threads or before)
        try:
            seconds = median(lambda: engine.run(net, x), 3 if quick else 9) / n  # noqa: B023
        finally:
            numba.set_num_threads(before)
        base = base or seconds
        yield Row(f"nmnist-small, {what}", 1 / seconds, "samples/s", base / seconds)

"""Synaptic operations a second of the engine, beside what the machine can do at most; `ratio` is the row's speed over
the engine's.

A synaptic operation is one addition of a 16-bit weight. First limit: additions of registers, nothing loaded or stored.
Second: rows of 128 weights that lie in the first-level cache, added by the engine's own loop, long lists of spikes. The
engine stays below both: lists are short, spikes have to be listed, neurons moved on."""

import numba
import numpy as np

from sim.base.numba_cache import cached_njit
from sim.engine.kernels import _add_rows
from sim.engine.lanes import N16, N32, high_half, low_half, splat16, splat32, store32

from .measure import MODELS, golden, median
from .registry import Row

CHAINS = 8  # registers that are added to one another, so that no addition waits for the last one
ROWS, WIDTH, LIST = 64, 128, 2000


@cached_njit(parallel=True)
def _add16(turns, step, out):
    """2 * CHAINS vector additions a turn, on every thread; `step`, int16 [threads], is unknown to the compiler, so none
    can be left out.
    """
    for t in numba.prange(len(step)):
        w = splat16(step[t])
        a = b = c = d = e = f = g = h = w
        for _ in range(turns):
            a, b, c, d, e, f, g, h = a + b, b + c, c + d, d + e, e + f, f + g, g + h, h + w
            a, b, c, d, e, f, g, h = a + w, b + a, c + b, d + c, e + d, f + e, g + f, h + g
        total = a + b + c + d + e + f + g + h
        store32(out[t], 0, low_half(total) + high_half(total))


@cached_njit(parallel=True)
def _add32(turns, step, out):
    """The same in 32 bits; `step`: int32 [threads]."""
    for t in numba.prange(len(step)):
        w = splat32(step[t])
        a = b = c = d = e = f = g = h = w
        for _ in range(turns):
            a, b, c, d, e, f, g, h = a + b, b + c, c + d, d + e, e + f, f + g, g + h, h + w
            a, b, c, d, e, f, g, h = a + w, b + a, c + b, d + c, e + d, f + e, g + f, h + g
        store32(out[t], 0, a + b + c + d + e + f + g + h)


@cached_njit(parallel=True)
def _add_from_cache(turns, rows, weights, out):
    for t in numba.prange(len(out)):
        for _ in range(turns):
            _add_rows(rows, len(rows), weights, WIDTH, out[t])


def rows(quick):
    from sim import engine, netx

    net = netx.read(MODELS / "nmnist-small.net")
    stream = golden("nmnist-small")[np.zeros(64, int)]
    synops = sum(engine.run(net, stream).synops.values())
    reached = synops / median(lambda: engine.run(net, stream), 3 if quick else 9)
    yield Row(
        "engine, nmnist-small, all it does counted as synops",
        reached / 1e9,
        "G synops/s",
        1.0,
        f"{numba.get_num_threads()} threads, batch 64",
    )
    for what, limit in limits(1000 if quick else 5000):
        yield Row(what, limit / 1e9, "G synops/s", limit / reached)


def limits(turns):
    """(what, additions of 16-bit or 32-bit numbers a second) on all threads."""
    threads = numba.get_num_threads()
    out = np.zeros((threads, WIDTH), np.int32)
    turns16 = 100 * turns
    for kernel, kind, lanes in ((_add16, np.int16, N16), (_add32, np.int32, N32)):
        step = np.ones(threads, kind)
        seconds = median(lambda: kernel(turns16, step, out), 5)  # noqa: B023
        yield f"limit: {np.dtype(kind).name} additions in registers", threads * turns16 * 2 * CHAINS * lanes / seconds
    random = np.random.default_rng(0)
    weights = (random.integers(-128, 128, ROWS * WIDTH) * 2).astype(np.int16)
    places = (random.integers(ROWS, size=LIST) * WIDTH).astype(np.int32)
    seconds = median(lambda: _add_from_cache(turns, places, weights, out), 5)
    yield f"limit: the engine's loop on rows of {WIDTH} int16 in cache", threads * turns * LIST * WIDTH / seconds

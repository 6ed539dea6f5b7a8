"""The nets that lava-dl ships, by our engine and by lava-dl's netx in Lava's simulator; `ratio` is the engine's speed
over netx's. Samples a second, start-up left out. Both get the spikes of the first layer, or what drives it; the spikes
of the last two layers are compared, all of them.

PilotNet: the image that lava-dl ships, 17 steps. N-TIDIGITS: the first 100 steps of its recorded input, up to the layer
that netx has not implemented (`average`). MNIST: random pictures.
"""

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from .measure import MODELS, median, require
from .registry import Row

LIMIT_S = 900


@dataclass(frozen=True)
class Shipped:
    """A net of lava-dl: `file` and `input` below its test folder, how many of its layers to take (None: all), steps
    of a sample, samples that suit the engine.
    """

    name: str
    file: str
    input: str | None
    layers: int | None
    steps: int
    samples: int


NETS = (
    Shipped("MNIST", "mnist.net", None, None, 16, 64),
    Shipped("N-TIDIGITS", "gts/ntidigits/ntidigits.net", "gts/ntidigits/input.npy", 5, 100, 8),
    Shipped("PilotNet LIF", "gts/pilotnet_lif/network.net", "gts/pilotnet_lif/image.npy", None, 17, 4),
)


def rows(quick):
    try:
        folder = Path(distribution("lava-dl").locate_file("tests/lava/lib/dl/netx"))
    except PackageNotFoundError:
        folder = None
    if folder is None or not folder.is_dir():
        yield Row("lava-dl's nets", None, "", note="lava-dl is not installed")
        return
    for shipped in NETS[:1] if quick else NETS:
        yield from compare(shipped, folder, quick)


def compare(shipped, folder, quick):
    """The two rows of one net."""
    from sim import netx

    path = folder / shipped.file
    net = netx.read_slayer(path, shipped.layers)
    x = _input(shipped, folder)
    traces = net.run(x)
    batch = np.repeat(x, shipped.samples, 0)
    rate = shipped.samples / median(lambda: net.run(batch), 2 if quick else 5)
    yield Row(
        f"{shipped.name}: engine",
        rate,
        "samples/s",
        1.0,
        f"{shipped.steps} steps a sample, {shipped.samples} samples at once; {rate * shipped.steps:,.0f} steps/s",
    )
    first, before, last = (traces[net.layers[i].name][0] for i in (0, -2, -1))
    found = _netx(path, _turned(first), len(net.layers))
    same = lambda a, b: np.array_equal(_turned(a).reshape(b.shape), b)  # noqa: E731
    require(same(last, found["last"]) and same(before, found["before"]), f"{shipped.name}: netx and the engine differ")
    theirs = 1 / float(found["seconds"])
    yield Row(
        f"{shipped.name}: netx",
        theirs,
        "samples/s",
        rate / theirs,
        f"{last.size + before.size:,} values of two layers equal, {int(before.sum()):,} spikes",
    )


def _input(shipped, folder):
    """[1, steps, *shape]: what drives the input layer, or spikes."""
    if shipped.input is None:
        return np.random.default_rng(0).integers(0, 140, (1, 1, 784)).repeat(shipped.steps, 1)
    x = np.load(folder / shipped.input)
    x = x.transpose(*reversed(range(x.ndim))).astype(np.int64)  # files have x, y, channel, step
    return x[None, : shipped.steps] if shipped.name == "N-TIDIGITS" else x[None, None].repeat(shipped.steps, 1)


def _turned(x):
    """[K, channel, y, x] as netx has it: [K, x, y, channel]."""
    return x.transpose(0, *reversed(range(1, x.ndim)))


def _netx(path, x, layers):
    """What `bench.netx_worker` gives. It is ended with all its processes if it takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(given, x=x, layers=layers)
        with subprocess.Popen(
            [sys.executable, "-m", "bench.netx_worker", str(path), str(given), str(result)],
            cwd=MODELS.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as worker:
            try:
                said, _ = worker.communicate(timeout=LIMIT_S)
            except BaseException:
                os.killpg(worker.pid, signal.SIGKILL)
                raise
        require(worker.returncode == 0 and result.is_file(), f"netx ended with an error:\n{said[-2000:]}")
        with np.load(result) as found:
            return dict(found)

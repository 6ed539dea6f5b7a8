"""Nets that others trained with SLAYER, by our engine and by lava-dl's netx in Lava's simulator; `ratio` is the
engine's speed over netx's. Samples a second, start-up left out. Both get the same input; what netx's blocks send is
compared, all of them, value for value.

PilotNet LIF: the image that lava-dl ships, 17 steps. PilotNet SDNN: its picture, of which a tenth of the pixels changes
in every step. N-TIDIGITS: the first 100 steps of its recorded input; the engine runs it whole, netx has not implemented
its last layer (`average`). MNIST: random pictures. DNS, the tutorial's PilotNet SDNN: random values, where
`../shared/data/nets` is there.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from .measure import MODELS, median, require
from .registry import Row

SHARED = MODELS.parent.parent / "shared" / "data" / "nets"


@dataclass(frozen=True)
class Known:
    """A net of lava-dl's tests, or of `SHARED`: `file` and `input` below that folder, how the input is made, steps of a
    sample, samples that suit the engine.
    """

    name: str
    file: str
    input: str | None
    make: str
    steps: int
    samples: int
    shared: bool = False


NETS = (
    Known("MNIST", "mnist.net", None, "drive", 16, 64),
    Known("N-TIDIGITS", "gts/ntidigits/ntidigits.net", "gts/ntidigits/input.npy", "recorded", 100, 8),
    Known("PilotNet LIF", "gts/pilotnet_lif/network.net", "gts/pilotnet_lif/image.npy", "still", 17, 4),
    Known("PilotNet SDNN", "gts/pilotnet_sdnn/network.net", "gts/pilotnet_sdnn/input.npy", "moving", 20, 8),
    Known("PilotNet SDNN, tutorial", "pilotnet_sdnn_tutorial.net", None, "values", 16, 4, True),
    Known("DNS SDNN", "dns_sdnn.net", None, "values", 64, 8, True),
    Known("DNS SDNN, delays", "dns_sdnn_delays.net", None, "values", 64, 8, True),
)


def rows(quick):
    from sim.lava import stock_netx

    folder = lava_dl_nets()
    if folder is None or not stock_netx.installed():
        yield Row("SLAYER's nets", None, "", note="lava-dl is not installed")
        return
    for known in NETS[:1] if quick else NETS:
        place = SHARED if known.shared else folder
        if (place / known.file).is_file():
            yield from compare(known, place, quick)
        else:
            yield Row(known.name, None, "", note=f"no {known.file} in {place}")


def lava_dl_nets() -> Path | None:
    """The folder of nets in lava-dl's wheel, if that is installed."""
    try:
        folder = Path(str(distribution("lava-dl").locate_file("tests/lava/lib/dl/netx")))
    except PackageNotFoundError:
        return None
    return folder if folder.is_dir() else None


def compare(known, folder, quick):
    """The two rows of one net."""
    from sim import netx
    from sim.lava.stock_netx import run_netx

    path = folder / known.file
    net = netx.read_slayer(path)
    x = net.checked(_input(known, net, folder))
    expected = net.run(x)
    batch = np.repeat(x, known.samples, 0)
    rate = known.samples / median(lambda: net.run(batch), 2 if quick else 5)
    sent = sum(int(np.count_nonzero(found)) for found in expected.values())
    yield Row(
        f"{known.name}: engine",
        rate,
        "samples/s",
        1.0,
        f"{known.steps} steps a sample, {known.samples} samples at once; {rate * known.steps:,.0f} steps/s,"
        f" {sent / known.steps:,.0f} messages a step",
    )
    found, seconds, _ = run_netx(path, net, x[0], expected[net.layers[0].name][0])
    for name, values in found.items():
        require(np.array_equal(expected[name][0], values), f"{known.name}: netx and the engine differ in {name}")
    size = sum(values.size for values in found.values())
    yield Row(
        f"{known.name}: netx", 1 / seconds, "samples/s", rate * seconds, f"{size:,} values of {len(found)} layers equal"
    )


def _input(known, net, folder):
    """[1, steps, *shape]: what drives the input layer, spikes, or values."""
    r, shape = np.random.default_rng(0), net.layers[0].shape
    if known.make == "drive":
        return r.integers(0, 140, (1, 1, *shape)).repeat(known.steps, 1)
    if known.make == "values":
        return r.integers(-20, 21, (1, known.steps, *shape))
    x = np.load(folder / known.input)
    x = x.transpose(*reversed(range(x.ndim))).astype(np.int64)  # files have x, y, channel, step
    if known.make == "recorded":
        return x[None, : known.steps]
    if known.make == "still":
        return x[None, None].repeat(known.steps, 1)
    frames = x.repeat(known.steps, 0)
    change = r.integers(-9, 10, frames.shape) * (r.random(frames.shape) < 0.1)
    return (frames + change.cumsum(0))[None]

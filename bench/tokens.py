"""Time and memory over the number of tokens: a net of preset `small`'s widths, one frame of N tokens, beside a spiking
transformer's attention of the same width on
the same number of tokens; `ratio` is the row's time per token over that of the first size. The slope is fitted to the
logarithms: 1 is linear. One thread.

And over the length of a stream: a session that is fed frame after frame.
"""

import numba
import numpy as np

from .measure import median, peak_mib
from .registry import Row

SIZES, WIDTH, CHANNELS, HEADS = (64, 256, 1024, 4096), 64, 128, 4


def rows(quick):
    sizes = SIZES[:3] if quick else SIZES
    yield from _line("engine", sizes, (_engine(n, quick) for n in sizes))
    try:
        import spikingjelly  # noqa: F401
    except ImportError:
        yield Row("spiking attention, N x N", None, "", note="needs spikingjelly: pip install -e '.[spikingjelly]'")
    else:
        yield from _line("spiking attention, N x N", sizes, (_attention(n, quick) for n in sizes))
    for frames in (1, 10, 100):
        yield Row(f"session, {frames} frames of 64 tokens: peak memory", _stream(frames), "MiB")


def _line(name, sizes, measured):
    measured = list(measured)
    first = measured[0][0] / sizes[0]
    for n, (seconds, mib) in zip(sizes, measured):
        yield Row(
            f"{name}: {n} tokens",
            1e3 * seconds,
            "ms/sample",
            seconds / n / first,
            "" if mib is None else f"peak memory {mib:,.1f} MiB",
        )
    slope = float(np.polyfit(np.log(sizes), np.log([seconds for seconds, _ in measured]), 1)[0])
    yield Row(f"{name}: slope of time in tokens, log-log", slope, "")


def net_of(tokens, frames=1):
    """A block's layers between stem and read-out, random weights, about one neuron in ten fires; the phase is left out,
    as it would grow with N.
    """
    from sim.net import TOKENS, Cuba, Dense, Input, Net, Readout

    r = np.random.default_rng(0)
    weight = lambda n, m: (r.integers(-32, 33, (n, m)) * 2).astype(np.int16)  # noqa: E731
    none = lambda n: np.zeros(n, np.int32)  # noqa: E731
    memoryless = lambda name, n, *synapses: Cuba(name, synapses, np.full(n, 4096, np.int32), none(n), 4095, 128)  # noqa: E731
    bank, wide = np.repeat([2048, 512, 102, 20], WIDTH // 2).astype(np.int32), 2 * WIDTH
    nodes = (
        memoryless("stem", WIDTH, Dense(TOKENS, weight(WIDTH, CHANNELS))),
        Cuba("bank", (Dense("stem", weight(wide, WIDTH)),), bank, none(wide), 4095, 400),
        memoryless("read", wide, Dense("stem", weight(wide, WIDTH))),
        memoryless(
            "and",
            wide,
            Dense("bank", np.eye(wide, dtype=np.int16) * 64),
            Dense("read", np.eye(wide, dtype=np.int16) * 80),
        ),
        memoryless("out", WIDTH, Dense("and", weight(WIDTH, wide)), Dense("stem", np.eye(WIDTH, dtype=np.int16) * 200)),
        Readout("classes", (Dense("out", weight(10, WIDTH)),)),
    )
    return Net(nodes, (Input(TOKENS, CHANNELS),), tokens, frames)


def _spikes(*shape):
    return (np.random.default_rng(0).random(shape) < 0.12).astype(np.uint8)


def _engine(n, quick):
    """(seconds, MiB) of a sample of n tokens."""
    from sim.engine.session import Session

    x, net = _spikes(1, n, CHANNELS), net_of(n)
    peak = peak_mib(lambda: Session(net).run(x))
    session, before = Session(net), numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        return median(lambda: session.run(x), 20 if quick else 50), peak
    finally:
        numba.set_num_threads(before)


def _stream(frames):
    """MiB of a session that is fed so many frames."""
    from sim.engine.session import Session

    x, net = _spikes(1, 64, CHANNELS), net_of(64)

    def run():
        session = Session(net)
        for _ in range(frames):
            session.run(x)

    return peak_mib(run)


def _attention(n, quick):
    """(seconds, MiB) of spiking attention over one frame of n tokens."""
    import torch

    from train.studies.spikformer import attention_block

    block, x = attention_block(WIDTH, HEADS).eval(), torch.from_numpy(_spikes(1, 1, n, WIDTH)).float()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            peak = peak_mib(lambda: block(x))
            return median(lambda: block(x), 3 if quick else 9), peak
    finally:
        torch.set_num_threads(before)

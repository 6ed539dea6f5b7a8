"""Random nets and inputs for comparing executors: small, and odd in every way that `sim.net` allows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..base.memory import require
from ..integer import BIAS_MAX, BIAS_MIN, DECAY_ONE, SHIFT_MAX, THRESHOLD_MAX
from ..net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout
from ..net.tokens import EMPTY, Stream, order_of

DECAYS = (1, 2, 20, 100, 512, 2048, 4095, DECAY_ONE)
INPUTS = ("random", "ones", "none", "sparse")


def random_net(seed: int, deep: int = 5) -> Net:
    """A net of up to `deep` nodes before its read-out.

    Every seed gives another mix of sizes, grids, scan orders, shares of tokens, decays, skips and extremes; one in four
    has graded tokens.
    """
    r = np.random.default_rng(seed)
    n, frames = int(r.choice([1, 2, 3, 5, 8])), int(r.choice([1, 2, 3, 4]))
    places = n if r.random() < 0.4 else int(r.integers(1, n + 1))
    inputs = _inputs(r, n)
    sizes = {i.name: i.size for i in inputs}
    nodes = []
    for k in range(int(r.integers(1, deep + 1))):
        driven = [name for name in sizes if name != PHASE]
        source = driven[int(r.integers(len(driven)))] if r.random() < 0.4 else driven[-1]
        nodes.append(random_cuba(r, f"n{k}", _sources(r, sizes, source), sizes))
        sizes[nodes[-1].name] = nodes[-1].size
    classes, last = int(r.integers(2, 5)), nodes[-1].name
    nodes.append(Readout("out", tuple(Dense(s, weights(r, classes, sizes[s])) for s in _sources(r, sizes, last))))
    return _graded(seed, nodes, inputs, tokens=n, frames=frames, places=places, orders=_orders(r, n, frames))


def _graded(seed, nodes, inputs, **rest) -> Net:
    """The net, of some seeds with graded tokens; the read-out then reads none of them."""
    r = np.random.default_rng((seed, 1))
    if r.random() < 0.75:
        return Net(tuple(nodes), tuple(inputs), **rest)
    bits = int(r.choice([1, 3, 8]))
    inputs = [replace(i, message_bits=bits) if i.of == TOKENS else i for i in inputs]
    graded = {i.name for i in inputs if i.message_bits}

    def moved(node):
        kept = [s for s in node.synapses if s.source not in graded or isinstance(node, Cuba)]
        shifts = r.integers(3 if bits == 8 else 0, SHIFT_MAX + 1, len(kept)).tolist()  # three bits make room for 8
        synapses = (replace(s, shift=k if s.source in graded else 0) for s, k in zip(kept, shifts))
        return replace(node, synapses=tuple(synapses))

    return Net(tuple(map(moved, nodes)), tuple(inputs), **rest)


def _inputs(r, n):
    """The tokens, mostly their phase, sometimes both backward."""
    size = int(r.integers(1, 7))
    inputs = [Input(TOKENS, size)]
    if r.random() < 0.8:
        inputs.append(Input(PHASE, n, of=PHASE))
    if r.random() < 0.3:
        inputs += [Input("reversed", size, backward=True), Input("reversed_phase", n, of=PHASE, backward=True)]
    return inputs


def _orders(r, n, frames):
    """The order of the numbers, there and back, or any."""
    order = np.arange(n)
    kind = r.choice(["forward", "alternate", "any"])
    if kind == "any":
        return np.array([r.permutation(n) for _ in range(int(r.integers(1, frames + 1)))])
    return np.array([order, order[::-1]])[: min(frames, 1 if kind == "forward" else 2)]


def random_cuba(r: np.random.Generator, name: str, sources: Sequence[str], sizes: dict[str, int]) -> Cuba:
    n = int(r.integers(1, 9))
    extreme = r.random() < 0.3
    decays = r.choice(DECAYS, size=int(r.integers(1, 4)))
    fan = sum(sizes[s] for s in sources)
    v_th = int(r.choice([0, THRESHOLD_MAX]) if extreme else r.integers(0, 64 * fan + 2))
    bias = r.choice([BIAS_MIN, 0, BIAS_MAX], n) if extreme else r.integers(-40, 60, n)
    return Cuba(
        name,
        tuple(Dense(s, weights(r, n, sizes[s])) for s in sources),
        r.choice(decays, n).astype(np.int32),
        bias.astype(np.int32),
        int(r.choice([0, 1, 1000, 4095, 4096])),
        v_th,
        bool(r.random() < 0.3),
    )


def _sources(r, sizes, first):
    """`first`, sometimes others (a skip, the phase, the same again), sometimes the phase alone."""
    if r.random() < 0.05 and PHASE in sizes:
        return [PHASE]
    return [first] + [s for s in (*sizes, first) if r.random() < 0.2]


def weights(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """int16, even, in [-256, 254]: mixed, all at one end of the range, all negative, sparse."""
    w = {
        "mixed": r.integers(-128, 128, (rows, columns)) * 2,
        "ends": r.choice([-256, 254], (rows, columns)),
        "low": np.full((rows, columns), -256),
        "high": np.full((rows, columns), 254),
        "sparse": r.integers(-128, 128, (rows, columns)) * 2 * (r.random((rows, columns)) < 0.2),
    }
    return w[r.choice(list(w), p=[0.5, 0.15, 0.05, 0.15, 0.15])].astype(np.int16)


def random_stream(net: Net, seed: int, batch: int = 3, kind: str | None = None) -> Stream:
    """Samples for a net: at every frame some of the tokens, in its order, with spikes of one of the `INPUTS`."""
    require(9 * batch * net.steps * net.inputs[0].size, f"{batch} random samples of {net.steps} steps")
    r = np.random.default_rng(seed)
    share = {"random": 0.5, "ones": 1.0, "none": 0.0, "sparse": 0.1}[kind or r.choice(INPUTS, p=[0.6, 0.1, 0.1, 0.2])]
    which = np.full((batch, net.frames, net.places), EMPTY, np.int16)
    for b, t in np.ndindex(batch, net.frames):
        sent = np.sort(r.permutation(net.tokens)[: net.places])  # places in the order of the frame
        if r.random() < 0.5:
            sent = sent[: int(r.integers(0, len(sent) + 1))]
        which[b, t, : len(sent)] = order_of(net, 1, t)[0, sent]
    which = which.reshape(batch, net.steps)
    tokens = r.random((batch, net.steps, net.inputs[0].size)) < share
    spikes = (tokens & (which >= 0)[..., None]).astype(np.uint8)
    if net.message_bits:
        top = (1 << net.message_bits) - 1
        spikes *= np.where(r.random(spikes.shape) < 0.3, top, r.integers(0, top, spikes.shape, endpoint=True)).astype(
            np.uint8
        )
    return Stream(spikes, which)

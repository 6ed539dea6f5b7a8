"""Random nets and inputs for comparing executors: small, and odd in every way that `sim.net` allows."""

import numpy as np

from ..integer import BIAS_MAX, BIAS_MIN, DECAY_ONE, THRESHOLD_MAX
from ..net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout, Reverse, TokenGate

DECAYS = (1, 2, 20, 100, 512, 2048, 4095, DECAY_ONE)
INPUTS = ("random", "ones", "none", "sparse")


def random_net(seed, deep=5):
    """A net of up to `deep` nodes before its read-out.

    Every seed gives another mix of sizes, decays, gates, reversals, skips and extremes.
    """
    r = np.random.default_rng(seed)
    n_tokens, frames = int(r.choice([1, 2, 3, 5, 8])), int(r.choice([1, 2, 3, 4]))
    inputs = [Input(TOKENS, int(r.integers(1, 7)))]
    if r.random() < 0.4:
        inputs.append(Input("backward", inputs[0].size, backward=True))
    sizes = {i.name: i.size for i in inputs} | {PHASE: n_tokens}
    nodes = []
    for k in range(int(r.integers(1, deep + 1))):
        spiking = [name for name in sizes if name != PHASE]
        source = spiking[int(r.integers(len(spiking)))] if r.random() < 0.4 else spiking[-1]
        kind = r.choice(["cuba", "gate", "reverse"], p=[0.6, 0.25, 0.15])
        if kind == "cuba":
            node = random_cuba(r, f"n{k}", _sources(r, sizes, source), sizes)
        elif kind == "gate":
            node = TokenGate(f"n{k}", source, sizes[source], int(r.choice([1, 2, 3, 6, 1000])))
        else:
            node = Reverse(f"n{k}", source, sizes[source])
        nodes.append(node)
        sizes[node.name] = node.size
    last = nodes[-1].name
    classes = int(r.integers(2, 5))
    nodes.append(Readout("out", tuple(Dense(s, weights(r, classes, sizes[s])) for s in _sources(r, sizes, last))))
    return Net(tuple(nodes), tuple(inputs), n_tokens, frames)


def random_cuba(r, name, sources, sizes):
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
    if r.random() < 0.05:
        return [PHASE]
    return [first] + [s for s in (*sizes, first) if r.random() < 0.2]


def weights(r, rows, columns):
    """int16, even, in [-256, 254]: mixed, all at one end of the range, all negative, sparse."""
    w = {
        "mixed": r.integers(-128, 128, (rows, columns)) * 2,
        "ends": r.choice([-256, 254], (rows, columns)),
        "low": np.full((rows, columns), -256),
        "high": np.full((rows, columns), 254),
        "sparse": r.integers(-128, 128, (rows, columns)) * 2 * (r.random((rows, columns)) < 0.2),
    }
    return w[r.choice(list(w), p=[0.5, 0.15, 0.05, 0.15, 0.15])].astype(np.int16)


def random_tokens(net, seed, batch=3, kind=None):
    """uint8 [batch, T*N, C]."""
    r = np.random.default_rng(seed)
    share = {"random": 0.5, "ones": 1.0, "none": 0.0, "sparse": 0.1}[kind or r.choice(INPUTS, p=[0.6, 0.1, 0.1, 0.2])]
    return (r.random((batch, net.steps, net.inputs[0].size)) < share).astype(np.uint8)

"""Random nets and inputs for tests: small, and odd in every way that `sim.net` allows."""

import numpy as np

from sim.integer import BIAS_MAX, BIAS_MIN, DECAY_ONE, THRESHOLD_MAX
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout, Reverse, TokenGate

DECAYS = (1, 2, 20, 100, 512, 2048, 4095, DECAY_ONE)
INPUTS = ("random", "ones", "none", "sparse")


def random_net(seed, deep=5):
    """A net of up to `deep` nodes before its read-out. Every seed gives another mix of sizes, decays, gates, reversals, skips and extremes."""
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
    return Cuba(name, tuple(Dense(s, weights(r, n, sizes[s])) for s in sources), r.choice(decays, n).astype(np.int32), bias.astype(np.int32),
                int(r.choice([0, 1, 1000, 4095, 4096])), v_th, bool(r.random() < 0.3))


def _sources(r, sizes, first):
    """`first`, sometimes others (a skip, the phase, the same again), sometimes the phase alone."""
    if r.random() < 0.05:
        return [PHASE]
    return [first] + [s for s in (*sizes, first) if r.random() < 0.2]


def weights(r, rows, columns):
    """int16, even, in [-256, 254]: mixed, all at one end of the range, all negative, sparse."""
    w = {"mixed": r.integers(-128, 128, (rows, columns)) * 2,
         "ends": r.choice([-256, 254], (rows, columns)),
         "low": np.full((rows, columns), -256),
         "high": np.full((rows, columns), 254),
         "sparse": r.integers(-128, 128, (rows, columns)) * 2 * (r.random((rows, columns)) < 0.2)}
    return w[r.choice(list(w), p=[0.5, 0.15, 0.05, 0.15, 0.15])].astype(np.int16)


def edge_net(frames=40, fan=1000):
    """A net whose states reach the 24-bit edges: `wraps` overflows its current, `clips` saturates its voltage, both with the slowest decays."""
    up, down = np.full((2, fan), 254, np.int16), np.full((2, fan), -256, np.int16)
    slow, none = np.array([1, 7], np.int32), np.zeros(2, np.int32)
    wraps = Cuba("wraps", (Dense(TOKENS, np.concatenate([up, down])),), np.concatenate([slow, slow]), np.concatenate([none, none]), 1, THRESHOLD_MAX)
    clips = Cuba("clips", (Dense(TOKENS, np.concatenate([up[:1] // 8 // 2 * 2, down[:1] // 8])),), np.full(2, 4096, np.int32),
                 np.array([BIAS_MAX, BIAS_MIN], np.int32), 0, THRESHOLD_MAX)
    after = Cuba("after", (Dense("wraps", np.eye(4, dtype=np.int16) * 254), Dense("clips", np.full((4, 2), -256, np.int16))), np.full(4, 300, np.int32),
                 np.full(4, -5, np.int32), 100, 3)
    return Net((wraps, clips, after, Readout("out", (Dense("after", np.eye(4, dtype=np.int16) * -256),))), (Input(TOKENS, fan),), 2, frames)


def random_tokens(net, seed, batch=3, kind=None):
    """uint8 [batch, T*N, C]."""
    r = np.random.default_rng(seed)
    share = {"random": 0.5, "ones": 1.0, "none": 0.0, "sparse": 0.1}[kind or r.choice(INPUTS, p=[0.6, 0.1, 0.1, 0.2])]
    return (r.random((batch, net.steps, net.inputs[0].size)) < share).astype(np.uint8)


def differences(expected, got, where):
    """Asserts that two traces (name -> [B, K, n]) are equal; the message names the first place where they are not."""
    assert expected.keys() == got.keys(), where
    for name, a in expected.items():
        wrong = np.argwhere(a != got[name])
        assert not len(wrong), f"{where}: {len(wrong)} values of {name!r} differ, first at [sample, step, neuron] {wrong[0].tolist()}"


def long_net(tokens=40):
    """Delays beyond the 62 steps of one synapse: a reversal of 40 tokens, and sources that wait for it, one of them with its own decays."""
    r = np.random.default_rng(7)
    stem = Cuba("stem", (Dense(TOKENS, weights(r, 5, 3)), Dense(PHASE, weights(r, 5, tokens))), np.array([4096, 4096, 30, 30, 30], np.int32),
                r.integers(-20, 40, 5).astype(np.int32), 4095, 100)
    back = Reverse("back", "stem", 5)
    again = Reverse("again", "back", 5)
    late = Cuba("late", (Dense("again", weights(r, 4, 5)), Dense("stem", weights(r, 4, 5)), Dense(TOKENS, weights(r, 4, 3))), np.full(4, 200, np.int32),
                np.zeros(4, np.int32), 0, 300)
    gate = TokenGate("gate", "late", 4, 2)
    out = Readout("out", tuple(Dense(name, weights(r, 3, n)) for name, n in (("gate", 4), ("stem", 5), ("back", 5))))
    return Net((stem, back, again, late, gate, out), (Input(TOKENS, 3),), tokens, 3)


def fine_net(neurons=200):
    """Neurons with one input each, equal but for their biases, which are spread over all values that the current takes: an error of a few units in
    a state shows as a spike. One node for each of several current decays, one more for a slow membrane."""
    r = np.random.default_rng(11)
    w = np.repeat(r.choice([-256, -128, 100, 254], (1, 6)), neurons, 0).astype(np.int16)
    bias = np.linspace(-4096, 4095, neurons).astype(np.int32)
    decays = {f"d{d}": Cuba(f"d{d}", (Dense(TOKENS, w),), np.full(neurons, d, np.int32), bias, 4095, 0) for d in (1, 2, 3, 20, 300, 2048, 4095, 4096)}
    slow = {f"v{d}": Cuba(f"v{d}", (Dense(TOKENS, w),), np.full(neurons, 4096, np.int32), bias // 64, d, 30_000) for d in (0, 1, 30)}
    nodes = decays | slow
    out = Readout("out", tuple(Dense(name, weights(r, 2, neurons)) for name in nodes))
    return Net((*nodes.values(), out), (Input(TOKENS, 6),), 4, 40)

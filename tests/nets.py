"""Nets for tests: those of `sim.compare.random_nets`, and some that reach an edge on purpose."""

import numpy as np

from sim.compare.random_nets import random_cuba, random_net, random_stream, weights  # noqa: F401
from sim.integer import BIAS_MAX, BIAS_MIN, THRESHOLD_MAX
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout


def edge_net(frames=40, fan=1000):
    """A net whose states reach the 24-bit edges: `wraps` overflows its current, `clips` saturates its voltage, both
    with the slowest decays.
    """
    up, down = np.full((2, fan), 254, np.int16), np.full((2, fan), -256, np.int16)
    slow, none = np.array([1, 7], np.int32), np.zeros(2, np.int32)
    wraps = Cuba(
        "wraps",
        (Dense(TOKENS, np.concatenate([up, down])),),
        np.concatenate([slow, slow]),
        np.concatenate([none, none]),
        1,
        THRESHOLD_MAX,
    )
    clips = Cuba(
        "clips",
        (Dense(TOKENS, np.concatenate([up[:1] // 8 // 2 * 2, down[:1] // 8])),),
        np.full(2, 4096, np.int32),
        np.array([BIAS_MAX, BIAS_MIN], np.int32),
        0,
        THRESHOLD_MAX,
    )
    after = Cuba(
        "after",
        (Dense("wraps", np.eye(4, dtype=np.int16) * 254), Dense("clips", np.full((4, 2), -256, np.int16))),
        np.full(4, 300, np.int32),
        np.full(4, -5, np.int32),
        100,
        3,
    )
    return Net(
        (wraps, clips, after, Readout("out", (Dense("after", np.eye(4, dtype=np.int16) * -256),))),
        (Input(TOKENS, fan),),
        2,
        frames,
    )


def differences(expected, got, where):
    """Asserts that two traces (name -> [B, K, n]) are equal; the message names the first place where they are not."""
    assert expected.keys() == got.keys(), where
    for name, a in expected.items():
        wrong = np.argwhere(a != got[name])
        assert not len(wrong), (
            f"{where}: {len(wrong)} values of {name!r} differ, first at [sample, step, neuron] {wrong[0].tolist()}"
        )


def long_net(depth=66):
    """Waits beyond the 62 steps of one synapse: a chain of `depth` layers, whose last one reads the first, the tokens
    and their phase, too.
    """
    r = np.random.default_rng(7)
    none = np.zeros(5, np.int32)
    sources, nodes = (Dense(TOKENS, weights(r, 5, 3)), Dense(PHASE, weights(r, 5, 8))), []
    for i in range(depth):
        decays = np.array([4096, 4096, 30, 30, 30], np.int32) if i == 0 else np.full(5, 4096, np.int32)
        bias = r.integers(-20, 40, 5).astype(np.int32) if i == 0 else none
        nodes.append(Cuba(f"n{i}", sources, decays, bias, 4095, 100))
        sources = (Dense(f"n{i}", (np.eye(5) * 254).astype(np.int16)),)
    late = (
        *sources,
        *(Dense(name, weights(r, 4, n)) for name, n in (("n0", 5), ("n2", 5), (TOKENS, 3), (PHASE, 8))),
    )
    late = tuple(Dense(s.source, s.weight[:4]) for s in late)
    nodes.append(Cuba("late", late, np.full(4, 200, np.int32), np.zeros(4, np.int32), 0, 300))
    nodes.append(Readout("out", tuple(Dense(name, weights(r, 3, n)) for name, n in (("late", 4), ("n0", 5)))))
    orders = np.array([np.arange(8), np.arange(8)[::-1]])
    return Net(tuple(nodes), (Input(TOKENS, 3), Input(PHASE, 8, of=PHASE)), 8, 3, 6, orders)


def fine_net(neurons=200):
    """Neurons with one input each, equal but for their biases, which are spread over all values that the current takes:
    an error of a few units in a state shows as a spike. One node for each of several current decays, one more for a
    slow membrane."""
    r = np.random.default_rng(11)
    w = np.repeat(r.choice([-256, -128, 100, 254], (1, 6)), neurons, 0).astype(np.int16)
    bias = np.linspace(-4096, 4095, neurons).astype(np.int32)
    decays = {
        f"d{d}": Cuba(f"d{d}", (Dense(TOKENS, w),), np.full(neurons, d, np.int32), bias, 4095, 0)
        for d in (1, 2, 3, 20, 300, 2048, 4095, 4096)
    }
    slow = {
        f"v{d}": Cuba(f"v{d}", (Dense(TOKENS, w),), np.full(neurons, 4096, np.int32), bias // 64, d, 30_000)
        for d in (0, 1, 30)
    }
    nodes = decays | slow
    out = Readout("out", tuple(Dense(name, weights(r, 2, neurons)) for name in nodes))
    return Net((*nodes.values(), out), (Input(TOKENS, 6),), 4, 40)

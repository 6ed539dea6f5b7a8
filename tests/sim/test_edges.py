"""The ends of 24 bits to the unit, in every executor: currents that land exactly on 2**23 and -2**23 and beside them,
voltages that are cut exactly at -(2**23 - 1). What must come is written down here, not computed.

Which changes of an operator or a constant these tests see, and which cannot alter a spike: docs/reliability.md,
"Mutants".
"""

import numpy as np
import pytest
from nets import differences

from sim import chiptime, engine
from sim.engine.session import Session
from sim.integer import THRESHOLD_MAX
from sim.lava.simulate import simulate
from sim.net import TOKENS, Cuba, Dense, Input, Net, Readout
from sim.net.tokens import full

EDGE = 1 << 17  # a sum of weights that takes a current from 0 to 2**23
FRAMES, LINES = 20, (518, 518, 518, 36)  # groups of lines that fire together
AFTER_DECAY = {1: (1 << 22) - (1 << 10), 2048: 1 << 21, 4095: 1 << 10}  # of a current of 2**22


def spread(total, lines):
    """int16 [lines], even weights with that sum."""
    w = np.zeros(lines, np.int16)
    whole, rest = divmod(abs(total), 254 if total > 0 else 256)
    w[:whole], w[whole] = (254, rest) if total > 0 else (-256, -rest)
    return w


def group(number, totals):
    """A synapse for each neuron from one group of lines."""
    w = np.zeros((len(totals), sum(LINES)), np.int16)
    begin = sum(LINES[:number])
    w[:, begin : begin + LINES[number]] = [spread(t, LINES[number]) if t else np.zeros(LINES[number]) for t in totals]
    assert (w.sum(1) == totals).all()
    return Dense(TOKENS, w)


def cuba(name, synapses, i_decay, bias, v_decay, v_th, **more):
    n = synapses[0].weight.shape[0]
    return Cuba(
        name, synapses, np.broadcast_to(i_decay, n).astype(np.int32), np.full(n, bias, np.int32), v_decay, v_th, **more
    )


def net_and_stream():
    """A frame has two steps: group 0 fires, then group 1; groups 2 and 3 in one frame only."""
    beside = [EDGE - 2, EDGE, EDGE + 2, -EDGE - 2, -EDGE, -EDGE + 2]
    just = cuba("just", (group(0, beside),), 4096, 0, 4096, THRESHOLD_MAX, frame_reset=True)
    first, second, decays = [], [], []
    for i_decay, left in AFTER_DECAY.items():
        missing = EDGE - left // 64
        for more in (-2, 0, 2):
            for sign in (1, -1):
                first.append(sign * EDGE // 2)
                second.append(sign * (missing + more))
                decays.append(i_decay)
    kept = cuba("kept", (group(0, first), group(1, second)), np.array(decays), 0, 4096, THRESHOLD_MAX, frame_reset=True)
    alone = [
        cuba(f"alone{i}", (group(0, [total]),), 4096, 0, 4096, THRESHOLD_MAX, frame_reset=True)
        for i, total in enumerate((EDGE, -EDGE))  # nothing else in the vector says that there is an overflow
    ]
    level = cuba("level", (group(0, [500, 502]),), 4096, 0, 4096, 500, frame_reset=True)
    # Falls by 2**18 a step to -2**23, where it is cut, and is raised by 2**23 and, to 1 or just below 0, by 2**19.
    cut = cuba("cut", (group(2, [EDGE, EDGE]), group(3, [8192, 8190])), 4096, -4096, 0, 0)
    # 64 * 4032 and, as it decays by 63, 64 * 4031 + 1: together 1 above 64 * 8063, if the sum began at 0.
    summed = cuba("summed", (group(0, [4032]),), 1, 0, 0, 8063, frame_reset=True)
    nodes = just, kept, *alone, level, cut, summed
    out = Readout("out", tuple(Dense(n.name, np.eye(n.size, dtype=np.int16)[:1] * 2) for n in nodes))
    net = Net((*nodes, out), (Input(TOKENS, sum(LINES)),), 2, FRAMES)
    fires = np.zeros((2 * FRAMES, 4), np.uint8)
    fires[::2, 0], fires[1::2, 1], fires[32, 2], fires[33, 3] = 1, 1, 1, 1
    return net, full(net, np.repeat(fires, LINES, 1)[None])


def expected(net):
    """Spikes exactly where a current is 2**23, as which -2**23 counts; and at 1 above the threshold."""
    steps, n = 2 * FRAMES, {node.name: node.size for node in net.nodes}
    out = {name: np.zeros((1, steps, size), np.int32 if name == "out" else np.uint8) for name, size in n.items()}
    out["just"][:, ::2, [1, 4]] = 1
    out["kept"][:, 1::2, [i for i in range(n["kept"]) if i % 6 in (2, 3)]] = 1
    out["alone0"][:, ::2] = out["alone1"][:, ::2] = 1
    out["level"][:, ::2, 1] = 1  # on the threshold is not above it
    out["cut"][:, 33, 0] = 1
    out["summed"][:, 1::2] = 1
    for name in n:
        out["out"][..., 0] += 2 * out[name][..., 0] if name != "out" else 0
    return out


def sessions(net, stream):
    session = Session(net)
    parts = [session.run(stream.window(k, k + 2), "all")[1] for k in range(0, stream.steps, 2)]
    return {name: np.concatenate([p[name] for p in parts], 1) for name in parts[0]}


EXECUTORS = {
    "engine": lambda net, stream: engine.run(net, stream, trace="all").traces,
    "engine, frame by frame": sessions,
    "step function": chiptime.run,
    "fused": lambda net, stream: simulate(net, stream, "fused", "all", threads=True).traces,
    "stock": lambda net, stream: simulate(net, stream, "stock", "all", threads=True).traces,
}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_exactly_on_the_edge(executor):
    net, stream = net_and_stream()
    found = EXECUTORS[executor](net, stream)
    differences(expected(net), {name: found[name] for name in expected(net)}, executor)


def test_the_edge_is_reached():
    net, stream = net_and_stream()
    ranges = engine.run(net, stream).ranges
    assert ranges["just"] == dict(u_max=2**23 + 128, wraps=3 * FRAMES, v_max=2**23, clips=2 * FRAMES)
    assert ranges["kept"]["u_max"] == 2**23 + 128 and ranges["cut"]["clips"] > 0

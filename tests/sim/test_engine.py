"""The compiled engine against a plain one, step by step in int64, where its tricks could fail: widths, many spikes
at once, sparse synapses, chunks, counts.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import differences, edge_net, fine_net, long_net, random_net, random_stream, weights

from sim import engine
from sim.engine.program import CHUNK, Runner, build
from sim.engine.session import Session
from sim.integer import STATE_LIMIT, cuba_step, decay
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout, replace
from sim.net.tokens import checked, inputs


def plain(net, stream):
    """(traces, ranges) of a net, node after node, with the definition alone."""
    stream = checked(net, stream)
    batch, steps, spikes = len(stream), net.steps, inputs(net, stream)
    ranges = {}
    for node in net.nodes:
        a = sum((spikes[s.source].astype(np.int64) @ s.weight.T.astype(np.int64)) >> s.shift for s in node.synapses)
        if isinstance(node, Readout):
            spikes[node.name] = a
            continue
        u, v = np.zeros((2, batch, node.size), np.int64)
        out, r = np.empty(a.shape, np.uint8), dict(u_max=0, wraps=0, v_max=0, clips=0)
        for k in range(steps):
            if node.frame_reset and k % net.places == 0:
                u, v = np.zeros((2, batch, node.size), np.int64)
            raw, before = decay(u, node.i_decay) + 64 * a[:, k], decay(v, node.v_decay)
            u, v, out[:, k] = cuba_step(u, v, a[:, k], node.i_decay, node.v_decay, node.v_th, node.bias)
            voltage = before + u + 64 * node.bias.astype(np.int64)
            r = dict(
                u_max=max(r["u_max"], int(abs(raw).max())),
                wraps=r["wraps"] + int((raw != u).sum()),
                v_max=max(r["v_max"], int(abs(voltage).max())),
                clips=r["clips"] + int((abs(voltage) >= STATE_LIMIT).sum()),
            )
        spikes[node.name], ranges[node.name] = out, r
    return spikes, ranges


def check(net, stream, where=""):
    traces, ranges = plain(net, stream)
    result = engine.run(net, stream, trace="all")
    spikes = {name: x != 0 for name, x in traces.items()}
    differences(traces, result.traces, where)
    assert result.ranges == ranges, where
    assert (result.logits == traces[net.nodes[-1].name].sum(1)).all()
    assert result.spikes == {name: int((x != 0).sum()) for name, x in traces.items() if name != net.nodes[-1].name}
    for node in net.nodes:
        assert result.synops[node.name] == engine.synops(node.synapses, spikes)
    assert not engine.run(net, stream).traces
    return result


@given(st.integers(0, 10**6))
@settings(max_examples=60)
def test_random_nets(seed):
    net = random_net(seed)
    check(net, random_stream(net, seed), f"seed {seed}")


@pytest.mark.parametrize("net", [edge_net(), long_net(), fine_net()], ids=["edge", "long", "fine"])
def test_nets_at_the_edges(net):
    result = check(net, random_stream(net, 1, kind="random"))
    assert any(result.spikes[node.name] for node in net.nodes[:-1])


def wide_net(r, n_in, n, frames=3, tokens=5, density=1.0):
    """Dense and sparse synapses into `n` neurons with all kinds of decay, twice the same source."""
    sparse = np.zeros((n, n_in), np.int16)
    sparse[r.integers(n, size=n_in), np.arange(n_in)] = r.choice([-256, 254, 64], n_in)
    dense = weights(r, n, n_in) * (r.random((n, n_in)) < density)
    a = Cuba(
        "a",
        (Dense(TOKENS, sparse), Dense(TOKENS, dense.astype(np.int16)), Dense(PHASE, weights(r, n, tokens))),
        r.choice([1, 30, 2000, 4096], n).astype(np.int32),
        r.integers(-300, 300, n).astype(np.int32),
        int(r.choice([0, 7, 4095])),
        int(r.integers(0, 64 * 40)),
    )
    b = Cuba(
        "b",
        (Dense("a", np.eye(n, dtype=np.int16) * 254), Dense(TOKENS, sparse)),
        np.full(n, 4096, np.int32),
        np.zeros(n, np.int32),
        4095,
        200,
    )
    return Net(
        (a, b, Readout("out", (Dense("b", weights(r, 3, n)), Dense("a", weights(r, 3, n))))),
        (Input(TOKENS, n_in), Input(PHASE, tokens, of=PHASE)),
        tokens,
        frames,
    )


@pytest.mark.parametrize("n", [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 160, 224, 300])
def test_every_width(n):
    """Rows of weights are taken 128, 64 and 32 at a time, neurons 16 at a time."""
    r = np.random.default_rng(n)
    for n_in in (1, 16, 40):
        net = wide_net(r, n_in, n)
        check(net, random_stream(net, n, kind="random"), f"{n_in} -> {n}")


@pytest.mark.parametrize("n_in", [126, 127, 128, 254, 255, 1000])
def test_more_spikes_than_sixteen_bits_hold(n_in):
    """All inputs at once, all weights at one end of their range."""
    ends = np.concatenate([np.full((40, n_in), -256, np.int16), np.full((2, n_in), 254, np.int16)])
    a = Cuba("a", (Dense(TOKENS, ends),), np.full(42, 4096, np.int32), np.full(42, 4000, np.int32), 4096, 1000)
    net = Net(
        (a, Readout("out", (Dense(TOKENS, ends), Dense("a", weights(np.random.default_rng(0), 42, 42))))),
        (Input(TOKENS, n_in),),
        3,
        2,
    )
    result = check(net, np.ones((2, 6, n_in), np.uint8))
    assert result.traces["out"].min() <= -256 * n_in and result.ranges["a"]["u_max"] == 64 * 256 * n_in


@pytest.mark.parametrize("n", [16, 32])
def test_currents_of_a_whole_vector_wrap(n):
    """In one step, so that none within the range is left beside them: all are negative then, and silent."""
    high = np.full((n, 520), 254, np.int16)
    a = Cuba("a", (Dense(TOKENS, high),), np.full(n, 4096, np.int32), np.zeros(n, np.int32), 4096, 0)
    net = Net((a, Readout("out", (Dense("a", weights(np.random.default_rng(0), 2, n)),))), (Input(TOKENS, 520),), 2, 1)
    result = check(net, np.ones((1, 2, 520), np.uint8))
    assert result.ranges["a"]["wraps"] == 2 * n and not result.spikes["a"]


@pytest.mark.parametrize(
    "tokens, frames", [(1, CHUNK + 1), (CHUNK - 1, 3), (CHUNK, 2), (CHUNK + 1, 2), (3 * CHUNK + 5, 2), (7, 40)]
)
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_chunks_do_not_show(tokens, frames, share):
    """Streams longer than a chunk, frames that no chunk ends with, views backward; and the same in pieces."""
    r = np.random.default_rng(tokens)
    net = wide_net(r, 6, 9, frames, tokens, 0.5)
    a, b, out = net.nodes
    c = replace(
        b,
        name="c",
        synapses=(
            Dense("a", np.eye(9, dtype=np.int16) * 254),
            Dense("back", weights(r, 9, 6)),
            Dense("back phase", weights(r, 9, tokens)),
        ),
        frame_reset=True,
        i_decay=np.full(9, 40, np.int32),
    )
    order = np.arange(tokens)
    net = replace(
        net,
        nodes=(a, b, c, replace(out, synapses=(*out.synapses, Dense("c", weights(r, 3, 9))))),
        inputs=(*net.inputs, Input("back", 6, backward=True), Input("back phase", tokens, of=PHASE, backward=True)),
        places=max(1, round(share * tokens)),
        orders=np.array([order, order[::-1]]),
    )
    x, places = random_stream(net, 1, batch=2, kind="random"), net.places
    result = check(net, x)
    session = Session(net, 2)
    cut = [x.window(k, k + places) for k in range(0, net.steps, places)]
    pieces = [session.run(part, "all") for part in cut]
    assert (sum(logits for logits, _ in pieces) == result.logits).all()
    differences(
        result.traces, {name: np.concatenate([t[name] for _, t in pieces], 1) for name in result.traces}, "in pieces"
    )


def test_batches_and_a_runner_used_again():
    net = random_net(12)
    x = random_stream(net, 3, batch=11)
    whole, parts = engine.run(net, x), engine.run_batches(net, x, batch=4)
    for name in ("spikes", "synops", "ranges"):
        assert getattr(whole, name) == getattr(parts, name)
    assert (whole.logits == parts.logits).all() and whole.sent == parts.sent == x.sent
    none = engine.run(net, x[:0], trace="all")
    assert none.logits.shape == (0, net.nodes[-1].size) and not sum(none.spikes.values())


def test_memory_of_a_session_does_not_grow():
    """What a session holds is the same after a hundred frames as after one."""
    net = long_net()
    session = Session(net)
    x = random_stream(replace(net, frames=2), 0, batch=1)

    def held():
        runner = session._runner
        return sum(x.nbytes for x in (*runner.program[:-1], *runner.state, *runner._make_room()[:-1]))

    session.run(x)
    first = held()
    for _ in range(100):
        session.run(x)
    assert held() == first


def test_which_synapses_are_sparse():
    """At most one weight per 32 neurons and spike; the tables say the same as the matrices."""
    r = np.random.default_rng(0)
    net = wide_net(r, 20, 96)
    program, fan_outs = build(net)
    node = program.nodes[Runner(net).names.index("a")]
    assert (node["end"] - node["sparse"], node["sparse"] - node["first"]) == (1, 2)
    s = program.synapses[node["sparse"]]
    found = np.zeros((96, 20), np.int64)
    for i in range(20):
        for e in range(s["weight"] + i * s["fan_out"], s["weight"] + (i + 1) * s["fan_out"]):
            found[program.targets[e], i] += program.amounts[e]
    assert (found == net.nodes[0].synapses[0].weight).all()
    assert all(
        (fan == (s.weight != 0).sum(0)).all()
        for node in net.nodes
        for s, fan in zip(node.synapses, fan_outs[node.name])
    )

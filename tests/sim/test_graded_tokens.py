"""Nets whose tokens are graded spikes: every executor against the definition, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from nets import differences, random_net, random_stream

from sim import chiptime, engine, netx
from sim.base.errors import UserError
from sim.compare.history import history, sample_traces
from sim.integer import cuba_step, graded_input
from sim.lava.simulate import simulate
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout
from sim.net.tokens import inputs

SEEDS = [seed for seed in range(60) if random_net(seed).message_bits]


def one_layer(weight=254, bits=8, shift=4, columns=6, **changes):
    full, none = np.full(2, 4096, np.int32), np.zeros(2, np.int32)
    dense = Dense(TOKENS, np.full((2, columns), weight, np.int16), shift)
    layer = Cuba("layer", (dense,), full, none, 4095, 100)
    out = Readout("out", (Dense("layer", np.full((2, 2), 2, np.int16)),))
    return Net((replace(layer, **changes), out), (Input(TOKENS, columns, message_bits=bits),), 3, 1)


def test_there_are_such_nets():
    assert len(SEEDS) > 10 and {random_net(seed).message_bits for seed in SEEDS} == {1, 3, 8}


def test_the_sum_is_exact_and_rounded_down():
    r = np.random.default_rng(0)
    weight, messages = r.integers(-128, 128, (7, 250)) * 2, r.integers(0, 256, (4, 5, 250))
    for shift in range(9):
        wanted = [
            [[sum(int(w) * int(m) for w, m in zip(row, x)) >> shift for row in weight] for x in y] for y in messages
        ]
        found = graded_input(weight.astype(np.int16), messages.astype(np.uint8), shift)
        assert found.dtype == np.int32 and found.tolist() == wanted
    assert graded_input(np.full((1, 1), -2, np.int16), np.ones((1, 1), np.uint8), 8).tolist() == [[-1]]


def by_definition(net, stream):
    """Step by step, by `sim.integer` alone."""
    spikes = {name: x.astype(np.int64) for name, x in inputs(net, stream).items()}
    for node in net.nodes:
        a = sum((spikes[s.source] @ s.weight.T.astype(np.int64)) >> s.shift for s in node.synapses)
        if isinstance(node, Readout):
            return spikes | {node.name: a}
        out, (u, v) = np.zeros_like(a), np.zeros((2, len(a), node.size), np.int64)
        for k in range(a.shape[1]):
            if k % (net.places if node.frame_reset else net.steps) == 0:
                u[:], v[:] = 0, 0
            u, v, out[:, k] = cuba_step(u, v, a[:, k], node.i_decay, node.v_decay, node.v_th, node.bias)
        spikes[node.name] = out
    raise AssertionError("no read-out")


@pytest.mark.parametrize("seed", SEEDS)
def test_engine_and_step_function_are_the_definition(seed):
    net, stream = random_net(seed), random_stream(random_net(seed), seed)
    wanted, found = by_definition(net, stream), engine.run(net, stream, trace="all").traces
    differences(wanted, found, f"seed {seed}")
    differences({n.name: wanted[n.name] for n in net.nodes}, chiptime.run(net, stream), f"seed {seed}")
    session, part = engine.Session(net, len(stream)), net.places
    total = sum(session.run(stream.window(i, i + part))[0] for i in range(0, net.steps, part))
    assert np.array_equal(total, wanted["out"].sum(1))


@pytest.mark.parametrize("executor", ["fused", "stock"])
@pytest.mark.parametrize("seed", SEEDS[:3])
def test_lava_agrees(executor, seed):
    net, stream = random_net(seed), random_stream(random_net(seed), seed, 2)
    found = simulate(net, stream, executor, "all", threads=True).traces
    wanted = engine.run(net, stream, trace="all").traces
    differences({n.name: wanted[n.name] for n in net.nodes}, found, f"seed {seed}")


def test_a_file_of_it(tmp_path):
    net, stream = random_net(SEEDS[0]), random_stream(random_net(SEEDS[0]), 1)
    path = tmp_path / "a.net"
    netx.write(net, path, golden=stream)
    again, golden = netx.read(path), netx.read_golden(path)
    assert list(map(vars, again.inputs)) == list(map(vars, net.inputs))
    assert np.array_equal(golden.stream.tokens, stream.tokens)
    shifts = lambda n: [s.shift for node in n.nodes for s in node.synapses]  # noqa: E731
    assert shifts(again) == shifts(net) and max(shifts(net)) > 0
    assert np.array_equal(engine.run(again, stream).logits, golden.logits)
    assert netx.describe(again)[0]["message_bits"] == net.message_bits


def test_what_led_to_a_spike_counts_messages():
    net = one_layer()
    stream = random_stream(net, 3, 1, "ones")
    traces = sample_traces(net, stream, engine.run(net, stream, trace="all").traces, 0)
    rows = history(net, "layer", 1, 2, {"engine": traces})["engine"]
    assert [row["input"] for row in rows] == [(254 * int(x.sum())) >> 4 for x in stream.tokens[0]]
    assert all(row["spike"] == row["rule"] for row in rows)


def test_messages_of_more_bits_are_refused():
    net = one_layer(bits=3)
    with pytest.raises(UserError, match="messages have 3 bits, found 8"):
        engine.run(net, np.full((1, 3, 6), 8, np.uint8))


@pytest.mark.parametrize(
    "make, what",
    [
        (lambda: one_layer(bits=9), "message_bits is 9, expected 0..8"),
        (lambda: one_layer(shift=9), "shift 9, expected 0..8"),
        (lambda: one_layer(bits=0), "shift 4, expected 0..8 from graded spikes, 0 from others"),
        (lambda: one_layer(columns=130, shift=8), "add up to 8420100, 24 bits hold 8388607"),
        (lambda: one_layer(shift=0), "its dendritic input can exceed 262144"),
    ],
    ids=range(5),
)
def test_nets_that_the_chip_cannot_have(make, what):
    with pytest.raises(UserError, match=what):
        make()


def test_views_of_the_tokens_have_their_bits_and_readouts_read_spikes():
    net = one_layer()
    for views in ((Input("back", 6, backward=True),), (Input(PHASE, 3, PHASE, message_bits=8),)):
        with pytest.raises(UserError, match="the same for all views of the tokens"):
            replace(net, inputs=(*net.inputs, *views))
    out = Readout("out", (Dense(TOKENS, np.full((2, 6), 2, np.int16)),))
    with pytest.raises(UserError, match="a read-out of graded spikes"):
        replace(net, nodes=(net.nodes[0], out))

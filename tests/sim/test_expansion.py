"""The stock expansion: what it consists of, and that it computes what the engine does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import differences, long_net, random_net, random_stream
from scipy.sparse import issparse

from sim import engine
from sim.expansion import READOUT, RELAY, Expansion, Kernel, expand
from sim.expansion.parts import Builder, Line
from sim.integer import MAX_DELAY, cuba_step
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout
from sim.net.schedule import latencies
from sim.net.tokens import checked, inputs
from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Neuron, Sequential


def dense(weight):
    """Any of the three forms as int64 [targets, sources]."""
    if not isinstance(weight, Kernel):
        return np.asarray(weight.toarray() if issparse(weight) else weight, np.int64)
    channels, per_group = weight.weight.shape[:2]
    group, taps = channels // weight.groups, weight.weight.reshape(channels, per_group, -1)
    out = np.zeros((channels, weight.shape[0] // channels, per_group * weight.groups, weight.reach.shape[0]), np.int64)
    for pixel, place in np.argwhere(weight.reach >= 0):
        for c in range(channels):
            first = c // group * per_group
            out[c, weight.reach[pixel, place], first : first + per_group, pixel] += taps[c, :, place]
    return out.reshape(weight.shape)


def flow(expansion: Expansion, rows, steps, start=None):
    """Population -> [steps, n], what each sends at every chip step: every population on its own, with the definition of
    a step alone.

    rows: line -> [chip steps, n]; start: layer -> the first step in which its neurons are updated.
    """
    sent = {line.name: np.zeros((steps, line.n), np.int64) for line in expansion.lines}
    for name, x in rows.items():
        sent[name][: len(x)] = x
    sent |= {p.name: np.zeros((steps, p.n), np.int64) for p in expansion.populations}
    states = {p.name: np.zeros((2, p.n), np.int64) for p in expansion.populations}
    tables = {
        id(j): [
            (d, np.where(np.broadcast_to(j.delay, j.weight.shape) == d, dense(j.weight), 0) << max(j.exponent, 0))
            for d in np.unique(j.delay)
        ]
        for j in expansion.projections
    }
    for c in range(steps):
        for p in expansion.populations:
            if c < (start or {}).get(p.layer, 0):
                continue
            a = np.zeros(p.n, np.int64)
            for j in p.inputs:
                for d, weight in tables[id(j)]:
                    if c - 1 - d >= 0:
                        a += (weight @ sent[j.source][c - 1 - d]) >> max(-j.exponent, 0)
            if p.kind == READOUT:
                sent[p.name][c] = a
                continue
            u, v = states[p.name]
            if p.reset is not None and c % p.reset.period == p.reset.offset:
                u, v = np.zeros((2, p.n), np.int64)
            u, v, s = cuba_step(u, v, a, p.i_decay, p.v_decay, p.v_th, p.bias)
            states[p.name], sent[p.name][c] = np.array([u, v]), s
    return sent


def check(net, stream, wanted=()):
    """The expansion's spikes against the engine's, samples one after the other."""
    stream = checked(net, stream)
    expansion = expand(net, wanted)
    rows = {name: x.reshape(-1, x.shape[2]) for name, x in inputs(net, stream).items()}
    total, late, found = len(stream) * net.steps, latencies(net), {}
    sent = flow(expansion, rows, total + max(late.values()))
    expected = engine.run(net, stream, trace="all").traces
    for name, parts in expansion.outputs.items():
        found[name] = np.zeros(expected[name].shape, np.int64)
        for p in parts:
            part = sent[p.name][late[name] : late[name] + total]
            found[name][:, :, p.index] = part.reshape(len(stream), net.steps, -1)
    differences({name: expected[name] for name in found}, found, "expansion")
    return expansion


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_random_nets_compute_what_the_engine_does(seed):
    net = random_net(seed)
    check(net, random_stream(net, seed, batch=2), [n.name for n in net.nodes])


def test_long_waits_pass_through_relays():
    """A relay takes 63 steps, the synapse behind it the rest; targets of one wait share a relay."""
    net = long_net()
    expansion = check(net, random_stream(net, 0, batch=1, kind="random"))
    relays = {p.name: p for p in expansion.populations if p.kind == RELAY}
    assert set(relays) == {f"{name}+63" for name in (TOKENS, PHASE, "n0[30]", "n0[4096]", "n2")}
    assert relays["n0[30]+63"].inputs[0].delay == MAX_DELAY and relays["n0[30]+63"].index.tolist() == [2, 3, 4]
    late = next(p for p in expansion.populations if p.name == "late")
    assert {j.source: j.delay for j in late.inputs}[
        "n0[30]+63"
    ] == 65 - 63  # the layer answers 67 steps after the tokens, its first source 1


def test_what_leads_nowhere_is_left_out():
    """Nodes that nobody reads, and those that are read with weights of zero only."""
    some, zero, none = np.full((3, 3), 2, np.int16), np.zeros((3, 3), np.int16), np.zeros(3, np.int32)
    node = lambda name, *synapses: Cuba(name, synapses, none + 4096, none, 4096, 1)  # noqa: E731
    nodes = (
        node("dead", Dense(TOKENS, some)),
        node("unheard", Dense(TOKENS, some)),
        node("live", Dense(TOKENS, some), Dense("unheard", zero)),
        Readout("out", (Dense("live", some[:2]),)),
    )
    net = Net(nodes, (Input(TOKENS, 3), Input(PHASE, 2, of=PHASE)), 2, 2)
    assert list(expand(net).outputs) == [TOKENS, PHASE, "live", "out"]
    assert [j.source for j in expand(net).projections] == [TOKENS, "live"]
    assert list(expand(net, ["dead"]).outputs) == [TOKENS, PHASE, "dead", "live", "out"]


def test_resets():
    """Neurons with a state are reset at their own first step of a sample, or frame; what forgets at once never."""
    one, none = np.full((1, 1), 2, np.int16), np.zeros(1, np.int32)
    cubas = [
        Cuba("a", (Dense(TOKENS, one),), none + 4096, none, 4096, 1),
        Cuba("b", (Dense("a", one),), none + 4095, none, 4096, 1),
        Cuba("c", (Dense("b", one),), none + 4096, none, 4095, 1, frame_reset=True),
    ]
    net = Net((*cubas, Readout("out", (Dense("c", one),))), (Input(TOKENS, 1),), 2, 5)
    found = {p.name: p.reset and (p.reset.period, p.reset.offset) for p in expand(net).populations}
    assert found == {"a": None, "b": (10, 2), "c": (2, 1), "out": None}
    assert {p.name: p.reset and p.reset.period for p in expand(net, slot=16).populations}["b"] == 16


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_every_synapse_has_its_weight_and_its_delay(seed):
    """A matrix with any delays, through relays or not: what arrives, by source neuron and time."""
    r = np.random.default_rng(seed)
    shape = int(r.integers(1, 6)), int(r.integers(1, 6))
    weight = (r.integers(-9, 9, shape) * 2 * (r.random(shape) < r.random())).astype(np.int16)
    delay = [int(r.integers(0, 200)), r.integers(0, 130, shape), r.integers(0, 130, (1, shape[1]))][r.integers(3)]
    builder, line = Builder(), Line("in", shape[1], "")
    inputs = builder.connect((line,), "x", weight, delay)
    relays = {p.name: p.inputs[0] for p in builder.populations}
    found = {}
    for j in inputs:
        late, at = 0, j.source
        while at != "in":
            late, at = late + 1 + relays[at].delay, relays[at].source
        assert np.max(j.delay) <= MAX_DELAY and j.synapses > 0
        matrix, delays = dense(j.weight), np.broadcast_to(j.delay, j.weight.shape)
        for target, source in np.argwhere(matrix):
            assert (target, source) not in found
            found[target, source] = matrix[target, source], late + delays[target, source]
        assert issparse(j.weight) == (np.count_nonzero(matrix) * 2 <= matrix.size)
    wide = np.broadcast_to(delay, shape)
    assert found == {(t, s): (weight[t, s], wide[t, s]) for t, s in np.argwhere(weight).tolist()}


def neuron(r, n):
    return Neuron(
        r.choice([300, 4000], n).astype(np.int32),
        200,
        int(r.integers(20, 200)),
        r.integers(-20, 30, n).astype(np.int32),
    )


def chain(r):
    """Drive into neurons, a convolution with axon delays, a dense layer with delays on its synapses and axons, and one
    that reads itself.
    """
    even = lambda low, high, *shape: (r.integers(low, high, shape) * 2).astype(np.int16)  # noqa: E731
    first = InputLayer("in", (2, 5, 4), Neuron(np.array([900], np.int32), 300, 40, np.array([5, 20], np.int32)))
    weight, groups = even(-60, 100, 4, 1, 3, 2), 2
    shape = dict(stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=groups, in_shape=first.shape)
    late = r.integers(0, MAX_DELAY + 1, 4).astype(np.int32) if r.random() < 0.5 else None
    bias = r.integers(-20, 30, 4).astype(np.int32)
    conv = ConvLayer("conv", weight, Neuron(np.array([700], np.int32), 200, 60, bias), axon_delay=late, **shape)
    flat = FlattenLayer("flat", (int(np.prod(conv.shape)),))
    n = flat.shape[0]
    delays = r.integers(0, MAX_DELAY + 1, (6, n)).astype(np.int32)
    hidden = DenseLayer("hidden", even(-60, 100, 6, n), neuron(r, 6), synapse_delay=delays)
    hidden_late = r.integers(0, 9, 6).astype(np.int32)
    out = DenseLayer("last", even(-60, 100, 5, 6), neuron(r, 5), recurrent=even(-60, 40, 5, 5))
    return Sequential((first, conv, flat, replace(hidden, axon_delay=hidden_late), out))


@pytest.mark.parametrize("seed", range(6))
def test_slayer_nets_compute_what_they_do(seed):
    """The engine's spikes are as late as the axons say; in the expansion the synapses behind them are."""
    r, steps = np.random.default_rng(seed), 200
    net = chain(r)
    x = r.integers(-100, 400, (1, steps, *net.layers[0].shape))
    expected, expansion = net.run(x), expand(net)
    lag = {name: late + 1 for name, late in net.lags.items()}  # what drives the input neurons passes a synapse, too
    sent = flow(expansion, {"in.drive": x[0].reshape(steps, -1)}, steps + max(lag.values()), lag)
    for layer in net.layers:
        spikes = expected[layer.name].reshape(steps, -1)
        assert spikes.any()
        if getattr(layer, "neuron", None) is None:
            continue
        channel = np.arange(spikes.shape[1]) // (spikes.shape[1] // layer.shape[0])
        axon = getattr(layer, "axon_delay", None)
        late = np.zeros(spikes.shape[1], int) if axon is None else axon[channel]
        for p in expansion.outputs[layer.name]:
            for ours, i in zip(sent[p.name].T, p.index):
                first, end = late[i], steps - late[i]
                assert (ours[lag[layer.name] :][:end] == spikes[first:, i]).all(), (layer.name, i)

"""NIR: what we say must be what we mean (an independent simulation of NIR's equations), come back as it was, and be
refused by name where it cannot be.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import random_net, weights

from sim import engine, netx
from sim.base.errors import UserError
from sim.net import TOKENS, Cuba, Dense, Input, Net, Readout
from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Neuron, Sequential, run_layer

nir = pytest.importorskip("nir", reason="the extra `nir` is not installed")

from convert.nir import files  # noqa: E402
from convert.nir.from_graph import from_graph  # noqa: E402
from convert.nir.to_graph import to_graph  # noqa: E402
from sim.netx import slayer_writer  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
I4 = lambda *x: np.array(x, np.int32)  # noqa: E731


def neuron(r, channels, size, memory=True):
    i_decay = r.integers(1, 4097, r.choice([1, size])) if memory else np.array([4096])
    v_decay = int(r.integers(1, 4097)) if memory else 4096
    return Neuron(
        i_decay.astype(np.int32),
        v_decay,
        int(r.integers(0, 3000)),
        r.integers(-50, 60, r.choice([1, channels])).astype(np.int32),
    )


def dense(r, name, n_in, n, **k):
    return DenseLayer(name, weights(r, n, n_in), neuron(r, n, n, **k))


def random_sequential(seed, **k):
    r = np.random.default_rng(seed)
    layers, shape = [], (int(r.integers(1, 4)), int(r.integers(3, 7)), int(r.integers(3, 7)))
    driven = r.random() < 0.4
    first = (
        Neuron(np.array([r.integers(1, 4097)], np.int32), int(r.integers(1, 4097)), int(r.integers(0, 3000)), I4(0))
        if driven
        else None
    )
    layers.append(InputLayer("layer/0", shape, first, (int(r.integers(-9, 99)), 3) if driven else None))
    for i in range(int(r.integers(0, 3))):
        size, c = int(r.integers(1, 1 + min(3, *layers[-1].shape[1:]))), int(r.integers(1, 4))
        w = weights(r, c, layers[-1].shape[0] * size * size).reshape(c, -1, size, size)
        pads = [tuple(int(x) for x in r.integers(lo, hi, 2)) for lo, hi in ((1, 3), (0, 2))]
        out = ConvLayer(f"layer/{i + 1}", w, neuron(r, c, 1), *pads, (1, 1), 1, layers[-1].shape).shape
        layers.append(
            ConvLayer(f"layer/{i + 1}", w, neuron(r, c, int(np.prod(out)), **k), *pads, (1, 1), 1, layers[-1].shape)
        )
    layers.append(FlattenLayer(f"layer/{len(layers)}", (int(np.prod(layers[-1].shape)),)))
    for _ in range(int(r.integers(1, 3))):
        layers.append(dense(r, f"layer/{len(layers)}", layers[-1].shape[0], int(r.integers(1, 6)), **k))
    return Sequential(tuple(layers))


def chain_net(seed):
    r = np.random.default_rng(seed)
    sizes, nodes, before = [int(x) for x in r.integers(1, 7, 4)], [], TOKENS
    for i in range(2):
        n = sizes[i + 1]
        nodes.append(
            Cuba(
                f"n.{i}",
                (Dense(before, weights(r, n, sizes[i])),),
                r.integers(1, 4097, n).astype(np.int32),
                r.integers(-40, 40, n).astype(np.int32),
                int(r.integers(1, 4097)),
                int(r.integers(0, 900)),
            )
        )
        before = nodes[-1].name
    nodes.append(Readout("out", (Dense(before, weights(r, 3, sizes[2])),)))
    more = dict(encoder={"height": 2}, classes=("a", "b", "ü"), facts={"seed": seed})
    return Net(tuple(nodes), (Input(TOKENS, sizes[0]),), 4, 3, **more)


def parts(layer):
    """All that a layer is, numbers in full."""
    out = dict(kind=type(layer).__name__, shape=layer.shape, transform=getattr(layer, "transform", None))
    for key in ("weight", "stride", "padding", "dilation", "groups", "in_shape"):
        if hasattr(layer, key):
            out[key] = np.asarray(getattr(layer, key)).tolist()
    n = getattr(layer, "neuron", None)
    if n is not None:
        size, channels = int(np.prod(layer.shape)), layer.shape[0]
        out |= dict(
            v_decay=n.v_decay,
            v_th=n.v_th,
            i_decay=np.broadcast_to(n.i_decay, size).tolist(),
            bias=np.broadcast_to(n.bias, channels).tolist(),
        )
    return out


def round_trip(net, tmp_path, dt=1e-4):
    files.save(to_graph(net, dt), tmp_path / "a.nir")
    return from_graph(files.load(tmp_path / "a.nir"))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([1e-4, 1e-3, 1.0, 1 / 3, 7e-7]))
def test_layers_come_back_as_they_were(tmp_path_factory, seed, dt):
    """Export, file, import: every integer of every layer, whatever the step; and again through the file that the
    import writes.
    """
    tmp_path = tmp_path_factory.mktemp("nir")
    net = random_sequential(seed)
    back, rows = round_trip(net, tmp_path, dt)
    assert [parts(a) for a in back.layers] == [parts(a) for a in net.layers]
    assert all(
        r["exact"] and r["weight_error"] < 1e-12 and r["decay_error"] < 1e-12 and r["bias_error"] < 1e-9 for r in rows
    )
    slayer_writer.write(back, tmp_path / "b.net")
    again = netx.load(tmp_path / "b.net")
    assert [parts(a) for a in again.layers] == [parts(a) for a in net.layers]
    assert [a.name for a in again.layers] == [a.name for a in back.layers] == [a.name for a in net.layers]


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_nets_come_back_as_they_were(tmp_path_factory, seed):
    """With geometry, classes and facts: the file's digest is the same."""
    tmp_path = tmp_path_factory.mktemp("nir")
    net = chain_net(seed)
    back, rows = round_trip(net, tmp_path)
    assert isinstance(back, Net) and netx.write(back, tmp_path / "b.net") == netx.write(net, tmp_path / "a.net")
    x = (np.random.default_rng(seed).random((2, net.steps, net.inputs[0].size)) < 0.5).astype(np.uint8)
    assert (engine.run(back, x).logits == engine.run(net, x).logits).all()


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_nets_with_branches_come_back_as_they_were(tmp_path_factory, seed):
    """Banks, skips, the phase, reversed views, scan orders: the file's digest is the same."""
    tmp_path = tmp_path_factory.mktemp("nir")
    net = random_net(seed)
    if any(getattr(node, "frame_reset", False) for node in net.nodes):
        net = replace(net, nodes=tuple(replace(n, frame_reset=False) if isinstance(n, Cuba) else n for n in net.nodes))
    try:
        graph = to_graph(net)
    except UserError as e:  # what NIR has no neuron for
        assert any(why in str(e) for why in ("v_decay 0", "two synapses from one source", "nothing reads"))
        return
    files.save(graph, tmp_path / "a.nir")
    back, rows = from_graph(files.load(tmp_path / "a.nir"))
    assert netx.write(back, tmp_path / "b.net") == netx.write(net, tmp_path / "a.net")
    assert all(row["exact"] for row in rows)


@pytest.mark.parametrize("name", ["digits-tiny", "nmnist-small", "gestures-medium"])
def test_the_nets_of_this_project_come_back(tmp_path, name):
    """Whole SmolMambas: the same content, digest and all, but for golden inputs."""
    net = netx.read(ROOT / f"models/{name}.net")
    back, rows = round_trip(net, tmp_path)
    assert netx.write(back, tmp_path / "b.net") == netx.write(net, tmp_path / "a.net")
    assert len(rows) == len(net.nodes) and all(row["exact"] for row in rows)


def test_recurrence_and_delays_come_back(tmp_path):
    """Of sources, of synapses apart and of axons, and a layer's own spikes; also through the file that is written."""
    r = np.random.default_rng(3)
    late = r.integers(0, 5, (4, 6)).astype(np.int32)
    w = weights(r, 4, 6)
    layers = (
        InputLayer("layer/0", (6,)),
        DenseLayer("layer/1", w, neuron(r, 4, 4), None, I4(3, 0, 1, 9), np.where(w == 0, 0, late)),
        DenseLayer("layer/2", weights(r, 5, 4), neuron(r, 5, 5), weights(r, 5, 5)),
        DenseLayer("layer/3", weights(r, 3, 5), neuron(r, 3, 3)),
    )
    net = Sequential(layers)
    back, rows = round_trip(net, tmp_path, 1e-3)
    assert isinstance(back, Sequential) and all(row["exact"] for row in rows)
    assert (back.layers[1].axon_delay == layers[1].axon_delay).all()
    assert (back.layers[1].synapse_delay == layers[1].synapse_delay).all()
    assert (back.layers[2].recurrent == layers[2].recurrent).all()
    x = (r.random((2, 40, 6)) < 0.4).astype(np.uint8)
    ours, theirs = net.run(x), back.run(x)
    assert all((ours[name] == theirs[name]).all() for name in ours) and ours["layer/1"].any()


def every_decay(kind):
    """One neuron for each of the 4096 decays of the current."""
    n = 4096
    neuron = Neuron(np.arange(1, n + 1, dtype=np.int32), kind, 100, I4(0))
    return Sequential((InputLayer("layer/0", (1,)), DenseLayer("layer/1", np.full((n, 1), 2, np.int16), neuron)))


@pytest.mark.parametrize("dt", [1e-4, 1e-3, 0.1])
def test_every_decay(dt):
    net = every_decay(7)
    assert (from_graph(to_graph(net, dt))[0].layers[1].neuron.i_decay == net.layers[1].neuron.i_decay).all()
    for v_decay in (1, 2, 3, 4095, 4096):
        assert from_graph(to_graph(every_decay(v_decay), dt))[0].layers[1].neuron.v_decay == v_decay


def nir_simulation(graph, x, dt):
    """NIR's own equations, read off its documentation, forward Euler with the new current, in float64; chains of Linear
    and neurons.

    x: [K, n]. Returns (spikes of the last neurons, list of the currents as they enter each membrane [K, ...])."""
    order = ["input"]
    after = dict(graph.edges)
    while order[-1] in after:
        order.append(after[order[-1]])
    currents = []
    for name in order:
        node = graph.nodes[name]
        kind = type(node).__name__
        if kind == "Linear":
            x = x @ node.weight.T
        elif kind in ("CubaLIF", "IF"):
            i, v, out, seen = np.zeros(x.shape[1]), np.zeros(x.shape[1]), np.zeros_like(x), np.zeros_like(x)
            for k in range(len(x)):
                if kind == "CubaLIF":
                    i = i + dt / node.tau_syn * (-i + node.w_in * x[k])
                    v = v + dt / node.tau_mem * (node.v_leak - v + node.r * i)
                    seen[k] = dt / node.tau_mem * node.r * i
                else:
                    v = v + dt * node.r * x[k]
                # A float within 1e-9 of the threshold is on it, and so no spike.
                s = v > node.v_threshold + 1e-9 * np.maximum(1, node.v_threshold)
                v = np.where(s, node.v_reset, v)
                out[k] = s
            x = out
            currents.append(seen)
    return x, currents


@pytest.mark.parametrize("seed", range(8))
def test_meaning_where_nothing_is_rounded(seed):
    """Memoryless layers, and membranes that never leak (IF): NIR's equations give our spikes, all of them."""
    r = np.random.default_rng(seed)
    never = Neuron(I4(4096), 0, int(r.integers(0, 900)), I4(0))
    layers = (
        InputLayer("layer/0", (5,)),
        dense(r, "layer/1", 5, 6, memory=False),
        DenseLayer("layer/2", weights(r, 7, 6), never),
        dense(r, "layer/3", 7, 4, memory=False),
    )
    net, dt = Sequential(layers), 1e-3
    x = (r.random((1, 60, 5)) < 0.5).astype(np.uint8)
    graph = to_graph(net, dt)
    assert [type(n).__name__ for n in graph.nodes.values()].count("IF") == 1
    spikes, _ = nir_simulation(graph, x[0].astype(float), dt)
    ours = net.run(x)["layer/3"][0]
    assert (spikes == ours).all()
    assert parts(from_graph(graph)[0].layers[2]) == parts(layers[2])


@pytest.mark.parametrize("i_decay", [1, 20, 512, 2048, 4095])
def test_meaning_of_decays(i_decay):
    """NIR does not round: the currents differ from ours by no more than what rounding toward zero, less than one
    64th a step, can add up to.
    """
    r, dt, steps = np.random.default_rng(i_decay), 1e-4, 300
    layer = DenseLayer("layer/1", weights(r, 6, 5), Neuron(I4(i_decay), 300, 2000, I4(3)))
    net = Sequential((InputLayer("layer/0", (5,)), layer))
    x = (r.random((1, steps, 5)) < 0.3).astype(np.uint8)
    _, (real,) = nir_simulation(to_graph(net, dt), x[0].astype(float), dt)
    ours = net.run(x, currents=True)[1]["layer/1"][0] / 64
    bound = min(steps, 4096 / i_decay) / 64
    assert np.abs(real - ours).max() <= bound and np.abs(ours).max() > 20 * bound * (i_decay > 100)


def graph_of(*nodes, **metadata):
    """A chain with input and output, named n0, n1, ..."""
    first, last = nodes[0], nodes[-1]
    names = ["in", *(f"n{i}" for i in range(len(nodes))), "out"]
    all_ = [nir.Input(np.array(first.input_type["input"])), *nodes, nir.Output(np.array(last.output_type["output"]))]
    return nir.NIRGraph(dict(zip(names, all_)), list(zip(names, names[1:])), metadata, type_check=False)


def cuba(n, tau_syn=2e-3, tau_mem=1e-2, r=1.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0, w_in=1.0, dtype=np.float64):
    full = lambda x: np.broadcast_to(np.asarray(x, dtype), n).copy()  # noqa: E731
    return nir.CubaLIF(
        full(tau_syn), full(tau_mem), full(r), full(v_leak), full(v_threshold), full(v_reset), full(w_in)
    )


def lif(n, tau=1e-2, r=1.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0):
    full = lambda x: np.broadcast_to(np.asarray(x, np.float64), n).copy()  # noqa: E731
    return nir.LIF(tau=full(tau), r=full(r), v_leak=full(v_leak), v_threshold=full(v_threshold), v_reset=full(v_reset))


def test_float_graphs_are_quantized_by_the_stated_rule():
    """By hand. gain = dt/tau_syn w_in dt/tau_mem r = 0.5 * 2 * 0.25 * 4 = 1. Thresholds 1 and 2: each row is scaled so
    that its threshold becomes the layer's.
    Row 0: largest weight 0.5, scale up to 254/0.5 = 508; row 1: largest -1.6, 256/1.6 = 160, threshold 2 -> 320. So the
    threshold is 320."""
    w = np.array([[0.5, -0.25, 0.1], [-1.6, 0.4, 0.0031]])
    node = cuba(2, 2e-3, 4e-3, 4.0, [0.04, -0.08], [1.0, 2.0], w_in=2.0)
    net, (row,) = from_graph(graph_of(nir.Linear(w), node, dt=1e-3))
    layer = net.layers[1]
    assert layer.neuron.v_th == 320 and layer.neuron.i_decay.tolist() == [2048] and layer.neuron.v_decay == 1024
    assert layer.weight.tolist() == [[160, -80, 32], [-256, 64, 0]]  # 0.0031 * 160 = 0.496
    assert layer.neuron.bias.tolist() == [3, -3]  # 0.25 * 0.04 * 320 = 3.2, 0.25 * 0.08 * 160 = 3.2
    assert not row["exact"] and row["decay_error"] == 0 and row["bias_error"] == pytest.approx(0.2 / 320)
    assert row["weight_error"] == pytest.approx(
        0.496 / np.sqrt(160**2 + 80**2 + 32**2 + 256**2 + 64**2 + 0.496**2), rel=1e-6
    )


def test_limits_of_the_rule():
    """Bias, sum of weights and threshold bound the scale, too; silent rows bound nothing."""
    net, _ = from_graph(
        graph_of(nir.Linear(np.array([[0.01]])), cuba(1, 1e-3, 1e-3, v_leak=-0.9, v_threshold=1.1), dt=1e-3)
    )
    assert net.layers[1].neuron.v_th == int(4095 / 0.9 * 1.1) and net.layers[1].neuron.bias.tolist() in (
        [-4095],
        [-4094],
    )
    n = 5000
    net, _ = from_graph(graph_of(nir.Linear(np.full((1, n), 0.3)), cuba(1, 1e-3, 1e-3), dt=1e-3))
    assert np.abs(net.layers[1].weight.astype(int)).sum() <= 1 << 18 and net.layers[1].weight[0, 0] == 52
    net, _ = from_graph(graph_of(nir.Linear(np.array([[1e-4], [0.0]])), cuba(2, 1e-3, 1e-3, v_threshold=1.1), dt=1e-3))
    assert net.layers[1].neuron.v_th == (1 << 17) - 1


def test_lif_if_and_biases():
    """LIF has no current of its own; a bias of the weights is a bias of the membrane where the current forgets at once."""  # noqa: E501
    w = np.array([[4.0, -8.0]])
    net, (row,) = from_graph(graph_of(nir.Affine(w, np.array([12.0])), lif(1, 2e-3, 2.0, 6.0, 30.0), dt=1e-3))
    n = net.layers[1].neuron
    assert (
        row["exact"]
        and (n.i_decay.tolist(), n.v_decay, n.v_th) == ([4096], 2048, 30)
        and net.layers[1].weight.tolist() == [[4, -8]]
    )
    assert n.bias.tolist() == [15]  # 0.5 * 2 * 12 + 0.5 * 6
    one = np.array([500.0])
    net, (row,) = from_graph(graph_of(nir.Linear(w), nir.IF(one, one * 0 + 17), dt=1e-3))
    assert row["exact"] and (
        net.layers[1].neuron.v_decay,
        net.layers[1].neuron.v_th,
        net.layers[1].weight.tolist(),
    ) == (0, 17, [[2, -4]])
    net, (row,) = from_graph(graph_of(nir.Linear(w), nir.IF(one, one * 0 + 17), dt=5e-4))
    assert not row["exact"]  # 500 * 0.0005 * 4 = 1 is odd


def test_a_quantized_net_does_what_the_float_graph_does():
    """Two layers of random weights: the spikes of the integers are those of NIR's equations but for few. (Weights of
    eight bits; no equality is to be had.)
    """
    r, dt = np.random.default_rng(0), 1e-3
    graph = graph_of(
        nir.Linear(r.normal(0, 0.5, (40, 20))),
        cuba(40, 4e-3, 8e-3, v_threshold=0.4, w_in=2.0, r=1.5),
        nir.Linear(r.normal(0, 0.6, (30, 40))),
        cuba(30, 2e-3, 5e-3, v_threshold=r.uniform(0.2, 0.6, 30), dtype=np.float32),
        dt=dt,
    )
    x = (r.random((1, 200, 20)) < 0.3).astype(np.uint8)
    graph.nodes["input"] = graph.nodes.pop("in")
    graph.edges = [("input" if a == "in" else a, b) for a, b in graph.edges]
    first = nir.NIRGraph({k: graph.nodes[k] for k in ("input", "n0", "n1")}, graph.edges[:2], type_check=False)
    hidden, real = (nir_simulation(g, x[0].astype(float), dt)[0] for g in (first, graph))
    net, rows = from_graph(graph)
    ours = (
        net.run(x)["layer/1"][0],
        run_layer(net.layers[2], hidden[None].astype(np.uint8))[0][0],
    )  # the second layer on the same input
    for a, b in zip((hidden, real), ours):
        assert 0.05 < a.mean() < 0.5 and (a != b).mean() < 0.02 and abs(int(a.sum()) - int(b.sum())) < 0.02 * a.sum()
    assert all(0 < row["weight_error"] < 0.01 and row["decay_error"] < 1e-3 and not row["exact"] for row in rows)


def test_real_slayer_nets_come_back(tmp_path):
    """Nets that lava-dl's wheel ships, trained and exported by SLAYER, whose input drives neurons."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        folder = Path(distribution("lava-dl").locate_file("tests/lava/lib/dl/netx"))
    except PackageNotFoundError:
        pytest.skip("lava-dl is not installed")
    done = []
    for name in ("tiny.net", "gts/pilotnet_lif/network.net"):
        net = netx.load(folder / name)
        back, rows = round_trip(net, tmp_path)
        assert [parts(a) for a in back.layers] == [parts(a) for a in net.layers] and all(row["exact"] for row in rows)
        slayer_writer.write(back, tmp_path / "b.net")
        assert [parts(a) for a in netx.load(tmp_path / "b.net").layers] == [parts(a) for a in net.layers]
        done.append(len(rows))
    assert min(done) > 1
    net = netx.load(folder / "mnist.net")  # ends in an integrator, whose current never leaks: NIR's has a membrane
    back, _ = round_trip(net, tmp_path)
    assert [parts(a) for a in back.layers[:-1]] == [parts(a) for a in net.layers[:-1]]
    assert back.layers[-1].neuron.v_decay == 0 and (back.layers[-1].weight == net.layers[-1].weight).all()


def test_conv_paddings():
    """'same' and 'valid', and a number for a pair, as other writers have them."""
    w = np.full((2, 1, 3, 3), 4.0)
    for padding, expected in (("same", (1, 1)), ("valid", (0, 0)), (2, (2, 2))):
        conv = nir.Conv2d((6, 5), w, 1, padding, 1, 1, np.zeros(2))
        shape = (2, *(s + 2 * p - 2 for s, p in zip((6, 5), expected)))
        neurons = cuba(shape, 1e-3, 1e-3, v_threshold=20)
        graph = nir.NIRGraph(
            {"in": nir.Input(np.array([1, 6, 5])), "c": conv, "l": neurons, "out": nir.Output(np.array(shape))},
            [("in", "c"), ("c", "l"), ("l", "out")],
            {"dt": 1e-3},
            type_check=False,
        )
        layer = from_graph(graph)[0].layers[1]
        assert layer.padding == expected and layer.shape == shape and (layer.weight == 4).all()


EYE = np.eye(2) * 4


def joined(nodes, *edges, **metadata):
    """A graph of `nodes` (name -> node) and edges `a>b`; inputs and outputs are among the nodes."""
    return nir.NIRGraph(nodes, [tuple(e.split(">")) for e in edges], metadata, type_check=False)


def ends(n_in, n_out):
    """Input and output of a graph, as `joined` takes them."""
    return {"in": nir.Input(np.array(n_in, ndmin=1)), "out": nir.Output(np.array(n_out, ndmin=1))}


def _apart():
    g = graph_of(nir.Linear(EYE), cuba(2))
    g.nodes["alone"] = nir.Linear(EYE)
    return g


def _two_inputs():
    g = graph_of(nir.Linear(EYE), cuba(2))
    g.nodes["more"], g.nodes["w"] = nir.Input(np.array([2])), nir.Linear(EYE)
    g.edges += [("more", "w"), ("w", "n1")]
    return g


def _without_neurons():
    g = joined(ends(2, 2) | {"a": nir.Linear(EYE), "b": nir.Linear(EYE), "n": cuba(2)}, "in>a", "a>b", "b>a", "b>n")
    g.edges.append(("n", "out"))
    return g


def _inner(ins=1):
    inner = graph_of(nir.Linear(EYE), cuba(2))
    if ins != 1:
        inner.nodes.pop("in")
    return joined(ends(2, 2) | {"inner": inner}, "in>inner", "inner>out")


def _wrong_shape():
    return graph_of(nir.Linear(EYE), cuba(3))


def _integrator_inside():
    nodes = ends(2, 2) | {"li": nir.I(np.ones(2)), "n": cuba(2)}
    return joined(nodes, "in>li", "li>n", "n>out")


def _late_mix():
    nodes = [nir.Linear(EYE), nir.Delay(np.array([0.0, 3e-4])), nir.Linear(EYE), cuba(2)]
    return graph_of(*nodes)


def _nested(depth):
    graph = graph_of(nir.Linear(EYE), cuba(2))
    for _ in range(depth):
        graph = joined(ends(2, 2) | {"g": graph}, "in>g", "g>out")
    return graph


def _with_edge(edge):
    graph = graph_of(nir.Linear(EYE), cuba(2))
    graph.edges.append(tuple(edge.split(">")))
    return graph


def _conv(shape=(2, 4, 4), weight=(2, 2, 1, 1), flat=False, **changes):
    """A convolution between an image and neurons, attributes changed after it was made, as a file can have them."""
    node = nir.Conv2d(None, np.ones(weight), 1, 0, 1, 1, np.zeros(weight[0]))
    for key, value in changes.items():
        setattr(node, key, value)
    n = (weight[0], 4, 4)
    nodes = ends(shape, 2 if flat else n) | {"c": node, "n": lif(2 if flat else n)}
    if flat:
        return joined(nodes | {"w": nir.Linear(np.ones((2, 32)))}, "in>c", "c>w", "w>n", "n>out")
    return joined(nodes, "in>c", "c>n", "n>out")


def _between(node, shape, *more):
    nodes = {f"x{i}": n for i, n in enumerate((node, *more))}
    way = ["in", *nodes, "n", "out"]
    return joined(ends(shape, shape) | nodes | {"n": lif(shape)}, *(f"{a}>{b}" for a, b in zip(way, way[1:])))


def _two_ways(a, b):
    nodes = ends(2, 2) | {"a": a, "b": b, "n": lif(2)}
    return joined(nodes, "in>a", "in>b", "a>n", "b>n", "n>out")


LEAK = nir.LI(np.full(2, 1e-2), np.ones(2), np.zeros(2))
RUINED = lambda **k: graph_of(nir.Linear(np.random.default_rng(0).normal(0, 0.3, (8, 6))), cuba(8, 2e-2, 5e-2), **k)  # noqa: E731


@pytest.mark.parametrize(
    "make, message",
    [
        (_apart, "node 'alone': is on no way from the graph's input to its output"),
        (_two_inputs, "has 2 Input nodes, expected one"),
        (_without_neurons, "stands in a loop without neurons"),
        (lambda: _inner(0), "node 'inner': the graph inside has 0 Input nodes, expected one"),
        (_wrong_shape, "node 'n1': has shape (3,), the weights 'n0' make (2,)"),
        (_integrator_inside, "node 'li': a I sends values and not spikes"),
        (_late_mix, "node 'n2': mixes values that a Delay has made late by different times"),
        (RUINED, "rounding ruins its weights (RMS error 100%)"),
        (RUINED, "steps are of 0.0001 s, it works with --dt 0.0005"),
        (
            lambda: graph_of(
                nir.IF(np.full(2, 1e4), np.full(2, 7.0)),
                nir.Linear(EYE),
                cuba(2),
                dt=1e-4,
                input_transform=np.array([1.5, 2]),
            ),
            "its metadata 'input_transform' are [1.5, 2.0]",
        ),
        (lambda: graph_of(nir.Linear(EYE), cuba(2), nir.Delay(np.full(2, 1.0))), "node 'n2': delays from 1 to 1 s"),
        (lambda: graph_of(nir.Linear(EYE), cuba(2, v_reset=1.0)), "node 'n1': v_reset is not below v_threshold"),
        (
            lambda: graph_of(nir.Linear(EYE), cuba(2, tau_mem=[1e-2, 2e-2])),
            "node 'n1': has several membrane time constants and is the output",
        ),
        (
            lambda: graph_of(nir.Linear(EYE), cuba(2, tau_syn=5e-5)),
            "node 'n1': tau_syn is 5e-05 s, shorter than a step of 0.0001 s; import with a smaller --dt",
        ),
        (lambda: graph_of(nir.Linear(EYE), cuba(2, tau_mem=10.0)), "node 'n1': tau_mem is 10 s, more than 8192 steps"),
        (lambda: graph_of(nir.Linear(EYE), cuba(2, tau_mem=-1.0)), "node 'n1': tau_mem must be positive"),
        (lambda: graph_of(nir.Linear(EYE * 0.3), cuba(2, v_threshold=0.0)), "node 'n1': v_threshold must be positive"),
        (
            lambda: graph_of(nir.Linear(EYE * 1e5), cuba(2, 1e-4, 1e-4)),
            "node 'n1': its threshold is less than 1/254 of a weight",
        ),
        (lambda: graph_of(nir.Linear(EYE), cuba(2, r=np.nan)), "node 'n1': r is float64 (2,), expected finite numbers"),
        (
            lambda: graph_of(nir.Linear(np.full((2, 2), np.inf)), cuba(2)),
            "node 'n0': weight is float64 (2, 2), expected finite",
        ),
        (
            lambda: graph_of(nir.Linear(np.ones((1, 2, 2))), cuba((1, 2))),
            "node 'n0': weight has shape (1, 2, 2), expected 2 dimensions",
        ),
        (lambda: graph_of(nir.Affine(EYE, np.ones(3)), cuba(2)), "node 'n0': bias has shape (3,), expected (2,)"),
        (lambda: graph_of(nir.Linear(EYE), cuba(2), dt=-1.0), "dt is -1.0, expected a positive number"),
        (lambda: graph_of(nir.Linear(EYE), cuba(2), dt="soon"), "its dt is 'soon'"),
        (
            lambda: graph_of(nir.Linear(EYE), cuba(2), dt=1e-3, smolmamba="{}"),
            "its metadata 'smolmamba' are not what convert wrote",
        ),
        (
            lambda: graph_of(nir.Linear(EYE), cuba(2), dt=1e-3, smolmamba='{"version": 9}'),
            "are of version 9, expected",
        ),
        (
            lambda: graph_of(nir.Conv2d((2, 2), np.ones((1, 1, 3, 3)), 1, 0, 1, 1, np.zeros(1)), cuba((1, 1, 1))),
            "node 'n0': kernel (3, 3) does not fit",
        ),
        (
            lambda: graph_of(nir.Conv2d((4, 4), np.ones((1, 1, 2, 2)), 1, "same", 1, 1, np.zeros(1)), cuba((1, 4, 4))),
            "node 'n0': padding 'same'",
        ),
        (lambda: joined({"out": nir.Output(I4(2)), "n": cuba(2)}, "n>out"), "has 0 Input nodes, expected one"),
        (lambda: joined({"in": nir.Input(I4(2)), "n": cuba(2)}, "in>n"), "has 0 Output nodes, expected one"),
        (lambda: _nested(40), "graphs inside graphs, more than"),
        (lambda: _with_edge("in>nobody"), "graph: an edge leads to 'nobody', which is not there"),
        (lambda: _with_edge("n1>in"), "node 'in': an Input with an edge into it"),
        (lambda: _with_edge("out>n1"), "node 'out': an Output with an edge out of it"),
        (
            lambda: joined(ends(2, 3) | {"w": nir.Linear(EYE), "n": cuba(2)}, "in>w", "w>n", "n>out"),
            "node 'out': says (3,), the node before gives (2,)",
        ),
        (lambda: _conv(weight=(2, 2, 1, 1), shape=(3, 4, 4)), "node 'c': takes 2 channels, height and width"),
        (lambda: _conv(groups=3), "node 'c': 3 groups do not divide 2 channels"),
        (lambda: _conv(stride=(0, 1)), "node 'c': stride (0, 1) and dilation (1, 1) must be positive"),
        (lambda: _conv(groups=1.5), "node 'c': groups is [1.5], expected 1 whole numbers"),
        (lambda: _conv(input_shape=(5, 5)), "node 'c': input_shape is (5, 5), the node before gives (4, 4)"),
        (lambda: _conv(weight=(9, 2, 9, 9), dilation=(10**4, 10**4)), "makes a kernel of 80001 x 80001, too large"),
        (lambda: _conv(flat=True), "node 'w': takes 32 values, the node before gives (2, 4, 4); put a Flatten before"),
        (
            lambda: _between(nir.SumPool2d(I4(0, 2), I4(1, 1), I4(0, 0)), (1, 4, 4)),
            "node 'x0': kernel_size (0, 2) and stride (1, 1) must be positive",
        ),
        (lambda: _between(LEAK, (2,), LEAK), "node 'x1': two leaky integrators on the way to one neuron"),
        (
            lambda: _between(nir.LI(np.array([1e-2, 2e-2]), np.ones(2), np.zeros(2)), (2,)),
            "node 'x0': a leaky integrator before other nodes becomes their current, which needs one tau",
        ),
        (lambda: graph_of(nir.Linear(EYE), LEAK, cuba(2)), "a leaky integrator before it and a current of its own"),
        (
            lambda: _two_ways(LEAK, nir.LI(np.full(2, 3e-2), np.ones(2), np.zeros(2))),
            "leaky integrators with different",
        ),
    ],
)
def test_graphs_that_are_refused(make, message):
    with pytest.raises(UserError) as e:
        from_graph(make())
    assert message in str(e.value) and "\n" not in str(e.value)


def one(layer, shape=(2,)):
    return Sequential((InputLayer("layer/0", shape), layer))


N2 = Neuron(I4(4096), 4096, 10, I4(0))
W2 = np.full((2, 2), 4, np.int16)


def net_of(*nodes, inputs=(Input(TOKENS, 2),)):  # noqa: B008
    return Net((*nodes, Readout("out", (Dense(nodes[-1].name if nodes else TOKENS, W2),))), inputs, 2, 2)


def plain(name="a", source=TOKENS, **k):
    return Cuba(name, (Dense(source, W2),), I4(4096, 4096), I4(0, 0), k.pop("v_decay", 4096), 10, **k)


@pytest.mark.parametrize(
    "net, message",
    [
        (net_of(plain(frame_reset=True)), "layer 'a': is reset at every frame"),
        (
            net_of(plain(), Cuba("b", (Dense("a", W2), Dense("a", W2)), I4(9, 9), I4(0, 0), 9, 9)),
            "layer 'b': has two synapses from one source",
        ),
        (net_of(plain("output")), "layer 'output': its name is needed"),
        (net_of(plain("a/b")), "a name in a NIR file must not contain '/'"),
        (
            net_of(Cuba("a", (Dense(TOKENS, W2),), I4(7, 7), I4(0, 0), 0, 9)),
            "a: a membrane that never leaks (v_decay 0) with a current of its own",
        ),
        (one(DenseLayer("layer/1", W2, Neuron(I4(0), 4096, 9, I4(0)))), "layer/1: a current that never leaks"),
        (one(DenseLayer("layer/1", W2, Neuron(I4(4096), 0, 9, I4(3)))), "layer/1: a membrane that never leaks"),
        (one(DenseLayer("layer/1", W2, N2, axon_delay=I4(0, 3))), "layer/1: delays of what the last layer sends"),
        (
            one(
                ConvLayer("layer/1", np.full((2, 1, 1, 1), 4, np.int16), N2, (1, 1), (0, 0), (1, 1), 2, (2, 3, 3)),
                (2, 3, 3),
            ),
            "layer/1: 2 groups",
        ),
        (
            one(
                ConvLayer("layer/1", np.full((2, 1, 1, 3), 4, np.int16), N2, (1, 1), (0, 0), (1, 1), 1, (1, 3, 3)),
                (1, 3, 3),
            ),
            "layer/1: nir types its output (2, 3, 3)",
        ),
        (
            one(
                ConvLayer(
                    "layer/1",
                    np.full((2, 1, 2, 2), 4, np.int16),
                    N2,
                    *((1, 1), (1, 1), (1, 1), 1, (1, 3, 3)),
                    spread=(2, 2),
                ),
                (1, 3, 3),
            ),
            "layer/1: NIR has no transposed convolutions",
        ),
    ],
)
def test_nets_that_are_refused(net, message):
    with pytest.raises(UserError) as e:
        to_graph(net)
    assert message in str(e.value) and "\n" not in str(e.value)


def test_bad_files(tmp_path):
    import h5py

    with pytest.raises(UserError, match="no such file"):
        files.load(tmp_path / "none.nir")
    (tmp_path / "a.nir").write_bytes(b"no")
    with pytest.raises(UserError, match="not an HDF5 file"):
        files.load(tmp_path / "a.nir")
    netx.write(chain_net(1), tmp_path / "a.net")
    with pytest.raises(UserError, match="has no group 'node'"):
        files.load(tmp_path / "a.net")
    for case, make in dict(
        link=lambda f: f["node"].__setitem__("x", h5py.ExternalLink("elsewhere.h5", "y")),
        huge=lambda f: f["node"].create_dataset("x", (1 << 40,), "f8", chunks=(1 << 20,)),
        kind=lambda f: f["node/type"].__setitem__((), "Nothing"),
    ).items():
        files.save(to_graph(chain_net(1)), tmp_path / f"{case}.nir")
        with h5py.File(tmp_path / f"{case}.nir", "r+") as f:
            make(f)
        with pytest.raises(
            UserError,
            match={
                "link": "is a link to elsewhere",
                "huge": "its arrays unpack to 8388608 MiB",
                "kind": "cannot read it",
            }[case],
        ):
            files.load(tmp_path / f"{case}.nir")
    with pytest.raises(UserError, match="cannot write"):
        files.save(to_graph(chain_net(1)), tmp_path / "none/a.nir")


def test_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(UserError, match=r"need the package nir: pip install 'smolmamba-loihi\[nir\]'"):
        to_graph(chain_net(1))


def convert(folder, *args, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "convert", *args],
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_commands(tmp_path):
    sha = netx.write(chain_net(3), tmp_path / "a.net")
    assert "wrote a.nir: 7 nodes, dt 0.001 s" in convert(tmp_path, "nir-export", "a.net", "a.nir", "--dt", "0.001")[0]
    out, _ = convert(tmp_path, "nir-import", "a.nir", "b.net")
    assert "n.0" in out and "yes" in out and netx.read_digest(tmp_path / "b.net") == sha
    files.save(graph_of(nir.Linear(np.array([[0.5, 0.3]])), cuba(1, dtype=np.float32)), tmp_path / "c.nir")
    report = json.loads(convert(tmp_path, "nir-import", "c.nir", "c.net", "--dt", "0.001", "--json")[0])
    assert (
        report["layers"][0]["layer"] == "n1"
        and not report["layers"][0]["exact"]
        and report["layers"][0]["i_decay"] == [2048]
    )
    assert netx.load(tmp_path / "c.net").layers[1].neuron.v_decay == 410
    out, err = convert(tmp_path, "nir-import", "c.nir", "d.net", "--dt", "1", code=2)
    assert (
        out == ""
        and err
        == "error: c.nir: node 'n1': tau_syn is 0.002 s, shorter than a step of 1 s; import with a smaller --dt\n"
    )
    assert not (tmp_path / "d.net").exists()

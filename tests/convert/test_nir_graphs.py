"""NIR graphs that are more than chains: what stands between neurons is put together right, what comes out does what
NIR's equations say, and the real graphs of the NIR paper run.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import weights

import events
from events.frames import SpikeFrames
from sim import netx
from sim.base.errors import UserError
from sim.integer import cuba_step
from sim.netx import graph_file
from sim.sequential import ConvLayer, DenseLayer, InputLayer, Neuron, Sequential, dendrite
from sim.sequential.graph import Edge, Graph, GraphStream, Node
from sim.sequential.graph import by_definition as definition

nir = pytest.importorskip("nir", reason="the extra `nir` is not installed")

from convert.nir import files  # noqa: E402
from convert.nir.from_graph import from_graph  # noqa: E402
from convert.nir.linear import follow  # noqa: E402
from convert.nir.maps import as_matrix, identity  # noqa: E402
from convert.nir.to_graph import to_graph  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(__file__).resolve().parents[3] / "shared/data"
real = pytest.mark.skipif(not (SHARED / "nir").is_dir(), reason=f"no real graphs in {SHARED / 'nir'}")
I4 = lambda *x: np.array(x, np.int32)  # noqa: E731


def joined(nodes, *edges, **metadata):
    """A graph of `nodes` (name -> node, sizes for `in` and `out`) and edges `a>b`."""
    made = {name: node for name, node in nodes.items() if name not in ("in", "out")}
    made["in"], made["out"] = nir.Input(np.array(nodes["in"], ndmin=1)), nir.Output(np.array(nodes["out"], ndmin=1))
    return nir.NIRGraph(made, [tuple(e.split(">")) for e in edges], metadata, type_check=False)


def cuba(n, tau_syn=2e-3, tau_mem=4e-3, w_in=2.0, r=4.0, v_threshold=1.0, v_reset=0.0):
    full = lambda x: np.broadcast_to(np.asarray(x, np.float64), n).copy()  # noqa: E731
    return nir.CubaLIF(full(tau_syn), full(tau_mem), full(r), full(0), full(v_threshold), full(v_reset), full(w_in))


# --- what stands between neurons


def random_stack(r):
    """Nodes that follow one another on an image, and the image's shape."""
    shape = (int(r.integers(1, 4)), int(r.integers(4, 9)), int(r.integers(4, 9)))
    nodes, c = [], shape[0]
    for _ in range(int(r.integers(1, 4))):
        what = r.integers(0, 4)
        if what == 0:
            out = int(r.integers(1, 4))
            w, b = r.normal(size=(out, c, int(r.integers(1, 4)), int(r.integers(1, 3)))), r.normal(size=out)
            pad = tuple(int(x) for x in r.integers(0, 3, 2))
            stride = tuple(int(x) for x in r.integers(1, 3, 2))
            nodes.append(nir.Conv2d(None, w, stride, pad, (1, int(r.integers(1, 3))), 1, b))
            c = out
        elif what == 1:
            nodes.append(nir.Scale(r.normal(size=(c, 1, 1)) if r.random() < 0.7 else np.array(2.5)))
        else:
            kind = nir.SumPool2d if what == 2 else nir.AvgPool2d
            size = int(r.integers(2, 4))
            nodes.append(kind(*(np.array([n, n]) for n in (size, int(r.integers(1, 4)), int(r.integers(0, 2))))))
    return shape, nodes


def by_definition(node, x):
    """One node applied to one image, slowly."""
    if isinstance(node, nir.Scale):
        return x * node.scale
    if isinstance(node, nir.Conv2d):
        w, stride, pad, gap, bias = node.weight, node.stride, node.padding, node.dilation, node.bias
    else:
        k = node.kernel_size[0]
        w = np.zeros((len(x), len(x), k, k))
        w[range(len(x)), range(len(x))] = 1 if isinstance(node, nir.SumPool2d) else 1 / k**2
        stride, pad, gap, bias = node.stride, node.padding, (1, 1), np.zeros(len(x))
    x = np.pad(x, ((0, 0), (pad[0],) * 2, (pad[1],) * 2))
    size = [(n - g * (k - 1) - 1) // s + 1 for n, k, s, g in zip(x.shape[1:], w.shape[2:], stride, gap)]
    out = np.zeros((len(w), *size))
    for i, j in np.ndindex(*size):
        y, z = i * stride[0], j * stride[1]
        seen = x[:, y : y + gap[0] * (w.shape[2] - 1) + 1 : gap[0], z : z + gap[1] * (w.shape[3] - 1) + 1 : gap[1]]
        out[:, i, j] = np.einsum("oiab,iab->o", w, seen) + bias
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_maps_are_what_their_nodes_do(seed):
    """Kernels put together, or matrices where edges forbid it."""
    r = np.random.default_rng(seed)
    shape, nodes = random_stack(r)
    m, x = identity(shape), r.normal(size=shape)
    expected = x
    for k, node in enumerate(nodes):
        try:
            m = follow(m, node, f"n{k}", 1e-3)
        except UserError as e:
            assert "does not fit" in str(e) or "half the kernel" in str(e)
            return
        expected = by_definition(node, expected)
    got = (as_matrix(m, "n") @ x.ravel() + m.bias).reshape(m.shape)
    assert got.shape == expected.shape and np.allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_pools_stay_kernels():
    """SumPool2d and Conv2d are one convolution; the shapes of the NIR paper's CNN."""
    m = identity((16, 16, 16))
    m = follow(m, nir.SumPool2d(*[np.array([2, 2])] * 2, np.array([0, 0])), "pool", 1.0)
    m = follow(m, nir.Conv2d((8, 8), np.ones((8, 16, 3, 3)), 1, 1, 1, 1, np.zeros(8)), "conv", 1.0)
    assert m.kernel.weight.shape == (8, 16, 6, 6) and m.kernel.stride == (2, 2) and m.kernel.padding == (2, 2)


# --- graphs in integers


def random_graph(seed):
    """Nodes with several edges, delays and loops."""
    r = np.random.default_rng(seed)
    image = (2, 4, 3)
    sizes, nodes = {"in": image}, []
    names = [f"n{i}" for i in range(int(r.integers(2, 6)))]
    shapes = {name: (int(r.integers(1, 6)),) if r.random() < 0.6 else (int(r.integers(1, 3)), 4, 3) for name in names}
    for k, name in enumerate(names):
        shape = shapes[name]
        n = int(np.prod(shape))
        neuron = Neuron(
            r.integers(1, 4097, r.choice([1, n])).astype(np.int32),
            int(r.integers(0, 4097)),
            int(r.integers(0, 900)),
            r.integers(-40, 60, r.choice([1, shape[0]])).astype(np.int32),
        )
        sources = ["in" if k == 0 or r.random() < 0.3 else str(r.choice(names[:k]))]
        sources += [str(r.choice(names)) for _ in range(int(r.integers(0, 3)))]
        edges = []
        for source in sources:
            of = {**sizes, **shapes}[source]
            delay = int(r.integers(0, 4)) if r.random() < 0.4 else 0
            if len(shape) == 3 and len(of) == 3:
                w = weights(r, shape[0], of[0] * 9).reshape(shape[0], of[0], 3, 3)
                edges.append(Edge(source, ConvLayer(name, w, neuron, (1, 1), (1, 1), (1, 1), 1, of), delay))
            elif len(shape) == 1:
                edges.append(Edge(source, DenseLayer(name, weights(r, n, int(np.prod(of))), neuron), delay))
        if not edges:
            w = weights(r, shape[0], 2 * 9).reshape(shape[0], 2, 3, 3)
            edges.append(Edge("in", ConvLayer(name, w, neuron, (1, 1), (1, 1), (1, 1), 1, image)))
        nodes.append(Node(name, tuple(edges)))
    return Graph(InputLayer("in", image), tuple(nodes), names[-1])


def in_steps(net, x):
    """The graph by definition: one step after the other, int64, all that was sent kept; loops take as many steps as
    they have synapses on the chip.
    """
    lag = {net.input.name: 0}
    for node in net.nodes:
        lag[node.name] = 1 + max([lag[e.source] for e in node.edges if e.source in lag] + [0])
    order = [net.input.name, *(n.name for n in net.nodes)]
    sent = {name: [] for name in order}
    state = {n.name: np.zeros((2, len(x), int(np.prod(n.shape))), np.int64) for n in net.nodes}
    for k in range(x.shape[1]):
        sent[net.input.name].append(x[:, k].reshape(len(x), -1).astype(np.int64))
        for node in net.nodes:
            a = 0
            for edge in node.edges:
                late = edge.delay
                if order.index(edge.source) >= order.index(node.name):
                    late += max(1, lag[edge.source] - lag[node.name] + 1)
                if k - late < 0:
                    continue
                seen = sent[edge.source][k - late]
                layer = edge.layer
                if isinstance(layer, DenseLayer):
                    a = a + seen @ layer.weight.T.astype(np.int64)
                else:
                    image = seen.reshape(len(x), 1, *layer.in_shape)
                    a = a + dendrite(layer, image, np.float64).astype(np.int64).reshape(len(x), -1)
            n = node.neuron
            per = state[node.name].shape[2] // node.shape[0]
            bias = np.broadcast_to(n.bias, node.shape[0]).repeat(per)
            u, v, s = cuba_step(*state[node.name], a, n.i_decay.astype(np.int64), n.v_decay, n.v_th, bias)
            state[node.name][:] = u, v
            sent[node.name].append(s.astype(np.int64).reshape(len(x), -1))
    return {name: np.stack(sent[name], 1) for name in order}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_graphs_run_as_defined(seed):
    """Every spike of every node, in chunks of any length, and through the file."""
    net = random_graph(seed)
    r = np.random.default_rng(seed)
    x = (r.random((2, 17, *net.input.shape)) < 0.4).astype(np.uint8)
    expected = in_steps(net, x)
    stream, at = GraphStream(net, 2), 0
    for size in (1, 9, 0, 7):
        out, states = stream.advance(net.checked(x[:, at : at + size]), [net.output])
        for name, spikes in out.items():
            part = expected[name][:, at : at + size]
            assert (spikes.reshape(part.shape) == part).all(), name
        at += size
    defined = definition(net, x)
    assert all((defined[name].reshape(2, 17, -1) == expected[name]).all() for name in expected)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_graphs_come_back_from_files(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("graph") / "a.net"
    net = random_graph(seed)
    graph_file.write(net, path)
    back = netx.load(path)
    x = (np.random.default_rng(seed).random((1, 12, *net.input.shape)) < 0.5).astype(np.uint8)
    ours, theirs = net.run(x), back.run(x)
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert [n["name"] for n in netx.describe(back)] == ["in", *(n.name for n in net.nodes)]


def test_files_of_graphs_are_checked(tmp_path):
    import h5py

    net = random_graph(1)
    cases = {
        "graph/version": (7, "is 7, expected 1"),
        "graph/node/0/v_decay": (5000, "expected integers from 0 to 4096"),
        "graph/node/0/edge/0/source": (b"nobody", "source 'nobody' is not there"),
        "graph/output": (b"nobody", "its output is 'nobody'"),
    }
    for key, (value, message) in cases.items():
        graph_file.write(net, tmp_path / "a.net")
        with h5py.File(tmp_path / "a.net", "r+") as f:
            del f[key]
            f[key] = np.bytes_(value) if isinstance(value, bytes) else value
        with pytest.raises(UserError) as e:
            netx.load(tmp_path / "a.net")
        assert message in str(e.value) and "\n" not in str(e.value)
    graph_file.write(net, tmp_path / "a.net")
    with pytest.raises(UserError, match="is a graph of layers without tokens"):
        netx.read(tmp_path / "a.net")


def test_graphs_say_what_input_they_take():
    net = random_graph(2)
    for x, message in (
        (np.zeros((1, 3, 2)), "the net takes"),
        (np.full((1, 3, *net.input.shape), 2), "spikes, 0 or 1"),
        (np.full((1, 3, *net.input.shape), "a"), "has type"),
    ):
        with pytest.raises(UserError, match=message):
            net.checked(x)


# --- from NIR


def exact_parts(r):
    """Weights that are integers for `cuba(...)` in steps of 1 ms: gain 1, so that nothing is rounded."""
    return {
        name: weights(r, n, m).astype(np.float64) for name, n, m in (("a", 4, 3), ("b", 5, 4), ("c", 5, 3), ("d", 4, 5))
    }


def test_branches_sums_and_loops():
    """A skip, two edges into a node, and a loop through two layers: the integers are those of the graph."""
    r = np.random.default_rng(0)
    w = exact_parts(r)
    nodes = {"in": 3, "out": 5, **{k: nir.Linear(v) for k, v in w.items()}}
    nodes |= {"p": cuba(4, v_threshold=300), "q": cuba(5, v_threshold=200)}
    edges = "in>a", "a>p", "p>b", "b>q", "in>c", "c>q", "q>d", "d>p", "q>out"
    net, rows = from_graph(joined(nodes, *edges, dt=1e-3))
    assert isinstance(net, Graph) and all(row["exact"] for row in rows)
    p, q = net.nodes
    assert [(e.source, e.delay) for e in p.edges] == [("in", 0), ("q", 0)] and net.late(p) == (0, 2)
    assert [e.source for e in q.edges] == ["p", "in"] and (q.edges[1].layer.weight == w["c"]).all()
    x = (r.random((1, 40, 3)) < 0.5).astype(np.uint8)
    assert net.run(x)["q"].any()
    back, _ = from_graph(to_graph(net, 1e-3))
    assert all((back.run(x)[name] == spikes).all() for name, spikes in net.run(x).items())


def test_inner_graphs_and_repeated_edges():
    """A recurrent layer as a graph of its own, as snntorch and norse write it."""
    r = np.random.default_rng(1)
    rec = weights(r, 4, 4).astype(np.float64)
    inner = joined(
        {"in": 4, "out": 4, "lif": cuba(4, v_threshold=100), "w_rec": nir.Linear(rec)},
        *("in>lif", "lif>w_rec", "w_rec>lif", "lif>out"),
    )
    w = weights(r, 4, 3).astype(np.float64)
    net, rows = from_graph(
        joined({"in": 3, "out": 4, "w": nir.Linear(w), "rnn": inner}, "in>w", "w>rnn", "rnn>out", dt=1e-3)
    )
    assert isinstance(net, Sequential) and (net.layers[1].recurrent == rec).all() and rows[0]["layer"] == "rnn.lif"
    twice = joined({"in": 3, "out": 4, "w": nir.Linear(w), "n": cuba(4)}, "in>w", "w>n", "w>n", "n>out", dt=1e-3)
    net, _ = from_graph(twice)
    assert (net.layers[1].weight == w).all() and "counts once" in net.notes[0]


def test_delays():
    """Of sources and after weights, in seconds; what cannot be one layer's becomes several edges."""
    w = np.array([[4.0, 8.0]])
    late = nir.Delay(np.array([0.002, 0.0]))
    net, _ = from_graph(
        joined(
            {"in": 2, "out": 1, "d": late, "w": nir.Linear(w), "n": cuba(1, v_threshold=3)},
            "in>d",
            "d>w",
            "w>n",
            "n>out",
            dt=1e-3,
        )
    )
    assert net.layers[1].synapse_delay.tolist() == [[2, 0]]
    conv = nir.Conv2d((3, 3), np.full((1, 2, 1, 1), 4.0), 1, 0, 1, 1, np.zeros(1))
    wait = nir.Delay(np.repeat([0.001, 0.003], 9).reshape(2, 3, 3))
    nodes = {"in": (2, 3, 3), "out": (1, 3, 3), "d": wait, "c": conv, "n": cuba((1, 3, 3), v_threshold=3)}
    net, _ = from_graph(joined(nodes, "in>d", "d>c", "c>n", "n>out", dt=1e-3))
    assert [e.delay for e in net.nodes[0].edges] == [1, 3]
    assert [e.layer.weight.ravel().tolist() for e in net.nodes[0].edges] == [[4, 0], [0, 4]]


def test_integrators_are_read_outs():
    """LI, CubaLI and I at the end; a LI before a LIF is its current; a Linear at the end is a sum of weights."""
    w = np.array([[0.5, -0.25]])
    one = np.ones(1)
    for node, decays in (
        (nir.LI(one * 4e-3, one, one * 0), (4096, 1024)),
        (nir.CubaLI(one * 2e-3, one * 4e-3, one, one * 0), (2048, 1024)),
        (nir.I(one * 1000), (4096, 0)),
    ):
        net, (row,) = from_graph(
            joined({"in": 2, "out": 1, "w": nir.Linear(w), "li": node}, "in>w", "w>li", "li>out", dt=1e-3)
        )
        n = net.layers[1].neuron
        assert (int(n.i_decay[0]), n.v_decay) == decays and n.is_readout
        assert net.layers[1].weight.tolist() == [[254, -126]] or net.layers[1].weight.tolist() == [[254, -128]]
        gain = {"LI": 0.25, "CubaLI": 0.125, "I": 1.0}[type(node).__name__]
        assert row["scale"] == pytest.approx(254 / (0.5 * gain))
    net, _ = from_graph(joined({"in": 2, "out": 1, "w": nir.Linear(w * 8)}, "in>w", "w>out", dt=1e-3))
    assert net.layers[1].neuron.is_readout and net.layers[1].weight.tolist() == [[4, -2]]
    nodes = {"in": 2, "out": 1, "syn": nir.LI(np.full(2, 2e-3), np.ones(2), np.zeros(2)), "w": nir.Linear(w)}
    nodes["n"] = nir.LIF(one * 4e-3, one, one * 0, one)
    net, _ = from_graph(joined(nodes, "in>syn", "syn>w", "w>n", "n>out", dt=1e-3))
    assert (int(net.layers[1].neuron.i_decay[0]), net.layers[1].neuron.v_decay) == (2048, 1024)


def write(graph, path, value):
    """Writes `graph` with `value` as tau_syn of node n."""
    import h5py

    files.save(graph, path)
    with h5py.File(path, "r+") as f:
        del f["node/nodes/n/tau_syn"]
        f["node/nodes/n/tau_syn"] = value


def test_loose_shapes(tmp_path):
    """One value for all, one for each channel, in any shape; through a file that `nir` alone refuses."""
    w = weights(np.random.default_rng(2), 3, 2).astype(np.float64)
    expected = None
    for value in (
        np.array(2e-3),
        np.full(1, 2e-3),
        np.full((1, 1, 1), 2e-3),
        np.full(3, 2e-3),
        np.full((3, 1, 1), 2e-3),
    ):
        n = cuba(3, v_threshold=50)
        g = joined({"in": (1, 2), "out": 3, "w": nir.Linear(w), "n": n}, "in>w", "w>n", "n>out", dt=1e-3)
        write(g, tmp_path / "a.nir", value)
        net, _ = from_graph(files.load(tmp_path / "a.nir"))
        got = net.layers[1].neuron.i_decay.tolist(), net.layers[1].weight.tolist()
        assert expected in (None, got)
        expected = got
    conv = nir.Conv1d(6, np.full((2, 1, 3), 4.0), 1, 1, 1, 1, np.zeros(2))
    n = cuba((2, 6), v_threshold=9)
    net, _ = from_graph(joined({"in": (1, 6), "out": (2, 6), "c": conv, "n": n}, "in>c", "c>n", "n>out", dt=1e-3))
    assert net.layers[0].shape == (1, 1, 6) and net.layers[1].shape == (2, 1, 6) and net.layers[1].padding == (0, 1)


def test_v_reset_moves_the_zero():
    """Voltages count from v_reset: threshold and leak move along, and it is said."""
    n = cuba(1, v_threshold=5.0, v_reset=-3.0)
    n.v_leak = np.array([1.0])
    net, (row,) = from_graph(
        joined({"in": 1, "out": 1, "w": nir.Linear(np.array([[4.0]])), "n": n}, "in>w", "w>n", "n>out", dt=1e-3)
    )
    assert row["exact"] and net.layers[1].neuron.v_th == 8 and net.layers[1].neuron.bias.tolist() == [1]  # 0.25 (1 + 3)
    assert "counted from v_reset" in net.notes[0]


def test_several_membrane_time_constants():
    """A layer becomes one for each, with what reads it: the spikes are those of the whole."""
    r = np.random.default_rng(4)
    w = exact_parts(r) | {"rec": weights(r, 4, 4).astype(np.float64)}
    mixed = cuba(4, tau_mem=np.array([4e-3, 2e-3, 4e-3, 2e-3]), r=np.array([4.0, 2, 4, 2]), v_threshold=90)
    nodes = {"in": 3, "out": 5, "p": mixed, "q": cuba(5, v_threshold=200)}
    nodes |= {"a": nir.Affine(w["a"], np.full(4, 3.0)), **{k: nir.Linear(w[k]) for k in ("b", "rec")}}
    edges = "in>a", "a>p", "p>b", "b>q", "q>out"
    with pytest.raises(UserError, match="node 'p': has several membrane time constants and reads its own spikes"):
        from_graph(joined(nodes, *edges, "p>rec", "rec>p", dt=1e-3))
    nodes.pop("rec")
    net, rows = from_graph(joined(nodes, *edges, dt=1e-3))
    assert [n.name for n in net.nodes] == ["p.0", "p.1", "q"] and all(row["exact"] for row in rows)
    x = (r.random((1, 60, 3)) < 0.5).astype(np.uint8)
    got = net.run(x)
    spikes = np.zeros((60, 4))
    u, v = np.zeros((2, 4), np.int64)
    decays = np.array([1024, 2048, 1024, 2048])
    for k in range(60):
        u, v, spikes[k] = cuba_step(u, v, x[0, k] @ w["a"].T.astype(int), 2048, decays, 90, np.full(4, 6))
    hidden = spikes @ w["b"].T
    assert hidden.any() and (got["p.0"][0] == spikes[:, [0, 2]]).all() and (got["p.1"][0] == spikes[:, [1, 3]]).all()
    nodes["out"] = 4
    with pytest.raises(UserError, match="node 'p': has several membrane time constants and is the output"):
        from_graph(joined({k: nodes[k] for k in ("in", "out", "a", "p")}, "in>a", "a>p", "p>out", dt=1e-3))


def test_bias_into_a_current_that_leaks():
    """Added to the membrane as the settled current would: after the first steps the membranes agree."""
    n = cuba(1, tau_syn=2e-3, v_threshold=1e5)
    g = joined(
        {"in": 1, "out": 1, "w": nir.Affine(np.array([[4.0]]), np.array([30.0])), "n": n},
        "in>w",
        "w>n",
        "n>out",
        dt=1e-3,
    )
    net, (row,) = from_graph(g)
    assert net.layers[1].neuron.bias.tolist() == [60] and "settled (2 steps)" in net.notes[0]
    u = v = 0.0
    for _ in range(60):
        u += 0.5 * (-u + 2 * 30)
        v += 0.25 * (4 * u - v)
    assert v == pytest.approx(4 * 60, rel=1e-3)  # a membrane of bias b and decay 1/4 settles at 4 b


@pytest.mark.parametrize(
    "kind, expected",
    [("snntorch", 1e-4), ("equations", None), ("steps", 1.0), ("ours", 2e-3)],
)
def test_the_step_a_writer_had_in_mind(kind, expected):
    """Gains of tau / dt tell it; NIR's own equations do not, and then it is 1e-4 s."""
    one = np.ones(2)
    node = {
        "snntorch": nir.LIF(1e-3 * one, 10 * one, 0 * one, one),
        "equations": nir.LIF(1e-3 * one, one, 0 * one, one),
        "steps": nir.IF(one, one),
        "ours": nir.CubaLIF(4e-3 * one, 8e-3 * one, 4 * one, 0 * one, one, 0 * one, 2 * one),
    }[kind]
    _, (row,) = from_graph(joined({"in": 2, "out": 2, "w": nir.Linear(np.eye(2)), "n": node}, "in>w", "w>n", "n>out"))
    assert row["dt"] == (expected or 1e-4)


# --- commands


def command(folder, module, *args, code=0):
    done = subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_graphs_run_from_the_command_line(tmp_path):
    """Import, inspect, run, verify; what a graph cannot do is one line."""
    r = np.random.default_rng(0)
    nodes = {"in": 3, "out": 5, **{k: nir.Linear(v) for k, v in exact_parts(r).items()}}
    nodes |= {"p": cuba(4, v_threshold=300), "q": cuba(5, v_threshold=200)}
    edges = "in>a", "a>p", "p>b", "b>q", "in>c", "c>q", "q>d", "d>p", "q>out"
    files.save(joined(nodes, *edges, dt=1e-3), tmp_path / "g.nir")
    x = (r.random((2, 30, 3)) < 0.5).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    assert json.loads(command(tmp_path, "convert", "nir-import", "g.nir", "g.net", "--json")[0])["layers"][0]["exact"]
    found = json.loads(command(tmp_path, "deploy", "run", "g.net", "--input", "x.npy", "--json")[0])
    expected = netx.load(tmp_path / "g.net").run(x)
    assert found["outputs"] == expected["q"].sum(1, dtype=int).tolist()
    assert found["spikes"] == sum(int(s.sum()) for s in expected.values())
    result = json.loads(command(tmp_path, "deploy", "verify", "g.net", "--json")[0])
    assert result["executors"] == ["engine", "steps", "stock"] and not result["differences"] and result["compared"]
    assert list(result["left_out"]) == ["netx"]
    plan = json.loads(command(tmp_path, "deploy", "plan", "g.net", "--input", "x.npy", "--json")[0])
    counts = plan["activity"]  # means over the two samples
    assert plan["fits"] and 2 * (counts["synops"] - counts["zero_synops"]) == found["synops"]
    lava = json.loads(command(tmp_path, "deploy", "run", "g.net", "--input", "x.npy", "--backend", "sim", "--json")[0])
    assert lava["outputs"] == found["outputs"] and lava["spikes"] == found["spikes"]


def ways(shape, out, nodes):
    """Several ways from the input to one population, and the net that they make."""
    full = lambda x: np.full(out, x)  # noqa: E731
    lif = nir.LIF(full(4e-3), full(4.0), full(0.0), full(100.0), full(0.0))
    nodes = {f"w{i}": node for i, node in enumerate(nodes)}
    edges = [e for name in nodes for e in (f"in>{name}", f"{name}>n")]
    return from_graph(joined({"in": shape, "out": out, "n": lif} | nodes, *edges, "n>out", dt=1e-3))[0]


def test_ways_side_by_side_are_added():
    """Kernels, factors and matrices of one source: as one of their sum. Kernels that cannot be: an edge each."""
    r, shape, out = np.random.default_rng(0), (2, 4, 4), (2, 3, 3)
    conv = lambda w, **k: nir.Conv2d(None, w, k.get("stride", 1), k.get("padding", 0), 1, 1, np.zeros(2))  # noqa: E731
    kernels = r.integers(-20, 20, (2, 2, 2, 2, 2)) * 2.0
    factors, matrices = r.integers(1, 9, (2, 3)) * 2.0, r.integers(-20, 20, (2, 3, 3)) * 2.0
    for case, make, values, n in (
        (shape, conv, kernels, out),
        ((3,), nir.Scale, factors, (3,)),
        ((3,), nir.Linear, matrices, (3,)),
    ):
        apart, one = ways(case, n, [make(w) for w in values]), ways(case, n, [make(values.sum(0))])
        (a,), (b,) = (net.layers[1:] for net in (apart, one))
        assert np.array_equal(a.weight, b.weight) and a.weight.any() and a.shape == n
    two = ways(shape, shape, [conv(kernels[0][:, :, :1, :1]), conv(r.integers(-9, 9, (2, 2, 3, 3)) * 2.0, padding=1)])
    assert isinstance(two, Graph) and len(two.nodes[0].edges) == 2


# --- real graphs


def euler(graph, x, dt):
    """The Braille net by NIR's equations, forward Euler, float64: (spikes of lif1, of lif2)."""
    n = graph.nodes
    out = []
    for weight, name, rec in (("fc1", "lif1.lif", "lif1.w_rec"), ("fc2", "lif2", None)):
        p, size = n[name], len(n[name].r)
        i, v, s = np.zeros((3, len(x), size))
        spikes = np.zeros((*x.shape[:2], size))
        for k in range(x.shape[1]):
            drive = x[:, k] @ n[weight].weight.T + n[weight].bias
            if rec:
                drive = drive + s @ n[rec].weight.T + n[rec].bias
            i = i + dt / p.tau_syn * (-i + p.w_in * drive)
            v = v + dt / p.tau_mem * (p.v_leak - v + p.r * i)
            s = v > p.v_threshold
            v = np.where(s, 0.0, v)
            spikes[:, k] = s
        out.append(spikes)
        x = spikes
    return out


@real
@pytest.mark.parametrize("name, layers", [("lif_norse", 2), ("braille_noDelay_bias_zero", 3), ("cnn_sinabs", 7)])
def test_real_graphs_become_chains_and_run(tmp_path, name, layers):
    from sim.netx import slayer_writer

    net, rows = from_graph(files.load(SHARED / f"nir/{name}.nir"))
    assert isinstance(net, Sequential) and len(net.layers) == layers
    assert rows[0]["dt"] == {"lif_norse": 1e-4, "braille_noDelay_bias_zero": 1e-4, "cnn_sinabs": 1.0}[name]
    slayer_writer.write(net, tmp_path / "a.net")
    back = netx.load(tmp_path / "a.net")
    x = (np.random.default_rng(0).random((1, 50, *net.layers[0].shape)) < 0.2).astype(np.uint8)
    ours, theirs = net.run(x), back.run(x)
    assert [s.sum() for s in ours.values()] == [s.sum() for s in theirs.values()] and ours[net.layers[-1].name].any()


@real
def test_braille_does_what_its_equations_say():
    """Recurrence, biases into currents: spikes of random input differ in few places."""
    graph = files.load(SHARED / "nir/braille_noDelay_bias_zero.nir")
    net, _ = from_graph(graph)
    x = (np.random.default_rng(5).random((8, 256, 12)) < 0.01).astype(np.uint8)
    expected, got = euler(graph, x.astype(float), 1e-4), (net.run(x)[f"layer/{k}"] for k in (1, 2))
    for a, b in zip(expected, got):
        assert a.mean() > 0.02 and abs(a.mean() - b.mean()) < 0.1 * a.mean()
        assert np.corrcoef(a.sum((0, 1)), b.sum((0, 1)))[0, 1] > 0.95


def frames(path, steps=320):
    """N-MNIST's bytes as spikes [steps, polarity, y, x], a step a millisecond, several events of a place in one count
    once.
    """
    b = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
    t = ((b[:, 2] & 127) << 16) | (b[:, 3] << 8) | b[:, 4]
    out = np.zeros((steps, 2, 34, 34), np.uint8)
    out[np.minimum((t - t[0]) // 1000, steps - 1), b[:, 2] >> 7, b[:, 1], b[:, 0]] = 1
    return out


@real
@pytest.mark.slow
def test_the_cnn_knows_digits():
    """Forty recordings in chip integers, no training; docs/nir.md has the thousand."""
    net, _ = from_graph(files.load(SHARED / "nir/cnn_sinabs.nir"))
    paths = [sorted((SHARED / f"NMNIST/Train/{digit}").iterdir())[k] for digit in range(10) for k in range(4)]
    right = 0
    for at in range(0, len(paths), 10):
        spikes = net.run(np.stack([frames(p) for p in paths[at : at + 10]]))[net.layers[-1].name]
        right += sum(int(c.argmax()) == int(p.parent.name) for c, p in zip(spikes.sum(1, dtype=int), paths[at:]))
    assert right >= 37


@real
@pytest.mark.slow
def test_the_cnn_runs_on_the_data_set_by_name(tmp_path):
    """`deploy run NET --dataset`: recordings become frames of spikes as above; the plan counts on the same."""
    command(tmp_path, "convert", "nir-import", str(SHARED / "nir/cnn_sinabs.nir"), "cnn.net")
    where = "--dataset", "nmnist", "--data-root", str(SHARED), "--limit", "3", "--json"
    found = json.loads(command(tmp_path, "deploy", "run", "cnn.net", *where)[0])
    assert (found["dataset"], found["split"], found["step_us"], found["accuracy"]) == ("nmnist", "test", 1000, 1)
    net = netx.load(tmp_path / "cnn.net")
    recordings = events.load("nmnist", "test", str(SHARED))
    spikes = net.run(SpikeFrames(recordings.events[:3], 34, 34, (2, 34, 34))[:])
    assert found["outputs"] == spikes[net.layers[-1].name].sum(1, dtype=int).tolist()
    plan = json.loads(command(tmp_path, "deploy", "plan", "cnn.net", *where, "--split", "test")[0])
    counts = plan["activity"]
    assert round(3 * (counts["synops"] - counts["zero_synops"])) == found["synops"]
    said = command(tmp_path, "deploy", "run", "cnn.net", "--dataset", "digits", code=2)[1]
    assert said == "error: the net takes (2, 34, 34), recordings of 16 x 16 pixels give (2, 16, 16) or (1, 16, 16)\n"

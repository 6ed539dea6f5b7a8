"""Graphs of layers as stock Lava processes: every node and step as the engine has it."""

import numpy as np
import pytest
from chains import even

from sim.base.errors import UserError
from sim.expansion import expand
from sim.lava.chains import check, simulate_chain
from sim.sequential import ConvLayer, DenseLayer, InputLayer, Neuron
from sim.sequential.graph import Edge, Graph, Node, states_of

pytest.importorskip("lava.proc.lif")


def neuron(r, decays, channels, bias=(-20, 1)):
    return Neuron(np.asarray(decays, np.int32), 900, 60, r.integers(*bias, channels).astype(np.int32))


def node(name, own, *edges):
    """edges: (source, weight, delay), a convolution where a source's shape is given, too."""
    made = []
    for source, weight, delay, *in_shape in edges:
        if in_shape:
            padding = (weight.shape[2] // 2, weight.shape[3] // 2)
            layer = ConvLayer(name, weight, own, (1, 1), padding, (1, 1), 1, in_shape[0])
        else:
            layer = DenseLayer(name, weight, own)
        made.append(Edge(source, layer, delay))
    return Node(name, tuple(made))


def wide(r, delay=0):
    """A skip over a layer, a loop over two, a node that reads itself, several current decays; `delay`: of the skip."""
    a, b = neuron(r, [700], 6), neuron(r, [0, 900, 900, 4096, 0], 5)
    return Graph(
        InputLayer("in", (4,)),
        (
            node("a", a, ("in", even(r, (6, 4)), 0), ("c", even(r, (6, 3)), 2)),
            node("b", b, ("a", even(r, (5, 6)), 1), ("b", even(r, (5, 5)), 0)),
            node("c", neuron(r, [300], 3), ("b", even(r, (3, 5)), 0), ("in", even(r, (3, 4)), delay)),
        ),
        "c",
    )


def same(net, x):
    found, expected = simulate_chain(net, x, threads=True).traces, net.run(x)
    assert list(found) == [layer.name for layer in net.layers] and set(found) == set(expected)
    assert all(values.any() for values in expected.values())
    assert all(np.array_equal(found[name], values) for name, values in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0, 62])
def test_loops_skips_delays(delay):
    """A delay of 62 behind a skip over a layer is more than a synapse's: a relay stands in between."""
    r = np.random.default_rng(3)
    net = wide(r, delay)
    assert max(p.kind == "relay" for p in expand(net).populations) == (delay == 62)
    same(net, (r.random((2, 80, 4)) < 0.4).astype(np.uint8))


@pytest.mark.slow
def test_convolutions_in_a_diamond():
    """Two convolutions meet in a third node of one's shape, the longer way through one layer more; samples follow one
    another with every neuron reset, biases and all."""
    r, image = np.random.default_rng(4), (2, 4, 5)
    a, b = neuron(r, [700], 3, (-20, 20)), neuron(r, [500], 2, (-20, 20))
    net = Graph(
        InputLayer("in", image),
        (
            node("a", a, ("in", even(r, (3, 2, 3, 3)), 0, image)),
            node("b", b, ("a", even(r, (2, 3, 3, 1)), 0, (3, 4, 5)), ("in", even(r, (2, 2, 1, 3)), 0, image)),
            node("c", neuron(r, [0, 90, 90, 0], 4, (-9, 9)), ("b", even(r, (4, 40)), 0), ("a", even(r, (4, 60)), 0)),
        ),
        "c",
    )
    same(net, (r.random((3, 20, *image)) < 0.3).astype(np.uint8))


def test_states_from_what_was_sent():
    r = np.random.default_rng(5)
    net = wide(r, 3)
    x = (r.random((2, 40, 4)) < 0.4).astype(np.uint8)
    from sim.sequential.graph import GraphStream

    sent, states = GraphStream(net, 2).advance(x, ("b",))
    found = states_of(net, "b", sent)
    assert all(np.array_equal(found[key], values) for key, values in states["b"].items()) and states["b"]["v"].any()


def test_what_lava_cannot_is_refused():
    r = np.random.default_rng(0)
    own = neuron(r, [700], 3, (5, 6))
    loop = Graph(InputLayer("in", (3,)), (node("a", own, ("in", even(r, (3, 3)), 0), ("a", even(r, (3, 3)), 0)),), "a")
    with pytest.raises(UserError, match="a: delays of what biased neurons send"):
        check(loop)

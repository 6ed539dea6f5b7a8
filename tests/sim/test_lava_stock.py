"""The rendering into stock Lava processes against the expansion that it renders: every weight and delay, every neuron's
constants, read back from the processes and their ports.
"""

from collections import Counter

import numpy as np
import pytest
from nets import edge_net, long_net, random_net
from scipy.sparse import coo_matrix

from sim.expansion import READOUT, RELAY, Population, Projection, expand
from sim.integer import WEIGHT_STEP
from sim.net import replace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lava():
    """(render, a class of ports to bring the inputs, Lava's processes by name)"""
    import multiprocessing

    from sim.lava import compat

    # Lava fixes the start method when it is imported, which fails where something else (tqdm, through tonic) has used
    # it before.
    multiprocessing.set_start_method(None, force=True)
    compat.apply()
    from lava.magma.core.process.ports.ports import OutPort

    from sim.lava.stock import render

    return render, lambda net: OutPort(shape=(sum(i.size for i in net.inputs),))


def wires_in_lava(graph, expansion, inputs):
    """Counter of (source, its neuron, target, its neuron, weight, delay), from what the ports are connected to."""
    names = {id(process.s_out): name for name, process in graph.neurons.items()}
    ends = {id(process.a_in): name for name, process in graph.neurons.items()}
    lines = [(line.name, i) for line in expansion.lines for i in range(line.n)]
    found = Counter()
    for process in graph.synapses:
        (port,), (end,) = process.s_in.in_connections, process.a_out.out_connections
        weights = coo_matrix(process.weights.init)
        delays = getattr(process, "delays", None)
        delays = 0 if delays is None else delays.init
        late = np.broadcast_to(delays.toarray() if hasattr(delays, "toarray") else delays, weights.shape)
        for row, column, weight in zip(weights.row, weights.col, weights.data):
            if weight:
                source = lines[column] if port is inputs else (names[id(port)], int(column))
                found[(*source, ends[id(end)], int(row), int(weight), int(late[row, column]))] += 1
    return found


def wires_in_expansion(expansion):
    found = Counter()
    for j in expansion.projections:
        weights, late = coo_matrix(j.weight), np.broadcast_to(j.delay, j.weight.shape)
        for row, column, weight in zip(weights.row, weights.col, weights.data):
            if weight:
                found[j.source, int(column), j.target, int(row), int(weight), int(late[row, column])] += 1
    return found


def compare(net, lava, wanted=(), lead=0, slot=None):
    render, port = lava
    expansion, inputs = expand(net, wanted, slot), port(net)
    graph = render(expansion, inputs, lead)
    assert wires_in_lava(graph, expansion, inputs) == wires_in_expansion(expansion)
    assert [p.name for p in expansion.populations] == list(graph.neurons)
    for p in expansion.populations:
        process = graph.neurons[p.name]
        assert process.s_out.shape == (p.n,)
        if p.kind == READOUT:
            continue
        constants = process.proc_params
        assert constants["du"] + 1 == p.i_decay[0] and (p.i_decay == p.i_decay[0]).all()
        assert constants["dv"] == p.v_decay and process.vth.init == p.v_th
        assert (constants["bias_mant"] == p.bias).all() and constants["bias_exp"] == 6
        if p.reset is None:
            assert type(process).__name__ == "LIF"
        else:  # Lava's first step is number 1
            first = (p.reset.offset + lead + 1) % p.reset.period
            assert (constants["reset_interval"], constants["reset_offset"]) == (p.reset.period, first)
    return expansion


def test_random_nets(lava):
    for seed in range(60):
        net = random_net(seed, 8)
        compare(net, lava)
        compare(net, lava, [n.name for n in net.nodes], lead=seed % 4, slot=256)


def test_nets_at_the_edges(lava):
    compare(edge_net(fan=50), lava)
    assert any(p.kind == RELAY for p in compare(long_net(), lava).populations)


def test_delays_of_single_synapses_exponents_and_graded_spikes(lava):
    """What no `Net` has, but a SLAYER net: dense and sparse."""
    render, port = lava
    r = np.random.default_rng(0)
    net = random_net(0)
    expansion = expand(net)
    n, source = net.inputs[0].size, net.inputs[0].name
    weight = (r.integers(-100, 100, (7, n)) * WEIGHT_STEP).astype(np.int16)
    delay = r.integers(0, 63, (7, n))
    none = np.zeros(7, np.int32)
    for matrix in (weight, coo_matrix(weight).tocsr()):
        inputs = (
            Projection(source, "more", matrix, delay),
            Projection(source, "more", matrix, delay[:1]),
            Projection(source, "more", matrix, 5, exponent=3, graded=True),
            Projection(source, "more", np.eye(7, n, dtype=np.int16), graded=True),
        )
        more = Population("more", "more", "cuba", np.arange(7), inputs, none + 4096, 4096, 3, none)
        wider = replace(expansion, populations=(*expansion.populations, more))
        ins = port(net)
        graph = render(wider, ins)
        assert wires_in_lava(graph, wider, ins) == wires_in_expansion(wider)
        options = [p.proc_params for p in graph.synapses[-4:]]
        assert [(o["weight_exp"], o["num_message_bits"]) for o in options] == [(0, 0), (0, 0), (3, 24), (0, 24)]
        assert [o["sign_mode"].name for o in options] == ["MIXED", "MIXED", "MIXED", "EXCITATORY"]

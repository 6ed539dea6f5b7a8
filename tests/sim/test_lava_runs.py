"""Real runs of Lava, fused and expanded into stock processes, against the integer engine: every node, step and
neuron.
"""

import numpy as np
import pytest
from nets import differences, edge_net, fine_net, long_net, random_net, random_stream

from sim import engine
from sim.base.errors import UserError
from sim.lava.simulate import simulate, simulate_together
from sim.net import TOKENS, Cuba, Dense, Input, Net, Readout

PACKED = 30  # nets side by side in one run


def check(nets, executor, threads, labels, batch=3, kind=None):
    jobs = [(net, random_stream(net, seed, batch, kind)) for seed, net in enumerate(nets)]
    for (net, stream), label, found in zip(jobs, labels, simulate_together(jobs, executor, "all", threads)):
        expected = engine.run(net, stream, trace="all")
        differences({n.name: expected.traces[n.name] for n in net.nodes}, found.traces, f"{executor}, net {label}")
        assert (found.logits == expected.logits).all() and (found.predictions == expected.predictions).all()


def test_fused_in_lavas_runtime():
    check([random_net(s) for s in range(6)], "fused", False, range(6))


@pytest.mark.slow
def test_stock_in_lavas_runtime():
    """More than one sample passes."""
    check([random_net(s) for s in (0, 2, 8)], "stock", False, (0, 2, 8), batch=2)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 240, PACKED))
def test_stock_models_on_random_nets(first):
    """240 nets through Lava's compiler and its bit-accurate models; threads take the place of its operating-system
    processes.
    """
    seeds = range(1000 + first, 1000 + first + PACKED)
    check([random_net(s) for s in seeds], "stock", True, seeds)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ones", "none", "random"])
def test_stock_models_on_hard_inputs(kind):
    """States that wrap and saturate at 24 bits, delays beyond 62 steps, biases that make small errors seen; inputs of
    all ones and of none.
    """
    check([edge_net(), long_net(), fine_net()], "stock", True, ("edge", "long", "fine"), batch=2, kind=kind)


def test_threads_are_lavas_runtime():
    """Both ways of running compiled models give the same, fused and stock."""
    net = random_net(3)
    stream = random_stream(net, 3)
    for executor in ("fused", "stock"):
        ours, lavas = (simulate(net, stream, executor, "all", threads) for threads in (True, False))
        assert ours.processes == lavas.processes
        differences(lavas.traces, ours.traces, executor)


def test_without_a_trace():
    """Nodes that lead nowhere are left out of the stock graph then, and the logits are the same."""
    for seed in (4, 25, 57):
        net = random_net(seed)
        stream = random_stream(net, seed)
        found = simulate(net, stream, "stock", threads=True)
        assert found.traces == {} and (found.logits == engine.run(net, stream).logits).all()


def test_weights_that_are_all_zero():
    """Synapses that do nothing are not built; what then depends on nothing still runs, and so does a read-out that
    reads nothing.
    """
    zero, one = np.zeros((3, 2), np.int16), np.full((3, 3), 20, np.int16)
    alone = Cuba("alone", (Dense(TOKENS, zero),), np.full(3, 20, np.int32), np.arange(3, dtype=np.int32) * 40, 4095, 30)
    after = Cuba("after", (Dense("alone", one),), np.full(3, 4096, np.int32), np.zeros(3, np.int32), 4095, 10)
    nets = [
        Net((alone, after, Readout("out", (Dense("after", weight),))), (Input(TOKENS, 2),), 3, 4)
        for weight in (one[:2], np.zeros((2, 3), np.int16))
    ]
    check(nets, "stock", True, ("alone", "nothing"), kind="ones")
    assert engine.run(nets[0], np.ones((1, 12, 2), np.uint8)).logits.any()


def test_wrong_requests():
    net = random_net(1)
    stream = random_stream(net, 1)
    with pytest.raises(UserError, match="input has shape"):
        simulate(net, stream.tokens[:, 1:])
    with pytest.raises(UserError, match="there is no sample"):
        simulate(net, stream[:0])
    with pytest.raises(UserError, match="unknown executor 'chip'"):
        simulate(net, stream, "chip")
    with pytest.raises(UserError, match="cannot trace 'nobody'"):
        simulate(net, stream, trace=("nobody",))

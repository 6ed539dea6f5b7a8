"""Real runs of Lava, fused and expanded into stock processes, against the integer engine: every node, step and
neuron.
"""

import numpy as np
import pytest
from nets import differences, edge_net, fine_net, long_net, random_net, random_tokens

from sim import engine
from sim.base.errors import UserError
from sim.lava.simulate import simulate, simulate_together
from sim.net import TOKENS, Dense, Input, Net, Readout, TokenGate

PACKED = 30  # nets side by side in one run


def check(nets, executor, threads, labels, batch=3, kind=None):
    jobs = [(net, random_tokens(net, seed, batch, kind)) for seed, net in enumerate(nets)]
    for (net, tokens), label, found in zip(jobs, labels, simulate_together(jobs, executor, "all", threads)):
        expected = engine.run(net, tokens, trace="all")
        differences({n.name: expected.traces[n.name] for n in net.nodes}, found.traces, f"{executor}, net {label}")
        assert (found.logits == expected.logits).all() and (found.predictions == expected.predictions).all()


def test_fused_in_lavas_runtime():
    check([random_net(s) for s in range(6)], "fused", False, range(6))


@pytest.mark.slow
def test_stock_in_lavas_runtime():
    """All kinds of nodes are in these nets, and more than one sample passes."""
    nets = [random_net(s) for s in (0, 2, 8)]
    assert {type(n).__name__ for net in nets for n in net.nodes} == {"Cuba", "TokenGate", "Reverse", "Readout"}
    check(nets, "stock", False, (0, 2, 8), batch=2)


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
    tokens = random_tokens(net, 3)
    for executor in ("fused", "stock"):
        ours, lavas = (simulate(net, tokens, executor, "all", threads) for threads in (True, False))
        assert ours.processes == lavas.processes
        differences(lavas.traces, ours.traces, executor)


def test_without_a_trace():
    """Nodes that lead nowhere are left out of the stock graph then, and the logits are the same."""
    for seed in (4, 25, 57):
        net = random_net(seed)
        tokens = random_tokens(net, seed)
        found = simulate(net, tokens, "stock", threads=True)
        assert found.traces == {} and (found.logits == engine.run(net, tokens).logits).all()


def gate_net(size, threshold, frames, tokens=2):
    readout = Readout("out", (Dense("gate", np.full((2, size), 2, np.int16)),))
    return Net((TokenGate("gate", TOKENS, size, threshold), readout), (Input(TOKENS, size),), tokens, frames)


KINDS = "ones", "random", "none", "sparse"
SHORT = [gate_net(3, threshold, 3, tokens) for tokens, threshold in ((1, 1), (1, 5), (2, 4), (62, 4), (63, 1), (63, 4))]
SHORT += [gate_net(9, threshold, 20) for threshold in (127, 128, 129, 160, 180, 181, 10_000)] + [
    gate_net(3, threshold, 1, 5) for threshold in (1, 2, 4)
]
LONG = [gate_net(3, 4, 3, tokens) for tokens in (64, 126, 127, 130)]


@pytest.mark.slow
@pytest.mark.parametrize("nets", [SHORT, LONG], ids=["short", "long"])
def test_gates_of_all_lengths_and_thresholds(nets):
    """Loops without a delay, up to the longest of one synapse, and through one relay and two; thresholds that one spike
    reaches, that take one synapse or two to write down, that nothing reaches; samples of all kinds in a row, after each
    of which something else is left to wipe."""
    jobs = [
        (net, np.concatenate([random_tokens(net, seed, 1, kind) for kind in KINDS])) for seed, net in enumerate(nets)
    ]
    for (net, tokens), found in zip(jobs, simulate_together(jobs, "stock", ["gate"], True)):
        expected = engine.run(net, tokens, ["gate"]).traces
        differences(expected, found.traces, f"{net.tokens} tokens, threshold {net.nodes[0].threshold}")


def test_a_gate_in_lavas_runtime():
    net = gate_net(4, 6, 3, 5)
    check([net], "stock", False, ["gate"], kind="random")
    assert 0 < engine.run(net, random_tokens(net, 0, 3, "random")).kept["gate"] < 1


@pytest.mark.slow
def test_gates_with_large_counts():
    """A threshold that several synapses write down, reached and missed by one."""
    net = gate_net(300, 30_000, 101)
    tokens = np.ones((2, net.steps, 300), np.uint8)
    tokens[1, 199, 0] = 0  # token 1 of the second sample is one spike short in the frame that would open it
    expected, found = engine.run(net, tokens, "all"), simulate(net, tokens, "stock", "all", threads=True)
    assert found.traces["gate"].any() and (found.traces["gate"] == expected.traces["gate"]).all()
    opened = found.traces["gate"].any(2).sum(1)
    assert opened[0] == 4 and opened[1] == 3


@pytest.mark.slow
def test_gates_at_the_limits_of_the_chip():
    """As many channels as a logic neuron can take, all of which fire at an open token; what is left of that must not
    open the next token, which lacks one spike. And the highest threshold, 131,071."""
    net = gate_net(4095, 4096, 4)
    tokens = np.zeros((2, net.steps, 4095), np.uint8)
    tokens[:, ::2] = 1
    tokens[:, 1, :4094] = 1
    tokens[0, 5, 0] = tokens[0, 7, 1] = 1  # token 1 has 4,095 spikes at its third frame and 4,096 at its last
    top = gate_net(4095, 131_071, 33)
    full = np.ones((2, top.steps, 4095), np.uint8)
    full[:, 63, :31] = (
        0  # 32 frames have 131,040 spikes; token 1 comes to 131,009, and with the last frame's to 135,104
    )
    full[1, 65, 61:] = 0  # or to 131,070, one short
    found = [s.traces["gate"] for s in simulate_together([(net, tokens), (top, full)], "stock", ["gate"], True)]
    assert (found[0] == engine.run(net, tokens, "all").traces["gate"]).all() and (
        found[1] == engine.run(top, full, "all").traces["gate"]
    ).all()
    assert found[0].any(2)[:, [5, 7]].tolist() == [[False, True], [False, False]]
    assert found[1].any(2)[:, 64:].tolist() == [[True, True], [True, False]] and not found[1][:, :64].any()


@pytest.mark.parametrize(
    "net, message",
    [
        (gate_net(4000, 140_000, 40), "layer 'gate': spike count 140000 does not fit .* at most 131071"),
        (gate_net(4096, 3, 1), "layer 'gate': a token gate over 4096 channels .* at most 4095"),
    ],
)
def test_gates_beyond_the_chip_are_refused(net, message):
    with pytest.raises(UserError, match=message):
        simulate(net, np.zeros((1, net.steps, net.inputs[0].size), np.uint8), "stock", threads=True)


def test_wrong_requests():
    net = random_net(1)
    tokens = random_tokens(net, 1)
    with pytest.raises(UserError, match="input has shape"):
        simulate(net, tokens[:, 1:])
    with pytest.raises(UserError, match="unknown executor 'chip'"):
        simulate(net, tokens, "chip")
    with pytest.raises(UserError, match="cannot trace 'nobody'"):
        simulate(net, tokens, trace=("nobody",))

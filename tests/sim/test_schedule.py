"""When each node answers on the chip, on graphs small enough to count by hand."""

import numpy as np

from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout, Reverse, TokenGate
from sim.schedule import edge_delays, latencies


def cuba(name, *sources):
    return Cuba(
        name,
        tuple(Dense(s, np.full((2, n), 2, np.int16)) for s, n in sources),
        np.full(2, 4096, np.int32),
        np.zeros(2, np.int32),
        4095,
        1,
    )


def test_paths_of_different_length_meet():
    nodes = (
        cuba("a", (TOKENS, 2), (PHASE, 3)),
        TokenGate("gate", "a", 2, 1),
        cuba("b", ("gate", 2)),
        Reverse("back", "b", 2),
        cuba("c", ("back", 2), ("a", 2)),
        Readout("out", (Dense("c", np.full((2, 2), 2, np.int16)),)),
    )
    net = Net(nodes, (Input(TOKENS, 2),), 3, 2)
    late = latencies(net)
    assert [late[n.name] for n in nodes] == [1, 1 + 2, 4, 4 + 4, 9, 10]  # a reversal of N = 3 tokens: N + 1 steps
    delays = edge_delays(net)
    assert delays["a", "c"] == late["back"] - late["a"] and delays["back", "c"] == 0


def test_a_layer_that_reads_nothing_but_the_phase():
    nodes = (cuba("p", (PHASE, 3), (PHASE, 3)), Readout("out", (Dense("p", np.full((2, 2), 2, np.int16)),)))
    assert latencies(Net(nodes, (Input(TOKENS, 2),), 3, 2))["p"] == 1

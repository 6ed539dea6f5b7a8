"""When each node answers on the chip, on graphs small enough to count by hand."""

import numpy as np

from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout
from sim.net.schedule import edge_delays, latencies


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
        cuba("b", ("a", 2)),
        cuba("c", ("b", 2), ("a", 2), (PHASE, 3)),
        Readout("out", (Dense("c", np.full((2, 2), 2, np.int16)), Dense(TOKENS, np.full((2, 2), 2, np.int16)))),
    )
    net = Net(nodes, (Input(TOKENS, 2), Input(PHASE, 3, of=PHASE)), 3, 2)
    assert [latencies(net)[n.name] for n in nodes] == [1, 2, 3, 4]
    assert edge_delays(net) == {
        (TOKENS, "a"): 0,
        (PHASE, "a"): 0,
        ("a", "b"): 0,
        ("b", "c"): 0,
        ("a", "c"): 1,
        (PHASE, "c"): 2,
        ("c", "out"): 0,
        (TOKENS, "out"): 3,
    }


def test_a_layer_that_reads_nothing_but_the_phase():
    nodes = (cuba("p", (PHASE, 3), (PHASE, 3)), Readout("out", (Dense("p", np.full((2, 2), 2, np.int16)),)))
    assert latencies(Net(nodes, (Input(TOKENS, 2), Input(PHASE, 3, of=PHASE)), 3, 2))["p"] == 1

"""The net in chip time (`sim.chiptime`, what the fused Lava process computes) against the integer engine."""

import numpy as np
import pytest
from nets import differences, edge_net, fine_net, long_net, random_net, random_stream

from sim import engine
from sim.chiptime import _cuba_step, run
from sim.integer import STATE_LIMIT, cuba_step


def check(net, tokens, where):
    expected = engine.run(net, tokens, trace="all").traces
    differences({n.name: expected[n.name] for n in net.nodes}, run(net, tokens), where)


def test_random_nets():
    """400 nets; that they are no trivial ones is checked along the way."""
    active = 0
    for seed in range(400):
        net = random_net(seed)
        tokens = random_stream(net, seed)
        check(net, tokens, f"seed {seed}")
        active += engine.run(net, tokens).logits.any()
    assert active > 250


@pytest.mark.parametrize("kind", ["ones", "none", "random"])
def test_states_at_the_24_bit_edges(kind):
    net = edge_net()
    tokens = random_stream(net, 3, batch=2, kind=kind)
    check(net, tokens, kind)
    if kind == "ones":
        ranges = engine.run(net, tokens).ranges
        assert ranges["wraps"]["wraps"] > 0 and ranges["clips"]["clips"] > 0


@pytest.mark.parametrize("net", [long_net(), fine_net()], ids=["long delays", "fine states"])
def test_special_nets(net):
    check(net, random_stream(net, 5, batch=2, kind="random"), "special")


def test_step_is_the_definition():
    """`_cuba_step` against `sim.integer.cuba_step` on random and extreme states."""
    r = np.random.default_rng(0)
    edges = np.array([0, 1, -1, 4095, -4095, STATE_LIMIT - 1, 1 - STATE_LIMIT, STATE_LIMIT])
    for _ in range(200):
        n = 64
        u, v = (
            np.where(r.random(n) < 0.5, r.choice(edges, n), r.integers(1 - STATE_LIMIT, STATE_LIMIT, n))
            for _ in range(2)
        )
        v = np.clip(v, 1 - STATE_LIMIT, STATE_LIMIT - 1)
        a = r.choice([-(1 << 18), 1 << 18, 0, 2, -2, 100_000], n)
        i_decay, bias = r.integers(1, 4097, n), r.integers(-4096, 4096, n)
        v_decay, v_th = int(r.choice([0, 1, 4096, r.integers(0, 4097)])), int(r.choice([0, 1, 131071]))
        expected = cuba_step(u, v, a, i_decay, v_decay, v_th, bias)
        out = np.zeros(n, np.uint8)
        _cuba_step(u, v, a, 4096 - i_decay, 4096 - v_decay, bias << 6, v_th << 6, out)
        assert all((x == y).all() for x, y in zip(expected, (u, v, out)))


def test_a_difference_is_found():
    net = random_net(1)
    tokens = random_stream(net, 1)
    traces = run(net, tokens)
    wrong = {name: x.copy() for name, x in traces.items()}
    wrong[net.nodes[0].name][-1, -1, -1] ^= 1
    with pytest.raises(
        AssertionError, match=rf"1 values of '{net.nodes[0].name}' differ, first at .*\[2, {net.steps - 1}, "
    ):
        differences(traces, wrong, "made up")

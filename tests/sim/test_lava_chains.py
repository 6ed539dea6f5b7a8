"""Chains of layers as stock Lava processes: every layer and step as the engine has it."""

import numpy as np
import pytest
from chains import even, random_net

from sim.base.errors import UserError
from sim.lava.chains import check, simulate_chain
from sim.sequential import (
    AverageLayer,
    ConvLayer,
    Delta,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Neuron,
    Sequential,
    Sigma,
    SigmaDelta,
)

pytest.importorskip("lava.proc.lif")


def neuron(r, decays, channels, bias=20):
    return Neuron(np.asarray(decays, np.int32), 900, 60, r.integers(-20, bias, channels).astype(np.int32))


def same(net, x):
    found, expected = simulate_chain(net, x, threads=True).traces, net.run(x)
    assert list(found) == list(expected) and any(values.any() for values in expected.values())
    assert all(np.array_equal(found[name], values) for name, values in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 4])
def test_sigma_delta(seed):
    """Convolutions, groups, delays on axons and synapses, biases, sigma outputs."""
    net, r = random_net(seed)
    same(net, r.integers(-60, 61, (2, 12, *net.layers[0].shape)))


@pytest.mark.slow
def test_cuba():
    """Driven input, a convolution, several current decays in a layer, recurrence, averages; sample after sample."""
    r = np.random.default_rng(0)
    net = Sequential(
        (
            InputLayer("in", (2, 6, 7), neuron(r, [4096], 2), (64, 0)),
            ConvLayer("conv", even(r, (3, 2, 3, 3)), neuron(r, [700], 3), (2, 1), (1, 0), (1, 1), 1, (2, 6, 7)),
            FlattenLayer("flat", (45,)),
            DenseLayer("rec", even(r, (6, 45)), neuron(r, [0, 900, 900, 4096, 0, 30], 6), even(r, (6, 6))),
            DenseLayer("out", even(r, (4, 6)), neuron(r, [2000], 4)),
            AverageLayer("average", 2, 2),
        )
    )
    same(net, r.integers(-40, 90, (3, 15, 2, 6, 7)))


@pytest.mark.slow
def test_cuba_with_delays():
    r = np.random.default_rng(1)
    late = r.integers(0, 5, 6).astype(np.int32)
    net = Sequential(
        (
            InputLayer("in", (5,)),
            DenseLayer("a", even(r, (6, 5)), neuron(r, [700], 6, 1), None, late),
            DenseLayer(
                "b", even(r, (4, 6)), neuron(r, [700], 4), None, None, r.integers(0, 9, (4, 6)).astype(np.int32)
            ),
        )
    )
    same(net, (r.random((2, 30, 5)) < 0.4).astype(np.uint8))


def test_what_lava_cannot_is_refused():
    r = np.random.default_rng(0)
    biased = DenseLayer("a", even(r, (6, 5)), neuron(r, [700], 6), None, np.ones(6, np.int32))
    with pytest.raises(UserError, match="a: delays of what biased neurons send"):
        check(Sequential((InputLayer("in", (5,)), biased)))
    decays = np.arange(1, 76, dtype=np.int32)
    wide = ConvLayer("c", even(r, (3, 1, 1, 1)), neuron(r, decays, 3), (1, 1), (0, 0), (1, 1), 1, (1, 5, 5))
    with pytest.raises(UserError, match="c: Lava's neurons behind a convolution have one current decay"):
        check(Sequential((InputLayer("in", (1, 5, 5)), wide)))


@pytest.mark.slow
@pytest.mark.parametrize("delay", [None, 0, 3])
def test_sums_that_overflow(delay):
    """netx scales the weights of a layer without delays up, and its sums lose as many upper bits; with delays of what
    the layer sends they do not, whoever carries these out.
    """
    r = np.random.default_rng(5)
    weight = np.where(r.random((3, 110)) < 0.9, 60, -20).astype(np.int16)  # 60: two bits to spare
    last, x = even(r, (2, 3)), r.integers(1500, 2047, (1, 6, 110))

    def made(delay):
        axon = None if delay is None else np.full(3, delay, np.int32)
        first = DenseLayer("a", weight, SigmaDelta(0), None, axon)
        return Sequential((InputLayer("in", (110,), Delta(0)), first, DenseLayer("b", last, Sigma())))

    same(made(delay), x)
    assert (made(None).run(x)["a"] != made(0).run(x)["a"]).any()

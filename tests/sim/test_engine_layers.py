"""The compiled layers of SLAYER's nets against convolution and matrix product (`dendrite`) followed by the definition,
step by step.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.integer import cuba_step
from sim.sequential import ConvLayer, DenseLayer, Neuron, dendrite, run_layer


def neuron(r, n, channels):
    return Neuron(
        r.choice([0, 1, 500, 4095, 4096], r.choice([1, n])).astype(np.int32),
        int(r.choice([0, 1000, 4095, 4096])),
        int(r.integers(0, 400)),
        r.integers(-20, 40, r.choice([1, channels])).astype(np.int32),
    )


def check(layer, x):
    spikes, currents = run_layer(layer, x)
    a, q = dendrite(layer, x).astype(np.int64), layer.neuron
    i_decay = np.broadcast_to(q.i_decay, int(np.prod(layer.shape))).reshape(layer.shape)
    bias = np.broadcast_to(q.bias, layer.shape[0]).reshape(-1, *[1] * (len(layer.shape) - 1))
    u = v = np.zeros((len(x), *layer.shape), np.int64)
    for k in range(x.shape[1]):
        u, v, s = cuba_step(u, v, a[:, k], i_decay, q.v_decay, q.v_th, bias)
        assert np.array_equal(spikes[:, k], s) and np.array_equal(currents[:, k], u), k
    again, none = run_layer(layer, x, currents=False)
    assert none is None and np.array_equal(again, spikes)
    return spikes


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_convolution(seed):
    r = np.random.default_rng(seed)
    groups = int(r.choice([1, 2, 3]))
    c_in, c_out = groups * int(r.integers(1, 4)), groups * int(r.choice([1, 3, 6, 11]))
    ky, kx = (int(k) for k in r.integers(1, 4, 2))
    stride, padding, dilation = (
        tuple(int(v) for v in r.integers(low, high, 2)) for low, high in ((1, 4), (0, 3), (1, 3))
    )
    height, width = (int(v) for v in r.integers(5, 9, 2))
    weight = (r.integers(-128, 128, (c_out, c_in // groups, ky, kx)) * 2).astype(np.int16)
    apart, over = (tuple(int(v) for v in r.integers(low, 3, 2)) for low in (1, 0))
    where = (stride, padding, dilation, groups, (c_in, height, width))
    layer = ConvLayer("c", weight, neuron(r, 1, c_out), *where, spread=apart, overhang=over)
    layer = replace(layer, neuron=neuron(r, int(np.prod(layer.shape)), c_out))
    check(layer, (r.random((2, 12, c_in, height, width)) < r.choice([0.1, 0.5, 1.0])).astype(np.uint8))


def test_channels_that_fill_a_vector():
    """Sixteen of them, all of whose currents last."""
    r = np.random.default_rng(0)
    weight = (r.integers(-128, 128, (16, 2, 3, 3)) * 2).astype(np.int16)
    lasting = Neuron(np.array([500], np.int32), 3000, 60, np.zeros(1, np.int32))
    layer = ConvLayer("c", weight, lasting, (1, 1), (1, 1), (1, 1), 1, (2, 4, 4))
    assert check(layer, (r.random((2, 12, 2, 4, 4)) < 0.3).astype(np.uint8)).any()


@pytest.mark.parametrize("n_in, n", [(1, 1), (17, 33), (300, 64), (1000, 5)])
def test_dense(n_in, n):
    r = np.random.default_rng(n)
    layer = DenseLayer("d", r.choice([-256, 254, 2], (n, n_in)).astype(np.int16), neuron(r, n, n))
    for share in (0.0, 0.2, 1.0):
        check(layer, (r.random((3, 20, n_in)) < share).astype(np.uint8))


@pytest.mark.parametrize("n", [1, 16, 32, 40])
@pytest.mark.parametrize("i_decay", [0, 500, 4096])
def test_recurrent(n, i_decay):
    """Each neuron hears every other by a weight of its own, a step later; all currents last, or none."""
    r = np.random.default_rng(n)
    own = (r.integers(-128, 128, (n, n)) * 2).astype(np.int16)
    neurons = Neuron(np.array([i_decay], np.int32), 3000, 40, r.integers(-20, 40, n).astype(np.int32))
    layer = DenseLayer("r", (r.integers(-128, 128, (n, 9)) * 2).astype(np.int16), neurons, own)
    x = (r.random((2, 30, 9)) < 0.4).astype(np.uint8)
    spikes, currents = run_layer(layer, x)
    u = v = s = np.zeros((2, n), np.int64)
    for k in range(x.shape[1]):
        a = x[:, k] @ layer.weight.T.astype(np.int64) + s @ own.T.astype(np.int64)
        u, v, s = cuba_step(u, v, a, i_decay, 3000, 40, neurons.bias)
        assert np.array_equal(spikes[:, k], s) and np.array_equal(currents[:, k], u), k
    assert spikes.any()


def test_recurrent_with_many_spikes():
    """Every neuron fires at every step and reaches all others: more than 127 weights of one sign at once."""
    n = 200
    layer = DenseLayer(
        "r",
        np.full((n, 3), 254, np.int16),
        Neuron(np.array([4096], np.int32), 4096, 0, np.zeros(1, np.int32)),
        np.full((n, n), 254, np.int16),
    )
    x = np.ones((1, 6, 3), np.uint8)
    spikes, currents = run_layer(layer, x)
    assert spikes.all() and (currents[0, 0] == 3 * 254 * 64).all() and (currents[0, 1:] == (3 + n) * 254 * 64).all()

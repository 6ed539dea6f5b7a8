"""Random chains of sigma-delta layers for tests."""

import numpy as np

from sim.sequential import ConvLayer, Delta, DenseLayer, FlattenLayer, InputLayer, Sequential, Sigma, SigmaDelta


def random_neuron(r, channels, last):
    if last and r.random() < 0.5:
        return Sigma()
    return SigmaDelta(int(r.choice([0, 1, 9, 200])), bias=r.integers(-60, 60, r.choice([1, channels])).astype(np.int32))


def even(r, shape):
    return (r.integers(-128, 128, shape) * 2).astype(np.int16)


def random_net(seed):
    r = np.random.default_rng(seed)
    shape = (int(r.integers(1, 4)), int(r.integers(4, 8)), int(r.integers(4, 8)))
    layers = [InputLayer("layer/0", shape, Delta(int(r.choice([0, 3]))))]
    for i in range(int(r.integers(0, 3))):
        c_in, height, width = layers[-1].shape
        groups = int(r.choice([1, c_in]))
        c_out = groups * int(r.integers(1, 4))
        kernel = (c_out, c_in // groups, int(r.integers(1, min(3, height) + 1)), int(r.integers(1, min(3, width) + 1)))
        late = r.integers(0, 5, c_out).astype(np.int32) if r.random() < 0.3 else None
        stride, padding = (tuple(int(v) for v in r.integers(low, high, 2)) for low, high in ((1, 3), (0, 2)))
        neuron = random_neuron(r, c_out, False)
        layers.append(
            ConvLayer(f"conv/{i}", even(r, kernel), neuron, stride, padding, (1, 1), groups, layers[-1].shape, late)
        )
    layers.append(FlattenLayer("flat", (int(np.prod(layers[-1].shape)),)))
    for i, last in enumerate((False, True)):
        n_in, n = layers[-1].shape[0], int(r.integers(1, 7))
        axon = r.integers(0, 6, n).astype(np.int32) if r.random() < 0.3 else None
        synapse = r.integers(0, 6, (n, n_in)).astype(np.int32) if r.random() < 0.3 else None
        layers.append(DenseLayer(f"dense/{i}", even(r, (n, n_in)), random_neuron(r, n, last), None, axon, synapse))
    return Sequential(tuple(layers)), r

"""What messages cost: how many synapses each source reaches."""

from functools import singledispatch

import numpy as np

from .layers import ConvLayer, DenseLayer, Layer, imaginary_part
from .taps import taps_of


@singledispatch
def fan_out(layer: Layer) -> np.ndarray:
    """int64 [sources]: synapses that are not zero behind each source of `layer`, real and imaginary ones; a layer
    without synapses has none.
    """
    return np.zeros(0, np.int64)


@fan_out.register
def _(layer: DenseLayer):
    imaginary = imaginary_part(layer)
    return np.count_nonzero(layer.weight, axis=0).astype(np.int64) + (0 if imaginary is None else fan_out(imaginary))


@fan_out.register
def _(layer: ConvLayer):
    rows, columns = ((taps >= 0).astype(np.int64) for taps in taps_of(layer))
    found = [np.count_nonzero(kernels, axis=0) for kernels in np.split(layer.weight, layer.groups)]
    imaginary = imaginary_part(layer)
    real = np.einsum("cpq,yp,xq->cyx", np.concatenate(found), rows, columns).ravel()
    return real + (0 if imaginary is None else fan_out(imaginary))


def recurrent_fan_out(layer: Layer) -> np.ndarray:
    """The same for a layer's own spikes."""
    recurrent = getattr(layer, "recurrent", None)
    return np.zeros(0, np.int64) if recurrent is None else np.count_nonzero(recurrent, axis=0).astype(np.int64)


class Counter:
    """Adds up messages and synaptic operations of a chain, layer by layer. A message is one, whatever its value.

    Attributes:
        messages, synops: layer name -> number so far.
    """

    def __init__(self, net):
        self.layers = net.layers
        self.fan_out = {layer.name: fan_out(layer) for layer in net.layers}
        self.back = {layer.name: recurrent_fan_out(layer) for layer in net.layers}
        self.messages = {layer.name: 0 for layer in net.layers}
        self.synops = {layer.name: 0 for layer in net.layers}

    def add(self, out: dict) -> None:
        """Takes what all layers sent in some steps: name -> [B, K, *shape]."""
        before = None
        for layer in self.layers:
            sent = np.count_nonzero(out[layer.name].reshape(-1, int(np.prod(layer.shape))), axis=0).astype(np.int64)
            self.messages[layer.name] += int(sent.sum())
            reach, back = self.fan_out[layer.name], self.back[layer.name]
            self.synops[layer.name] += int(before @ reach) if len(reach) else 0
            self.synops[layer.name] += int(sent @ back) if len(back) else 0
            before = sent

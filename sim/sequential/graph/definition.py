"""A graph step by step, by definition: int64, everything that was sent kept. What the engine is held against."""

import numpy as np

from ...integer import cuba_step
from .. import dendrite
from ..running import per_neuron
from .net import Graph


def by_definition(net: Graph, x: np.ndarray) -> dict:
    """Node name -> int64 [B, K, *shape], of the input too, for input [B, K, *input shape].

    Raises:
        UserError: the input is for another geometry.
    """
    x = net.checked(x).astype(np.int64)
    sent = {net.input.name: list(np.moveaxis(x, 1, 0)), **{node.name: [] for node in net.nodes}}
    state = {node.name: np.zeros((2, len(x), *node.shape), np.int64) for node in net.nodes}
    for k in range(x.shape[1]):
        for node in net.nodes:
            a = np.zeros((len(x), *node.shape), np.int64)
            for edge, late in zip(node.edges, net.late(node)):
                if late <= k:
                    a += _arrived(edge, sent[edge.source][k - late])
            sent[node.name].append(_fired(node, state[node.name], a))
    empty = {layer.name: np.zeros((0, len(x), *layer.shape), np.int64) for layer in net.layers}
    return {name: np.moveaxis(np.stack(found) if found else empty[name], 0, 1) for name, found in sent.items()}


def _arrived(edge, spikes):
    shape = getattr(edge.layer, "in_shape", (edge.takes,))
    return dendrite(edge.layer, spikes.reshape(len(spikes), 1, *shape), np.float64)[:, 0].astype(np.int64)


def _fired(node, state, a):
    neuron = node.neuron
    i_decay = np.broadcast_to(neuron.i_decay, a[0].size).reshape(node.shape).astype(np.int64)
    bias = per_neuron(neuron.bias, node.shape).reshape(node.shape)
    u, v, s = cuba_step(state[0], state[1], a, i_decay, neuron.v_decay, neuron.v_th, bias)
    state[:] = u, v
    return s.astype(np.int64)

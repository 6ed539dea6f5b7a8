"""What a net consists of, layer by layer, as plain JSON values."""

from functools import singledispatch

import numpy as np

from ..base.plain import Json
from ..integer import weight_bits
from ..net import Cuba, Input, Net, Readout
from ..sequential import (
    AverageLayer,
    ConvLayer,
    Delta,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Resonator,
    Sequential,
    Sigma,
    SigmaDelta,
)
from ..sequential.graph import Graph, Node
from ..sequential.layers import Layer


def describe(net: Net | Sequential | Graph) -> list[dict[str, Json]]:
    """One dict per layer, in order: `type`, `name`, `sources`, `shape`, and what the type has.

    Args:
        net: of any kind.

    Weighted layers have `weight_bits` (`sim.integer`), `synapses` (places in the matrices; a kernel's are shared),
    `nonzero`, `parameters` (weights and biases). CUBA neurons: `threshold`, `i_decay` (the distinct values), `v_decay`,
    `bias` [lowest, highest]."""
    if isinstance(net, Net):
        return [describe_node(node, ()) for node in (*net.inputs, *net.nodes)]
    if isinstance(net, Graph):
        return [describe_node(node, ()) for node in net.layers]
    before = [()] + [(layer.name,) for layer in net.layers]
    return [describe_node(layer, source) for layer, source in zip(net.layers, before)]


@singledispatch
def describe_node(node: Input | Cuba | Readout | Layer | Node, before: tuple) -> dict:
    """See `describe`; `before`: names of the sources, for layers of a chain that do not know them."""
    raise TypeError(type(node).__name__)


def _weighted(weights, biases):
    size = sum(w.size for w in weights)
    return dict(
        weight_bits=weight_bits(weights),
        synapses=size,
        nonzero=int(sum(np.count_nonzero(w) for w in weights)),
        parameters=size + biases,
    )


@singledispatch
def _neurons(neuron) -> dict:
    """What the neurons of a layer have; this is for a `Cuba` or a `sim.sequential.Neuron`, which share the names."""
    return dict(
        threshold=int(neuron.v_th),
        i_decay=np.unique(neuron.i_decay).tolist(),
        v_decay=int(neuron.v_decay),
        bias=[int(neuron.bias.min()), int(neuron.bias.max())],
    )


@_neurons.register
def _(neuron: Delta):
    return dict(neuron="delta", threshold=int(neuron.v_th), message_bits=neuron.message_bits)


@_neurons.register
def _(neuron: SigmaDelta):
    return dict(
        neuron="sigma_delta",
        threshold=int(neuron.v_th),
        bias=[int(neuron.bias.min()), int(neuron.bias.max())],
        message_bits=neuron.message_bits,
    )


@_neurons.register
def _(neuron: Resonator):
    return dict(
        neuron="resonator",
        threshold=int(neuron.v_th),
        sin_decay=np.unique(neuron.sin_decay).tolist(),
        cos_decay=np.unique(neuron.cos_decay).tolist(),
        resets=neuron.resets,
    )


@_neurons.register
def _(neuron: Sigma):
    return dict(neuron="sigma", message_bits=neuron.message_bits)


@describe_node.register
def _(node: Input, before):
    found = dict(type="input", name=node.name, sources=[], shape=[node.size], of=node.of, backward=bool(node.backward))
    return found | (dict(message_bits=node.message_bits) if node.message_bits else {})


@describe_node.register
def _(node: Cuba, before):
    return dict(
        type="cuba",
        name=node.name,
        sources=list(node.sources),
        shape=[node.size],
        frame_reset=bool(node.frame_reset),
        **_neurons(node),
        **_weighted([s.weight for s in node.synapses], node.size),
    )


@describe_node.register
def _(node: Readout, before):
    return dict(
        type="readout",
        name=node.name,
        sources=list(node.sources),
        shape=[node.size],
        **_weighted([s.weight for s in node.synapses], 0),
    )


@describe_node.register
def _(layer: InputLayer, before):
    return dict(
        type="input",
        name=layer.name,
        sources=[],
        shape=list(layer.shape),
        **(_neurons(layer.neuron) if layer.neuron else {}),
    )


@describe_node.register
def _(layer: FlattenLayer, before):
    return dict(type="flatten", name=layer.name, sources=list(before), shape=list(layer.shape))


@describe_node.register
def _(layer: AverageLayer, before):
    return dict(type="average", name=layer.name, sources=list(before), shape=list(layer.shape), size=layer.size)


def _biases(layer):
    return getattr(layer.neuron, "bias", np.zeros(0)).size


@describe_node.register
def _(layer: DenseLayer, before):
    weights = [w for w in (layer.weight, layer.recurrent, layer.imaginary) if w is not None]
    return dict(
        type="dense" if layer.recurrent is None else "dense_rec",
        name=layer.name,
        sources=list(before),
        shape=list(layer.shape),
        delayed=layer.axon_delay is not None or layer.synapse_delay is not None,
        **_neurons(layer.neuron),
        **_weighted(weights, _biases(layer)),
    )


@describe_node.register
def _(layer: ConvLayer, before):
    return dict(
        type="conv" if layer.spread == (1, 1) else "convT",
        name=layer.name,
        sources=list(before),
        shape=list(layer.shape),
        kernel=list(layer.weight.shape[2:]),
        stride=list(layer.stride),
        padding=list(layer.padding),
        dilation=list(layer.dilation),
        groups=layer.groups,
        **({} if layer.plain else dict(spread=list(layer.spread), overhang=list(layer.overhang))),
        delayed=layer.axon_delay is not None,
        **_neurons(layer.neuron),
        **_weighted([w for w in (layer.weight, layer.imaginary) if w is not None], _biases(layer)),
    )


@describe_node.register
def _(node: Node, before):
    return dict(
        type="node",
        name=node.name,
        sources=[edge.source for edge in node.edges],
        shape=list(node.shape),
        delayed=any(edge.delay for edge in node.edges),
        **_neurons(node.neuron),
        **_weighted([edge.layer.weight for edge in node.edges], node.neuron.bias.size),
    )

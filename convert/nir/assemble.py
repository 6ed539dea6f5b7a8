"""Integer populations as nets: a chain of layers where they are one, a graph otherwise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Neuron, Sequential
from sim.sequential.graph import Edge, Graph, Node

from .populations import Population
from .quantize import Integers
from .values import CLOSE


@dataclass(frozen=True, eq=False)
class Made:
    """A population and its integers."""

    real: Population
    whole: Integers


def is_driven(p: Population, source: str) -> bool:
    """Whether these are neurons that an input drives without weights, as SLAYER's nets begin: gain 1, no bias and one
    integer threshold, so that nothing has to be rounded.
    """
    if len(p.edges) != 1 or p.edges[0][0] != source:
        return False
    m, d = p.edges[0][1], p.dynamics
    plain = m.tau is None and m.alone and not (m.bias.any() or m.delay.any())
    threshold = d.threshold
    return bool(
        plain
        and threshold is not None
        and (np.abs(d.gain - 1) <= CLOSE).all()
        and not d.bias.any()
        and (threshold == threshold[0]).all()
        and abs(threshold[0] - np.rint(threshold[0])) <= CLOSE * max(1, threshold[0])
    )


def as_chain(entry: InputLayer, made: Sequence, source: str, notes: tuple) -> Sequential | None:
    """A `Sequential`, or None if the populations are more than a chain."""
    layers: list = [entry]
    before = source
    for m in made:
        edges = list(zip(m.real.edges, m.whole.weights))
        onward = [(way, weight) for (name, way), weight in edges if name == before]
        back = [(way, weight) for (name, way), weight in edges if name == m.real.name]
        if not onward or len(back) > 1 or len(onward) + len(back) != len(edges):
            return None
        layer = _chained(m, onward, back, layers)
        if layer is None:
            return None
        layers.append(layer)
        before = m.real.name
    return Sequential(tuple(layers), notes)


def _chained(m, onward, back, layers):
    """The layer of one population behind `layers`, or None; adds to `layers` what must flatten, or delays."""
    way, weight = onward[0]
    again = back[0][1] if back else None
    if again is not None and (back[0][0].delay.any() or again.ndim != 2):
        return None
    late = None
    if len(onward) > 1:
        late = _apart(onward)
        if late is None or back:
            return None
        weight = np.sum([w for _, w in onward], 0).astype(np.int16)
    elif way.delay.any() and not _move_to_axons(way, layers):
        if weight.ndim == 4 or back:
            return None
        late = np.broadcast_to(way.delay.astype(np.int32), weight.shape).copy()
    if weight.ndim == 4:
        if back or way.before != layers[-1].shape:
            return None
        return named(m, lambda: conv_layer(f"layer/{len(layers)}", way, weight, m.whole.neuron))
    if len(layers[-1].shape) > 1:
        layers.append(FlattenLayer(f"layer/{len(layers)}", (int(np.prod(layers[-1].shape)),)))
    return named(m, lambda: DenseLayer(f"layer/{len(layers)}", weight, m.whole.neuron, again, None, late))


def _apart(onward):
    """int32 [n_out, n_in]: the delays of matrices that have no synapse in common, or None."""
    if any(weight.ndim != 2 for _, weight in onward):
        return None
    if (np.sum([weight != 0 for _, weight in onward], 0) > 1).any():
        return None
    late = np.zeros(onward[0][1].shape, np.int32)
    for way, weight in onward:
        late = np.where(weight != 0, way.delay.astype(np.int32), late)
    return late


def _move_to_axons(way, layers):
    """Makes what leaves the last layer late, where its channels are late as a whole; returns whether that was so."""
    layer = layers[-1]
    if not isinstance(layer, DenseLayer | ConvLayer):
        return False
    each = way.delay.reshape(layer.shape[0], -1)
    if (each != each[:, :1]).any():
        return False
    layers[-1] = replace(layer, axon_delay=each[:, 0].astype(np.int32))
    return True


def named(m: Made, make: Callable[[], Any]) -> Any:
    """A layer, with messages about it under the node's name instead of the layer's."""
    try:
        return make()
    except UserError as e:
        raise UserError(f"node {m.real.where!r}: {str(e).split(': ', 1)[-1]}") from None


def conv_layer(name: str, way: Any, weight: np.ndarray, neuron: Neuron) -> ConvLayer:
    """The kernel of a `Map` with its integer weights."""
    k = way.kernel
    return ConvLayer(name, weight, neuron, tuple(k.stride), tuple(k.padding), (1, 1), k.groups, tuple(way.before))


def as_graph(entry: InputLayer, made: Sequence, source: str, output: str, notes: tuple) -> Graph:
    """A `Graph`.

    Raises:
        UserError: something that does not fit the chip; names the node.
    """
    if entry.neuron is not None:
        raise UserError("graph: an input that drives neurons without weights can only begin a chain")
    nodes = []
    for m in made:
        edges = []
        for (name, way), weight in zip(m.real.edges, m.whole.weights):
            for delay in np.unique(way.delay):
                part = weight if (way.delay == delay).all() else _part(way, weight, way.delay == delay, m)
                edges.append(Edge(entry.name if name == source else name, _layer(m, way, part), int(delay)))
        nodes.append(named(m, lambda edges=edges, m=m: Node(m.real.name, tuple(edges))))
    return Graph(entry, tuple(nodes), output, notes)


def _layer(m, way, weight):
    neuron, name = m.whole.neuron, m.real.name
    if weight.ndim == 4:
        return named(m, lambda: conv_layer(name, way, weight, neuron))
    return named(m, lambda: DenseLayer(name, weight, neuron))


def _part(way, weight, chosen, m):
    """The weights of the sources in `chosen`, others 0."""
    if weight.ndim == 2:
        return np.where(chosen, weight, 0).astype(np.int16)
    per = chosen.reshape(way.before[0], -1)
    if (per != per[:, :1]).any():
        raise UserError(f"node {m.real.where!r}: takes sources of one channel that are late by different times")
    into = per[:, 0].reshape(way.kernel.groups, -1).repeat(len(weight) // way.kernel.groups, 0)
    return np.where(into[:, :, None, None], weight, 0).astype(np.int16)

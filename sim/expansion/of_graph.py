"""The expansion of a graph of layers: a node is a population, a dense one for each of its current decays, an edge one
projection, as late as `Graph.chip_delays` says.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch

import numpy as np

from ..sequential import ConvLayer, DenseLayer
from ..sequential.graph import Graph
from .of_sequential import by_decay, kernel_of, population_of
from .parts import Builder, Expansion, Line, Population


def expand_graph(net: Graph, wanted: Sequence[str] = (), slot: int | None = None) -> Expansion:
    """See `expand`; all nodes are kept, and only `slot` says how long a sample is."""
    builder, lags = Builder(), net.lags
    line = Line(net.input.name, int(np.prod(net.input.shape)), "input spikes")
    outputs: dict = {line.name: (line,)}
    outputs |= {node.name: _populations(node, lags[node.name], slot) for node in net.nodes}  # loops read later nodes
    for node in net.nodes:
        delays = net.chip_delays(node)
        for p in outputs[node.name]:
            inputs = [
                projection
                for edge, delay in zip(node.edges, delays)
                for projection in connect(edge.layer, builder, outputs[edge.source], p, delay)
            ]
            builder.add(replace(p, inputs=tuple(inputs)))
    built = {p.name: p for p in (line, *builder.populations)}
    outputs = {name: tuple(built[part.name] for part in parts) for name, parts in outputs.items()}
    return Expansion(tuple(builder.populations), (line,), outputs, None, slot, lags[net.output])


def _populations(node, lag, slot):
    """A node's populations, without inputs."""
    layer, size = node.edges[0].layer, int(np.prod(node.shape))
    whole = [(node.name, np.arange(size))]  # what follows a convolution has to read it as a whole
    groups = whole if len(node.shape) > 1 else by_decay(node.name, node.neuron, node.shape)
    return tuple(replace(population_of(layer, name, rows, (), lag, slot), layer=node.name) for name, rows in groups)


@singledispatch
def connect(layer: DenseLayer | ConvLayer, builder: Builder, sources: tuple, target: Population, delay: int) -> tuple:
    """Projections of an edge's synapses into the population `target`."""
    raise TypeError(type(layer).__name__)


@connect.register
def _(layer: DenseLayer, builder, sources, target, delay):
    return builder.connect(sources, target.name, layer.weight[target.index], delay)


@connect.register
def _(layer: ConvLayer, builder, sources, target, delay):
    kernel = kernel_of(layer)
    if len(sources) > 1:  # no one population holds what it reads
        return builder.connect(sources, target.name, kernel.matrix().toarray(), delay)
    return (builder.convolve(sources[0], target.name, kernel, delay),)

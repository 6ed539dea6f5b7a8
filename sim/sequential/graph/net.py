"""A graph of layers as data, checked when it is made."""

from dataclasses import dataclass

import numpy as np

from ...base.errors import UserError
from ...integer import INPUT_LIMIT, MAX_DELAY, fan_in
from .. import ConvLayer, DenseLayer, InputLayer, Neuron
from ..checks import require


@dataclass(frozen=True, eq=False)
class Edge:
    """Synapses between two nodes.

    Attributes:
        source: name of a node or of the input.
        layer: their weights, as a layer whose neurons are the target's; without delays and recurrence of its own.
        delay: steps by which the synapses are late, 0..62.
    """

    source: str
    layer: DenseLayer | ConvLayer
    delay: int = 0

    @property
    def takes(self) -> int:
        """Neurons of the source."""
        layer = self.layer
        return layer.weight.shape[1] if isinstance(layer, DenseLayer) else int(np.prod(layer.in_shape))

    @property
    def fan_in(self) -> np.ndarray:
        """int64 [shape[0]]: sums of |weights|, the same for all neurons of a channel."""
        return self.layer.fan_in if isinstance(self.layer, ConvLayer) else fan_in(self.layer.weight)


@dataclass(frozen=True, eq=False)
class Node:
    """CUBA neurons that add up what comes through their edges."""

    name: str
    edges: tuple

    def __post_init__(self):
        require(len(self.edges) > 0, self.name, "has no synapses")
        for edge in self.edges:
            layer = edge.layer
            require(isinstance(layer.neuron, Neuron), self.name, "only CUBA neurons can stand in a graph")
            require(layer.neuron is self.neuron, self.name, "its edges disagree on its neurons")
            require(layer.shape == self.shape, self.name, f"its edges make {layer.shape} and {self.shape}")
            plain = all(getattr(layer, key, None) is None for key in ("recurrent", "axon_delay", "synapse_delay"))
            require(plain, self.name, "an edge with delays or recurrence of its own")
            require(0 <= edge.delay <= MAX_DELAY, self.name, f"delay {edge.delay} outside 0..{MAX_DELAY}")
        require(
            (np.sum([edge.fan_in for edge in self.edges], 0) <= INPUT_LIMIT).all(),
            self.name,
            f"sum of |weights| of a neuron exceeds {INPUT_LIMIT}, the current could wrap twice in a step",
        )

    @property
    def neuron(self) -> Neuron:
        """Its neurons."""
        return self.edges[0].layer.neuron

    @property
    def shape(self) -> tuple:
        """Of its neurons."""
        return self.edges[0].layer.shape


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes and an input of spikes.

    Attributes:
        input: where spikes come in.
        nodes: in order: what an edge brings from an earlier node arrives in the same stream step (plus the edge's
            delay); an edge from the node itself or from a later one closes a loop.
        output: name of the node whose output is the net's.
        notes: what an import changed, one line each.
    """

    input: InputLayer
    nodes: tuple
    output: str
    notes: tuple = ()

    graded = False  # whether messages have values
    input_kind, input_range = "spikes", (0, 1)

    def __post_init__(self):
        if self.input.neuron is not None:
            raise UserError("net: the input of a graph takes spikes")
        sizes = {self.input.name: int(np.prod(self.input.shape))}
        for node in self.nodes:
            require(node.name not in sizes, node.name, "name used twice")
            sizes[node.name] = int(np.prod(node.shape))
        for node in self.nodes:
            for edge in node.edges:
                require(edge.source in sizes, node.name, f"source {edge.source!r} is not there")
                require(
                    edge.takes == sizes[edge.source],
                    node.name,
                    f"takes {edge.takes} values of {edge.source!r}, which has {sizes[edge.source]}",
                )
        if self.output not in sizes or self.output == self.input.name:
            raise UserError(f"net: its output is {self.output!r}, expected one of its nodes")

    @property
    def layers(self) -> tuple:
        """The input and the nodes, the output last."""
        return (self.input, *sorted(self.nodes, key=lambda node: node.name == self.output))

    @property
    def places(self) -> dict:
        """Name -> place in the order of the nodes, the input's first."""
        return {layer.name: k for k, layer in enumerate((self.input, *self.nodes))}

    @property
    def lags(self) -> dict:
        """Name -> chip steps by which a node's output lags its stream step: every synapse takes one."""
        lags = {self.input.name: 0}
        for node in self.nodes:
            lags[node.name] = 1 + max((lags[e.source] for e in node.edges if e.source in lags), default=0)
        return lags

    def late(self, node: Node) -> tuple:
        """Stream steps by which each edge of `node` is late: its delay, and, where it closes a loop, the chip steps
        that the loop takes.
        """
        order, lags, out = self.places, self.lags, []
        for edge in node.edges:
            closes = order[edge.source] >= order[node.name]
            out.append(edge.delay + (max(1, lags[edge.source] - lags[node.name] + 1) if closes else 0))
        return tuple(out)

    def chip_delays(self, node: Node) -> tuple:
        """Steps that each edge of `node` takes on the chip beyond a synapse's own: what its source sends for a stream
        step leaves at that step plus the source's lag, and is due at the step `late` steps on, plus the node's lag.
        """
        lags = self.lags
        return tuple(lags[node.name] - lags[e.source] - 1 + late for e, late in zip(node.edges, self.late(node)))

    def checked(self, x: np.ndarray) -> np.ndarray:
        """`x` as uint8 spikes [B, K, *input shape].

        Raises:
            UserError: another shape, type or range than the net's.
        """
        x, shape = np.asarray(x), self.input.shape
        if x.ndim < 3 or x.shape[2:] != shape:
            raise UserError(f"input has shape {x.shape}, the net takes [samples, steps, {', '.join(map(str, shape))}]")
        if x.dtype.kind not in "biuf":
            raise UserError(f"input: has type {x.dtype}, expected spikes, 0 or 1")
        if x.size and not ((x == 0) | (x == 1)).all():
            raise UserError(f"input: has values from {x.min()} to {x.max()}, expected spikes, 0 or 1")
        return x.astype(np.uint8)

    def run(self, x: np.ndarray) -> dict:
        """Node name -> uint8 spikes [B, K, *shape], of the input too, for input [B, K, *input shape].

        Raises:
            UserError: the input is for another geometry.
        """
        from .running import GraphStream

        x = self.checked(x)
        return GraphStream(self, len(x)).advance(x)[0]

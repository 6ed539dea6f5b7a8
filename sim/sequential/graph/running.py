"""A graph at work: nodes in order, a chunk of steps at a time; nodes that stand in a loop go step by step."""

from collections.abc import Iterable

import numpy as np

from .. import InputLayer, dendrite
from ..running import Chunk, delay_line, start
from .net import Graph


class GraphStream:
    """A batch of samples on its way through a `Graph`; states stay between chunks and begin at rest.

    Attributes:
        largest: empty: CUBA neurons have 24 bits everywhere.
    """

    def __init__(self, net, batch: int):
        self.net, self.largest = net, {}
        order = net.places
        self._groups = [[_Working(net, net.nodes[k - 1], order, batch) for k in group] for group in _groups(net, order)]

    def advance(self, x: np.ndarray, states: Iterable[str] = ()) -> tuple:
        """(name -> output, name -> states) for the next steps.

        Args:
            x: [B, K, *input shape], checked (`Graph.checked`).
            states: names of nodes whose states to return.
        """
        out, kept = {self.net.input.name: x}, {}
        if self.net.input.name in states:
            kept[self.net.input.name] = {}
        if not x.shape[1]:
            return out | {node.name: np.zeros((len(x), 0, *node.shape), np.uint8) for node in self.net.nodes}, kept
        for group in self._groups:
            if len(group) == 1 and not group[0].loops:
                _take(group[0], out, kept, states)
            else:
                parts = [_stepped(group, out, k, states) for k in range(x.shape[1])]
                for working in group:
                    name = working.node.name
                    out[name] = np.concatenate([part[0][name] for part in parts], 1)
                    if name in states:
                        found = [part[1][name] for part in parts]
                        kept[name] = {key: np.concatenate([f[key] for f in found], 1) for key in found[0]}
        return out, kept


def states_of(net: Graph, name: str, sent: dict) -> dict:
    """State -> [B, K, neurons] of the node `name`, from what all nodes sent, name -> [B, K, *shape]."""
    node = next(node for node in net.nodes if node.name == name)
    total = np.zeros((*next(iter(sent.values())).shape[:2], *node.shape), np.int32)
    for edge, late in zip(node.edges, net.late(node)):
        x = sent[edge.source]
        x = x.reshape(*x.shape[:2], *getattr(edge.layer, "in_shape", (edge.takes,))).astype(np.uint8)
        arrived = np.zeros_like(x)
        arrived[:, late:] = x[:, : max(x.shape[1] - late, 0)]
        total = total + dendrite(edge.layer, arrived)
    return start(InputLayer(node.name, node.shape, node.neuron), len(total))(total, True).states


def _groups(net, order):
    """Places of the nodes, split where no loop reaches across."""
    groups = []
    reach = list(range(len(net.nodes) + 1))
    for node in net.nodes:
        here = order[node.name]
        for edge in node.edges:
            reach[here] = max(reach[here], order[edge.source])
    end = 0
    for k in range(1, len(net.nodes) + 1):
        if k > end:
            groups.append([])
            end = k
        groups[-1].append(k)
        end = max(end, reach[k])
    return groups


def _stepped(group, out, k, states):
    """One step of nodes in a loop."""
    now = {name: x[:, k : k + 1] for name, x in out.items()}
    kept = {}
    for working in group:
        _take(working, now, kept, states)
    for working in group:
        working.remember(now)
    return now, kept


def _take(working, out, kept, states):
    name = working.node.name
    chunk = working.step(out, name in states)
    out[name] = chunk.out
    if name in states:
        kept[name] = chunk.states


class _Working:
    """One node: its states, and what is on its way to it."""

    def __init__(self, net, node, order, batch):
        self.node = node
        self._edges = [
            _Arriving(edge, late, order[edge.source] >= order[node.name], batch, net)
            for edge, late in zip(node.edges, net.late(node))
        ]
        self.loops = any(a.back for a in self._edges)
        first = self._edges[0]
        self._whole = len(self._edges) == 1 and not first.back and not first.late
        layer = first.edge.layer if self._whole else InputLayer(node.name, node.shape, node.neuron)
        self._fire = start(layer, batch)

    def step(self, out, states) -> Chunk:
        if self._whole:
            return self._fire(self._edges[0].seen(out), states)
        total = sum(arriving.sums(out) for arriving in self._edges)
        return self._fire(total, states)

    def remember(self, out):
        for arriving in self._edges:
            arriving.remember(out)


class _Arriving:
    """What comes through one edge; spikes of a loop wait here until their step has come."""

    def __init__(self, edge, late, back, batch, net):
        self.edge, self.late, self.back = edge, late, back
        layer = edge.layer
        self._shape = getattr(layer, "in_shape", (edge.takes,))
        if back:
            self._waiting = np.zeros((batch, late, *self._shape), np.uint8)
        elif late:
            self._line = delay_line(np.full(self._shape[0], late))

    def seen(self, out):
        if self.back:
            return self._waiting[:, :1]
        x = out[self.edge.source]
        x = x.reshape(*x.shape[:2], *self._shape)
        return self._line(x) if self.late else x

    def sums(self, out):
        return dendrite(self.edge.layer, self.seen(out))

    def remember(self, out):
        if self.back:
            x = out[self.edge.source]
            self._waiting = np.concatenate([self._waiting[:, 1:], x.reshape(len(x), 1, *self._shape)], 1)

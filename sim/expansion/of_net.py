"""The expansion of a `Net`: neurons with one current decay are a population, paths that wait pass through delays and
relays. Nodes that the read-out does not depend on are left out.
"""

from collections.abc import Sequence
from functools import singledispatch

import numpy as np

from ..integer import DECAY_ONE
from ..net import PHASE, TOKENS, Cuba, Net, Readout
from ..net.schedule import edge_delays, latencies
from .parts import CUBA, READOUT, Builder, Expansion, Line, Population, Reset

PROCESS = {
    (TOKENS, False): "encoder",
    (TOKENS, True): "encoder, each frame reversed",
    (PHASE, False): "encoder, token on turn",
    (PHASE, True): "encoder, token on turn, each frame reversed",
}


class _NetBuilder(Builder):
    """Attributes: net, late (`latencies`), slot; outputs: what has been expanded so far."""

    def __init__(self, net, slot):
        super().__init__()
        self.net, self.late, self.slot = net, latencies(net), slot or net.steps
        self._delays = edge_delays(net)
        self.lines = tuple(
            Line(i.name, i.size, PROCESS[i.of, i.backward], i.message_bits > 0, i.of == PHASE) for i in net.inputs
        )
        self.outputs = {line.name: (line,) for line in self.lines}

    def inputs(self, node, target, rows):
        """All projections of a node into its population `target`, which holds its neurons `rows`."""
        out = ()
        for s in node.synapses:
            delay = self._delays[s.source, node.name]
            out += self.connect(self.outputs.get(s.source, ()), target, s.weight[rows], delay, -s.shift)
        return out


def expand_net(net: Net, wanted: Sequence[str] = (), slot: int | None = None) -> Expansion:
    """See `expand`."""
    builder, readout = _NetBuilder(net, slot), net.nodes[-1]
    needed = {*wanted, readout.name}
    for node in reversed(net.nodes):
        if node.name in needed:
            needed |= {s.source for s in node.synapses if s.weight.any()}
    for node in net.nodes:
        if node.name in needed:
            builder.outputs[node.name] = expand_node(node, builder)
    return Expansion(
        tuple(builder.populations),
        builder.lines,
        builder.outputs,
        readout.name,
        net.steps,
        builder.late[readout.name],
    )


@singledispatch
def expand_node(node: Cuba | Readout, builder: Builder) -> tuple:
    """Adds the populations of a node to the builder; returns those that hold its neurons."""
    raise TypeError(type(node).__name__)


@expand_node.register
def _(node: Cuba, builder):
    out, decays = [], np.unique(node.i_decay)
    for i_decay in decays:
        rows = np.flatnonzero(node.i_decay == i_decay)
        name = node.name if len(decays) == 1 else f"{node.name}[{i_decay}]"
        period = builder.net.places if node.frame_reset else builder.slot
        lasting = i_decay < DECAY_ONE or node.v_decay < DECAY_ONE
        out.append(
            builder.add(
                Population(
                    name,
                    node.name,
                    CUBA,
                    rows,
                    builder.inputs(node, name, rows),
                    node.i_decay[rows],
                    node.v_decay,
                    node.v_th,
                    node.bias[rows],
                    Reset(period, builder.late[node.name] % period) if lasting else None,
                )
            )
        )
    return tuple(out)


@expand_node.register
def _(node: Readout, builder):
    rows, none = np.arange(node.size), np.zeros(node.size, np.int32)
    inputs = builder.inputs(node, node.name, rows)
    return (
        builder.add(
            Population(node.name, node.name, READOUT, rows, inputs, none + DECAY_ONE, DECAY_ONE, 0, none, graded=True)
        ),
    )

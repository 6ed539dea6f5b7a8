"""What led to a difference: the last steps of one neuron, as each executor's own spikes make them.

States are not taken from the executors, which do not all show them: they are what the definition (`sim.integer`) makes
of the dendritic input that the executor's spikes bring. So where an executor's spike is not the one the definition
gives (`rule`), that executor is wrong; where it is, its input was."""

from functools import singledispatch

import numpy as np

from ..integer import cuba_step
from ..net import PHASE, Cuba, Readout, Reverse, TokenGate

STEPS = 8


def sample_traces(net, tokens, traces, sample):
    """name -> [K, n] of one sample, with the inputs and the phase, which not every executor traces; tokens: uint8
    [B, K, C].
    """
    x = tokens[sample]
    turned = x.reshape(net.frames, net.tokens, -1)[:, ::-1].reshape(x.shape)
    known = {i.name: turned if i.backward else x for i in net.inputs} | {
        PHASE: np.tile(np.eye(net.tokens, dtype=np.uint8), (net.frames, 1))
    }
    return known | {name: trace[sample] for name, trace in traces.items() if name in {n.name for n in net.nodes}}


def history(net, layer, neuron, step, sides, steps=STEPS):
    """The last `steps` steps of a neuron up to `step`.

    Args:
        net: `sim.net.Net`.
        layer, neuron, step: where; step in stream time.
        sides: executor -> traces of the sample, as from `sample_traces`; layers may be missing.

    Returns:
        executor -> list of dicts, oldest first: step, then by kind of layer: `Cuba` input, u, v (after the step, before
            a reset by a spike v is above the
        threshold and shown as it was), spike, rule; `TokenGate` source, count, spike, rule; `Reverse` and `Readout`
            spike, rule. None for what is not known.
    """
    node = net.node(layer)
    out = {}
    for executor, traces in sides.items():
        known = all(s in traces for s in node.sources)
        rows = neuron_rows(node, net, traces, neuron, step) if known else [{} for _ in range(step + 1)]
        spikes = traces[layer][:, neuron] if layer in traces else None
        out[executor] = [
            dict(step=k, **rows[k], spike=None if spikes is None else int(spikes[k]))
            for k in range(max(0, step + 1 - steps), step + 1)
        ]
    return out


@singledispatch
def neuron_rows(node, net, traces, neuron, step):
    """One dict for each of the steps 0..step: what the definition says about a neuron, given its sources' spikes."""
    raise TypeError(type(node).__name__)


@neuron_rows.register
def _(node: Cuba, net, traces, neuron, step):
    rows, u, v = [], np.zeros(1, np.int64), np.zeros(1, np.int64)
    period = net.tokens if node.frame_reset else net.steps
    for k, a in enumerate(_dendrite(node, traces, neuron, step)):
        if k % period == 0:
            u[:], v[:] = 0, 0
        never = 1 << 24  # a threshold out of reach shows the voltage before its reset
        _, before, _ = cuba_step(u, v, [a], node.i_decay[neuron], node.v_decay, never, node.bias[neuron])
        u, v, s = cuba_step(u, v, [a], node.i_decay[neuron], node.v_decay, node.v_th, node.bias[neuron])
        rows.append(dict(input=int(a), u=int(u[0]), v=int(before[0]), rule=int(s[0])))
    return rows


@neuron_rows.register
def _(node: TokenGate, net, traces, neuron, step):
    x = traces[node.source].astype(np.int64)
    count = x.sum(1).reshape(-1, net.tokens).cumsum(0).reshape(-1)
    return [
        dict(source=int(x[k, neuron]), count=int(count[k]), rule=int(x[k, neuron] and count[k] >= node.threshold))
        for k in range(step + 1)
    ]


@neuron_rows.register
def _(node: Reverse, net, traces, neuron, step):
    x, n = traces[node.source][:, neuron], net.tokens
    return [dict(rule=int(x[k - k % n + n - 1 - k % n])) for k in range(step + 1)]


@neuron_rows.register
def _(node: Readout, net, traces, neuron, step):
    return [dict(rule=int(a)) for a in _dendrite(node, traces, neuron, step)]


def _dendrite(node, traces, neuron, step):
    """int64 [step + 1], weights times spikes."""
    return sum(traces[s.source][: step + 1].astype(np.int64) @ s.weight[neuron].astype(np.int64) for s in node.synapses)


def lines(found):
    """The history as lines of text, columns aligned; empty for none."""
    out = []
    for executor, rows in (found or {}).items():
        names = list(rows[-1])
        table = [names] + [["-" if row.get(n) is None else str(row[n]) for n in names] for row in rows]
        widths = [max(len(line[i]) for line in table) for i in range(len(names))]
        out += [f"  {executor}:"] + [
            "    " + "  ".join(cell.rjust(w) for cell, w in zip(line, widths)) for line in table
        ]
    return out

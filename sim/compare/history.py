"""What led to a difference: the last steps of one neuron, as each executor's own spikes make them.

States are not taken from the executors, which do not all show them: they are what the definition (`sim.integer`) makes
of the dendritic input that the executor's spikes bring. So where an executor's spike is not the one the definition
gives (`rule`), that executor is wrong; where it is, its input was."""

from functools import singledispatch
from typing import NamedTuple

import numpy as np

from ..integer import cuba_step
from ..net import Cuba, Net, Readout
from ..net.tokens import Stream, checked, inputs

STEPS = 8


def sample_traces(net: Net, stream: Stream | np.ndarray, traces: dict, sample: int) -> dict[str, np.ndarray]:
    """name -> [S, n] of one sample, with the inputs, which not every executor traces."""
    known = {name: x[0] for name, x in inputs(net, checked(net, stream)[sample : sample + 1]).items()}
    return known | {name: trace[sample] for name, trace in traces.items() if name in {n.name for n in net.nodes}}


def history(
    net: Net, layer: str, neuron: int, step: int, sides: dict[str, dict], steps: int = STEPS
) -> dict[str, list[dict]]:
    """The last `steps` steps of a neuron up to `step`.

    Args:
        net: `sim.net.Net`.
        layer, neuron, step: where; step in stream time.
        sides: executor -> traces of the sample, as from `sample_traces`; layers may be missing.

    Returns:
        executor -> list of dicts, oldest first: step, then by kind of layer: `Cuba` input, u, v (after the step; where
        a spike resets it, v is shown as it was above the threshold), spike, rule; `Readout` spike, rule. None for what
        is not known.
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
def neuron_rows(node: Cuba | Readout, net: Net, traces: dict, neuron: int, step: int) -> list[dict]:
    """One dict for each of the steps 0..step: what the definition says about a neuron, given its sources' spikes."""
    raise TypeError(type(node).__name__)


@neuron_rows.register
def _(node: Cuba, net, traces, neuron, step):
    found = states(node, net, traces, np.array([neuron]), step + 1)
    named = dict(input=found.input, u=found.u, v=found.before, rule=found.spikes)
    return [{name: int(values[k, 0]) for name, values in named.items()} for k in range(step + 1)]


@neuron_rows.register
def _(node: Readout, net, traces, neuron, step):
    return [dict(rule=int(a[0])) for a in _dendrite(node, traces, np.array([neuron]), step + 1)]


class States(NamedTuple):
    """Of some neurons in every step, int64 [steps, neurons]: the dendritic input; current and voltage after the step;
    the voltage `before` a spike resets it; spikes, 0 or 1.
    """

    input: np.ndarray
    u: np.ndarray
    v: np.ndarray
    before: np.ndarray
    spikes: np.ndarray


def states(node: Cuba, net: Net, traces: dict, neurons: np.ndarray, steps: int) -> States:
    """What the definition says about neurons of a layer, given what its sources sent (`sample_traces`), in the first so
    many steps of a sample.
    """
    total, found = _dendrite(node, traces, neurons, steps), []
    period = net.places if node.frame_reset else net.steps
    u = v = np.zeros(len(neurons), np.int64)
    for k, a in enumerate(total):
        if k % period == 0:
            u = v = np.zeros(len(neurons), np.int64)
        never = 1 << 24  # a threshold out of reach shows the voltage before its reset
        _, before, _ = cuba_step(u, v, a, node.i_decay[neurons], node.v_decay, never, node.bias[neurons])
        u, v, s = cuba_step(u, v, a, node.i_decay[neurons], node.v_decay, node.v_th, node.bias[neurons])
        found.append((u, v, before, s))
    u, v, before, s = np.array(found, np.int64).transpose(1, 0, 2)
    return States(total, u, v, before, s)


def _dendrite(node, traces, neurons, steps) -> np.ndarray:
    """int64 [steps, neurons], weights times spikes."""
    spikes = ((s, traces[s.source][:steps].astype(np.int64)) for s in node.synapses)
    return np.sum([(x @ s.weight[neurons].T.astype(np.int64)) >> s.shift for s, x in spikes], 0)


def lines(found: dict[str, list[dict]] | None) -> list[str]:
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

"""Runs chains of layers (`sim.sequential`) in Lava's CPU simulator as stock processes, from outside: see
`sim.lava.simulate` for why.

Samples follow one another in one run where all neurons can be reset; sigma-delta neurons cannot, and what waits in a
delay or comes back to a recurrent layer neither: such nets run anew for every sample.
"""

import tempfile
from typing import NamedTuple

import numpy as np

from ..base.errors import UserError
from ..sequential import AverageLayer, FlattenLayer, Sequential
from .simulate import run_worker


class Simulated(NamedTuple):
    """What a simulation gave.

    Attributes:
        traces: layer name -> int32 [n, K, *shape], in stream time.
        seconds: from the first step to the last. processes: how many Lava processes ran.
    """

    traces: dict
    seconds: float
    processes: int


def simulate_chain(net: Sequential, x, threads=False, timeout_s=None, progress=None, stall_s=120) -> Simulated:
    """Runs samples through a net of stock processes.

    Args:
        x: [n, K, *input shape].
        threads, timeout_s, progress, stall_s: as of `sim.lava.simulate.simulate`.

    Raises:
        UserError: the input is for another geometry; Lava has no process for a layer.
        SimulationError: a process model raised or died, Lava could not build the net, or time is over.
    """
    check(net)
    x = net.checked(x)
    parts = [x[i : i + 1] for i in range(len(x))] if _alone(net) else [x]
    done = []
    for i, part in enumerate(parts):
        share = None if progress is None else lambda s, total, i=i: progress((i + s / total) * len(x) / len(parts))
        done.append(_run(net, part, threads, timeout_s, share, stall_s))
    traces = {name: np.concatenate([d.traces[name] for d in done]) for name in done[0].traces}
    return Simulated(traces, sum(d.seconds for d in done), done[0].processes)


def _alone(net):
    return net.graded or any(_delays(layer) or getattr(layer, "recurrent", None) is not None for layer in net.layers)


def _delays(layer):
    return any(d is not None and d.any() for d in (getattr(layer, f"{k}_delay", None) for k in ("axon", "synapse")))


def check(net: Sequential) -> None:
    """Raises `UserError` for what the stock processes cannot do: several current decays in a convolution; delays of
    what biased CUBA neurons send, which nothing holds silent before their first step.
    """
    for layer in net.layers:
        neuron = getattr(layer, "neuron", None)
        if neuron is None or neuron.graded:
            continue
        if len(layer.shape) == 3 and len(np.unique(neuron.i_decay)) > 1:
            raise UserError(f"{layer.name}: Lava's neurons behind a convolution have one current decay, not several")
        if getattr(layer, "axon_delay", None) is not None and layer.axon_delay.any() and (neuron.bias > 0).any():
            raise UserError(
                f"{layer.name}: delays of what biased neurons send: in Lava nothing holds these silent before their"
                " first step; use the engine"
            )


def kept(net: Sequential) -> list:
    """The layers that Lava runs, in order; the others only reorder or are the host's."""
    return [layer for layer in net.layers if not isinstance(layer, FlattenLayer | AverageLayer)]


def to_lava(x, shape):
    """[..., *shape] as rows in Lava's order: x, y, channel."""
    lead = x.shape[: x.ndim - len(shape)]
    axes = (*range(len(lead)), *(len(lead) + i for i in reversed(range(len(shape)))))
    return x.transpose(axes).reshape(*lead, int(np.prod(shape)))


def from_lava(rows, shape):
    """The reverse of `to_lava`."""
    lead = rows.shape[:-1]
    turned = rows.reshape(*lead, *reversed(shape))
    return turned.transpose((*range(len(lead)), *(len(lead) + i for i in reversed(range(len(shape))))))


def _late(sent, layer):
    """What arrives of a layer's rows [chip steps, *shape]: Lava has an axon's delay on the synapses behind it."""
    delay = getattr(layer, "axon_delay", None)
    if delay is None:
        return np.ascontiguousarray(sent)
    out = np.zeros_like(sent)
    for c, d in enumerate(delay):
        out[d:, c] = sent[: max(len(sent) - d, 0), c]
    return out


def _run(net, x, threads, timeout_s, progress, stall_s):
    n, steps = x.shape[:2]
    layers, lags = kept(net), net.lags
    total = n * steps + max(lags.values())
    width = sum(int(np.prod(layer.shape)) for layer in layers)
    with tempfile.TemporaryDirectory(prefix="lava-") as folder:
        rows = to_lava(x.astype(np.int32).reshape(n * steps, *x.shape[2:]), net.layers[0].shape)
        np.save(f"{folder}/in.npy", rows)
        job = dict(net=net, slot=steps, steps=total, threads=threads)
        out, report = run_worker(folder, job, width, timeout_s, stall_s, progress, "sim.lava.chain_worker")
        traces, base = {}, 0
        for layer in layers:
            size, late = int(np.prod(layer.shape)), lags[layer.name]
            sent = from_lava(np.array(out[:, base : base + size]), layer.shape)
            traces[layer.name] = _late(sent, layer)[late : late + n * steps].reshape(n, steps, *layer.shape)
            base += size
    before = None
    for layer in net.layers:  # what only reorders
        if layer.name not in traces:
            seen = traces[before]
            shape = (
                (n, steps, layer.groups, layer.size) if isinstance(layer, AverageLayer) else (n, steps, *layer.shape)
            )
            seen = seen.reshape(shape)
            traces[layer.name] = seen.sum(3, dtype=np.int32) if isinstance(layer, AverageLayer) else seen
        before = layer.name
    order = {layer.name: traces[layer.name] for layer in net.layers}
    return Simulated(order, report["run_seconds"], report["processes"])

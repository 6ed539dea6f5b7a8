"""Runs chains (`sim.sequential`) and graphs of layers (`sim.sequential.graph`) in Lava's CPU simulator, as stock
processes, from outside: see `sim.lava.simulate` for why.

Samples follow one another in one run where all neurons can be reset; sigma-delta neurons and resonators cannot, and
what waits in a delay or comes back to a recurrent layer neither: such nets run anew for every sample.
"""

from collections.abc import Callable
from functools import singledispatch
from typing import NamedTuple

import numpy as np

from ..base import scratch
from ..base.errors import UserError
from ..expansion.of_sequential import by_decay
from ..sequential import AverageLayer, FlattenLayer, Resonator, Sequential
from ..sequential.graph import Graph
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


def simulate_chain(
    net: Sequential | Graph,
    x: np.ndarray,
    threads: bool = False,
    timeout_s: float | None = None,
    progress: Callable[..., object] | None = None,
    stall_s: float = 120,
) -> Simulated:
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


@singledispatch
def _alone(net) -> bool:
    """Whether something of a sample outlasts the reset of all neurons."""
    raise TypeError(type(net).__name__)


@_alone.register
def _(net: Sequential):
    return net.graded or any(_lasts(layer) or getattr(layer, "recurrent", None) is not None for layer in net.layers)


@_alone.register
def _(net: Graph):
    return any(any(net.late(node)) for node in net.nodes)


def _lasts(layer):
    """Delays, and resonators: Lava has none that are reset."""
    return _delays(layer) or isinstance(getattr(layer, "neuron", None), Resonator)


def _delays(layer):
    return any(d is not None and d.any() for d in (getattr(layer, f"{k}_delay", None) for k in ("axon", "synapse")))


@singledispatch
def check(net: Sequential | Graph) -> None:
    """Raises `UserError` for what the stock processes cannot do: several current decays in a convolution; delays or
    loops behind biased CUBA neurons, which nothing holds silent before their first step.
    """
    raise TypeError(type(net).__name__)


@check.register
def _(net: Sequential):
    for layer in net.layers:
        neuron = getattr(layer, "neuron", None)
        if neuron is None or neuron.graded:
            continue
        _check_decays(layer.name, layer.shape, neuron)
        if getattr(layer, "axon_delay", None) is not None and layer.axon_delay.any():
            _check_silent(layer.name, neuron)


@check.register
def _(net: Graph):
    late = {edge.source for node in net.nodes for edge, steps in zip(node.edges, net.late(node)) if steps}
    for node in net.nodes:
        _check_decays(node.name, node.shape, node.neuron)
        if node.name in late:
            _check_silent(node.name, node.neuron)


def _check_decays(name, shape, neuron):
    if len(shape) == 3 and len(by_decay(name, neuron, shape)) > 1:
        raise UserError(f"{name}: Lava's neurons behind a convolution have one current decay, not several")


def _check_silent(name, neuron):
    if (neuron.bias > 0).any():
        raise UserError(
            f"{name}: delays of what biased neurons send: in Lava nothing holds these silent before their first step;"
            " use the engine"
        )


@singledispatch
def kept(net: Sequential | Graph) -> list:
    """The layers that Lava runs, in order; the others only reorder or are the host's."""
    raise TypeError(type(net).__name__)


@kept.register
def _(net: Sequential):
    return [layer for layer in net.layers if not isinstance(layer, FlattenLayer | AverageLayer)]


@kept.register
def _(net: Graph):
    return list(net.layers)


def _late(sent, layer):
    """What arrives of a layer's rows [chip steps, *shape]: an axon's delay is on the synapses behind it."""
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
    with scratch.folder("lava") as folder:
        np.save(f"{folder}/in.npy", x.astype(np.int32).reshape(n * steps, -1))
        names = [layer.name for layer in layers]
        job = dict(net=net, slot=steps, steps=total, threads=threads, layers=names)
        out, report = run_worker(folder, job, width, timeout_s, stall_s, progress, "sim.lava.chain_worker")
        traces, base = {}, 0
        for layer in layers:
            size, late = int(np.prod(layer.shape)), lags[layer.name]
            sent = np.array(out[:, base : base + size]).reshape(-1, *layer.shape)
            traces[layer.name] = _late(sent, layer)[late : late + n * steps].reshape(n, steps, *layer.shape)
            base += size
    return Simulated(_with_host(net, traces), report["run_seconds"], report["processes"])


def _with_host(net, traces):
    """The traces of all layers in order, those too that only reorder or that the host adds up."""
    before, order = None, {}
    for layer in net.layers:
        if layer.name in traces:
            order[layer.name] = traces[layer.name]
        else:
            seen = order[before]
            grouped = isinstance(layer, AverageLayer)
            seen = seen.reshape(*seen.shape[:2], *((layer.groups, layer.size) if grouped else layer.shape))
            order[layer.name] = seen.sum(3, dtype=np.int32) if grouped else seen
        before = layer.name
    return order

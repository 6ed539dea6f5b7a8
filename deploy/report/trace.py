"""What every layer does in a sample, step by step: spikes, and the states of some neurons."""

import numpy as np

from events.frames import SpikeFrames
from sim import engine
from sim.compare.history import states
from sim.integer import STATE_SHIFT
from sim.net import Cuba, Net
from sim.net.tokens import Stream as Tokens
from sim.sequential import Sequential, Stream
from sim.sequential.graph import Graph, GraphStream

from .content import LayerTrace, Trace

NEURONS = 128  # of a layer that are shown
WATCHED = 6  # of these with their states
VALUES = 1 << 19  # of all spikes of a sample that the page takes along; longer samples are cut
STATES = 1 << 17  # the same of states


def of_net(net: Net, stream: Tokens, title: str) -> Trace:
    """The first sample of a stream, by the engine; states by the definition (`sim.compare.history`) from its spikes.

    Raises:
        RuntimeError: the equation gives other spikes than the engine, a defect of this program.
    """
    found = engine.run(net, stream[:1], trace="all").traces
    names = [*(i.name for i in net.inputs), *(n.name for n in net.nodes)]
    steps = _shown(net.steps, [found[name].shape[2] for name in names])
    layers = []
    for name in names:
        node, spikes = net.node(name), found[name][0, :steps]
        watched = _watched(spikes, getattr(node, "i_decay", None)) if isinstance(node, Cuba) else np.zeros(0, int)
        kept = _states(net, node, found, watched, steps) if len(watched) else {}
        layers.append(_layer(name, spikes, watched, kept, getattr(node, "v_th", None)))
    return Trace(title, net.steps, net.places, stream.which[0, :steps] < 0, tuple(layers))


def of_chain(net: Sequential | Graph, x: np.ndarray | SpikeFrames, title: str) -> Trace:
    """The first sample of [n, steps, *input shape]."""
    x = net.checked(x[:1])
    sizes = [int(np.prod(layer.shape)) for layer in net.layers]
    steps = _shown(x.shape[1], sizes)
    names = [layer.name for layer in net.layers if getattr(layer, "neuron", None) is not None]
    run = (GraphStream if isinstance(net, Graph) else Stream)(net, 1)
    out, known = run.advance(x[:, :steps], names)
    layers = []
    for layer in net.layers:
        spikes = out[layer.name][0].reshape(steps, -1)
        has = {n: s for n, s in known.get(layer.name, {}).items() if s is not None and s.size}
        watched = _watched(spikes, None) if has else np.zeros(0, int)
        kept = {n: s[0].reshape(steps, -1)[:, watched].astype(np.int32) for n, s in has.items()}
        layers.append(_layer(layer.name, spikes, watched, kept, layer.neuron.v_th if "v" in kept else None))
    return Trace(title, x.shape[1], None, np.zeros(steps, bool), tuple(layers))


def _shown(steps, sizes):
    """Steps that fit the page."""
    watched = sum(2 * min(n, WATCHED) for n in sizes)
    return max(1, min(steps, VALUES // sum(min(n, NEURONS) for n in sizes), STATES // watched))


def _layer(name, spikes, watched, kept, threshold):
    size = spikes.shape[1]
    neurons = np.union1d(np.arange(min(size, NEURONS)), watched)
    limit = None if threshold is None else int(threshold) << STATE_SHIFT
    return LayerTrace(name, size, neurons, spikes[:, neurons], watched, kept, limit)


def _watched(spikes, i_decay):
    """Numbers of the neurons whose states are shown: the busiest of each decay, then the next busiest."""
    busy = np.argsort(-np.count_nonzero(spikes, 0), kind="stable")
    first = [] if i_decay is None else [int(busy[np.flatnonzero(i_decay[busy] == d)[0]]) for d in np.unique(i_decay)]
    rest = [int(j) for j in busy if int(j) not in first]
    return np.sort(np.array([*first, *rest][:WATCHED], int))


def _states(net, node, found, watched, steps):
    """u and v of the neurons `watched` after each step, int32 [steps, w]."""
    by_rule = states(node, net, {name: trace[0] for name, trace in found.items()}, watched, steps)
    differ = (by_rule.spikes != found[node.name][0, :steps, watched].T).any(1)
    if differ.any():
        raise RuntimeError(
            f"layer {node.name}, step {differ.argmax()}: the engine's spikes are not those of the equation"
        )
    return {"u": by_rule.u.astype(np.int32), "v": by_rule.v.astype(np.int32)}

"""What happens on the chip while samples run: spikes, synaptic operations, neuron updates and messages, counted on the
placed expansion.

The engine gives every layer's spikes; those of the neurons inside gates and reversals, and of relays, follow from them.
Samples come one after the other without a gap, so that every neuron is updated at every step of a sample. Times are
stream times: a spike and the update that it causes count for the same step."""

from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from sim import engine
from sim.net import PHASE, Cuba, Net, Readout, Reverse, TokenGate
from sim.prices import COUNTS, WORK
from sim.sequential import dendrite

from .synapses import Kernel

BATCH = 4


@dataclass(frozen=True, eq=False)
class Activity:
    """Means over samples.

    Attributes:
        samples, steps: how many, and steps of each.
        counts: name -> number per sample. `synops`: entries of synapse lists that binary spikes made the cores work
            through; `graded_synops`: the same for graded spikes; `zero_synops`: how many of these entries were zeros,
            which dense lists hold; `active_updates`: updates of neurons that a spike reaches in that step, or that have
            a bias or a lasting state, `inactive_updates`: the others; `messages`: spikes sent to cores, one for each
            list; `hops_ew`, `hops_ns`: tiles crossed within a chip; `spikes`: of all neurons, graded ones included.
        layer_synops: layer -> operations on non-zero synapses, per sample.
        work: float32 [samples * steps, cores, 4], what each core does in each step, in the order of `WORK`.
        host: host line -> dict(process, lines, spikes_per_sample, peak_per_step, messages_per_sample).
        answers: messages to the host per sample.
    """

    samples: int
    steps: int
    counts: dict
    layer_synops: dict
    work: np.ndarray
    host: dict
    answers: float


def measure(net, expansion, placement, board, x) -> Activity:
    """Runs samples through the engine and counts.

    Args:
        x: for a `sim.net.Net` uint8 [B, T*N, C]; for a `sim.sequential.Sequential` its input [B, K, *shape].

    Raises:
        UserError: the input is for another geometry.
    """
    counter = _Counter(expansion, placement, board)
    for i in range(0, len(x), BATCH):
        counter.add(rasters(net, x[i : i + BATCH]), _reached(net, x[i : i + BATCH]))
    return counter.result(len(x))


def rasters(net, x) -> dict:
    """Population or host line -> spikes [B, K, n] (uint8; graded output as 0 and 1) of a net's expansion."""
    if not isinstance(net, Net):
        return _sequential_rasters(net, x)
    traces = engine.run(net, x, trace="all").traces
    out = {name: traces[name] for name in (*(i.name for i in net.inputs), PHASE)}
    for node in net.nodes:
        out |= inside(node, net, traces)  # also of nodes that the expansion leaves out, which nobody asks for
    return out


@singledispatch
def inside(node, net, traces):
    """Spikes of the populations of one node."""
    raise TypeError(type(node).__name__)


@inside.register
def _(node: Cuba, net, traces):
    decays = np.unique(node.i_decay)
    if len(decays) == 1:
        return {node.name: traces[node.name]}
    return {f"{node.name}[{d}]": traces[node.name][:, :, node.i_decay == d] for d in decays}


@inside.register
def _(node: Readout, net, traces):
    return {node.name: (traces[node.name] != 0).astype(np.uint8)}


@inside.register
def _(node: TokenGate, net, traces):
    x = traces[node.source]
    closed = 1 - engine.token_gate(x, node.threshold, net.tokens)[..., None]
    frame = np.arange(net.steps)[:, None] // net.tokens
    first, last = (np.broadcast_to(frame == f, closed.shape).astype(np.uint8) for f in (0, net.frames - 1))
    at = node.name  # what is left at the end is wiped
    return {
        f"{at}.first": first,
        f"{at}.last": last,
        f"{at}.closed": closed,
        f"{at}.left": closed * (1 - last),
        f"{at}.out": traces[at],
    }


@inside.register
def _(node: Reverse, net, traces):
    x = traces[node.source]
    token = np.arange(net.steps) % net.tokens
    both = np.zeros((*x.shape[:2], net.tokens, node.size), np.uint8)
    both[:, np.arange(net.steps), token] = x
    return {f"{node.name}.both": both.reshape(*x.shape[:2], -1), f"{node.name}.out": traces[node.name]}


def _sequential_rasters(net, x):
    spikes = net.run(x)
    out = {}
    for layer in net.layers:
        flat = spikes[layer.name].reshape(*spikes[layer.name].shape[:2], -1)
        if getattr(layer, "neuron", None) is None:
            out[layer.name] = flat
            continue
        i_decay = np.broadcast_to(layer.neuron.i_decay, flat.shape[2])
        decays = np.unique(i_decay)
        out[layer.name] = flat
        out |= {f"{layer.name}[{d}]": flat[:, :, i_decay == d] for d in decays} if len(decays) > 1 else {}
    first = net.layers[0]
    if first.neuron is not None:
        out[f"{first.name}.drive"] = (np.asarray(x) != 0).astype(np.uint8).reshape(*out[first.name].shape)
    return out


def _reached(net, x):
    """Layer -> bool [B, K, n], which neurons of a convolution a spike reaches; the others are found from their
    matrices.
    """
    if isinstance(net, Net):
        return {}
    spikes, before, out = net.run(x), None, {}
    for layer in net.layers:
        if hasattr(layer, "stride"):
            hit = dendrite(replace(layer, weight=((layer.weight != 0) * 2).astype(np.int16)), spikes[before]) > 0
            out[layer.name] = hit.reshape(*hit.shape[:2], -1)
        before = layer.name
    return out


class _Counter:
    """Adds up batches."""

    def __init__(self, expansion, placement, board):
        self.expansion, self.cores = expansion, len(placement.cores)
        self.populations = {p.name: p for p in expansion.populations}
        self.parts = {}
        for core, part in placement.parts():
            self.parts.setdefault(part.population.name, []).append((core, part))
        self.where = {name: _cores_of_neurons(parts) for name, parts in self.parts.items()}
        place = np.arange(self.cores)
        self.chip, on_chip = np.divmod(place, board["cores_per_chip"])
        tile = on_chip // board["cores_per_tile"]
        self.row, self.column = np.divmod(tile, board["tile_columns"])
        self.counts = dict.fromkeys(COUNTS, 0)
        self.layers = dict.fromkeys((p.layer for p in expansion.populations), 0)
        self.host = {
            h.name: dict(process=h.process, lines=h.n, spikes_per_sample=0, peak_per_step=0, messages_per_sample=0)
            for h in expansion.host
        }
        self.work, self.answers, self.steps = [], 0, 0

    def add(self, spikes, reached):
        batch, self.steps = next(iter(spikes.values())).shape[:2]
        work = np.zeros((batch * self.steps, self.cores, len(WORK)), np.float32)
        for name, p in self.populations.items():  # relays repeat their source
            if p.role == "relay":
                source, j = spikes[p.inputs[0].source], p.inputs[0]
                spikes[name] = source[:, :, j.weight.indices]
        for h in self.expansion.host:
            line = self.host[h.name]
            line["spikes_per_sample"] += int(spikes[h.name].sum(dtype=np.int64))
            line["peak_per_step"] = max(
                line["peak_per_step"], int(spikes[h.name].sum(2, dtype=np.int64).max(initial=0))
            )
        for name, p in self.populations.items():
            self._population(p, spikes, reached.get(p.layer), work)
            self.counts["spikes"] += int(spikes[name].sum(dtype=np.int64))
        if self.expansion.readout:
            self.answers += int(spikes[self.expansion.readout].sum(dtype=np.int64))
        self.work.append(work)

    def _population(self, p, spikes, reached, work):
        active = None if reached is None else reached.reshape(-1, p.n)
        for i, j in enumerate(p.inputs):
            flat = spikes[j.source].reshape(-1, spikes[j.source].shape[2])
            rows = flat.astype(np.float32)
            sent = flat.sum(0, dtype=np.int64)
            if not isinstance(j.weight, Kernel):
                hit = (j.weight != 0).astype(np.float32)
                # A csr matrix times the transpose: scipy takes the sparse operand on the left.
                arrived = (hit @ rows.T).T > 0
                active = arrived if active is None else active | arrived
            kind = "graded_synops" if j.graded else "synops"
            for core, part in self.parts[p.name]:
                found = part.lists[i]
                work[:, core, WORK.index(kind)] += rows @ found.entries.astype(np.float32)
                done, useful = int(sent @ found.entries), int(sent @ found.nonzero)
                self.counts[kind] += done
                self.counts["zero_synops"] += done - useful
                self.layers[p.layer] += useful
                self._messages(j.source, sent * (found.entries > 0), core)
        active = p.busy | (np.zeros((len(work), p.n), bool) if active is None else active)
        for core, part in self.parts[p.name]:
            now = active[:, part.members].sum(1)
            work[:, core, WORK.index("active_updates")] += now
            work[:, core, WORK.index("inactive_updates")] += len(part.members) - now
        self.counts["active_updates"] += int(active.sum())
        self.counts["inactive_updates"] += int(active.size - active.sum())

    def _messages(self, source, sent, core):
        """Counts messages per source neuron to one core."""
        total = int(sent.sum())
        self.counts["messages"] += total
        if source not in self.where:
            self.host[source]["messages_per_sample"] += total
            return
        home = self.where[source]
        same = self.chip[home] == self.chip[core]  # the way between chips is not public
        self.counts["hops_ew"] += int((sent * same) @ np.abs(self.column[home] - self.column[core]))
        self.counts["hops_ns"] += int((sent * same) @ np.abs(self.row[home] - self.row[core]))

    def result(self, n):
        mean = lambda d: {k: v / n for k, v in d.items()}  # noqa: E731
        host = {
            k: {key: value / n if key.endswith("per_sample") else value for key, value in line.items()}
            for k, line in self.host.items()
        }
        return Activity(
            n, self.steps, mean(self.counts), mean(self.layers), np.concatenate(self.work), host, self.answers / n
        )


def _cores_of_neurons(parts):
    """int [n]: the core of every neuron of a population."""
    home = np.empty(sum(len(p.members) for _, p in parts), np.int64)
    for core, p in parts:
        home[p.members] = core
    return home

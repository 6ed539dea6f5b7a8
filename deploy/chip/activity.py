"""What happens on the chip while samples run: spikes, synaptic operations, neuron updates and messages, counted on the
placed expansion.

The engine gives every layer's spikes, those of the inputs and the phase included; relays repeat their source. Samples
come one after the other without a gap, so that every neuron is updated at every step of a sample. Times are stream
times: a spike and the update that it causes count for the same step."""

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np

from sim import engine
from sim.expansion import Expansion, Kernel, Population
from sim.integer import DECAY_ONE
from sim.net import Net
from sim.net.tokens import Stream
from sim.prices import COUNTS, WORK
from sim.sequential import Sequential, dendrite
from sim.sequential.graph import Graph

from .allocate import Placement
from .board import Board

BATCH = 4
KINDS = INPUT, SYNAPSES, UPDATES, MESSAGES = "input", "synapses", "updates", "messages"


@dataclass(frozen=True)
class Counts:
    """Means over samples.

    Attributes:
        samples, steps: how many, and steps of each.
        synops: entries of synapse lists that binary spikes made the cores work through. graded_synops: the same for
            graded spikes. zero_synops: how many of these entries were zeros, which dense lists hold.
        active_updates: updates of neurons that a spike reaches in that step, or that have a bias or a lasting state.
            inactive_updates: the others.
        messages: spikes sent to cores, one for each list. hops_ew, hops_ns: tiles crossed within a chip.
        spikes: of all neurons, graded ones included.
        layer_synops: layer -> operations on non-zero synapses.
        parts: layer -> kind -> operation (of `sim.prices.COUNTS`) -> how many: a layer's own (`updates`), and what
            spikes make it do, from the host (`input`) or from other layers (`synapses`, and `messages` to its cores).
            They add up to the totals above.
    """

    samples: int
    steps: int
    synops: float
    graded_synops: float
    active_updates: float
    inactive_updates: float
    zero_synops: float
    messages: float
    hops_ew: float
    hops_ns: float
    spikes: float
    layer_synops: dict
    parts: dict


@dataclass(frozen=True)
class LineTraffic:
    """What the host sends through a line, or gets: spikes and messages per sample, spikes per step at most."""

    spikes_per_sample: float | None
    peak_per_step: int | None
    messages_per_sample: float


@dataclass(frozen=True, eq=False)
class Activity:
    """What was counted.

    Attributes:
        counts: `Counts`.
        work: float32 [samples * steps, cores, 4], what each core does in each step, in the order of `WORK`.
        host: host line -> `LineTraffic`.
        answers: messages to the host per sample.
    """

    counts: Counts
    work: np.ndarray
    host: dict
    answers: float


def measure(
    net: Net | Sequential | Graph, expansion: Expansion, placement: Placement, board: Board, x: Stream | np.ndarray
) -> Activity:
    """Runs samples through the engine and counts.

    Args:
        x: for a `sim.net.Net` a `sim.net.tokens.Stream`, or uint8 [B, T*N, C] if it sends all tokens; for a
            `sim.sequential.Sequential` or a `sim.sequential.graph.Graph` its input [B, K, *shape].

    Raises:
        UserError: the input is for another geometry.
    """
    counter = _Counter(expansion, placement, board)
    for i in range(0, len(x), BATCH):
        spikes, reached = run(net, x[i : i + BATCH])
        counter.add(rasters(expansion, spikes), reached)
    return counter.result(len(x))


def rasters(expansion: Expansion, spikes: dict) -> dict:
    """Population or line -> spikes [B, K, n] (uint8; graded output as 0 and 1) from those of layers and inputs."""
    out = {line.name: (spikes[line.name] != 0).astype(np.uint8) for line in expansion.lines}
    for p in expansion.populations:
        x = spikes[p.layer][:, :, p.index]
        out[p.name] = (x != 0).astype(np.uint8) if p.graded else x
    return out


@singledispatch
def run(net: Net | Sequential | Graph, x: Stream | np.ndarray) -> tuple:
    """Runs a net: (layer or input -> its output [B, K, n]; layer -> bool [B, K, n], which neurons of a convolution a
    spike reaches, those of others are found from their matrices).
    """
    raise TypeError(type(net).__name__)


@run.register
def _(net: Net, x):
    return engine.run(net, x, trace="all").traces, {}


@run.register
def _(net: Sequential, x):
    spikes: Any = net.run(x)
    before, reached = "", {}
    for layer in net.layers:
        if hasattr(layer, "stride"):
            reached[layer.name] = _hit(layer, spikes[before])
        before = layer.name
    out, first = {name: _flat(s) for name, s in spikes.items()}, net.layers[0]
    if first.neuron is not None:
        out[f"{first.name}.drive"] = _flat(np.asarray(x) != 0).astype(np.uint8)
    return out, reached


@run.register
def _(net: Graph, x):
    spikes, reached = net.run(x), {}
    for node in net.nodes:
        for edge in node.edges:
            if hasattr(edge.layer, "stride"):
                hit = _hit(edge.layer, spikes[edge.source])
                reached[node.name] = reached.get(node.name, False) | hit
    return {name: _flat(s) for name, s in spikes.items()}, reached


def _hit(layer, spikes):
    """bool [B, K, n]: which neurons of a convolution a spike reaches."""
    any_weight = replace(layer, weight=((layer.weight != 0) * 2).astype(np.int16))
    return _flat(dendrite(any_weight, (spikes != 0).reshape(*spikes.shape[:2], *layer.in_shape)) > 0)


def _flat(x):
    return x.reshape(*x.shape[:2], -1)


def busy(population: Population) -> np.ndarray:
    """bool [n]: neurons that do something in every step, spikes or none, as they have a bias or a state that lasts."""
    # What decays by 4095 of 4096 is gone at the next step, but for membranes beyond 4096.
    lasting = any(u < DECAY_ONE or v < DECAY_ONE - 1 for u, v in population.decays)
    return (population.bias != 0) | lasting


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
        self.by_kind = {layer: {kind: dict.fromkeys(COUNTS, 0) for kind in KINDS} for layer in self.layers}
        self.host = {line.name: dict(spikes=0, peak=0, messages=0) for line in expansion.lines}
        self.work, self.answers, self.steps = [], 0, 0

    def add(self, spikes, reached):
        batch, self.steps = next(iter(spikes.values())).shape[:2]
        work = np.zeros((batch * self.steps, self.cores, len(WORK)), np.float32)
        for name, line in self.host.items():
            sent = spikes[name].sum(2, dtype=np.int64)
            line["spikes"] += int(sent.sum())
            line["peak"] = max(line["peak"], int(sent.max(initial=0)))
        for name, p in self.populations.items():
            self._population(p, spikes, reached.get(p.layer), work)
            self._count(p.layer, MESSAGES, "spikes", int(spikes[name].sum(dtype=np.int64)))
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
                entries, nonzero = part.lists[i].of_sources()
                work[:, core, WORK.index(kind)] += rows @ entries.astype(np.float32)
                done, useful = int(sent @ entries), int(sent @ nonzero)
                cause = SYNAPSES if j.source in self.where else INPUT
                self._count(p.layer, cause, kind, done)
                self._count(p.layer, cause, "zero_synops", done - useful)
                self.layers[p.layer] += useful
                self._messages(p.layer, j.source, sent * (entries > 0), core)
        active = busy(p) | (np.zeros((len(work), p.n), bool) if active is None else active)
        for core, part in self.parts[p.name]:
            now = active[:, part.members].sum(1)
            work[:, core, WORK.index("active_updates")] += now
            work[:, core, WORK.index("inactive_updates")] += len(part.members) - now
        self._count(p.layer, UPDATES, "active_updates", int(active.sum()))
        self._count(p.layer, UPDATES, "inactive_updates", int(active.size - active.sum()))

    def _count(self, layer, kind, operation, n):
        self.counts[operation] += n
        self.by_kind[layer][kind][operation] += n

    def _messages(self, layer, source, sent, core):
        """Counts messages per source neuron to one core, on which `layer` lies."""
        total = int(sent.sum())
        kind = MESSAGES if source in self.where else INPUT
        self._count(layer, kind, "messages", total)
        if source not in self.where:
            self.host[source]["messages"] += total
            return
        home = self.where[source]
        same = self.chip[home] == self.chip[core]  # the way between chips is not public
        self._count(layer, kind, "hops_ew", int((sent * same) @ np.abs(self.column[home] - self.column[core])))
        self._count(layer, kind, "hops_ns", int((sent * same) @ np.abs(self.row[home] - self.row[core])))

    def result(self, n):
        mean = lambda d: {k: v / n for k, v in d.items()}  # noqa: E731
        host = {
            name: LineTraffic(line["spikes"] / n, line["peak"], line["messages"] / n)
            for name, line in self.host.items()
        }
        parts = {layer: {kind: mean(n_of) for kind, n_of in own.items()} for layer, own in self.by_kind.items()}
        counts = Counts(n, self.steps, **mean(self.counts), layer_synops=mean(self.layers), parts=parts)
        return Activity(counts, np.concatenate(self.work), host, self.answers / n)


def _cores_of_neurons(parts):
    """int [n]: the core of every neuron of a population."""
    home = np.empty(sum(len(p.members) for _, p in parts), np.int64)
    for core, p in parts:
        home[p.members] = core
    return home

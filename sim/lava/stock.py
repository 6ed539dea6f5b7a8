"""A net as a graph of stock Lava processes, the ones that have counterparts on the chip. Imports Lava: `compat.apply()`
must have run.

Chip time. `late` (from `sim.schedule`) is the chip step at which a node emits its spike for stream step 0. Lava counts
time steps from 1, so chip step c is Lava's time step c + 1. Every synapse process hands on at step c what it received
at step c - 1.

Before a node's first step of a sample its inputs are what the previous sample, or nothing at all, left in the pipeline.
Neurons with a state are `LIFReset`, reset exactly at that step; all others forget at once, but for the spikes on their
way round a gate's loop, which a line of the host wipes."""

from dataclasses import dataclass
from functools import cached_property, singledispatch

import numpy as np
from lava.proc.dense.process import DelayDense
from lava.proc.dense.process import Dense as LavaDense
from lava.proc.graded.process import GradedReluVec, GradedVec
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from ..base.errors import UserError
from ..gates import digits, gate_threshold
from ..integer import DECAY_ONE, STATE_SHIFT, THRESHOLD_MAX, WEIGHT_STEP
from ..net import PHASE, TOKENS, Cuba, Net, Readout, Reverse, TokenGate
from ..schedule import GATE_STEPS, edge_delays, latencies

MAX_DELAY = 62  # steps beyond the one that every synapse takes
HOP = MAX_DELAY + 1  # what a relay neuron behind the longest delay adds
W = WEIGHT_STEP  # weight of synapses that only say yes or no
FULL_DECAY = (
    DECAY_ONE - 1
    # as `du` it means 4096, forget at once; as `dv` it leaves nothing of |v| < 4096, and logic neurons stay below 64 *
    # 3 * W
)
MESSAGE_BITS = 24
MAX_CHANNELS = 4095  # of a gate: from 4096 negative weight units on a logic neuron keeps a whole one to the next step


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one node that leave by one port: the node's neurons `index` are at `columns` of `port`."""

    port: object
    columns: np.ndarray
    index: np.ndarray


class Rings:
    """What the host does around the simulated graph: samples follow one another every `slot` steps, and each signal
    that repeats by itself comes from a
    `RingBuffer` of its own. `lead`: steps that the host's spikes need to reach the graph."""

    def __init__(self, net):
        self.slot, self.lead = net.steps, 0

    def line(self, graph, data):
        """(out-port, first column) of a signal, int32 [lines, steps], that repeats for ever."""
        return graph.add(RingBuffer(data=data)).s_out, 0


class Graph:
    """What has been built so far.

    Attributes:
        processes: all Lava processes.
        outputs: node or input name -> tuple of `Population`s.
        readout: the process that holds the read-out.
    """

    def __init__(self, net: Net, host):
        self.net, self.host, self.late, self.delays = net, host, latencies(net), edge_delays(net)
        self.processes, self.outputs, self._relayed = [], {}, {}

    def add(self, process):
        self.processes.append(process)
        return process

    def phase_population(self, at):
        """The one-hot token phase for a neuron that works on stream step 0 at chip step `at`: as the phase has
        period N, a delay is a rotation.
        """
        n, (port, first) = self.net.tokens, self._phase
        return Population(port, first + (np.arange(n) + at - 1) % n, np.arange(n))

    @cached_property
    def _phase(self):
        return self.host.line(self, np.eye(self.net.tokens, dtype=np.int32))

    def frame_population(self, gate, first, end):
        """One line that is on together with the gate's source in the stream steps `first`..`end` of every sample."""
        on = np.zeros((1, self.host.slot), np.int32)
        on[0, (self.late[gate.source] + np.arange(first, end)) % self.host.slot] = 1
        port, column = self.host.line(self, on)
        return Population(port, np.array([column]), np.array([0]))

    def resets(self, late, period):
        """Arguments of `LIFReset`: reset before chip step `late` and every `period` steps from there."""
        return dict(reset_interval=period, reset_offset=(late + self.host.lead + 1) % period)

    def source(self, name, delay):
        """(populations, rest): `name`'s spikes behind as many relay neurons as bring the delay that is left, `rest`,
        into 0..62.
        """
        hops, rest = divmod(delay, HOP)
        for hop in range(1, hops + 1):
            if (name, hop) not in self._relayed:
                self._relayed[name, hop] = tuple(self.relay(p, MAX_DELAY) for p in self._at(name, hop - 1))
        return self._at(name, hops), rest

    def _at(self, name, hop):
        if hop:
            return self._relayed[name, hop]
        return (self.phase_population(1),) if name == PHASE else self.outputs[name]

    def relay(self, population, delay):
        """The same spikes, `delay` + 1 steps later."""
        n = len(population.index)
        neurons = self.logic(n, W // 2)
        self.sparse(population, np.arange(n), population.index, np.full(n, delay), neurons.a_in, n)
        return Population(neurons.s_out, np.arange(n), population.index)

    def logic(self, n, v_th):
        """Memoryless binary neurons: each fires when its input exceeds `v_th`, in weight units."""
        return self.add(LIF(shape=(n,), du=FULL_DECAY, dv=FULL_DECAY, vth=v_th))

    def dense(self, population, weight, delay, target, **options):
        """Synapses from a population into the in-port `target`; `weight` [n, node's size] is for the whole node, int."""  # noqa: E501
        wide = np.zeros((weight.shape[0], population.port.shape[0]), np.int32)
        wide[:, population.columns] = weight[:, population.index]
        kind, options = (DelayDense, options | dict(delays=int(delay))) if delay else (LavaDense, options)
        synapse = self.add(kind(weights=wide, **(dict(sign_mode=SignMode.MIXED) | options)))
        population.port.connect(synapse.s_in)
        synapse.a_out.connect(target)

    def count(self, source, delay, target):
        """A synapse that brings the graded spikes of the one neuron `source` to the neuron `target` as they are."""
        self.dense(
            Population(source.s_out, np.array([0]), np.array([0])),
            np.ones((1, 1), np.int32),
            delay,
            target.a_in,
            sign_mode=SignMode.EXCITATORY,
            num_message_bits=MESSAGE_BITS,
        )

    def number(self, line, value, target):
        """Synapses by which a line of the host adds `value`, which may be negative, to the one neuron behind `target`."""  # noqa: E501
        for digit, exponent in digits(abs(value)):
            weight, sign = (digit, SignMode.EXCITATORY) if value > 0 else (-digit, SignMode.INHIBITORY)
            self.dense(line, np.array([[weight]], np.int32), 0, target, sign_mode=sign, weight_exp=exponent)

    def sparse(self, population, rows, sources, delays, target, n):
        """Synapses of weight W into the in-port `target` of `n` neurons: neuron `sources[i]` of the node excites
        `rows[i]` with delay `delays[i]`.
        """
        position = dict(zip(population.index.tolist(), population.columns.tolist()))
        where = np.array([i for i, s in enumerate(sources) if int(s) in position])
        rows, delays, columns = rows[where], delays[where], np.array([position[int(sources[i])] for i in where])
        shape = n, population.port.shape[0]
        options = dict(
            weights=csr_matrix((np.full(len(rows), W, np.int32), (rows, columns)), shape), sign_mode=SignMode.MIXED
        )
        if delays.any():
            late = delays > 0  # absent entries of a sparse matrix are zeros
            kind, options["delays"] = (
                DelaySparse,
                csr_matrix((delays[late].astype(int), (rows[late], columns[late])), shape),
            )
        else:
            kind = Sparse
        synapse = self.add(kind(**options))
        population.port.connect(synapse.s_in)
        synapse.a_out.connect(target)

    def synapses(self, node, rows, target):
        """All synapses of a `Cuba` or `Readout` into the in-port of its neurons `rows`."""
        for s in node.synapses:
            if s.source == PHASE:
                self.dense(self.phase_population(self.late[node.name]), s.weight[rows], 0, target)
                continue
            populations, delay = self.source(s.source, self.delays[s.source, node.name])
            for p in populations:
                self.dense(p, s.weight[rows], delay, target)


def expand(net: Net, inputs, wanted=(), host=None) -> Graph:
    """Builds the graph of a net. Nodes that neither the read-out nor `wanted` depends on are left out: Lava takes no
    graph in two pieces.

    Args:
        net: the net.
        inputs: an object with `.connect(in_port)` and `.shape`, the port that brings the spikes of all `net.inputs`,
            one behind the other.
        wanted: names of further nodes whose spikes are needed.
        host: an object like `Rings`, which is the default.

    Raises:
        UserError: a gate does not fit the chip's number formats.
    """
    graph = Graph(net, host or Rings(net))
    readout = net.nodes[-1]
    needed = {*wanted, readout.name}
    for node in reversed(net.nodes):
        needed.update(node.sources if node.name in needed else ())
    for k, i in enumerate(net.inputs):
        graph.outputs[i.name] = (Population(inputs, np.arange(i.size) + k * i.size, np.arange(i.size)),)
    for node in net.nodes:
        if node.name in needed:
            graph.outputs[node.name] = expand_node(node, graph)
    if needed.isdisjoint(i.name for i in net.inputs):  # then the host's spikes must at least arrive somewhere
        graph.dense(
            graph.outputs[TOKENS][0], np.zeros((readout.size, net.inputs[0].size), np.int32), 0, graph.readout.a_in
        )
    return graph


@singledispatch
def expand_node(node, graph):
    """Adds the processes of `node` to the graph; its tuple of `Population`s."""
    raise TypeError(type(node).__name__)


@expand_node.register
def _(node: Cuba, graph):
    populations = []
    for i_decay in np.unique(node.i_decay):  # a LIF process has one decay
        rows = np.flatnonzero(node.i_decay == i_decay)
        neurons = graph.add(
            LIFReset(
                shape=(len(rows),),
                du=int(i_decay) - 1,
                dv=node.v_decay,
                vth=node.v_th,
                bias_mant=node.bias[rows].astype(np.int32),
                bias_exp=STATE_SHIFT,
                **graph.resets(graph.late[node.name], graph.net.tokens if node.frame_reset else graph.host.slot),
            )
        )
        graph.synapses(node, rows, neurons.a_in)
        populations.append(Population(neurons.s_out, np.arange(len(rows)), rows))
    return tuple(populations)


@expand_node.register
def _(node: Readout, graph):
    out = graph.readout = graph.add(GradedVec(shape=(node.size,), vth=0))
    graph.synapses(node, np.arange(node.size), out.a_in)
    return (Population(out.s_out, np.arange(node.size), np.arange(node.size)),)


@expand_node.register
def _(node: TokenGate, graph):
    """How many spikes a token still needs goes round as a graded spike and meets the token's next frame, N steps later;
    what is not 0 closes the outputs.

    `left[k] = max(0, left[k-N] - spikes[k])`, where the first frame of a sample finds the threshold and the last one
    leaves nothing. `closed` sees the same, but for that end. Weights of 1 and -1, which mixed synapses do not have, so
    that a count is not scaled on each round."""
    n, size = graph.net.tokens, node.size
    threshold = gate_threshold(node, graph.net)
    _fits(node, threshold)
    first, last = graph.frame_population(node, 0, n), graph.frame_population(node, graph.net.steps - n, graph.host.slot)
    sources = graph.source(node.source, 0)[0]

    # 1. The loop, and beside it what it holds back.
    left, closed = graph.add(GradedReluVec(shape=(1,), vth=0)), graph.logic(1, 0)
    hops, rest = divmod(n - 1, HOP)
    loop = left
    for _ in range(hops):
        relay = graph.add(GradedReluVec(shape=(1,), vth=0))
        graph.count(loop, MAX_DELAY, relay)
        loop = relay
    for neuron in (left, closed):
        for p in sources:
            graph.dense(p, np.full((1, size), -1, np.int32), 0, neuron.a_in, sign_mode=SignMode.INHIBITORY)
        graph.count(loop, rest, neuron)
        graph.number(first, threshold, neuron.a_in)
    graph.number(last, -threshold, left.a_in)

    # 2. Out: the spike itself, which has waited, unless its token is closed.
    everyone = np.arange(size)
    out = graph.logic(size, W // 2)
    graph.dense(Population(closed.s_out, np.array([0]), np.array([0])), np.full((size, 1), -W, np.int32), 0, out.a_in)
    for p in sources:
        graph.sparse(p, everyone, everyone, np.full(size, GATE_STEPS - 1), out.a_in, size)
    return (Population(out.s_out, everyone, everyone),)


def _fits(gate, threshold):
    """Raises `UserError` if a gate that needs `threshold` spikes is too large for the chip's number formats."""
    if gate.size > MAX_CHANNELS:
        raise UserError(
            f"layer {gate.name!r}: a token gate over {gate.size} channels does not fit the chip's logic neurons, it"
            f" takes at most {MAX_CHANNELS}"
        )
    if threshold > THRESHOLD_MAX:
        raise UserError(
            f"layer {gate.name!r}: spike count {gate.threshold} does not fit the chip's 24-bit states, it takes at most"
            f" {THRESHOLD_MAX}: use fewer channels or a lower threshold"
        )


@expand_node.register
def _(node: Reverse, graph):
    n, size, at = graph.net.tokens, node.size, graph.late[node.source]
    # A neuron for each token and channel fires when both are on.
    token, channel = np.divmod(np.arange(n * size), size)
    now, total = np.zeros(n * size, int), n * size
    both = graph.logic(total, 3 * W // 2)
    for p in graph.source(node.source, 0)[0]:
        graph.sparse(p, np.arange(total), channel, now, both.a_in, total)
    graph.sparse(graph.phase_population(at + 1), np.arange(total), token, now, both.a_in, total)
    # Token m of N must come out 2 (N-1-m) steps after token N-1 would without delay.
    hops, rest = np.divmod(2 * (n - 1 - token), HOP)
    out = graph.logic(size, W // 2)
    population = Population(both.s_out, np.arange(total), np.arange(total))
    for hop in range(hops.max() + 1):
        here = np.flatnonzero(hops == hop)
        graph.sparse(population, channel[here], here, rest[here], out.a_in, size)
        further = np.flatnonzero(hops > hop)
        if len(further):
            kept = np.isin(population.index, further)
            population = graph.relay(
                Population(population.port, population.columns[kept], population.index[kept]), MAX_DELAY
            )
    return (Population(out.s_out, np.arange(size), np.arange(size)),)

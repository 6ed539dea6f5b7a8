"""What a net needs on the chip: its stock expansion as populations of neurons and projections between them, without
Lava.

The expansion is that of `sim.lava.stock`, process by process (a test compares the two): neurons with one current decay
are a population; a token gate is a loop that counts, a neuron that closes it, and its outputs; a reversal is an AND for
each token and channel and an output; paths that must wait longer than a synapse can delay pass through relay neurons.
The encoder, the token phase, the lines of gates and the sum over the read-out stay with the host."""

from dataclasses import dataclass
from functools import cached_property, singledispatch

import numpy as np
from scipy import sparse
from sim.gates import digits, gate_threshold

from sim.integer import DECAY_ONE, WEIGHT_STEP
from sim.net import PHASE, Cuba, Net, Readout, Reverse, TokenGate
from sim.netx.describe import weight_bits
from sim.schedule import GATE_STEPS, edge_delays, latencies
from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer

from .synapses import Kernel, count, stored_bits, values

MAX_DELAY = 62
HOP = MAX_DELAY + 1
W = WEIGHT_STEP
LOGIC = (DECAY_ONE, DECAY_ONE - 1)  # decays of neurons that forget at once


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one population, or from a line of the host.

    Attributes:
        source: name of the population or `HostLine`.
        weight: int matrix [targets, sources], dense or csr, or a `Kernel`.
        delay: the longest delay in it, 0..62.
        graded: its source sends graded spikes.
    """

    source: str
    weight: object
    delay: int = 0
    graded: bool = False

    @cached_property
    def weight_bits(self):
        """Bits of two's complement that hold all weights, their common power of two left out."""
        return weight_bits([values(self.weight)])

    @cached_property
    def stored_bits(self):
        """Bits that each weight takes in the chip's memory."""
        return stored_bits(self.weight_bits)

    @cached_property
    def exponent(self):
        """The power of two that all weights share."""
        joined = int(np.bitwise_or.reduce(values(self.weight), axis=None, initial=0))
        return (joined & -joined).bit_length()


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons that differ in nothing but their weights and biases.

    Attributes:
        name: unique. layer: the net's layer that it belongs to. role: "layer", "gate", "reversal" or "relay".
        n: neurons.
        decays: set of (current decay, membrane decay).
        v_th: threshold mantissa.
        inputs: `Projection`s.
        graded: its output is graded.
        biased: bool [n], neurons with a bias; None for none.
    """

    name: str
    layer: str
    role: str
    n: int
    decays: frozenset
    v_th: int
    inputs: tuple
    graded: bool = False
    biased: np.ndarray = None

    @property
    def busy(self):
        """bool [n]: neurons that do something in every step, spikes or none, as they have a bias or a state that
        lasts.
        """
        lasting = any(u < DECAY_ONE or v < DECAY_ONE - 1 for u, v in self.decays)
        return np.full(self.n, lasting) if self.biased is None else self.biased | lasting


@dataclass(frozen=True)
class HostLine:
    """Spikes that the host sends, `n` lines; process: what makes them."""

    name: str
    n: int
    process: str
    graded: bool = False


@dataclass(frozen=True, eq=False)
class Expansion:
    """All populations, in an order in which sources mostly come first, and what the host does.

    Attributes:
        outputs: layer name -> tuple of (population or host line, the layer's neurons that it holds, int array).
        readout: name of the population whose messages the host sums, or None.
        steps: chip steps a sample takes, None if the net does not say. latency: steps from a stream step's input to the
            net's answer.
    """

    populations: tuple
    host: tuple
    outputs: dict
    readout: str | None
    steps: int | None
    latency: int

    @property
    def neurons(self):
        return sum(p.n for p in self.populations)

    @property
    def synapses(self):
        """Non-zero synapses."""
        return sum(count(j.weight)[1] for p in self.populations for j in p.inputs)

    def of_layer(self, layer):
        return [p for p in self.populations if p.layer == layer]


def expand(net) -> Expansion:
    """The expansion of a `sim.net.Net` or of a `sim.sequential.Sequential`."""
    return _expand_net(net) if isinstance(net, Net) else _expand_sequential(net)


class _Builder:
    def __init__(self, net):
        self.net, self.delays = net, edge_delays(net)
        self.populations, self.outputs, self._relayed = [], {}, {}
        self.host = [
            HostLine(i.name, i.size, "encoder, tokens of each frame reversed" if i.backward else "encoder")
            for i in net.inputs
        ]
        self.host.append(HostLine(PHASE, net.tokens, "token phase, one line on at every step"))
        for line in self.host:
            self.outputs[line.name] = ((line.name, np.arange(line.n)),)

    def add(self, name, layer, role, n, inputs, decays=LOGIC, v_th=W // 2, **more):
        self.populations.append(Population(name, layer, role, n, frozenset([decays]), v_th, tuple(inputs), **more))
        return name, np.arange(n)

    def source(self, name, delay):
        """(outputs of `name` behind as many relays as it takes, delay that is left)."""
        hops, rest = divmod(delay, HOP)
        at = self.outputs[name]
        for hop in range(1, hops + 1):
            if (name, hop) not in self._relayed:
                self._relayed[name, hop] = tuple(self.relay(p, index, name, hop) for p, index in at)
            at = self._relayed[name, hop]
        return at, rest

    def relay(self, population, index, layer, hop):
        n = len(index)
        origin = population.split("+")[0]
        name, _ = self.add(
            f"{origin}+{HOP * hop}", layer, "relay", n, [Projection(population, _identity(n), MAX_DELAY)]
        )
        return name, index

    def synapses(self, node, rows):
        out = []
        for s in node.synapses:
            sources, delay = (
                (self.outputs[PHASE], 0)
                if s.source == PHASE
                else self.source(s.source, self.delays[s.source, node.name])
            )
            out += [Projection(p, s.weight[np.ix_(rows, index)], delay) for p, index in sources]
        return out


def _expand_net(net):
    b = _Builder(net)
    needed = {net.nodes[-1].name}
    for node in reversed(net.nodes):
        needed.update(node.sources if node.name in needed else ())
    for node in net.nodes:
        if node.name in needed:  # what does not reach the read-out is not put on the chip
            b.outputs[node.name] = _node(node, b)
    readout = net.nodes[-1].name
    return Expansion(tuple(b.populations), tuple(b.host), b.outputs, readout, net.steps, latencies(net)[readout])


@singledispatch
def _node(node, b):
    raise TypeError(type(node).__name__)


@_node.register
def _(node: Cuba, b):
    out, decays = [], np.unique(node.i_decay)
    for i_decay in decays:
        rows = np.flatnonzero(node.i_decay == i_decay)
        name = node.name if len(decays) == 1 else f"{node.name}[{i_decay}]"
        b.add(
            name,
            node.name,
            "layer",
            len(rows),
            b.synapses(node, rows),
            (int(i_decay), node.v_decay),
            node.v_th,
            biased=node.bias[rows] != 0,
        )
        out.append((name, rows))
    return tuple(out)


@_node.register
def _(node: Readout, b):
    return (
        b.add(node.name, node.name, "layer", node.size, b.synapses(node, np.arange(node.size)), v_th=0, graded=True),
    )


@_node.register
def _(node: TokenGate, b):
    n, size = b.net.tokens, node.size
    at = lambda part: f"{node.name}.{part}"  # noqa: E731
    b.host += [
        HostLine(at("first"), 1, "gate line, on in a sample's first frame"),
        HostLine(at("last"), 1, "gate line, on in a sample's last frame"),
    ]
    add = lambda part, role, n, inputs, **more: b.add(at(part), node.name, role, n, inputs, **more)[0]  # noqa: E731
    hops, rest = divmod(n - 1, HOP)
    relays = [f"left+{HOP * (hop + 1)}" for hop in range(hops)]
    loop = at((["left"] + relays)[-1])
    threshold = gate_threshold(node, b.net)
    counting = [
        *(Projection(p, np.full((1, len(index)), -1, np.int16)) for p, index in b.outputs[node.source]),
        _count(loop, rest),
        *_number(at("first"), threshold),
    ]
    left = add("left", "gate", 1, [*counting, *_number(at("last"), -threshold)], v_th=0, graded=True)
    for relay in relays:
        left = add(relay, "relay", 1, [_count(left, MAX_DELAY)], v_th=0, graded=True)
    closed = add("closed", "gate", 1, counting, v_th=0)
    spikes = [Projection(p, _identity(size)[:, index], GATE_STEPS - 1) for p, index in b.outputs[node.source]]
    return (b.add(at("out"), node.name, "gate", size, [Projection(closed, np.full((size, 1), -W, np.int16)), *spikes]),)


def _count(source, delay):
    """A graded spike brought as it is from one neuron to another."""
    return Projection(source, sparse.identity(1, np.int16, "csr"), delay, graded=True)


def _number(line, value):
    """What a host line adds, in weights that the chip takes."""
    sign = 1 if value > 0 else -1
    return [
        Projection(line, np.array([[sign * digit << exponent]], np.int16)) for digit, exponent in digits(abs(value))
    ]


@_node.register
def _(node: Reverse, b):
    n, size = b.net.tokens, node.size
    token, channel = np.divmod(np.arange(n * size), size)
    both, total = f"{node.name}.both", n * size
    inputs = [Projection(p, _identity(size)[channel][:, index]) for p, index in b.outputs[node.source]]
    b.add(both, node.name, "reversal", total, [*inputs, Projection(PHASE, _identity(n)[token])], v_th=3 * W // 2)
    hops, rest = np.divmod(2 * (n - 1 - token), HOP)
    population, index, inputs = both, np.arange(total), []
    for hop in range(hops.max() + 1):
        here = hops[index] == hop
        wires = _wires(channel[index[here]], np.flatnonzero(here), (size, len(index)))
        inputs.append(Projection(population, wires, int(rest[index[here]].max(initial=0))))
        further = np.flatnonzero(hops[index] > hop)
        if len(further):
            name = f"{both}+{HOP * (hop + 1)}"
            wires = _wires(np.arange(len(further)), further, (len(further), len(index)))
            b.add(name, node.name, "relay", len(further), [Projection(population, wires, MAX_DELAY)])
            population, index = name, index[further]
    return (b.add(f"{node.name}.out", node.name, "reversal", size, inputs),)


def _identity(n):
    return sparse.identity(n, np.int16, "csr") * np.int16(W)


def _wires(rows, columns, shape):
    return sparse.csr_matrix((np.full(len(rows), W, np.int16), (rows, columns)), shape)


def order(population):
    """The neurons of a population in the order in which it is cut into parts: for a convolution pixel after pixel,
    all channels of one together.
    """
    kernels = [j.weight for j in population.inputs if isinstance(j.weight, Kernel)]
    if not kernels:
        return np.arange(population.n)
    channels, height, width = kernels[0].out_shape
    return np.arange(population.n).reshape(channels, height * width).T.ravel()


def _expand_sequential(net):
    populations, host, outputs, late = [], [], {}, 0
    source = ()
    for layer in net.layers:
        made, line = _layer(layer, source, late)
        populations += [p for p, _ in made]
        host += line
        late = late if isinstance(layer, FlattenLayer) else _longest(getattr(layer, "axon_delay", None))
        source = tuple((p.name, rows) for p, rows in made) or tuple((h.name, np.arange(h.n)) for h in line) or source
        outputs[layer.name] = source
    return Expansion(tuple(populations), tuple(host), outputs, None, None, net.lags[net.layers[-1].name])


def _longest(delay):
    return 0 if delay is None else int(delay.max())


@singledispatch
def _layer(layer, source, late):
    """(list of (population, the layer's neurons in it), host lines); source: what the layer reads, as in
    `Expansion.outputs`; late: its axon delay.
    """
    raise TypeError(type(layer).__name__)


@_layer.register
def _(layer: FlattenLayer, source, late):
    return [], []


@_layer.register
def _(layer: InputLayer, source, late):
    n = int(np.prod(layer.shape))
    if layer.neuron is None:
        return [], [HostLine(layer.name, n, "input spikes")]
    drive = HostLine(f"{layer.name}.drive", n, "input values", graded=True)
    return [_whole(layer, n, Projection(drive.name, _identity(n), graded=True))], [drive]


@_layer.register
def _(layer: ConvLayer, source, late):
    kernel = Kernel(
        layer.weight, layer.in_shape, layer.shape, layer.stride, layer.padding, layer.dilation, layer.groups
    )
    return [_whole(layer, int(np.prod(layer.shape)), Projection(source[0][0], kernel, late))], []


def _whole(layer, n, projection):
    """A layer as one population, whatever decays it has: no stock process holds several, but its parts may."""
    decays = frozenset((int(d), layer.neuron.v_decay) for d in np.unique(layer.neuron.i_decay))
    return Population(
        layer.name, layer.name, "layer", n, decays, layer.neuron.v_th, (projection,), biased=_biased(layer)
    ), np.arange(n)


def _biased(layer):
    """bool [n]; a bias belongs to a channel."""
    return np.repeat(np.broadcast_to(layer.neuron.bias, layer.shape[0]) != 0, int(np.prod(layer.shape[1:])))


@_layer.register
def _(layer: DenseLayer, source, late):
    i_decay = np.broadcast_to(layer.neuron.i_decay, layer.shape[0])
    parts = [(d, np.flatnonzero(i_decay == d)) for d in np.unique(i_decay)]
    named = [(layer.name if len(parts) == 1 else f"{layer.name}[{d}]", rows) for d, rows in parts]
    delay = late + _longest(layer.synapse_delay)
    out = []
    for (name, rows), (d, _) in zip(named, parts):
        inputs = [Projection(p, layer.weight[np.ix_(rows, index)], delay) for p, index in source]
        if layer.recurrent is not None:
            inputs += [Projection(p, layer.recurrent[np.ix_(rows, index)]) for p, index in named]
        out.append(
            (
                Population(
                    name,
                    layer.name,
                    "layer",
                    len(rows),
                    frozenset([(int(d), layer.neuron.v_decay)]),
                    layer.neuron.v_th,
                    tuple(inputs),
                    biased=_biased(layer)[rows],
                ),
                rows,
            )
        )
    return out, []

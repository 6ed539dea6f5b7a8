"""What an expansion consists of.

Chip time: every synapse takes one step, and its delay. Chip step 0 is the one in which the host sends a sample's first
row; a spike that leaves at step c through a projection of delay d reaches its neuron at step c + 1 + d.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Any

import numpy as np
from scipy import sparse

from ..base.errors import UserError
from ..integer import DECAY_ONE, MAX_DELAY, WEIGHT_STEP, weight_bits
from .weights import Kernel, compact, count, values

CUBA, READOUT, RELAY = "cuba", "readout", "relay"  # kinds of populations
DELTA, SIGMA_DELTA, SIGMA, RESONATOR = "delta", "sigma-delta", "sigma", "resonator"
HOP = MAX_DELAY + 1  # steps that a relay neuron behind the longest delay adds
RELAY_DECAYS = (DECAY_ONE, DECAY_ONE - 1)  # the membrane of a relay stays below 4096 and so keeps nothing


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one population, or from lines of the host, into another.

    Attributes:
        source: name of a `Population` or `Line`. target: name of a `Population`.
        weight: int16 [targets, sources], an array, a csr matrix or a `Kernel`.
        delay: steps beyond the synapse's own, 0..62: one integer, or an array that broadcasts to [targets, sources].
        exponent: what arrives is `weight << exponent`; below 0 the sum over all sources loses its lowest bits.
        graded: its source sends graded spikes.
        loss: upper bits of 32 that the sum loses, see `sim.sequential.sigma_delta`. Lava's synapses with delays would
            lose them in each product, and so lose none: spikes behind delayed sources differ if a sum needs these bits.
        imaginary: they lead to the imaginary input of resonators.
        injected: no synapses and no step: the host writes these values into the neurons.
    """

    source: str
    target: str
    weight: Any
    delay: Any = 0
    exponent: int = 0
    graded: bool = False
    loss: int = 0
    imaginary: bool = False
    injected: bool = False

    @cached_property
    def longest_delay(self) -> int:
        return int(np.max(self.delay, initial=0))

    @cached_property
    def weight_bits(self) -> int:
        """Bits of two's complement that hold all weights, their common power of two left out."""
        return weight_bits([values(self.weight)])

    @cached_property
    def common_shift(self) -> int:
        """Number of the lowest bit that any of the weights has, counted from 1: the power of two that all share; 0
        where all are zero.
        """
        joined = int(np.bitwise_or.reduce(values(self.weight), axis=None, initial=0))
        return (joined & -joined).bit_length()

    @cached_property
    def places(self) -> int:
        """Entries of the whole matrix, zero or not."""
        return count(self.weight)[0]

    @cached_property
    def synapses(self) -> int:
        """Weights that are not zero, each target neuron's counted."""
        return count(self.weight)[1]


@dataclass(frozen=True)
class Reset:
    """States are zeroed before the update at every chip step c with `c % period == offset`."""

    period: int
    offset: int


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one layer that differ in nothing but their weights and biases.

    Attributes:
        name: unique.
        layer: the net's node or layer that they belong to; of relays, whose spikes they repeat.
        kind: `CUBA`; `READOUT`: graded, sends the sum that arrives; `RELAY`: sends every spike on; `DELTA`,
            `SIGMA_DELTA`, `SIGMA`: graded, see `sim.sequential.sigma_delta`; their decays are 0. `RESONATOR`: see
            `sim.sequential.resonator`; what is said of decays is of `turn`.
        index: int [n], the layer's neurons that these are.
        inputs: `Projection`s.
        i_decay: int32 [n], current decay; of a convolution they may differ, else all are equal.
        v_decay, v_th: membrane decay and threshold mantissa.
        bias: int32 [n], mantissa.
        reset: `Reset`, None for neurons without a state, or where samples have no length.
        graded: their output is graded.
        spike_exp, state_exp: of sigma-delta neurons, see `sim.sequential.sigma_delta`.
        turn: int32 [2, n], `sin_decay` and `cos_decay` of resonators, or None. resets: whether their spikes reset them.
    """

    name: str
    layer: str
    kind: str
    index: np.ndarray
    inputs: tuple
    i_decay: np.ndarray
    v_decay: int
    v_th: int
    bias: np.ndarray
    reset: Reset | None = None
    graded: bool = False
    spike_exp: int = 0
    state_exp: int = 0
    turn: np.ndarray | None = None
    resets: bool = False

    @property
    def n(self) -> int:
        return len(self.index)

    @cached_property
    def decays(self) -> frozenset:
        """Pairs (current decay, membrane decay), or of resonators (`sin_decay`, `cos_decay`)."""
        if self.turn is not None:
            return frozenset((int(s), int(c)) for s, c in np.unique(self.turn, axis=1).T)
        return frozenset((int(d), self.v_decay) for d in np.unique(self.i_decay))


@dataclass(frozen=True)
class Line:
    """Spikes that the host sends, `n` lines; process: what makes them, for people; phase: they tell the token."""

    name: str
    n: int
    process: str
    graded: bool = False
    phase: bool = False

    @property
    def layer(self) -> str:
        return self.name

    @property
    def index(self) -> np.ndarray:
        return np.arange(self.n)


@dataclass(frozen=True, eq=False)
class Expansion:
    """All populations, sources before those that read them but for layers that read themselves.

    Attributes:
        lines: what the host sends, in the order in which it stands in its rows.
        outputs: layer or input name -> tuple of `Population`s or `Line`s that hold its neurons; without those that
            were left out.
        readout: name of the population whose messages the host sums, or None.
        steps: chip steps a sample takes, None if the net does not say. latency: steps from a stream step's input to the
            net's answer.
    """

    populations: tuple
    lines: tuple
    outputs: dict
    readout: str | None
    steps: int | None
    latency: int

    @property
    def projections(self) -> list:
        return [j for p in self.populations for j in p.inputs]

    @property
    def neurons(self) -> int:
        return sum(p.n for p in self.populations)

    @property
    def synapses(self) -> int:
        """Non-zero synapses."""
        return sum(j.synapses for j in self.projections)

    def of_layer(self, layer: str) -> list:
        return [p for p in self.populations if p.layer == layer]


@singledispatch
def expand(net: Any, wanted: Sequence[str] = (), slot: int | None = None) -> Expansion:
    """The expansion of a net.

    Args:
        net: `sim.net.Net`, `sim.sequential.Sequential` or `sim.sequential.graph.Graph`.
        wanted: names of nodes to keep even if the read-out does not depend on them.
        slot: chip steps from sample to sample; None: at once, one after the other; layers that do not say how long a
            sample is have no reset then.
    """
    raise TypeError(type(net).__name__)


class Builder:
    """Collects populations; brings relays where a wait is longer than a synapse's."""

    def __init__(self):
        self.populations, self._relays = [], {}

    def add(self, population: Population) -> Population:
        self.populations.append(population)
        return population

    def convolve(self, source: Any, target: str, kernel: Kernel, delay: int | np.ndarray = 0) -> Projection:
        """The projection of a convolution; delay: as of `connect`, an array only up to a synapse's longest."""
        hops, rest = divmod(delay, HOP) if not np.ndim(delay) else (0, delay)
        return Projection(self._behind(source, hops).name, target, kernel, rest, graded=source.graded)

    def connect(
        self, sources: Any, target: str, weight: np.ndarray, delay: int | np.ndarray = 0, exponent: Any = 0
    ) -> tuple:
        """Projections from the outputs of a layer. Those whose weights are all zero are left out.

        Args:
            sources: `Population`s and `Line`s that hold the layer's neurons.
            target: name of the population.
            weight: int16 [targets, neurons of the source layer].
            delay: steps beyond the synapse's own, any number, one integer or an array that broadcasts to weight's
                shape.
            exponent: of `Projection`.
        """
        out = []
        for source in sources:
            part = weight[:, source.index]
            late = np.broadcast_to(delay, weight.shape)[:, source.index] if np.ndim(delay) else int(delay)
            for hops, some, rest in _split(part, late):
                if hops and source.graded:
                    raise UserError(
                        f"layer {target!r}: reads graded spikes of {source.name!r} more than {MAX_DELAY} steps late,"
                        " which no synapse waits and no relay passes on; put fewer layers beside it"
                    )
                at = self._behind(source, hops).name
                out.append(Projection(at, target, compact(some), rest, exponent, source.graded))
        return tuple(out)

    def _behind(self, source, hops):
        """The same spikes, `hops` relay neurons later."""
        at = source
        for hop in range(1, hops + 1):
            key = source.name, hop
            if key not in self._relays:
                self._relays[key] = self.add(_relay(at, f"{source.name}+{HOP * hop}"))
            at = self._relays[key]
        return at


def _relay(source, name):
    """One neuron for each of the source's, which fires `HOP` steps after it."""
    n = source.n
    wires = sparse.identity(n, "int16", "csr") * np.int16(WEIGHT_STEP)
    none = np.zeros(n, np.int32)
    inputs = (Projection(source.name, name, wires, MAX_DELAY),)
    i_decay, v_decay = RELAY_DECAYS
    return Population(name, source.layer, RELAY, source.index, inputs, none + i_decay, v_decay, WEIGHT_STEP // 2, none)


def _split(weight, delay):
    """(relays to pass, weights, delay that is left) for each number of relays that some synapse needs."""
    if not np.ndim(delay):
        return [(delay // HOP, weight, delay % HOP)] if weight.any() else []
    hops, rest = np.divmod(delay, HOP)
    out = []
    for hop in np.unique(hops[weight != 0]):
        here = (weight != 0) & (hops == hop)
        used = np.unique(rest[here])
        out.append((int(hop), np.where(here, weight, 0), int(used[0]) if len(used) == 1 else np.where(here, rest, 0)))
    return out

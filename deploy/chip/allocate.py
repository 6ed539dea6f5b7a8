"""Places the populations of an expansion on neurocores.

A population is cut into equal parts, as few as the limits of a core allow; a part is its neurons with all synapses that
reach them. Two ways to place them:

    separate: every part has a core of its own, and parts are powers of two: so Lava's compiler for Loihi 2 does it,
        according to those who have used it (github.com/OzU-CAST/LoihiScalingEfficiency: one core for each process,
        halved until the limits hold).
    shared: parts of several populations on one core, first fit, the longest delays first, as one of them counts for all
        neurons of its core, and then the largest. First fit decreasing needs at most 11/9 of the optimum for one
        resource; with several it has no such bound, so the plan says beside it what no placement could go below. A
        solver would gain little and cost a dependency.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sim.expansion import RESONATOR, Expansion, Population

from .board import Board
from .synapses import lists, neediest, order, stored_bits

PACKINGS = ("separate", "shared")
CORES = "neurocores"
PLACED_ANYWAY = 2048  # parts up to which a net that is too large is placed all the same, to say by how much
AXONS_OUT, DELAY_SLOTS = "axons out", "delay slots"
SUMS = {
    "neurons": "neurons_per_core",
    "synapse bits": "synapse_bits_per_core",
    "axons in": "axons_in_per_core",
    AXONS_OUT: "axons_out_per_core",
}
SETS = {
    "decay profiles": "decay_profiles_per_core",
    "threshold profiles": "threshold_profiles_per_core",
    "synapse formats": "synapse_formats_per_core",
}
REMEDIES = {
    "axons in": "one neuron alone reads too many sources: let two layers sum them in two steps, or prune sources",
    "synapse bits": "one neuron alone has too many synapses: fewer inputs or fewer weight bits",
}


class DoesNotFit(Exception):
    """A net and a board that do not go together.

    Attributes:
        resource, layer: what is short, and where.
        used, limit: the two numbers.
        remedy: what would make it fit.
    """

    def __init__(self, resource, layer, used, limit, remedy, of_whole=False):
        self.resource, self.layer, self.used, self.limit, self.remedy = resource, layer, int(used), int(limit), remedy
        who = f"the net, most of all layer {layer!r}," if of_whole else f"layer {layer!r}"
        super().__init__(
            f"{who} needs {self.used:,} {resource}, the chip has {self.limit:,} ({self.used - self.limit:,} too many"
            + (f", {self.used / self.limit:.2f} times the limit); {remedy}" if self.limit else f"); {remedy}")
        )


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of a population on one core.

    Attributes:
        population: a `Population`. start, stop: its range in the population's cutting order; members: those neurons.
        lists: a `Lists` for each of the population's projections.
        sums: resource -> used. sets: resource -> frozenset of what must be configured. longest_delay: of its synapses.
    """

    population: Population
    start: int
    stop: int
    members: np.ndarray
    lists: tuple
    sums: dict
    sets: dict
    longest_delay: int


@dataclass
class Core:
    """What lies on one core."""

    parts: list = field(default_factory=list)

    def use(self) -> dict[str, int]:
        """resource -> used."""
        neurons = sum(p.sums["neurons"] for p in self.parts)
        return {
            **{r: sum(p.sums.get(r, 0) for p in self.parts) for r in SUMS},
            **{r: len(frozenset().union(*(p.sets[r] for p in self.parts))) for r in SETS},
            DELAY_SLOTS: neurons * (1 + max((p.longest_delay for p in self.parts), default=0)),
        }


@dataclass(frozen=True, eq=False)
class Placement:
    """Attributes:
    cores: list of `Core`, core k of the board is at index k.
    lower_bound: no placement of these parts needs fewer cores.
    """

    cores: list
    lower_bound: int

    def parts(self) -> list[tuple]:
        """(core number, part) pairs."""
        return [(k, part) for k, core in enumerate(self.cores) for part in core.parts]


def limits(board: Board) -> dict:
    """resource -> limit of one core."""
    return {**{r: board[key] for r, key in (SUMS | SETS).items()}, DELAY_SLOTS: board["delay_slots_per_core"]}


def allocate(expansion: Expansion, board: Board, packing: str = "separate") -> Placement:
    """Places an expansion; cores beyond those of the board are made up, so that the caller can say how many are
    missing.

    Raises:
        DoesNotFit: a single neuron exceeds a core, or the chip lacks what the net needs.
    """
    check_formats(expansion, board)
    limit = limits(board)
    check_neurons(expansion, limit)
    parts, reached = {}, {}

    def divide(population, at_least=1):
        others = sum(len(p) for name, p in parts.items() if name != population.name)

        def check(k):
            if others + k > max(board.cores, PLACED_ANYWAY):
                raise _too_large(population, others + k, board)

        parts[population.name] = cut(population, limit, packing, at_least, check)
        reached[population.name] = lists_reached(parts[population.name])

    for p in expansion.populations:
        divide(p)
    while True:
        parts.update(count_axons_out(parts, reached))
        crowded = [name for name in parts if any(p.sums[AXONS_OUT] > limit[AXONS_OUT] for p in parts[name])]
        if not crowded:
            break
        for name in crowded:  # fewer neurons send fewer messages
            population, sent = parts[name][0].population, [p.sums[AXONS_OUT] for p in parts[name]]
            if len(parts[name]) == population.n:
                raise DoesNotFit(
                    AXONS_OUT,
                    population.layer,
                    max(sent),
                    limit[AXONS_OUT],
                    "one neuron alone reaches too many cores: let fewer or smaller layers read it",
                )
            divide(population, max(2 * len(sent), math.ceil(sum(sent) / limit[AXONS_OUT])))
    every = [p for name in parts for p in parts[name]]
    cores = pack(every, limit) if packing == "shared" else [Core([p]) for p in every]
    return Placement(cores, max(1, *(math.ceil(sum(p.sums[r] for p in every) / limit[r]) for r in SUMS)))


def check_formats(expansion: Expansion, board: Board) -> None:
    """Raises `DoesNotFit` where a number format of the net is none of the chip's."""
    for p in expansion.populations:
        if p.graded and board["message_bits"] == 0:
            raise DoesNotFit(
                "bits of a graded spike",
                p.layer,
                24,
                0,
                "Loihi 2 has graded spikes; without a graded read-out the net needs none",
            )
        if p.kind == RESONATOR and board["message_bits"] == 0:
            raise DoesNotFit("neuron models", p.layer, 1, 0, "resonators take the programmable neurons of Loihi 2")
        for j in p.inputs:
            if j.weight_bits > board["weight_bits"]:
                raise DoesNotFit(
                    "weight bits", p.layer, j.weight_bits, board["weight_bits"], "quantize the layer further"
                )
            if j.longest_delay > board["max_delay"]:
                raise DoesNotFit(
                    "synaptic delay", p.layer, j.longest_delay, board["max_delay"], "shorten the layer's delays"
                )


def cut(
    population: Population,
    limit: dict,
    packing: str,
    at_least: int = 1,
    check: Callable[[int], object] = lambda k: None,
) -> list[Part]:
    """The population as the fewest equal parts (a power of two of them if separate) that each fit a core, but not fewer
    than `at_least`. check: called with each number of parts before it is tried.
    """
    k = max(at_least, fewest(population, limit))
    while True:
        k = min(1 << (k - 1).bit_length() if packing == "separate" else k, population.n)
        check(k)
        ends = np.linspace(0, population.n, k + 1).round().astype(int)
        parts, short = {}, None
        for i in [k // 2, *(i for i in range(k) if i != k // 2)]:  # in the middle most sources are read
            parts[i] = part(population, int(ends[i]), int(ends[i + 1]))
            if short := _short([parts[i]], limit):
                break
        if short is None:
            return [parts[i] for i in range(k)]
        if k == population.n:
            raise _alone(population, *short, limit)
        k = 2 * k if packing == "separate" else k + max(1, k // 8)


def fewest(population: Population, limit: dict) -> int:
    """No fewer parts can do: what is shared out exactly among them; the axons that come in may be as many for half the
    neurons.
    """
    use = Core([part(population, 0, population.n)]).use()
    return max(1, *(math.ceil(use[r] / limit[r]) for r in ("neurons", "synapse bits", DELAY_SLOTS)))


def _short(parts, limit):
    """(resource, used) of the first part that exceeds a core, or None."""
    return next(((r, used) for p in parts for r, used in Core([p]).use().items() if used > limit[r]), None)


def _alone(population, resource, used, limit):
    remedy = REMEDIES.get(resource, "one neuron alone exceeds a core")
    return DoesNotFit(resource, population.layer, used, limit[resource], remedy)


def check_neurons(expansion: Expansion, limit: dict) -> None:
    """Raises `DoesNotFit` where one neuron alone exceeds a core: then no cut helps."""
    for p in expansion.populations:
        for i in {0, *(neediest(j.weight) for j in p.inputs)}:
            if short := _short([part(p, i, i + 1)], limit):
                raise _alone(p, *short, limit)


def _too_large(population, at_least, board):
    return DoesNotFit(
        CORES,
        population.layer,
        at_least,
        board.cores,
        f"at least: the net must shrink {at_least / board.cores:.1f} times or more; it was not placed",
        of_whole=True,
    )


def part(population: Population, start: int, stop: int) -> Part:
    """The neurons start..stop (in cutting order) with all that reaches them."""
    inputs = [(j, stored_bits(j.weight_bits), j.longest_delay > 0) for j in population.inputs]
    found = tuple(lists(j.weight, start, stop, bits, delayed) for j, bits, delayed in inputs)
    formats = frozenset(
        (f.encoding, bits, j.common_shift + j.exponent, delayed, j.graded)
        for f, (j, bits, delayed) in zip(found, inputs)
    )
    sums = {
        "neurons": stop - start,
        "synapse bits": sum(f.bits for f in found),
        "axons in": sum(f.axons for f in found),
    }
    sets = {
        "decay profiles": population.decays,
        "threshold profiles": frozenset([population.v_th]),
        "synapse formats": formats,
    }
    return Part(
        population,
        start,
        stop,
        order(population)[start:stop],
        found,
        sums,
        sets,
        max((j.longest_delay for j in population.inputs), default=0),
    )


def lists_reached(parts: Iterable[Part]) -> dict[str, np.ndarray]:
    """Source -> int64 [its neurons]: lists that each must reach in these parts, one for each projection and part."""
    reach = {}
    for p in parts:
        for j, found in zip(p.population.inputs, p.lists):
            reach[j.source] = reach.get(j.source, np.zeros(j.weight.shape[1], np.int64)) + found.listed()
    return reach


def count_axons_out(parts: dict[str, list[Part]], reached: dict[str, dict[str, np.ndarray]]) -> dict[str, list[Part]]:
    """The same parts with the axons that leave them, one for every list that a neuron must reach.

    reached: population -> what `lists_reached` says of its parts.
    """
    out = {}
    for name in parts:
        total = sum(reach[name] for reach in reached.values() if name in reach)
        sent = np.broadcast_to(total, parts[name][0].population.n)
        out[name] = [replace(p, sums=p.sums | {AXONS_OUT: int(sent[p.members].sum())}) for p in parts[name]]
    return out


def pack(parts: Sequence[Part], limit: dict) -> list:
    """First fit decreasing: the parts by their longest delay and then their largest share of a core, each on the
    first core that can still take it.
    """
    share = lambda p: max(used / limit[r] for r, used in Core([p]).use().items())  # noqa: E731
    cores, room = [], _Room(len(parts), limit)
    for p in sorted(parts, key=lambda p: (p.longest_delay, share(p)), reverse=True):
        home = next((i for i in room.candidates(p) if room.takes_sets(cores[i], p)), len(cores))
        if home == len(cores):
            cores.append(Core())
        cores[home].parts.append(p)
        room.add(home, p)
    return cores


class _Room:
    """What is used of every core so far, so that all are looked at together."""

    def __init__(self, most, limit):
        self.limit, self.cores = limit, 0
        self.sums = np.zeros((most, len(SUMS)), np.int64)
        self.delay = np.zeros(most, np.int64)
        self.most = np.array([limit[r] for r in SUMS])

    def candidates(self, part):
        """Numbers of the cores that have room for a part's sums and delays."""
        own = _sums(part)
        sums = self.sums[: self.cores] + own
        slots = sums[:, 0] * (1 + np.maximum(self.delay[: self.cores], part.longest_delay))
        return np.flatnonzero((sums <= self.most).all(1) & (slots <= self.limit[DELAY_SLOTS])).tolist()

    def takes_sets(self, core, part):
        """Whether a core can be configured for a part, too."""
        return all(
            len(frozenset().union(part.sets[r], *(p.sets[r] for p in core.parts))) <= self.limit[r] for r in SETS
        )

    def add(self, core, part):
        self.cores = max(self.cores, core + 1)
        self.sums[core] += _sums(part)
        self.delay[core] = max(self.delay[core], part.longest_delay)


def _sums(part):
    return np.array([part.sums.get(r, 0) for r in SUMS], np.int64)

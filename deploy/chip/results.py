"""What a plan says."""

from dataclasses import dataclass

from sim.base.plain import Json, plain

from .activity import Counts
from .board import Board
from .energy import Cost


@dataclass(frozen=True)
class Reason:
    """Why a net does not fit: what is short, where, how much of it is needed and there, what would help; text: all
    that in one sentence.
    """

    constraint: str
    layer: str
    used: int
    limit: int
    excess: int
    remedy: str
    text: str


@dataclass(frozen=True)
class Bottleneck:
    """The resource that is used most in relation to its limit, and the layer that uses most of it."""

    resource: str
    layer: str
    used: int
    limit: int
    share: float
    text: str


@dataclass(frozen=True)
class PopulationRow:
    """Neurons of a layer; role: `layer` or `relay`; decays: pairs (current, membrane)."""

    name: str
    role: str
    neurons: int
    graded: bool
    decays: tuple[tuple[int, int], ...]
    threshold: int


@dataclass(frozen=True)
class LayerRow:
    """A layer of the net on the chip; synapses are not zero; cores and synapse_bits only where it was placed."""

    layer: str
    neurons: int
    synapses: int
    weight_bits: int
    longest_delay: int
    populations: tuple[PopulationRow, ...]
    cores: int | None = None
    synapse_bits: int | None = None


@dataclass(frozen=True)
class HostRow:
    """What stays with the host; traffic only where samples were run."""

    name: str
    process: str
    lines: int
    graded: bool
    spikes_per_sample: float | None = None
    peak_per_step: int | None = None
    messages_per_sample: float | None = None


@dataclass(frozen=True)
class PartRow:
    """Neurons of a population on a core."""

    population: str
    neurons: int


@dataclass(frozen=True)
class CoreRow:
    """A core in use; use: resource -> amount; share: resource -> part of its limit."""

    core: int
    chip: int
    use: dict[str, int]
    share: dict[str, float]
    parts: tuple[PartRow, ...]


@dataclass(frozen=True)
class Sizes:
    """The whole expansion.

    Attributes:
        neurons; neurons_by_role: `layer` and `relay`; synapses: not zero; weight_bits: the most of any projection.
        steps_per_sample, latency_steps: a new sample starts after the first, its answer is complete after the second;
            None where the net does not say.
        left_out: layers that do not reach the read-out and are not put on the chip.
    """

    neurons: int
    neurons_by_role: dict[str, int]
    synapses: int
    weight_bits: int
    steps_per_sample: int | None
    latency_steps: int | None
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Placed:
    """Where the net lies. cores_by_packing: packing -> cores it takes (None where it fails), and `lower_bound`."""

    cores_used: int
    chips_used: int
    cores_by_packing: dict[str, int | None]
    bottleneck: Bottleneck
    synapse_bits: int
    cores: tuple[CoreRow, ...]


@dataclass(frozen=True)
class Costs:
    """What samples cost.

    Attributes:
        data: what the samples are, for people.
        sent: share of their tokens that the host sent; None for a net without tokens.
        counts: operations per sample.
        energy: table -> `deploy.chip.energy.Cost`.
    """

    data: str | None
    sent: float | None
    counts: Counts
    energy: dict[str, Cost]


@dataclass(frozen=True)
class ChipPlan:
    """A net on a board.

    Attributes:
        board, packing: what was asked for.
        sizes, layers, host: the net, see there.
        placed: None if a limit of a core stands against it.
        reason: why it does not fit; None if it does.
        costs: None without samples, or if it does not fit.
    """

    board: Board
    packing: str
    sizes: Sizes
    layers: tuple[LayerRow, ...]
    host: tuple[HostRow, ...]
    placed: Placed | None = None
    reason: Reason | None = None
    costs: Costs | None = None

    @property
    def fits(self) -> bool:
        return self.reason is None

    def to_json(self) -> dict[str, Json]:
        """The plan as plain JSON values, one level."""
        board, placed, costs = self.board, self.placed, self.costs
        return plain(
            {
                "board": board.name,
                "title": board.title,
                "fits": self.fits,
                "reason": self.reason,
                "packing": self.packing,
                "cores_available": board.cores,
                "chips_available": board["chips"],
                **(vars(placed) if placed else NOT_PLACED),
                **vars(self.sizes),
                "layers": self.layers,
                "host": self.host,
                "limits": list(board.limits.values()),
                "data": costs and costs.data,
                "sent": costs and costs.sent,
                "activity": costs and costs.counts,
                "energy": costs and costs.energy,
            }
        )


NOT_PLACED = {
    "cores_used": None,
    "chips_used": None,
    "cores_by_packing": {},
    "bottleneck": None,
    "synapse_bits": None,
    "cores": (),
}

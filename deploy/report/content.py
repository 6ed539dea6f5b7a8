"""What a report shows, as plain frozen values: made by `gather`, rendered by `page`. None: not measured, not shown."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.compare.traces import Difference

from ..chip.results import ChipPlan


def export_parity(export: dict | None) -> dict[str, int] | None:
    """samples, compared and differences of the comparison with SLAYER in the record of an export; None where there is
    no record, or none that holds them.
    """
    said = export.get("parity") if isinstance(export, dict) else None
    names = ("samples", "compared", "differences")
    if not isinstance(said, dict) or any(type(said.get(name)) is not int for name in names):
        return None
    return {name: said[name] for name in names}


@dataclass(frozen=True)
class Accuracy:
    """How many samples are right; interval: Wilson's of 95 %. backend: who ran them."""

    dataset: str
    split: str | None
    n: int
    right: int
    value: float
    interval: tuple
    backend: str


@dataclass(frozen=True)
class Counted:
    """What a sample takes. kept: share of the tokens that are sent, None for a net without tokens; latency: steps from
    the end of a sample to its answer on the chip.
    """

    spikes: float
    synops: float
    steps: int
    latency: int
    kept: float | None = None


@dataclass(frozen=True)
class Parity:
    """Whether executors agree.

    Attributes:
        executors: who was compared, the first with each of the others. samples: how many; inputs: their kinds.
        compared, differences: numbers of values.
        first: the first difference, None without one.
        left_out: executor -> why it was not compared.
        simulated: test samples that ran in Lava besides, None if none did; simulated_equal: whether their predictions
            and spikes in every layer were the engine's.
    """

    executors: tuple
    samples: int
    inputs: tuple
    compared: int
    differences: int
    first: Difference | None = None
    left_out: dict = field(default_factory=dict)
    simulated: int | None = None
    simulated_equal: bool | None = None

    @property
    def holds(self) -> bool:
        return not self.differences and self.simulated_equal is not False


@dataclass(frozen=True, eq=False)
class Film:
    """A sample, frame by frame.

    Attributes:
        number: of the sample in its set. label: its class, None if unknown.
        frames: uint8 [T, 2, H, W]: pixels with an OFF, an ON event.
        sent: bool [T, N]: the tokens that are sent.
        grid: (rows, columns) of tokens; stride: pixels from one to the next.
        scores: int64 [T, classes], the read-out summed up to each frame.
    """

    number: int
    label: int | None
    frames: np.ndarray
    sent: np.ndarray
    grid: tuple
    stride: int
    scores: np.ndarray

    @property
    def predicted(self) -> int:
        return int(self.scores[-1].argmax())


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What a layer did.

    Attributes:
        size: neurons of the layer. neurons: int [m], which of them `spikes` shows.
        spikes: uint8 or int32 [S, m]; graded messages have values.
        watched: int [w], neurons whose states are there; states: name -> int32 [S, w], after each step.
        threshold: in the unit of the states, None where there is none.
    """

    name: str
    size: int
    neurons: np.ndarray
    spikes: np.ndarray
    watched: np.ndarray
    states: dict
    threshold: int | None


@dataclass(frozen=True, eq=False)
class Trace:
    """A sample, step by step. frame: steps of a frame, None without; empty: bool [S], places without a token; steps:
    of the sample, of which the first S are shown.
    """

    title: str
    steps: int
    frame: int | None
    empty: np.ndarray
    layers: tuple


@dataclass(frozen=True)
class LayerNumbers:
    """A layer in numbers; spikes, rate and synops only where samples were run.

    Attributes:
        weights: `sim.integer.weight_histogram`.
        zeros: weights that are zero. before: what `convert export` noted of the layer, or an empty dict.
        i_decay: the distinct current decays.
    """

    name: str
    kind: str
    neurons: int
    spikes: float | None = None
    rate: float | None = None
    synops: float | None = None
    weight_bits: int | None = None
    weights: tuple = ()
    zeros: int = 0
    threshold: int | None = None
    i_decay: tuple = ()
    v_decay: int | None = None
    bias: tuple = ()
    before: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """A net, or a way to run it, among others: accuracy against what it costs and what it is sent."""

    label: str
    accuracy: float
    interval: tuple | None
    uj: float | None
    kept: float | None
    here: bool = False


@dataclass(frozen=True)
class Curve:
    """Points of one origin; note: what they are, for people; table: the prices of their energies."""

    note: str
    table: str | None
    points: tuple


@dataclass(frozen=True)
class Beside:
    """What lies beside the net: its training's log (a dict an epoch), the record of its export (None if there is
    none or it is of another net), curves over energy targets.
    """

    log: tuple = ()
    export: dict | None = None
    curves: tuple = ()


@dataclass(frozen=True, eq=False)
class Report:
    """All of it.

    Attributes:
        net: the file; digest: its SHA-256 (of the content for our own nets, else of the file).
        kind: what the net is, one line. about: facts that the file carries. classes: names.
        command: makes the report again. versions: package -> version.
        confusion: int [classes, classes], true class by row, and by column what the net said.
        plan: None where nothing was planned. notes: what a reader of the file changed or left out.
    """

    net: str
    digest: str
    kind: str
    command: str
    versions: dict
    about: dict = field(default_factory=dict)
    classes: tuple = ()
    accuracy: Accuracy | None = None
    counted: Counted | None = None
    parity: Parity | None = None
    confusion: np.ndarray | None = None
    films: tuple[Film, ...] = ()
    traces: tuple[Trace, ...] = ()
    layers: tuple[LayerNumbers, ...] = ()
    plan: ChipPlan | None = None
    beside: Beside = Beside()
    notes: tuple = ()
    raw: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict:
        """What was measured, as JSON values."""
        plan = None if self.plan is None else self.plan.to_json()
        return {"net": self.net, "digest": self.digest, "facts": self.about, **self.raw, "plan": plan}

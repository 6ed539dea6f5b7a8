"""What a comparison of executors says: frozen values, and the same as JSON."""

from dataclasses import dataclass
from typing import ClassVar

from sim.base.plain import Json, plain
from sim.compare.traces import Difference


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Whether executors agree at every layer, step and neuron; true if they do.

    Attributes:
        net: the file, or what stands for it.
        executors: who was compared, the first with each of the others; `artifact` is the file's own record.
        samples: how many.
        inputs: the kind of each: `golden`, `empty`, `ones`, `large`, `random`, `given`; one for all where they are of a
            data set (its name) or of random nets.
        compared, differences: numbers of values, which are spikes or states of a neuron at a step, and read-outs.
        first_difference: the first value that differs, or None.
        seconds: executor -> seconds of its run.
    """

    net: str
    executors: tuple[str, ...]
    samples: int
    inputs: tuple[str, ...]
    compared: int
    differences: int
    first_difference: Difference | None
    seconds: dict[str, float]

    _keys: ClassVar[str] = "net executors samples inputs compared differences first_difference seconds"  # as printed

    def __bool__(self) -> bool:
        return not self.differences

    def to_json(self) -> dict[str, Json]:
        """All of it on one level, as JSON values."""
        first = self.first_difference
        values = {name: getattr(self, name) for name in self._keys.split()}
        return plain(values | dict(first_difference=None if first is None else first.to_json()))


@dataclass(frozen=True, kw_only=True)
class ChainVerification(Verification):
    """On a net that SLAYER or NIR made.

    Attributes:
        steps: of each sample.
        left_out: executor -> why it was not compared.
        notes: what there is to know about the net, a line each.
    """

    steps: int
    left_out: dict[str, str]
    notes: tuple[str, ...]

    _keys: ClassVar[str] = (
        "net executors samples inputs steps compared differences first_difference seconds left_out notes"
    )


@dataclass(frozen=True, kw_only=True)
class ScaleVerification(Verification):
    """On many samples.

    Attributes:
        neuron_steps: executor -> values of its that were compared with the engine's.
    """

    neuron_steps: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class DatasetVerification(ScaleVerification):
    """On recordings of a data set.

    Attributes:
        dataset, split: which. lava_samples: how many of them ran in Lava, or on the chip.
    """

    dataset: str
    split: str
    lava_samples: int

    _keys: ClassVar[str] = (
        "net dataset split executors samples lava_samples inputs compared differences first_difference seconds"
        " neuron_steps"
    )


@dataclass(frozen=True, kw_only=True)
class RandomVerification(ScaleVerification):
    """On random nets.

    Attributes:
        seed: of the first of them. dataset, split: None, in the JSON as in that of a data set.
    """

    seed: int
    dataset: None = None
    split: None = None

    _keys: ClassVar[str] = (
        "net dataset split executors samples inputs seed compared differences first_difference seconds neuron_steps"
    )

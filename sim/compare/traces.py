"""Two executors' traces side by side: how many values differ, and what led to the first that does."""

from dataclasses import dataclass, replace

import numpy as np

from ..base.plain import Json, plain
from ..net import Net
from ..net.tokens import Stream
from .history import history, sample_traces


@dataclass(frozen=True)
class Difference:
    """Where two executors differ.

    Attributes:
        layer: its name. sample, step, neuron: counted from 0; None where only hashes of the whole layer were compared.
        values: executor -> what it gave there; where hashes were compared the number of spikes of the whole layer, None
            if it is not known.
        history: executor -> what led to it (`sim.compare.history.history`); None where it was not asked for.
        seed: of the random net, None for others.
    """

    layer: str
    sample: int | None
    step: int | None
    neuron: int | None
    values: dict[str, int | None]
    history: dict[str, list[dict[str, int | None]]] | None = None
    seed: int | None = None

    def __str__(self) -> str:
        values = ", ".join(f"{k} {v}" for k, v in self.values.items())
        net = "" if self.seed is None else f"random net of seed {self.seed}, "
        return f"{net}layer {self.layer}, sample {self.sample}, step {self.step}, neuron {self.neuron}: {values}"

    def to_json(self) -> dict[str, Json]:
        """JSON values; seed and history only where there are any."""
        found = dict(vars(self))
        seed, history = found.pop("seed"), found.pop("history")
        return plain(
            ({} if seed is None else dict(seed=seed)) | found | ({} if history is None else dict(history=history))
        )


class Comparison:
    """Counts values that are equal and values that are not.

    Attributes:
        compared, differences: numbers of values.
        first: the first `Difference`, or None.
    """

    def __init__(self):
        self.compared, self.differences = 0, 0
        self.first: Difference | None = None

    def traces(
        self,
        net: Net,
        stream: Stream | np.ndarray,
        expected: dict,
        found: dict,
        names: tuple[str, str],
        first_sample: int = 0,
        seed: int | None = None,
    ) -> None:
        """Compares all layers of a net, name -> [samples, steps, neurons]; the first difference of all gets its
        history.

        stream: the input. first_sample: number of its first sample. seed: of a random net.
        """
        clean = self.first is None
        for node in net.nodes:
            self.arrays(node.name, expected[node.name], found[node.name], names)
        if clean and self.first is not None:
            sides = dict(zip(names, (expected, found)))
            self.first = _explained(self.first, net, stream, sides, first_sample, seed)

    def arrays(self, layer: str, expected: np.ndarray, found: np.ndarray, names: tuple[str, str]) -> None:
        """Compares [samples, steps, neurons] of one layer; `names`: of the two executors."""
        differ = expected != found
        self.compared += differ.size
        if differ.any():
            sample, step, neuron = (int(i) for i in np.argwhere(differ)[0])
            values: dict[str, int | None] = {}
            for name, side in zip(names, (expected, found)):
                values[name] = int(side[sample, step, neuron])
            self._differ(int(differ.sum()), Difference(layer, sample, step, neuron, values))

    def hashes(self, layer: str, expected: tuple, found: tuple, n: int) -> None:
        """Compares `n` values of one layer of which only the hash is known on one side: (hash, number of spikes or
        None) each.
        """
        self.compared += n
        if expected[0] != found[0]:
            values = {"artifact": expected[1], "engine": found[1]}
            self._differ(1, Difference(layer, None, None, None, values))

    def _differ(self, n, where):
        self.differences += n
        self.first = self.first or where


def _explained(first, net, stream, sides, first_sample, seed):
    traces = {name: sample_traces(net, stream, known, first.sample) for name, known in sides.items()}
    past = history(net, first.layer, first.neuron, first.step, traces)
    return replace(first, sample=first.sample + first_sample, history=past, seed=seed)

"""Two executors' traces side by side: how many values differ, and what led to the first that does."""

import numpy as np

from ..net import Net
from ..net.tokens import Stream
from .history import history, sample_traces


class Comparison:
    """Counts values that are equal and values that are not.

    Attributes:
        compared, differences: numbers of values.
        first: the first difference, a dict, or None.
    """

    def __init__(self):
        self.compared, self.differences, self.first = 0, 0, None

    def traces(
        self,
        net: Net,
        stream: Stream | np.ndarray,
        expected: dict,
        found: dict,
        names: tuple[str, str],
        first_sample: int = 0,
        where: dict | None = None,
    ) -> None:
        """Compares all layers of a net, name -> [samples, steps, neurons]; the first difference of all gets its
        history.

        stream: the input. first_sample: number of its first sample. where: dict of further facts for the first
        difference.
        """
        clean = self.first is None
        for node in net.nodes:
            self.arrays(node.name, expected[node.name], found[node.name], names)
        if clean and self.first is not None:
            sample = self.first["sample"]
            sides = {name: sample_traces(net, stream, traces, sample) for name, traces in zip(names, (expected, found))}
            past = history(net, self.first["layer"], self.first["neuron"], self.first["step"], sides)
            self.first = dict(where or {}) | self.first | dict(sample=sample + first_sample, history=past)

    def result(self) -> dict:
        """dict(compared, differences, first_difference)."""
        return dict(compared=self.compared, differences=self.differences, first_difference=self.first)

    def arrays(self, layer: str, expected: np.ndarray, found: np.ndarray, names: tuple[str, str]) -> None:
        """Compares [samples, steps, neurons] of one layer; `names`: of the two executors."""
        differ = expected != found
        self.compared += differ.size
        if differ.any():
            sample, step, neuron = (int(i) for i in np.argwhere(differ)[0])
            self._differ(
                int(differ.sum()),
                dict(layer=layer, sample=sample, step=step, neuron=neuron),
                {names[0]: int(expected[sample, step, neuron]), names[1]: int(found[sample, step, neuron])},
            )

    def hashes(self, layer: str, expected: tuple, found: tuple, n: int) -> None:
        """Compares `n` values of one layer of which only the hash is known on one side: (hash, number of spikes or
        None) each.
        """
        self.compared += n
        if expected[0] != found[0]:
            self._differ(
                1, dict(layer=layer, sample=None, step=None, neuron=None), {"artifact": expected[1], "engine": found[1]}
            )

    def _differ(self, n, where, values):
        self.differences += n
        self.first = self.first or where | dict(values=values)

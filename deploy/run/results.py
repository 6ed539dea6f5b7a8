"""What a run says: frozen values, and the same as JSON."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim import engine
from sim.base.plain import Json, plain
from sim.base.statistics import wilson
from sim.net import Net
from sim.net.schedule import latencies

from ..samples import Samples


@dataclass(frozen=True)
class Score:
    """Share of right predictions and its 95 % interval (Wilson's); None without labels."""

    accuracy: float | None
    accuracy_interval: tuple[float, float] | None


@dataclass(frozen=True)
class LayerCounts:
    """Spikes and synaptic operations of a layer or input, a sample; rate: share of neurons that fire in a step. None
    where nothing is counted.
    """

    name: str
    type: str
    size: int
    spikes: float | None
    rate: float | None
    synops: float | None


@dataclass(frozen=True, eq=False)
class Run:
    """A net of ours on samples.

    Attributes:
        facts: how it was run, as the executor says it (`backend` and more), JSON values.
        dataset, split, n: on what.
        score: accuracy.
        predictions: int64 [n]. outputs: int64 [n, classes], the read-out. labels: int64 [n] or None.
        spikes, synops: sums over all samples. kept: share of the tokens that were sent.
        steps_per_sample, latency_steps: a sample takes the first, its answer is complete the second later.
        seconds: of the executor. layers: `LayerCounts` of inputs and layers.
    """

    facts: dict[str, Any]
    dataset: str
    split: str | None
    n: int
    score: Score
    predictions: np.ndarray
    outputs: np.ndarray
    labels: np.ndarray | None
    spikes: int
    synops: int
    kept: float
    steps_per_sample: int
    latency_steps: int
    seconds: float
    layers: tuple[LayerCounts, ...]

    def to_json(self) -> dict[str, Json]:
        """All of it on one level, as JSON values; `steps` is `steps_per_sample` under its older name."""
        return plain(
            self.facts
            | dict(dataset=self.dataset, split=self.split, n=self.n)
            | vars(self.score)
            | dict(predictions=self.predictions, outputs=self.outputs, labels=self.labels)
            | dict(spikes=self.spikes, synops=self.synops, kept=self.kept, steps=self.steps_per_sample)
            | dict(steps_per_sample=self.steps_per_sample, latency_steps=self.latency_steps)
            | dict(seconds=self.seconds, layers=self.layers)
        )


def summary(net: Net, samples: Samples, total: engine.Result, facts: dict[str, Any], seconds: float) -> Run:
    """The `Run` of a result over all samples; facts: how it was made."""
    n = len(samples)
    return Run(
        facts,
        samples.dataset,
        samples.split,
        n,
        score(total.predictions, samples.labels),
        total.predictions,
        total.logits,
        None if samples.labels is None else np.asarray(samples.labels),
        sum(total.spikes.values()),
        sum(total.synops.values()),
        total.sent / max(1, n * net.frames * net.tokens),
        net.steps,
        latencies(net)[net.nodes[-1].name],
        seconds,
        per_layer(net, total, n),
    )


def score(predictions: np.ndarray | None, labels: np.ndarray | None) -> Score:
    """Of int [n] predictions and labels."""
    if labels is None:
        return Score(None, None)
    right = 0 if predictions is None else int((predictions == labels).sum())
    low, high = wilson(right, len(labels))
    return Score(right / max(len(labels), 1), (low, high))


def per_layer(net: Net, result: engine.Result, n: int) -> tuple[LayerCounts, ...]:
    """Of all inputs and layers, a sample."""
    rows = []
    for node in (*net.inputs, *net.nodes):
        spikes, synops = result.spikes.get(node.name), result.synops.get(node.name)
        rows.append(
            LayerCounts(
                node.name,
                type(node).__name__,
                node.size,
                None if spikes is None else spikes / n,
                None if spikes is None else spikes / (n * net.steps * node.size),
                None if synops is None else synops / n,
            )
        )
    return tuple(rows)

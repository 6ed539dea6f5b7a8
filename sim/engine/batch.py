"""The integer engine: runs a whole net on a batch of samples, in stream time. No torch, no Lava."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Protocol

import numpy as np

from ..net import Cuba, Net, Readout
from ..net.tokens import Stream, checked
from .program import Runner


@dataclass
class Result:
    """What a run gives.

    Attributes:
        logits: int64 [B, classes], the read-out summed over the sample.
        predictions: int64 [B], argmax with ties to the lowest index.
        spikes: node name -> number of spikes, summed over the batch (inputs included; graded read-out not).
        synops: node name -> synaptic operations that arrived at it: for every spike, one for every non-zero weight it
            meets.
        ranges: `Cuba` name -> dict(u_max, wraps, v_max, clips).
        sent: tokens that were sent, summed over the batch.
        traces: node name -> uint8 [B, S, n] spikes (int32 for the read-out), for the names asked for.
    """

    logits: np.ndarray
    spikes: dict = field(default_factory=dict)
    synops: dict = field(default_factory=dict)
    ranges: dict = field(default_factory=dict)
    sent: int = 0
    traces: dict = field(default_factory=dict)

    @property
    def predictions(self) -> np.ndarray:
        return self.logits.argmax(1)


def run(net: Net, stream: Stream | np.ndarray, trace: Sequence[str] | str = ()) -> Result:
    """Runs `net` on samples.

    Args:
        net: the net.
        stream: `sim.net.tokens.Stream`, or uint8 [B, T*N, C] for a net that sends all tokens.
        trace: names of the nodes and inputs whose spikes to keep, or "all".

    Raises:
        UserError: the input is for another geometry, or no stream of tokens that this net takes.
    """
    return run_with(Runner(net), stream, trace)


def run_with(runner: Runner, stream: Stream | np.ndarray, trace: Sequence[str] | str = ()) -> Result:
    """`run` with the runner of a net, which can be used again."""
    stream = checked(runner.net, stream)
    runner.start(len(stream))
    return take(runner, stream, trace)


def take(runner: Runner, stream: Stream, trace: Sequence[str] | str = ()) -> Result:
    """What a runner gives for the next frames of its streams, from the states that it has; see
    `sim.net.tokens.checked`.
    """
    net = runner.net
    traces = runner.run(stream, trace)
    result = Result(runner.logits(), sent=stream.sent, traces=traces)
    last = net.nodes[-1].name
    hits = {name: runner.hits(name).sum(0, dtype=np.int64) for name in runner.names if name != last}
    result.spikes = {name: int(n.sum()) for name, n in hits.items()}
    for node in net.nodes:
        note(node, runner, hits, result)
    return result


class Batches(Protocol):
    """Samples that can be taken by the slice: a `Stream`, or what makes one when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Stream | np.ndarray: ...


def run_batches(
    net: Net, stream: Batches | np.ndarray, batch: int = 64, progress: Callable[..., object] | None = None
) -> Result:
    """`run` on many samples, `batch` at a time, so that memory does not grow with their number. No traces.

    progress: called with the number of samples done after each batch.
    """
    runner, results = Runner(net), []
    for i in range(0, max(len(stream), 1), batch):
        part = stream[i : i + batch]
        results.append(run_with(runner, part))
        if progress:
            progress(len(part))
    return merge(results)


def merge(results: list) -> Result:
    """The result of one run on all samples from those on parts of them. Traces are left out."""
    total = Result(np.concatenate([r.logits for r in results]))
    for r in results:
        for name in r.spikes:
            total.spikes[name] = total.spikes.get(name, 0) + r.spikes[name]
        for name in r.synops:
            total.synops[name] = total.synops.get(name, 0) + r.synops[name]
        for name, range_ in r.ranges.items():
            before = total.ranges.get(name, dict.fromkeys(range_, 0))
            total.ranges[name] = {
                k: max(before[k], v) if k.endswith("max") else before[k] + v for k, v in range_.items()
            }
    total.sent = sum(r.sent for r in results)
    return total


def synops(synapses: Sequence, spikes: dict[str, np.ndarray]) -> int:
    """Synaptic operations, one for every spike and non-zero weight that it meets.

    spikes: source name -> uint8 [B, K, m].
    """
    return int(sum(spikes[s.source].sum((0, 1), dtype=np.int64) @ (s.weight != 0).sum(0) for s in synapses))


def _synops(node, runner, hits):
    return int(sum(hits[s.source] @ fan_out for s, fan_out in zip(node.synapses, runner.fan_outs[node.name])))


@singledispatch
def note(node: Cuba | Readout, runner: Runner, hits: dict, result: Result) -> None:
    """Notes what there is to say of `node` in `result`.

    hits: name -> int64 [n], spikes of each neuron over the batch.
    """
    raise TypeError(type(node).__name__)


@note.register
def _(node: Cuba, runner, hits, result):
    result.synops[node.name] = _synops(node, runner, hits)
    stats = runner.stats(node.name)
    result.ranges[node.name] = dict(
        u_max=int(stats[:, 0].max(initial=0)),
        wraps=int(stats[:, 1].sum()),
        v_max=int(stats[:, 2].max(initial=0)),
        clips=int(stats[:, 3].sum()),
    )


@note.register
def _(node: Readout, runner, hits, result):
    result.synops[node.name] = _synops(node, runner, hits)

"""The integer engine: runs a whole net on a batch of samples, in stream time. No torch, no Lava."""

from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np

from ..base.errors import UserError
from ..net import Cuba, Net, Readout, Reverse, TokenGate
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
        kept: `TokenGate` name -> share of (token, frame) pairs that were open.
        traces: node name -> uint8 [B, K, n] spikes (int32 for the read-out), for the names asked for.
    """

    logits: np.ndarray
    spikes: dict = field(default_factory=dict)
    synops: dict = field(default_factory=dict)
    ranges: dict = field(default_factory=dict)
    kept: dict = field(default_factory=dict)
    traces: dict = field(default_factory=dict)

    @property
    def predictions(self):
        return self.logits.argmax(1)


def run(net: Net, tokens: np.ndarray, trace=()) -> Result:
    """Runs `net` on samples.

    Args:
        net: the net.
        tokens: uint8 [B, T*N, C], 0 or 1, token spikes in reading order.
        trace: names of the nodes and inputs whose spikes to keep, or "all".

    Raises:
        UserError: the input is for another geometry.
    """
    return run_on(Runner(net), tokens, trace)


def run_on(runner: Runner, tokens: np.ndarray, trace=()) -> Result:
    """`run` with the runner of a net, which can be used again."""
    net = runner.net
    expected = (net.steps, net.inputs[0].size)
    if tokens.ndim != 3 or tokens.shape[1:] != expected:
        raise UserError(
            f"input has shape {tokens.shape}, the net takes [samples, {expected[0]}, {expected[1]}] (steps, channels)"
        )
    runner.start(len(tokens))
    traces = runner.run(np.ascontiguousarray(tokens, np.uint8), trace)
    result = Result(runner.logits(), traces=traces)
    last = net.nodes[-1].name
    hits = {name: runner.hits(name).sum(0, dtype=np.int64) for name in runner.names if name != last}
    result.spikes = {name: int(n.sum()) for name, n in hits.items()}
    for node in net.nodes:
        note(node, runner, hits, result)
    return result


def run_batches(net: Net, tokens: np.ndarray, batch: int = 64, progress=None) -> Result:
    """`run` on many samples, `batch` at a time, so that memory does not grow with their number. No traces.

    progress: called with the number of samples done after each batch.
    """
    runner, results, sizes = Runner(net), [], []
    for i in range(0, max(len(tokens), 1), batch):
        part = tokens[i : i + batch]
        results.append(run_on(runner, part))
        sizes.append(len(part))
        if progress:
            progress(len(part))
    return merge(results, sizes)


def merge(results: list, sizes: list) -> Result:
    """The result of one run on all samples from those on parts of them; sizes: number of samples of each part.
    Traces are left out.
    """
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
    for name in results[0].kept:
        total.kept[name] = float(np.average([r.kept[name] for r in results], weights=[max(n, 1) for n in sizes]))
    return total


def reverse_tokens(x, tokens):
    """[B, T*N, C] with the tokens of each frame in reverse order."""
    b, k, c = x.shape
    return np.ascontiguousarray(x.reshape(b, k // tokens, tokens, c)[:, :, ::-1].reshape(b, k, c))


def synops(synapses, spikes):
    """Synaptic operations, one for every spike and non-zero weight that it meets.

    spikes: source name -> uint8 [B, K, m].
    """
    return int(sum(spikes[s.source].sum((0, 1), dtype=np.int64) @ (s.weight != 0).sum(0) for s in synapses))


def gate_synops(x):
    """Operations at a token gate for its source's spikes `x`: each goes to its output neuron and to the two that
    count.
    """
    return 3 * int(x.sum(dtype=np.int64))


def token_gate(x, threshold, tokens):
    """Open mask of the gate, uint8 [B, T*N], for spikes `x` [B, T*N, C]. The rule is in `sim.net.TokenGate`."""
    count = x.sum(2, dtype=np.int64).reshape(x.shape[0], -1, tokens).cumsum(1)
    return (count >= threshold).reshape(x.shape[:2]).astype(np.uint8)


def _synops(node, runner, hits):
    return int(sum(hits[s.source] @ fan_out for s, fan_out in zip(node.synapses, runner.fan_outs[node.name])))


@singledispatch
def note(node, runner, hits, result):
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
def _(node: TokenGate, runner, hits, result):
    steps = len(runner.state.u) * runner.net.steps
    result.kept[node.name] = int(runner.stats(node.name)[:, 0].sum()) / steps if steps else 0.0
    result.synops[node.name] = gate_synops(hits[node.source])


@note.register
def _(node: Reverse, runner, hits, result):
    pass


@note.register
def _(node: Readout, runner, hits, result):
    result.synops[node.name] = _synops(node, runner, hits)

"""The integer engine: runs a whole net on a batch of samples, node after node, in stream time. No torch, no Lava."""

from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np

from .errors import UserError
from .integer import STATE_SHIFT
from .kernels import cuba_scan, keep_share, synapse_scan
from .net import PHASE, Cuba, Net, Readout, Reverse, TokenGate


@dataclass
class Result:
    """What a run gives.

    Attributes:
        logits: int64 [B, classes], the read-out summed over the sample.
        predictions: int64 [B], argmax with ties to the lowest index.
        spikes: node name -> number of spikes, summed over the batch (inputs included; graded read-out not).
        synops: node name -> synaptic operations that arrived at it: for every spike, one for every non-zero weight it meets.
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
    expected = (net.steps, net.inputs[0].size)
    if tokens.ndim != 3 or tokens.shape[1:] != expected:
        raise UserError(f"input has shape {tokens.shape}, the net takes [samples, {expected[0]}, {expected[1]}] (steps, channels)")
    batch = tokens.shape[0]
    tokens = np.ascontiguousarray(tokens, np.uint8)
    result = Result(np.zeros((batch, net.nodes[-1].size), np.int64))
    spikes = {PHASE: np.broadcast_to(np.tile(np.eye(net.tokens, dtype=np.uint8), (net.frames, 1)), (batch, net.steps, net.tokens))}
    for i in net.inputs:
        spikes[i.name] = reverse_tokens(tokens, net.tokens) if i.backward else tokens
    for node in net.nodes:
        spikes[node.name] = run_node(node, spikes, net, result)
    result.logits = spikes[net.nodes[-1].name].sum(1, dtype=np.int64)
    names = list(spikes) if trace == "all" else trace
    result.traces = {name: spikes[name] for name in names}
    result.spikes = {name: int(spikes[name].sum()) for name in spikes if name != net.nodes[-1].name}
    return result


def run_batches(net: Net, tokens: np.ndarray, batch: int = 64, progress=None) -> Result:
    """`run` on many samples, `batch` at a time, so that memory does not grow with their number. No traces.

    progress: called with the number of samples done after each batch.
    """
    results, sizes = [], []
    for i in range(0, max(len(tokens), 1), batch):
        part = tokens[i:i + batch]
        results.append(run(net, part))
        sizes.append(len(part))
        if progress:
            progress(len(part))
    return merge(results, sizes)


def merge(results: list, sizes: list) -> Result:
    """The result of one run on all samples from those on parts of them; sizes: number of samples of each part. Traces are left out."""
    total = Result(np.concatenate([r.logits for r in results]))
    for r in results:
        for name in r.spikes:
            total.spikes[name] = total.spikes.get(name, 0) + r.spikes[name]
        for name in r.synops:
            total.synops[name] = total.synops.get(name, 0) + r.synops[name]
        for name, range_ in r.ranges.items():
            before = total.ranges.get(name, dict.fromkeys(range_, 0))
            total.ranges[name] = {k: max(before[k], v) if k.endswith("max") else before[k] + v for k, v in range_.items()}
    for name in results[0].kept:
        total.kept[name] = float(np.average([r.kept[name] for r in results], weights=[max(n, 1) for n in sizes]))
    return total


def reverse_tokens(x, tokens):
    """[B, T*N, C] with the tokens of each frame in reverse order."""
    b, k, c = x.shape
    return np.ascontiguousarray(x.reshape(b, k // tokens, tokens, c)[:, :, ::-1].reshape(b, k, c))


def prepare(synapses):
    """Synapses in the form that `dendrite` takes: (source, weight turned to float32 [m, n], number of non-zero weights of each source neuron)."""
    return [(s.source, np.ascontiguousarray(s.weight.T, np.float32), (s.weight != 0).sum(0)) for s in synapses]


def dendrite(prepared, spikes):
    """Sum over synapses of weight @ spikes, and the synaptic operations: one for every spike and non-zero weight that it meets.

    Returns (integers in float32 [B, K, n], exact as |a| <= 2**18 < 2**24; int).
    """
    batch, steps, _ = spikes[prepared[0][0]].shape
    a = np.zeros((batch, steps, prepared[0][1].shape[1]), np.float32)
    operations = 0
    for source, weight, fan_out in prepared:
        if source == PHASE:                         # the same for every sample, one spike a step
            turns = steps // len(weight)
            a += np.tile(weight, (turns, 1))
            operations += batch * turns * int(fan_out.sum())
        else:
            hits = np.zeros((batch, len(weight)), np.int64)
            synapse_scan(spikes[source], weight, a, hits)
            operations += int(hits.sum(0) @ fan_out)
    return a, operations


def synops(synapses, spikes):
    """The operations of `dendrite` alone."""
    return int(sum(spikes[s.source].sum((0, 1), dtype=np.int64) @ (s.weight != 0).sum(0) for s in synapses))


def gate_synops(x):
    """Operations at a token gate for its source's spikes `x`: each goes to its output neuron and to the two that count."""
    return 3 * int(x.sum(dtype=np.int64))


@singledispatch
def run_node(node, spikes, net, result):
    """Spikes of `node`, uint8 [B, K, n], given those of its sources; notes counts in `result`."""
    raise TypeError(type(node).__name__)


@run_node.register
def _(node: Cuba, spikes, net, result):
    a, result.synops[node.name] = dendrite(prepare(node.synapses), spikes)
    batch, steps, n = a.shape
    u, v = np.zeros((2, batch, n))
    out = np.empty((batch, steps, n), np.uint8)
    stats = np.zeros((batch, 4))
    cuba_scan(a, keep_share(node.i_decay), (node.bias << STATE_SHIFT).astype(np.float64), float(keep_share(node.v_decay)), float(node.v_th << STATE_SHIFT),
              net.tokens if node.frame_reset else 0, u, v, out, stats)
    result.ranges[node.name] = dict(u_max=int(stats[:, 0].max(initial=0)), wraps=int(stats[:, 1].sum()), v_max=int(stats[:, 2].max(initial=0)), clips=int(stats[:, 3].sum()))
    return out


@run_node.register
def _(node: TokenGate, spikes, net, result):
    x = spikes[node.source]
    opened = token_gate(x, node.threshold, net.tokens)
    result.kept[node.name] = float(opened.mean()) if opened.size else 0.0
    result.synops[node.name] = gate_synops(x)
    return x * opened[..., None]


def token_gate(x, threshold, tokens):
    """Open mask of the gate, uint8 [B, T*N], for spikes `x` [B, T*N, C]. The rule is in `sim.net.TokenGate`."""
    count = x.sum(2, dtype=np.int64).reshape(x.shape[0], -1, tokens).cumsum(1)
    return (count >= threshold).reshape(x.shape[:2]).astype(np.uint8)


@run_node.register
def _(node: Reverse, spikes, net, result):
    return reverse_tokens(spikes[node.source], net.tokens)


@run_node.register
def _(node: Readout, spikes, net, result):
    a, result.synops[node.name] = dendrite(prepare(node.synapses), spikes)
    return a.astype(np.int32)

"""Runs a net on samples with one of the executors, a bounded number of samples at a time."""

import time
from functools import singledispatch

import numpy as np

from sim import engine
from sim.base.statistics import wilson
from sim.lava.simulate import simulate
from sim.net import PHASE, Cuba, Readout, Reverse, TokenGate
from sim.schedule import latencies

MAX_BATCH = 64
BATCH_BYTES = 1 << 28


def run(
    net,
    samples,
    backend="fast",
    executor="fused",
    threads=False,
    timeout_s=None,
    progress=None,
    scheduler=None,
    chip=None,
):
    """Runs all samples.

    Args:
        net: `sim.net.Net`.
        samples: `deploy.samples.Samples`.
        backend: `fast` for the integer engine, on all cores, `sim` for Lava, `loihi2` for the chip.
        executor, threads, timeout_s: of `sim.lava.simulate.simulate`, for `sim`.
        progress: called with the number of samples done (a float) whenever that changes.
        scheduler: address of a Dask scheduler (`deploy.fanout`), for `fast`: its workers run the batches.
        chip: `deploy.loihi2.run.Chip`, for `loihi2`.

    Returns:
        dict of JSON values; `spikes` and `synops` are sums over all samples, `layers` has them per sample and layer.
    """
    batch = min(
        MAX_BATCH,
        max(1, BATCH_BYTES // (8 * net.steps * (sum(n.size for n in net.nodes) + sum(i.size for i in net.inputs)))),
    )
    parts = [(begin, min(begin + batch, len(samples))) for begin in range(0, len(samples), batch)]
    report = progress or (lambda done: None)
    facts, seconds = dict(backend=backend), 0.0

    def here(tokens, begin):
        def share(done, steps):
            report(begin + len(tokens) * done / steps)

        if backend == "loihi2":
            return chip.run(net, tokens, timeout_s, share)
        if backend == "fast":
            return engine.run(net, tokens)
        simulation = simulate(net, tokens, executor, "all", threads, timeout_s, progress=share)
        facts.update(executor=executor, runtime="threads" if threads else "processes", processes=simulation.processes)
        return measured(net, tokens, simulation)

    results = []
    if scheduler:
        from .fanout import run_parts

        start = time.monotonic()
        results = run_parts(net, samples, parts, scheduler, report)
        facts["scheduler"], seconds = scheduler, time.monotonic() - start
    for begin, end in parts[len(results) :]:
        tokens = samples.tokens(begin, end)
        start = time.monotonic()
        results.append(here(tokens, begin))
        seconds += time.monotonic() - start
        report(end)
    if chip:
        facts.update(chip.facts())
    total = engine.merge(results, [end - begin for begin, end in parts])
    return dict(
        facts,
        dataset=samples.dataset,
        split=samples.split,
        n=len(samples),
        **score(total.predictions, samples.labels),
        predictions=total.predictions.tolist(),
        labels=None if samples.labels is None else np.asarray(samples.labels).tolist(),
        spikes=sum(total.spikes.values()),
        synops=sum(total.synops.values()),
        kept=total.kept,
        steps_per_sample=net.steps,
        latency_steps=latencies(net)[net.nodes[-1].name],
        seconds=seconds,
        layers=per_layer(net, total, len(samples)),
    )


def score(predictions, labels):
    """dict(accuracy, accuracy_interval): Wilson's 95 % interval; None without labels."""
    if labels is None:
        return dict(accuracy=None, accuracy_interval=None)
    right = int((predictions == labels).sum())
    return dict(accuracy=right / max(len(labels), 1), accuracy_interval=wilson(right, len(labels)))


def per_layer(net, result, n):
    """One dict per input and layer: spikes and synaptic operations per sample, the share of neurons that fire in a
    step.
    """
    rows = []
    for node in (*net.inputs, *net.nodes):
        spikes, synops = result.spikes.get(node.name), result.synops.get(node.name)
        rows.append(
            dict(
                name=node.name,
                type=type(node).__name__,
                size=node.size,
                spikes=None if spikes is None else spikes / n,
                rate=None if spikes is None else spikes / (n * net.steps * node.size),
                synops=None if synops is None else synops / n,
                kept=result.kept.get(node.name),
            )
        )
    return rows


def measured(net, tokens, simulation):
    """`sim.engine.Result` with what the simulated spikes themselves say; without the ranges of the states, which stay
    inside.
    """
    spikes = dict(simulation.traces)
    spikes[PHASE] = np.broadcast_to(
        np.tile(np.eye(net.tokens, dtype=np.uint8), (net.frames, 1)), (len(tokens), net.steps, net.tokens)
    )
    for i in net.inputs:
        spikes[i.name] = engine.reverse_tokens(tokens, net.tokens) if i.backward else tokens
    result = engine.Result(simulation.logits)
    result.spikes = {name: int(x.sum(dtype=np.int64)) for name, x in spikes.items() if name != net.nodes[-1].name}
    for node in net.nodes:
        count(node, spikes, net, result)
    return result


@singledispatch
def count(node, spikes, net, result):
    """Notes the synaptic operations that arrive at `node`, and the kept share of a gate; nothing for other nodes."""
    raise TypeError(type(node).__name__)


@count.register(Cuba)
@count.register(Readout)
def _(node, spikes, net, result):
    result.synops[node.name] = engine.synops(node.synapses, spikes)


@count.register
def _(node: TokenGate, spikes, net, result):
    x = spikes[node.source]
    result.kept[node.name] = float(engine.token_gate(x, node.threshold, net.tokens).mean())
    result.synops[node.name] = engine.gate_synops(x)


@count.register
def _(node: Reverse, spikes, net, result):
    pass

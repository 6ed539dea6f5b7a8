"""Runs a net on samples with one of the executors, a bounded number of samples at a time."""

import time

import numpy as np

from sim import engine
from sim.base.statistics import wilson
from sim.lava.simulate import simulate
from sim.net.schedule import latencies
from sim.net.tokens import inputs

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

    def here(stream, begin):
        def share(done, steps):
            report(begin + len(stream) * done / steps)

        if chip is not None:
            return chip.run(net, stream, timeout_s, share)
        if backend == "fast":
            return engine.run(net, stream)
        simulation = simulate(net, stream, executor, "all", threads, timeout_s, progress=share)
        facts.update(executor=executor, runtime="threads" if threads else "processes", processes=simulation.processes)
        return measured(net, stream, simulation)

    results = []
    if scheduler:
        from .fanout import run_parts

        start = time.monotonic()
        results = run_parts(net, samples, parts, scheduler, report)
        facts["scheduler"], seconds = scheduler, time.monotonic() - start
    for begin, end in parts[len(results) :]:
        stream = samples.streams(begin, end)
        start = time.monotonic()
        results.append(here(stream, begin))
        seconds += time.monotonic() - start
        report(end)
    if chip:
        facts.update(chip.facts())
    return summary(net, samples, engine.merge(results), facts, seconds)


def summary(net, samples, total, facts, seconds) -> dict:
    """What `run` returns, of a `sim.engine.Result` over all samples; facts: how it was made."""
    return dict(
        facts,
        dataset=samples.dataset,
        split=samples.split,
        n=len(samples),
        **score(total.predictions, samples.labels),
        predictions=total.predictions.tolist(),
        outputs=total.logits.tolist(),
        labels=None if samples.labels is None else np.asarray(samples.labels).tolist(),
        spikes=sum(total.spikes.values()),
        synops=sum(total.synops.values()),
        kept=total.sent / max(1, len(samples) * net.frames * net.tokens),
        steps=net.steps,
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
            )
        )
    return rows


def measured(net, stream, simulation):
    """`sim.engine.Result` with what the simulated spikes themselves say; without the ranges of the states, which stay
    inside.
    """
    spikes = inputs(net, stream) | simulation.traces
    return engine.Result(
        simulation.logits,
        spikes={name: int(x.sum(dtype=np.int64)) for name, x in spikes.items() if name != net.nodes[-1].name},
        synops={node.name: engine.synops(node.synapses, spikes) for node in net.nodes},
        sent=stream.sent,
    )

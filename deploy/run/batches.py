"""Runs a net on samples with one of the executors, a bounded number of samples at a time."""

import time
from collections.abc import Callable

from sim import engine
from sim.net import Net

from ..samples import Samples
from .executors import Engine, Executor
from .results import Run, summary

MAX_BATCH = 64
BATCH_BYTES = 1 << 28
USUAL = Engine()


def run(
    net: Net,
    samples: Samples,
    executor: Executor = USUAL,
    progress: Callable[[float], object] | None = None,
    scheduler: str | None = None,
) -> Run:
    """Runs all samples.

    Args:
        executor: one of `deploy.run.executors.table`.
        progress: called with the number of samples done whenever that changes.
        scheduler: address of a Dask scheduler (`deploy.fanout`), whose workers run the batches in the engine.

    Raises:
        UserError, SimulationError: as the executor's `run`.
    """
    batch = min(
        MAX_BATCH,
        max(1, BATCH_BYTES // (8 * net.steps * (sum(n.size for n in net.nodes) + sum(i.size for i in net.inputs)))),
    )
    parts = [(begin, min(begin + batch, len(samples))) for begin in range(0, len(samples), batch)]
    report = progress or (lambda done: None)
    results, more, seconds = [], {}, 0.0
    if scheduler:
        from ..fanout import run_parts

        start = time.monotonic()
        results = run_parts(net, samples, parts, scheduler, report)
        more, seconds = dict(scheduler=scheduler), time.monotonic() - start
    for begin, end in parts[len(results) :]:
        stream = samples.streams(begin, end)
        share = lambda done, steps, at=begin, n=end - begin: report(at + n * done / steps)  # noqa: E731
        start = time.monotonic()
        results.append(executor.count(net, stream, share))
        seconds += time.monotonic() - start
        report(end)
    return summary(net, samples, engine.merge(results), executor.facts() | more, seconds)

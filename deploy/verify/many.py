"""Do the executors agree on a whole data set, and on random nets? The engine is held against the net in chip time step
by step (`sim.chiptime`, what the fused Lava process computes) on every sample, and against Lava itself on some."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sim import chiptime, engine, netx
from sim.compare.random_nets import random_net, random_stream
from sim.compare.traces import Comparison
from sim.lava.simulate import simulate_together

from .. import samples
from ..run.executors import ENGINE, FUSED, STOCK, Executor, check_names, others, table
from .results import DatasetVerification, RandomVerification

BATCH = 16
LAVA_SAMPLES = 4
PACKED = 30  # random nets side by side in one run of Lava
RANDOM_BATCH = 3
STEP = "step function"
Say = Callable[[str, float, int], object]  # what runs, samples done, samples in all


def verify_dataset(
    path: str | Path,
    dataset: str | None = None,
    split: str = "test",
    root: str | Path | None = None,
    limit: int | None = None,
    lava_samples: int = LAVA_SAMPLES,
    executors: Iterable[str] = (ENGINE, FUSED),
    threads: bool = False,
    timeout_s: float | None = None,
    progress: Say | None = None,
    chip: Executor | None = None,
) -> DatasetVerification:
    """Compares on the recordings of a data set: engine against step function on all, against the Lava executors (and
    the chip) on the first `lava_samples`.

    Args:
        path: the artifact. dataset, split, root, limit: as in `deploy.samples.from_dataset`.
        executors, threads, timeout_s, chip: as in `deploy.verify.verify`.
        progress: called with (what runs, samples done, samples in all).
    """
    held = others(executors, table(threads, timeout_s, chip))
    net = netx.read(path)
    taken = samples.from_dataset(net, dataset, split, root, limit)
    say, comparison, clock = progress or (lambda what, done, total: None), Comparison(), _Clock()
    for begin in range(0, len(taken), BATCH):
        stream = taken.streams(begin, min(begin + BATCH, len(taken)))
        with clock(ENGINE, 0):
            expected = engine.run(net, stream, trace="all").traces
        with clock(STEP, _values(net, len(stream))):
            found = chiptime.run(net, stream)
        comparison.traces(net, stream, expected, found, (ENGINE, STEP), first_sample=begin)
        say(STEP, begin + len(stream), len(taken))
    n = min(lava_samples, len(taken))
    held = held if n else []
    for executor in held:
        stream = taken.streams(0, n)
        expected = engine.run(net, stream, trace="all").traces
        share = lambda done, steps, name=executor.name: say(name, n * done / steps, n)  # noqa: E731
        with clock(executor.name, _values(net, n)):
            found = executor.run(net, stream, "all", share).layers
        comparison.traces(net, stream, expected, found, (ENGINE, executor.name))
    return DatasetVerification(
        net=str(path),
        dataset=taken.dataset,
        split=split,
        executors=(ENGINE, STEP, *(e.name for e in held)),
        samples=len(taken),
        lava_samples=n,
        inputs=(taken.dataset,),
        compared=comparison.compared,
        differences=comparison.differences,
        first_difference=comparison.first,
        seconds=clock.seconds,
        neuron_steps=clock.compared(),
    )


def verify_random(
    n: int,
    seed: int = 0,
    executors: Iterable[str] = (ENGINE, STOCK),
    timeout_s: float | None = None,
    progress: Say | None = None,
) -> RandomVerification:
    """Compares on `n` random nets of `sim.compare.random_nets`, with random inputs: engine against step function, then
    against the Lava executors, whose process models run as threads, many nets in one run.

    `first_difference` names the seed of the net, with which `sim.compare.random_nets` makes it again.
    """
    executors = tuple(executors)
    check_names(executors)
    say, comparison, clock = progress or (lambda what, done, total: None), Comparison(), _Clock()
    for begin in range(0, n, PACKED):
        seeds = range(seed + begin, seed + min(begin + PACKED, n))
        jobs = [(net, random_stream(net, s, RANDOM_BATCH)) for s, net in ((s, random_net(s)) for s in seeds)]
        values = sum(_values(net, RANDOM_BATCH) for net, _ in jobs)
        with clock(ENGINE, 0):
            expected = [engine.run(net, stream, trace="all").traces for net, stream in jobs]
        with clock(STEP, values):
            found = {STEP: [chiptime.run(net, stream) for net, stream in jobs]}
        for executor in (e for e in executors if e != ENGINE):
            with clock(executor, values):
                found[executor] = [r.traces for r in simulate_together(jobs, executor, "all", True, timeout_s)]
        for executor, traces in found.items():
            for s, (net, stream), a, b in zip(seeds, jobs, expected, traces):
                comparison.traces(net, stream, a, b, (ENGINE, executor), seed=s)
        say("random nets", seeds.stop - seed, n)
    return RandomVerification(
        net=f"{n} random nets",
        executors=(ENGINE, STEP, *(e for e in executors if e != ENGINE)),
        samples=n * RANDOM_BATCH,
        inputs=("random",),
        seed=seed,
        compared=comparison.compared,
        differences=comparison.differences,
        first_difference=comparison.first,
        seconds=clock.seconds,
        neuron_steps=clock.compared(),
    )


def _values(net, batch):
    return batch * net.steps * sum(node.size for node in net.nodes)


class _Clock:
    """Seconds and compared neuron-steps by executor: `with clock(name, neuron_steps): ...`."""

    def __init__(self):
        self.seconds, self.steps = {}, {}

    def __call__(self, name, steps):
        self.name, self.steps[name] = name, self.steps.get(name, 0) + steps
        return self

    def __enter__(self):
        self.start = time.monotonic()

    def __exit__(self, *error):
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + time.monotonic() - self.start

    def compared(self):
        return {name: steps for name, steps in self.steps.items() if steps}

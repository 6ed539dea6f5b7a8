"""Do all executors agree, at every node, step and neuron?"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from sim import engine, netx
from sim.compare.random_nets import random_stream
from sim.compare.traces import Comparison
from sim.net import Net
from sim.net.tokens import EMPTY, Stream, join, order_of
from sim.netx.golden import Golden, spike_hash

from ..run.executors import ENGINE, LAVA, Executor, others, table
from .results import Verification

USUAL = (ENGINE, *LAVA)


def verify(
    path: str | Path,
    samples: int | None = None,
    executors: Iterable[str] = USUAL,
    threads: bool = False,
    seed: int = 0,
    timeout_s: float | None = None,
    progress: Callable[[str], object] | None = None,
    chip: Executor | None = None,
) -> Verification:
    """Compares the artifact's golden spikes with the engine, and the engine with Lava.

    The golden input comes first; what `samples` asks for beyond it is an empty sample, one of all ones, and random
    ones.

    Args:
        path: the artifact.
        samples: how many; by default the golden ones, or three if there are none.
        executors: names of `deploy.run.executors`.
        threads, timeout_s: of `sim.lava.simulate.simulate`.
        progress: called with a line of text before each step.
        chip: the executor `loihi2`.

    Raises:
        UserError: the file; an unknown executor.
    """
    held = others(executors, table(threads, timeout_s, chip))
    net, golden = netx.read(path), netx.read_golden(path)
    stream, kinds = inputs(net, golden, samples, seed)
    say, comparison, seconds = progress or (lambda text: None), Comparison(), {}
    say(ENGINE)
    expected = engine.run(net, stream, trace="all")
    if golden is not None:
        _against_golden(
            net,
            golden,
            expected if len(stream) == len(golden.stream) else engine.run(net, golden.stream, trace="all"),
            comparison,
        )
    for executor in held:
        say(executor.name)
        found = executor.run(net, stream, "all")
        seconds[executor.name] = found.seconds
        comparison.traces(net, stream, expected.traces, found.layers, (ENGINE, executor.name))
    names = ["artifact"] * (golden is not None) + [ENGINE, *(e.name for e in held)]
    return Verification(
        net=str(path),
        executors=tuple(names),
        samples=len(stream),
        inputs=tuple(kinds),
        compared=comparison.compared,
        differences=comparison.differences,
        first_difference=comparison.first,
        seconds=seconds,
    )


def inputs(net: Net, golden: Golden | None, samples: int | None, seed: int) -> tuple[Stream, list[str]]:
    """(`Stream` of that many samples, kind of each): golden ones, then one without tokens, one in which all that can
    spike does, and random ones.
    """
    known = [] if golden is None else [golden.stream[i : i + 1] for i in range(len(golden.stream))]
    n = samples or len(known) or 3
    which = order_of(net, net.frames)[:, : net.places].reshape(1, -1).astype(np.int16)
    top = (1 << net.message_bits) - 1 or 1
    ones = Stream(np.full((1, net.steps, net.inputs[0].size), top, np.uint8), which)
    empty = Stream(np.zeros_like(ones.tokens), np.full_like(which, EMPTY))
    more = max(0, n - len(known) - 2)
    random = [random_stream(net, seed + i, 1, ("sparse", "random")[i % 2]) for i in range(more)]
    kinds = ["golden"] * len(known) + ["empty", "ones"] + ["random"] * more
    return join([*known, empty, ones, *random][:n]), kinds[:n]


def _against_golden(net, golden, result, comparison):
    for node in net.nodes:
        found = result.traces[node.name]
        if node.name in golden.spikes:
            comparison.arrays(node.name, golden.spikes[node.name], found, ("artifact", "engine"))
        else:
            known = golden.counts.get(node.name)
            comparison.hashes(
                node.name,
                (golden.hashes[node.name], known),
                (spike_hash(found), None if known is None else int(found.sum(dtype=np.int64))),
                found.size,
            )

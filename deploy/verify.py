"""Do all executors agree, at every node, step and neuron?"""

import numpy as np

from sim import engine, netx
from sim.base.errors import UserError
from sim.compare.random_nets import random_stream
from sim.compare.traces import Comparison
from sim.lava.simulate import EXECUTORS as LAVA
from sim.lava.simulate import simulate
from sim.net.tokens import EMPTY, Stream, join, order_of
from sim.netx.golden import spike_hash

CHIP = "loihi2"
EXECUTORS = ("engine", *LAVA, CHIP)
USUAL = ("engine", *LAVA)


def check_executors(executors):
    """Raises `UserError` for a name that is none of `EXECUTORS`."""
    unknown = [e for e in executors if e not in EXECUTORS]
    if unknown:
        raise UserError(f"unknown executor {unknown[0]!r}, there are: {', '.join(EXECUTORS)}")


def verify(
    path, samples=None, executors=USUAL, threads=False, seed=0, timeout_s=None, progress=None, chip=None
) -> dict:
    """Compares the artifact's golden spikes with the engine, and the engine with Lava.

    The golden input comes first; what `samples` asks for beyond it is an empty sample, one of all ones, and random
    ones.

    Args:
        path: the artifact.
        samples: how many; by default the golden ones, or three if there are none.
        executors: some of `EXECUTORS`.
        threads, timeout_s: of `sim.lava.simulate.simulate`.
        progress: called with a line of text before each step.
        chip: `deploy.loihi2.access.Access`, for the executor `loihi2`.

    Returns:
        dict of JSON values: executors, samples, inputs (their kinds), compared, differences, first_difference (None, or
            dict(layer, sample, step,
        neuron, values, history)), seconds by executor.

    Raises:
        UserError: the file; an unknown executor.
    """
    check_executors(executors)
    net, golden = netx.read(path), netx.read_golden(path)
    stream, kinds = inputs(net, golden, samples, seed)
    say, comparison, seconds = progress or (lambda text: None), Comparison(), {}
    say("engine")
    expected = engine.run(net, stream, trace="all")
    if golden is not None:
        _against_golden(
            net,
            golden,
            expected if len(stream) == len(golden.stream) else engine.run(net, golden.stream, trace="all"),
            comparison,
        )
    for executor in (e for e in executors if e != "engine"):
        say(executor)
        found = run_traced(net, stream, executor, threads, timeout_s, chip)
        seconds[executor] = found.run_seconds
        comparison.traces(net, stream, expected.traces, found.traces, ("engine", executor))
    names = ["artifact"] * (golden is not None) + ["engine"] + [e for e in executors if e != "engine"]
    return dict(
        net=str(path), executors=names, samples=len(stream), inputs=kinds, **comparison.result(), seconds=seconds
    )


def run_traced(net, stream, executor, threads=False, timeout_s=None, chip=None, progress=None):
    """`sim.lava.simulate.Simulation` with all traces, from `fused`, `stock` or, on the board to which `chip` is the
    access, `loihi2`.
    """
    if executor == CHIP:
        from .loihi2.run import run_chip

        return run_chip(net, stream, chip, "all", timeout_s=timeout_s, progress=progress)[0]
    return simulate(net, stream, executor, "all", threads, timeout_s, progress=progress)


def inputs(net, golden, samples, seed):
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

"""Measures what a report says of a net that SLAYER or NIR made: no recordings, no tokens; arrays, if there are any."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from events.frames import SpikeFrames
from sim.sequential import Sequential
from sim.sequential.graph import Graph

from .. import arrays
from ..chip import board as boards
from ..chip.plan import plan
from ..run import chain
from ..verify.chain import made_up, verify_chain
from . import parts
from .asked import EXECUTORS, Asked
from .content import Counted, Report
from .numbers import layer_numbers
from .trace import of_chain

PLANNED = 8  # samples on which the plan counts operations


def measure_foreign(path: str | Path, net: Sequential | Graph, asked: Asked, say: Callable[[str], object]) -> Report:
    """As `gather.measure`: on the user's array, if there is one; else executors are compared on made-up samples, and
    neither accuracy nor cost is told, as nothing says what runs on the net.

    Raises:
        UserError: the arrays; an executor that cannot run the net.
    """
    x = None if asked.input is None else arrays.load_input(asked.input, net)
    report = parts.start(path, net)
    if x is not None:
        say("integer engine")
        report = of_array(report, net, x, asked.labels)
    chosen = None if asked.executors == EXECUTORS else asked.executors
    compared = None if x is None else np.asarray(x[: asked.sim_samples])
    result = verify_chain(path, net, compared, None, chosen, progress=say)
    report = parts.of_verify(report, result)
    if x is None:
        report = of_made_up(report, net)
    say(f"plan for {asked.board}")
    some = None if x is None else net.checked(x[:PLANNED])
    what = None if some is None else f"{asked.input}, first {len(some)} samples"
    return replace(report, plan=plan(net, boards.load(asked.board), x=some, data=what, tables=asked.tables))


def array_samples(net: Sequential | Graph, asked: Asked) -> tuple:
    """(first samples of the user's array, or made-up ones; their labels or None)."""
    if asked.input is None:
        return made_up(net, 3, 0)[0], None
    x = arrays.load_input(asked.input, net)
    labels = None
    if asked.labels:
        labels = arrays.load_labels(asked.labels, len(x), int(np.prod(net.layers[-1].shape)))[:PLANNED]
    return net.checked(x[:PLANNED]), labels


def of_made_up(report: Report, net: Sequential | Graph) -> Report:
    """Adds the trace of a made-up sample."""
    sample = made_up(net, 3, 0)[0][-1:]
    return replace(report, traces=(of_chain(net, sample, "a made-up sample of random values"),))


def of_array(report: Report, net: Sequential | Graph, x: np.ndarray, labels: str | None) -> Report:
    """Runs the engine on an array, with the usual read-out, and adds what it gave."""
    window, readout = chain.Window(0, x.shape[1]), chain.usual_readout(net)
    known = None if labels is None else arrays.load_labels(labels, len(x), int(np.prod(net.layers[-1].shape)))
    found = chain.run_engine(net, x, window, readout)
    result = dict(backend="fast") | chain.result(net, found, window, readout, known).to_json()
    return of_chain_run(report, net, x, result)


def of_chain_run(report: Report, net: Sequential | Graph, x: np.ndarray | SpikeFrames, result: dict) -> Report:
    """Adds what a run (`deploy.run.chain.result`) gave."""
    classes = int(np.prod(net.layers[-1].shape))
    n = result["n"]
    return replace(
        report,
        accuracy=parts.accuracy(result),
        counted=Counted(result["spikes"] / n, result["synops"] / n, result["steps"], result["latency_steps"]),
        confusion=parts.confusion(result["labels"], result["predictions"], classes),
        classes=tuple(map(str, range(classes))),
        traces=(of_chain(net, x, "sample 0"),),
        layers=layer_numbers(net, result["layers"], None),
        raw={**report.raw, "fast": result},
    )

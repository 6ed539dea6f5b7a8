"""Measures what a report says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sim import netx, prices
from sim.base.errors import UserError
from sim.net import Net
from sim.sequential import Sequential
from sim.sequential.graph import Graph

from .. import samples as sources
from ..chip import board as boards
from ..chip.plan import plan
from ..run import run
from ..run.executors import Lava
from ..samples import Samples
from ..verify import verify
from .asked import Asked
from .content import Report
from .foreign import array_samples, measure_foreign
from .parts import of_run, of_verify, start
from .sweep import sweep

USUAL = Asked()
PLANNED = 8  # samples on which the plan counts operations


def measure(path: str | Path, asked: Asked = USUAL, say: Callable[[str], object] = lambda text: None) -> Report:
    """Runs everything that the report says.

    A net of ours: the engine runs the whole test part of its data set; the Lava simulator (fused) the first samples of
    it, every layer's spikes compared with the engine; `verify` compares all executors on the golden sample; the plan
    counts operations on the first test samples. Others: see `deploy.report.foreign`.

    Args:
        say: called with a line before each part.

    Raises:
        UserError: the file; the data; options that do not go with the net.
    """
    net, board = netx.load(path), boards.load(asked.board)  # what can be wrong is, before anything runs
    for table in asked.tables:
        prices.load(table)
    if not isinstance(net, Net):
        return measure_foreign(path, net, asked, say)
    if asked.input or asked.labels:
        raise UserError("--input and --labels are for nets that SLAYER or NIR made; this one runs on its data set")
    if asked.swept and asked.golden:
        raise UserError("--sweep takes the recordings of a data set; leave out --golden")
    say("integer engine, all test samples")
    test = _test(net, path, asked)
    out = of_run(start(path, net), net, test, run(net, test).to_json())
    out = _in_lava(out, net, path, test, asked, say)
    say(f"plan for {asked.board}")
    x = test.streams(0, min(PLANNED, len(test)))
    what = "the golden sample" if asked.golden else f"{len(x)} test samples"
    out = replace(out, plan=plan(net, board, x=x, data=what, tables=asked.tables))
    if asked.swept:
        say("other numbers of tokens")
        curve = sweep(net, test, asked)
        out = replace(out, beside=replace(out.beside, curves=(*out.beside.curves, curve)))
    return out


def _test(net, path, asked):
    if asked.golden:
        return sources.from_golden(path, None)
    return sources.from_dataset(net, None, "test", asked.data_root, None)


def planned_samples(net: Net | Sequential | Graph, path: str | Path, asked: Asked) -> tuple:
    """(the input on which the plan counts operations, its labels or None); for a net of others without an array
    made-up samples, on which the plan counts nothing.
    """
    if not isinstance(net, Net):
        return array_samples(net, asked)
    test = _test(net, path, asked)
    n = min(PLANNED, len(test))
    return test.streams(0, n), None if test.labels is None else test.labels[:n]


def _in_lava(report, net, path, test, asked, say):
    """Adds the simulator's run of the first samples, and the comparison of all executors."""
    some = first(test, asked.sim_samples)
    say(f"Lava simulator, {len(some)} samples")
    lava, same = run(net, some, Lava()).to_json(), run(net, some).to_json()
    equal = all(lava[key] == same[key] for key in ("predictions", "spikes", "layers"))
    say("all executors on the golden sample")
    report = of_verify(report, verify(path, executors=asked.executors))
    raw = {**report.raw, "lava": lava, "lava_equals_engine": equal}
    assert report.parity is not None
    return replace(report, parity=replace(report.parity, simulated=len(some), simulated_equal=equal), raw=raw)


def first(samples: Samples, n: int) -> Samples:
    """The first n samples."""
    labels = None if samples.labels is None else samples.labels[:n]
    return replace(samples, source=samples.source[:n], labels=labels)

"""`--html FILE` of run, verify and plan: what the command found as a page, in the form of `deploy report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # a command that is refused imports nothing heavy
    import numpy as np

    from events.frames import SpikeFrames
    from sim.net import Net
    from sim.sequential import Sequential
    from sim.sequential.graph import Graph

    from ..chip.results import ChipPlan
    from ..samples import Samples
    from ..verify.results import Verification

html_option = click.option(
    "--html", default=None, metavar="FILE", help="Also write what was found as a page, in the form of `deploy report`."
)


def write_run(out: str | None, path: str, net: Net, taken: Samples, result: dict) -> None:
    """Of `deploy.run.run`; nothing if `out` is None.

    Raises:
        CannotWrite: see `sim.base.files`.
    """
    if out is not None:
        from ..report import parts, write

        write(parts.of_run(parts.start(path, net), net, taken, result), out)


def write_chain_run(
    out: str | None, path: str, net: Sequential | Graph, x: np.ndarray | SpikeFrames, result: dict
) -> None:
    """Of `deploy.run.chain.result`."""
    if out is not None:
        from ..report import foreign, parts, write

        write(foreign.of_chain_run(parts.start(path, net), net, x, result), out)


def write_verify(out: str | None, path: str | None, result: Verification) -> None:
    """Of `deploy.verify.verify` and its like, on a net."""
    if out is not None and path is not None:
        from sim import netx

        from ..report import parts, write

        write(parts.of_verify(parts.start(path, netx.load(path)), result), out)


def write_plan(out: str | None, path: str, net: Net | Sequential | Graph, planned: ChipPlan) -> None:
    """Of `deploy.chip.plan.plan`."""
    if out is not None:
        from dataclasses import replace

        from ..report import parts, write

        write(replace(parts.start(path, net), plan=planned), out)

"""`python -m deploy report`: the evidence for a net, as one HTML file."""

import sys
from pathlib import Path
from typing import Any

import click

from sim.base.console import data_root_option, note, print_json, show

from ..find import find
from .options import Command


def measuring_options(command: Command) -> Command:
    """What is to be measured: the fields of `deploy.report.Asked`."""
    for option in reversed(
        (
            data_root_option,
            click.option(
                "--golden", is_flag=True, help="On the golden sample that the file carries, without a data set."
            ),
            click.option(
                "--sim-samples",
                type=click.IntRange(1),
                default=20,
                show_default=True,
                help="Test samples to run through the Lava simulator.",
            ),
            click.option("--board", default="oheo-gulch", show_default=True, help="Board of the plan."),
            click.option(
                "--table",
                "tables",
                multiple=True,
                default=("loihi1-davies2018", "cmos-45nm"),
                show_default=True,
                help="Prices per operation, as of `deploy plan`; the first stands on the first screen. Repeatable.",
            ),
            click.option(
                "--sweep", "swept", is_flag=True, help="Also measure accuracy and energy with fewer tokens sent."
            ),
            click.option(
                "--input", default=None, metavar="X.npy", help="For a net that SLAYER or NIR made: what to run on it."
            ),
            click.option("--labels", default=None, metavar="L.npy", help="With --input: the samples' classes."),
        )
    ):
        command = option(command)
    return command


@click.command(epilog="Example: python -m deploy report runs/digits-tiny/model.net")
@click.argument("net", required=False)
@click.option("--out", default=None, help="The file to write; default: report.html beside the net.")
@measuring_options
@click.option("--json", "as_json", is_flag=True, help="Print all measurements as JSON.")
def report(net: str | None, out: str | None, as_json: bool, **asked: Any) -> None:
    """Measure accuracy, parity, fit and cost of NET and write them into one HTML file.

    Exit code 1 if executors differ.
    """
    from ..report import Asked, measure, summary, write

    path = find(net)
    measured = measure(path, Asked(**asked), lambda text: note(f"running: {text}"))
    out = out or str(Path(path).with_name("report.html"))
    write(measured, out)
    if as_json:
        print_json(measured.to_json() | {"report": out})
    else:
        for line in summary(measured):
            show(line)
        show(f"report     {out}")
    sys.exit(0 if measured.parity is None or measured.parity.holds else 1)

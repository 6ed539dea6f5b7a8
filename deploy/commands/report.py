"""`python -m deploy report`: the evidence for a net, as one HTML file."""

import sys
from pathlib import Path

import click

from sim.base.console import data_root_option, note, print_json

from ..find import find


@click.command(epilog="Example: python -m deploy report runs/digits-tiny/model.net")
@click.argument("net", required=False)
@click.option("--out", default=None, help="The file to write; default: report.html beside the net.")
@data_root_option
@click.option(
    "--sim-samples",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Test samples to run through the Lava simulator.",
)
@click.option("--board", default="oheo-gulch", show_default=True, help="Board of the plan.")
@click.option("--json", "as_json", is_flag=True, help="Print all measurements as JSON.")
def report(net, out, data_root, sim_samples, board, as_json):
    """Measure accuracy, parity, fit and cost of NET and write them into one HTML file.

    Exit code 1 if executors differ.
    """
    from .. import report as pages

    path = find(net)
    measured = pages.measure(path, data_root, sim_samples, board, say=lambda text: note(f"running: {text}"))
    out = out or str(Path(path).with_name("report.html"))
    pages.write(path, measured, out)
    if as_json:
        print_json(measured | {"report": out})
    else:
        for line in pages.summary(measured):
            print(line)
        print(f"report     {out}")
    sys.exit(0 if measured["lava_equals_engine"] and not measured["parity"]["differences"] else 1)

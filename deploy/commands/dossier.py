"""`python -m deploy dossier`: one archive of all that speaks for a net, with a check that a reviewer runs."""

import sys
from typing import Any

import click

from sim.base.console import note, show

from ..find import find
from .report import measuring_options


@click.command(epilog="Example: python -m deploy dossier runs/digits-tiny/model.net -o digits-tiny.zip")
@click.argument("net", required=False)
@click.option("-o", "--out", required=True, metavar="FILE", help="The archive to write: .zip, .tar.gz or .tgz.")
@measuring_options
def dossier(net: str | None, out: str, **asked: Any) -> None:
    """Measure NET as `deploy report` does, and pack net, report, figures, samples, program and a Makefile whose
    `make check` computes it all again without the training part.

    Exit code 1 if executors differ.
    """
    from ..report import Asked, summary
    from ..report.dossier.archive import dossier as pack

    path = find(net)
    measured = pack(path, out, Asked(**asked), lambda text: note(f"running: {text}"))
    for line in summary(measured):
        show(line)
    show(f"dossier    {out}")
    sys.exit(0 if measured.parity is None or measured.parity.holds else 1)

"""`python -m deploy`: runs nets and proves that all executors agree. Example: `python -m deploy run --backend sim`."""

import sim.base.start  # noqa: F401  # isort: skip

import click

from sim.base.command import run_command

from .commands.dossier import dossier
from .commands.plan import plan
from .commands.report import report
from .commands.run import run
from .commands.stream import stream
from .commands.verify import verify


@click.group()
def main() -> None:
    """Run nets in the Lava simulator or the integer engine, and check that all executors agree."""


for command in (run, verify, plan, report, dossier, stream):
    main.add_command(command)


if __name__ == "__main__":
    run_command(main)

"""The console script `smolmamba`: all commands under one name. `smolmamba deploy run` is `python -m deploy run`."""

import sim.base.start  # noqa: F401  # isort: skip

import click

from sim.base.command import run_command
from sim.base.lazy import LazyGroup

GROUPS = {
    "train": ("train.__main__:main", "Train a model; ablations, energy curves, energy as the literature counts it."),
    "convert": ("convert.__main__:main", "From a trained model to the chip's integers; to and from NIR graphs."),
    "deploy": ("deploy.__main__:main", "Run nets, prove that all executors agree, plan them on a board, play live."),
    "events": ("events.__main__:main", "Data sets and recordings: what there is, whether it can be read."),
    "bench": ("bench.__main__:main", "Speed of the executors."),
}


@click.group(cls=LazyGroup, places=GROUPS, epilog="Example: smolmamba deploy run models/digits-tiny.net --backend fast")
@click.version_option(package_name="smolmamba-loihi", prog_name="smolmamba")
def group() -> None:
    """Vision SmolMamba for Loihi 2: from recordings to a net that runs, spike for spike, as it was trained."""


def main() -> None:
    """Runs the script; a user's mistake is one line and exit code 2."""
    run_command(group)

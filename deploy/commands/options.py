"""What the commands share: which net, how to reach a board."""

from collections.abc import Callable
from typing import TypeVar

import click

from sim.base.errors import UserError

from ..loihi2.access import Access

Command = TypeVar("Command", bound=Callable[..., object])
NET_HELP = "The net, a model.net; default: the newest in runs/, else in models/."


def loihi2_options(command: Command) -> Command:
    """How to reach a board."""
    for option in (
        click.option(
            "--host",
            default=None,
            help="With loihi2: address of the host of a board on the network; default: $NXSDKHOST.",
        ),
        click.option("--board", default=None, help="With loihi2: the node that SLURM is to take; default: $BOARD."),
        click.option("--partition", default=None, help="With loihi2: the SLURM partition; default: $PARTITION."),
    ):
        command = option(command)
    return command


def step_options(command: Command) -> Command:
    """How recordings become steps of a net that has no encoder of its own."""
    for option in (
        click.option(
            "--steps",
            type=click.IntRange(1),
            default=None,
            help="For nets of others, on recordings: steps of each; default: as many as the longest takes.",
        ),
        click.option(
            "--step-us",
            type=click.FloatRange(0, min_open=True),
            default=None,
            help="For nets of others, on recordings: microseconds of a step; default: 1000.",
        ),
    ):
        command = option(command)
    return command


def net_path(path: str | None, option: str | None) -> str:
    from ..find import find

    if path and option:
        raise UserError("name the net once, as an argument or with --net")
    return find(path or option)


def only(holds: object, what: str, **options: object) -> None:
    """Refuses options that mean nothing without `what`."""
    named = [name for name, value in options.items() if value is not None]
    if named and not holds:
        raise UserError(f"--{named[0].replace('_', '-')} goes with {what} only")


def access(partition: str | None, board: str | None, host: str | None) -> Access:
    from ..loihi2.access import find

    return find(partition, board, host)

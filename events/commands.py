"""The subcommands of `python -m events` that look at one recording."""

import sys
from collections.abc import Callable
from typing import Any

import click

from sim.base.console import add_row, bar, new_table, print_json, say, show

from . import formats

unit_option = click.option(
    "--time-unit-us",
    "unit_us",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="Microseconds to a unit of time, in files that do not say: 1000000 for seconds.",
)

_ms = click.FloatRange(0, min_open=True)


def clip_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How long recordings are cut."""
    for option in (
        click.option("--stride-ms", type=_ms, default=None, help="With --clip-ms: clips begin so far apart."),
        click.option(
            "--clip-ms", type=_ms, default=None, help="With the data set folder: cut recordings into clips this long."
        ),
    ):
        command = option(command)
    return command


@click.command(epilog="Example: python -m events info recording.raw --json")
@click.argument("file")
@unit_option
@click.option("--json", "as_json", is_flag=True, help="Print the facts as one JSON object.")
def info(file: str, unit_us: float | None, as_json: bool) -> None:
    """Say what is in one recording of any format (see docs/data.md): events, time, sensor, polarities, and what was
    passed over."""
    facts = formats.info(file, unit_us)
    if as_json:
        print_json(facts)
        return
    size = f"{facts['width']} x {facts['height']}" if facts["width"] else "not said"
    seconds = facts["span_us"] / 1e6
    table = new_table(file, "what", "value", left=2)
    for line in (
        ("format", facts["format"]),
        ("sensor", f"{size}; events reach {facts['right'] + 1} x {facts['bottom'] + 1}"),
        ("events", f"{facts['events']:,} ({facts['on']:,} ON, {facts['off']:,} OFF)"),
        ("time", f"{seconds:,.6f} s from {facts['first_us']:,} us on" + ("" if facts["sorted"] else ", not in order")),
        ("rate", f"{facts['events'] / max(seconds, 1e-6):,.0f} events/s"),
        *(("note", note) for note in facts["notes"]),
    ):
        add_row(table, *line)
    show(table)


@click.command("import", epilog="Example: python -m events import recordings imported")
@click.argument("src")
@click.argument("out")
@unit_option
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def import_(src: str, out: str, unit_us: float | None, as_json: bool) -> None:
    """Convert every recording below SRC into the layout that is read fastest, with the same folders and names, to OUT.

    That is .npy, sorted by time, mapped into memory. What is there already and not older is left; labels.csv and
    folder.json go along.

    Exit code 1 if a file is broken."""
    from .convert_tree import convert

    with bar("importing", None) as progress:
        facts = convert(src, out, unit_us, progress)
    if as_json:
        print_json(facts)
    else:
        say(
            f"{out}: {facts['written']} recordings written, {facts['kept']} were there, {facts['events']:,} events;"
            f" {len(facts['broken'])} broken"
        )
        for line in facts["broken"]:
            say(f"broken: {line}")
    sys.exit(1 if facts["broken"] else 0)


@click.command("show", epilog="Example: python -m events show recording.raw --out frames.png")
@click.argument("file")
@unit_option
@click.option("--out", default=None, help="A PNG file to write; without it the terminal shows the frames.")
@click.option("--net", default=None, help="Cut into the net's frames, and mark the tokens that it sends.")
@click.option("--frames", type=click.IntRange(1, 100), default=None, help="So many frames; default: the net's, else 8.")
def show_(file: str, unit_us: float | None, out: str | None, net: str | None, frames: int | None) -> None:
    """Draw the frames of one recording, ON red and OFF blue, as a picture or in the terminal."""
    from . import draw

    pictures = draw.frames(file, unit_us, net, frames)
    if out:
        draw.save(out, pictures)
        say(f"{out}: {len(pictures)} frames in a row; ON red, OFF blue" + ("; dark: tokens not sent" if net else ""))
    else:
        draw.in_terminal(pictures)

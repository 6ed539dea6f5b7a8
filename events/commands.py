"""The subcommands of `python -m events` that look at one recording."""

import click

from sim.base.console import add_row, new_table, print_json, show

from . import formats

unit_option = click.option(
    "--time-unit-us",
    "unit_us",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="Microseconds to a unit of time, in files that do not say: 1000000 for seconds.",
)


@click.command(epilog="Example: python -m events info recording.raw --json")
@click.argument("file")
@unit_option
@click.option("--json", "as_json", is_flag=True, help="Print the facts as one JSON object.")
def info(file, unit_us, as_json):
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

"""`python -m bench`: speed of the executors, how it scales, and what bounds it. Example: `python -m bench --quick`."""

import sim.base.start  # noqa: F401  # isort: skip

import dataclasses
import time

import click

from sim.base.command import run_command
from sim.base.console import add_row, errors, new_table, print_json, show

from .measure import machine
from .registry import GROUPS, measure


@click.command(epilog="Example: python -m bench --quick --json")
@click.option("--quick", is_flag=True, help="Fewer nets, sizes and runs, no stock simulation: about a minute.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(list(GROUPS)),
    metavar="GROUP",
    help=f"Only this group ({', '.join(GROUPS)}); can be given again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def main(quick, only, as_json):
    """Measure on the nets in models/ and those that lava-dl ships. Whatever is timed is also compared, in the same run:
    a difference ends it with an error.

    `ratio` is how many times faster the first row of a comparison is. Run on a machine that does nothing else; `load`
    in the first line tells."""
    groups = list(dict.fromkeys(only)) or list(GROUPS)
    facts, found = machine(), []
    try:
        with errors().status("") as status:
            for group in groups:
                status.update(f"{group}: first run")
                for row in measure(group, quick):
                    found.append((group, row))
                    status.update(f"{group}: {row.what} measured")
    finally:  # of a run that is broken off, what it has measured
        (_print_json if as_json else _print_table)(facts, found)


def _print_json(facts, found):
    print_json({"machine": facts, "rows": [{"group": group, **dataclasses.asdict(row)} for group, row in found]})


def _print_table(facts, found):
    print(", ".join(f"{k} {v}" for k, v in facts.items() if v is not None))
    table = new_table(time.strftime("%Y-%m-%d %H:%M"), "group", "what", "value", "unit", "ratio", "note", left=6)
    last = None
    for group, row in found:
        add_row(
            table, group if group != last else "", row.what, _number(row.value), row.unit, _number(row.ratio), row.note
        )
        last = group
    show(table)


def _number(x):
    return "" if x is None else f"{x:,.4g}" if abs(x) < 10_000 else f"{x:,.0f}"


if __name__ == "__main__":
    run_command(main)

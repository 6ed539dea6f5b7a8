"""The groups of measurements there are. A group is a module with `rows(quick)`, which yields `Row`s."""

from dataclasses import dataclass
from importlib import import_module

GROUPS = {
    "executors": "bench.executors",
    "netx": "bench.netx",
    "sinabs": "bench.sinabs",
    "others": "bench.others",
    "tokens": "bench.tokens",
    "scaling": "bench.scaling",
    "roofline": "bench.roofline",
    "training": "bench.training",
    "loading": "bench.loading",
}


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        what: what was measured. value, unit: how much.
        ratio: against the row that the group's docstring names, as "so many times faster"; None where there is none.
        note: what was checked in the same run, or why there is no value.
    """

    what: str
    value: float | None
    unit: str
    ratio: float | None = None
    note: str = ""


def measure(group, quick):
    """Yields the rows of a group as they are measured."""
    yield from import_module(GROUPS[group]).rows(quick)

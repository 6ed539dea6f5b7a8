"""What all commands share in speaking to people and scripts: tables, a progress bar, JSON, an option."""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LONGEST = 1000  # characters of a message
WIDTH = 200  # columns of a table that goes into a file or a pipe

data_root_option = click.option(
    "--data-root", default=None, help="Folder with the data set; default: $DATA_ROOT, then ./data."
)


def print_json(value: Any) -> None:
    """A value as one line of JSON on standard output, for scripts."""
    print(json.dumps(value))


def harmless(text: str) -> str:
    """A text from outside (a file's name, a name in a file) as one printable line: control characters, which a terminal
    would obey, as escape sequences of Python.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def say(text: str, file: TextIO | None = None) -> None:
    """A line for people, on standard output or another file, whatever names are in it."""
    print(harmless(text), file=file)


def line(text: str) -> str:
    """A message as one printable line that a screen holds: names and values in it may be of any length."""
    text = harmless(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def new_table(title: str | None, *columns: str, left: int = 1) -> "Table":
    """An empty table; the first `left` columns are text, the others numbers. Fill it with `add_row`."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=None if title is None else Text(harmless(title)))
    for i, column in enumerate(columns):
        table.add_column(Text(harmless(column)), justify="left" if i < left else "right")
    return table


def add_row(table: "Table", *cells: str) -> None:
    """A row whose texts are shown as they are, without rich's markup."""
    from rich.text import Text

    table.add_row(*(Text(harmless(cell)) for cell in cells))


def show(what: Any) -> None:
    """Prints a table or a line of text on standard output."""
    if isinstance(what, str):
        output().print(harmless(what), highlight=False, markup=False, soft_wrap=True)
    else:
        output().print(what)


def note(text: str) -> None:
    """A line for people on standard error, above a progress bar if one is shown."""
    errors().print(harmless(text), highlight=False, markup=False, soft_wrap=True)


def output() -> "Console":
    """Standard output; as wide as the terminal or as COLUMNS says, else `WIDTH`."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:  # rich would end the process
            raise BrokenPipeError(errno.EPIPE, "the reader has gone")

    return Output(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH)


@cache
def errors() -> "Console":
    """Standard error. One for all, so that lines and bars do not write over each other."""
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A progress bar on standard error, if that is a terminal; it leaves nothing behind.

    Yields a function of the number done and, if they change, the total and the text.
    """
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = errors()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(escape(harmless(what)), total=total)

        def update(done: float, total: int | None = None, what: str | None = None) -> None:
            text = None if what is None else escape(harmless(what))
            progress.update(task, completed=int(done), total=total, description=text)

        yield update


def track(items: Iterable, what: str) -> Iterator:
    """The items, with a bar of how many are done."""
    numbered = list(items)
    with bar(what, len(numbered)) as update:
        for i, item in enumerate(numbered):
            update(i)
            yield item

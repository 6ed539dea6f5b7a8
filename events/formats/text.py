"""Tables as text, `.csv` and `.txt`: four numbers a line, between commas, semicolons, tabs or spaces; lines that begin
with `#` or `%` are passed over.

A first line of words names the columns, in any order (`x`, `y`, `p` or `polarity`, `t` or `timestamp`, with a unit as
in `t_ns` if it has one). Without it the columns are `t x y p`, as the event-camera data set of Mueggler et al. has
them, or `x y p t`: told apart by where the polarity is, which is 0 and 1 or -1 and 1. Times with fractions are seconds
then, whole ones microseconds. A first line of two whole numbers is the sensor, width and height.
"""

import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

from . import arrays
from .source import Columns, Source, head, sensor

_LINES = 1 << 18  # at a time
_LONGEST = 1 << 9  # characters of a line
_DELIMITERS = ",;\t"


def open_text(path: str | Path) -> Source:
    """Columns in a text.

    Raises:
        UserError: not text, no such columns, or the columns cannot be told.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="strict") as f:
            top = [line for line in islice(_lines(f, path), 1 << 12)]
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text; expected four numbers a line: x, y, polarity and time") from None
    if not top:
        raise UserError(f"{path} holds no events; fetch the file again or remove it")
    delimiter = next((d for d in _DELIMITERS if d in top[0]), None)
    size = skip = 0
    if len(cells := _cells(top[0], delimiter)) == 2 and all(re.fullmatch(r"\d{1,5}", c) for c in cells):
        size, skip = sensor(cells[0], cells[1], path), 1
        cells = _cells(top[1], delimiter := next((d for d in _DELIMITERS if d in top[1]), None)) if top[1:] else []
    unit = None
    if cells and not all(map(_is_number, cells)):
        found, unit = arrays.find([c.strip("\"'") for c in cells], path)
        order = {key: [c.strip("\"'") for c in cells].index(name) for key, name in found.items()}
        skip += 1
    else:
        order = None
    rows = _numbers(top[skip:], delimiter, path, skip)
    if not len(rows):
        raise UserError(f"{path} holds no events; fetch the file again or remove it")
    order = order or _order(rows, path)
    if rows.shape[1] <= max(order.values()):
        raise UserError(f"{path}: the first line names {max(order.values()) + 1} columns, the others have fewer")
    fractions = any("." in _cells(line, delimiter)[order["t"]] for line in top[skip : skip + 100])
    source = Source("text", (), size or None, unit or (1e6 if fractions else 1.0), sure=unit is not None)
    source.parts = _parts(path, skip, delimiter, order)
    return source


def looks_like_events(path: str | Path) -> bool:
    """Whether a text begins as a table of events does: among recordings there may be notes and lists, too."""
    try:
        start = head(path, _LONGEST).decode("utf-8-sig", "replace")
    except UserError:
        return True  # it says so when it is read
    lines = [line.strip() for line in start.splitlines() if line.strip() and line.strip()[0] not in "#%"]
    for line in lines[:2]:
        cells = _cells(line, next((d for d in _DELIMITERS if d in line), None))
        if len(cells) >= 4 and all(map(_is_number, cells)):
            return True
    return False


def _lines(f, path) -> Iterator[str]:
    while line := f.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise UserError(f"{path} has a line of more than {_LONGEST} characters; expected four numbers a line")
        line = line.strip()
        if line and line[0] not in "#%":
            yield line


def _cells(line, delimiter):
    return [cell.strip() for cell in line.split(delimiter)]


def _is_number(cell):
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", cell) is not None


def _numbers(lines, delimiter, path, before) -> np.ndarray:
    """float64 [n, columns] of some lines, of which `before` came before."""
    try:
        if not lines:
            return np.empty((0, 4))
        return np.loadtxt(io.StringIO("\n".join(lines)), delimiter=delimiter, ndmin=2, comments=None)
    except ValueError as e:
        where = re.search(r"row (\d+)", str(e))
        number = before + int(where[1]) if where else None
        text = "" if number is None or not 0 <= number - before < len(lines) else f": {lines[number - before][:60]!r}"
        raise UserError(
            f"{path}: not four numbers in each line, such as in event line {(number or 0) + 1}{text}; expected x, y,"
            " polarity and time"
        ) from None


def _order(rows, path):
    """{x, y, p, t: number of its column}."""
    if rows.shape[1] != 4:
        raise UserError(
            f"{path} has {rows.shape[1]} columns without names; expected x, y, polarity and time, or a first line that"
            " names the columns"
        )
    polar = [set(np.unique(column).tolist()) <= s for column in rows.T for s in ({0, 1}, {-1, 1})]
    polar = [a or b for a, b in zip(polar[::2], polar[1::2])]
    first, last = rows[:, 0], rows[:, 3]
    # Where both could be the polarity, a handful of lines on one pixel: that which grows is the time.
    if polar[3] and (not polar[2] or first.max() >= last.max()):
        return {"t": 0, "x": 1, "y": 2, "p": 3}
    if polar[2]:
        return {"x": 0, "y": 1, "p": 2, "t": 3}
    raise UserError(
        f"{path}: neither the third nor the fourth column is a polarity (0 and 1, or -1 and 1); name the columns in the"
        " first line, such as x,y,p,t"
    )


def _parts(path, skip, delimiter, order) -> Iterator[Columns]:
    try:
        with open(path, encoding="utf-8-sig") as f:
            lines, done = _lines(f, path), skip
            next(islice(lines, skip, skip), None)
            while some := list(islice(lines, _LINES)):
                rows = _numbers(some, delimiter, path, done)
                if rows.shape[1] <= max(order.values()):
                    raise UserError(f"{path}: {rows.shape[1]} columns at event line {done + 1}, too few")
                done += len(some)
                yield Columns(**{key: np.ascontiguousarray(rows[:, i]) for key, i in order.items()})
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text all through; fetch the file again") from None

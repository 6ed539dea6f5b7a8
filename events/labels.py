"""A table of labels, `labels.csv` in the data folder: a line `file,start,end,label` on top, then a line for each window
of a recording. Files are named from the data folder on; start and end count from a recording's first event, in seconds,
or as the columns' names say (`start_ms,end_ms`, `start_us,end_us`). Both may be empty: the whole recording."""

import csv
from pathlib import Path

from sim.base.errors import UserError

NAME = "labels.csv"
_UNITS = {"": 1_000_000, "_s": 1_000_000, "_ms": 1_000, "_us": 1}
_MOST = 1_000_000  # lines


def read(root: Path) -> list[tuple[Path, str, int | None, int | None]]:
    """(file, label, start, end) of every line, microseconds or None.

    Raises:
        UserError: another format, a file that is missing, a window that ends before it begins.
    """
    path = root / NAME
    try:
        with open(path, encoding="utf-8-sig", newline="") as f:
            lines = list(csv.reader(f.readlines(1 << 26)))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise UserError(f"{path} is not a table that can be read ({e})") from None
    head = [cell.strip().lower() for cell in lines[0]] if lines else []
    unit = next((u for u in _UNITS if head == ["file", f"start{u}", f"end{u}", "label"]), None)
    if unit is None:
        raise UserError(
            f"{path}: the first line is {','.join(head)[:60]!r}, expected file,start,end,label (seconds), or start_ms"
            " and end_ms, or start_us and end_us"
        )
    if len(lines) > _MOST:
        raise UserError(f"{path} has more than {_MOST} lines")
    return [_line(root, path, number, cells, _UNITS[unit]) for number, cells in enumerate(lines[1:], 2) if any(cells)]


def _line(root, path, number, cells, unit):
    where = f"{path}, line {number}"
    if len(cells) != 4:
        raise UserError(f"{where}: {len(cells)} cells, expected file,start,end,label")
    name, start, end, label = (cell.strip() for cell in cells)
    file = root / name
    if not name or not label:
        raise UserError(f"{where}: the file or the label is missing")
    if not file.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{where}: {name!r} is not below {root}")
    if not file.is_file():
        raise UserError(f"{where}: there is no file {name!r} below {root}; paths count from the data folder")
    try:
        begin, stop = (None if cell == "" else round(float(cell) * unit) for cell in (start, end))
    except (ValueError, OverflowError):
        raise UserError(f"{where}: {start[:20]!r} and {end[:20]!r} are not two times") from None
    if (begin is None) != (stop is None) or begin is not None and stop is not None and not 0 <= begin < stop:
        raise UserError(f"{where}: a window from {start!r} to {end!r}, expected a start and a later end, or neither")
    return file, label, begin, stop

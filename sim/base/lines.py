"""Logs: a JSON object a line, which a process that is killed can leave half-written."""

import json
import os
from pathlib import Path
from typing import Any

from .errors import UserError


def read(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The rows of a log; a last line that is not whole is left out.

    Raises:
        UserError: no such file; another line is damaged.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as e:
        raise UserError(f"{os.fspath(path)}: cannot be read ({e.strerror})") from None
    return parse(text, path)


def parse(text: bytes | str, path: str | os.PathLike) -> list[dict[str, Any]]:
    """`read` of what has been read from `path` already."""
    lines = (text.encode() if isinstance(text, str) else text).split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif line.strip() and number < len(lines):  # what stands behind the last line end was being written
            raise UserError(f"{os.fspath(path)}: line {number} is damaged; take the line out, or delete the file")
    return rows

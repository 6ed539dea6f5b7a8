"""What every reader of event files gives: where the sensor is, the events part by part, and what there is to say."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

SIDE_LIMIT = 8192  # pixels along a sensor's side
EXTRA = "pip install 'smolmamba-loihi[events]'"
CHUNK = 1 << 21  # bytes of a raw file that are decoded at a time


@dataclass(frozen=True, eq=False)
class Columns:
    """Some events of a file, in the file's order, unchecked.

    Attributes:
        x, y, p, t: [n] each, of any real type; x to the right and y down from the top left pixel; times on a clock of
            the file's own.
    """

    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    t: np.ndarray

    def __len__(self) -> int:
        return len(self.t)


@dataclass(eq=False)
class Source:
    """A file that has been opened.

    Attributes:
        kind: name of the format, such as "EVT 3.0".
        parts: the events, read as they are asked for; can be gone through once.
        size: (width, height) of the sensor, or None if the file does not say.
        unit_us: microseconds to a unit of time.
        sure: the format fixes that unit; otherwise it is only usual, and what comes out is looked at (`units`).
        usual: the sensor of the data set that files of this format mostly are of, or None.
        notes: what was passed over, a line each; complete when all parts have been read.
    """

    kind: str
    parts: Iterable[Columns]
    size: tuple[int, int] | None = None
    unit_us: float = 1
    sure: bool = True
    usual: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)


def sensor(width: int | str, height: int | str, where: object) -> tuple[int, int]:
    """(width, height) as whole numbers; UserError if no sensor is like that."""
    width, height = int(width), int(height)
    if not (1 <= width <= SIDE_LIMIT and 1 <= height <= SIDE_LIMIT):
        raise UserError(f"{where}: a sensor of {width} x {height} pixels, expected sides of 1 to {SIDE_LIMIT}")
    return width, height


def reason(error: Exception) -> str:
    """The last line of an error that may have many, shortened."""
    lines = str(error).split("\n")
    return " ".join((lines[1] if len(lines) > 1 else lines[0]).split())[:160] or type(error).__name__


def head(path: str | Path, size: int) -> bytes:
    """The first bytes of a file; UserError if it cannot be read."""
    try:
        with open(path, "rb") as f:
            return f.read(size)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None


def blocks(path: str | Path, begin: int, record: int, notes: list[str], chunk: int = CHUNK) -> Iterator[bytes]:
    """The bytes of a file from `begin` on, in blocks of whole records; a rest at the end is noted."""
    chunk -= chunk % record
    try:
        with open(path, "rb") as f:
            f.seek(begin)
            while data := f.read(chunk):
                rest = len(data) % record
                if rest:
                    notes.append(f"the last record is cut ({rest} of {record} bytes) and left out")
                    data = data[: len(data) - rest]
                if data:
                    yield data
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None


def size_of(path: str | Path) -> int:
    """Bytes of a file."""
    try:
        return os.stat(path).st_size
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None


def ending(path: str | Path) -> str:
    return Path(path).suffix.lower()

"""Event files of every kind that is read here: one table, by the ending of the name (`FORMATS`), and what to do with a
file: `read` it whole, `Stream` it in bounded memory, or ask for its facts (`info`). docs/data.md has the table for
people, with what is normalized and what is refused.

A new format is a function (path) -> `Source` in a file of its own and an entry in `FORMATS`.
"""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from sim.base.console import say
from sim.base.errors import UserError
from sim.base.memory import require, require_solid

from ..recordings import EVENT, as_events
from .source import EXTRA, SIDE_LIMIT, Columns, Source, ending, head, reason, sensor
from .units import Watch

__all__ = [
    "EXTRA",
    "FORMATS",
    "SIDE_LIMIT",
    "Columns",
    "Source",
    "Stream",
    "dv",
    "info",
    "is_recording",
    "read",
    "reason",
    "sensor",
]

_STEP = 1 << 27  # bytes of a recording that is read whole, after which there is a look at what is free
_warned: set[str] = set()  # files whose notes have been said


def _in(module: str, name: str) -> Callable[[str], Source]:
    """A reader that is imported when a file needs it."""
    return lambda path: getattr(import_module(f".{module}", __name__), name)(path)


def _nmnist(path) -> Source:
    from . import fivebyte

    return Source("N-MNIST", (Columns(*fivebyte.columns(path)),), usual=(fivebyte.SIZE, fivebyte.SIZE))


def _aedat(path) -> Source:
    """AEDAT of all versions, told apart by the first line."""
    start = head(path, 16)
    if start.startswith(b"#!AER-DAT4"):
        return FORMATS[".aedat4"](path)
    if start.startswith(b"#!AER-DAT3"):
        from .. import aedat3

        return Source("AEDAT 3.1", (Columns(*aedat3.read(path)),), aedat3.index(path).size)
    if start.startswith(b"#"):
        return _in("aedat2", "open_aedat2")(path)
    raise UserError(f"{path} is not an AEDAT file: it does not begin with '#!AER-DAT'; fetch the file again")


def _dat(path) -> Source:
    """Prophesee's, or jAER's first, which had this ending, too."""
    return _in("aedat2", "open_aedat2")(path) if head(path, 1) == b"#" else _in("prophesee", "open_dat")(path)


FORMATS = {
    ".npy": _in("arrays", "open_npy"),
    ".npz": _in("arrays", "open_npz"),
    ".bin": _nmnist,
    ".aedat": _aedat,
    ".aedat4": _in("aedat4", "open_aedat4"),
    ".raw": _in("prophesee", "open_raw"),
    ".dat": _dat,
    ".es": _in("eventstream", "open_es"),
    ".h5": _in("hdf5", "open_hdf5"),
    ".hdf5": _in("hdf5", "open_hdf5"),
    ".pt": _in("arrays", "open_pt"),
    ".mat": _in("arrays", "open_mat"),
    ".csv": _in("text", "open_text"),
    ".txt": _in("text", "open_text"),
    ".bag": _in("rosbag", "open_rosbag"),
    ".db3": _in("rosbag", "open_rosbag"),
    ".mcap": _in("rosbag", "open_rosbag"),
}


def is_recording(path: str | Path) -> bool:
    """Whether a file in a folder of recordings is one, by its ending; of texts, by how they begin."""
    path = Path(path)
    if path.name.startswith(".") or ending(path) not in FORMATS:
        return False
    if ending(path) in (".csv", ".txt"):
        from .text import looks_like_events

        return looks_like_events(path)
    return True


def open_file(path: str | Path) -> Source:
    """A file by its ending.

    Raises:
        UserError: unknown ending, no such file, a library that is not installed, not in its format.
    """
    if ending(path) not in FORMATS:
        raise UserError(f"{path}: cannot tell the format, expected a name that ends in {', '.join(FORMATS)}")
    if not Path(path).is_file():
        raise UserError(f"no file {str(path)!r}")
    require_solid(path)
    return FORMATS[ending(path)](str(path))


class Stream:
    """A recording part by part: bounded memory, whatever the file's size, where the format allows (all but tables of
    numpy, torch and MATLAB, AEDAT 3.1 and N-MNIST).

    Attributes:
        size: (width, height) of the sensor, or None if nothing says it.
        usual: the sensor of the data set that files of this format mostly are of, where nothing says it; or None.
        kind: the format's name.
        first_us: time of the first event on the file's own clock, once there was one.
        in_order: no part began before the end of the one before it.
        notes: what was passed over; complete at the end.
    """

    def __init__(self, path, size=None, unit_us=None):
        """
        Args:
            size: (width, height) that the sensor is known to have.
            unit_us: microseconds to a unit of time, where the format does not fix it.

        Raises:
            UserError: as for `open_file`; another sensor than the one that is known.
        """
        self.path, self._source = path, open_file(path)
        self.kind, self.notes, self.usual = self._source.kind, self._source.notes, self._source.usual
        if size and self._source.size and tuple(size) != self._source.size:
            (w, h), (known_w, known_h) = self._source.size, size
            raise UserError(f"{path}: is of a {w} x {h} sensor, expected {known_w} x {known_h}")
        self.size = tuple(size) if size else self._source.size
        told = unit_us is not None and not (self._source.sure and self._source.unit_us == 1)
        self.unit_us = unit_us if told else self._source.unit_us
        self._watch = None if self._source.sure or told else Watch(self.unit_us)
        self.first_us, self.in_order = None, True

    def columns(self) -> Iterator[Columns]:
        """The parts as the file has them, numbers that can be looked at. UserError at the end if the unit of time is
        not to be believed."""
        for part in self._source.parts:
            for name, column in vars(part).items():
                if column.dtype.kind not in "iufb":
                    raise UserError(f"{self.path}: {name} is not numbers")
            if self._watch:
                self._watch.see(part)
            yield part
        if self._watch:
            self._watch.check(self.path)

    def parts(self, sort: bool = False, across: bool = False) -> Iterator[np.ndarray]:
        """EVENT [n] each; time 0 is the first event of the first part.

        sort: put the times of a part in order; otherwise a time that goes back is an error.
        across: parts may overlap in time, and begin below 0; the caller sorts them.
        """
        before, zero, polarity = 0, None, _Polarity()
        width, height = self.size or (SIDE_LIMIT, SIDE_LIMIT)
        for part in self.columns():
            if not len(part):
                continue
            if zero is None:
                zero = part.t.min()
                self.first_us = _whole(zero, self.unit_us)
            t = _since(part.t, zero, self.unit_us)
            self.in_order = self.in_order and bool(t.min() >= before)
            if t.min() < before and not across:
                raise UserError(
                    f"{self.path}: time goes back from {before} to {t.min():.0f} us after {zero}; sort the recording by"
                    " time, which python -m events import does"
                )
            t = np.maximum(t, 0) if across else t
            events = as_events(part.x, part.y, polarity(part.p), t, height, width, self.path, sort)
            before = int(events["t"][-1])
            yield events
        if zero is None:
            _refuse_empty(self.path)


def _refuse_empty(path) -> None:
    nothing = np.empty(0)
    as_events(nothing, nothing, nothing, nothing, SIDE_LIMIT, SIDE_LIMIT, path)  # says that there are none


class _Polarity:
    """Polarities -1 and 1 become 0 and 1; which of the two a file means is decided by the first -1 that it has."""

    def __init__(self):
        self.signed = False

    def __call__(self, p):
        if p.dtype.kind == "b":
            return p.astype(np.int8)
        if p.dtype.kind == "u" or not len(p):
            return p
        self.signed = self.signed or (p.min() == -1 and bool((np.abs(p) == 1).all()))
        return (p + 1) // 2 if self.signed and (np.abs(p) == 1).all() else p


def _since(t, zero, unit_us):
    """Times from `zero` on, in microseconds; whole numbers stay exact."""
    if t.dtype.kind in "iub":
        t = t.astype(np.int64) - np.int64(zero)
        return t if unit_us == 1 else t * unit_us
    return t.astype(np.float64) * unit_us - float(zero) * unit_us


def _whole(t, unit_us):
    if not np.isfinite(t):
        return None
    return int(t) * int(unit_us) if np.asarray(t).dtype.kind in "iub" and unit_us >= 1 else round(float(t) * unit_us)


def read(
    path: str | Path, size: tuple[int, int] | None = None, unit_us: float | None = None, sort: bool = True
) -> tuple[np.ndarray, tuple[int, int] | None]:
    """A recording, whole. Time 0 is the first event; polarities -1 and 1 are read as 0 and 1. What was passed over is
    said once, on standard error.

    Args:
        size: (width, height) that the sensor is known to have.
        unit_us: microseconds to a unit of time, where the format does not fix it.
        sort: as for `events.recordings.as_events`.

    Returns:
        (EVENT [n], (width, height) or None if nothing says it).

    Raises:
        UserError: unknown ending, no such file, a library that is not installed, a file that is not in its format, of
            another sensor, without events, or with times that nobody records.
    """
    stream = Stream(path, size, unit_us)
    parts = list(_kept(stream))
    say_notes(stream)
    names = ("x", "y", "p", "t")
    x, y, p, t = (
        (getattr(parts[0], name) if len(parts) == 1 else np.concatenate([getattr(part, name) for part in parts]))
        if parts
        else np.empty(0)
        for name in names
    )
    width, height = stream.size or (SIDE_LIMIT, SIDE_LIMIT)
    t = _since(t, t.min(), stream.unit_us) if len(t) else t
    return as_events(x, y, _Polarity()(p), t, height, width, path, sort), stream.size


def _kept(stream) -> Iterator[Columns]:
    """The parts that are not empty; UserError when there will be no room to join and pack them."""
    taken = n = checked = 0
    for part in stream.columns():
        if not len(part):
            continue
        taken, n = taken + sum(column.nbytes for column in vars(part).values()), n + len(part)
        if taken > checked + _STEP:
            checked = taken
            require(taken + n * EVENT.itemsize, f"{stream.path}: a recording of more than {n:,} events")
        yield part


def say_notes(stream: Stream) -> None:
    """One line on standard error for what was passed over in a file, once for each file."""
    if stream.notes and str(stream.path) not in _warned:
        _warned.add(str(stream.path))
        say(f"note: {stream.path}: {'; '.join(stream.notes)}", file=sys.stderr)


def info(path: str | Path, unit_us: float | None = None) -> dict:
    """The facts of one recording, read part by part.

    Returns:
        events, on, off: how many; span_us: from the first to the last time; first_us: the first on the file's own
        clock; width, height: the sensor that the file names, or None; format; unit_us; right, bottom: the largest
        coordinates; sorted: no time goes back; notes: what was passed over.

    Raises:
        UserError: as for `read`.
    """
    stream = Stream(path, unit_us=unit_us)
    polarity, counts, low, high, last = _Polarity(), np.zeros(2, np.int64), None, None, None
    right = bottom = -1
    in_order = True
    width, height = stream.size or (SIDE_LIMIT, SIDE_LIMIT)
    for part in stream.columns():
        if not len(part):
            continue
        begin, end = part.t.min(), part.t.max()
        in_order = in_order and (last is None or part.t[0] >= last) and not (np.diff(part.t) < 0).any()
        last = part.t[-1]
        low, high = begin if low is None else min(low, begin), end if high is None else max(high, end)
        # The checks of every other use: what is said here is what training would read.
        events = as_events(
            part.x, part.y, polarity(part.p), _since(part.t, begin, stream.unit_us), height, width, path, True
        )
        counts += np.bincount(events["p"], minlength=2)
        right, bottom = max(right, int(events["x"].max())), max(bottom, int(events["y"].max()))
    if low is None:
        _refuse_empty(path)
    span = _since(np.asarray([high]), low, stream.unit_us)[0]
    return {
        "events": int(counts.sum()),
        "span_us": round(float(span)),
        "first_us": _whole(low, stream.unit_us),
        "width": stream.size[0] if stream.size else None,
        "height": stream.size[1] if stream.size else None,
        "format": stream.kind,
        "on": int(counts[1]),
        "off": int(counts[0]),
        "unit_us": stream.unit_us,
        "right": right,
        "bottom": bottom,
        "sorted": bool(in_order),
        "notes": list(stream.notes),
    }


def dv(what: str) -> Any:
    """The module dv_processing; UserError if it is not installed."""
    try:
        import dv_processing
    except ImportError:
        raise UserError(f"{what}: needs the package dv-processing, which drives cameras: {EXTRA}") from None
    return dv_processing

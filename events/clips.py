"""Clips of long recordings. A recording is decoded once, to an array of EVENT in the cache, which is mapped from then
on; a clip is a part of it, and no file of clips is written."""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sim.base import npy, seals
from sim.base.errors import UserError

from . import cache, formats
from .recordings import EVENT

_VERSION = 2  # one more when readers make something else of a file
_HELD = 4  # recordings that are kept in memory where nothing can be written


def decoded(path: str | Path, root: str | Path | None, unit_us: float | None = None) -> np.ndarray:
    """A recording as `formats.read` gives it: EVENT [n] by time, mapped from the cache below `root` if it can be kept.

    Raises:
        UserError: as `formats.read` does.
    """
    try:
        found = os.stat(path)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None
    return _decoded(str(path), str(root), unit_us, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _decoded(path, root, unit_us, size, changed):
    text = repr((_VERSION, os.path.relpath(path, root), size, changed, unit_us))
    place = cache._folder(root) / f"events-{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"
    kept = _mapped(place)
    if kept is None:
        kept = cache._write(
            place, lambda f: write(f, path, unit_us), lambda: _mapped(place) is not None, seal=True
        ) and _mapped(place)
    return _in_memory(path, unit_us, size, changed) if kept is None else kept


@lru_cache(maxsize=_HELD)
def _in_memory(path, unit_us, _size, _changed):
    return formats.read(path, None, unit_us)[0]


def _mapped(place):
    try:
        seals.check(place, "")
        events = npy.mapped(place)
    except seals.Damaged:
        cache._say_damaged(place)
        return None
    except (OSError, UserError):
        return None
    return events if events.ndim == 1 and events.dtype == EVENT else None


def write(
    f: Any, path: str | Path, unit_us: float | None = None, size: tuple[int, int] | None = None
) -> tuple[formats.Stream, int]:
    """Writes a recording to an open file as .npy, part by part where its times are in order. Returns the `Stream` and
    how many events there are.

    Raises:
        UserError: as `formats.read` does.
    """
    stream, n = formats.Stream(path, size, unit_us), 0
    begin = f.tell()
    _header(f, 0)
    start = f.tell()
    for part in stream.parts(sort=True, across=True):
        f.write(part.tobytes())
        n += len(part)
    if not stream.in_order:  # blocks of a file that overlap in time: all of them have to be at hand
        events = formats.read(path, size, unit_us)[0]
        f.seek(start)
        f.write(events.tobytes())
        f.truncate()
        n = len(events)
    formats.say_notes(stream)
    f.seek(begin)
    _header(f, n)
    if f.tell() != start:
        raise ValueError("numpy writes headers of different lengths")
    f.seek(0, 2)
    return stream, n


def _header(f, n):
    description = np.lib.format.dtype_to_descr(EVENT)
    np.lib.format.write_array_header_1_0(f, {"descr": description, "fortran_order": False, "shape": (n,)})


@dataclass(frozen=True)
class ClipReader:
    """Reads a clip of a file of a set: EVENT [n], time 0 at the clip's start."""

    width: int
    height: int
    unit_us: float | None
    root: str

    def __call__(self, path, begin, end):
        events = decoded(path, self.root, self.unit_us)
        first, last = np.searchsorted(events["t"], (begin, end))
        clip = np.array(events[first:last])
        where = f"{path} ({begin / 1e6:.3f} to {end / 1e6:.3f} s)"
        if not len(clip):
            raise UserError(f"{where} holds no events; take the window out of the list, or longer clips")
        clip["t"] -= begin
        for name, limit in (("x", self.width), ("y", self.height)):
            if clip[name].max() >= limit:
                raise UserError(
                    f"{where}: {name} {clip[name].max()} is outside 0..{limit - 1}; is this a recording of a"
                    f" {self.width} x {self.height} sensor?"
                )
        return clip


def windows(begin: int, end: int, clip_us: int, stride_us: int) -> list[tuple[int, int]]:
    """(begin, end) of the clips of a recording's part, in microseconds: whole clips, or one of all of it if it is
    shorter than a clip."""
    if end - begin <= clip_us:
        return [(begin, end)]
    return [(at, at + clip_us) for at in range(begin, end - clip_us + 1, stride_us)]

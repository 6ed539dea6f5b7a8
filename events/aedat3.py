"""AEDAT 3.1, the format that DVS128 Gesture was published in (specification: docs.inivation.com, "AEDAT 3.1").

Text header lines that begin with `#` and end with CR LF, from `#!AER-DAT3.1` to `#!END-HEADER`; then packets, each of
events of one type. A packet begins with
28 bytes, little-endian: type and source (16 bits each), bytes per event, offset of the time in an event, time overflows
so far, capacity, number of
events, number of valid ones (32 bits each). A polarity event is two 32-bit words: x (15 bits), y (15 bits), polarity,
valid mark, from the high end to the low; and microseconds (31 bits). The whole time is `overflows << 31 |
microseconds`. x goes right and y down from the top left.

Only polarity events (type 1) are read; others are passed over.
"""

import mmap
import os
import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

_PACKET = struct.Struct("<hhiiiiii")
_POLARITY, _POLARITY_BYTES, _TIME_OFFSET = 1, 8, 4
_TIME_MASK = 0x7FFFFFFF
_HEADER_LIMIT = 1 << 16
_SENSORS = {"DVS128": (128, 128), "DAVIS240": (240, 180), "DAVIS346": (346, 260)}


@dataclass(frozen=True)
class Index:
    """Where a file's polarity events are.

    Attributes:
        size: (width, height) of the sensor that the header names, or None.
        offset: int64 [packets], of each packet's first event from the file's start.
        number: int64 [packets], events in it, at least 1.
        high: int64 [packets], what is added to its times.
        first: int64 [packets], time of its first event in microseconds.
        ordered: `first` never goes back.
    """

    size: tuple[int, int] | None
    offset: np.ndarray
    number: np.ndarray
    high: np.ndarray
    first: np.ndarray
    ordered: bool


def index(path: str | Path) -> Index:
    """`Index` of a file; remembered as long as the file does not change.

    Raises:
        UserError: cannot be read, another format, truncated, or a packet that contradicts itself.
    """
    try:
        found = os.stat(path)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None
    return _index(str(path), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=128)
def _index(path, _size, _time):
    with _Mapped(path) as data:
        begin, sensor = _header(path, data)
        offset, number, high = _packets(path, data, begin)
        offset, number, high = (np.array(column, np.int64) for column in (offset, number, high))
        low = [struct.unpack_from("<I", data, at + _TIME_OFFSET)[0] & _TIME_MASK for at in offset.tolist()]
    first = high + np.array(low, np.int64)
    return Index(sensor, offset, number, high, first, bool((np.diff(first) >= 0).all()))


class _Mapped:
    """A file's bytes, mapped and not read; UserError where that cannot be."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        try:
            with open(self.path, "rb") as f:
                self.data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as e:
            raise UserError(f"{self.path} cannot be read: {e.strerror}") from None
        except ValueError:
            raise UserError(f"{self.path} is empty; fetch the file again") from None
        return self.data

    def __exit__(self, *_):
        self.data.close()


def _header(path, data):
    """(offset of the first packet, (width, height) or None)."""
    text = data[:_HEADER_LIMIT]
    if not text.startswith(b"#!AER-DAT3.1"):
        raise UserError(f"{path} is not an AEDAT 3.1 file: it does not begin with '#!AER-DAT3.1'")
    end = re.search(rb"^#!END-HEADER\r?\n", text, re.M)
    if end is None:
        raise UserError(
            f"{path} is truncated or no AEDAT 3.1 file: its header has no end ('#!END-HEADER'); fetch the file again"
        )
    source = re.search(rb"^#Source \d+: (DVS128|DAVIS240|DAVIS346)", text[: end.start()], re.M)
    return end.end(), _SENSORS[source[1].decode()] if source else None


def _packets(path, data, at):
    """(offset, number, high) of every polarity packet that is not empty: lists."""
    found = [], [], []
    while at < len(data):
        if len(data) - at < _PACKET.size:
            raise UserError(
                f"{path} is truncated: {len(data) - at} bytes of a packet's {_PACKET.size} byte header at byte {at};"
                " fetch the file again"
            )
        kind, _, size, time_offset, overflows, capacity, number, valid = _PACKET.unpack_from(data, at)
        if not (size >= 8 and 0 <= valid <= number <= capacity and overflows >= 0):
            raise UserError(
                f"{path} is broken: the packet at byte {at} claims {number} events ({valid} valid, room for {capacity})"
                f" of {size} bytes; fetch the file again"
            )
        if kind == _POLARITY and (size, time_offset) != (_POLARITY_BYTES, _TIME_OFFSET):
            raise UserError(
                f"{path} is broken: polarity events of {size} bytes with the time at {time_offset} at byte {at},"
                f" expected {_POLARITY_BYTES} and {_TIME_OFFSET}; fetch the file again"
            )
        at += _PACKET.size
        if number * size > len(data) - at:
            raise UserError(
                f"{path} is truncated: the packet at byte {at - _PACKET.size} holds {number * size} bytes of events, "
                f"{len(data) - at} are there; fetch the file again"
            )
        if kind == _POLARITY and number:
            for column, value in zip(found, (at, number, overflows << 31)):
                column.append(value)
        at += number * size
    return found


def read(
    path: str | Path, begin: int | None = None, end: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Valid polarity events of a file, or of the time from `begin` to before `end` (microseconds of the file's own
    clock).

    Returns:
        x, y, p, t: int64 [n] each, in the file's order; n may be 0.

    Raises:
        UserError: as for `index`.
    """
    found = index(path)
    low, high = 0, len(found.first)
    if found.ordered and begin is not None:
        low = max(0, int(np.searchsorted(found.first, begin, "left")) - 1)  # the packet before may reach into the time
    if found.ordered and end is not None:
        high = int(np.searchsorted(found.first, end, "left"))
    # Copied out of the map, so that no array outlives it.
    with _Mapped(path) as data:
        parts = [
            np.frombuffer(data[at : at + _POLARITY_BYTES * n], "<u4")
            for at, n in zip(found.offset[low:high].tolist(), found.number[low:high].tolist())
        ]
    words = np.concatenate([np.empty(0, np.uint32), *parts]).reshape(-1, 2)
    t = np.repeat(found.high[low:high], found.number[low:high]) + (words[:, 1] & _TIME_MASK)
    keep = (words[:, 0] & 1).astype(bool)
    if begin is not None:
        keep &= t >= begin
    if end is not None:
        keep &= t < end
    address = words[keep, 0].astype(np.int64)
    return address >> 17, address >> 2 & 0x7FFF, address >> 1 & 1, t[keep]

"""AEDAT 1.0 and 2.0, what jAER writes: lines of text that begin with `#`, then big-endian pairs of an address (16 bits
in version 1, 32 in version 2) and microseconds (32 bits). Specification: docs.inivation.com, "AEDAT 1.0", "AEDAT 2.0".

What an address means depends on the chip, which the header names (`# AEChip: ...`) unless MATLAB wrote the file.

    DVS128     bit 0 polarity (0 is ON), bits 1 to 7 x from the right, bits 8 to 14 y from below, bit 15: no event
    DAVIS      bit 31: a sample of a picture or of the inertial unit; bit 10: an outer signal, no event;
               bits 22 to 30 y from below, bits 12 to 21 x from the right, bit 11 polarity (1 is ON)

In a file that names no chip, addresses of more than 16 bits are a DAVIS's; its sensor is the smallest of the family
that holds all events.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

from .source import Columns, Source, blocks, head

_HEADER_LIMIT = 1 << 20  # jAER puts all preferences there
_DAVIS = {"128": (128, 128), "208": (208, 192), "240": (240, 180), "346": (346, 260), "640": (640, 480)}
_UNNAMED = ("240", "346", "640")


def open_aedat2(path: str | Path) -> Source:
    """A file of version 1.0 or 2.0.

    Raises:
        UserError: the header names a chip that is neither a DVS128 nor a DAVIS; no record follows it.
    """
    data = head(path, _HEADER_LIMIT)
    begin = _end_of_header(data)
    text = data[:begin].decode("utf-8", "replace")
    version = re.match(r"#!AER-DAT(\d)\.\d", text)
    record = 8 if version and version[1] == "2" else 6
    chip = re.search(r"^# ?AEChip: *(\S+)", text, re.M)
    source = Source("AEDAT 2.0" if record == 8 else "AEDAT 1.0", ())
    if chip is None:
        size = _guess(path, begin, record)
    else:
        size = _named(chip[1], path)
    source.size = size[1]
    source.parts = (_dvs128 if size[0] == "DVS128" else _davis)(path, begin, record, source)
    return source


def _end_of_header(data) -> int:
    """Lines of text that begin with `#`; bytes that no text has end it, since a record may begin with that of `#`."""
    at = 0
    while data[at : at + 1] == b"#":
        end = data.find(b"\n", at)
        if end < 0 or re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", data[at:end]):
            break
        at = end + 1
    return at


def _named(chip, path):
    """(family, (width, height)) of a chip's Java class."""
    if "dvs128" in chip.lower():
        return "DVS128", (128, 128)
    davis = re.search(r"(?:davis|sbret|apsdvs).*?(128|208|240|346|640)|sbret(10|20)", chip, re.I)
    if davis:
        return "DAVIS", _DAVIS[davis[1] or "240"]
    raise UserError(
        f"{path} is of the chip {chip[:60]!r}, whose addresses are not known here, expected a DVS128 or a DAVIS;"
        " convert it to AEDAT 4 or to a table"
    )


def _guess(path, begin, record):
    largest, needed = 0, [0, 0]
    for address, _ in _pairs(path, begin, record, []):
        largest |= int(np.bitwise_or.reduce(address))
        events = address[(address >> 31 == 0) & (address >> 10 & 1 == 0)]
        if len(events):
            needed = [
                max(needed[0], int((events >> 12 & 0x3FF).max()) + 1),
                max(needed[1], int((events >> 22 & 0x1FF).max()) + 1),
            ]
    if largest < 1 << 16:
        return "DVS128", (128, 128)
    for name in _UNNAMED:
        if needed[0] <= _DAVIS[name][0] and needed[1] <= _DAVIS[name][1]:
            return "DAVIS", _DAVIS[name]
    raise UserError(
        f"{path}: its header names no chip (AEChip), and its addresses are neither a DVS128's nor a DAVIS's; add the"
        " line '# AEChip: DVS128', or convert it to AEDAT 4 or to a table"
    )


def _pairs(path, begin, record, notes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(addresses, microseconds) in blocks; the clock of 32 bits, signed in jAER, goes on where it wraps."""
    kind = np.dtype([("address", ">u4" if record == 8 else ">u2"), ("t", ">u4")])
    loop, before = 0, None
    for data in blocks(path, begin, record, notes):
        table = np.frombuffer(data, kind)
        t = table["t"].astype(np.int64)
        if before is None:
            before = int(t[0])
            loop = -1 if before >= 1 << 31 else 0  # a negative start: the clock runs through 0
        falls = np.diff(t, prepend=before) < -(1 << 31)
        before = int(t[-1])
        t += (loop + np.cumsum(falls)) << 32
        loop += int(falls.sum())
        yield table["address"].astype(np.int64), t


def _dvs128(path, begin, record, source) -> Iterator[Columns]:
    others = 0
    for address, t in _pairs(path, begin, record, source.notes):
        keep = address & 0x8000 == 0
        others += len(keep) - int(keep.sum())
        address = address[keep]
        if len(address):
            yield Columns(127 - (address >> 1 & 0x7F), 127 - (address >> 8 & 0x7F), 1 - (address & 1), t[keep])
    if others:
        source.notes.append(f"{others} special words are passed over")


def _davis(path, begin, record, source) -> Iterator[Columns]:
    (width, height), others, lost = source.size, 0, 0
    for address, t in _pairs(path, begin, record, source.notes):
        keep = (address >> 31 == 0) & (address >> 10 & 1 == 0)
        others += len(keep) - int(keep.sum())
        x, y = width - 1 - (address >> 12 & 0x3FF), height - 1 - (address >> 22 & 0x1FF)
        inside = keep & (x >= 0) & (y >= 0)
        lost += int(keep.sum()) - int(inside.sum())
        if inside.any():
            yield Columns(x[inside], y[inside], address[inside] >> 11 & 1, t[inside])
    if others:
        source.notes.append(f"{others} words of pictures, inertial unit and outer signals are passed over")
    if lost:
        source.notes.append(f"{lost} events outside the {width} x {height} sensor are left out")

"""Prophesee's raw files (EVT 2.0, 2.1, 3.0) and DAT files, read here: expelliarmus 1.1.12 counts an overflow of EVT 3's
clock at every fall of its low half, and does not come back from a header without end (its report 20 is of the same
clock). Specifications: docs.prophesee.ai, "Data Encoding Formats" and "File Formats".

All begin with lines of text, `% key value`, of which `% end` may be the last. The sensor is what they say, or what the
camera that they name has.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

from .source import CHUNK, Columns, Source, blocks, head, sensor

_HEADER_LIMIT = 1 << 16
_SILENT = 1 << 28  # bytes without an event: a camera's clock alone takes half an hour for them
# Of cameras whose files do not give the sensor: by the name of the plug-in that wrote the file, else by its number.
_PLUGINS = ((r"genx?320", (320, 320)), (r"gen4|imx636|imx646", (1280, 720)), (r"gen3", (640, 480)))
_SYSTEMS: dict[int, tuple[int, int]] = {
    **{number: (640, 480) for number in (0x15, 0x17, 0x19, 0x1C, 0x1D, 0x23, 0x97, 0x99)},
    **{number: (1280, 720) for number in (0x1A, 0x1E, 0x9A, 0x30)},
}
_BYTES = {"EVT 2.0": 4, "EVT 2.1": 8, "EVT 3.0": 2}
_MOST = {"EVT 2.0": 1, "EVT 2.1": 32, "EVT 3.0": 12}  # events of a word


def open_raw(path: str | Path) -> Source:
    """EVT 2.0, 2.1 or 3.0, as the header says.

    Raises:
        UserError: the header names none of them.
    """
    fields, begin = _header(path)
    kind = _encoding(fields)
    if kind is None:
        other = fields.get("format", fields.get("evt", ""))[:40]
        raise UserError(
            f"{path}: its header names none of Prophesee's formats EVT 2.0, EVT 2.1 and EVT 3.0"
            + (f" but {other!r}" if other else "")
            + "; is the file whole, and of an event camera? Other encodings: convert it with Prophesee's tools"
        )
    source = Source(kind, (), _size(fields, path))
    source.parts = _words(path, begin, fields, source)
    return source


def _words(path, begin, fields, source) -> Iterator[Columns]:
    from . import evt_kernels as kernels  # numba is slow to import: not before it is needed

    kind = source.kind
    kernel = {"EVT 2.0": kernels.evt2, "EVT 2.1": kernels.evt21, "EVT 3.0": kernels.evt3}[kind]
    width, height = source.size or (2048 + 32, 2048)
    state, lost, swap, silent = kernels.start(), 0, None, 0
    for data in blocks(path, begin, _BYTES[kind], source.notes, CHUNK // 8):
        words = np.frombuffer(data, f"<u{_BYTES[kind]}")
        if kind == "EVT 2.1":
            swap = _upper_first(words, fields) if swap is None else swap
            words = (words << np.uint64(32) | words >> np.uint64(32)) if swap else words
        room = len(words) * _MOST[kind]
        x, y, p, t = np.empty(room, np.int16), np.empty(room, np.int16), np.empty(room, np.uint8), np.empty(room, int)
        n, outside = kernel(words, width, height, state, x, y, p, t)
        lost, silent = lost + outside, 0 if n else silent + len(data)
        if silent > _SILENT:
            raise UserError(f"{path}: no event in {_SILENT >> 20} MiB of it; fetch the file again")
        if n:  # copies: the room is much larger
            yield Columns(x[:n].copy(), y[:n].copy(), p[:n].copy(), t[:n].copy())
    if state[kernels.HIGH] < 0 and state[kernels.EARLY]:
        source.notes.append("there is no TIME_HIGH word, so no event has a time")
    elif state[kernels.EARLY]:
        source.notes.append(f"{state[kernels.EARLY]} words before the first TIME_HIGH are left out: they have no time")
    if lost:
        source.notes.append(f"{lost} events outside the {width} x {height} sensor are left out")


def _upper_first(words, fields) -> bool:
    """Whether an EVT 2.1 word's upper half comes first ("legacy", as the IMX636 sends it), by the header or else by the
    words: in the right order their types are known ones and TIME_HIGH goes on in small steps."""
    said = fields.get("endianness", "")
    if said in ("legacy", "little"):
        return said == "legacy"

    def faults(upper):
        kinds, high = upper >> np.uint64(28), (upper & np.uint64(0xFFFFFFF)).astype(np.int64)
        steps = np.diff(high[kinds == 8])
        return (~np.isin(kinds, (0, 1, 8, 10, 14))).sum() + ((steps < 0) | (steps > 1 << 20)).sum() + (kinds != 8).all()

    some = words[: 1 << 14]
    return bool(faults(some & np.uint64(0xFFFFFFFF)) <= faults(some >> np.uint64(32)))


def open_dat(path: str | Path) -> Source:
    """DAT, of change events: records of 8 bytes, little-endian: microseconds (32 bits), then in version 2 x (14 bits,
    from the low end), y (14), polarity (4), in version 1 x (9), y (8), polarity (1). A byte each for type and size of
    the records lie between the header and them.

    Raises:
        UserError: no header, another type or version.
    """
    fields, begin = _header(path)
    if not fields and not head(path, 1) == b"%":
        raise UserError(
            f"{path}: its header names none of Prophesee's formats DAT, EVT 2.0 and EVT 3.0; fetch it again"
        )
    start = head(path, begin + 2)[begin:]
    if len(start) < 2:
        raise UserError(f"{path} is truncated: no record follows its header; fetch the file again")
    if start[1] != 8 or start[0] not in (0, 4, 8, 12, 40):
        raise UserError(
            f"{path}: holds records of type {start[0]} and {start[1]} bytes, expected change events of 8 bytes; fetch"
            " the file again"
        )
    version = fields.get("version", "1" if "Version" not in fields else fields["Version"])
    source = Source("DAT", (), _size(fields, path))
    source.parts = _records(path, begin + 2, version.strip() == "1", source)
    return source


def _records(path, begin, first_version, source) -> Iterator[Columns]:
    loop = before = 0
    for data in blocks(path, begin, 8, source.notes):
        table = np.frombuffer(data, "<u4").reshape(-1, 2)
        t, address = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
        # A fall by more than half its range is a wrap of the 32 bit clock (after 71 minutes).
        falls = np.diff(t, prepend=before) < -(1 << 31)
        before = int(t[-1])
        t += (loop + np.cumsum(falls)) << 32
        loop += int(falls.sum())
        if first_version:
            yield Columns(address & 0x1FF, address >> 9 & 0xFF, address >> 17 & 1, t)
        else:
            yield Columns(address & 0x3FFF, address >> 14 & 0x3FFF, address >> 28, t)


def _header(path) -> tuple[dict[str, str], int]:
    """({key: value} of the lines of text, offset of the first byte after them). Lines end where one does not begin with
    `%` or is no text: after `% end`, and in older files just so."""
    data = head(path, _HEADER_LIMIT)
    fields, at = {}, 0
    while data[at : at + 1] == b"%":
        end = data.find(b"\n", at)
        line = data[at:end] if end >= 0 else data[at:]
        # An older file has no mark at the end: a record may begin with the byte of `%`.
        if (
            end < 0
            or not re.fullmatch(rb"%[\x20-\x7e\t\r\x80-\xff]*", line)
            or (at and line[:2] not in (b"% ", b"%\r"))
        ):
            break
        at = end + 1
        text = line[1:].decode("utf-8", "replace").strip()
        if text.lower() == "end":
            break
        key, _, value = text.partition(" ")
        fields[key] = value.strip()
    for part in fields.get("format", "").split(";")[1:]:
        key, _, value = part.partition("=")
        fields.setdefault(key.strip(), value.strip())
    return fields, at


def _encoding(fields) -> str | None:
    said = fields.get("format", "").split(";")[0].strip().upper() or "EVT" + fields.get("evt", "").strip()
    return {
        "EVT2": "EVT 2.0",
        "EVT2.0": "EVT 2.0",
        "EVT21": "EVT 2.1",
        "EVT2.1": "EVT 2.1",
        "EVT3": "EVT 3.0",
        "EVT3.0": "EVT 3.0",
    }.get(said)


def _size(fields, path):
    lower = {key.lower(): value for key, value in fields.items()}
    found = re.fullmatch(r"(\d{1,5})\s*x\s*(\d{1,5})", lower.get("geometry", ""))
    if found:
        return sensor(found[1], found[2], path)
    if all(re.fullmatch(r"\d{1,5}", lower.get(side, "")) for side in ("width", "height")):
        return sensor(lower["width"], lower["height"], path)
    for name, size in _PLUGINS:
        if re.search(name, lower.get("plugin_name", ""), re.I):
            return size
    system = lower.get("system_id", "")
    return _SYSTEMS.get(int(system)) if re.fullmatch(r"\d{1,5}", system) else None

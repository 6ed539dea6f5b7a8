"""AEDAT 4, what iniVation's DV writes (docs.inivation.com, "AEDAT 4.0"): a line `#!AER-DAT4.0`, a header with the
compression and a description of the streams in XML, then packets of one stream each. Header and packets are FlatBuffers
(schemas of dv-runtime: IOHeader, EventPacket).

Read here and not by dv-processing, which does not come back from some broken files (a packet of zeros), and whose
wheels are not for every machine. LZ4 is unpacked here, Zstandard by the package zstandard. dv-processing is what the
tests compare with.
"""

import re
import struct
import xml.etree.ElementTree as ET  # see below  # nosec B405
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sim.base.errors import UserError
from sim.base.memory import unpacked_limit

from .source import Columns, Source, sensor, size_of

_VERSION = b"#!AER-DAT4.0\r\n"
_EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("", "V3")])
_HEADER_LIMIT, _PACKET_LIMIT = 1 << 24, 1 << 30
_WINDOW = 1 << 26  # bytes that Zstandard may look back
_NONE, _LZ4, _ZSTD = (0,), (1, 2), (3, 4)


def open_aedat4(path: str | Path) -> Source:
    """The first stream of events of a file.

    Raises:
        UserError: another format, no such stream, or a compression that nothing here unpacks.
    """
    try:
        with open(path, "rb") as f:
            start = f.read(len(_VERSION) + 4)
            if not start.startswith(_VERSION):
                raise UserError(f"{path}: not a readable AEDAT4 file (it does not begin with '#!AER-DAT4.0')")
            size = int.from_bytes(start[len(_VERSION) :], "little")
            if len(start) < len(_VERSION) + 4 or size > min(_HEADER_LIMIT, size_of(path)):
                raise UserError(f"{path}: not a readable AEDAT4 file (its header is cut); fetch the file again")
            header = f.read(size)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None
    try:
        table = _Table.root(header, b"IOHE")
        compression, end = table.integer(0, "<i", 0), table.integer(1, "<q", -1)
        info = table.text(2)
    except (ValueError, struct.error, IndexError):
        raise UserError(f"{path}: not a readable AEDAT4 file (its header is broken); fetch the file again") from None
    stream, sensor_size, others = _streams(info, path)
    source = Source("AEDAT 4.0", (), sensor_size)
    if others:
        source.notes.append(f"there are {others} more streams of events: the first is read")
    source.parts = _packets(path, len(start) + size, end, stream, _unpacker(compression, path), source)
    return source


def _streams(info, path):
    """(number of the first stream of events, its (width, height) or None, how many more there are)."""
    if re.search(r"<!(DOCTYPE|ENTITY)", info, re.I):
        raise UserError(f"{path}: not a readable AEDAT4 file (its header defines entities)")
    try:
        root = ET.fromstring(info)  # entities are refused above, expat bounds the rest  # nosec B314
    except ET.ParseError as e:
        raise UserError(f"{path}: not a readable AEDAT4 file (its description of streams: {e})") from None
    found = []
    for node in root.iter("node"):
        attributes = {a.get("key"): (a.text or "").strip() for a in node.findall("attr")}
        number = node.get("name", "")
        if attributes.get("typeIdentifier") == "EVTS" and re.fullmatch(r"\d{1,9}", number):
            inner = {a.get("key"): (a.text or "").strip() for a in node.iterfind("node[@name='info']/attr")}
            found.append((int(number), inner.get("sizeX", ""), inner.get("sizeY", "")))
    if not found:
        raise UserError(f"{path}: has no stream of events")
    number, width, height = found[0]
    known = re.fullmatch(r"\d{1,6}", width) and re.fullmatch(r"\d{1,6}", height)
    return number, sensor(width, height, path) if known else None, len(found) - 1


def _unpacker(compression, path):
    if compression in _NONE:
        return bytes
    if compression in _LZ4:
        from .lz4 import unpack

        return unpack
    if compression not in _ZSTD:
        raise UserError(f"{path}: not a readable AEDAT4 file (compression {compression} is unknown)")
    try:
        import zstandard
    except ImportError:
        raise UserError(
            f"{path} is packed with Zstandard, which needs the package zstandard: pip install zstandard"
        ) from None

    def unpack_zstd(data):
        try:
            return _all_of(
                zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(data), unpacked_limit(len(data))
            )
        except zstandard.ZstdError as e:
            raise ValueError(str(e)) from None

    return unpack_zstd


def _all_of(reader, most):
    """The bytes of a reader, as they come; ValueError if there are more than `most`."""
    pieces, total = [], 0
    while piece := reader.read(1 << 20):
        pieces.append(piece)
        total += len(piece)
        if total > most:
            raise ValueError("it unpacks to more than a packet of its size can mean")
    return b"".join(pieces)


def _packets(path, at, end, stream, unpack, source) -> Iterator[Columns]:
    total = size_of(path)
    end = end if at <= end <= total else total  # -1: the recording was not closed, there is no table at the end
    try:
        with open(path, "rb") as f:
            f.seek(at)
            while at < end:
                start = f.read(8)
                if len(start) < 8:
                    source.notes.append("the last packet is cut and left out")
                    return
                number, size = struct.unpack("<iI", start)
                if size > min(end - at - 8, _PACKET_LIMIT):
                    source.notes.append(
                        f"the packet at byte {at} claims {size} bytes, {end - at - 8} are there: cut, and left out"
                    )
                    return
                at += 8 + size
                if number != stream:
                    f.seek(size, 1)
                    continue
                table = _events(path, f.read(size), unpack, at - size)
                if len(table):
                    yield Columns(table["x"], table["y"], table["p"], table["t"])
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None


def _events(path, data, unpack, where):
    try:
        data = unpack(data)
        begin, n = _Table.root(data[4:], b"EVTS").vector(0, _EVENT.itemsize)
        return np.frombuffer(data, _EVENT, n, begin + 4)
    except (ValueError, struct.error, IndexError) as e:
        raise UserError(
            f"{path}: not a readable AEDAT4 file (the packet at byte {where}: {e}); fetch the file again"
        ) from None


class _Table:
    """A table of a FlatBuffer; what points outside the bytes raises ValueError or struct.error."""

    def __init__(self, data, at):
        self.data, self.at = data, at
        self.fields = at - struct.unpack_from("<i", data, at)[0]
        if not 0 <= self.fields <= len(data) - 4:
            raise ValueError("a table without fields")
        self.size = struct.unpack_from("<H", data, self.fields)[0]

    @classmethod
    def root(cls, data, name):
        if data[4:8] != name:
            raise ValueError(f"no {name.decode()} table")
        at = struct.unpack_from("<I", data, 0)[0]
        if at > len(data) - 4:
            raise ValueError("a table outside the data")
        return cls(data, at)

    def _where(self, number):
        place = 4 + 2 * number
        offset = struct.unpack_from("<H", self.data, self.fields + place)[0] if place + 2 <= self.size else 0
        return self.at + offset if offset else None

    def integer(self, number, kind, default):
        at = self._where(number)
        return default if at is None else struct.unpack_from(kind, self.data, at)[0]

    def vector(self, number, itemsize):
        """(offset of the first item, how many)."""
        at = self._where(number)
        if at is None:
            return 0, 0
        at += struct.unpack_from("<I", self.data, at)[0]
        n = struct.unpack_from("<I", self.data, at)[0]
        if n * itemsize > len(self.data) - at - 4:
            raise ValueError(f"{n} items claimed, {len(self.data) - at - 4} bytes are there")
        return at + 4, n

    def text(self, number):
        at, n = self.vector(number, 1)
        return self.data[at : at + n].decode("utf-8")

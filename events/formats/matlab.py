"""MATLAB files of version 5 (`save -v6`, `save -v7`): arrays of numbers and structures of them. Format: MathWorks,
"MAT-File Format". Read here and not by scipy, whose reader ends the program on some broken files (1.17).
"""

import math
import struct
import zlib
from pathlib import Path

import numpy as np

from sim.base.memory import unpacked_limit

from .source import size_of

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MATRIX, _PACKED, _STRUCT = 14, 15, 2
_DEEPEST = 4


def read(path: str | Path) -> dict:
    """{name: array [n] or [n, m], or dictionary of such} of the variables that are numbers or structures of them.

    Raises:
        ValueError, struct.error, zlib.error: broken, or of another version.
    """
    with open(path, "rb") as f:
        head = f.read(128)
        if head[:6] != b"MATLAB" or head[126:128] not in (b"IM", b"MI"):
            raise ValueError("no header of version 5")
        order, found, left = "<" if head[126:128] == b"IM" else ">", {}, size_of(path)
        room = unpacked_limit(left)
        while start := f.read(8):
            kind, size = struct.unpack(order + "II", start)
            if size > left:
                raise ValueError(f"an element claims {size} bytes, {left} are there")
            data = f.read(size)
            if kind == _PACKED:
                unpacker = zlib.decompressobj()
                data = unpacker.decompress(data, room)
                if unpacker.unconsumed_tail:
                    raise ValueError("it unpacks to more than a file of its size can mean")
                room -= len(data)
                kind, size = struct.unpack_from(order + "II", data)
                data = data[8 : 8 + size]
            if kind == _MATRIX:
                name, value = _matrix(data, order, 0)
                if value is not None:
                    found[name] = value
    return found


def _elements(data, order):
    """(type, bytes) of the elements of one: small ones in eight bytes, others with a header of eight, filled up to
    eights."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise ValueError("a small element of more than four bytes")
            yield kind, data[at + 4 : at + 4 + size]
            at += 8
            continue
        if at + 8 + size > len(data):
            raise ValueError(f"an element claims {size} bytes, {len(data) - at - 8} are there")
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + -(-size // 8) * 8


def _matrix(data, order, depth):
    """(name, value) of a matrix; None for what is neither numbers nor a structure."""
    parts = _elements(data, order)
    try:
        flags, (_, shape), (_, name) = next(parts)[1], next(parts), next(parts)
    except StopIteration:
        return "", None  # an empty matrix may be so short
    kind = struct.unpack_from(order + "I", flags)[0]
    shape = np.frombuffer(shape, order + "i4").tolist()
    name = name.decode("latin-1")
    if kind & 0xFF in _CLASSES and not kind & 0x800:  # no complex numbers
        stored, values = next(parts, (9, b""))
        if stored not in _TYPES:
            return name, None
        array = np.frombuffer(values, order + _TYPES[stored])
        if math.prod(shape) != len(array) or min(shape, default=0) < 0:
            raise ValueError(f"{name!r} is of shape {shape} and has {len(array)} values")
        array = array.astype(_CLASSES[kind & 0xFF]).reshape(shape, order="F")
        return name, array.reshape(-1) if len(shape) == 2 and 1 in shape else array
    if kind & 0xFF == _STRUCT and shape == [1, 1] and depth < _DEEPEST:
        return name, _structure(parts, order, depth)
    return name, None


def _structure(parts, order, depth):
    length = struct.unpack(order + "i", next(parts, (0, b""))[1])[0]
    names = next(parts, (0, b""))[1]
    if not 1 <= length <= 64 or len(names) % length:
        raise ValueError("a structure whose fields' names do not fit")
    fields = [names[i : i + length].split(b"\0")[0].decode("latin-1") for i in range(0, len(names), length)]
    out = {}
    for field, (kind, data) in zip(fields, parts):
        if kind == _MATRIX:
            value = _matrix(data, order, depth + 1)[1]
            if value is not None:
                out[field] = value
    return out

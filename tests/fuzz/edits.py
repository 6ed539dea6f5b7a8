"""Mutants that are sound files of their kind (checksums, digests and syntax are right) with something else in them."""

import io
import json
import zlib
from functools import cache

import h5py
import numpy as np

from .mutate import array_header, members, mutant  # noqa: F401

NUMBERS = (
    0,
    1,
    -1,
    2,
    255,
    256,
    -257,
    4095,
    4096,
    4097,
    65535,
    1 << 20,
    (1 << 20) + 1,
    1 << 24,
    2**31 - 1,
    -(2**31),
    2**62,
)
TEXTS = (
    "",
    "tokens",
    "phase",
    "cuba",
    "readout",
    "n0",
    "out",
    "x" * 5000,
    "\x00",
    "[/red]",
    "\x1b[2J",
    "{}",
    "[]",
    "null",
)
TEXTS += ("../x", "a\nb", "9" * 5000, "[" * 3000, "1e999", "NaN", "layer", "ä", "{" + '"a":' * 900)


@cache
def unpacked(data: bytes) -> dict:
    """Path -> array of all datasets of an HDF5 file."""
    found = {}
    with h5py.File(io.BytesIO(data), "r") as f:
        f.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def packed(content: dict, libver: str = "v108", r=None) -> bytes:
    """An HDF5 file; with a generator some arrays claim more than they hold."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=(libver, "v108" if libver == "v108" else "latest")) as f:
        for name, value in content.items():
            big = r is not None and r.random() < 0.01 and np.ndim(value) > 0
            if big:  # never filled: takes no room in the file
                shape = tuple(int(r.choice([1, 3, 1 << 10, 1 << 14, 1 << 20])) for _ in range(max(np.ndim(value), 1)))
                f.create_dataset(name, shape, getattr(value, "dtype", "i4"), chunks=True, compression="gzip")
                continue
            more = {} if np.size(value) < 300 or isinstance(value, (str, bytes)) else {"compression": "gzip"}
            f.create_dataset(name, data=value, **more)
    return buffer.getvalue()


def _value(value, r):
    """Another array in place of one."""
    value = np.asarray(value)
    if value.dtype.kind in "SO" or r.random() < 0.05:
        text = str(r.choice(np.array(TEXTS, object)))
        old = value.ravel()[0] if value.size and value.dtype.kind in "SO" else b""
        old = old if isinstance(old, bytes) else str(old).encode()
        if old and r.random() < 0.6:
            return np.array(mutant([old], "", r).replace(b"\0", b"0") or b"x", "S")
        return np.array(text.encode() or b" ", "S")
    way = int(r.integers(9))
    if way == 0 and not value.dtype.names:
        return value.astype(str(r.choice(["i1", "u1", "i2", "i4", "i8", "u8", "f4", "f8", "?"])))
    if way == 1 and value.ndim:
        return np.repeat(value, 2, int(r.integers(value.ndim)))
    if way == 2 and value.ndim:
        return np.take(value, range(max(value.shape[0] - 1, 0)), 0)
    if way == 3:
        return value[None] if r.random() < 0.5 else value.ravel()
    if way == 4:
        return value.reshape(value.shape[::-1])
    out = value.copy().reshape(-1)
    if not out.size:
        return value
    with np.errstate(all="ignore"):
        for _ in range(int(r.choice([1, 1, 3]))):
            at = int(r.integers(out.size))
            if out.dtype.kind == "f":
                out[at] = r.choice([np.nan, np.inf, -np.inf, 1e30, -1.0, 0.5, *map(float, NUMBERS)])
            elif out.dtype.names:
                return value
            else:
                new = (
                    int(out[at]) + int(r.choice([-2, -1, 1, 2]))
                    if way < 7
                    else int(r.choice(np.array(NUMBERS, object)))
                )
                out[at] = np.array(new % (1 << 64), np.uint64).astype(out.dtype)
    return out.reshape(value.shape)


def _edited(content: dict, r) -> dict:
    content = dict(content)
    for _ in range(int(r.choice([1, 1, 2, 3]))):
        name = list(content)[int(r.integers(len(content)))]
        way = r.random()
        if way < 0.08:
            del content[name]
        elif way < 0.16:
            other = list(content)[int(r.integers(len(content)))]
            content[name] = content[other]
        elif way < 0.22:
            parts = name.split("/")
            at = int(r.integers(len(parts)))
            parts[at] = str(r.choice(["0", "1", "2", "7", "x", "a" * 150, "ä", parts[at] + "0"]))
            new = "/".join(parts)
            if not any(k.startswith(new + "/") or new.startswith(k + "/") for k in content):
                content[new] = content.pop(name)
        else:
            content[name] = _value(content[name], r)
        if not content:
            return {"x": np.zeros(1)}
    return content


def hdf5(files: list[bytes], r) -> bytes:
    content = _edited(unpacked(files[int(r.integers(len(files)))]), r)
    return packed(content, str(r.choice(["v108", "earliest"])), r)


def net(files: list[bytes], r) -> bytes:
    """A net of ours whose digest is right."""
    from sim.netx.writer import DIGEST, ROOT, digest

    content = _edited(unpacked(files[int(r.integers(len(files)))]), r)
    own = {k[len(ROOT) :]: np.asarray(v) for k, v in content.items() if k.startswith(ROOT)}
    own = {k: v for k, v in own.items() if v.dtype.kind in "iufbS"}
    try:
        content[ROOT + DIGEST] = np.array(digest(own), "S")
    except UnicodeEncodeError:
        pass
    return packed(content, str(r.choice(["v108", "v108", "earliest"])), r)


def npy(files: list[bytes], r) -> bytes:
    return array_header(files[int(r.integers(len(files)))], r)


def _object(value, r, depth=0):
    """Another value somewhere in a tree of dictionaries and lists."""
    if isinstance(value, dict) and value and (depth == 0 or r.random() < 0.8):
        key = list(value)[int(r.integers(len(value)))]
        way = r.random()
        if way < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if way < 0.2:
            return value | {str(r.choice(np.array([*TEXTS[:14], "extends", "title", key + "x"], object))): _any(r)}
        return value | {key: _object(value[key], r, depth + 1)}
    if isinstance(value, list) and value and r.random() < 0.7:
        at = int(r.integers(len(value)))
        return [*value[:at], _object(value[at], r, depth + 1), *value[at + 1 :]]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and r.random() < 0.5:
        return r.choice([value + 1, -value, value * 1000, value / 3, float(value)]).item()
    return _any(r)


def _any(r):
    way = int(r.integers(10))
    if way < 4:
        return r.choice(np.array([*NUMBERS, 10**30, -(10**400), 0.5, 1e308, float("inf"), float("nan")], object))
    if way < 6:
        return str(r.choice(np.array(TEXTS, object)))
    if way < 7:
        return [_any(r) for _ in range(int(r.integers(3)))]
    if way < 8:
        return {str(r.choice(np.array(["a", "value", "height", "input"], object))): _any(r)}
    return [None, True, False, []][int(r.integers(4))]


def json_text(files: list[bytes], r) -> bytes:
    value = _object(json.loads(files[int(r.integers(len(files)))]), r)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def toml(files: list[bytes], r) -> bytes:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    value = _object(tomllib.loads(files[int(r.integers(len(files)))].decode()), r)
    return "\n".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()).encode("utf-8", "surrogatepass")


def _inline(value) -> str:
    """A value of TOML in one line; None, which it has not, as a date."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if value is None:
        return "1979-05-27T07:32:00Z"
    if isinstance(value, float):
        return repr(value).replace("inf", "inf")
    return json.dumps(value)


def png(files: list[bytes], r) -> bytes:
    """A few bytes of one chunk are others, or the chunk stands twice, or is gone; its checksum is right."""
    data, at, chunks = files[int(r.integers(len(files)))], 8, []
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], bytearray(data[at + 8 : at + 8 + size])))
        at += 12 + size
    which, way = int(r.integers(len(chunks))), int(r.integers(6))
    for _ in range(int(r.integers(1, 4))):
        if chunks[which][1]:
            chunks[which][1][int(r.integers(len(chunks[which][1])))] = int(r.integers(256))
    if way == 0:
        chunks.insert(which, chunks[int(r.integers(len(chunks)))])
    elif way == 1:
        del chunks[which]
    body = (len(c).to_bytes(4, "big") + k + bytes(c) + zlib.crc32(k + c).to_bytes(4, "big") for k, c in chunks)
    return data[:8] + b"".join(body)

"""A seal: the sha256 of a file's bytes, written behind them, by which a bit that a disk or a copy has turned is seen.

What follows the end of a zip archive (as its comment), of HDF5 and of .npy is passed over by all who read these, so
that sealed files stay what they are for other programs. JSON objects carry theirs as an entry, `sha256`. Files without
a seal (of other programs, of earlier releases) are read as they are."""

import hashlib
import json
import os
import struct
from typing import IO, Any

from .errors import UserError

MARK = b"smolmamba-sha256:"
LENGTH = len(MARK) + 64
ENTRY = "sha256"
_PART = 1 << 20
_PIECE = 4  # bytes by which a seal that is cut off is known
_ZIP_END = b"PK\5\6"  # of a zip archive without a comment, with 18 bytes to come, the last two the comment's length


class Damaged(UserError):
    """A file's bytes are not those that were written."""


def of(content: bytes | bytearray | memoryview) -> bytes:
    """The seal of some bytes."""
    return MARK + hashlib.sha256(content).hexdigest().encode()


def sealed(content: bytes | bytearray | memoryview) -> bytes:
    """Bytes of HDF5 or .npy, and their seal."""
    return bytes(content) + of(content)


def sealed_zip(content: bytes | bytearray | memoryview) -> bytes:
    """Bytes of a zip archive without a comment, and their seal as one."""
    out = bytearray(content)
    if out[-22:-18] != _ZIP_END or out[-2:] != b"\0\0":
        raise ValueError("no zip archive without a comment")
    out[-2:] = struct.pack("<H", LENGTH)
    return sealed(out)


def append(file: IO[bytes]) -> None:
    """Seals what an open file (for reading, too) holds."""
    file.seek(0)
    total = hashlib.sha256()
    while part := file.read(_PART):
        total.update(part)
    file.write(MARK + total.hexdigest().encode())


def check(path: str | os.PathLike, remedy: str) -> bool:
    """Whether a file has a seal, which is then right.

    Args:
        remedy: what to do if it is not.

    Raises:
        Damaged: the file has a seal, of other bytes. OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        left = os.fstat(file.fileno()).st_size - LENGTH
        if left < 0:
            return _is_seal(file.read(), path, remedy)
        file.seek(left)
        expected = file.read(LENGTH)
        if not _is_seal(expected, path, remedy):
            return False
        file.seek(0)
        total = hashlib.sha256()
        while left > 0 and (part := file.read(min(_PART, left))):
            total.update(part)
            left -= len(part)
    if MARK + total.hexdigest().encode() != expected:
        raise Damaged(f"{os.fspath(path)}: damaged: its bytes do not match the digest that was written; {remedy}")
    return True


_checked: dict[tuple, bool] = {}  # what `check_once` has found of files as they were


def check_once(path: str | os.PathLike, remedy: str) -> bool:
    """`check`, of a file that stays as it is once in a process. False if it cannot be read: who reads it says so."""
    try:
        found = os.stat(path)
        key = os.fspath(path), found.st_size, found.st_mtime_ns, found.st_ino
        if key not in _checked:
            _checked[key] = check(path, remedy)
        return _checked[key]
    except OSError:
        return False


def is_whole(path: str | os.PathLike) -> bool:
    """Whether a file's seal is right, or it has none."""
    try:
        check(path, "")
        return True
    except Damaged:
        return False


def check_bytes(content: bytes | memoryview, path: str | os.PathLike, remedy: str) -> bool:
    """`check` of what has been read from `path` already."""
    if not _is_seal(bytes(content[-LENGTH:]), path, remedy):
        return False
    if of(memoryview(content)[:-LENGTH]) != bytes(content[-LENGTH:]):
        raise Damaged(f"{os.fspath(path)}: damaged: its bytes do not match the digest that was written; {remedy}")
    return True


def _is_seal(end: bytes, path: str | os.PathLike, remedy: str) -> bool:
    """Whether the last `LENGTH` bytes of a file begin as a seal. Damaged if a seal stands there that is cut off."""
    if len(end) == LENGTH and end.startswith(MARK):
        return True
    for i in range(len(end) - _PIECE + 1):
        if end[i:].startswith(MARK) or MARK.startswith(end[i:]):
            raise Damaged(f"{os.fspath(path)}: damaged: cut off at its end; {remedy}")
    return False


def to_json(value: dict[str, Any], **options: Any) -> str:
    """A JSON object with its seal. options: of `json.dumps`."""
    return json.dumps(value | {ENTRY: _digest(value)}, **options)


def from_json(text: str | bytes, path: str | os.PathLike, remedy: str) -> Any:
    """What `to_json` was given; any other JSON value as it is.

    Raises:
        Damaged: not JSON, or with the seal of another object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Damaged(f"{os.fspath(path)}: damaged: not JSON; {remedy}") from None
    if isinstance(value, dict) and ENTRY in value and value.pop(ENTRY) != _digest(value):
        raise Damaged(f"{os.fspath(path)}: damaged: its entries do not match their digest; {remedy}")
    return value


def _digest(value: dict[str, Any]) -> str:
    plain = json.loads(json.dumps(value))  # as it is read: names of entries are texts, tuples lists
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

"""Writing a file: it appears whole or not at all."""

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import UserError

_TEMPORARY = re.compile(r"\.\d+-[0-9a-f]{8}\.tmp")


class CannotWrite(UserError):
    """A file cannot be written; `reason` says why."""

    def __init__(self, path: str, reason: str):
        super().__init__(f"{path}: cannot write ({reason})")
        self.reason = reason


@contextmanager
def unfinished(path: str | os.PathLike) -> Iterator[Path]:
    """A name in the folder of `path` to write to. What lies there at the end of the block takes the name `path`; if the
    block fails, nothing is left of it.

    For libraries that take names; else `writing`, `fill` or `write`. Links are followed. The name, `.PID-RANDOM.tmp`,
    says nothing of the format: tell the library.

    Raises:
        CannotWrite: the folder is missing, full or cannot be written; `path` is a folder, a device or a pipe, which
            renaming would replace.
    """
    asked = os.fspath(path)
    try:
        place = Path(os.path.realpath(asked))
        _check_regular(place, asked)
        temporary = place.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")
    except (OSError, ValueError) as e:  # ValueError: no name at all, or one with a zero byte
        raise _cannot(asked, e) from None
    try:
        yield temporary
        os.replace(temporary, place)
    except OSError as e:
        if e.filename not in (None, os.fspath(temporary), os.fspath(place)):
            raise  # of another file, that the block has read
        raise _cannot(asked, e) from None
    finally:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass


@contextmanager
def writing(path: str | os.PathLike, mode: str = "wb", **options: Any) -> Iterator[IO]:
    """An open file that takes its name at the end of the block; as `unfinished`.

    Args:
        mode: "wb" or "w" (then UTF-8). options: as of `open`.
    """
    if "b" not in mode:
        options.setdefault("encoding", "utf-8")
    with unfinished(path) as temporary, open(temporary, mode, **options) as file:
        yield file
        file.flush()  # a disk that is full says so here and not when nobody listens


def write(path: str | os.PathLike, content: bytes | memoryview | str) -> None:
    """Writes a whole file; as `unfinished`."""
    with writing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def fill(path: str | os.PathLike, save: Callable[[IO[bytes]], Any]) -> None:
    """Has `save(open file)` write a whole file; as `unfinished`."""
    with writing(path) as file:
        save(file)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Removes what processes that were killed while they wrote have left in a folder in which nobody else writes."""
    for path in Path(folder).glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _check_regular(place: Path, asked: str) -> None:
    try:
        mode = place.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise CannotWrite(asked, "is a folder; choose another name")
    if not stat.S_ISREG(mode):
        raise CannotWrite(asked, "is a device or a pipe, which would be replaced; choose another name")


def _cannot(path: str, error: Exception) -> CannotWrite:
    return CannotWrite(path, getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0])

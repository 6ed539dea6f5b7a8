"""Writing a file: it appears whole or not at all."""

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from . import seals
from .errors import UserError

_TEMPORARY = re.compile(r"\.\d+-[0-9a-f]{8}\.tmp")
_swept: set[Path] = set()  # folders from which this process has removed what others left


class CannotWrite(UserError):
    """A file cannot be written; `reason` says why."""

    def __init__(self, path: str, reason: str):
        super().__init__(f"{path}: cannot write ({reason})")
        self.reason = reason


@contextmanager
def unfinished(path: str | os.PathLike) -> Iterator[Path]:
    """A name in the folder of `path` to write to, of an empty file. What lies there at the end of the block takes the
    name `path`; if the block fails, nothing is left of it.

    For libraries that take names; else `writing`, `fill` or `write`. Links are followed. The name, `.PID-RANDOM.tmp`,
    says nothing of the format: tell the library. A process that is killed leaves its file behind, until another one
    writes into the folder.

    Raises:
        CannotWrite: the folder is missing, full or cannot be written; `path` is a folder, a device or a pipe, which
            renaming would replace.
    """
    asked = os.fspath(path)
    made, lock = [], None  # names are noted before the files are there: a signal may come at any moment
    try:
        try:
            place = Path(os.path.realpath(asked))
            _check_regular(place, asked)
            if place.parent not in _swept:
                _swept.add(place.parent)
                remove_unfinished(place.parent)
            temporary, lock = _new(place, made)
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
        for name in made:
            with contextlib.suppress(OSError):
                name.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def writing(path: str | os.PathLike, mode: str = "wb", seal: bool = False, **options: Any) -> Iterator[IO]:
    """An open file that takes its name at the end of the block; as `unfinished`.

    Args:
        mode: "wb" or "w" (then UTF-8). options: as of `open`.
        seal: put a seal behind what was written (`sim.base.seals`): for .npy.
    """
    if "b" not in mode:
        options.setdefault("encoding", "utf-8")
    with unfinished(path) as temporary, open(temporary, f"{mode}+" if seal else mode, **options) as file:
        yield file
        if seal:
            seals.append(file)
        file.flush()  # a disk that is full says so here and not when nobody listens


def write(path: str | os.PathLike, content: bytes | bytearray | memoryview | str) -> None:
    """Writes a whole file; as `unfinished`. It is on the disk when this returns, in case the power goes."""
    with writing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        with contextlib.suppress(OSError):  # what cannot be synchronized
            os.fsync(file.fileno())


def fill(path: str | os.PathLike, save: Callable[[IO[bytes]], Any], seal: bool = False) -> None:
    """Has `save(open file)` write a whole file; as `writing`."""
    with writing(path, seal=seal) as file:
        save(file)


@contextmanager
def appending(path: str | os.PathLike) -> Iterator[IO[str]]:
    """An open file to whose end lines are written: for logs, which others read while they grow.

    Raises:
        CannotWrite: as `unfinished`.
    """
    try:
        with open(path, "a", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
    except OSError as e:
        raise _cannot(os.fspath(path), e) from None


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Removes what processes that were killed while they wrote have left in a folder. Files of others that are still
    being written are locked, and stay.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for path in [Path(e.path) for e in entries if _TEMPORARY.fullmatch(e.name)]:
            with contextlib.suppress(OSError):
                _remove_if_free(path)


def _remove_if_free(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    finally:
        os.close(lock)


def _new(place: Path, made: list[Path]) -> tuple[Path, int]:
    """A new empty file beside `place`, and its lock, which goes with this process; its name is in `made` before it."""
    while True:
        path = place.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")
        made.append(path)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process takes it for one that was left
            os.close(lock)
            continue
        except OSError:  # a file system without locks: nobody will remove it in our place
            pass
        if os.fstat(lock).st_nlink:
            return path, lock
        os.close(lock)  # it has been taken for one that was left


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

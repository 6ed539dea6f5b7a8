"""Folders for the time of a block: what this process and those that it starts tell one another.

A process that is killed cannot remove its own; the next one that makes a folder does, as the lock on it is then free.
"""

import contextlib
import fcntl
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import FULL
from .files import CannotWrite

PREFIX, SUFFIX = "smolmamba-", ".tmp"
_YOUNG_S = 30.0  # a folder that has just been made need not be locked yet
_SEMAPHORES = Path("/dev/shm")  # where Linux keeps those that have a name


def is_ours(place: str | os.PathLike) -> bool:
    """Whether a folder was made by `folder`, and goes with its process."""
    name = os.path.basename(os.path.abspath(place))
    return name.startswith(PREFIX) and name.endswith(SUFFIX)


def name_semaphores(place: str | os.PathLike) -> None:
    """From now on the semaphores that this process and its forks make by multiprocessing carry the name of a folder of
    ours, and go with it.

    Python takes a semaphore's name away as soon as it has made it; a process that is killed in between leaves the name,
    for ever. On Linux; elsewhere nothing changes.
    """
    if sys.platform == "linux" and is_ours(place):
        # typeshed leaves `_config` out
        config = multiprocessing.current_process()._config  # pyright: ignore[reportAttributeAccessIssue]
        config["semprefix"] = f"/{os.path.basename(os.path.abspath(place))}"


@contextlib.contextmanager
def folder(kind: str) -> Iterator[str]:
    """A new folder among the temporary ones, gone at the end of the block.

    Raises:
        CannotWrite: there is none that can be written, or its disk is full.
    """
    sweep()
    try:
        place = tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", suffix=SUFFIX)
    except OSError as e:
        raise CannotWrite("the temporary folder", f"{e.strerror}; set TMPDIR to one that can be written") from None
    lock = os.open(place, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: then nobody removes it in our place
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield place
    except OSError as e:
        if e.errno in FULL and (e.filename is None or os.fspath(e.filename).startswith(place)):
            raise CannotWrite(place, f"{e.strerror}; TMPDIR says where the temporary folder is") from None
        raise
    finally:
        remove(place)
        os.close(lock)


def remove(place: str | os.PathLike) -> None:
    """Removes a folder of ours, with the semaphores that have its name."""
    shutil.rmtree(place, ignore_errors=True)
    if is_ours(place):
        _remove_semaphores(_semaphores(f"sem.{os.path.basename(os.path.abspath(place))}-"))


def _semaphores(start: str) -> list[Path]:
    """Those whose names begin so; not by a glob, whose patterns Python keeps for ever."""
    try:
        return [_SEMAPHORES / name for name in os.listdir(_SEMAPHORES) if name.startswith(start)]
    except OSError:
        return []


def _remove_semaphores(names: Iterable[Path]) -> None:
    for path in names:
        with contextlib.suppress(OSError):
            made = path.stat()
            if made.st_nlink > 1:  # glibc links the name to a file that it has prepared under one of six letters
                for other in _semaphores("sem."):
                    if other != path and other.stat().st_ino == made.st_ino:
                        other.unlink()
            path.unlink()


def sweep() -> None:
    """Removes the folders of processes that are no more, and semaphores whose names nobody has taken away."""
    _remove_semaphores(_forgotten())
    try:
        found = [p for p in Path(tempfile.gettempdir()).iterdir() if is_ours(p)]
    except OSError:
        return
    for place in found:
        with contextlib.suppress(OSError):
            if place.is_dir() and not place.is_symlink() and _old(place):
                _remove_if_free(place)


def _forgotten() -> list[Path]:
    """Semaphores of ours that still have the name which they lose as soon as they are made."""
    return [p for p in _semaphores(f"sem.{PREFIX}") if _old(p)]


def _old(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime > _YOUNG_S
    return False


def _remove_if_free(place: Path) -> None:
    lock = os.open(place, os.O_RDONLY)
    try:
        if os.fstat(lock).st_uid == os.getuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(place)
    finally:
        os.close(lock)

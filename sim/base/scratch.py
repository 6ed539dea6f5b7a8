"""Folders for the time of a block: what this process and those that it starts tell one another.

A process that is killed cannot remove its own; the next one that makes a folder does, as the lock on it is then free.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import FULL
from .files import CannotWrite

PREFIX, SUFFIX = "smolmamba-", ".tmp"
_YOUNG_S = 30.0  # a folder that has just been made need not be locked yet


def is_ours(place: str | os.PathLike) -> bool:
    """Whether a folder was made by `folder`, and goes with its process."""
    name = os.path.basename(os.path.abspath(place))
    return name.startswith(PREFIX) and name.endswith(SUFFIX)


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
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def sweep() -> None:
    """Removes the folders of processes that are no more."""
    now = time.time()
    try:
        found = [p for p in Path(tempfile.gettempdir()).iterdir() if is_ours(p)]
    except OSError:
        return
    for place in found:
        with contextlib.suppress(OSError):
            if place.is_dir() and not place.is_symlink() and now - place.stat().st_mtime > _YOUNG_S:
                _remove_if_free(place)


def _remove_if_free(place: Path) -> None:
    lock = os.open(place, os.O_RDONLY)
    try:
        if os.fstat(lock).st_uid == os.getuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(lock)

"""One process at a time in a folder, or at a file: a lock that dies with its process, however that one ends."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import UserError

RUNNING, STUDY, CACHE = ".lock", ".study.lock", ".cache.lock"
_LOOKS = 5  # at who holds a lock: it says so a moment after it has it


class Held(UserError):
    """Another process holds the lock; the text says which, and since when."""


@contextlib.contextmanager
def held(folder: str | os.PathLike, what: str, advice: str, name: str = RUNNING) -> Iterator[None]:
    """Around work in a folder that no two processes may do at once. The folder is made if need be. The lock is the
    file `name` in it, which is gone at the end of the block, and free at once if the process dies.

    Args:
        what: what this process does there, for the other's message ("trains"). advice: what the other can do.

    Raises:
        Held: another process holds it.
    """
    with taken(folder, what, name) as mine:
        if not mine:
            raise Held(f"{os.fspath(folder)}: {holder(folder, name)}; {advice}")
        yield


@contextlib.contextmanager
def taken(folder: str | os.PathLike, what: str, name: str = RUNNING) -> Iterator[bool]:
    """As `held`; False where another process holds it."""
    path = Path(folder, name)
    new = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        yield False
        return
    try:
        with _as_ours(path, lock, what):
            yield True
    finally:
        if new:  # nothing has come into it
            with contextlib.suppress(OSError):
                path.parent.rmdir()


@contextlib.contextmanager
def in_turn(folder: str | os.PathLike, what: str, name: str, say: Callable[[str], None]) -> Iterator[None]:
    """As `held`, but waits for the other process, of which `say` is told."""
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        say(f"{os.fspath(folder)}: {holder(folder, name)}; waiting for it")
        lock = _take(path, fcntl.LOCK_EX)
    assert lock is not None
    with _as_ours(path, lock, what):
        yield


def holder(folder: str | os.PathLike, name: str = RUNNING) -> str:
    """Who holds a lock, as a sentence without its end."""
    for _ in range(_LOOKS):
        try:
            found = json.loads(Path(folder, name).read_text(encoding="utf-8"))
            here = "" if found["host"] == socket.gethostname() else f" on {found['host']}"
            return f"process {found['pid']}{here} {found['what']} here since {found['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(0.02)
    return "another process is at work here"


def _take(path: Path, how: int) -> int | None:
    """An open file that is locked, and still the one of that name; None if another process has it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, how)
            if _is_at(file, path):
                return file
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its last holder has removed it meanwhile


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _as_ours(path: Path, lock: int, what: str) -> Iterator[None]:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "what": what, "since": since}
    try:
        with contextlib.suppress(OSError):  # a full disk: it is locked all the same
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps(facts).encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(lock)

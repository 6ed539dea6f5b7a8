"""What a worker has of the process that started it: its job, and word of its end.

The parent holds the other end of the worker's standard input. When that closes, the parent is gone, or has had enough:
the worker removes the folder they share, as the parent may no longer be able to, and ends itself and all that Lava has
started (`sim.base.forks`). Called for before Lava is imported, which takes seconds."""

import multiprocessing
import os
import pickle  # see `job`  # nosec B403
import queue
import struct
import threading
from typing import Any

from sim.base import forks, scratch

LONGEST = 80  # characters of a folder in which a socket still has a name that the system takes
_job: "queue.SimpleQueue[bytes]" = queue.SimpleQueue()


def attend(folder: str | None = None, with_job: bool = True) -> None:
    """From now on this process ends when the other end of its standard input closes.

    Args:
        folder: removed then; what multiprocessing keeps among temporary files is in it. with_job: the parent sends one
            first (`job`).
    """
    if folder is not None and len(folder) <= LONGEST:
        # Where multiprocessing keeps its sockets, which it removes only if it ends in its own way.
        # typeshed leaves it out
        multiprocessing.current_process()._config["tempdir"] = folder  # pyright: ignore[reportAttributeAccessIssue]
    if folder is not None:
        scratch.name_semaphores(folder)
    threading.Thread(target=_attend, args=(folder, with_job), daemon=True).start()


def job() -> Any:
    """The parent's job (length, then a pickle from this process's own parent)."""
    return pickle.loads(_job.get())  # over a pipe from the parent process, never from a file  # nosec B301


def _attend(folder: str | None, with_job: bool) -> None:
    # Raw reads hold no lock that a fork would inherit.
    if with_job:
        size = _exactly(8)
        content = _exactly(struct.unpack("<Q", size)[0]) if size is not None else None
        if content is not None:
            _job.put(content)
    while os.read(0, 1):
        pass
    if folder is not None and scratch.is_ours(folder):  # a user may have started this, with files of their own
        scratch.remove(folder)
    forks.leave()  # no cleaning up: the main thread is still at work on what there is to clean up, and would crash


def _exactly(n: int) -> bytes | None:
    data = b""
    while len(data) < n:
        part = os.read(0, min(n - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return data

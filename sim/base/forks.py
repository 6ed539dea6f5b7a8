"""Forked processes that end with the process that forked them, however that one ends: a crash and `kill -9` leave it no
time to see to them itself.

Shared memory needs no such care: Python's resource tracker, a process that multiprocessing starts, removes what is left
when all who used it are gone.
"""

import ctypes
import os
import signal
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_this_process() -> None:
    """From now on the kernel kills every process that this one, or a fork of it, makes by `os.fork` (as multiprocessing
    does) when the thread that made it is no more. On Linux; elsewhere nothing changes, and only `leave` sees to
    them."""
    if sys.platform != "linux":
        return
    prctl = ctypes.CDLL(None).prctl  # looked up before any fork: the loader takes locks
    parent = []

    def remember():
        parent[:] = [os.getpid()]

    def bind():
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent[0]:  # it ended before the kernel was asked
            os._exit(1)

    os.register_at_fork(before=remember, after_in_child=bind)


def leave() -> NoReturn:
    """Ends this process at once, whatever its other threads are doing, and its forks.

    For a process that leads its group.
    """
    if sys.platform != "linux" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # shared memory stays behind: the resource tracker is one of the group
    os._exit(1)

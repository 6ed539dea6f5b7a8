"""What a process and those it has started hold: processes, descriptors, memory, shared memory, files."""

import contextlib
import os
import time
from pathlib import Path

from sim.base import scratch

MARK = "SMOLMAMBA_CENSUS"  # an environment variable, by which descendants are known


def running(mark: str, session: int = -1) -> list[int]:
    """Processes, but for dead ones and this one, that are of a session, or whose environment holds the mark: all that
    descend from one with it."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                state, *_, own = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:4]
                marked = wanted in (folder / "environ").read_bytes().split(b"\0")
                if state != "Z" and (marked or int(own) == session):
                    found.append(int(folder.name))
        except (OSError, IndexError):  # it has ended meanwhile
            pass
    return found


def gone(mark: str, seconds: float, session: int = -1) -> list[int]:
    """Those of `running` that are still there after so long."""
    end = time.monotonic() + seconds
    while (left := running(mark, session)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def descriptors() -> int:
    """Open files of this process."""
    return len(os.listdir("/proc/self/fd"))


def resident_kib() -> int:
    """Memory of this process."""
    return _status_kib("VmRSS:")


def highest_kib() -> int:
    """Most memory that this process has had."""
    return _status_kib("VmHWM:")


def _status_kib(entry: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry))


_SHARED = ("psm_", "sem.mp-", f"sem.{scratch.PREFIX}")  # multiprocessing's own names, and ours for its semaphores


def shared_memory() -> set[str]:
    """Segments that no process has mapped or open: of processes that are gone."""
    names = _segments()
    for folder in Path("/proc").iterdir():
        if names and folder.name.isdigit():
            names -= _held(names, folder)
    return names


def held_by(process: int) -> set[str]:
    """Segments that a process has mapped or open."""
    return _held(_segments(), Path("/proc", str(process)))


def _segments() -> set[str]:
    return {f"/dev/shm/{name}" for name in os.listdir("/dev/shm") if name.startswith(_SHARED)}


def _held(names: set[str], process: Path) -> set[str]:
    held = _mapped(process) + _opened(process)
    return {name for name in names if name in held}


def _mapped(process: Path) -> str:
    try:
        with open(process / "maps") as lines:  # a large process has megabytes of them
            return "".join(line for line in lines if "/dev/shm/" in line)
    except OSError:
        return ""


def _opened(process: Path) -> str:
    names = []
    try:
        for link in os.listdir(process / "fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                names.append(os.readlink(process / "fd" / link))
    except OSError:
        pass
    return "\n".join(names)


def abandoned(before: set[str], seconds: float) -> set[str]:
    """Segments that nobody has any more, were not there `before`, and stay for so long."""
    end = time.monotonic() + seconds
    while (left := shared_memory() - before) and time.monotonic() < end:
        time.sleep(0.2)
    return left

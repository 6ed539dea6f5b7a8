"""Memory: what a file may claim of it, and heap that stays with the process.

A file says in a few bytes how large its arrays are. Nothing is unpacked or allocated before `require` or
`unpacked_limit` has agreed.
"""

import ctypes
import os
import sys
from pathlib import Path

from .errors import UserError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_SMALL, _RATIO = 32 << 20, 32  # bytes that any file may unpack to, and times its own size
_HOLES = 64  # a file of which the disk holds less than one part in so many has holes
_HOLES_FROM = 64 << 20
NEURONS_LIMIT = 1 << 24  # of a layer: sixteen chips
SYNAPSES_LIMIT = 1 << 30  # of a net: a file of ours holds no more


def unpacked_limit(size: int) -> int:
    """Bytes that the arrays of a packed file of `size` bytes may take: weights and events pack to a tenth, not to a
    thousandth.
    """
    return _SMALL + _RATIO * size


def available() -> int | None:
    """Bytes that this process can still have without another losing its own, or None where nobody says."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        pass
    try:  # of a container
        most = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if most != "max":
            found.append(int(most) - int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):
        pass
    return max(min(found), 0) if found else None


def require(needed: int, what: str) -> None:
    """Refuses what does not fit.

    Args:
        needed: bytes. what: begins the message, such as a file's name and what of it takes them.

    Raises:
        UserError: `needed` is more than there is.
    """
    there = available()
    if there is not None and needed > there:
        raise UserError(f"{what}: takes {_size(needed)} of memory, {_size(there)} are free")


def require_solid(path: str | os.PathLike) -> None:
    """Refuses a large file that is hardly there: a download that was prepared and not filled has holes, which read as
    zeros.

    Raises:
        UserError: it is one; it cannot be read.
    """
    try:
        found = os.stat(path)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None
    there = getattr(found, "st_blocks", None)
    if there is not None and found.st_size > _HOLES_FROM and there * 512 * _HOLES < found.st_size:
        raise UserError(
            f"{path}: claims {_size(found.st_size)}, {_size(there * 512)} of them are on the disk: a copy that was not"
            " finished; fetch the file again"
        )


def require_synapses(count: int, what: str) -> None:
    """Refuses a net that no file of ours could hold.

    Raises:
        UserError: more than `SYNAPSES_LIMIT`. what: begins the message.
    """
    if count > SYNAPSES_LIMIT:
        raise UserError(f"{what}: makes {count:,} synapses, a net has at most {SYNAPSES_LIMIT:,}; take smaller layers")


def _size(n):
    return f"{n / 1e9:.1f} GB" if n >= 1e8 else f"{n / 1e6:.1f} MB"


def keep_heap() -> None:
    """Makes glibc's malloc serve large arrays from its heap and keep what is freed. By default each array of some
    megabytes is mapped anew and every page of it faults on first touch, which costs ten times what writing it does.
    Elsewhere than on glibc nothing happens."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**30)
        mallopt(_M_TOP_PAD, 2**26)

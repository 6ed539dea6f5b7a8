"""Memory that stays with the process."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_heap():
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

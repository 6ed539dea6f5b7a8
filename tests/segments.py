"""Shared memory that a test leaves behind, and not that of tests which run beside it."""

import os
import time

from bench import census


def held() -> set[str]:
    """Segments that this process has, or that no process has: of runs of its own that are over."""
    return census.held_by(os.getpid()) | census.shared_memory()


def left(before: set[str], seconds: float = 60.0) -> set[str]:
    """Those of `held` that were not there `before` and stay for so long; a segment that another process has made and
    not mapped yet is nobody's for a moment.
    """
    end = time.monotonic() + seconds
    while (found := held() - before) and time.monotonic() < end:
        time.sleep(0.1)
    return found

"""What holds for every test: one thread for small tensors, no display, and property tests that take the same
examples on every machine in CI. `-n auto` (`make test`): how many processes run tests side by side.
"""

import os
import signal

# Before numpy, torch or numba are imported; an explicit setting wins. Tests use tiny tensors, which lose by threads.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
_CORES = len(os.sched_getaffinity(0))
if "PYTEST_XDIST_WORKER" in os.environ:  # side by side: each has its share of the cores
    _share = max(1, _CORES // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("NUMBA_NUM_THREADS", str(_share))

# A shell that starts `pytest` in the background has it ignore Ctrl-C, and all that it starts; some tests send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# No deadline: the first example compiles numba kernels, and a shared machine stalls.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

ROOM = 3 << 30  # bytes that a process takes, with the simulator or the training that a test starts
MOST = 16  # beyond which the longest test decides


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which `pytest` alone does not need
def pytest_xdist_auto_num_workers() -> int:
    """As many as this process may use cores, and as the memory that is free has room for; 0: in this process."""
    from sim.base import memory

    free = memory.available()
    number = min(_CORES, MOST, _CORES if free is None else free // ROOM)
    return number if number > 1 else 0

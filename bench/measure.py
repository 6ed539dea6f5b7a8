"""Time, memory, and on what they were measured."""

import os
import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sim import netx
from sim.base.errors import Failure
from sim.net.tokens import Stream

MODELS = Path(__file__).resolve().parent.parent / "models"


def golden(name: str) -> Stream:
    """The golden samples of a net of models/."""
    found = netx.read_golden(MODELS / f"{name}.net")
    if found is None:
        raise ValueError(f"{name}.net has no golden samples")
    return found.stream


class Different(Failure):
    """Two executors that must give the same do not. The text says which."""


def require(equal, text):
    if not equal:
        raise Different(text)


def median(function, runs):
    """Median seconds of `runs` calls after one warm-up."""
    function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_mib(function):
    """MiB by which the process grew at most during a call, or None where the system does not tell.

    What is freed before and used again does not count.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the highest size so far is forgotten
        before = _status("VmRSS")
        function()
        return max(0, _status("VmHWM") - before) / 1024
    except OSError:
        return None


def _status(name):
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0])


def machine():
    """What the numbers depend on, as a dict of JSON values.

    `load`: jobs that wanted a core over the last minute, ours included.
    """
    return dict(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        load=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        **{name: _version(name) for name in ("numpy", "numba", "torch", "lava-nc", "lava-dl")},
    )


def _cpu():
    try:
        with open("/proc/cpuinfo") as file:
            lines = dict(
                line.split(":", 1)
                for line in file.read().split("\n\n")[0].replace("\t", "").splitlines()
                if ":" in line
            )
    except OSError:
        return platform.processor()
    wide = [name for name in ("avx512f", "avx2", "sse4_2") if name in lines.get("flags", "").split()]
    return " ".join([lines.get("model name", platform.processor()).strip(), *wide[:1]])


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None

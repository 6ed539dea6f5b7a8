"""Many mutants in one forked process with limits, and what they did."""

import faulthandler
import mmap
import os
import resource
import select
import signal
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

from . import seeds, targets
from .mutate import mutant

CPU_S = 10  # a mutant
STILL_S = 120  # of the clock, for one that waits and takes no CPU
ROOM = 200 << 20  # bytes beyond the interpreter's, and ten times the file


@dataclass
class Found:
    """What a number of mutants of one kind did.

    Attributes:
        counts: "read", "refused", "fault" -> how many. faults: (number, what) each. refusals: text -> how many.
    """

    kind: str
    counts: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)
    seconds: float = 0.0


def make(kind: str, seed: int, number: int) -> bytes:
    """The mutant of that number."""
    r = np.random.default_rng([seed, sum(kind.encode()), number])
    maker = seeds.EDITED.get(kind)
    files = seeds.files(kind)
    if maker is not None and r.random() < 0.6:
        return maker(files, r)
    return mutant(files, seeds.suffix(kind), r)


def run(kind: str, n: int, seed: int = 0, first: int = 0, say=None) -> Found:
    """`n` mutants from number `first` on."""
    found, start, at = Found(kind), time.monotonic(), first
    seeds.files(kind)  # made before the fork, once
    while at < first + n:
        at = _some(found, kind, seed, at, first + n, say)
    found.seconds = time.monotonic() - start
    return found


def _some(found, kind, seed, begin, end, say) -> int:
    """One process until it is through or dies; the number to go on with."""
    reader, writer = os.pipe()
    place = mmap.mmap(-1, 8)
    place[:] = begin.to_bytes(8, "little")
    pid = os.fork()
    if not pid:
        os.close(reader)
        _child(kind, seed, begin, end, writer, place)
    os.close(writer)
    status = _listen(found, reader, pid, say)
    at = int.from_bytes(place[:], "little")
    if status == 0:
        return end
    why = "no answer" if status in (-signal.SIGXCPU, -signal.SIGKILL) else f"died: {status}"
    found.counts["fault"] += 1
    found.faults.append((at, why))
    return at + 1


def _listen(found, reader, pid, say) -> int:
    rest = b""
    while True:
        if not select.select([reader], [], [], STILL_S)[0]:
            os.kill(pid, signal.SIGKILL)
        data = os.read(reader, 1 << 16)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            what, number, text = line.decode().split("\t", 2)
            found.counts[what] += 1
            if what == "fault":
                found.faults.append((int(number), text))
        if say:
            say(sum(found.counts.values()))
    os.close(reader)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(kind, seed, begin, end, writer, place):
    status = 1
    try:
        silent = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1) if os.environ.get("FUZZ_DEBUG") else (0, 1, 2):
            os.dup2(silent, fd)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()  # what dies here is counted
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            read = targets.of(kind)
            for data in seeds.files(kind)[:3]:  # what is compiled and imported once is no mutant's
                what, text = _read(read, Path(folder, f"seed{seeds.suffix(kind)}"), data)
                if what != "read":
                    os.write(writer, f"fault\t{begin}\ta sound file: {text}\n".encode())
                    os._exit(0)
            for number in range(begin, end):
                place[:] = number.to_bytes(8, "little")
                data = make(kind, seed, number)
                path = Path(folder, f"mutant{seeds.suffix(kind)}")
                what, text = _limited(read, path, data)
                line = f"{what}\t{number}\t{text}".encode(errors="replace").replace(b"\n", b" ")
                os.write(writer, line + b"\n")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _limited(read, path, data):
    used = resource.getrusage(resource.RUSAGE_SELF)
    whole = int(used.ru_utime + used.ru_stime) + CPU_S + 1
    resource.setrlimit(resource.RLIMIT_CPU, (whole, resource.RLIM_INFINITY))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    room = pages * resource.getpagesize() + ROOM + 10 * len(data)
    resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
    try:
        return _read(read, path, data)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _read(read, path, data):
    """("read" or "refused" or "fault", text)."""
    path.write_bytes(data)
    try:
        read(path)
        return "read", ""
    except UserError as e:
        cause = e
        while cause is not None:  # memory that ran out by our limit would be taken elsewhere
            if isinstance(cause, MemoryError) or "Unable to allocate" in str(cause):
                return "fault", f"memory: {e}"[:300]
            cause = cause.__cause__ or cause.__context__
        return "refused", str(e)[:200]
    except Exception as e:
        last = traceback.extract_tb(e.__traceback__)[-3:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(last))
        return "fault", f"{type(e).__name__}: {str(e)[:150]} at {where}"

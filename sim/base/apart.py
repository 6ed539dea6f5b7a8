"""Reads foreign bytes by a C library in a process of its own, with limits: on a damaged file such a library may loop
for ever, end the process, or ask for all memory that there is.

The process is forked once and waits for the next call; another is forked only while it is busy, and after one that a
file has ended. It gets names and plain values and gives plain values and arrays, never objects.
"""

import json
import os
import resource
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from importlib import import_module
from typing import Any, NoReturn

import numpy as np

from .errors import UserError

SECONDS = 10  # of CPU for an item, and one more for each `_PACE` bytes of the file
SILENT_S = 600  # of the clock: a disk may be slow, but not dead
_PACE = 10_000_000
_OVERHEAD = 256 << 20  # bytes that a library may take beside what it reads
_SIZE, _ALONE = 8, 1 << 16  # bytes of a length, and of an array that is sent by itself

_idle: list["_Worker"] = []
_all: set["_Worker"] = set()
_lock = threading.Lock()


def items(
    function: Callable[..., Iterator], path: object, size: int, room: int, *more: Any
) -> Generator[Any, None, None]:
    """What `function(path, *more)`, a generator at the top of a module, yields, made in another process.

    Args:
        path: the file, which messages name. size: its bytes. room: bytes that what it yields at once may take.
        more: JSON values.

    Yields:
        JSON values, dictionaries, lists, bytes, numpy arrays and scalars of plain types, and any mixture of them.

    Raises:
        UserError: what `function` raised; the library ended the process, or took more CPU or memory than a file of that
            size can need.
    """
    worker = _take()
    call = dict(function=f"{function.__module__}:{function.__qualname__}", arguments=[str(path), *more])
    call |= dict(
        folder=None if os.path.isabs(str(path)) else os.getcwd(),
        seconds=SECONDS + size // _PACE,
        room=2 * room + _OVERHEAD,
    )
    whole = False
    try:
        worker.say(call)
        while (answer := worker.hear()) is not None:
            yield answer
            worker.say("next")
        whole = True
    except _Ended as e:
        raise UserError(f"{path}: damaged: {e}; fetch or export the file again") from None
    except UserError:
        whole = True
        raise
    finally:
        if whole:
            _give_back(worker)
        else:  # in the middle of something, or dead
            worker.end()


def first(function: Callable[..., Iterator], path: str, size: int, room: int, *more: Any) -> Any:
    """The only item; as `items`."""
    with closing(items(function, path, size, room, *more)) as found:
        answer = next(found)
        for _ in found:
            raise AssertionError("more than one item")
    return answer


class _Ended(Exception):
    """The process is no more; the text says why."""


class _Worker:
    """The other process, from this one."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        with warnings.catch_warnings():
            # Python warns of forks beside threads: this one takes no lock but those that Python sees to.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            _be_worker(theirs)
        theirs.close()
        ours.settimeout(SILENT_S)
        self.socket = ours

    def say(self, value):
        try:
            self.socket.sendall(json.dumps(value).encode() + b"\n")
        except OSError:
            raise _Ended(self._why()) from None

    def hear(self):
        """An item, or None after the last."""
        head = json.loads(self._bytes(int.from_bytes(self._bytes(_SIZE), "little")))
        data, arrays, at = self._bytes(sum(map(_padded, head["sizes"]))), [], 0
        for (dtype, shape), size in zip(head["arrays"], head["sizes"]):
            arrays.append(np.ndarray(shape, dtype, data, at))
            at += _padded(size)
        if "error" in head:
            raise UserError(head["error"])
        if "bug" in head:
            raise RuntimeError(head["bug"])
        return _decoded(head["item"], arrays) if "item" in head else None

    def _bytes(self, n):
        data, done = bytearray(n), 0
        view = memoryview(data)
        while done < n:
            try:
                got = self.socket.recv_into(view[done:])
            except TimeoutError:
                raise _Ended(f"no answer in {SILENT_S} s") from None
            except OSError:
                got = 0
            if not got:
                raise _Ended(self._why())
            done += got
        return data

    def _why(self):
        status = self.end()
        if status == -signal.SIGXCPU:
            return "its library did not come to an end"
        return f"its library ended with {signal.Signals(-status).name}" if status < 0 else "its library ended"

    def end(self) -> int:
        """Ends it, at once; its exit code, negative for a signal."""
        with _lock:
            if self not in _all:
                return 0
            _all.discard(self)
        self.socket.close()  # it leaves when it reads the end; if it is still at work, see below
        with suppress(ChildProcessError):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if not pid:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                status = os.waitpid(self.pid, 0)[1]
            return os.waitstatus_to_exitcode(status)
        return 0


def _take():
    with _lock:
        while _idle:
            worker = _idle.pop()
            if os.waitpid(worker.pid, os.WNOHANG)[0] == 0:
                return worker
            _all.discard(worker)
            worker.socket.close()
    try:
        worker = _Worker()
    except OSError as e:
        raise UserError(f"no process could be started to read a file in: {e.strerror}") from None
    with _lock:
        _all.add(worker)
    return worker


def _give_back(worker):
    with _lock:
        if worker in _all:
            _idle.append(worker)


def _forget():
    """In a fork of this process: the workers are the other's."""
    global _lock
    _lock = threading.Lock()
    for worker in _all:
        worker.socket.close()
    _all.clear()
    _idle.clear()


os.register_at_fork(after_in_child=_forget)


# --- in the other process


def _be_worker(link) -> NoReturn:
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the process that asks; this one sees that it is gone
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        silent = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(silent, fd)
        own = link.fileno()
        os.closerange(3, own)  # whoever waits for the end of a pipe must not wait for this process
        os.closerange(own + 1, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        with link.makefile("rb") as calls:
            while line := calls.readline():
                _answer(json.loads(line), calls, link)
    finally:
        os._exit(0)


def _answer(call, calls, link):
    module, name = call["function"].split(":")
    try:
        _limit_memory(None)
        if call["folder"]:
            os.chdir(call["folder"])  # the caller's, which may have changed since this process began
        made = getattr(import_module(module), name)(*call["arguments"])
        _limit_memory(call["room"])
        while True:
            _limit_cpu(call["seconds"])
            try:
                item = next(made)
            except StopIteration:
                break
            _send(link, "item", item)
            if not calls.readline():  # nobody is there any more
                os._exit(0)
    except UserError as e:
        _send(link, "error", str(e))
        return
    except MemoryError:
        _limit_memory(None)
        _send(
            link, "error", f"{call['arguments'][0]}: damaged: it asks for more memory than a file of its size can mean"
        )
        return
    except Exception as e:
        _send(link, "bug", f"{type(e).__name__}: {e}")
        return
    finally:
        _limit_memory(None)
    _send(link, "end", None)


def _limit_cpu(seconds):
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _limit_memory(room):
    """room: bytes beyond those that the process has; None for no limit. Only Linux says how many those are."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = hard
    if room is not None and sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as f:
            soft = int(f.read().split()[0]) * resource.getpagesize() + room
        soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _send(link, what, item):
    arrays: list[np.ndarray] = []
    head = {what: _encoded(item, arrays)}
    head |= dict(arrays=[(a.dtype.str, a.shape) for a in arrays], sizes=[a.nbytes for a in arrays])
    data = json.dumps(head).encode()
    link.sendall(len(data).to_bytes(_SIZE, "little") + data)
    small = bytearray()  # many small ones go together
    for a in arrays:
        if a.nbytes > _ALONE:
            link.sendall(small)
            small.clear()
            link.sendall(a.reshape(-1).view(np.uint8).data)
        else:
            small += a.tobytes()
        small += bytes(_padded(a.nbytes) - a.nbytes)
    link.sendall(small)


def _padded(size):
    """Bytes that an array of `size` takes on the way: the next begins where numbers may."""
    return -(-size // 16) * 16


def _encoded(value, arrays):
    if isinstance(value, dict):
        return {"{": [[k, _encoded(v, arrays)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_encoded(v, arrays) for v in value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":  # of texts
        return {"O": [list(value.shape), [_encoded(v, arrays) for v in value.reshape(-1).tolist()]]}
    if isinstance(value, (np.ndarray, np.generic, bytes)):
        a = np.asarray(value)
        if a.dtype.kind not in "iufbSU" or a.dtype.subdtype is not None:
            raise UserError(f"a value of type {a.dtype}, expected plain numbers or text")
        arrays.append(np.ascontiguousarray(a).reshape(a.shape))
        if isinstance(value, bytes):
            arrays[-1] = np.frombuffer(value, np.uint8)
            return {"b": len(arrays) - 1}
        return {"@" if isinstance(value, np.ndarray) else "$": len(arrays) - 1}
    return value


def _decoded(value, arrays):
    if isinstance(value, list):
        return [_decoded(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "{":
        return {k: _decoded(v, arrays) for k, v in inner}
    if kind == "O":
        made = np.empty(inner[0], object)
        made.reshape(-1)[:] = _decoded(inner[1], arrays)
        return made
    found = arrays[inner]
    return {"@": lambda: found, "$": lambda: found[()], "b": lambda: found.tobytes()}[kind]()

"""Ctrl-C, SIGTERM and a terminal that goes: from the first import on they end a command in one line.

While a command is being imported (`starting`) there is nothing to clear up and the process ends at once: libraries turn
an exception in their imports into others, or swallow it. From then on (`listen`) a signal is an `Ended` in the main
thread. What has been ignored from the start (`nohup`, a job in the background) stays so."""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from .errors import SIGNALS, Ended

NAMES = {2: "interrupted", 15: "ended by SIGTERM", 1: "ended by SIGHUP"}  # by number: Windows has no SIGHUP
PATIENCE_S = 3.0  # for which a second signal is taken for an impatient repetition of the first
_AGAIN_S = 0.05
COMMANDS = ("train", "convert", "deploy", "events", "bench", "smolmamba")

_first: list[tuple[int, float]] = []  # the signal that this process has had, and when
_kept: list[Callable[[], str]] = []
_listening: list[bool] = []
_lost: list[bool] = []  # whether an `Ended` was swallowed


def starting() -> None:
    """Signals end this process at once, with a line; if it is one of ours. Called by modules that a command's start
    imports, before anything that takes time.
    """
    if not _listening and _is_ours():
        _install(_leave)


def listen() -> None:
    """From now on the first signal raises `Ended` in the main thread, also where somebody swallows the exception; one
    that comes later than `PATIENCE_S` ends the process at once."""
    _first.clear()
    _kept.clear()
    _listening.append(True)
    _install(_raise)
    sys.unraisablehook = _unraisable


def ignore() -> None:
    """The command has ended, and what it says stands: a signal that comes while Python clears up changes nothing."""
    _install(signal.SIG_IGN)


def received() -> int | None:
    """The number of the signal that this process has had since `listen`, or None."""
    return _first[0][0] if _first else None


def say_when_ended(text: Callable[[], str]) -> None:
    """What is kept, and what to do to go on: said, with what it gives then, if a signal ends the command."""
    _kept[:] = [text]


def words(number: int) -> str:
    """The line for a signal."""
    name = NAMES.get(number, f"ended by signal {number}")
    try:
        return f"{name}; {_kept[0]()}" if _kept else f"{name}; nothing half-written is left"
    except Exception:  # what cannot be looked up need not be said
        return name


def _is_ours() -> bool:
    """Whether the program is one of this project's commands, and not one that imports it as a library."""
    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        return False
    if sys.argv[:1] == ["-m"]:  # while `python -m` imports the package of what it is to run
        names = sys.orig_argv[sys.orig_argv.index("-m") + 1 :] if "-m" in sys.orig_argv else []
        return bool(names) and names[0].split(".")[0] in COMMANDS
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return spec.name.split(".")[0] in COMMANDS
    return os.path.basename(sys.argv[0] if sys.argv else "") == "smolmamba"


def _install(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in NAMES:
        try:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)
        except (ValueError, OSError):  # Windows has fewer signals
            pass


def _leave(number: int, _frame: FrameType | None) -> None:
    end_at_once(number, f"{NAMES[number]} before anything was begun")


def end_at_once(number: int, text: str) -> None:
    """Says a line and ends this process, whatever it is doing."""
    try:
        os.write(2, f"{text}\n".encode())
    except OSError:
        pass
    os._exit(SIGNALS + number)


def _raise(number: int, frame: FrameType | None) -> None:
    if _in_hook(frame):
        _send_again(number)
    elif not _first or _lost:
        _lost.clear()
        _first[:] = [(number, time.monotonic())]
        raise Ended(number)
    elif time.monotonic() - _first[0][1] > PATIENCE_S:
        end_at_once(number, f"{NAMES[number]} a second time: ended at once")


def _unraisable(unraisable: Any) -> None:
    """A destructor or a callback has swallowed `Ended`: it is raised again where it is not."""
    if isinstance(unraisable.exc_value, Ended):
        _send_again(unraisable.exc_value.number)
    else:
        sys.__unraisablehook__(unraisable)


def _in_hook(frame: FrameType | None) -> bool:
    """Whether Python is in `_unraisable`, out of which no exception comes."""
    while frame is not None and frame.f_code is not _unraisable.__code__:
        frame = frame.f_back
    return frame is not None


def _send_again(number: int) -> None:
    """Sends this process a signal that was lost, in a moment. A bare thread: a handler may have interrupted `threading`
    while it holds its locks."""
    _lost.append(True)

    def later():
        time.sleep(_AGAIN_S)
        os.kill(os.getpid(), number)

    _thread.start_new_thread(later, ())

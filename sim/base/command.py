"""The one place where a command ends: what it raises becomes one line on standard error and an exit code.

0: done. 1: done, and what was found is bad. 2: a mistake outside the program, a full disk too. 3: a defect of the
program. 128 + n: ended by signal n. `--debug`, which every command takes, or SMOLMAMBA_DEBUG=1 shows the traceback."""

import io
import os
import sys
import traceback
from collections.abc import Iterable
from typing import NoReturn

import click

from . import signals
from .console import line as shown
from .errors import DEFECT, DONE, FOUND, FULL, MISTAKE, SIGNALS, Ended, Failure, UserError

_PIPE = 13  # SIGPIPE, which Python ignores; a reader that has seen enough is no mistake
_shown: list[bool] = []


def run_command(command: click.Command) -> NoReturn:
    """Runs a click command as a program and ends the process."""
    signals.listen()
    with_debug(command)
    try:
        code = _invoke(command)
        _flush()
    except BaseException as error:
        code = _end(error)
    signals.ignore()
    _close_output()
    sys.exit(code)


def with_debug(command: click.Command) -> click.Command:
    """The command, and those in it, with the option `--debug`."""
    if not any("--debug" in parameter.opts for parameter in command.params):
        command.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=lambda _context, _parameter, value: _shown.append(True) if value else None,
                help="If it fails, show where in the program (a traceback).",
            )
        )
    for inner in getattr(command, "commands", {}).values():
        with_debug(inner)
    return command


def debugging() -> bool:
    """Whether tracebacks are to be shown."""
    return bool(_shown) or os.environ.get("SMOLMAMBA_DEBUG", "0") not in ("", "0")


def _invoke(command: click.Command) -> int:
    name = _program()
    if f"_{name.replace('-', '_').upper()}_COMPLETE" in os.environ:  # a shell asks for completions
        command.main(prog_name=name)
    with command.make_context(name, sys.argv[1:]) as context:
        command.invoke(context)
    return DONE


def _program() -> str:
    """What the user called: `smolmamba`, `python -m train`."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is None:
        return os.path.basename(sys.argv[0])
    return f"python -m {spec.name.removesuffix('.__main__')}"


def _end(error: BaseException) -> int:
    """Says what there is to say of an exception, and returns the exit code."""
    if isinstance(error, SystemExit | click.exceptions.Exit):
        code = error.code if isinstance(error, SystemExit) else error.exit_code
        return _end_of_exit(code)
    number = _signal(error)
    code, lines = (SIGNALS + number, [signals.words(number)]) if number else outcome(error)
    if debugging():
        traceback.print_exception(error)
    _say([] if number and int(os.environ.get("RANK", 0)) else lines)  # of several processes of a run one speaks
    return code


def _end_of_exit(code: object) -> int:
    try:
        _flush()
    except OSError as error:
        return _end(error)
    return code if isinstance(code, int) else DONE if code is None else FOUND


def _signal(error: BaseException) -> int | None:
    """The signal that an exception comes from. Libraries make others of ours while they are imported."""
    if isinstance(error, Ended):
        return error.number
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 2
    return None if isinstance(error, UserError | Failure | click.ClickException) else signals.received()


def outcome(error: BaseException) -> tuple[int, list[str]]:
    """(exit code, lines) of an exception that is not a signal."""
    if isinstance(error, click.ClickException):
        text = io.StringIO()
        error.show(text)
        return error.exit_code, text.getvalue().splitlines()
    if isinstance(error, UserError | Failure):
        # A failure may bring the traceback of another process along, line by line.
        text = f"error: {error}"
        return (MISTAKE, [text]) if isinstance(error, UserError) else (FOUND, text.splitlines())
    if isinstance(error, BrokenPipeError):
        return SIGNALS + _PIPE, []
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        if error.filename is None and error.errno in FULL:
            reason = f"standard output, or a file that was being written: {reason}"
        return MISTAKE, [f"error: {_short(error.filename)}{reason}"]
    if isinstance(error, MemoryError):
        return MISTAKE, ["error: the memory of this machine is not enough; take less at once, or a larger machine"]
    text = (str(error).splitlines() or [""])[0][:300]
    return DEFECT, [
        f"error: {type(error).__name__}: {text}; this is a defect of the program: please report it with what"
        " the same command says with --debug"
    ]


def _short(name: object) -> str:
    """A file's name for a line, with a colon."""
    if name is None or isinstance(name, int):
        return ""
    text = os.fsdecode(name) if isinstance(name, bytes | str | os.PathLike) else str(name)
    return f"{text if len(text) <= 200 else f'{text[:100]}…{text[-60:]}'}: "


def _flush() -> None:
    """Everything that was printed is out when this returns; a full disk says so here.

    Raises:
        UserError: standard output cannot be written.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as e:
        raise UserError(f"standard output: cannot write ({e.strerror})") from None


def _say(lines: Iterable[str]) -> None:
    try:
        for line in lines:
            print(shown(line), file=sys.stderr)
        sys.stderr.flush()
    except OSError:  # there is nowhere left to say it; the exit code stays
        pass


def _close_output() -> None:
    """What could not be written is not tried again when Python ends, which would print a traceback."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            try:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
            except (OSError, ValueError):
                pass

"""What a command raises becomes one line and an exit code, in every group of commands; signals too, from the start."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from sim.base import command, errors, signals

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ("train", "convert", "deploy", "events", "bench", "smolmamba")


def run(*args, cwd=None, **more):
    return subprocess.run(
        [sys.executable, *args],
        cwd=cwd or ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)) | more.pop("env", {}),
        text=True,
        stderr=subprocess.PIPE,
        stdout=more.pop("stdout", subprocess.PIPE),
        **more,
    )


@pytest.mark.parametrize(
    "error, code, text",
    [
        (errors.UserError("what"), 2, "error: what"),
        (errors.Failure("two differ"), 1, "error: two differ"),
        (errors.SimulationError("stood still"), 1, "error: stood still"),
        (OSError(36, "File name too long", "a" * 300), 2, f"error: {'a' * 100}…{'a' * 60}: File name too long"),
        (
            OSError(28, "No space left on device"),
            2,
            "error: standard output, or a file that was being written: No space left on device",
        ),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (click.UsageError("no such option"), 2, "Error: no such option"),
        (KeyError("x"), 3, "error: KeyError: 'x'; this is a defect of the program"),
    ],
)
def test_an_exception_has_a_code_and_a_line(error, code, text):
    found, lines = command.outcome(error)
    assert found == code and "\n".join(lines).startswith(text) and bool(lines) == bool(text)


def test_only_one_place_ends_a_command():
    """Whoever gives a code by `sys.exit` gives it for what was found, not for an exception."""
    found = []
    for group in ("sim", *GROUPS):
        for path in (ROOT / group).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ExceptHandler) and "sys.exit" in ast.unparse(node):
                    found.append(str(path.relative_to(ROOT)))
    assert found == []


@pytest.mark.parametrize("group", GROUPS)
def test_every_command_takes_debug(group):
    import importlib

    main = importlib.import_module("smolmamba.cli" if group == "smolmamba" else f"{group}.__main__")
    top = command.with_debug(getattr(main, "group", None) or main.main)
    seen = []

    def walk(this):
        assert sum("--debug" in parameter.opts for parameter in this.params) == 1, this.name
        seen.append(this.name)
        if isinstance(this, click.Group):
            context = click.Context(this)
            for name in this.list_commands(context):
                walk(this.get_command(context, name))

    walk(top)
    assert seen


def test_debug_shows_where(tmp_path):
    plain = run("-m", "events", "info", "none.npy", cwd=tmp_path)
    assert plain.returncode == 2 and plain.stderr.startswith("error: ") and plain.stderr.count("\n") == 1
    for args, env in ((("--debug",), {}), ((), {"SMOLMAMBA_DEBUG": "1"})):
        shown = run("-m", "events", "info", "none.npy", *args, cwd=tmp_path, env=env)
        assert shown.returncode == 2 and "Traceback" in shown.stderr and shown.stderr.endswith(plain.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        done = run("-m", "events", "list", stdout=full)
    assert done.returncode == 2 and "standard output" in done.stderr and done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_a_reader_that_has_seen_enough():
    read, write = os.pipe()
    os.close(read)
    done = run("-m", "events", "list", stdout=write)
    os.close(write)
    assert done.returncode == 141 and done.stderr == ""


SLEEPS = """
import sys, time
sys.modules["__main__"].__spec__ = None
sys.argv = ["smolmamba"]
import sim.base.start
print("started", flush=True)
{start}
import click
from sim.base.command import run_command
from sim.base.signals import say_when_ended
@click.command()
def main():
    say_when_ended(lambda: "two of three are kept")
    print("begun", flush=True)
    {body}
run_command(main)
"""
SWALLOWS = """
    class Swallows:
        def __del__(self):
            time.sleep(60)
    x = Swallows()
    del x
    time.sleep(60)
"""
IN_HOOK = """
    class Fails:
        def __del__(self):
            raise ValueError
    sys.__unraisablehook__ = lambda _: time.sleep(1)
    x = Fails()
    del x
    time.sleep(60)
"""
TURNS = """
    try:
        time.sleep(60)
    except BaseException:
        raise ImportError("multiarray failed to import") from None
"""


@pytest.mark.parametrize("number, words", [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended by SIGTERM")])
@pytest.mark.parametrize(
    "start, body, after, kept",
    [
        ("time.sleep(60)", "pass", "started", " before anything was begun"),
        ("", "time.sleep(60)", "begun", "; two of three are kept"),
        ("", SWALLOWS.strip(), "begun", "; two of three are kept"),
        ("", IN_HOOK.strip(), "begun", "; two of three are kept"),
        ("", TURNS.strip(), "begun", "; two of three are kept"),
    ],
    ids=["importing", "running", "swallowed", "while one is swallowed", "turned into another"],
)
def test_a_signal_is_a_line_and_a_code(tmp_path, number, words, start, body, after, kept):
    (tmp_path / "program.py").write_text(SLEEPS.format(start=start, body=body))
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.stdout.readline().strip() != after:
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (128 + number, f"{words}{kept}\n")


def test_what_is_ignored_stays_ignored():
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from sim.base import signals; signals.listen();"
        " print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, signal.getsignal(signal.SIGTERM) is signals._raise)"
    )
    assert run("-c", code).stdout == "True True\n"


def test_a_library_leaves_signals_alone():
    code = "import signal, events, sim.base.start; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert run("-c", code).stdout == "True\n"
    assert signal.getsignal(signal.SIGTERM) is not signals._raise

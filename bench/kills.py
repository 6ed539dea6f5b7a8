"""`python -m bench.kills`: commands that are killed, interrupted or meet a full disk at random moments, and what they
leave behind."""

import sim.base.start  # noqa: F401  # isort: skip

import contextlib
import dataclasses
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import click

from sim.base.command import run_command
from sim.base.console import add_row, bar, new_table, note, print_json, show
from sim.base.errors import Failure

from . import census
from .kill_cases import CASES, PRELOADED, WEIGHTS, Case, prepare

ROOT = Path(__file__).resolve().parents[1]
METHODS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT, "full disk": None}
COLD = (
    0.15  # share of the commands that begin as a user's do; the others fork from this process, which has imported all
)
TIDY_S = 10.0  # after which nothing may be running or lie in shared memory
FOREIGN = ("torchinductor_",)  # caches of libraries among the temporary files
LONGEST_S = 600.0
START_S = 0.4  # in which Python starts, before a line of ours
FEWEST = 3  # kills of a run before it is left to end


class Process:
    """A command that runs: a program of its own, or a fork of this one, which begins at once.

    Args:
        limit: bytes that a file of its may have, or None.
    """

    def __init__(self, case: Case, place: Path, environment: dict[str, str], cold: bool, limit: int | None):
        self.code: int | None = None
        self._said = b""
        self._err, write = os.pipe()  # no file: a limit would hold for it, too
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _become(case, place, environment, cold, limit, write)
            finally:
                os._exit(99)
        os.close(write)
        os.set_blocking(self._err, False)

    def wait(self, seconds: float) -> int | None:
        """Its exit code, if it ends within so long."""
        end = time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                return None
            else:
                time.sleep(0.005)
        return self.code

    def send(self, number: int) -> None:
        if self.code is None:
            os.kill(self.pid, number)

    def said(self) -> str:
        """Its standard error so far."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._err, 1 << 16):
                self._said += part
        return self._said.decode(errors="replace")

    def close(self) -> None:
        os.close(self._err)


def _become(case: Case, place: Path, environment: dict[str, str], cold: bool, limit: int | None, err: int) -> None:
    """In the fork: the command, to its end."""
    os.setsid()
    os.chdir(place)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(err, 2)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    if cold:
        os.execve(sys.executable, case.command(), environment)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = environment["TMPDIR"]
    group, sys.argv = case.args[1], [case.args[1], *case.args[2:]]
    try:
        run_command(importlib.import_module(f"{group}.__main__").main)
    except SystemExit as e:
        os._exit(e.code if isinstance(e.code, int) else 0)


@dataclasses.dataclass
class Attempt:
    """One run of a command: where it ran and how it ended."""

    case: Case
    method: str
    after_s: float
    code: int
    err: str
    problems: list[str]


@click.command(epilog="Example: python -m bench.kills --n 40 --only train --seed 7")
@click.option("--n", type=click.IntRange(1), default=200, show_default=True, help="How many kills.")
@click.option("--only", multiple=True, type=click.Choice(list(CASES)), help="Only this command; can be given again.")
@click.option("--seed", type=int, default=None, help="Of the moments; default: another one each time.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=None, help="Ends after so long, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def main(n: int, only: tuple, seed: int | None, minutes: float | None, as_json: bool) -> None:
    """Kill commands N times at random moments, and check that nothing is half-written, runs on or lies in shared
    memory, and that a command that is started again ends in the same files as one that was left alone.

    Exit code 1 if something is wrong; each such case is said."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    note(f"seed {seed}")
    end = time.monotonic() + 60 * minutes if minutes else float("inf")
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        prepare(Path(folder))
        for module in PRELOADED:
            importlib.import_module(module)
        attempts = _all(Path(folder), only or tuple(CASES), n, random.Random(seed), end)
    _print(attempts, seed, as_json)
    wrong = sum(bool(a.problems) for a in attempts)
    if wrong:
        raise Failure(f"{wrong} of {len(attempts)} kills left something behind (seed {seed})")


def _all(folder: Path, names: tuple, n: int, rng: random.Random, end: float) -> list[Attempt]:
    """Rounds of a few kills of one command in one folder, each of which ends with a run that is left alone."""
    took = {name: _alone(CASES[name], folder / "reference", folder, f"reference {name}") for name in names}
    out: list[Attempt] = []
    with bar("kills", n) as progress:
        while len(out) < n and time.monotonic() < end:
            case = CASES[rng.choices(names, [WEIGHTS[name] for name in names])[0]]
            place = folder / f"round{len(out)}"
            shutil.copytree(folder / "given", place)
            first = len(out)
            for _ in range(min(rng.randint(FEWEST, 2 * FEWEST), n - len(out))):
                out.append(_once(case, place, folder, rng, took[case.name]))
                progress(len(out))
                if out[-1].code == 0:  # what is done cannot be killed
                    break
            out[-1].problems += _finish(case, place, folder)
            shutil.rmtree(place, ignore_errors=True)
            for attempt in out[first:]:
                if attempt.problems:
                    _say(attempt)
    return out


def _say(attempt: Attempt) -> None:
    for problem in attempt.problems:
        note(f"{attempt.case.name}, {attempt.method} after {attempt.after_s:.2f} s: {problem}")


def _alone(case: Case, place: Path, folder: Path, what: str) -> float:
    """Runs a command to its end; seconds. Failure if it fails."""
    if not place.exists():
        shutil.copytree(folder / "given", place)
    began = time.monotonic()
    process = Process(case, place, _environment(folder, uuid4().hex), False, None)
    if process.wait(LONGEST_S):
        raise Failure(f"{what}: exit code {process.code}: {process.said()[-2000:]}")
    if process.code is None:
        process.send(signal.SIGKILL)
        raise Failure(f"{what}: not ended after {LONGEST_S} s")
    return time.monotonic() - began


def _finish(case: Case, place: Path, folder: Path) -> list[str]:
    """What is wrong when the command is left to end: other files than without kills, or more of them."""
    try:
        _alone(case, place, folder, "left to end")
    except Failure as e:
        return [str(e)]
    out = case.differences(folder / "reference", place)
    hidden = [p.name for p in place.rglob(".*") if p.name.endswith((".tmp", ".lock"))]
    return out + [f"{name} is left in the end" for name in hidden]


def _once(case: Case, place: Path, folder: Path, rng: random.Random, took: float) -> Attempt:
    """Starts the command, ends it at a random moment, and looks at what is left."""
    method, cold = rng.choice(list(METHODS)), rng.random() < COLD
    number, after = METHODS[method], rng.uniform(0, 1.05) * took + (rng.uniform(START_S, 2 * took) if cold else 0)
    mark, shared, temporary = uuid4().hex, census.shared_memory(), folder / "tmp"
    room = rng.choice([0, rng.randrange(1, 4096), rng.randrange(4096, 1 << 18)])  # a disk that takes only a part
    process = Process(case, place, _environment(folder, mark), cold, room if number is None else None)
    if number is not None:
        process.wait(after)
        process.send(number)
    problems = [] if process.wait(LONGEST_S) is not None else [f"not ended after {LONGEST_S} s"]
    process.send(signal.SIGKILL)
    code = process.wait(TIDY_S)
    problems += _ending(number, -9 if code is None else code, process.said())
    problems += [f"process {pid} runs on" for pid in census.gone(mark, TIDY_S, process.pid)]
    problems += [f"{name} is left" for name in census.abandoned(shared, TIDY_S)]
    if number != signal.SIGKILL:  # who is killed outright cannot remove its files: the next command does
        found = [*place.rglob(".*.tmp"), *(p for p in temporary.iterdir() if not p.name.startswith(FOREIGN))]
        problems += [f"{p} is left" for p in found]
    shutil.rmtree(temporary)
    problems += case.damaged(place)
    err = process.said()
    process.close()
    return Attempt(case, f"{method}{' (cold)' if cold else ''}", after, code or 0, err, problems)


def _environment(folder: Path, mark: str) -> dict[str, str]:
    (folder / "tmp").mkdir(exist_ok=True)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return dict(os.environ, PYTHONPATH=os.pathsep.join(paths), TMPDIR=str(folder / "tmp")) | {census.MARK: mark}


def _ending(number: int | None, code: int, err: str) -> list[str]:
    """What is wrong with how a command ended."""
    if number == signal.SIGKILL:
        return [] if code in (0, -9) else [f"exit code {code}: {err[-1000:]}"]
    expected = (0, 2) if number is None else (0, 128 + number)
    out = [] if code in expected else [f"exit code {code}, expected {expected[1]}: {err[-1000:]}"]
    if "Traceback" in err or "Exception ignored" in err or "core dumped" in err:
        out.append(f"a traceback: {err[-1500:]}")
    last = (err.strip().splitlines() or [""])[-1]
    if code == 2 and not last.startswith("error: "):
        out.append(f"exit code 2 without a line that says why: {last}")
    if code > 128 and not last.startswith(("interrupted", "ended by")):
        out.append(f"exit code {code} without a word: {last}")
    return out


def counts(attempts: list[Attempt]) -> list[dict]:
    """Rows (command, how, kills, of them before it had ended, wrong)."""
    keys = Counter((a.case.name, a.method) for a in attempts)
    of: Callable[[tuple], list[Attempt]] = lambda key: [a for a in attempts if (a.case.name, a.method) == key]  # noqa: E731
    return [
        {
            "command": key[0],
            "how": key[1],
            "kills": n,
            "before its end": sum(a.code != 0 for a in of(key)),
            "wrong": sum(bool(a.problems) for a in of(key)),
        }
        for key, n in sorted(keys.items())
    ]


def _print(attempts: list[Attempt], seed: int, as_json: bool) -> None:
    rows = counts(attempts)
    if as_json:
        print_json({"seed": seed, "kills": len(attempts), "rows": rows})
        return
    table = new_table(f"{len(attempts)} kills, seed {seed}", *rows[0], left=2)
    for row in rows:
        add_row(table, *map(str, row.values()))
    show(table)


if __name__ == "__main__":
    run_command(main)

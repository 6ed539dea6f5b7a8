"""`python -m bench.kills`: commands that are killed, interrupted or meet a full disk at random moments, and what they
leave behind."""

import sim.base.start  # noqa: F401  # isort: skip

import contextlib
import dataclasses
import os
import random
import resource
import shutil
import signal
import subprocess
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
from .kill_cases import CASES, Case, prepare

ROOT = Path(__file__).resolve().parents[1]
METHODS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT, "full disk": None}
TIDY_S = 10.0  # after which nothing may be running or lie in shared memory
FOREIGN = ("torchinductor_",)  # caches of libraries among the temporary files
FEWEST = 3  # kills of a run before it is left to end


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
            case = CASES[names[len(out) % len(names)]] if len(out) < len(names) else CASES[rng.choice(names)]
            place = folder / f"round{len(out)}"
            shutil.copytree(folder / "given", place)
            first = len(out)
            for _ in range(min(rng.randint(FEWEST, 2 * FEWEST), n - len(out))):
                out.append(_once(case, place, folder, rng, took[case.name]))
                progress(len(out))
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
    done = subprocess.run(case.command(), cwd=place, env=_environment(folder, uuid4().hex), capture_output=True)
    if done.returncode:
        raise Failure(f"{what}: exit code {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
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
    method = rng.choice(list(METHODS))
    number, after = METHODS[method], rng.uniform(0.15, 1.05 * took)
    mark, shared, temporary = uuid4().hex, census.shared_memory(), folder / "tmp"
    environment = _environment(folder, mark)
    with _disk(rng, place, case) if number is None else contextlib.nullcontext() as limit:
        process = subprocess.Popen(
            case.command(),
            cwd=place,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=limit,
        )
        if number is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(after)
            process.send_signal(number)
        err = process.communicate()[1].decode(errors="replace")
        problems = _ending(number, process.returncode, err)
        problems += [f"process {pid} runs on" for pid in census.gone(mark, TIDY_S)]
        problems += [f"{name} is left" for name in census.abandoned(shared, TIDY_S)]
        if number != signal.SIGKILL:  # who is killed outright cannot remove its files: the next command does
            problems += [f"{p} is left" for p in place.rglob(".*.tmp")] + [
                f"{p} is left" for p in temporary.iterdir() if not p.name.startswith(FOREIGN)
            ]
        problems += case.damaged(place)
    return Attempt(case, method, after, process.returncode, err, problems)


def _environment(folder: Path, mark: str) -> dict[str, str]:
    (folder / "tmp").mkdir(exist_ok=True)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return dict(os.environ, PYTHONPATH=os.pathsep.join(paths), TMPDIR=str(folder / "tmp")) | {census.MARK: mark}


@contextlib.contextmanager
def _disk(rng: random.Random, place: Path, case: Case):
    """A disk on which there is room for a part of what the command writes: files end at a random size."""
    size = rng.choice([0, rng.randrange(1, 4096), rng.randrange(4096, 1 << 18)])
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


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

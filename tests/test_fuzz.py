"""A few damaged files of every kind (`make fuzz` reads as many as one likes), and that the harness would see a reader
that fails.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzz import seeds, server, targets

from sim.base.errors import UserError

HERE = Path(__file__).resolve().parent
FEW = 25
SLOW = ("checkpoint", "graph", "net", "nir", "slayer")  # they compile kernels, or import torch
pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="limits of memory as Linux has them")


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW)
def test_mutants_of_what_runs_kernels(kind):
    """In a process of its own: one in which kernels have run in parallel can have no forks that run them, too."""
    script = (
        "from fuzz import seeds, server\n"
        f"found = server.run({kind!r}, {FEW}, seed=7) if seeds.files({kind!r}) else None\n"
        "print('skip' if found is None else (found.faults, found.counts['read'] + found.counts['refused']))"
    )
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    done = subprocess.run(
        [sys.executable, "-c", script], env=dict(os.environ, PYTHONPATH=paths), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    if done.stdout.strip() == "skip":
        pytest.skip(f"needs {seeds.KINDS[kind].needs}")
    assert done.stdout.strip() == f"([], {FEW})"


@pytest.mark.parametrize("kind", sorted(set(seeds.KINDS) - set(SLOW)))
def test_mutants_are_read_or_refused(kind):
    if not seeds.files(kind):
        pytest.skip(f"needs {seeds.KINDS[kind].needs}")
    found = server.run(kind, FEW, seed=7)
    assert not found.faults
    assert found.counts["read"] + found.counts["refused"] == FEW


def test_a_mutant_is_given_by_kind_seed_and_number():
    made = [server.make("evt3", 3, number) for number in range(20)]
    assert made == [server.make("evt3", 3, number) for number in range(20)]
    assert len(set(made)) > 15 and made != [server.make("evt3", 4, number) for number in range(20)]
    sound = set(seeds.files("evt3"))
    assert sum(data not in sound for data in made) > 15


def hoard(path):
    np.ones(3 << 30, np.uint8)


def hoard_quietly(path):
    try:
        np.ones(3 << 30, np.uint8)
    except MemoryError:
        raise UserError("broken") from None


def loop(path):
    while True:
        pass


def reader(bad):
    """Reads sound files, and then does what `bad` does."""

    def read(path):
        if path.name.startswith("mutant"):
            bad(path)

    return read


@pytest.mark.parametrize(
    "bad, said",
    [
        (lambda path: 1 // 0, "ZeroDivisionError"),
        (lambda path: os.kill(os.getpid(), signal.SIGSEGV), f"died: {-signal.SIGSEGV}"),
        (hoard, "MemoryError"),
        (hoard_quietly, "memory: broken"),
        (loop, "no answer"),
    ],
)
def test_the_harness_sees_it(monkeypatch, bad, said):
    monkeypatch.setattr(server, "CPU_S", 1)
    monkeypatch.setattr(targets, "of", lambda kind: reader(bad))
    found = server.run("evt3", 2)
    assert found.counts["fault"] == 2 and [number for number, _ in found.faults] == [0, 1]
    assert all(what.startswith(said) for _, what in found.faults), found.faults


def test_a_sound_file_that_is_not_read_is_a_fault(monkeypatch):
    def refuse(path):
        raise UserError("no")

    monkeypatch.setattr(targets, "of", lambda kind: refuse)
    assert [what for _, what in server.run("evt3", 5).faults] == ["a sound file: no"]

"""What `bench.kills` and `bench.soak` look for, they see; and a few kills in earnest."""

import os
import signal
import subprocess
import sys
from multiprocessing import shared_memory
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from bench import census, kill_cases, kills, soak

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="counts processes in /proc")


def test_a_process_that_runs_on_is_seen():
    mark = uuid4().hex
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, env=dict(os.environ) | {census.MARK: mark})
    try:
        assert census.gone(mark, 0.2) == [process.pid]
    finally:
        process.communicate()
    assert census.gone(mark, 5) == []


def test_shared_memory_that_nobody_has_is_seen():
    before = census.shared_memory()
    segment = shared_memory.SharedMemory(create=True, size=64)
    name = f"/dev/shm/{segment.name.lstrip('/')}"
    assert name not in census.abandoned(before, 0) and name in census.held_by(os.getpid())
    segment.close()
    assert name in census.abandoned(before, 0.5) and name not in census.held_by(os.getpid())
    segment.unlink()
    assert name not in census.shared_memory()


@pytest.mark.parametrize(
    "number, code, err, wrong",
    [
        (signal.SIGTERM, 143, "ended by SIGTERM; nothing half-written is left\n", None),
        (signal.SIGINT, 130, "epoch 1\ninterrupted; run: 1 epochs are kept\n", None),
        (None, 2, "error: /x: cannot write (No space left on device)\n", None),
        (signal.SIGKILL, -9, "", None),
        (signal.SIGTERM, -15, "", "exit code -15"),
        (signal.SIGINT, 130, "Traceback (most recent call last)\ninterrupted", "a traceback"),
        (signal.SIGINT, 130, "", "without a word"),
        (None, 2, "no", "without a line"),
        (None, -11, "", "exit code -11"),
    ],
)
def test_how_a_command_ended(number, code, err, wrong):
    found = kills._ending(number, code, err)
    assert bool(found) == bool(wrong) and all(wrong in line for line in found[:1])


def test_half_written_files_and_others_are_seen(tmp_path):
    case = kill_cases.Case("x", (), ("*.npy", "*.html", "log.jsonl", "*.net"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.arange(3))
        (tmp_path / name / "report.html").write_text("<html></html>\n")
        (tmp_path / name / "log.jsonl").write_text('{"epoch": 1, "seconds": 3}\n')
    assert case.damaged(tmp_path / "one") == [] and case.differences(tmp_path / "one", tmp_path / "two") == []
    np.save(tmp_path / "two/a.npy", np.arange(3) + 1)
    (tmp_path / "two/log.jsonl").write_text('{"epoch": 2}\n')
    assert case.differences(tmp_path / "one", tmp_path / "two") == ["a.npy differs", "log.jsonl differs"]
    (tmp_path / "two/a.npy").write_bytes((tmp_path / "one/a.npy").read_bytes()[:-1])
    (tmp_path / "two/report.html").write_text("<html>")
    (tmp_path / "two/b.net").write_bytes(b"")
    assert [line.split(" is ")[0] for line in case.damaged(tmp_path / "two")] == ["a.npy", "b.net", "report.html"]
    assert case.differences(tmp_path / "one", tmp_path / "two")[0].startswith("files ")


def test_what_grows_is_seen():
    row = dict(runs=50, processes=0, descriptors=7, resident_kib=1000, shared=0, folders=0)
    same = row | dict(runs=300, resident_kib=1000 + soak.RSS_KIB)
    assert soak.growth([row, same]) == []
    for key, value, text in (
        ("processes", 1, "1 processes are left"),
        ("shared", 2, "2 shared are left"),
        ("folders", 1, "1 folders are left"),
        ("descriptors", 8, "descriptors grew from 7 to 8"),
        ("resident_kib", 1001 + soak.RSS_KIB, "resident_kib grew"),
    ):
        [found] = soak.growth([row, same | {key: value}])
        assert found.startswith(text)


@pytest.mark.slow
def test_a_few_kills(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bench.kills", "--n", "8", "--only", "import", "--only", "cache", "--json"],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and '"kills": 8' in done.stdout, done.stderr

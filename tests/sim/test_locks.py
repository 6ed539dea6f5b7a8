"""One process at a time, and a lock that dies with its process."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sim.base import files, locks, scratch

ROOT = Path(__file__).resolve().parents[2]
HOLDS = (
    "import sys, time; from sim.base import {module}\nwith {call}:\n    print('there', flush=True)\n    time.sleep(60)"
)


def other(module, call):
    """Another process that is inside a block."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS.format(module=module, call=call)],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "there\n"
    return process


def end(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_the_second_is_refused_by_name_and_takes_over_when_the_first_dies(tmp_path):
    first = other("locks", f"locks.held({str(tmp_path / 'run')!r}, 'trains', 'wait')")
    try:
        with pytest.raises(locks.Held) as error, locks.held(tmp_path / "run", "trains", "take another --name"):
            raise AssertionError("two at a time")
        text = str(error.value)
        assert text.startswith(f"{tmp_path}/run: process {first.pid} trains here since 20")
        assert text.endswith("; take another --name") and "\n" not in text
        with locks.taken(tmp_path / "run", "trains") as mine:
            assert not mine
        with locks.taken(tmp_path / "run", "measures", locks.STUDY) as mine:
            assert mine  # another name, another lock
    finally:
        end(first)
    with locks.held(tmp_path / "run", "trains", "wait"):
        assert locks.holder(tmp_path / "run").startswith(f"process {os.getpid()} trains")
    assert os.listdir(tmp_path / "run") == []


def test_a_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(ValueError), locks.held(tmp_path, "trains", "wait"):
        raise ValueError
    with locks.held(tmp_path, "trains", "wait"):
        pass


def test_in_turn_they_wait_and_no_two_are_inside(tmp_path):
    inside, most, said = [], [], []

    def work():
        for _ in range(40):
            with locks.in_turn(tmp_path, "writes", locks.CACHE, said.append):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    with locks.in_turn(tmp_path, "writes", locks.CACHE, said.append):
        for t in threads:
            t.start()
        while len(said) < 4:  # all of them wait
            assert all(t.is_alive() for t in threads)
            time.sleep(0.001)
        assert not most
    for t in threads:
        t.join()
    assert len(most) == 160 and max(most) == 1
    assert all(line.endswith("; waiting for it") for line in said)
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_being_written_is_not_removed_and_one_that_was_left_is(tmp_path):
    writer = other("files", f"files.unfinished({str(tmp_path / 'a')!r})")
    try:
        (name,) = os.listdir(tmp_path)
        files.remove_unfinished(tmp_path)
        assert os.listdir(tmp_path) == [name]
    finally:
        end(writer)
    assert os.listdir(tmp_path) == [name]
    files._swept.discard(tmp_path)
    files.write(tmp_path / "b", b"")
    assert os.listdir(tmp_path) == ["b"]


def test_folders_of_the_dead_are_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(scratch.tempfile, "tempdir", None)
    monkeypatch.setattr(scratch, "_YOUNG_S", -1.0)
    monkeypatch.setattr(scratch, "_SEMAPHORES", tmp_path)  # not those of tests beside this one
    alive, dead = (other("scratch", "scratch.folder('lava')") for _ in range(2))
    try:
        assert len(os.listdir(tmp_path)) == 2
        end(dead)
        (tmp_path / "smolmamba-1000").mkdir()  # of another kind
        with scratch.folder("lava") as mine:
            assert len(os.listdir(tmp_path)) == 3 and Path(mine).is_dir()
    finally:
        end(alive)
    scratch.sweep()
    assert os.listdir(tmp_path) == ["smolmamba-1000"]


@pytest.mark.skipif(sys.platform != "linux", reason="where semaphores are files")
def test_semaphores_of_the_killed_go_with_the_folder(monkeypatch):
    """Killed inside glibc's `sem_open`: the name is there, and so is the one under which glibc prepares the file."""
    makes = (
        "import sys, _multiprocessing; from multiprocessing.synchronize import SemLock; from sim.base import scratch\n"
        "scratch.name_semaphores(sys.argv[1]); name = SemLock._make_name()\n"
        "_multiprocessing.SemLock(0, 1, 1, name, False); print(name)"
    )
    monkeypatch.setattr(scratch, "_YOUNG_S", 3600.0)  # leaves those of tests beside this one alone
    with scratch.folder("lava") as mine, scratch.folder("lava") as others:
        names = [
            subprocess.run(
                [sys.executable, "-c", makes, place], cwd=ROOT, capture_output=True, text=True
            ).stdout.strip()
            for place in (mine, others, os.path.dirname(mine))
        ]
        left = [scratch._SEMAPHORES / f"sem.{name[1:]}" for name in names]
        prepared = [scratch._SEMAPHORES / f"sem.{letters}" for letters in ("aB3x_z", "aB3x_y")]
        try:
            for path, link in zip(left, prepared):
                os.link(path, link)
            assert names[0].startswith(f"/{os.path.basename(mine)}-") and not names[2].startswith("/smolmamba-")
            scratch.remove(mine)
            assert [path.exists() for path in (*left, *prepared)] == [False, True, True, False, True]
            scratch.sweep()
            assert left[1].exists()
            monkeypatch.setattr(scratch, "_YOUNG_S", -1.0)
            scratch._remove_semaphores([path for path in left[1:2] if path in scratch._forgotten()])
            assert [path.exists() for path in (*left, *prepared)] == [False, False, True, False, False]
        finally:
            for path in (*left, *prepared):
                path.unlink(missing_ok=True)


def test_a_signal_between_a_file_and_its_block_leaves_nothing(tmp_path, monkeypatch):
    """The handler of a signal raises wherever it strikes, even before the new file is handed on."""

    def struck(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.fcntl, "flock", struck)
    with pytest.raises(KeyboardInterrupt), files.unfinished(tmp_path / "a"):
        pytest.fail("never gets here")
    assert os.listdir(tmp_path) == []

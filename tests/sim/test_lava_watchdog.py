"""A simulation that fails ends, says why and leaves no process behind."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import pytest
import segments
from broken import STEP, broken_net, broken_tokens

from sim.base import scratch
from sim.lava.simulate import SimulationError, simulate

HERE = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.usefixtures("shared_memory"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="counts processes in /proc"),
]


@pytest.fixture
def alive(monkeypatch):
    """A function that lists the processes that descend from this test and still run: all inherit a mark in their
    environment.
    """
    mark = f"MARK={uuid.uuid4()}".encode()
    monkeypatch.setenv(*mark.decode().split("="))
    monkeypatch.setenv("PYTHONPATH", str(HERE))  # the worker must be able to import `broken`
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)  # what coverage.py does after a fork can wait for ever for a thread that is no more

    def find():
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if (
                    folder.name.isdigit()
                    and mark in (folder / "environ").read_bytes()
                    and folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
                ):
                    found.append(int(folder.name))
            except OSError:
                pass
        return found

    return find


def gone(alive, seconds=60):
    end = time.monotonic() + seconds
    while alive() and time.monotonic() < end:
        time.sleep(0.1)
    return not alive()


@pytest.fixture
def shared_memory():
    """Checks at the end of a test that it has left no shared memory behind."""
    before = segments.held()
    yield
    assert not segments.left(before)


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize(
    "how, message",
    [
        ("raise", "ValueError: broken on purpose, in a step"),
        ("build", "ValueError: broken on purpose, while building"),
    ],
)
def test_exception(alive, how, message, threads):
    """The traceback of the model is in the error."""
    net = broken_net(how)
    with pytest.raises(SimulationError, match=message) as error:
        simulate(net, broken_tokens(net), threads=threads)
    assert "Traceback" in str(error.value) and "broken.py" in str(error.value)
    assert gone(alive)


def test_death(alive, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    net = broken_net("die")
    with pytest.raises(SimulationError, match="exit code 3"):
        simulate(net, broken_tokens(net))
    assert gone(alive)
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize(
    "limits, message",
    [
        (dict(timeout_s=6), "was ended after 6 s"),
        (dict(stall_s=5), "stood still for 5 s"),
    ],
)
def test_hang(alive, limits, message, threads):
    net = broken_net("hang")
    with pytest.raises(SimulationError, match=f"{message}, [0-{STEP}] of 18 steps were done"):
        simulate(net, broken_tokens(net), threads=threads, **limits)
    assert gone(alive)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3, 4, 5, 6, 6, 6])
def test_killed_caller(alive, processes):
    """Even a caller that is killed outright leaves nothing running, whatever of the run has started by then."""
    code = (
        "from broken import *; from sim.lava.simulate import simulate; net = broken_net('hang'); simulate(net,"
        " broken_tokens(net))"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=HERE.parent,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(HERE), str(HERE.parent)])),
    )
    end = time.monotonic() + 120
    while (  # caller, worker, its shared memory, the three models ... and what one of them runs for a moment
        seen := len(alive())
    ) < processes and time.monotonic() < end:
        time.sleep(0.01)
    assert seen >= processes
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    assert gone(alive)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [3, 4, 5, 6, 6])
def test_killed_worker(alive, processes):
    """A worker that is killed, or crashes, takes all of Lava's processes with it."""
    net = broken_net("hang")
    end = time.monotonic() + 120

    def kill():
        while len(alive()) < processes and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(workers()[0], signal.SIGKILL)

    def workers():
        """The worker is the first of its session."""
        found = []
        for pid in alive():
            with contextlib.suppress(ProcessLookupError):  # one that has ended meanwhile
                found.extend([pid] if os.getsid(pid) == pid else [])
        return found

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(SimulationError, match="died .exit code -9.*"):
        simulate(net, broken_tokens(net))
    thread.join()
    assert gone(alive)


def test_a_worker_whose_parent_is_gone_ends_before_it_has_imported_lava(alive, tmp_path):
    """It removes the folder that they shared: who was killed cannot. With and without a job on the way."""
    for name, begun in (("a", b""), ("b", b"\x10\0\0\0\0\0\0\0half")):
        folder = tmp_path / f"{scratch.PREFIX}{name}{scratch.SUFFIX}"
        folder.mkdir()
        (folder / "in_0.npy").write_bytes(b"x")
        worker = subprocess.Popen(
            [sys.executable, "-m", "sim.lava.worker", str(folder)],
            stdin=subprocess.PIPE,
            env=dict(os.environ, PYTHONPATH=str(HERE.parent)),
            start_new_session=True,
        )
        worker.stdin.write(begun)
        worker.stdin.close()
        worker.wait(60)
        assert not folder.exists()
    assert gone(alive)

"""Runs a net in Lava's CPU simulator, from outside: the whole Lava runtime lives in a child process that can always be
ended.

Lava starts an operating-system process for every process model. When a model raises, the others wait for it for ever;
when building fails, what was built so far stays. So `sim.lava.worker` is started in a session of its own; it watches
Lava's processes and reports, this side watches the clock and ends the session in any case."""

import json
import os
import pickle  # written only, for this process's own worker  # nosec B403
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base import scratch
from ..base.errors import SimulationError, UserError
from ..net import Net
from ..net.schedule import latencies
from ..net.tokens import Stream, checked, rows

EXECUTORS = ("fused", "stock")
POLL_S = 0.02
GRACE_S = 10  # for the worker to end
TIDY_S = 2  # for those that end after it: Python's resource tracker frees shared memory


@dataclass(frozen=True)
class Simulation:
    """What a run gave.

    Attributes:
        logits: int64 [B, classes], the read-out summed over the sample.
        traces: node name -> [B, S, n], in stream time: uint8 spikes, int32 read-out.
        processes: how many Lava processes ran.
        steps: chip steps that were run.
        build_seconds, run_seconds: wall time before the first step and from there on.
    """

    logits: np.ndarray
    traces: dict
    processes: int
    steps: int
    build_seconds: float
    run_seconds: float

    @property
    def predictions(self) -> np.ndarray:
        return self.logits.argmax(1)


def simulate(
    net: Net,
    stream: Stream | np.ndarray,
    executor: str = "fused",
    trace: Sequence[str] | str = (),
    threads: bool = False,
    timeout_s: float | None = None,
    stall_s: float = 120,
    progress: Callable[..., object] | None = None,
) -> Simulation:
    """Runs samples through a net in one continuous run: sample after sample without a gap, then until the last has left
    the pipeline.

    Args:
        net: `sim.net.Net`.
        stream: `sim.net.tokens.Stream`, or uint8 [B, T*N, C] for a net that sends all tokens.
        executor: `fused` for one process for the net, `stock` for Lava's own neurons and synapses.
        trace: names of nodes whose spikes to keep, or "all".
        threads: run Lava's process models as threads of one process, not under Lava's runtime: the same models, ten
            times faster (`sim.lava.threads`).
        timeout_s: end the run after this many seconds in all; None for never.
        stall_s: end it if no step is done for this long, once it runs. Building is given as long, too.
        progress: called now and then with the number of steps done and the number of all.

    Raises:
        UserError: the input is for another geometry; the net does not fit the chip's processes.
        SimulationError: a process model raised or died, Lava could not build the net, or time is over.
    """
    return simulate_together([(net, stream)], executor, trace, threads, timeout_s, stall_s, progress)[0]


def simulate_together(
    jobs: Sequence[tuple],
    executor: str = "fused",
    trace: Sequence[str] | str = (),
    threads: bool = False,
    timeout_s: float | None = None,
    stall_s: float = 120,
    progress: Callable[..., object] | None = None,
) -> list[Simulation]:
    """`simulate` for several (net, stream) side by side in one run of Lava; a list of `Simulation`s."""
    if executor not in EXECUTORS:
        raise UserError(f"unknown executor {executor!r}, there are: {', '.join(EXECUTORS)}")
    with scratch.folder("lava") as folder:
        parts = [Traffic(net, stream, trace) for net, stream in jobs]
        steps = max(p.steps for p in parts)
        for i, p in enumerate(parts):
            np.save(f"{folder}/in_{i}.npy", p.rows)
        job = dict(
            nets=[p.net for p in parts], names=[p.names for p in parts], executor=executor, threads=threads, steps=steps
        )
        out, report = run_worker(folder, job, sum(p.width for p in parts), timeout_s, stall_s, progress)
        base, results = 0, []
        for p in parts:
            results.append(p.result(out[:, base : base + p.width], steps, report))
            base += p.width
        return results


class Traffic:
    """One net's rows in and out.

    A row out holds the read-out, then the traced nodes. Samples follow one another every `slot` steps, by default at
    once.
    """

    def __init__(self, net, stream, trace, slot=None):
        stream = checked(net, stream)
        if not len(stream):
            raise UserError("input: there is no sample")
        self.net, self.batch, self.late, self.slot = net, len(stream), latencies(net), slot or net.steps
        self.readout = net.nodes[-1].name
        nodes = [n.name for n in net.nodes]
        self.kept = nodes if trace == "all" else list(trace)
        unknown = [name for name in self.kept if name not in nodes]
        if unknown:
            raise UserError(f"cannot trace {unknown[0]!r}, the net's nodes are: {', '.join(nodes)}")
        self.names = [name for name in self.kept if name != self.readout]
        self.sizes = {name: net.node(name).size for name in [self.readout, *self.names]}
        self.width = sum(self.sizes.values())
        self.steps = (self.batch - 1) * self.slot + net.steps + max(self.late[name] for name in self.sizes)
        gap = ((0, 0), (0, self.slot - net.steps), (0, 0))
        self.rows = np.pad(rows(net, stream), gap).reshape(self.batch * self.slot, -1)

    def result(self, out: np.ndarray, steps: int, report: dict) -> Simulation:
        """Back to stream time: node l's row for stream step k is at chip step k + its latency."""
        streams, base = {}, 0
        first = np.arange(self.batch)[:, None] * self.slot + np.arange(self.net.steps)
        for name, size in self.sizes.items():
            stream = out[first + self.late[name], base : base + size]
            streams[name] = stream.astype(np.int32 if name == self.readout else np.uint8)
            base += size
        logits = streams[self.readout].sum(1, dtype=np.int64)
        return Simulation(
            logits,
            {name: streams[name] for name in self.kept},
            report["processes"],
            steps,
            report["build_seconds"],
            report["run_seconds"],
        )


def run_worker(
    folder: str,
    job: dict,
    width: int,
    timeout_s: float | None,
    stall_s: float,
    progress: Callable[..., object] | None,
    module: str = "sim.lava.worker",
) -> tuple[np.ndarray, dict]:
    """Starts a worker, feeds it, waits for its report; ends its session whatever happens.

    Args:
        folder: where rows go in and out.
        job: dict for the worker; `steps` is the number of rows that come out.
        width: columns of those rows.
        module: the worker.

    Returns:
        (rows int32 [steps, width], the worker's report, a dict)
    """
    np.lib.format.open_memmap(f"{folder}/out.npy", "w+", np.int32, (job["steps"], width))
    np.save(f"{folder}/done.npy", np.zeros(1, np.int64))
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in paths if p))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        env[variable] = "1"  # there is a process for every part of the net already
    with open(f"{folder}/log", "wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", module, folder],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )
    try:
        payload, stdin = pickle.dumps(job), worker.stdin
        assert stdin is not None  # a pipe, as asked for
        try:
            stdin.write(struct.pack("<Q", len(payload)) + payload)
            stdin.flush()
        except BrokenPipeError:
            pass  # it is gone already; its log says why
        _wait(worker, folder, job["steps"], timeout_s, stall_s, progress)
    finally:
        _end(worker)
    report = _report(worker, folder)
    return np.load(f"{folder}/out.npy", mmap_mode="r"), report


def _wait(worker, folder, steps, timeout_s, stall_s, progress):
    done = np.load(f"{folder}/done.npy", mmap_mode="r")
    start = moved = time.monotonic()
    seen = 0
    while worker.poll() is None:
        time.sleep(POLL_S)
        now = time.monotonic()
        if done[0] != seen:
            seen, moved = int(done[0]), now
            if progress:
                progress(seen, steps)
        if timeout_s is not None and now - start > timeout_s:
            raise SimulationError(
                f"the Lava simulation was ended after {timeout_s:g} s, {seen} of {steps} steps were done"
            )
        if now - moved > stall_s:
            raise SimulationError(
                f"the Lava simulation stood still for {stall_s:g} s, {seen} of {steps} steps were done"
            )


def _end(worker):
    """Ends the worker and everything in its session.

    A closed stdin asks it to do so itself; what then clears up its shared memory is given time to.
    """
    try:
        worker.stdin.close()
    except BrokenPipeError:
        pass
    try:
        worker.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    end = time.monotonic() + TIDY_S
    try:
        while worker.returncode and time.monotonic() < end:  # it has not cleared up itself
            os.killpg(worker.pid, 0)  # raises once there is none left
            time.sleep(POLL_S)
        os.killpg(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    worker.wait()


def _report(worker, folder):
    path = Path(folder, "report.json")
    if not path.exists():
        log = Path(folder, "log").read_text(errors="replace")[-4000:]
        raise SimulationError(f"the Lava simulation died (exit code {worker.returncode}); its last words:\n{log}")
    report = json.loads(path.read_text())
    if "user_error" in report:
        raise UserError(report["user_error"])
    if "error" in report:
        raise SimulationError(report["error"])
    return report

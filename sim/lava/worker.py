"""The process in which Lava runs; started by `sim.lava.simulate`, `python -m sim.lava.worker FOLDER`.

Reads the job from stdin (length, then a pickle from its own parent), inputs from FOLDER/in_<i>.npy, writes
FOLDER/out.npy and, at the end, FOLDER/report.json. If stdin closes, the parent is gone or has had enough: it ends
itself, and with it all that Lava has started (`sim.lava.parent`)."""

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from sim.base import files, forks
from sim.lava import compat, parent

if __name__ == "__main__":
    parent.attend(sys.argv[1])
compat.apply()

from lava.magma.core.process.message_interface_enum import ActorType  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.magma.runtime.runtime import Runtime  # noqa: E402

from sim.base.errors import UserError  # noqa: E402
from sim.lava.processes.fused import FusedNet  # noqa: E402
from sim.lava.processes.host import Sink, Source, gather  # noqa: E402
from sim.lava.threads import ModelFailed, run_threads  # noqa: E402

POLL_S = 0.01
RECURSION = 20_000  # Lava's compiler recurses once per process


def connect(job: dict, folder: str) -> Sink:
    """Source -> net for every net, all -> one sink, which is returned."""
    parts, base = [], 0
    for i, (net, names) in enumerate(zip(job["nets"], job["names"])):
        fused = FusedNet(net=net, trace=names)
        Source(file=f"{folder}/in_{i}.npy", size=fused.s_in.shape[0]).s_out.connect(fused.s_in)
        for port in (fused.y_out, fused.trace)[: 2 if names else 1]:
            size = port.shape[0]
            parts.append((port, slice(0, size), slice(base, base + size)))
            base += size
    sink = Sink(file=f"{folder}/out.npy", done=f"{folder}/done.npy", size=base)
    gather(parts, base)[0].connect(sink.a_in)
    return sink


def run_lava(executable: Any, steps: int) -> None:
    """Runs under Lava's own runtime.

    Raises:
        ModelFailed: a process model raised or died.
    """
    runtime = Runtime(executable, ActorType.MultiProcessing)
    executable.assign_runtime_to_all_processes(runtime)
    try:
        runtime.initialize()
        runtime.start(RunSteps(num_steps=steps, blocking=False))
        actors = runtime._messaging_infrastructure.actors  # pyright: ignore[reportOptionalMemberAccess]
        while not all(port.probe() for port in runtime.service_to_runtime):
            for actor in actors:
                if not actor.is_alive():
                    # What it raised, it has sent before it ended.
                    raise ModelFailed(
                        actor.exception[1]
                        if actor.exception
                        else f"a Lava process died with exit code {actor.exitcode}"
                    )
            time.sleep(POLL_S)
        runtime.wait()
        runtime.stop()
    except Exception:
        with contextlib.suppress(Exception):  # what failed is the cause; whatever is left ends with this process
            _end_actors(runtime._messaging_infrastructure)
        raise


def _end_actors(infrastructure):
    """What Lava has started so far; the others would wait for ever for the one that failed."""
    if infrastructure is not None:
        for actor in infrastructure.actors:
            actor.kill()
        infrastructure.smm.shutdown()


def simulate(job: dict, folder: str) -> dict[str, float]:
    """Builds and runs a job of `sim.lava.simulate.simulate_together`; its report."""
    start = time.monotonic()
    sink = connect(job, folder)
    executable = sink.compile(Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=job["executor"] == "stock"))
    built = time.monotonic()
    (run_threads if job["threads"] else run_lava)(executable, job["steps"])
    return dict(
        processes=len(executable.proc_builders), build_seconds=built - start, run_seconds=time.monotonic() - built
    )


def serve(folder: str, execute: Callable[[dict, str], dict]) -> NoReturn:
    """Receives a job, has `execute(job, folder)` do it, writes the report, ends this process."""
    job = parent.job()
    forks.end_with_this_process()
    sys.setrecursionlimit(RECURSION)
    try:
        report = execute(job, folder)
    except UserError as error:
        report = dict(user_error=str(error))
    except ModelFailed as error:
        report = dict(error=f"a process model failed:\n{error}")
    except Exception as error:
        # What a model raised while it was built, in its own process, brings its traceback along.
        report = dict(error=f"Lava could not run the net:\n{getattr(error, 'trace', traceback.format_exc())}")
    files.write(f"{folder}/report.json", json.dumps(report))
    os._exit(0)  # what Lava leaves for the interpreter to clear up at its end can wait for ever


if __name__ == "__main__":
    serve(sys.argv[1], simulate)

"""The process in which Lava runs a chain or a graph of layers as stock processes; started by `sim.lava.chains`."""

import sys
import time

from sim.lava import compat, parent

if __name__ == "__main__":
    parent.attend(sys.argv[1])
compat.apply()

from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402

from sim.expansion import expand  # noqa: E402
from sim.lava import convolution  # noqa: E402
from sim.lava.processes.host import Sink, Source, gather  # noqa: E402
from sim.lava.stock import render  # noqa: E402
from sim.lava.threads import run_threads  # noqa: E402
from sim.lava.worker import run_lava, serve  # noqa: E402


def simulate(job: dict, folder: str) -> dict[str, float]:
    """Builds and runs a job of `sim.lava.chains`; its report."""
    start = time.monotonic()
    convolution.mend()
    expansion = expand(job["net"], slot=job["slot"])
    (line,) = expansion.lines
    graph = render(expansion, Source(file=f"{folder}/in.npy", size=line.n).s_out)
    parts, size = [], 0
    for name in job["layers"]:
        taps = graph.outputs[name]
        parts += [(tap.port, tap.columns, size + tap.index) for tap in taps]
        size += sum(len(tap.index) for tap in taps)
    sink = Sink(file=f"{folder}/out.npy", done=f"{folder}/done.npy", size=size)
    gather(parts, size)[0].connect(sink.a_in)
    executable = sink.compile(Loihi2SimCfg(select_tag="fixed_pt"))
    ready = time.monotonic()
    (run_threads if job["threads"] else run_lava)(executable, job["steps"])
    return dict(
        processes=len(executable.proc_builders), build_seconds=ready - start, run_seconds=time.monotonic() - ready
    )


if __name__ == "__main__":
    serve(sys.argv[1], simulate)

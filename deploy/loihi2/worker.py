"""The process that talks to the chip; started by `deploy.loihi2.run` as `sim.lava.simulate` starts `sim.lava.worker`,
with the same protocol.

What of Intel's extension is used, here and nowhere else: `lava.proc.embedded_io.spike.PyToNxAdapter` and
`NxToPyAdapter` (in-port `inp`, out-port `out`),
`Loihi2HwCfg` of lava-nc, which finds the extension's models, and `lava.utils.profiler.Profiler`.
"""

import os
import sys
import time
from typing import Any

import numpy as np

from sim.lava import parent  # isort: skip

if __name__ == "__main__":
    parent.attend(sys.argv[1])

from sim.lava.worker import run_lava, serve

from lava.magma.core.run_configs import Loihi2HwCfg  # isort: skip
from lava.proc.dense.process import Dense  # isort: skip
from lava.proc.lif.process import LIF  # isort: skip
from lava.utils import loihi  # isort: skip

from sim.base.errors import UserError
from sim.expansion import expand
from sim.integer import DECAY_ONE, MESSAGE_BITS, STATE_SHIFT
from sim.lava.processes.host import Sink, Source, gather
from sim.lava.stock import render

ECHO_WEIGHT = 254
HOSTS = {"1": "SLURM", None: "ETHERNET"}  # what Lava calls them, by the variable SLURM


def connect_net(job: dict, folder: str, to_chip: Any, from_chip: Any) -> Sink:
    """Source -> adapter -> the stock graph -> adapters -> sink, which is returned."""
    net = job["net"]
    width = sum(i.size for i in net.inputs)
    graded = {"num_message_bits": net.message_bits} if net.message_bits else {}
    there = to_chip(shape=(width,), **graded)
    graph = render(expand(net, job["names"], job["slot"]), there.out, job["lead"])
    parts, base = [], 0
    for name in (net.nodes[-1].name, *job["names"]):
        for tap in graph.outputs[name]:
            adapter = from_chip(
                shape=tap.port.shape, num_message_bits=MESSAGE_BITS if name == net.nodes[-1].name else 0
            )
            tap.port.connect(adapter.inp)
            parts.append((adapter.out, tap.columns, tap.index + base))
        base += net.node(name).size
    Source(file=f"{folder}/in.npy", size=width).s_out.connect(there.inp)
    return _sink(folder, parts, base)


def connect_probe(job: dict, folder: str, to_chip: Any, from_chip: Any) -> Sink:
    """Two neurons: 0 counts its bias up to the threshold and fires at chip steps clock, 2 clock + 1, ...; 1 fires
    whenever the host's spike arrives.
    """
    neurons = LIF(
        shape=(2,), du=DECAY_ONE - 1, dv=0, vth=job["clock"], bias_mant=np.array([1, 0]), bias_exp=STATE_SHIFT
    )
    synapse = Dense(weights=np.array([[0], [ECHO_WEIGHT]]))
    there, back = to_chip(shape=(1,)), from_chip(shape=(2,), num_message_bits=0)
    Source(file=f"{folder}/in.npy", size=1).s_out.connect(there.inp)
    there.out.connect(synapse.s_in)
    synapse.a_out.connect(neurons.a_in)
    neurons.s_out.connect(back.inp)
    return _sink(folder, [(back.out, slice(0, 2), slice(0, 2))], 2)


def _sink(folder, parts, size):
    sink = Sink(file=f"{folder}/out.npy", done=f"{folder}/done.npy", size=size)
    gather(parts, size)[0].connect(sink.a_in)
    return sink


CONNECT = {"net": connect_net, "probe": connect_probe}


def execute(job: dict, folder: str) -> dict:
    """Builds and runs a job of `deploy.loihi2.run`; its report."""
    for name, value in job["environment"].items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    loihi.host = HOSTS[job["environment"]["SLURM"]]
    try:
        from lava.proc.embedded_io.spike import NxToPyAdapter, PyToNxAdapter
    except ImportError as e:
        raise UserError(
            f"Intel's Loihi extension of Lava is here, but not the part that brings spikes to the chip and back ({e});"
            " reinstall it"
        ) from None
    start = time.monotonic()
    sink = CONNECT[job["task"]](job, folder, PyToNxAdapter, NxToPyAdapter)
    # Without a tag: then Lava takes the extension's models for the chip before its own for the host.
    config = Loihi2HwCfg()
    profiler = start_profiler(config, job["steps"]) if job.get("profile") else None
    executable = sink.compile(config)
    built = time.monotonic()
    run_lava(executable, job["steps"])
    return dict(
        processes=len(executable.proc_builders),
        build_seconds=built - start,
        run_seconds=time.monotonic() - built,
        profile=figures(profiler),
    )


def start_profiler(config: Any, steps: int) -> Any:
    """Lava's profiler, told to measure execution time and energy as far as it can; it hooks itself into `config`."""
    from lava.utils.profiler import Profiler

    try:
        profiler = Profiler.init(config)
    except NotImplementedError as e:
        raise UserError(f"--profile: {e} The extension here has no profiler; run without --profile") from None
    for probe in ("execution_time_probe", "energy_probe"):
        if hasattr(profiler, probe):
            getattr(profiler, probe)(num_steps=steps)
    return profiler


FIGURES = dict(
    execution_seconds="execution_time",
    energy_joules="energy",
    static_energy_joules="static_energy",
    power_watts="power",
)
SUMMED = ("execution_seconds",)  # given per step


def figures(profiler: Any) -> dict:
    """What the profiler has measured, by our names; None where it has nothing."""
    if profiler is None:
        return {}
    values = {ours: getattr(profiler, theirs, None) for ours, theirs in FIGURES.items()}
    return {k: None if v is None else float(np.sum(v) if k in SUMMED else np.mean(v)) for k, v in values.items()}


if __name__ == "__main__":
    serve(sys.argv[1], execute)

"""What runs nets of ours: one protocol, one table of names. All executors give the same spikes, which `deploy.verify`
proves; they differ in how fast they are and in what there is to say of a run.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from sim import engine
from sim.base.errors import UserError
from sim.lava.simulate import EXECUTORS as LAVA
from sim.lava.simulate import simulate
from sim.net import Net
from sim.net.tokens import Stream, inputs

ENGINE, CHIP = "engine", "loihi2"
FUSED, STOCK = LAVA
NAMES = (ENGINE, *LAVA, CHIP)
BACKENDS = {"fast": (ENGINE,), "sim": LAVA, "loihi2": (CHIP,)}  # what `--backend` names, and the executors there

Probes = Sequence[str] | Literal["all"]
Progress = Callable[[int, int], object]  # called with the number of steps done and the number of all


@dataclass(frozen=True, eq=False)
class Traces:
    """What an executor gave for some samples.

    Attributes:
        logits: int64 [B, classes], the read-out summed over the sample.
        layers: name -> [B, S, n] in stream time, of the probed layers: uint8 spikes, int32 read-out.
        seconds: wall time of the steps.
    """

    logits: np.ndarray
    layers: dict[str, np.ndarray]
    seconds: float


class Executor(Protocol):
    """Runs nets of ours on samples, side by side or one after the other."""

    @property
    def name(self) -> str:
        """One of `NAMES`."""
        ...

    def run(self, net: Net, stream: Stream, probes: Probes = (), progress: Progress | None = None) -> Traces:
        """What the probed layers (and the read-out) give.

        Raises:
            UserError: the input is for another geometry, the net does not fit. SimulationError: it ended before its
                time.
        """
        ...

    def count(self, net: Net, stream: Stream, progress: Progress | None = None) -> engine.Result:
        """The read-out, spikes and operations of a run, without traces. Raises as `run`."""
        ...

    def facts(self) -> dict[str, Any]:
        """What there is to say of the runs so far, as JSON values: `backend`, and what the executor has beside it."""
        ...


class Engine:
    """The integer engine, on all cores."""

    name = ENGINE

    def run(self, net: Net, stream: Stream, probes: Probes = (), progress: Progress | None = None) -> Traces:
        start = time.monotonic()
        found = engine.run(net, stream, trace=probes)
        return Traces(found.logits, found.traces, time.monotonic() - start)

    def count(self, net: Net, stream: Stream, progress: Progress | None = None) -> engine.Result:
        return engine.run(net, stream)

    def facts(self) -> dict[str, Any]:
        return dict(backend="fast")


class Lava:
    """Lava's CPU simulator.

    Args:
        name: `fused` for the net as one process, `stock` for Lava's own neurons and synapses.
        threads, timeout_s: of `sim.lava.simulate.simulate`.
    """

    def __init__(self, name: str = FUSED, threads: bool = False, timeout_s: float | None = None):
        self.name, self.threads, self.timeout_s = name, threads, timeout_s
        self._facts: dict[str, Any] = dict(backend="sim")

    def run(self, net: Net, stream: Stream, probes: Probes = (), progress: Progress | None = None) -> Traces:
        found = simulate(net, stream, self.name, probes, self.threads, self.timeout_s, progress=progress)
        runtime = "threads" if self.threads else "processes"
        self._facts |= dict(executor=self.name, runtime=runtime, processes=found.processes)
        return Traces(found.logits, found.traces, found.run_seconds)

    def count(self, net: Net, stream: Stream, progress: Progress | None = None) -> engine.Result:
        return counted(net, stream, self.run(net, stream, "all", progress))

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)


def table(threads: bool = False, timeout_s: float | None = None, chip: Executor | None = None) -> dict[str, Executor]:
    """Name -> executor. `loihi2` is there if there is a board to run on: `chip`, a `deploy.loihi2.run.Chip`."""
    found: dict[str, Executor] = {ENGINE: Engine()}
    found |= {name: Lava(name, threads, timeout_s) for name in LAVA}
    return found if chip is None else found | {CHIP: chip}


def check_names(names: Iterable[str], known: Sequence[str] = NAMES, where: str = "") -> None:
    """Raises `UserError` for a name that is none of those known."""
    for name in names:
        if name not in known:
            raise UserError(f"unknown executor {name!r}, {where}there are: {', '.join(known)}")


def others(names: Iterable[str], there: dict[str, Executor]) -> list[Executor]:
    """The executors of these names that are held against the engine, each once.

    Raises:
        UserError: an unknown name; the chip without a board.
    """
    names = tuple(dict.fromkeys(names))
    check_names(names)
    if CHIP in names and CHIP not in there:
        raise UserError("the executor loihi2 needs a board: name a partition, a board or a host")
    return [there[name] for name in names if name != ENGINE]


def counted(net: Net, stream: Stream, found: Traces) -> engine.Result:
    """What the spikes of all layers themselves say; without the ranges of the states, which stay inside."""
    sent = inputs(net, stream)
    spikes = {i.name: (sent[i.name] != 0).astype(np.uint8) if i.message_bits else sent[i.name] for i in net.inputs}
    spikes |= found.layers
    return engine.Result(
        found.logits,
        spikes={name: int(x.sum(dtype=np.int64)) for name, x in spikes.items() if name != net.nodes[-1].name},
        synops={node.name: engine.synops(node.synapses, spikes) for node in net.nodes},
        sent=stream.sent,
    )

"""Runs a net on a chip, from outside: as `sim.lava.simulate` runs it in Lava's simulator, with the same watchdog.

Three things differ. What arrives on the chip is late by the adapter's steps, and what comes back once more: a probe of
two neurons measures both before the net runs (`measure`). The extension resets neurons only at powers of two, so
samples lie in slots of such a length. And all that the host sends, tokens, token on turn and both reversed, goes
through one adapter."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim import engine
from sim.base import scratch
from sim.base.errors import SimulationError, UserError
from sim.integer import MESSAGE_BITS
from sim.lava.simulate import Simulation, Traffic, run_worker
from sim.net import Cuba, Net
from sim.net.schedule import latencies
from sim.net.tokens import Stream

from ..run.executors import CHIP, Probes, Progress, Traces, counted
from .access import Access, environment

WORKER = "deploy.loihi2.worker"
STALL_S = 900  # compiling, waiting for a board and booting it come before the first step
# the probe's clock fires at chip step CLOCK and every CLOCK + 1 steps from there; its echo answers spikes sent in these
# rows
CLOCK = 20
ECHO_ROWS = (20, 41, 62)
PROBE_STEPS = 160


class Chip:
    """A board as an executor (`deploy.run.executors.Executor`).

    Args:
        access: the board.
        probes: where it counts, read the spikes of all layers out, and count those. Else only the read-out comes from
            the chip and the engine counts spikes and operations.
        profile: measure time and energy.
        timeout_s: end a run after so many seconds; None for never.
    """

    name = CHIP

    def __init__(self, access: Access, probes: bool = False, profile: bool = False, timeout_s: float | None = None):
        self.access, self.probes, self.profile, self.timeout_s = access, probes, profile, timeout_s
        self._facts, self._wrong = [], 0

    def run(self, net: Net, stream: Stream, probes: Probes = (), progress: Progress | None = None) -> Traces:
        """See `Executor.run`; every probed layer is read out."""
        found, facts = run_chip(net, stream, self.access, probes, self.profile, self.timeout_s, progress=progress)
        self._facts.append(facts)
        return Traces(found.logits, found.traces, found.run_seconds)

    def count(self, net: Net, stream: Stream, progress: Progress | None = None) -> engine.Result:
        """See `Executor.count`."""
        found = self.run(net, stream, "all" if self.probes else (), progress)
        expected = engine.run(net, stream)
        self._wrong += int((expected.logits != found.logits).any(1).sum())
        result = counted(net, stream, found) if self.probes else expected
        result.logits = found.logits
        return result

    def facts(self) -> dict[str, Any]:
        """dict of JSON values: backend, access, slot, delays, counts_from, samples_unlike_engine (whose read-out is not
        the engine's), and the profile's sums.
        """
        first = self._facts[0]
        summed = {
            k: None if v is None else sum(f[k] for f in self._facts)
            for k, v in first.items()
            if k.endswith(("seconds", "joules"))
        }
        counts_from = "chip" if self.probes else "engine"
        return dict(
            backend=CHIP,
            access=asdict(self.access),
            counts_from=counts_from,
            samples_unlike_engine=self._wrong,
            **(first | summed),
        )


@dataclass(frozen=True)
class Delays:
    """Steps from the host to the chip and back."""

    there: int
    back: int


def run_chip(
    net: Net,
    stream: Stream,
    access: Access,
    trace: Sequence[str] | str = (),
    profile: bool = False,
    timeout_s: float | None = None,
    stall_s: float = STALL_S,
    progress: Callable[..., object] | None = None,
) -> tuple[Simulation, dict]:
    """Runs samples on a chip.

    Args:
        net, stream, trace, timeout_s, stall_s, progress: as in `sim.lava.simulate.simulate`; every traced layer is read
            out through adapters of its own.
        access: `deploy.loihi2.access.Access`.
        profile: measure time and energy with Lava's profiler.

    Returns:
        (`sim.lava.simulate.Simulation`, facts): facts is a dict of JSON values: slot (steps from sample to sample),
        delays, and, with `profile`, execution_seconds, energy_joules, static_energy_joules, power_watts, each None
        where the extension has no such figure.

    Raises:
        UserError: the net or the input does not fit; the board cannot be had.
        SimulationError: the run ended before its time, or the chip does not answer as assumed.
    """
    traffic = Traffic(net, stream, trace, slot_of(net))
    delays = measure(access, timeout_s, stall_s)
    steps = traffic.steps + delays.there + delays.back
    with scratch.folder("chip") as folder:
        np.save(f"{folder}/in.npy", traffic.rows)
        job = dict(
            task="net",
            environment=environment(access),
            net=net,
            names=traffic.names,
            slot=traffic.slot,
            lead=delays.there,
            steps=steps,
            profile=profile,
        )
        out, report = run_worker(folder, job, traffic.width, timeout_s, stall_s, progress, WORKER)
        out = np.array(out[delays.there + delays.back :])
    out[:, : net.nodes[-1].size] = signed(out[:, : net.nodes[-1].size])
    return traffic.result(out, steps, report), dict(slot=traffic.slot, delays=asdict(delays), **report["profile"])


def slot_of(net: Net) -> int:
    """Steps from the start of a sample to that of the next: the power of two that holds the sample and the pipeline's
    latency.

    Raises:
        UserError: a layer that resets at every frame, with frames that are no power of two.
    """
    for node in net.nodes:
        if isinstance(node, Cuba) and node.frame_reset and net.places & (net.places - 1):
            raise UserError(
                f"layer {node.name!r}: resets at every frame of {net.places} steps, but Lava's Loihi extension resets"
                " neurons only every 2, 4, 8, ... steps; send a number of tokens that is a power of two, or train"
                " without the frame reset"
            )
    return 1 << (net.steps + max(latencies(net).values()) - 1).bit_length()


def signed(values: np.ndarray) -> np.ndarray:
    """Graded messages arrive as 24 bits; those as signed integers."""
    half = 1 << MESSAGE_BITS - 1
    return ((values & (2 * half - 1)) ^ half) - half


def measure(access: Access, timeout_s: float | None = None, stall_s: float = STALL_S) -> Delays:
    """`Delays` of a board's adapters, measured with two neurons: one that fires by itself at known chip steps, one that
    answers the host.

    Raises:
        SimulationError: no answer, or one that is not the same every time.
    """
    rows = np.zeros((PROBE_STEPS, 1), np.uint8)
    rows[list(ECHO_ROWS)] = 1
    with scratch.folder("chip") as folder:
        np.save(f"{folder}/in.npy", rows)
        job = dict(task="probe", environment=environment(access), clock=CLOCK, steps=PROBE_STEPS)
        out, _ = run_worker(folder, job, 2, timeout_s, stall_s, None, WORKER)
        clock, echo = (np.flatnonzero(out[:, i]) for i in (0, 1))
    expected = np.arange(CLOCK, PROBE_STEPS, CLOCK + 1)
    n = len(clock)
    back, around = clock - expected[:n], echo[: len(ECHO_ROWS)] - np.array(ECHO_ROWS[: len(echo)]) - 1
    if (
        not n
        or len(echo) != len(ECHO_ROWS)
        or len(set(back)) != 1
        or len(set(around)) != 1
        or not 0 <= back[0] <= around[0]
    ):
        raise SimulationError(
            f"the chip does not answer as expected: a clock of period {CLOCK + 1} came back at steps {clock.tolist()},"
            f" an echo of the steps {list(ECHO_ROWS)} at {echo.tolist()}"
        )
    return Delays(int(around[0] - back[0]), int(back[0]))

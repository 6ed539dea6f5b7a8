"""Nets, what goes in and what comes out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np

from events.encoder import Encoder
from events.recordings import EVENT
from sim import engine, netx
from sim.base.errors import UserError
from sim.base.plain import Json
from sim.net import Net as Core
from sim.net import tokens
from sim.net.schedule import latencies
from sim.net.tokens import Stream

Trace: TypeAlias = Sequence[str] | str
Recording: TypeAlias = np.ndarray | str | os.PathLike  # events or a picture, or the file that holds them
Samples: TypeAlias = Recording | Sequence[Recording] | Stream  # what a net can be run on: see `encode`


@dataclass(frozen=True, eq=False)
class Result:
    """What a run gave.

    Attributes:
        scores: int64 [samples, classes], the read-out summed over each sample.
        predictions: int64 [samples], the class with the highest score, ties to the lowest.
        traces: layer or input -> uint8 [samples, steps, neurons], its spikes (int32 for the read-out), as asked for.
        spikes: layer or input -> number of its spikes, all samples together.
        synops: layer -> synaptic operations that arrived at it, all samples together: for every spike one for every
            weight other than zero that it meets.
        sent: tokens that were sent, all samples together.
        classes: names of the classes.
    """

    scores: np.ndarray
    predictions: np.ndarray
    traces: dict[str, np.ndarray] = field(default_factory=dict)
    spikes: dict[str, int] = field(default_factory=dict)
    synops: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    classes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Name of the class of each sample."""
        return [self.classes[p] if p < len(self.classes) else str(p) for p in self.predictions]

    def __repr__(self) -> str:
        shown = ", ".join(self.names[:8]) + (", …" if len(self.predictions) > 8 else "")
        return (
            f"Result({len(self.predictions)} samples: {shown}; {sum(self.spikes.values()):,} spikes,"
            f" {sum(self.synops.values()):,} synaptic operations)"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Net:
    """A net for recordings, in the chip's integers.

    Attributes:
        core: `sim.net.Net`, its nodes and geometry.
        path: the file that it comes from, or None.
        report: what the export measured, if it has just been exported.
    """

    core: Core
    path: str | None = None
    report: dict[str, Json] | None = None

    def run(self, what: Samples, trace: Trace = ()) -> Result:
        """Runs the integer engine.

        Args:
            what: as of `encode`.
            trace: names of layers and inputs whose spikes to keep, or "all".

        Raises:
            UserError: a recording of another sensor, a stream of another geometry, an unknown layer.
        """
        return _result(self.core, engine.run(self.core, encode(self, what), _checked(self.core, trace)))

    @cached_property
    def encoder(self) -> Encoder:
        """What makes the net's token streams from events.

        Raises:
            UserError: the net has none.
        """
        if not self.core.encoder:
            raise UserError("the net has no encoder: give it spikes, a Stream or an array, instead of events")
        return Encoder.of(self.core.encoder)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.core.classes)

    @property
    def steps(self) -> int:
        """Time steps of a sample."""
        return self.core.steps

    @property
    def latency(self) -> int:
        """Time steps on the chip from a token to the answer to it."""
        return latencies(self.core)[self.core.nodes[-1].name]

    @property
    def layers(self) -> list[dict[str, Json]]:
        """One dict of plain values an input and layer (`sim.netx.describe`)."""
        return netx.describe(self.core)

    def save(self, path: str | os.PathLike) -> str:
        """Writes the net to a file; returns its digest.

        Raises:
            UserError: it cannot be written.
        """
        return netx.write(self.core, path)

    def __repr__(self) -> str:
        where = "" if self.path is None else f"{self.path!r}, "
        return f"{where}{self.core!r}".join(("smolmamba.Net(", ")"))

    def _repr_html_(self) -> str:
        return self.core._repr_html_()


def load(path: str | os.PathLike) -> Net:
    """Reads a net; every size, type, range and the digest are checked.

    Raises:
        UserError: one line that says what is wrong with the file; a chain of layers that SLAYER has exported (use
            `sim.load`).
    """
    core = netx.load(path)
    if not isinstance(core, Core):
        raise UserError(
            f"{path}: a chain of layers without tokens and encoder; sim.load reads it, its run takes spikes"
        )
    return Net(core, os.fspath(path))


def as_net(net: Net | Core | str | os.PathLike) -> Net:
    """A net that was given as such, as its core or as its file."""
    if isinstance(net, Net):
        return net
    return Net(net) if isinstance(net, Core) else load(net)


def encode(net: Net | Core | str | os.PathLike, what: Samples) -> Stream:
    """The token stream that a net reads.

    Args:
        what: one recording (a structured array with the fields x, y, p and t in microseconds, or the path of a file;
            for nets that read pictures, uint8 [3, height, width], or the path of a picture), a list of recordings, a
            `Stream`, or, for nets that send every token, spikes as an array of 0 and 1, or messages, [samples, steps,
            channels] or [steps, channels].

    Raises:
        UserError: none of these, or not for this net.
    """
    net = as_net(net)
    if isinstance(what, Stream):
        return what
    if net.core.message_bits and net.core.encoder:
        pictures = _pictures(net.encoder, what)
        if pictures is not None:
            return net.encoder.encode_all(pictures)
    if isinstance(what, np.ndarray) and what.dtype.names is None:
        return tokens.checked(net.core, what[None] if what.ndim == 2 else what)
    many = what if isinstance(what, Sequence) and not isinstance(what, str) else [what]
    return net.encoder.encode_all([_events(recording) for recording in many])


def _pictures(encoder: Encoder, what: Recording | Sequence[Recording]) -> list[np.ndarray] | None:
    """Pictures that were given as such, by their paths or in a list; None for spikes as an array."""
    if isinstance(what, np.ndarray):
        one = what.shape == (encoder.planes, encoder.height, encoder.width)
        return [what] if one else list(what) if what.ndim == 4 else None
    from events.pictures import Photograph

    many = what if isinstance(what, Sequence) and not isinstance(what, str) else [what]
    return [Photograph(encoder.height)(p) if isinstance(p, (str, os.PathLike)) else np.asarray(p) for p in many]


def _events(recording: Recording) -> np.ndarray:
    if isinstance(recording, (str, os.PathLike)):
        from events.formats import read

        return read(os.fspath(recording))[0]
    events = np.asarray(recording)
    missing = [name for name in EVENT.names or () if name not in (events.dtype.names or ())]
    if missing:
        raise UserError(
            f"a recording is a structured array with the fields x, y, p and t; {', '.join(missing)} missing"
        )
    return events.astype(EVENT, copy=False) if events.dtype != EVENT else events


def rows(net: Net | Core | str | os.PathLike, what: Samples) -> np.ndarray:
    """uint8 [samples, steps, lines]: the spikes that the host sends, as the `inp` of `smolmamba.lava.Network` takes
    them. what: as of `encode`.
    """
    net = as_net(net)
    return tokens.rows(net.core, tokens.checked(net.core, encode(net, what)))


def simulate(
    net: Net | Core | str | os.PathLike,
    what: Samples,
    executor: str = "fused",
    trace: Trace = (),
    threads: bool = False,
    timeout_s: float | None = None,
) -> Result:
    """Runs Lava's CPU simulator, in a process of its own; the same spikes as `Net.run`.

    Args:
        what: as of `encode`.
        executor: `fused` for the net as one Lava process, `stock` for Lava's own neurons and synapses.
        trace: names of layers and inputs whose spikes to keep, or "all".
        threads: Lava's process models as threads of one process: faster, without Lava's runtime.
        timeout_s: end the simulation after so many seconds.

    Raises:
        UserError: as of `Net.run`; an unknown executor. SimulationError: Lava ended before its time.
    """
    from deploy.run.executors import Lava, counted

    core, stream = as_net(net).core, encode(net, what)
    wanted = _checked(core, trace)
    stream = tokens.checked(core, stream)
    traces = Lava(executor, threads, timeout_s).run(core, stream, "all")
    every = tokens.inputs(core, stream) | traces.layers
    found = counted(core, stream, traces)
    found.traces = {name: every[name] for name in (every if wanted == "all" else wanted)}
    return _result(core, found)


def _checked(core: Core, trace: Trace) -> Trace:
    if trace == "all":
        return trace
    names = [trace] if isinstance(trace, str) else list(trace)
    known = [*(i.name for i in core.inputs), *(n.name for n in core.nodes)]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"trace: no layer {unknown[0]!r}; there are {', '.join(known)}")
    return names


def _result(core: Core, found: engine.Result) -> Result:
    return Result(
        found.logits, found.predictions, found.traces, found.spikes, found.synops, found.sent, tuple(core.classes)
    )

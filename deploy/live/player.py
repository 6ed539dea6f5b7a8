"""Live inference: frame after frame of a stream of events through a net that keeps its states, with a decision after
each, against the clock.
"""

import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from events import Encoder
from sim.base import files
from sim.base.errors import UserError
from sim.engine.session import Session
from sim.net.tokens import EMPTY

from .sources import fit


@dataclass(frozen=True)
class Decision:
    """What the net says after one frame.

    Attributes:
        frame: its number in the stream, from 0; numbers that are missing were dropped.
        end_us: microseconds of the stream that it has seen.
        label: argmax of the scores, ties to the lowest index.
        scores: read-out per class, summed over the window.
        events: number of events in the frame.
        kept: share of the frame's tokens that were sent.
        busy_ms: from the events to the decision.
        latency_ms: from the moment the frame was complete to the decision; equals `busy_ms` when nobody waits for the
            clock.
        dropped: frames dropped so far.
    """

    frame: int
    end_us: int
    label: int
    scores: list
    events: int
    kept: float
    busy_ms: float
    latency_ms: float
    dropped: int


class Classifier:
    """A net with its encoder and its running sum.

    Attributes:
        encoder: the net's.
        pixels: uint8 [2, H, W], the last frame as the net saw it.
        classes: their names, as far as there are any. outputs: how many there are.
        which: int16 [K], the tokens of the last frame that were sent, -1 for empty places.
        session: the net's states.
        kept: share of the last frame's tokens that were sent.
    """

    def __init__(self, net, window=None, reset=True):
        """
        Args:
            net: `sim.net.Net`.
            window: frames over which the read-out is summed, the net's T by default; 0: all since the stream began.
            reset: states and token counts start anew every T frames, as recordings of T frames do; the sum does not.
                Otherwise they run on.

        Raises:
            UserError: the net's encoder is missing, cuts frames by a count of events, or makes another input than the
                net takes.
        """
        self.encoder = Encoder.of(net.encoder)
        if self.encoder.message_bits:
            raise UserError("the net reads pictures, not a stream of events; run it with deploy run")
        if self.encoder.frame_events:
            raise UserError(
                f"the net's frames hold {self.encoder.frame_events} events each (its encoder's frame_events), a stream"
                " is cut into frames by time; run it on recordings with deploy run, or train a net with frame_events 0"
            )
        made = self.encoder.tokens, self.encoder.channels, self.encoder.per_frame
        if made != (net.tokens, net.inputs[0].size, net.places):
            raise UserError(
                f"the net takes {net.places} of {net.tokens} tokens of {net.inputs[0].size} channels, its encoder sends"
                f" {made[2]} of {made[0]} of {made[1]}; export it again"
            )
        self.net, self.reset = net, reset
        self.classes, self.outputs = tuple(net.classes), net.nodes[-1].size
        self._one_frame = replace(self.encoder, frames=1)
        self.session, self._selector = Session(net), self.encoder.selector()
        window = net.frames if window is None else window
        self._sums = deque(maxlen=window or None)
        self._total = np.zeros(net.nodes[-1].size, np.int64)
        self.pixels = np.zeros((2, *self.encoder.frame_shape), np.uint8)
        self.which, self.kept = np.full(net.places, EMPTY, np.int16), 0.0

    def warm_up(self) -> None:
        """Compiles what a frame needs, on a session of its own, before any clock runs."""
        Session(self.net).run(self.encoder.selector().stream(np.zeros_like(self.pixels)[None]))

    def frame(self, events: np.ndarray) -> np.ndarray:
        """Scores, int64 [classes], after one more frame. events: EVENT [n], all of this frame; their times do not
        matter.
        """
        if self.reset and self.session.frames == self.net.frames:
            self.session.reset()
            self._selector = self.encoder.selector()
        now = events.copy()
        now["t"] = 0
        self.pixels = self._one_frame.frames_of(now)[0]
        stream = self._selector.stream(self.pixels[None])
        self.which, self.kept = stream.which[0], stream.sent / self.net.tokens
        out = self.session.run(stream)[0][0]
        if self._sums.maxlen is not None:
            if len(self._sums) == self._sums.maxlen:
                self._total -= self._sums[0]
            self._sums.append(out)
        self._total += out
        return self._total


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for matrix products and for the engine: a frame is too little work to share, and threads that wait for
    each other cost hundreds of
    times what they save as soon as anything else runs on the machine."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        numba.set_num_threads(before)


class Clock:
    """The wall clock; tests have their own."""

    now = staticmethod(time.perf_counter)
    sleep = staticmethod(time.sleep)


class Player:
    """Plays a source; iterate for a `Decision` for every frame that is run.

    Frame k is complete at `(k + 1) * frame_us / speed` from the start and runs then. If the frame after it is complete
    by the time that its turn
    comes, it is dropped: its events are lost, and for the net the frame did not happen.

    Attributes:
        dropped: frames dropped so far.
    """

    def __init__(self, classifier, source, speed=1.0, limit=None, fitted=False, clock=Clock):
        """
        Args:
            classifier: `Classifier`, or `deploy.live.others.StepClassifier`.
            source: see `deploy.live.sources`.
            speed: 1 is real time; 0 does not wait, and never drops.
            limit: end after so many frames of the stream.
            fitted: put another sensor's events on the net's grid (`deploy.live.sources.fit`).

        Raises:
            UserError: the source's sensor is not the encoder's.
        """
        self.classifier, self.source, self.limit, self.clock = classifier, source, limit, clock
        self.period_s = classifier.encoder.frame_us / (1e6 * speed) if speed else 0.0
        self.wanted = classifier.encoder.width, classifier.encoder.height
        self.fitted, self.dropped = fitted, 0
        self.sensor = source.size or getattr(source, "usual", None)
        _check_sensor(source, self.sensor, self.wanted, fitted)

    def __iter__(self):
        now, frame_us = self.clock.now, self.classifier.encoder.frame_us
        self.classifier.warm_up()
        start = now()
        for k in itertools.count() if self.limit is None else range(self.limit):
            due = start + (k + 1) * self.period_s
            if (wait := due - now()) > 0:
                self.clock.sleep(wait)
            begin = now()
            events = self.source.take((k + 1) * frame_us)
            if events is None:
                return
            if self.period_s and begin >= due + self.period_s:
                self.dropped += 1
                continue
            scores = self.classifier.frame(fit(events, self.sensor, self.wanted) if self.fitted else events)
            end = now()
            yield Decision(
                k,
                (k + 1) * frame_us,
                int(scores.argmax()),
                scores.tolist(),
                len(events),
                self.classifier.kept,
                1e3 * (end - begin),
                1e3 * (end - (due if self.period_s else begin)),
                self.dropped,
            )


def _check_sensor(source, sensor, wanted, fitted):
    if fitted and sensor is None:
        raise UserError(
            f"{source.name} does not say how large its sensor is, so it cannot be fitted to {wanted[0]} x {wanted[1]}"
        )
    if not fitted and source.size not in (None, wanted):
        raise UserError(
            f"{source.name} is of a {source.size[0]} x {source.size[1]} sensor, the net takes {wanted[0]} x"
            f" {wanted[1]}; --fit takes the middle of the picture and joins pixels"
        )


@contextmanager
def recorder(path: str | Path | None) -> Iterator[Callable[[Decision], object]]:
    """Yields a function that notes a `Decision` as one line of JSON. The file takes its name at the end; a stream that
    is broken off leaves none.

    path: None notes nothing.

    Raises:
        UserError: the folder is missing or not writable.
    """
    if path is None:
        yield lambda decision: None
        return
    with files.writing(path, "w") as file:
        yield lambda decision: file.write(json.dumps(asdict(decision)) + "\n")

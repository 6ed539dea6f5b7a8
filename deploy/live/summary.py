"""What a stream did, in numbers, whatever its length: nothing grows with it."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from sim.base.errors import UserError

from .player import Decision

RECENT = 10_000  # frames that percentiles are of


@dataclass(frozen=True)
class Summary:
    """A stream in numbers.

    Times in ms, percentiles of the last `RECENT` frames, means and largest values of all; `real_time_factor`: length of
    a frame over the mean time it keeps the machine busy.
    """

    frames: int
    dropped: int
    events: int
    frame_ms: float
    busy_ms: dict
    latency_ms: dict
    real_time_factor: float
    kept: float
    label: int
    scores: list


class Tally:
    """Counts decisions as they come, and forgets them.

    Attributes:
        frames: how many there were.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._events, self._kept, self._last = 0, 0.0, None
        self._times = {"busy_ms": _Times(), "latency_ms": _Times()}

    def add(self, decision: Decision) -> None:
        self.frames += 1
        self._events += decision.events
        self._kept += decision.kept
        self._last = decision
        for name, times in self._times.items():
            times.add(getattr(decision, name))

    def summary(self, frame_us: float, dropped: int) -> Summary:
        """Of frames of `frame_us`, so many of which were dropped.

        Raises:
            UserError: there is no decision.
        """
        if self._last is None:
            raise UserError(
                f"no frame was run, {dropped} were dropped: this machine is too slow for the stream; lower --speed (0"
                " does not wait)"
            )
        busy, late = (times.facts(self.frames) for times in self._times.values())
        return Summary(
            self.frames,
            dropped,
            self._events,
            frame_us / 1e3,
            busy,
            late,
            frame_us / 1e3 / max(busy["mean"], 1e-9),
            self._kept / self.frames,
            self._last.label,
            self._last.scores,
        )


class _Times:
    def __init__(self):
        self._sum, self._largest, self._recent = 0.0, 0.0, deque(maxlen=RECENT)

    def add(self, ms):
        self._sum += ms
        self._largest = max(self._largest, ms)
        self._recent.append(ms)

    def facts(self, n):
        p50, p99 = np.percentile(np.array(self._recent), (50, 99)).tolist()
        return dict(mean=self._sum / n, p50=p50, p99=p99, max=self._largest)

"""Recordings as spikes of pixels, for nets that see a whole sensor at once, as those of others do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.base.errors import UserError

STEP_US = 1000.0
LOOKED_AT = 256  # recordings that say how many steps are made
STEPS_LIMIT = 100_000


@dataclass(frozen=True, eq=False)
class SpikeFrames:
    """Recordings as uint8 [n, steps, *layout], made when they are asked for: `frames[rows]`, `frames[rows, steps]`.

    Step k of a recording has a 1 where a pixel sent an event at first + k step_us up to first + (k + 1) step_us, first
    being its first event's time; how many makes no difference. Events after the last step are left out.

    Attributes:
        events: arrays of dtype `events.EVENT`.
        height, width: the sensor.
        layout: what the net takes: (2, height, width), off events in channel 0 and on events in channel 1; (1, height,
            width), both together; or the size of one of these as a vector.
        step_us: microseconds of a step.
        steps: of each recording; 0: as many as the longest one of the first `LOOKED_AT` takes.

    Raises:
        UserError: another layout; no events at all, where `steps` is not given.
    """

    events: Sequence
    height: int
    width: int
    layout: tuple
    step_us: float = STEP_US
    steps: int = 0
    _channels: int = field(init=False)

    def __post_init__(self):
        size = math.prod(self.layout)
        channels = size // (self.height * self.width)
        fits = self.layout in ((size,), (channels, self.height, self.width))
        if channels not in (1, 2) or size != channels * self.height * self.width or not fits:
            h, w = self.height, self.width
            raise UserError(
                f"the net takes {self.layout}, recordings of {w} x {h} pixels give (2, {h}, {w}) or (1, {h}, {w})"
            )
        object.__setattr__(self, "_channels", channels)
        if not self.steps:
            object.__setattr__(self, "steps", self._longest())

    def _longest(self):
        spans = [int(found["t"][-1] - found["t"][0]) for found in self.events[:LOOKED_AT] if len(found)]
        if not spans:
            raise UserError("recordings without events do not say how many steps they take; name --steps")
        steps = int(max(spans) // self.step_us) + 1
        if steps > STEPS_LIMIT:
            raise UserError(
                f"the longest recording takes {steps:,} steps of {self.step_us:g} us, at most {STEPS_LIMIT:,} are made"
                " unasked; name --steps, or longer ones with --step-us"
            )
        return steps

    @property
    def shape(self) -> tuple:
        """(n, steps, *layout)."""
        return (len(self.events), self.steps, *self.layout)

    def __len__(self):
        return len(self.events)

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, steps = key if isinstance(key, tuple) else (key, slice(None))
        if isinstance(rows, int):
            return self[rows : rows + 1 or None, steps][0]
        begin, end, _ = steps.indices(self.steps)
        return np.stack([self._one(found, begin, end) for found in self.events[rows]])

    def _one(self, found, begin, end):
        out = np.zeros((end - begin, self._channels, self.height, self.width), np.uint8)
        if len(found):
            step = ((found["t"] - found["t"][0]) // self.step_us).astype(np.int64) - begin
            here = found[(0 <= step) & (step < len(out))]
            step = step[(0 <= step) & (step < len(out))]
            out[step, (here["p"] > 0) * (self._channels - 1), here["y"], here["x"]] = 1
        return out.reshape(len(out), *self.layout)

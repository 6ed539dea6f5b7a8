"""Live inference with nets that have no encoder: chains and graphs of layers that take a sensor's pixels, step by
step.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from deploy.run.chain import usual_readout
from events.frames import STEP_US
from sim.base.errors import UserError
from sim.net.tokens import EMPTY
from sim.sequential import Sequential, Stream
from sim.sequential.graph import Graph, GraphStream

STEPS = 50  # from decision to decision


@dataclass(frozen=True)
class Sensor:
    """What stands in an encoder's place: a frame is so many steps, and all of it is one token.

    Attributes:
        width, height: pixels. frame_us: microseconds from decision to decision.
    """

    width: int
    height: int
    frame_us: float
    tokens: int = 1
    grid: tuple = (1, 1)

    @property
    def frame_shape(self) -> tuple:
        """(height, width)."""
        return self.height, self.width

    @property
    def stride(self) -> int:
        """Pixels of a token."""
        return max(self.frame_shape)


class StepClassifier:
    """A net at work on a stream, as `deploy.live.player.Classifier`: a frame is `steps` steps, and its states run on.

    Attributes:
        encoder: `Sensor`. classes: (); outputs: how many there are.
        pixels: uint8 [2, H, W], where the last frame had events.
        which, kept: the one token, sent.
    """

    classes, kept = (), 1.0

    def __init__(
        self,
        net: Sequential | Graph,
        step_us: float | None = None,
        steps: int | None = None,
        window: int | None = None,
        reset: bool = True,
    ):
        """
        Args:
            net: takes spikes (1 or 2, height, width).
            step_us: microseconds of a step, 1000 by default. steps: from decision to decision, `STEPS` by default.
            window: frames over which the read-out is summed; None or 0: since the beginning.
            reset: with a window, states begin anew after each.

        Raises:
            UserError: the net takes something else.
        """
        shape = net.layers[0].shape
        if net.input_kind != "spikes" or len(shape) != 3 or shape[0] not in (1, 2):
            raise UserError(
                f"the net takes {net.input_kind} of shape {shape}; a sensor gives spikes of (2, height, width) or"
                " (1, height, width)"
            )
        self.net, self.step_us, self.steps = net, step_us or STEP_US, steps or STEPS
        self.encoder = Sensor(shape[2], shape[1], self.step_us * self.steps)
        self.outputs = int(np.prod(net.layers[-1].shape))
        self._readout, self._every = usual_readout(net), window if reset else None
        self._sums: deque = deque(maxlen=window or None)
        self._total = np.zeros(self.outputs, np.int64)
        self._state, self._frames = self._begin(), 0
        self.pixels, self.which = np.zeros((2, *shape[1:]), np.uint8), np.full(1, EMPTY, np.int16)

    def _begin(self):
        return (GraphStream if isinstance(self.net, Graph) else Stream)(self.net, 1)

    def warm_up(self) -> None:
        """Compiles what a frame needs, on states of its own."""
        self._begin().advance(np.zeros((1, self.steps, *self.net.layers[0].shape), np.uint8), self._wanted())

    def _wanted(self):
        return (self.net.layers[-1].name,) if self._readout == "last" else ()

    def frame(self, events: np.ndarray) -> np.ndarray:
        """Scores, int64 [outputs], after one more frame. events: EVENT [n], all of this frame; their times count from
        where frames begin.
        """
        if self._every and self._frames == self._every:
            self._state, self._frames = self._begin(), 0
        channels = self.net.layers[0].shape[0]
        x = np.zeros((1, self.steps, *self.net.layers[0].shape), np.uint8)
        step = (events["t"] % self.encoder.frame_us // self.step_us).astype(np.int64)
        on = (events["p"] > 0).astype(np.int64)
        x[0, np.minimum(step, self.steps - 1), on * (channels - 1), events["y"], events["x"]] = 1
        self.pixels = np.zeros_like(self.pixels)
        self.pixels[on, events["y"], events["x"]] = 1
        self.which = np.zeros(1, np.int16)
        out, states = self._state.advance(x, self._wanted())
        self._frames += 1
        return self._add(out[self.net.layers[-1].name], states)

    def _add(self, sent, states):
        if self._readout == "last":  # membranes have summed already
            return states[self.net.layers[-1].name]["v"][0, -1].ravel().astype(np.int64)
        flat = sent[0].reshape(self.steps, -1)
        now = np.count_nonzero(flat, axis=0) if self._readout == "count" else flat.sum(0, dtype=np.int64)
        if self._sums.maxlen is not None:
            if len(self._sums) == self._sums.maxlen:
                self._total -= self._sums[0]
            self._sums.append(now)
        self._total = self._total + now
        return self._total

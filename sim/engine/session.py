"""The integer engine for streams: a net that takes a frame at a time and keeps its states in between."""

from collections.abc import Sequence

import numpy as np

from ..net import Net
from ..net.tokens import Stream, checked
from .batch import Result, take
from .program import Runner


class Session:
    """A net at work on streams that come in piece by piece.

    After any number of calls of `run` the spikes are those that `sim.engine.run` gives for the pieces in one; but a
    stream may go on for longer than the net's T frames. All states are zero at the start and after `reset`.

    Attributes:
        net: the net.
        batch: streams side by side.
        frames: frames taken since the start or the last reset: the next one is read in the order of that number.
    """

    def __init__(self, net: Net, batch: int = 1):
        self.net, self.batch = net, batch
        self._runner = Runner(net)
        self.reset()

    def reset(self) -> None:
        """A new sample: all states to zero, frames counted anew."""
        self._runner.start(self.batch)
        self.frames = 0

    def run(self, stream: Stream | np.ndarray, trace: Sequence[str] | str = ()) -> tuple[np.ndarray, dict]:
        """Takes the next frames.

        Args:
            stream: `sim.net.tokens.Stream` of `batch` streams over F whole frames, one or more; or uint8 [B, F*N, C]
                for a net that sends all tokens.
            trace: names of the nodes and inputs whose spikes to return, or "all".

        Returns:
            (read-out summed over these frames, int64 [B, classes]; dict: name -> uint8 [B, F*K, n], int32 for the
            read-out).

        Raises:
            UserError: not whole frames, another number of streams or channels, or tokens out of order.
        """
        result = self.take(stream, trace)
        return result.logits, result.traces

    def take(self, stream: Stream | np.ndarray, trace: Sequence[str] | str = ()) -> Result:
        """`run`, with all that `sim.engine.run` says of these frames."""
        stream = checked(self.net, stream, self.frames, self.batch)
        self.frames += stream.steps // self.net.places
        return take(self._runner, stream, trace)

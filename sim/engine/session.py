"""The integer engine for streams: a net that takes a frame at a time and keeps its states in between."""

import numpy as np

from ..base.errors import UserError
from ..net import Net, TokenGate
from .program import Runner


class Session:
    """A net at work on streams that come in piece by piece.

    After any number of calls of `run` the spikes are those that `sim.engine.run` gives for the pieces in one; but a
    stream may go on for longer than the net's T frames. All states are zero at the start and after `reset`.

    Attributes:
        net: the net.
        batch: streams side by side.
        open: gate name -> bool [B, N], the tokens that the gate lets through after the last frame.
    """

    def __init__(self, net: Net, batch: int = 1):
        self.net, self.batch = net, batch
        self._runner = Runner(net)
        self._gates = [node for node in net.nodes if isinstance(node, TokenGate)]
        self.reset()

    def reset(self):
        """A new sample: all states to zero, all gates shut."""
        self._runner.start(self.batch)

    @property
    def open(self):
        return {gate.name: self._runner.opened(gate) for gate in self._gates}

    def run(self, tokens, trace=()):
        """Takes the next frames.

        Args:
            tokens: uint8 [B, F*N, C], 0 or 1, in reading order; F whole frames, one or more.
            trace: names of the nodes and inputs whose spikes to return, or "all".

        Returns:
            (read-out summed over these frames, int64 [B, classes]; dict: name -> uint8 [B, F*N, n], int32 for the
                read-out).

        Raises:
            UserError: not whole frames, or another number of streams or channels.
        """
        net = self.net
        shape, size = tokens.shape, net.inputs[0].size
        if len(shape) != 3 or shape[0] != self.batch or shape[2] != size or shape[1] == 0 or shape[1] % net.tokens:
            raise UserError(
                f"input has shape {shape}, the net takes [{self.batch}, a multiple of {net.tokens}, {size}] (streams,"
                " steps, channels)"
            )
        traces = self._runner.run(np.ascontiguousarray(tokens, np.uint8), trace)
        return self._runner.logits(), traces

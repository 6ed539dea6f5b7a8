"""The integer engine for streams: a net that takes a frame at a time and keeps its states in between."""

from functools import singledispatch

import numpy as np

from .engine import dendrite, prepare, reverse_tokens
from .errors import UserError
from .integer import STATE_SHIFT
from .kernels import cuba_scan, keep_share
from .net import PHASE, Cuba, Net, Readout, Reverse, TokenGate


class Session:
    """A net at work on streams that come in piece by piece.

    After any number of calls of `run` the spikes are those that `sim.engine.run` gives for the pieces in one; but a stream may go on for longer than
    the net's T frames. All states are zero at the start and after `reset`.

    Attributes:
        net: the net.
        batch: streams side by side.
        open: gate name -> bool [B, N], the tokens that the gate lets through after the last frame.
    """

    def __init__(self, net: Net, batch: int = 1):
        self.net, self.batch = net, batch
        self._phase = np.eye(net.tokens, dtype=np.uint8)
        self.reset()

    def reset(self):
        """A new sample: all states to zero, all gates shut."""
        self._work = {node.name: make_work(node, self.net, self.batch) for node in self.net.nodes}
        self.open = {node.name: np.zeros((self.batch, self.net.tokens), bool) for node in self.net.nodes if isinstance(node, TokenGate)}

    def run(self, tokens, trace=()):
        """Takes the next frames.

        Args:
            tokens: uint8 [B, F*N, C], 0 or 1, in reading order; F whole frames, one or more.
            trace: names of the nodes and inputs whose spikes to return, or "all".

        Returns:
            (read-out summed over these frames, int64 [B, classes]; dict: name -> uint8 [B, F*N, n], int32 for the read-out).

        Raises:
            UserError: not whole frames, or another number of streams or channels.
        """
        net = self.net
        shape, size = tokens.shape, net.inputs[0].size
        if len(shape) != 3 or shape[0] != self.batch or shape[2] != size or shape[1] == 0 or shape[1] % net.tokens:
            raise UserError(f"input has shape {shape}, the net takes [{self.batch}, a multiple of {net.tokens}, {size}] (streams, steps, channels)")
        tokens = np.ascontiguousarray(tokens, np.uint8)
        frames = shape[1] // net.tokens
        spikes = {PHASE: np.broadcast_to(np.tile(self._phase, (frames, 1)), (self.batch, shape[1], net.tokens))}
        for i in net.inputs:
            spikes[i.name] = reverse_tokens(tokens, net.tokens) if i.backward else tokens
        for node in net.nodes:
            spikes[node.name] = run_on(node, self._work[node.name], spikes, self)
        names = list(spikes) if trace == "all" else trace
        return spikes[net.nodes[-1].name].sum(1, dtype=np.int64), {name: spikes[name] for name in names}


@singledispatch
def make_work(node, net, batch):
    """What a node carries from frame to frame, and its constants in the form that the kernels take."""
    raise TypeError(type(node).__name__)


@make_work.register
def _(node: Cuba, net, batch):
    return dict(weights=prepare(node.synapses), keep=keep_share(node.i_decay), bias=(node.bias << STATE_SHIFT).astype(np.float64),
                u=np.zeros((batch, node.size)), v=np.zeros((batch, node.size)), stats=np.zeros((batch, 4)))


@make_work.register
def _(node: TokenGate, net, batch):
    return dict(count=np.zeros((batch, net.tokens), np.int64))


@make_work.register
def _(node: Reverse, net, batch):
    return {}


@make_work.register
def _(node: Readout, net, batch):
    return dict(weights=prepare(node.synapses))


@singledispatch
def run_on(node, work, spikes, session):
    """Spikes of `node`, [B, F*N, n], for those of its sources; moves its states on in `work`."""
    raise TypeError(type(node).__name__)


@run_on.register
def _(node: Cuba, work, spikes, session):
    a, _ = dendrite(work["weights"], spikes)
    out = np.empty(a.shape, np.uint8)
    cuba_scan(a, work["keep"], work["bias"], float(keep_share(node.v_decay)), float(node.v_th << STATE_SHIFT),
              session.net.tokens if node.frame_reset else 0, work["u"], work["v"], out, work["stats"])
    return out


@run_on.register
def _(node: TokenGate, work, spikes, session):
    x = spikes[node.source]
    # A count that has reached the threshold never falls below it again: the latch needs no state of its own.
    count = work["count"][:, None] + x.sum(2, dtype=np.int64).reshape(x.shape[0], -1, session.net.tokens).cumsum(1)
    work["count"] = count[:, -1]
    opened = count >= node.threshold
    session.open[node.name] = opened[:, -1]
    return x * opened.reshape(*x.shape[:2], 1).astype(np.uint8)


@run_on.register
def _(node: Reverse, work, spikes, session):
    return reverse_tokens(spikes[node.source], session.net.tokens)


@run_on.register
def _(node: Readout, work, spikes, session):
    return dendrite(work["weights"], spikes)[0].astype(np.int32)

"""The stream of tokens that a net reads: one token of one frame a step.

A frame has N tokens, of which at most K are sent, so frame `t` takes the steps `t*K .. t*K + K-1` and a sample T*K.
The tokens that are sent stand in the frame's scan order (`Net.orders`), empty places last. At every step

    tokens[k, c]   1 where channel c of the token on turn spikes; of graded tokens the message, 0 for none
    phase[k, n]    1 where token n is on turn                      (one-hot; nothing at an empty place)

Who is on turn is the encoder's business (`events.encoder`); every executor takes what it is given here, and this is
the one place where it is checked and turned into the spikes of a net's inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.errors import UserError
from ..base.memory import require
from .nodes import PHASE, TOKENS, Net

EMPTY = -1  # in `which`: no token at this place


@dataclass(frozen=True, eq=False)
class Stream:
    """Samples side by side.

    Attributes:
        tokens: uint8 [B, S, C], 0 or 1, or messages below 2**`message_bits` of the net's tokens.
        which: int16 [B, S], the token on turn, 0..N-1, or -1 (`EMPTY`).
    """

    tokens: np.ndarray
    which: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, samples) -> Stream:
        """Some of the samples: a slice, or an index array."""
        return Stream(self.tokens[samples], self.which[samples])

    def window(self, begin: int, end: int) -> Stream:
        """Steps `begin` to `end` of all samples."""
        return Stream(self.tokens[:, begin:end], self.which[:, begin:end])

    @property
    def steps(self) -> int:
        """S, steps of each sample."""
        return self.tokens.shape[1]

    @property
    def sent(self) -> int:
        """Tokens sent, of all samples: places that are not empty."""
        return int((self.which >= 0).sum())

    def phase(self, n: int) -> np.ndarray:
        """uint8 [B, S, n]: the one-hot phase lines."""
        require(2 * self.which.size * n, f"the phase lines of {n} tokens over {self.which.size} steps")
        return (self.which[..., None] == np.arange(n, dtype=self.which.dtype)).astype(np.uint8)


def join(parts: list) -> Stream:
    """Samples of several streams of one geometry, one behind the other."""
    return Stream(np.concatenate([p.tokens for p in parts]), np.concatenate([p.which for p in parts]))


def order_of(net: Net, frames: int, first: int = 0) -> np.ndarray:
    """int [frames, N]: the order in which the tokens of frames `first`, `first + 1`, .. are read."""
    return net.orders[(first + np.arange(frames)) % len(net.orders)]


def full(net: Net, tokens: np.ndarray, first: int = 0) -> Stream:
    """The stream of a net that sends all tokens of every frame (K = N): tokens uint8 [B, F*N, C] in scan order, from
    frame `first` on.

    Raises:
        UserError: the net sends fewer, so that an array alone does not say which.
    """
    if net.places != net.tokens:
        raise UserError(
            f"the net takes {net.places} of {net.tokens} tokens a frame, an array does not say which; encode recordings"
            " with its encoder"
        )
    steps = tokens.shape[1]
    which = order_of(net, -(-steps // net.tokens), first).reshape(-1)[:steps]
    return Stream(tokens, np.broadcast_to(which.astype(np.int16), tokens.shape[:2]))


def checked(net: Net, stream: Stream | np.ndarray, first: int | None = None, batch: int | None = None) -> Stream:
    """`stream`, or the array that stands for it (`full`), as every executor takes it.

    Args:
        net: whose geometry it must have.
        stream: `Stream`, or uint8 [B, T*N, C] for a net that sends all tokens.
        first: number of the first frame, for streams of any whole number of frames; None: one whole sample.
        batch: how many streams there must be, if that matters.

    Raises:
        UserError: another geometry; something else than 0 and 1, or than messages of the net's bits; tokens that are
            not there, repeat or run backward; spikes at an empty place.
    """
    shape = np.shape(stream.tokens if isinstance(stream, Stream) else stream)
    frames = _frames(net, shape, first, batch)
    if not isinstance(stream, Stream):
        stream = full(net, np.asarray(stream), first or 0)
    which = np.asarray(stream.which)
    if which.shape != shape[:2] or which.dtype.kind not in "iu":
        raise UserError(f"input: `which` is {which.dtype} {which.shape}, expected integers {shape[:2]}")
    tokens = np.ascontiguousarray(stream.tokens, np.uint8)
    top = (1 << net.message_bits) - 1 if net.message_bits else 1
    if tokens.size and tokens.max() > top:
        kind = f"messages have {net.message_bits} bits" if net.message_bits else "spikes are 0 or 1"
        raise UserError(f"input: {kind}, found {int(tokens.max())}")
    which = np.ascontiguousarray(which, np.int16)
    _check_order(net, which.reshape(len(which), frames, net.places), first or 0)
    if tokens[which < 0].any():
        raise UserError("input: spikes at an empty place, where no token is on turn")
    return Stream(tokens, which)


def _frames(net, shape, first, batch):
    """Frames of an input of that shape; `UserError` if it is for another geometry."""
    channels, good = net.inputs[0].size, len(shape) == 3 and shape[2] == net.inputs[0].size
    if first is None:
        if not (good and shape[1] == net.steps):
            raise UserError(
                f"input has shape {shape}, the net takes [samples, {net.steps}, {channels}] (steps, channels)"
            )
    elif not good or shape[0] != (batch or shape[0]) or shape[1] == 0 or shape[1] % net.places:
        raise UserError(
            f"input has shape {shape}, the net takes [{batch or 'streams'}, a multiple of {net.places}, {channels}]"
            " (streams, steps, channels)"
        )
    return shape[1] // net.places


def _check_order(net, which, first):
    """which: [B, F, K]. Places of a frame must rise in its order, and empty ones stand last."""
    if which.size and not (EMPTY <= which.min() and which.max() < net.tokens):
        raise UserError(
            f"input: token {int(which.max())} is outside 0..{net.tokens - 1}, the stream is of another grid"
        )
    rank = np.empty((len(net.orders), net.tokens + 1), np.int32)
    np.put_along_axis(rank, net.orders, np.arange(net.tokens, dtype=np.int32)[None], 1)
    rank[:, net.tokens] = net.tokens  # an empty place comes after all
    frames = (first + np.arange(which.shape[1])) % len(net.orders)
    at = rank[frames[:, None], which]  # -1 reads the last column
    bad = np.argwhere((at[..., 1:] <= at[..., :-1]) & ~((at[..., 1:] == net.tokens) & (at[..., :-1] == net.tokens)))
    if len(bad):
        b, t, k = (int(i) for i in bad[0])
        raise UserError(
            f"input: sample {b}, frame {t}: token {which[b, t, k + 1]} after {which[b, t, k]}; tokens of a frame must"
            " not repeat, and follow the net's scan order with empty places last"
        )


def inputs(net: Net, stream: Stream) -> dict:
    """Name of each of `net.inputs` -> uint8 [B, S, size], its spikes or messages."""
    whole = {TOKENS: stream.tokens, PHASE: stream.phase(net.tokens)}
    return {i.name: reversed_frames(whole[i.of], net.places) if i.backward else whole[i.of] for i in net.inputs}


def rows(net: Net, stream: Stream) -> np.ndarray:
    """uint8 [B, S, sum of sizes]: the spikes of all inputs, one behind the other, as the host sends them."""
    return np.concatenate(list(inputs(net, stream).values()), 2)


def reversed_frames(x: np.ndarray, places: int) -> np.ndarray:
    """[B, S, C] with the places of each frame in reverse order."""
    b, s, c = x.shape
    return np.ascontiguousarray(x.reshape(b, s // places, places, c)[:, :, ::-1].reshape(b, s, c))

"""Samples as film strips: the frames, the tokens that are sent of each, and what the net says after it."""

from collections.abc import Iterable

import numpy as np

from events import Encoder
from sim import engine
from sim.net import Net
from sim.net.tokens import Stream

from ..samples import Samples
from .content import Film

RIGHT, WRONG = 3, 3  # samples of each kind that are shown


def choose(predictions: Iterable[int], labels: Iterable[int] | None) -> list[int]:
    """Numbers of the samples to show: right ones of different classes, then wrong ones, each the first of its kind."""
    predictions = list(predictions)
    if labels is None:
        return list(range(min(len(predictions), RIGHT)))
    right, wrong = {}, []
    for i, (found, label) in enumerate(zip(predictions, labels)):
        if found == label:
            right.setdefault(label, i)
        else:
            wrong.append(i)
    return [*list(right.values())[:RIGHT], *wrong[:WRONG]]


def films(net: Net, samples: Samples, numbers: Iterable[int]) -> tuple[Film, ...]:
    """Runs these samples in the engine, for the read-out frame by frame. Nothing for a net without an encoder."""
    if not net.encoder:
        return ()
    return tuple(_film(net, Encoder.of(net.encoder), samples, i) for i in numbers)


def _film(net, encoder, samples, i):
    stream = samples.streams(i, i + 1)
    if samples.encoder is None:
        frames = painted(encoder, stream)
    else:
        frames = encoder.frames_of(samples.source[i])
    frames = frames << (8 - encoder.message_bits) if encoder.message_bits else frames
    which = stream.which[0].reshape(net.frames, net.places)
    sent = np.zeros((net.frames, net.tokens), bool)
    for t, of_frame in enumerate(which):
        sent[t, of_frame[of_frame >= 0]] = True
    last = net.nodes[-1].name
    out = engine.run(net, stream, (last,)).traces[last][0]
    scores = out.reshape(net.frames, net.places, -1).sum(1, dtype=np.int64).cumsum(0)
    label = None if samples.labels is None else int(samples.labels[i])
    return Film(i, label, frames, sent, encoder.grid, encoder.stride, scores)


def painted(encoder: Encoder, stream: Stream) -> np.ndarray:
    """uint8 [T, planes, H, W]: the frames as far as the tokens of a `Stream` of one sample show them, where the
    recording is not at hand.
    """
    height, width = encoder.frame_shape
    side, before = encoder.window, (encoder.window - encoder.stride) // 2
    # Windows reach over the edge: a margin takes what lies there, which is nothing.
    frames = np.zeros((encoder.frames, encoder.planes, height + 2 * side, width + 2 * side), np.uint8)
    for k in np.flatnonzero(stream.which[0] >= 0):
        row, column = divmod(int(stream.which[0, k]), encoder.grid[1])
        top, left = row * encoder.stride - before + side, column * encoder.stride - before + side
        window = stream.tokens[0, k].reshape(encoder.planes, side, side)
        place = frames[k // encoder.per_frame, :, top : top + side, left : left + side]
        np.maximum(place, window[:, : place.shape[1], : place.shape[2]], out=place)
    return frames[:, :, side : side + height, side : side + width]

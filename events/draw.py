"""Pictures of a recording's frames, for people."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sim.base import files
from sim.base.console import output, show
from sim.base.errors import UserError

from . import formats
from .encoder import Encoder

_ON, _OFF, _BOTH, _GROUND = (220, 60, 50), (60, 90, 220), (200, 120, 220), (245, 245, 245)
_FRAMES = 8
_WIDE = 36  # pixels of a frame in the terminal


def frames(
    path: str | Path, unit_us: float | None = None, net: str | Path | None = None, number: int | None = None
) -> list[np.ndarray]:
    """uint8 [H, W, 3] of each frame.

    Args:
        net: a net's file: its frames, and what its encoder does not send is darkened. Without it, `number` frames of
            equal length over the whole recording.

    Raises:
        UserError: as `formats.read` does; the net has no encoder, or one of another sensor.
    """
    if net is None:
        events, size = formats.read(path, None, unit_us)
        width, height = size or (int(events["x"].max()) + 1, int(events["y"].max()) + 1)
        number = number or _FRAMES
        length = -(-(int(events["t"][-1]) + 1) // number)
        encoder = Encoder(height=height, width=width, pool=1, window=8, stride=8, frames=number, frame_us=length)
        return [_colors(frame) for frame in encoder.frames_of(events)]
    from sim import netx

    loaded = netx.read(net)
    if not getattr(loaded, "encoder", None):
        raise UserError(f"{net} has no encoder, so it has no frames; leave it out")
    encoder = Encoder.of(loaded.encoder)
    if encoder.message_bits:
        raise UserError(f"{net} reads pictures, which have no events to show; leave it out")
    encoder = encoder if number is None else replace(encoder, frames=number)
    events = formats.read(path, (encoder.width, encoder.height), unit_us)[0]
    drawn = encoder.frames_of(events)
    sent = encoder.streams(drawn[None]).which.reshape(encoder.frames, -1)
    return [_mark(_colors(frame), which, encoder) for frame, which in zip(drawn, sent)]


def _colors(frame):
    out = np.empty((*frame.shape[1:], 3), np.uint8)
    out[:] = _GROUND
    off, on = frame.astype(bool)
    out[on], out[off], out[on & off] = _ON, _OFF, _BOTH
    return out


def _mark(picture, which, encoder):
    """Darkens the tokens of a frame that are not among those that are sent."""
    rows, cols = encoder.grid
    sent = np.zeros(rows * cols, bool)
    sent[which[which >= 0]] = True
    mask = np.repeat(np.repeat(sent.reshape(rows, cols), encoder.stride, 0), encoder.stride, 1)
    dark = ~mask[: picture.shape[0], : picture.shape[1]]
    picture[dark] = picture[dark] // 3
    return picture


def save(path: str | Path, pictures: list[np.ndarray]) -> None:
    """One row of frames, a gap between them, as PNG; small ones are enlarged."""
    from matplotlib.image import imsave

    scale = max(1, 128 // max(pictures[0].shape[:2]))
    gap = np.full((pictures[0].shape[0] * scale, 4, 3), 128, np.uint8)
    row = []
    for picture in pictures:
        row += [np.repeat(np.repeat(picture, scale, 0), scale, 1), gap]
    with files.unfinished(path) as temporary:
        imsave(temporary, np.concatenate(row[:-1], 1), format="png")


def in_terminal(pictures: list[np.ndarray]) -> None:
    """Frame below frame, two pixels to a character in colours; where there are none, a letter a pixel."""
    from rich.text import Text

    colours = output().color_system is not None

    for number, picture in enumerate(pictures):
        step = -(-picture.shape[1] // _WIDE)
        h, w = (n // step * step or n for n in picture.shape[:2])
        step_y, step_x = (step, step) if h >= step and w >= step else (1, 1)
        small = picture[:h, :w].reshape(h // step_y, step_y, w // step_x, step_x, 3)
        # Of a block the pixel that is furthest from the ground: thin edges stay.
        far = np.abs(small.astype(int) - _GROUND).sum(-1).transpose(0, 2, 1, 3).reshape(h // step_y, w // step_x, -1)
        flat = small.transpose(0, 2, 1, 3, 4).reshape(*far.shape, 3)
        small = np.take_along_axis(flat, far.argmax(-1)[..., None, None], 2)[:, :, 0]
        if not colours:
            letters = {_ON: "#", _OFF: "o", _BOTH: "@", _GROUND: "."}
            lines = ["".join(letters.get(tuple(pixel), " ") for pixel in row) for row in small.tolist()]
            show("\n".join([f"frame {number}", *lines]))
            continue
        if len(small) % 2:
            small = np.concatenate([small, np.full((1, small.shape[1], 3), 245, np.uint8)])
        text = Text(f"frame {number}\n")
        for upper, lower in zip(small[::2], small[1::2]):
            for a, b in zip(upper.tolist(), lower.tolist()):
                text.append("▀", f"rgb({a[0]},{a[1]},{a[2]}) on rgb({b[0]},{b[1]},{b[2]})")
            text.append("\n")
        show(text)

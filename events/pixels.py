"""Photographs without a camera: a pixel's brightness is the message of a graded spike.

A picture is uint8 [3, H, W], red, green and blue. It is shown for every frame of a sample, so that the encoder's count
of a token grows by the same in each.
"""

import numpy as np

from sim.base.errors import UserError

COLOURS = 3
BITS = 8  # of a pixel


def shown(picture: np.ndarray, shape: tuple, bits: int) -> np.ndarray:
    """The messages of one frame: the upper `bits` of each pixel, uint8 [3, H, W].

    Raises:
        UserError: no picture, or one of another size.
    """
    found = np.asarray(picture)
    if found.dtype != np.uint8 or found.shape != (COLOURS, *shape):
        raise UserError(
            f"this encoder reads pictures, uint8 {(COLOURS, *shape)}, and was given {_named(found)}; encode pictures of"
            " the net's size"
        )
    return found >> (BITS - bits)


def contrast(frames: np.ndarray) -> np.ndarray:
    """What each pixel adds to the count of a token: its distance from the mean of its colour in the frame, rounded
    down. uint8 [.., H, W], as `frames`.
    """
    mean = frames.sum((-2, -1), dtype=np.int64, keepdims=True) // (frames.shape[-2] * frames.shape[-1])
    return np.abs(frames - mean).astype(np.uint8)


def _named(found) -> str:
    return "events" if found.dtype.names else f"{found.dtype} {found.shape}"

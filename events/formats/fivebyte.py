"""Records of five bytes, as N-MNIST and N-Caltech101 have them."""

import os
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

SIZE = 34  # pixels a side of N-MNIST, the usual sensor
_OVERFLOW_ROW, _OVERFLOW_US = 240, 2**13
_LIMIT = 1 << 26  # bytes: 13 million events; recordings of this format have thousands


def columns(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y, p, t of one file of five-byte records: [n] each, t int64, as they stand there.

    A record is five bytes: x, y, then 24 bits, big-endian: polarity (1 bit) and microseconds (23 bits). A record with y
    = 240 is no event: from
    there on times are 2**13 us later (the convention of the data set's authors, as in tonic).

    Raises:
        UserError: cannot be read, truncated, or larger than any recording of this format.
    """
    try:
        if (size := os.stat(path).st_size) > _LIMIT:
            raise UserError(f"{path}: {size} bytes, recordings of five-byte records have at most {_LIMIT}")
        raw = np.fromfile(path, np.uint8)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None
    if len(raw) % 5:
        raise UserError(f"{path} is truncated: {len(raw)} bytes is not a multiple of 5; fetch the file again")
    x, y, high, middle, low = raw.reshape(-1, 5).T
    mark = y == _OVERFLOW_ROW
    t = (high & 127).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
    t += _OVERFLOW_US * np.cumsum(mark)
    if (y > _OVERFLOW_ROW).any():
        raise UserError(
            f"{path}: y {y.max()} is above {_OVERFLOW_ROW - 1}, where sensors of this format end; is it a file of"
            " five-byte records?"
        )
    event = ~mark
    return x[event], y[event], high[event] >> 7, t[event]

"""The loops over events, compiled: a recording has some hundred thousands of them, and training reads every
recording anew in each epoch.
"""

import numpy as np

from sim.base.numba_cache import cached_njit


@cached_njit(nogil=True)
def pack(x, y, p, t, height, width, out):
    """`recordings.as_events` in one pass, which is all that a sound and sorted recording needs; False if there is
    anything to sort or to complain about.
    """
    last = 0
    for i in range(len(t)):
        if not (
            0 <= x[i] < width and 0 <= y[i] < height and 0 <= p[i] <= 1 and 0 <= t[i] <= 2**53
        ):  # written so that NaN fails, too
            return False
        column, row, polarity, time = np.int16(x[i]), np.int16(y[i]), np.int8(p[i]), np.int64(np.rint(t[i]))
        if column != x[i] or row != y[i] or polarity != p[i] or time < last:
            return False
        out[i]["x"], out[i]["y"], out[i]["p"], out[i]["t"] = column, row, polarity, time
        last = time
    return True


@cached_njit(nogil=True)
def draw(x, y, p, t, length, pool, height, width, out):
    """Marks in `out`, uint8 [T, 2, H, W], the pixel of every event in its frame `t // length`; the number of the first
    one outside the sensor, or -1.
    """
    row_of, column_of = np.arange(height) // pool, np.arange(width) // pool  # divisions cost more than all else here
    frame, begin, end = 0, 0, 0  # of the event before: mostly this one's, too
    for i in range(len(t)):
        if not (0 <= x[i] < width and 0 <= y[i] < height and 0 <= p[i] <= 1):
            return i
        if not begin <= t[i] < end:
            frame = t[i] // length
            begin, end = frame * length, (frame + 1) * length
        if 0 <= frame < len(out):
            out[frame, p[i], row_of[y[i]], column_of[x[i]]] = 1
    return -1

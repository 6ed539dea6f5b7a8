"""Event Stream's bytes, decoded. The kernel goes on from the state that the one before left."""

import numpy as np

from sim.base.numba_cache import cached_njit

TIME, STEP, PART = 0, 1, 2  # in `state`: time, bytes of the record so far, and these


@cached_njit(nogil=True)
def decode(data, low, state, x, y, p, t, keep):
    """Writes the events of uint8 `data`; returns how many.

    A record: a first byte with the time since the record before, and below it `low` bits (1 of change events: the
    polarity; 2 of ATIS events: the polarity above a mark of brightness); then x and y, 16 bits each, little-endian. A
    first byte whose time is all ones is no record: its low bits count overflows (ATIS), or it is one (1) or a reset
    (0). `keep` (uint8) is 0 for events of brightness.
    """
    full = (1 << (8 - low)) - 1
    n = 0
    time, step = state[TIME], state[STEP]
    for i in range(len(data)):
        byte = np.int64(data[i])
        if step == 0:
            if byte >> low == full:
                time += full * (byte & ((1 << low) - 1))
                continue
            time += byte >> low
        state[PART + step] = byte
        step += 1
        if step == 5:
            first = state[PART]
            x[n] = state[PART + 1] | state[PART + 2] << 8
            y[n] = state[PART + 3] | state[PART + 4] << 8
            p[n], t[n] = first >> (low - 1) & 1, time
            keep[n] = 1 if low == 1 else 1 - (first & 1)
            n += 1
            step = 0
    state[TIME], state[STEP] = time, step
    return n

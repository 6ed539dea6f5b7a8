"""Prophesee's EVT words, decoded. Each kernel goes on from the state that the one before left, so that a file can be
read in blocks of any size.

Returns of all three: (events written, events outside the sensor). `state` is int64 [8]; its first entries are
    HIGH   the last TIME_HIGH, -1 before the first
    LOOP   how often TIME_HIGH has wrapped
    EARLY  words with events before the first TIME_HIGH, which have no time and are dropped
and for EVT 3.0 what the words before have set: time low, y (-1 unknown or of no change event), base x, polarity.
"""

import numpy as np

from sim.base.numba_cache import cached_njit

HIGH, LOOP, EARLY, LOW, Y, BASE, POLARITY = range(7)


def start() -> np.ndarray:
    state = np.zeros(8, np.int64)
    state[HIGH] = state[Y] = state[BASE] = -1
    return state


@cached_njit(nogil=True)
def evt2(words, width, height, state, x, y, p, t):
    """EVT 2.0, uint32: type (4 bits, from the top), then time low (6), x (11), y (11); or time high (28)."""
    n = lost = 0
    high, loop = state[HIGH], state[LOOP]
    for i in range(len(words)):
        word = np.int64(words[i])
        kind = word >> 28
        if kind <= 1:
            if high < 0:
                state[EARLY] += 1
                continue
            column, row = word >> 11 & 0x7FF, word & 0x7FF
            if column >= width or row >= height:
                lost += 1
                continue
            x[n], y[n], p[n] = column, row, kind
            t[n] = (loop << 34) + (high << 6 | (word >> 22 & 0x3F))
            n += 1
        elif kind == 8:
            now = word & 0xFFFFFFF
            loop += now + (1 << 27) <= high
            high = now
    state[HIGH], state[LOOP] = high, loop
    return n, lost


@cached_njit(nogil=True)
def evt21(words, width, height, state, x, y, p, t):
    """EVT 2.1, uint64 with the type on top: type (4), time low (6), x (11), y (11), a mask of 32 pixels from x on; or
    type, time high (28)."""
    n = lost = 0
    high, loop = state[HIGH], state[LOOP]
    for i in range(len(words)):
        word = np.int64(words[i] >> 32)
        kind = word >> 28
        if kind <= 1:
            if high < 0:
                state[EARLY] += 1
                continue
            column, row = word >> 11 & 0x7FF, word & 0x7FF
            time = (loop << 34) + (high << 6 | (word >> 22 & 0x3F))
            mask = np.int64(words[i]) & 0xFFFFFFFF
            while mask:
                if mask & 1:
                    if column >= width or row >= height:
                        lost += 1
                    else:
                        x[n], y[n], p[n], t[n] = column, row, kind, time
                        n += 1
                mask >>= 1
                column += 1
        elif kind == 8:
            now = word & 0xFFFFFFF
            loop += now + (1 << 27) <= high
            high = now
    state[HIGH], state[LOOP] = high, loop
    return n, lost


@cached_njit(nogil=True)
def evt3(words, width, height, state, x, y, p, t):  # noqa: C901
    """EVT 3.0, uint16: type (4 bits, from the top) and content (12). Types: 0 y, 1 y of other events, 2 one event at x,
    3 base x of vectors, 4 and 5 vectors of 12 and 8 pixels from the base on, which moves with them, 6 and 8 time low
    and high. The others (triggers 0xA, 0xE, continued 0x7 and 0xF) hold no events of pixels.

    Time low starts from 0 where time high has moved on, until the next time low says otherwise."""
    n = lost = 0
    high, loop, low = state[HIGH], state[LOOP], state[LOW]
    row, base, polarity = state[Y], state[BASE], state[POLARITY]
    for i in range(len(words)):
        kind, content = words[i] >> 12, np.int64(words[i] & 0xFFF)
        if kind == 2 or kind == 4 or kind == 5:
            if kind == 2:
                column, mask, sign, move = content & 0x7FF, 1, content >> 11, 0
            else:
                move = 12 if kind == 4 else 8
                column, mask, sign = base, content & ((1 << move) - 1), polarity
                if base < 0:
                    continue
                base += move
            if row < 0:
                continue
            if high < 0:
                state[EARLY] += 1
                continue
            time = (loop << 24) + (high << 12 | low)
            while mask:
                if mask & 1:
                    if column >= width or row >= height:
                        lost += 1
                    else:
                        x[n], y[n], p[n], t[n] = column, row, sign, time
                        n += 1
                mask >>= 1
                column += 1
        elif kind == 0:
            row = content & 0x7FF
        elif kind == 1:
            row = -1
        elif kind == 3:
            base, polarity = content & 0x7FF, content >> 11
        elif kind == 6:
            low = content
        elif kind == 8:
            loop += content + (1 << 11) <= high
            if content != high:
                low = 0
            high = content
    state[HIGH], state[LOOP], state[LOW] = high, loop, low
    state[Y], state[BASE], state[POLARITY] = row, base, polarity
    return n, lost

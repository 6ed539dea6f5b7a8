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


@cached_njit(nogil=True)
def cut(frames, counted, stride, window, orders, first, rule, count, since, tokens, which):
    """Stage 0: which tokens of each frame are sent, and what they carry. The rule is in `events.encoder.Encoder`.

    Args:
        frames: uint8 [T, planes, H, W]. counted: like it, what each pixel adds to the count of a token.
        orders: int16 [n, N]. first: number of the first frame.
        rule: (places, pruner (0 count, 1 latency, 2 random), early, leak, least, the cap of `since`); places 0: all.
        count, since: int64 [N], carried from frame to frame.
        tokens: uint8 [T*K, C], zeros, is filled. which: int16 [T*K], is filled.
    """
    places, pruner, early, leak, least, cap = rule
    n_tokens = orders.shape[1]
    per_frame = places if places > 0 else n_tokens
    columns = -(-frames.shape[3] // stride)
    chosen, score = np.ones(n_tokens, np.bool_), np.empty(n_tokens, np.int64)
    for t in range(len(frames)):
        if places > 0:
            for n in range(n_tokens):
                events = _total(counted[t], stride, window, n // columns, n % columns)
                count[n] += events - (count[n] * leak + 255) // 256
                since[n] = min(since[n] + 1, cap) if count[n] > 0 else 0
            if pruner == 2:
                _random(count, first + t, score)
            for n in range(n_tokens):
                if pruner == 0:
                    score[n] = count[n] + early * since[n]
                elif pruner == 1:
                    score[n] = since[n]
                chosen[n] = count[n] >= max(least, 1)
            if chosen.sum() > places:
                for n in range(n_tokens):
                    score[n] = -score[n] if chosen[n] else 1  # scores are not below 0: closed ones come last
                chosen[np.argsort(score, kind="mergesort")[places:]] = False
        k = t * per_frame
        for n in orders[(first + t) % len(orders)]:
            if chosen[n]:
                which[k] = n
                _copy(frames[t], stride, window, n // columns, n % columns, tokens[k])
                k += 1
        which[k : (t + 1) * per_frame] = -1


@cached_njit(nogil=True)
def _total(frame, stride, window, row, column):
    """The sum of a token's window of a frame, uint8 [planes, H, W]."""
    before = (window - stride) // 2
    top, left = row * stride - before, column * stride - before
    begin, end = max(left, 0), min(left + window, frame.shape[2])
    total = 0
    for p in range(len(frame)):
        for y in range(max(top, 0), min(top + window, frame.shape[1])):
            for x in range(begin, end):
                total += frame[p, y, x]
    return total


@cached_njit(nogil=True)
def _copy(frame, stride, window, row, column, out):
    """Writes a token's window of a frame to `out`, uint8 [planes * window * window]; what is beyond the frame stays."""
    before = (window - stride) // 2
    top, left = row * stride - before, column * stride - before
    begin, end = max(left, 0), min(left + window, frame.shape[2])
    for p in range(len(frame)):
        for y in range(max(top, 0), min(top + window, frame.shape[1])):
            at = (p * window + y - top) * window - left
            for x in range(begin, end):
                out[at + x] = frame[p, y, x]


@cached_njit(nogil=True)
def _mix(x):
    """The finalizer of splitmix64. Source: S. Vigna, splitmix64.c."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@cached_njit(nogil=True)
def _random(count, number, score):
    """Scores below 2**24 that depend on all counts, on the frame's number and on the token: the same for the same
    sample wherever it stands, and new in each frame.
    """
    content = np.uint64(number)
    for n in range(len(count)):
        content = _mix(content ^ np.uint64(count[n])) + np.uint64(1)
    for n in range(len(count)):
        score[n] = np.int64(_mix(content + np.uint64(n)) & np.uint64(0xFFFFFF))

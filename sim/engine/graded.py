"""Layers of sigma-delta neurons compiled: graded spikes in, graded spikes out, event by event.

The equations stand in `sim.sequential.sigma_delta`. States are int32, as in Lava's fixed-point models, and wrap where
those would. Only messages that are not 0 cost anything.
"""

import numba
import numpy as np

from ..base.numba_cache import cached_njit
from .lanes import (
    N16,
    N32,
    bits,
    get,
    high_half,
    larger,
    load16,
    load32,
    low_half,
    popcount,
    put_places,
    select,
    splat32,
    store32,
)

_PLACES = np.array(
    [([i for i in range(8) if byte >> i & 1] + [0] * 8)[:8] for byte in range(256)], np.uint8
)  # of the ones of a byte


@numba.njit(forceinline=True)
def _listen(x, row, size, places, heard):
    """Lists the places in `x[row]`, int32 [.., size], that are not zero; returns their number."""
    count, whole, at, zero = 0, size // N32 * N32, row * size, splat32(0)
    for j in range(0, whole, N32):
        value = load32(x, at + j)
        m = bits((value > zero) | (value < zero))
        if m:
            put_places(heard, count, places, m & 255, j)
            count += popcount(m & 255)
            put_places(heard, count, places, m >> 8, j + 8)
            count += popcount(m >> 8)
    for j in range(whole, size):
        heard[count] = j
        count += get(x, at + j) != 0
    return count


@numba.njit(forceinline=True)
def _magnitude(x):
    sign = x >> splat32(31)
    return (x ^ sign) - sign


@numba.njit(forceinline=True)
def _spend(a, width, loss, sigma, act, residue, bias, v_th, state_exp, place, out, k, tops):
    """One step of sigma-delta neurons: takes the dendritic sums `a`, int32 [width], writes messages to `out[k]`."""
    top_s, top_m, zero = load32(tops, 0), load32(tops, N32), splat32(0)
    lost, threshold, exponent = splat32(loss), splat32(v_th), splat32(state_exp)
    for j in range(0, width, N32):
        total = load32(sigma, j) + ((load32(a, j) << lost) >> lost)
        store32(sigma, j, total)
        now = total + load32(bias, j)
        now = select(now > zero, now, zero)
        change = now - load32(act, j) + load32(residue, j)
        store32(act, j, now)
        sent = select(_magnitude(change) >= threshold, change, zero)
        store32(residue, j, change - sent)
        sent = sent >> exponent
        top_s, top_m = larger(top_s, _magnitude(total)), larger(top_m, _magnitude(sent))
        m = bits((sent > zero) | (sent < zero))
        if m:
            store32(a, j, sent)
            while m:
                i = j + popcount((m & -m) - 1)
                m &= m - 1
                if place[i] >= 0:
                    out[k, place[i]] = get(a, i)
    store32(tops, 0, top_s)
    store32(tops, N32, top_m)


@numba.njit(forceinline=True)
def _add_up(a, width, loss, sigma, place, out, k, tops):
    """One step of sigma neurons, which send their sums."""
    top, lost = load32(tops, 0), splat32(loss)
    for j in range(0, width, N32):
        total = load32(sigma, j) + ((load32(a, j) << lost) >> lost)
        store32(sigma, j, total)
        top = larger(top, _magnitude(total))
    for j in range(width):
        if place[j] >= 0:
            out[k, place[j]] = sigma[j]
    store32(tops, 0, top)


@numba.njit(forceinline=True)
def _gather(x, k, heard, count, weights, width, a):
    """`a` becomes the sum of rows of `weights`, int16, flat, each times its source's message."""
    m = x.shape[1]
    for j in range(0, width, 2 * N16):
        s = t = y = z = splat32(0)
        for i in range(count):
            source = get(heard, i)
            message, w = splat32(get(x, k * m + source)), source * width + j
            first, second = load16(weights, w), load16(weights, w + N16)
            s, t = s + message * low_half(first), t + message * high_half(first)
            y, z = y + message * low_half(second), z + message * high_half(second)
        store32(a, j, s)
        store32(a, j + N32, t)
        store32(a, j + 2 * N32, y)
        store32(a, j + 3 * N32, z)


@cached_njit(parallel=True)
def dense_graded(x, weights, sums, loss, bias, v_th, state_exp, place, sigma, act, residue, out, sigmas, tops):
    """Runs a layer of sigma-delta neurons with all-to-all synapses over streams.

    Args:
        x: int32 [B, K, m], messages.
        weights: int16, flat, a row of `width` (a multiple of 64) for each source.
        sums: whether the neurons are plain sigmas.
        loss: upper bits of a dendritic sum that are lost before it is added.
        bias, place: int32 [width], bias aligned to the state, and where a neuron stands in the output, or -1.
        v_th: aligned to the state. state_exp: by which messages are less than states.
        sigma, act, residue: int32 [B, width], the states, moved on.
        out: int32 [B, K, n], zero, written. sigmas: int32 [B, K, n], written, or [B, 0, n].
        tops: int32 [B, 32], lane-wise maxima of |sigma| and |message|, moved on.
    """
    for b in numba.prange(len(x)):
        steps, width = x.shape[1], len(place)
        a, heard = np.zeros(width, np.int32), np.zeros(x.shape[2] + N32, np.int32)
        for k in range(steps):
            count = _listen(x[b], k, x.shape[2], _PLACES, heard)
            _gather(x[b], k, heard, count, weights, width, a)
            if sums:
                _add_up(a, width, loss, sigma[b], place, out[b], k, tops[b])
            else:
                _spend(a, width, loss, sigma[b], act[b], residue[b], bias, v_th, state_exp, place, out[b], k, tops[b])
            if sigmas.shape[1]:
                for j in range(width):
                    if place[j] >= 0:
                        sigmas[b, k, place[j]] = sigma[b, j]


@numba.njit(forceinline=True)
def _scatter(x, k, heard, count, weights, reach, into, place, taps, lanes, a):
    """Adds each message times its kernel to where that covers the output: see `conv_graded`."""
    n_in, pixels = x.shape[1], len(reach)
    first, kernel, size = 0, 0, len(weights) // (n_in // pixels)
    for i in range(count):
        source = get(heard, i)
        message = splat32(get(x, k * n_in + source))
        while source - first >= pixels:  # sources come in order, channel after channel
            first += pixels
            kernel += size
        pixel = source - first
        for t in range(pixel * taps, pixel * taps + get(reach, pixel)):
            to, w = get(into, t), kernel + get(place, t)
            for j in range(0, lanes, N32):
                store32(a, to + j, load32(a, to + j) + message * load32(weights, w + j))


@cached_njit(parallel=True)
def conv_graded(
    x,
    weights,
    reach,
    into,
    at,
    lanes,
    sums,
    loss,
    bias,
    v_th,
    state_exp,
    place,
    sigma,
    act,
    residue,
    out,
    sigmas,
    tops,
):
    """As `dense_graded` for a convolution. Neurons stand channels last, filled up to `lanes`, a multiple of 16.

    Args:
        weights: int32, flat: [input channel, place of the kernel, lanes].
        reach: int32 [pixels of the input], how many places of the kernel each reaches the output through.
        into, at: int32 [pixels, places of the kernel], those first: where in the output it is, times lanes; which place
            of the kernel that is, times lanes.
    """
    for b in numba.prange(len(x)):
        steps, width = x.shape[1], len(place)
        a, heard = np.zeros(width, np.int32), np.zeros(x.shape[2] + N32, np.int32)
        for k in range(steps):
            count = _listen(x[b], k, x.shape[2], _PLACES, heard)
            a[:] = 0
            _scatter(x[b], k, heard, count, weights, reach, into, at, into.shape[1], lanes, a)
            if sums:
                _add_up(a, width, loss, sigma[b], place, out[b], k, tops[b])
            else:
                _spend(a, width, loss, sigma[b], act[b], residue[b], bias, v_th, state_exp, place, out[b], k, tops[b])
            if sigmas.shape[1]:
                for j in range(width):
                    if place[j] >= 0:
                        sigmas[b, k, place[j]] = sigma[b, j]


@cached_njit(parallel=True)
def delta_scan(x, shift, v_th, state_exp, act, residue, out, tops):
    """Delta encoding of values.

    Args:
        x: int32 [B, K, n]. shift: what aligns them to the state. v_th: aligned to it.
        act, residue: int32 [B, n], moved on. out: int32 [B, K, n], written.
        tops: int32 [B, 32], largest |state| at place 0 and |message| at place 16, moved on.
    """
    for b in numba.prange(len(x)):
        for k in range(x.shape[1]):
            for i in range(x.shape[2]):
                value = np.int32(x[b, k, i]) << np.int32(shift)
                now = np.int32(value)
                change = np.int32(np.int64(now) - np.int64(act[b, i]) + np.int64(residue[b, i]))
                act[b, i] = now
                size = np.int32(-np.int64(change)) if change < 0 else change
                sent = change if size >= v_th else np.int32(0)
                residue[b, i] = np.int32(np.int64(change) - np.int64(sent))
                out[b, k, i] = sent >> state_exp
                tops[b, 0] = max(tops[b, 0], abs(np.int64(now)))
                tops[b, N32] = max(tops[b, N32], abs(np.int64(out[b, k, i])))

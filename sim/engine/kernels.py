"""The equations of `sim.integer` compiled.

For running, states are int32 and a neuron's step is done for 16 neurons at once (`sim.engine.lanes`). No product needs
more than 32 bits: a magnitude of up to 24 bits is decayed in two parts, `x * keep >> 12 = (x >> 12) * keep + ((x &
4095) * keep >> 12)`. For training (`train.dynamics`) the same functions exist for integers held in float64.
tests/sim/test_integer.py holds both against the definition on the edges and on random numbers.

Spikes travel as lists of the neurons that fire, so that silence costs next to nothing.
"""

from collections import namedtuple
from contextlib import contextmanager

import numba
import numpy as np

from ..base.numba_cache import cached_njit
from ..integer import DECAY_BITS, DECAY_ONE, STATE_LIMIT, STATE_SHIFT
from .lanes import (
    N16,
    N32,
    bits,
    get,
    high_half,
    larger,
    load16,
    load32,
    load_mask,
    low_half,
    ones,
    popcount,
    put,
    put_places,
    select,
    smaller,
    splat16,
    splat32,
    store32,
)

WRAP = 2.0 * STATE_LIMIT
SMALL = 1 << 21  # neuron-steps, about a millisecond
FULL = 127  # so many weights of up to 256 fit into 16 bits, whatever they are
INPUT, PHASE_LINES, CUBA, READOUT = range(4)  # kinds of node in a program: see `sim.engine.program`
_PLACES = np.array(
    [([i for i in range(8) if byte >> i & 1] + [0] * 8)[:8] for byte in range(256)], np.uint8
)  # of the ones of a byte

# A net in tables: see `sim.engine.program`. nodes, synapses: one row each. weights: int16, flat, of dense synapses;
# targets, amounts: int32, flat, of sparse ones. keep_u (4096 - i_decay), bias (times 64): int32 [A]. frame: steps of
# one, K.
Program = namedtuple("Program", "nodes synapses weights targets amounts keep_u bias frame")
# Of all streams. u, v: int32 [B, A]. hits: int32 [B, A], spikes of each neuron. stats: int64 [B, nodes, 4], see
# `_note_edges`.
State = namedtuple("State", "u v hits stats")
# Space to work in, one for each thread: events int32 [threads, chunk * A], spike lists; counts int64 [threads, nodes,
# chunk], their lengths; rows, a: int32 [threads, ..]; tops, edges: see `_cuba_step`. chunk: steps.
Room = namedtuple("Room", "events counts rows a tops edges chunk")


@numba.njit(inline="always")
def decay64(x, keep):
    """`decay` for integer-valued x, |x| < 2**31; `keep` is (4096 - decay) / 4096."""
    return np.float64(np.int32(x * keep))


@numba.njit(inline="always")
def wrap64(x):
    """`wrap24` for integer-valued x."""
    if x > STATE_LIMIT:
        return x - WRAP
    if x <= -STATE_LIMIT:
        return x + WRAP
    return x


@numba.njit(inline="always")
def clip64(x):
    """`clip24` for integer-valued x."""
    return min(max(x, 1.0 - STATE_LIMIT), STATE_LIMIT - 1.0)


def keep_share(i_decay):
    """The factor that `decay64` takes for a decay in 0..4096: (4096 - decay) / 4096, exact in float64."""
    return (DECAY_ONE - np.asarray(i_decay, np.float64)) / DECAY_ONE


@contextmanager
def threads_for(streams, neuron_steps):
    """One thread for one stream and for small work: others have to be woken and waited for, which on a busy machine
    takes longer than the work itself.
    """
    before = numba.get_num_threads()
    if streams < 2 or neuron_steps < SMALL:
        numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@numba.njit(inline="always")
def _magnitude(x):
    sign = x >> splat32(31)
    return (x ^ sign) - sign


@numba.njit(inline="always")
def _decay(x, keep):
    """`decay` for |x| <= 2**23; `keep` is 4096 - decay."""
    sign = x >> splat32(31)
    x = (x ^ sign) - sign
    y = (x >> splat32(DECAY_BITS)) * keep + ((x & splat32(DECAY_ONE - 1)) * keep >> splat32(DECAY_BITS))
    return (y ^ sign) - sign


@numba.njit(inline="always")
def _append(mask, first, places, events, base, count):
    """Notes `first + lane` for the lanes in `mask` at `events[base + count]` and on; writes up to 8 numbers past them.

    Returns the new count.
    """
    m = bits(mask)
    put_places(events, base + count, places, m & 255, first)
    count += popcount(m & 255)
    put_places(events, base + count, places, m >> 8, first + 8)
    return count + popcount(m >> 8)


@numba.njit(forceinline=True)
def _cuba_step(
    a, width, at, keep_u, remembers, bias, keep_v, v_th, u, v, hits, state, places, events, base, tops, edges
):
    """One step of CUBA neurons.

    Args:
        a: int32 [width] dendritic input in weight units; width is a multiple of 16, and neurons past the last have no
            input and no bias.
        at: where the neurons begin in `keep_u` and `bias`, int32: 4096 - i_decay, and bias times 64.
        remembers: whether any `keep_u` is not 0.
        keep_v, v_th: 4096 - v_decay, threshold times 64.
        state: where they begin in `u`, `v` and `hits` (spikes of each neuron, added to), all int32 and flat.
        events: int32, flat: the neurons that fire are written at `base` and on.
        tops: int32 [32], lane-wise maxima of |current| before the wrap, and of |voltage| before the clip.
        edges: int64 [2], numbers of neurons that wrapped, and that clipped; added to.

    Returns:
        how many fire.
    """
    count = 0
    top_u, top_v = load32(tops, 0), load32(tops, N32)
    limit, decay_v, threshold = splat32(STATE_LIMIT), splat32(keep_v), splat32(v_th)
    for j in range(0, width, N32):
        x = load32(a, j) << splat32(STATE_SHIFT)
        if remembers:
            x = x + _decay(load32(u, state + j), load32(keep_u, at + j))
        size = _magnitude(x)
        top_u = larger(top_u, size)
        if bits(size >= limit):
            above, below = x > limit, x <= splat32(-STATE_LIMIT)
            x = select(above, x - splat32(2 * STATE_LIMIT), select(below, x + splat32(2 * STATE_LIMIT), x))
            edges[0] += popcount(bits(above | below))
        store32(u, state + j, x)
        y = _decay(load32(v, state + j), decay_v) + x + load32(bias, at + j)
        size = _magnitude(y)
        top_v = larger(top_v, size)
        beyond = bits(size >= limit)
        if beyond:
            y = smaller(larger(y, splat32(1 - STATE_LIMIT)), splat32(STATE_LIMIT - 1))
            edges[1] += popcount(beyond)
        fires = y > threshold
        store32(v, state + j, select(fires, splat32(0), y))
        store32(hits, state + j, load32(hits, state + j) + ones(fires))
        count = _append(fires, j, places, events, base, count)
    store32(tops, 0, top_u)
    store32(tops, N32, top_v)
    return count


@numba.njit
def _note_edges(tops, edges, stats):
    """Takes the extremes of `_cuba_step` into `stats`, int64 [4]: largest |current|, wraps, largest |voltage|,
    clips.
    """
    stats[0] = max(stats[0], tops[:N32].max())
    stats[2] = max(stats[2], tops[N32:].max())
    stats[1] += edges[0]
    stats[3] += edges[1]
    tops[:] = 0
    edges[:] = 0


@cached_njit(parallel=True)
def cuba_scan(a, keep_u, bias, keep_v, v_th, reset_every, u, v, spikes):
    """Runs CUBA neurons over streams of dendritic input. All numbers are integers, in floats.

    Args:
        a: float32 [B, K, n] dendritic input in weight units; overwritten with the current u after each step.
        keep_u: float64 [n], see `keep_share`; keep_v: one of the same.
        bias: float64 [n], v_th: float, both already times 64.
        reset_every: states are zeroed at steps divisible by it; 0 for never (the caller zeroes `u`, `v`).
        u, v: float64 [B, n] states, updated in place.
        spikes: uint8 [B, K, n], written.
    """
    batch, steps, n = a.shape
    width = -(-n // N32) * N32
    places = _PLACES
    remembers = bool((keep_u != 0).any())
    for b in numba.prange(batch):
        work = np.zeros((7, width), np.int32)
        row, keep, shift, current, voltage, hits, events = work[0], work[1], work[2], work[3], work[4], work[5], work[6]
        tops, edges = np.zeros(2 * N32, np.int32), np.zeros(2, np.int64)
        for j in range(n):
            keep[j], shift[j], current[j], voltage[j] = keep_u[j] * DECAY_ONE, bias[j], u[b, j], v[b, j]
        for k in range(steps):
            if reset_every > 0 and k % reset_every == 0:
                current[:] = 0
                voltage[:] = 0
            into, out = a[b, k], spikes[b, k]
            for j in range(n):
                row[j] = np.int32(into[j])
            count = _cuba_step(
                row,
                width,
                0,
                keep,
                remembers,
                shift,
                int(keep_v * DECAY_ONE),
                int(v_th),
                current,
                voltage,
                hits,
                0,
                places,
                events,
                0,
                tops,
                edges,
            )
            for j in range(n):
                into[j] = current[j]
            out[:] = 0
            for i in range(count):
                out[events[i]] = 1
        for j in range(n):
            u[b, j], v[b, j] = current[j], voltage[j]


@numba.njit(inline="always")
def _deposit(a, j, total, more):
    low, high = low_half(total), high_half(total)
    if more:
        low, high = low + load32(a, j), high + load32(a, j + N32)
    store32(a, j, low)
    store32(a, j + N32, high)


@numba.njit(forceinline=True)
def _add_rows(rows, count, weights, width, a):
    """`a` becomes the sum of rows of weights: int16, flat, the rows beginning at `rows`, int32 [count]. a: int32
    [width], a multiple of 32.

    Sums are held in registers of 16 bits and widened before they can overflow.
    """
    for begin in range(0, max(count, 1), FULL):
        end, j = min(begin + FULL, count), 0
        while j + 4 * N16 <= width:
            s = t = x = y = splat16(0)
            for i in range(begin, end):
                w = get(rows, i) + j
                s, t, x, y = (
                    s + load16(weights, w),
                    t + load16(weights, w + N16),
                    x + load16(weights, w + 2 * N16),
                    y + load16(weights, w + 3 * N16),
                )
            _deposit(a, j, s, begin > 0)
            _deposit(a, j + N16, t, begin > 0)
            _deposit(a, j + 2 * N16, x, begin > 0)
            _deposit(a, j + 3 * N16, y, begin > 0)
            j += 4 * N16
        while j + 2 * N16 <= width:
            s = t = splat16(0)
            for i in range(begin, end):
                w = get(rows, i) + j
                s, t = s + load16(weights, w), t + load16(weights, w + N16)
            _deposit(a, j, s, begin > 0)
            _deposit(a, j + N16, t, begin > 0)
            j += 2 * N16
        if j < width:
            s = splat16(0)
            for i in range(begin, end):
                s = s + load16(weights, get(rows, i) + j)
            _deposit(a, j, s, begin > 0)


@numba.njit(forceinline=True)
def _listen(tokens, row, size, places, events, base):
    """Lists the places in `tokens[row]`, uint8 [.., size], that are not zero; returns their number."""
    count, whole, at = 0, size // N32 * N32, row * size
    for j in range(0, whole, N32):
        count = _append(load_mask(tokens, at + j), j, places, events, base, count)
    for j in range(whole, size):
        events[base + count] = j
        count += get(tokens, at + j) != 0
    return count


@numba.njit(forceinline=True)
def _emit(events, count, u, v, place, spikes, states, k):
    """Writes the spikes of step `k` as ones, and the states if they are asked for.

    place: int32 [width], where a neuron stands in the output, or -1.
    """
    for e in range(count):
        spikes[k, place[get(events, e)]] = 1
    if len(states):
        for j in range(len(place)):
            if place[j] >= 0:
                states[k, 0, place[j]], states[k, 1, place[j]] = u[j], v[j]


@numba.njit
def _dense_stream(x, weights, recurrent, keep_u, bias, place, keep_v, v_th, u, v, events, fired, spikes, states):
    steps, m = x.shape
    width, remembers = len(keep_u), bool((keep_u != 0).any())
    work, rows, heard = (
        np.zeros((2, width), np.int32),
        np.zeros(m + width + 2 * N32, np.int32),
        np.zeros(m + N32, np.int32),
    )
    a, hits = work[0], work[1]
    tops, edges = np.zeros(2 * N32, np.int32), np.zeros(2, np.int64)
    for k in range(steps):
        count = _listen(x, k, m, _PLACES, heard, 0)
        for i in range(0, count, N32):
            store32(rows, i, load32(heard, i) * splat32(width))
        if recurrent:
            for i in range(0, fired[0], N32):
                store32(rows, count + i, (load32(events, i) + splat32(m)) * splat32(width))
            count += fired[0]
        _add_rows(rows, count, weights, width, a)
        fired[0] = _cuba_step(
            a, width, 0, keep_u, remembers, bias, keep_v, v_th, u, v, hits, 0, _PLACES, events, 0, tops, edges
        )
        _emit(events, fired[0], u, v, place, spikes, states, k)


@cached_njit(parallel=True)
def dense_scan(x, weights, recurrent, keep_u, bias, place, keep_v, v_th, u, v, events, fired, spikes, states):
    """Runs a layer of CUBA neurons with all-to-all synapses over streams.

    Args:
        x: uint8 [B, K, m], spikes where not 0.
        weights: int16, flat, a row of `width` for each source; then, if `recurrent`, one for each neuron, whose spikes
            come back a step later.
        keep_u, bias, place: int32 [width], a multiple of 32: 4096 - i_decay, bias times 64, and see `_emit`; keep_v,
            v_th: of all of them.
        u, v, events, fired: the state, moved on: int32 [B, width] each, and int64 [B, 1], how many of `events`, the
            neurons that fired last, count. All zero for streams that begin at rest.
        spikes: uint8 [B, K, n], zero, written. states: int32 [B, K, 2, n], u and v after each step, written; or
            [B, 0, 2, n].
    """
    for b in numba.prange(len(x)):
        _dense_stream(
            x[b],
            weights,
            recurrent,
            keep_u,
            bias,
            place,
            keep_v,
            v_th,
            u[b],
            v[b],
            events[b],
            fired[b],
            spikes[b],
            states[b],
        )


@numba.njit
def _conv_stream(x, weights, taps_y, taps_x, row, keep_u, bias, place, keep_v, v_th, u, v, events, spikes, states):
    steps, n_in = x.shape
    height, width_in, kernel_y, kernel_x = len(taps_y), len(taps_x), taps_y.shape[1], taps_x.shape[1]
    width, lanes, remembers = (
        len(keep_u),
        len(weights) // (n_in // (height * width_in) * kernel_y * kernel_x),
        bool((keep_u != 0).any()),
    )
    work, heard = np.zeros((2, width), np.int32), np.zeros(n_in + N32, np.int32)
    a, hits = work[0], work[1]
    tops, edges = np.zeros(2 * N32, np.int32), np.zeros(2, np.int64)
    for k in range(steps):
        a[:] = 0
        for i in range(_listen(x, k, n_in, _PLACES, heard, 0)):
            channel, at = divmod(heard[i], height * width_in)
            y, z = divmod(at, width_in)
            for p in range(kernel_y):
                if taps_y[y, p] < 0:
                    continue
                for q in range(kernel_x):
                    if taps_x[z, q] >= 0:
                        to, w = (
                            (taps_y[y, p] * row + taps_x[z, q]) * lanes,
                            ((channel * kernel_y + p) * kernel_x + q) * lanes,
                        )
                        for j in range(0, lanes, N32):
                            store32(a, to + j, load32(a, to + j) + load32(weights, w + j))
        fired = _cuba_step(
            a, width, 0, keep_u, remembers, bias, keep_v, v_th, u, v, hits, 0, _PLACES, events, 0, tops, edges
        )
        _emit(events, fired, u, v, place, spikes, states, k)


@cached_njit(parallel=True)
def conv_scan(x, weights, taps_y, taps_x, row, keep_u, bias, place, keep_v, v_th, u, v, events, spikes, states):
    """As `dense_scan` for a convolution: a spike adds its kernel to where that covers the output. Neurons stand
    channels last.

    Args:
        x: uint8 [B, K, channels * height * width].
        weights: int32, flat: [input channel, kernel y, kernel x, lanes], the output channels filled up to a multiple of
            16.
        taps_y: int32 [height, kernel y], the row of the output that an input row reaches through a row of the kernel,
            or -1; taps_x likewise.
        row: length of a row of the output; others as there, width = output height * row * lanes.
    """
    for b in numba.prange(len(x)):
        _conv_stream(
            x[b],
            weights,
            taps_y,
            taps_x,
            row,
            keep_u,
            bias,
            place,
            keep_v,
            v_th,
            u[b],
            v[b],
            events[b],
            spikes[b],
            states[b],
        )


@numba.njit(forceinline=True)
def _dendrite(node, program, room, k):
    """`room.a` becomes the sum of weights over the spikes of step `k` of all sources of `node`."""
    total, width, rows, events, a, synapses = 0, node.width, room.rows, room.events, room.a, program.synapses
    targets, amounts = program.targets, program.amounts
    for s in range(node.first, node.sparse):
        synapse = synapses[s]
        base, count, weight = (
            room.chunk * synapse.at + k * synapse.stride,
            room.counts[synapse.source, k],
            splat32(synapse.weight),
        )
        for i in range(0, count, N32):
            store32(rows, total + i, load32(events, base + i) * splat32(width) + weight)
        total += count
    _add_rows(rows, total, program.weights, width, a)
    for s in range(node.sparse, node.end):
        synapse = synapses[s]
        base, fan_out, weight = room.chunk * synapse.at + k * synapse.stride, synapse.fan_out, synapse.weight
        for i in range(base, base + room.counts[synapse.source, k]):
            entry = weight + get(events, i) * fan_out
            for e in range(entry, entry + fan_out):
                to = get(targets, e)
                put(a, to, get(a, to) + get(amounts, e))


# Each of the following takes one node of a stream over a chunk: steps `begin` to `begin + span`. `room` and `state` are
# the thread's and the stream's.


@numba.njit
def _take_cuba(node, i, program, room, state, brought, begin, span):
    remembers, keep_v, threshold = node.remembers != 0, node.keep_v, node.threshold
    for k in range(span):
        if node.reset_every and (begin + k) % node.reset_every == 0:
            state.u[node.at : node.at + node.width] = 0
            state.v[node.at : node.at + node.width] = 0
        _dendrite(node, program, room, k)
        if node.graded >= 0:
            for j in range(node.size):
                room.a[j] += brought[begin + k, node.graded + j]
        room.counts[i, k] = _cuba_step(
            room.a,
            node.width,
            node.at,
            program.keep_u,
            remembers,
            program.bias,
            keep_v,
            threshold,
            state.u,
            state.v,
            state.hits,
            node.at,
            _PLACES,
            room.events,
            room.chunk * node.at + k * node.width,
            room.tops,
            room.edges,
        )
    _note_edges(room.tops, room.edges, state.stats[i])


@numba.njit(forceinline=True)
def _row(step, frame, backward):
    """The row of the stream that an input carries at a step: its own, or the mirror place of its frame."""
    return step + (frame - 1 - 2 * (step % frame) if backward else 0)


@numba.njit
def _take_input(node, i, room, tokens, frame, begin, span):
    for k in range(span):
        row = _row(begin + k, frame, node.backward)
        room.counts[i, k] = _listen(tokens, row, node.size, _PLACES, room.events, room.chunk * node.at + k * node.width)


@numba.njit
def _take_phase(node, i, room, which, frame, begin, span):
    for k in range(span):
        token = which[_row(begin + k, frame, node.backward)]
        room.counts[i, k] = token >= 0
        room.events[room.chunk * node.at + k * node.width] = max(token, 0)


@numba.njit
def _take_readout(node, program, room, graded, at, span):
    for k in range(span):
        _dendrite(node, program, room, k)
        graded[at + k * node.size : at + (k + 1) * node.size] = room.a[: node.size]


@numba.njit
def _tally(node, i, room, hits, span):
    for k in range(span):
        base = room.chunk * node.at + k * node.width
        for e in range(room.counts[i, k]):
            hits[node.at + get(room.events, base + e)] += 1


@numba.njit
def _write(node, i, room, raster, at, span):
    """The spikes of a chunk as ones, from `at` in `raster` on."""
    for k in range(span):
        base = room.chunk * node.at + k * node.width
        for e in range(room.counts[i, k]):
            raster[at + k * node.size + room.events[base + e]] = 1


@numba.njit
def _stream(program, room, state, tokens, which, brought, trace, raster, graded, b):
    """A stream, uint8 [S, C] with its tokens int16 [S], number `b`, through all nodes, a chunk of steps at a time, so
    that what it touches stays in cache.
    """
    steps, frame, nodes = len(tokens), program.frame, program.nodes
    for begin in range(0, steps, room.chunk):
        span = min(room.chunk, steps - begin)
        for i in range(len(nodes)):
            node, traced = nodes[i], trace[i] >= 0
            kind, at = node.kind, trace[i] + (b * steps + begin) * node.size
            if kind == CUBA:
                _take_cuba(node, i, program, room, state, brought, begin, span)
            elif kind == INPUT:
                _take_input(node, i, room, tokens, frame, begin, span)
            elif kind == PHASE_LINES:
                _take_phase(node, i, room, which, frame, begin, span)
            elif traced:
                _take_readout(node, program, room, graded, at, span)
            if kind != CUBA and kind != READOUT:
                _tally(node, i, room, state.hits, span)
            if traced and kind != READOUT:
                _write(node, i, room, raster, at, span)


@cached_njit(parallel=True)
def advance(
    nodes,
    synapses,
    weights,
    targets,
    amounts,
    keep_u,
    bias,
    frame,
    events,
    counts,
    rows,
    a,
    tops,
    edges,
    chunk,
    u,
    v,
    hits,
    stats,
    tokens,
    which,
    brought,
    trace,
    raster,
    graded,
):
    """Takes a program over streams.

    Args:
        nodes, .., frame: a `Program`. events, .., chunk: `Room`. u, .., stats: `State`, which is moved on.
        tokens: uint8 [B, S, C], spikes where not 0; whole frames. which: int16 [B, S], the token on turn, or -1.
        brought: int32 [B, S, columns], what graded spikes add to the inputs of the neurons that they reach.
        trace: int64 [nodes], where a node's spikes go, or -1: as ones in `raster`, uint8, flat and zero, laid out as
            [B, S, size]; a READOUT's values in `graded`, int32, likewise.
    """
    for b in numba.prange(
        len(tokens)
    ):  # named tuples are made in here: numba loses what is written to those that a parallel loop takes from outside
        t = numba.get_thread_id()
        _stream(
            Program(nodes, synapses, weights, targets, amounts, keep_u, bias, frame),
            Room(events[t], counts[t], rows[t], a[t], tops[t], edges[t], chunk),
            State(u[b], v[b], hits[b], stats[b]),
            tokens[b],
            which[b],
            brought[b],
            trace,
            raster,
            graded,
            b,
        )

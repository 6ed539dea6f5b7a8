"""ECF, Prophesee's packing of events in HDF5 (filter 36559), unpacked here, since the plug-in that does it comes as a
system package only. Format: prophesee-ai, hdf5_ecf (Apache-2.0).

A chunk: 32 bits, the number of events and below it two marks, "y, x and p packed" (bit 1) and "x and p packed" (bit 0);
the first time (64 bits); times; then, by the marks, words of 24 bits y, x, p, four in twelve bytes; or y in runs and
words of 12 bits x, p, four in six bytes; or y in runs, x with a mask of its right neighbours, and p in runs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.base.numba_cache import cached_njit

from .source import Columns

_MOST = 65535  # events of a chunk


def chunks(item: Any, path: str | Path) -> Iterator[Columns]:
    """The events of a dataset, chunk by chunk: `Columns`."""
    for at in range(0, len(item), item.chunks[0]):
        _, data = item.id.read_direct_chunk((at,))
        x, y, p, t = unpack(data, path)
        n = min(len(t), len(item) - at)
        yield Columns(x[:n], y[:n], p[:n], t[:n])


def unpack(data: bytes, where: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y (int16), p (uint8), t (int64) of a chunk; UserError if it is broken."""
    n = int.from_bytes(data[:4], "little") >> 2
    if len(data) < 12 or n > _MOST:
        raise UserError(f"{where} is broken: a chunk of {len(data)} bytes that claims {n} events; fetch the file again")
    room = n + 8  # packed words come by four, and x with five neighbours
    x, y, p, t = np.zeros(room, np.int16), np.zeros(room, np.int16), np.zeros(room, np.uint8), np.zeros(n, np.int64)
    if not _unpack(np.frombuffer(data, np.uint8), n, x, y, p, t):
        raise UserError(f"{where} is broken: a chunk of {len(data)} bytes is too short for {n} events; fetch it again")
    return x[:n], y[:n], p[:n], t


@cached_njit(nogil=True)
def _unpack(data, n, x, y, p, t):  # noqa: C901
    size = len(data)
    marks = data[0] & 3
    now, at, i = np.int64(0), 4, 0
    for j in range(8):
        now |= np.int64(data[at + j]) << (8 * j)
    at += 8
    while i < n:  # a step of 0 to 14 and how many events are at that time; 15 above: 4 more bits of a longer step
        if at >= size:
            return False
        step, run = np.int64(data[at] >> 4), np.int64(data[at] & 15)
        at += 1
        if step == 15:
            longer, shift = run, 4
            while at < size and data[at] >> 4 == 15:
                if shift < 60:
                    longer |= np.int64(data[at] & 15) << shift
                shift += 4
                at += 1
            now += longer
            continue
        now += step
        if run == 15:
            if at + 2 > size:
                return False
            run = np.int64(data[at]) | np.int64(data[at + 1]) << 8
            at += 2
        for _ in range(min(run, n - i)):
            t[i] = now
            i += 1
    if marks & 2:
        if at + 12 * ((n + 3) // 4) > size:
            return False
        for i in range(0, n, 4):
            a, b, c = _word(data, at, 4), _word(data, at + 4, 4), _word(data, at + 8, 4)
            at += 12
            four = (a >> 8, (a & 0xFF) | b >> 16 << 8, (b & 0xFFFF) | c >> 24 << 16, c & 0xFFFFFF)
            for j in range(4):
                y[i + j], x[i + j], p[i + j] = four[j] >> 12 & 0x7FF, four[j] >> 1 & 0x7FF, four[j] & 1
        return True
    i = 0
    while i < n:
        if at + 2 > size:
            return False
        word = _word(data, at, 2)
        at += 2
        run = word & 31
        if run == 31:
            if at + 2 > size:
                return False
            run = _word(data, at, 2)
            at += 2
        for _ in range(min(run, n - i)):
            y[i] = word >> 5
            i += 1
    if marks & 1:
        if at + 6 * ((n + 3) // 4) > size:
            return False
        for i in range(0, n, 4):
            a, b, c = _word(data, at, 2), _word(data, at + 2, 2), _word(data, at + 4, 2)
            at += 6
            four = (a >> 4, (a & 0xF) | b >> 8 << 4, (b & 0xFF) | c >> 12 << 8, c & 0xFFF)
            for j in range(4):
                x[i + j], p[i + j] = four[j] >> 1, four[j] & 1
        return True
    i = 0
    while i < n:
        if at + 2 > size:
            return False
        word = _word(data, at, 2)
        at += 2
        x[i] = word >> 5
        i += 1
        for j in range(5):
            if word >> (4 - j) & 1:
                x[i] = (word >> 5) + j + 1
                i += 1
    i = 0
    while i < n:
        if at >= size:
            return False
        sign, run = data[at] >> 7, np.int64(data[at] & 127)
        at += 1
        if run == 127:
            if at + 2 > size:
                return False
            run = _word(data, at, 2)
            at += 2
        for _ in range(min(run, n - i)):
            p[i] = sign
            i += 1
    return True


@cached_njit(nogil=True)
def _word(data, at, size):
    word = np.int64(0)
    for j in range(size):
        word |= np.int64(data[at + j]) << (8 * j)
    return word

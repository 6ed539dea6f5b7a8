"""LZ4 frames unpacked (lz4 "Frame Format Description" and "Block Format Description"), checksums not looked at.

Written here because nothing that is installed with us has it, and a block is thirty lines."""

import numpy as np

from sim.base.memory import unpacked_limit
from sim.base.numba_cache import cached_njit

_MAGIC = b"\x04\x22\x4d\x18"


def unpack(data: bytes) -> bytes:
    """One frame. Raises ValueError if it is not one, is cut, or points outside itself."""
    if data[:4] != _MAGIC or len(data) < 7 or data[4] >> 6 != 1:
        raise ValueError("no LZ4 frame")
    flags, at = data[4], 7 + 8 * (data[4] >> 3 & 1) + 4 * (data[4] & 1)
    most = 1 << (8 + 2 * max(data[5] >> 4 & 7, 4))
    found = []  # (begin, bytes, packed)
    while True:
        if at + 4 > len(data):
            raise ValueError("LZ4 frame without end")
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if not size:
            break
        packed, size = size >> 31 == 0, size & 0x7FFFFFFF
        if at + size > len(data):
            raise ValueError("LZ4 block is cut")
        found.append((at, size, packed))
        at += size + 4 * (flags >> 4 & 1)
    # A block unpacks to at most 255 times its size, and to no more than the frame says.
    room = sum(min(most, 255 * size) for _, size, _ in found)
    if room > unpacked_limit(len(data)):
        raise ValueError("LZ4 frame is too large")
    source, out, end = np.frombuffer(data, np.uint8), np.empty(room, np.uint8), 0
    for begin, size, packed in found:
        if packed:
            end = _block(source[begin : begin + size], out, end)
        elif end + size <= room:
            out[end : end + size] = source[begin : begin + size]
            end += size
        else:
            end = -1
        if end < 0:
            raise ValueError("LZ4 block is broken")
    return out[:end].tobytes()


@cached_njit(nogil=True)
def _block(source, out, end):  # noqa: C901
    """Unpacks a block behind `out[:end]`, which it may refer to; the new end, or -1."""
    at, n = 0, len(source)
    while at < n:
        token = np.int64(source[at])
        at += 1
        literal, match = token >> 4, token & 15
        if literal == 15:
            while at < n:
                more = np.int64(source[at])
                at += 1
                literal += more
                if more != 255:
                    break
        if at + literal > n or end + literal > len(out):
            return -1
        for i in range(literal):
            out[end + i] = source[at + i]
        at += literal
        end += literal
        if at == n:
            return end
        if at + 2 > n:
            return -1
        offset = np.int64(source[at]) | np.int64(source[at + 1]) << 8
        at += 2
        if match == 15:
            while at < n:
                more = np.int64(source[at])
                at += 1
                match += more
                if more != 255:
                    break
        match += 4
        if offset == 0 or offset > end or end + match > len(out):
            return -1
        for i in range(match):  # may overlap itself
            out[end + i] = out[end + i - offset]
        end += match
    return end

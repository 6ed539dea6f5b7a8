"""Event Stream 2.0 (`.es`): "Event Stream", three bytes of version, one of type, width and height (16 bits each,
little-endian), then records of five bytes with times relative to the record before. Specification: neuromorphic-paris,
event_stream, README. y goes up from below, as the software around the format has it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

from .source import Columns, Source, blocks, head, sensor

_MAGIC, _HEADER = b"Event Stream", 20
_LOW = {1: 1, 2: 2}  # bits below the time in a record's first byte
_OTHERS = {0: "generic", 3: "display", 4: "color", 5: "liquid"}


def open_es(path: str | Path) -> Source:
    """Change events of a stream of type DVS or ATIS.

    Raises:
        UserError: another format, version or type.
    """
    start = head(path, _HEADER)
    if not start.startswith(_MAGIC):
        raise UserError(f"{path} is not an Event Stream file: it does not begin with {_MAGIC.decode()!r}")
    if len(start) < 16:
        raise UserError(f"{path} is truncated: {len(start)} bytes of a header of {_HEADER}; fetch the file again")
    if start[12] != 2:
        raise UserError(
            f"{path} is Event Stream {start[12]}.{start[13]}, expected version 2; convert it with its tools"
        )
    if start[15] not in _LOW:
        raise UserError(
            f"{path} holds {_OTHERS.get(start[15], f'type {start[15]}')} events, expected DVS or ATIS events"
        )
    if len(start) < _HEADER:
        raise UserError(f"{path} is truncated: {len(start)} bytes of a header of {_HEADER}; fetch the file again")
    size = sensor(int.from_bytes(start[16:18], "little"), int.from_bytes(start[18:20], "little"), path)
    source = Source("ES " + ("DVS" if start[15] == 1 else "ATIS"), (), size)
    source.parts = _events(path, _LOW[start[15]], source)
    return source


def _events(path, low, source) -> Iterator[Columns]:
    from .es_kernel import STEP, decode  # numba is slow to import: not before it is needed

    state, others = np.zeros(8, np.int64), 0
    for data in blocks(path, _HEADER, 1, source.notes):
        room = len(data) // 5 + 1
        x, y, p, keep = (np.empty(room, kind) for kind in (np.int32, np.int32, np.uint8, np.uint8))
        t = np.empty(room, np.int64)
        n = decode(np.frombuffer(data, np.uint8), low, state, x, y, p, t, keep)
        chosen = np.flatnonzero(keep[:n])
        others += n - len(chosen)
        if len(chosen):
            yield Columns(x[chosen], source.size[1] - 1 - y[chosen], p[chosen], t[chosen])
    if others:
        source.notes.append(f"{others} events of brightness are passed over")
    if state[STEP]:
        source.notes.append(f"the last record is cut ({state[STEP]} of 5 bytes) and left out")

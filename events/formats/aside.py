"""Formats that a C library reads: in a process apart (`sim.base.apart`), part by part."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from sim.base import apart
from sim.base.errors import UserError
from sim.base.memory import require_solid, unpacked_limit

from .source import Columns, Source, size_of

_FACTS = ("kind", "size", "unit_us", "sure", "usual", "notes")


def opened(read: str, path: str | Path) -> Source:
    """What the function `read` ("module:name", (path) -> `Source`) gives of a file, from another process.

    Raises:
        UserError: what it raises; its library ended the process or took too much time or memory.
    """
    import_module(read.split(":")[0])  # before the fork, for all files
    require_solid(path)
    size = size_of(path)
    # A part is of a bounded number of events, whatever the file's size.
    found = apart.items(_items, path, size, min(unpacked_limit(size), 1 << 30), read)
    facts = next(found)
    source = Source(facts["kind"], (), _pair(facts["size"]), facts["unit_us"], facts["sure"], _pair(facts["usual"]))
    source.notes += facts["notes"]
    source.parts = _parts(found, source)
    return source


def _pair(value):
    return None if value is None else tuple(value)


def _parts(found, source) -> Iterator[Columns]:
    for item in found:
        source.notes[:] = item["notes"]
        if item["columns"] is not None:
            yield Columns(**item["columns"])


def _items(path: str, read: str) -> Iterator[dict]:
    """In the other process."""
    module, name = read.split(":")
    source = getattr(import_module(module), name)(path)
    yield {name: getattr(source, name) for name in _FACTS}
    for part in source.parts:
        columns = {name: np.ascontiguousarray(column) for name, column in vars(part).items()}
        for name, column in columns.items():
            if column.dtype.kind not in "iufb":
                raise UserError(f"{path}: {name} is not numbers")
        yield dict(columns=columns, notes=source.notes)
    yield dict(columns=None, notes=source.notes)

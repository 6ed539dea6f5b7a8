"""Events in HDF5, in the layouts that are in use:

    CD/events                      Prophesee: x, y, p, t in one array, packed with ECF (`ecf`), microseconds
    events/{x,y,t,p}               DSEC, M3ED: a column each, microseconds; `t_offset`, or `ms_to_idx` beside them
    events/{xs,ys,ts,ps}           of esim and its kin: seconds as floating point; attribute `sensor_resolution`
    davis/left/events              MVSEC: a table [n, 4] of x, y, seconds, polarity
    events, or x, y, p, t on top   a structured array, or columns

Whatever else: a group with columns of such names, wherever it is, if there is one only. Values are read in blocks.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from sim.base.errors import UserError
from sim.base.memory import unpacked_limit

from . import arrays, aside
from .source import Columns, Source, reason, sensor, size_of

_BLOCK = 1 << 19  # events at a time
_DEEPEST, _MOST = 6, 2000  # levels and objects that are looked through
_ECF = 36559
_BROKEN = (OSError, ValueError, RuntimeError, KeyError, TypeError, UnicodeError, MemoryError, OverflowError)


def open_hdf5(path: str | Path) -> Source:
    """Events of a file in one of the layouts above.

    Raises:
        UserError: not HDF5, none of the layouts, several, or packed with a filter that is not installed.
    """
    return aside.opened(f"{__name__}:read_here", path)


def read_here(path: str | Path) -> Source:
    """As `open_hdf5`, in this process, which may not come back from it."""
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as e:
        raise UserError(f"{path} is not an HDF5 file that can be read ({reason(e)}); fetch the file again") from None
    try:
        place, found = _find(file, path)
        size = _sensor(file, place, path)
        source = _source(place, found, path, file)
    except UserError:
        file.close()
        raise
    except _BROKEN as e:
        file.close()
        raise UserError(f"{path} is a broken HDF5 file ({reason(e)}); fetch the file again") from None
    source.size = size
    source.parts = _closing(file, source.parts, path)
    return source


def _closing(file, parts, path) -> Iterator[Columns]:
    try:
        yield from parts
    except _BROKEN as e:
        raise UserError(f"{path} is a broken HDF5 file ({reason(e)}); fetch the file again") from None
    finally:
        file.close()


def _find(file, path):
    """(name of a group or dataset, "columns", "structured" or "table")."""
    found = list(_look(file, 0, "", [_MOST], path))
    if len(found) > 1:
        left = [f for f in found if "left" in f[0] or f[0] in ("/events", "/CD/events")]
        found = left if len(left) == 1 else found
    if not found:
        raise UserError(
            f"{path} holds no events: expected CD/events, events/x, y, t and p, or a table named events; found "
            + (", ".join(sorted(map(str, file)))[:100] or "nothing")
        )
    if len(found) > 1:
        raise UserError(
            f"{path} holds several streams of events, {', '.join(name for name, _ in found[:4])}; save one of them"
        )
    return found[0]


def _look(group, depth, prefix, left, path):
    """What may be events in a group and below it; `left` objects more are looked at."""
    if _columns(group) is not None:
        yield prefix or "/", "columns"
        return
    for name in group:
        left[0] -= 1
        if left[0] < 0:
            raise UserError(f"{path} holds more than {_MOST} groups and arrays; name its events 'events/x' and so on")
        item, where = group.get(name), f"{prefix}/{name}"
        if item is not None and h5py.h5o.get_info(item.id).rc > 1:  # pyright: ignore[reportAttributeAccessIssue]
            raise UserError(f"{path}: {where} has several names in the file, expected one")
        if isinstance(item, h5py.Group) and depth < _DEEPEST:
            yield from _look(item, depth + 1, where, left, path)
        elif isinstance(item, h5py.Dataset):
            kind = _kind(name, item)
            if kind:
                yield where, kind


def _kind(name, item):
    if item.dtype.names and item.ndim == 1 and _has(item.dtype.names):
        return "structured"
    table = item.ndim == 2 and item.shape[1] == 4 and item.dtype.kind in "iuf"
    return "table" if table and name.lower() == "events" else None


def _has(names):
    try:
        return arrays.find(list(names), "")[0]
    except UserError:
        return None


def _columns(group):
    names = [n for n in group if isinstance(group.get(n, getclass=True), type)]
    found = _has(names)
    if found and all(isinstance(group.get(n), h5py.Dataset) and group[n].ndim == 1 for n in found.values()):
        return found
    return None


def _sensor(file, place, path):
    for item in (file[place], file[place].parent, file):
        at = {str(k).lower(): v for k, v in list(item.attrs.items())[:100]}
        if "width" in at and "height" in at and np.ndim(at["width"]) == 0:
            return sensor(at["width"], at["height"], path)
        if "geometry" in at and isinstance(at["geometry"], (str, bytes)):
            text = at["geometry"] if isinstance(at["geometry"], str) else at["geometry"].decode("utf-8", "replace")
            sides = text.lower().split("x")
            if len(sides) == 2 and all(s.strip().isdigit() for s in sides):
                return sensor(int(sides[0]), int(sides[1]), path)
        resolution = at.get("sensor_resolution")
        if resolution is not None and np.size(resolution) == 2:
            height, width = np.asarray(resolution).reshape(-1)
            return sensor(width, height, path)
    return None


def _source(place, kind, path, file):
    item = file[place]
    if kind == "columns":
        found, unit = arrays.find(list((_columns(item) or {}).values()), path)
        columns = {key: item[name] for key, name in found.items()}
        if len({len(c) for c in columns.values()}) != 1:
            raise UserError(f"{path}: x, y, p and t must be columns of one length")
        seconds = columns["t"].dtype.kind == "f"
        offset = (
            int(item["t_offset"][()]) if "t_offset" in item else int(file["t_offset"][()]) if "t_offset" in file else 0
        )
        for column in columns.values():
            _check_filter(column, path)
        _check_claim(sum(c.size * c.dtype.itemsize for c in columns.values()), path)
        sure = unit is not None or "ms_to_idx" in item or "ms_to_idx" in file or "t_offset" in file
        return Source(
            "HDF5 (DSEC)" if "ms_to_idx" in file or "ms_to_idx" in item else "HDF5",
            _by_columns(columns, offset),
            unit_us=unit or (1e6 if seconds else 1.0),
            sure=sure,
        )
    _check_filter(item, path)
    _check_claim(item.size * item.dtype.itemsize, path)
    if kind == "table":
        seconds = item.dtype.kind == "f"
        return Source("HDF5", _by_rows(item, path), unit_us=1e6 if seconds else 1.0, sure=False)
    found, unit = arrays.find(list(item.dtype.names), path)
    if _ECF in _filters(item):
        from .ecf import chunks

        return Source("HDF5 (Prophesee, ECF)", chunks(item, path))
    prophesee = place == "/CD/events"
    return Source(
        "HDF5 (Prophesee)" if prophesee else "HDF5",
        _by_fields(item, found),
        unit_us=unit or (1e6 if item.dtype[found["t"]].kind == "f" else 1.0),
        sure=prophesee or unit is not None,
    )


def _filters(item):
    plist = item.id.get_create_plist()
    return [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]


def _check_filter(item, path):
    """Filters of others, such as Blosc in DSEC, come with the package hdf5plugin."""
    missing = [f for f in _filters(item) if f != _ECF and not h5py.h5z.filter_avail(f)]
    if missing:
        try:
            import hdf5plugin  # noqa: F401
        except ImportError:
            pass
        missing = [f for f in missing if not h5py.h5z.filter_avail(f)]
    if missing:
        raise UserError(
            f"{path} is packed with HDF5 filter {missing[0]}, which is not installed: pip install hdf5plugin (it brings"
            " Blosc, Zstandard and others)"
        )


def _check_claim(unpacked, path):
    """Arrays that were never written claim any length, and read as zeros without end."""
    size = size_of(path)
    if unpacked > unpacked_limit(size):
        raise UserError(
            f"{path}: its events unpack to {unpacked} bytes, a file of {size} holds at most {unpacked_limit(size)}"
        )


def _by_columns(columns, offset):
    for at in range(0, len(columns["t"]), _BLOCK):
        part = {key: column[at : at + _BLOCK] for key, column in columns.items()}
        if offset:
            part["t"] = part["t"].astype(np.int64) + offset
        yield Columns(**part)


def _by_fields(item, found):
    for at in range(0, len(item), _BLOCK):
        part = item[at : at + _BLOCK]
        yield Columns(**{key: np.ascontiguousarray(part[name]) for key, name in found.items()})


def _by_rows(item, path):
    """A table: x, y, t, p as MVSEC has it, or t, x, y, p, or x, y, p, t."""
    order = None
    for at in range(0, len(item), _BLOCK):
        part = item[at : at + _BLOCK]
        order = order or _order(part, path)
        yield Columns(**{key: np.ascontiguousarray(part[:, i]) for i, key in enumerate(order)})


def _order(part, path):
    """The columns' names, told by where the polarity is and which other column never falls."""
    third, fourth = (set(np.unique(c).tolist()) in ({0, 1}, {-1, 1}, {0}, {1}, {-1}) for c in part.T[2:])
    if fourth and not third:
        return "xytp" if (np.diff(part[:, 2]) >= 0).all() else "txyp"
    if third:
        return "xypt"
    raise UserError(f"{path}: no column of the table is a polarity (0 and 1, or -1 and 1)")

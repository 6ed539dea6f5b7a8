"""Arrays as numpy, torch and MATLAB save them: a table [n, 4], a structured array, or a column each. Times of a table
are milliseconds, as DVS128 Gesture has them, those of named columns microseconds, unless the name or somebody says so.
"""

import math
import re
import zipfile
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np

from sim.base import npy, seals
from sim.base.errors import UserError
from sim.base.memory import unpacked_limit

from .source import Columns, Source, head, reason, size_of

_MEMBERS = 1000  # of an archive

NAMES = {
    "x": ("x", "xs", "col", "x_coord"),
    "y": ("y", "ys", "row", "y_coord"),
    "p": ("p", "polarity", "pol", "ps", "polarities", "on"),
    "t": ("t", "timestamp", "ts", "time", "timestamps", "times", "timestamp_us"),
}
UNITS = {"s": 1e6, "sec": 1e6, "seconds": 1e6, "ms": 1e3, "us": 1.0, "usec": 1.0, "ns": 1e-3}


def find(names: list[str], path: str | Path) -> tuple[dict[str, str], float | None]:
    """({x, y, p, t: name among `names`}, microseconds to a unit of time where the name tells, as in `t_ns`)."""
    lower, found, unit = {name.lower().strip(): name for name in names}, {}, None
    for key, known in NAMES.items():
        found[key] = next((lower[name] for name in known if name in lower), None)
    for name, given in lower.items():
        told = re.fullmatch(rf"(?:{'|'.join(NAMES['t'])})[\s_\[(]+({'|'.join(UNITS)})[\])]?", name)
        if told and (found["t"] is None or found["t"] == given):
            found["t"], unit = given, UNITS[told[1]]
    if missing := next((key for key, name in found.items() if name is None), None):
        raise UserError(f"{path}: has no column {missing!r} among {', '.join(map(repr, names))[:120]}")
    return found, unit


def named(arrays: dict[str, np.ndarray], path: str | Path, kind: str) -> Source:
    """A `Source` of columns by name."""
    found, unit = find(list(arrays), path)
    columns = Columns(**{key: np.asarray(arrays[name]) for key, name in found.items()})
    if {np.ndim(c) for c in vars(columns).values()} != {1} or len({len(c) for c in vars(columns).values()}) != 1:
        raise UserError(f"{path}: x, y, p and t must be columns of one length")
    return Source(kind, (columns,), unit_us=1.0 if unit is None else unit, sure=unit is not None)


def array(found: Any, path: str | Path, kind: str) -> Source:
    """A `Source` of a table [n, 4] or of a structured array."""
    if found.dtype.names:
        return named({name: found[name] for name in found.dtype.names}, path, kind)
    if found.ndim != 2 or found.shape[1] != 4:
        raise UserError(
            f"{path} is neither a table with four columns (x, y, polarity, time) nor an array with such fields, but of"
            f" shape {found.shape}"
        )
    columns = Columns(*(np.ascontiguousarray(c) for c in found.T))
    return Source(kind, (columns,), unit_us=1000, sure=False, usual=(128, 128))


def pick(arrays: dict[str, np.ndarray], path: str | Path, kind: str) -> Source:
    """A `Source` of columns by name; without them of the only table or structured array that there is, among labels and
    the like."""
    tables = [a for a in arrays.values() if a.dtype.names or (a.ndim == 2 and a.shape[1] == 4)]
    try:
        find(list(arrays), path)
    except UserError:
        if len(arrays) == 1 or len(tables) == 1:
            return array(*tables if len(tables) == 1 else arrays.values(), path=path, kind=kind)
        raise
    return named(arrays, path, kind)


def open_npy(path: str | Path) -> Source:
    if head(path, 6) != b"\x93NUMPY":
        raise UserError(f"{path} is not an array of numbers in .npy format (it does not begin as one); fetch it again")
    seals.check_once(path, "import or copy it again")
    try:
        found = npy.mapped(path)
    except UserError as e:
        raise UserError(f"{path} is not an array of numbers in .npy format ({e}); fetch the file again") from None
    return array(found, path, "npy")


def open_npz(path: str | Path) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            require_members(archive, size_of(path))
            arrays = {info.filename.removesuffix(".npy"): _member(archive, info, path) for info in archive.infolist()}
    except npy.BROKEN as e:
        raise UserError(
            f"{path} is not an archive of arrays in .npz format ({reason(e)}); fetch the file again"
        ) from None
    return pick(arrays, path, "npz")


def require_members(archive: zipfile.ZipFile, size: int) -> None:
    """ValueError unless the members of an archive of `size` bytes are stored or deflated, as numpy and torch write
    them, few, and unpack to what such a file can mean.
    """
    members = archive.infolist()
    if len(members) > _MEMBERS or any(i.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for i in members):
        raise ValueError("more members, or otherwise packed, than numpy or torch write them")
    total = sum(i.file_size for i in members)
    if total > unpacked_limit(size):
        raise ValueError(f"its members unpack to {total} bytes, a file of {size} holds at most {unpacked_limit(size)}")


def _member(archive, info, path):
    """One array of an .npz, whose header must agree with the archive's directory before room is made for it."""
    with archive.open(info) as f:
        shape, dtype = npy.header(f)
    size = math.prod(shape) * dtype.itemsize
    if size > info.file_size:
        raise UserError(f"{path}: array {info.filename!r} claims {size} bytes, {info.file_size} are there")
    with archive.open(info) as f:
        return np.lib.format.read_array(f, allow_pickle=False)


def open_pt(path: str | Path) -> Source:
    """What `torch.save` wrote of a tensor or a dictionary of tensors; read without torch, and nothing in it is run."""
    from .torchfile import read

    found = read(path)
    if isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
    if isinstance(found, dict):
        return pick({str(k): v for k, v in found.items() if isinstance(v, np.ndarray)}, path, "pt")
    if isinstance(found, (list, tuple)) and len(found) == 4 and all(isinstance(c, np.ndarray) for c in found):
        raise UserError(f"{path} holds four tensors without names; save a dictionary of x, y, p, t")
    if not isinstance(found, np.ndarray):
        raise UserError(f"{path} holds no tensor [n, 4] and no dictionary of x, y, p, t; save it anew as one of these")
    return array(found, path, "pt")


def open_mat(path: str | Path) -> Source:
    """A MATLAB file of columns x, y, p, t (or of a structure with such fields, as N-MNIST's `TD`), or of one table.

    MATLAB's tools for N-MNIST count pixels and polarities from 1: where polarities are 1 and 2, both lose the one."""
    if head(path, 128)[:6] != b"MATLAB" and head(path, 8)[1:4] != b"HDF":
        raise UserError(f"{path} is not a MATLAB file of version 5 or later; save it with save -v7")
    if b"MATLAB 7.3" in head(path, 128) or head(path, 8)[1:4] == b"HDF":
        from .hdf5 import open_hdf5

        return _from_one(open_hdf5(path))
    found = _variables(path)
    return _from_one(pick(found, path, "mat"))


def _variables(path):
    """{name: column} of the variables of a file, or of the fields of the first structure that has them."""
    from .matlab import read

    try:
        found = read(path)
    except npy.BROKEN as e:
        raise UserError(f"{path} is not a readable MATLAB file ({reason(e)}); save it again") from None
    for value in found.values():
        if isinstance(value, dict):
            try:
                find(list(value), path)
            except UserError:
                continue
            return {name: column for name, column in value.items() if not isinstance(column, dict)}
    return {name: value for name, value in found.items() if not isinstance(value, dict)}


def _from_one(source):
    def part(columns):
        values = np.unique(columns.p) if len(columns) and columns.p.dtype.kind in "iuf" else ()
        if not set(np.asarray(values).tolist()) <= {1, 2} or 2 not in values:
            return columns
        source.notes.append("pixels and polarities count from 1, as MATLAB does: one is taken off both")
        columns = [np.asarray(c) for c in (columns.x, columns.y, columns.p, columns.t)]
        return Columns(columns[0].astype(np.int64) - 1, columns[1].astype(np.int64) - 1, columns[2] - 1, columns[3])

    parts = source.parts
    source.kind, source.parts = "mat", (part(c) for c in parts)
    return source

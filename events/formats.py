"""Event files of many kinds, told apart by their ending, as columns of numbers and as recordings.

    .npy      a table [n, 4] of x, y, polarity, time (milliseconds, as DVS128 Gesture has it), or a structured array
    (microseconds) .npz      arrays x, y, p, t (microseconds), or one array as in .npy .bin      the five-byte records
    of N-MNIST and N-Caltech101 (`events.nmnist`) .aedat    AEDAT 3.1 (`events.aedat3`) .aedat4   AEDAT 4, by
    dv-processing .raw .dat Prophesee's EVT 2.0, EVT 3.0 and DAT, by expelliarmus

The two libraries are the optional extra `events`. A new format is an entry in `FORMATS`.
"""

import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

from . import aedat3, nmnist
from .recordings import as_events

SIDE_LIMIT = 8192  # pixels along a sensor's side
EXTRA = "pip install 'smolmamba-loihi[events]'"
_NPZ_LIMIT = 1 << 32  # bytes of an array, unpacked
_NAMES = {"x": ("x",), "y": ("y",), "p": ("p", "polarity", "pol"), "t": ("t", "timestamp", "ts")}


@dataclass(frozen=True, eq=False)
class Columns:
    """What a file says, unchecked.

    Attributes:
        x, y, p, t: [n] each, of any type; times on a clock of the file's own.
        size: (width, height) of the sensor, or None if the file does not say.
        unit_us: microseconds to a unit of `t`, unless somebody knows better.
    """

    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    t: np.ndarray
    size: tuple | None = None
    unit_us: float = 1


def read(path, size=None, unit_us=None, sort=True):
    """A recording, by the file's ending. Time 0 is the first event; polarities -1 and 1 are read as 0 and 1.

    Args:
        size: (width, height) that the sensor is known to have.
        unit_us: microseconds to a unit of time in files of numpy, by default as in the table above.
        sort: as for `events.recordings.as_events`.

    Returns:
        (EVENT [n], (width, height) or None if nothing says it).

    Raises:
        UserError: unknown ending, no such file, a library that is not installed, a file that is not in its format, of
            another sensor, or without events.
    """
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise UserError(f"{path}: cannot tell the format, expected a name that ends in {', '.join(FORMATS)}")
    if not Path(path).is_file():
        raise UserError(f"no file {str(path)!r}")
    found = FORMATS[ending](str(path))
    if size and found.size and tuple(size) != found.size:
        raise UserError(f"{path}: is of a {found.size[0]} x {found.size[1]} sensor, expected {size[0]} x {size[1]}")
    size = size or found.size
    for name in _NAMES:
        if getattr(found, name).dtype.kind not in "iufb":
            raise UserError(f"{path}: {name} is not numbers")
    unit = found.unit_us if unit_us is None or ending not in (".npy", ".npz") else unit_us
    width, height = size or (SIDE_LIMIT, SIDE_LIMIT)
    return as_events(found.x, found.y, _polarity(found.p), _from_zero(found.t, unit), height, width, path, sort), size


def sensor(width, height, where):
    """(width, height) as whole numbers; UserError if no sensor is like that."""
    width, height = int(width), int(height)
    if not (1 <= width <= SIDE_LIMIT and 1 <= height <= SIDE_LIMIT):
        raise UserError(f"{where}: a sensor of {width} x {height} pixels, expected sides of 1 to {SIDE_LIMIT}")
    return width, height


def dv(what):
    """The module dv_processing; UserError if it is not installed."""
    try:
        import dv_processing
    except ImportError:
        raise UserError(
            f"{what}: needs the package dv-processing, which reads AEDAT4 files and drives cameras: {EXTRA}"
        ) from None
    return dv_processing


def reason(error):
    """The last line of an error that may have many, shortened."""
    lines = str(error).split("\n")
    return " ".join((lines[1] if len(lines) > 1 else lines[0]).split())[:160] or type(error).__name__


def _polarity(p):
    p = p.astype(np.int8) if p.dtype.kind == "b" else p
    return (p + 1) // 2 if len(p) and p.min() == -1 and (np.abs(p) == 1).all() else p


def _from_zero(t, unit):
    """Times from the first event's, in microseconds; whole numbers stay exact."""
    if len(t) == 0:
        return t
    if t.dtype.kind in "iub":
        t = t.astype(np.int64) - t.min().astype(np.int64)
        return t if unit == 1 else t * unit
    return t.astype(np.float64) * unit - t.min() * unit


def _npy(path):
    try:
        # Memory-mapped: a header that claims more than the file holds is refused before anything is allocated.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise UserError(
            f"{path} is not an array of numbers in .npy format ({reason(e)}); fetch the file again"
        ) from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} is not an array in .npy format; fetch the file again")
    return _array(array, path)


def _array(array, path):
    """Columns of a table [n, 4] or of a structured array."""
    if array.dtype.names:
        return _named({name: array[name] for name in array.dtype.names}, path)
    if array.ndim != 2 or array.shape[1] != 4:
        raise UserError(
            f"{path} is neither a table with four columns (x, y, polarity, time) nor an array with such fields"
        )
    return Columns(*(np.ascontiguousarray(column) for column in array.T), unit_us=1000)


def _named(arrays, path):
    found = {}
    for key, names in _NAMES.items():
        name = next((name for name in names if name in arrays), None)
        if name is None:
            raise UserError(f"{path}: has no column {key!r} among {', '.join(map(repr, arrays))[:120]}")
        found[key] = np.array(arrays[name])
    if {column.ndim for column in found.values()} != {1} or len({len(column) for column in found.values()}) != 1:
        raise UserError(f"{path}: x, y, p and t must be columns of one length")
    return Columns(**found)


def _npz(path):
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {info.filename.removesuffix(".npy"): _member(archive, info, path) for info in archive.infolist()}
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as e:
        raise UserError(
            f"{path} is not an archive of arrays in .npz format ({reason(e)}); fetch the file again"
        ) from None
    return _array(*arrays.values(), path) if len(arrays) == 1 else _named(arrays, path)


def _member(archive, info, path):
    """One array of an .npz, whose header must agree with the archive's directory before room is made for it."""
    with archive.open(info) as f:
        version = np.lib.format.read_magic(f)
        shape, _, dtype = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )(f)
    size = math.prod(shape) * dtype.itemsize
    if size > min(info.file_size, _NPZ_LIMIT):
        raise UserError(
            f"{path}: array {info.filename!r} claims {size} bytes, {info.file_size} are there and {_NPZ_LIMIT} allowed"
        )
    with archive.open(info) as f:
        return np.lib.format.read_array(f, allow_pickle=False)


def _aedat3(path):
    return Columns(*aedat3.read(path), size=aedat3.index(path).size)


def _aedat4(path):
    module = dv(path)
    try:
        recording = module.io.MonoCameraRecording(path)
        if not recording.isEventStreamAvailable():
            raise UserError(f"{path}: has no stream of events")
        size, parts = recording.getEventResolution(), []
        while (batch := recording.getNextEventBatch()) is not None:
            parts.append(batch.numpy())
    except RuntimeError as e:
        raise UserError(f"{path}: not a readable AEDAT4 file ({reason(e)})") from None
    size = sensor(*size, path)
    if not any(len(part) for part in parts):
        raise UserError(f"{path} holds no events; record it again")
    table = np.concatenate(parts)
    return Columns(table["x"], table["y"], table["polarity"], table["timestamp"], size)


def _prophesee(path):
    """DAT or EVT 2 / EVT 3 raw, told apart by the text header that all of them begin with."""
    with open(path, "rb") as f:
        lines = f.read(1 << 14).split(b"\n")
    header = []
    for line in lines:
        if not line.startswith(b"%") or line.strip() == b"% end":
            break
        header.append(line.decode("ascii", "replace"))
    text = "\n".join(header)
    encoding = _prophesee_encoding(path, text)
    if encoding is None:
        raise UserError(
            f"{path}: its header names none of Prophesee's formats DAT, EVT 2.0 and EVT 3.0; convert it with"
            " Prophesee's tools"
        )
    try:
        from expelliarmus import Wizard
    except ImportError:
        raise UserError(f"{path}: reading Prophesee files needs the package expelliarmus: {EXTRA}") from None
    try:
        table = Wizard(encoding=encoding).read(path)
    except Exception as e:  # it raises what its checks raise
        raise UserError(f"{path}: not a readable {encoding.upper()} file ({reason(e)})") from None
    if table is None:
        raise UserError(f"{path}: not a readable {encoding.upper()} file; copy it again")
    found = (
        re.search(r"geometry (\d{1,5})x(\d{1,5})", text),
        *(re.search(rf"\b{side}[ =](\d{{1,5}})", text, re.I) for side in ("width", "height")),
    )
    size = found[0].groups() if found[0] else (found[1][1], found[2][1]) if found[1] and found[2] else None
    return Columns(table["x"], table["y"], table["p"], table["t"], sensor(*size, path) if size else None)


def _prophesee_encoding(path, text):
    if path.lower().endswith(".dat"):
        return "dat" if text else None
    found = re.search(r"(?:evt |format EVT)([23])(?:\.0)?(?![.\d])", text)
    return found and f"evt{found[1]}"


FORMATS = {
    ".npy": _npy,
    ".npz": _npz,
    ".bin": lambda path: Columns(*nmnist.columns(path)),
    ".aedat": _aedat3,
    ".aedat4": _aedat4,
    ".raw": _prophesee,
    ".dat": _prophesee,
}

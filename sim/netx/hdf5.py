"""HDF5 as a flat table of arrays: read in a process apart, since its library may not come back from a damaged file,
with every size and type checked first; written atomically. Knows nothing of nets.
"""

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..base import apart, seals
from ..base.errors import UserError
from ..base.files import write
from ..base.memory import unpacked_limit

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FILE_LIMIT = 1 << 30  # bytes of a file, and of all its arrays after decompression
OBJECT_LIMIT = 1 << 14  # groups and datasets of a file: far above any net, and walked in seconds
DEPTH_LIMIT = 8
PLAIN_KINDS = "iufbS"  # numpy kinds that are read: integers, floats, booleans, fixed-length bytes
NAME = re.compile(r"[!-.0-~]{1,100}")
COMPRESS_FROM = 256  # bytes; chunked storage of anything smaller only costs space


def load(path: str | PathLike) -> dict:
    """All datasets of an HDF5 file.

    Nothing is read before the whole file has been walked: only hard links, one to each object, plain number and
    byte-string types, no external or virtual storage, no filters but gzip, shuffle and checksum, and no more bytes in
    all than `FILE_LIMIT` and what a file of its size can mean (`sim.base.memory`). The file is closed when this
    returns.

    Returns:
        dict: path inside the file, without leading slash -> numpy array. A variable-length string becomes an array of
            bytes, shape ().

    Raises:
        UserError: the file is missing, no HDF5, truncated, damaged, or holds something that is not read.
    """
    size = check_file(path, "expected a net written by `python -m convert export` or by SLAYER")
    return apart.first(_content, str(path), size, unpacked_limit(size), size)


def check_file(path: str | PathLike, expected: str) -> int:
    """The bytes of a file that begins as HDF5 does; `UserError` for others, which says what was `expected`."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        size = path.stat().st_size
        with open(path, "rb") as f:
            begin = f.read(len(SIGNATURE))
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror})") from None
    if size > FILE_LIMIT:
        raise UserError(f"{path}: larger than {FILE_LIMIT >> 20} MiB, this is no net of ours")
    if begin != SIGNATURE:
        raise UserError(f"{path}: not an HDF5 file, {expected}")
    seals.check(path, "export it again, or copy it again")
    return size


def _content(path: str, size: int) -> Iterator[dict]:
    try:
        with h5py.File(path, "r", locking=False) as f:
            found: dict = {}
            _walk(f, "", found, [0], path)
            require_sizes(sum(d.size * d.dtype.itemsize for d in found.values()), size, path)
            content = {name: _array(d) for name, d in found.items()}
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
    ) as e:  # what h5py raises on damaged files
        reason = " ".join(str(e).strip("'\"").split()) or type(e).__name__
        raise UserError(f"{path}: damaged or truncated HDF5 file ({reason}); export or copy it again") from e
    yield content


def require_sizes(unpacked: int, size: int, path: object) -> None:
    """`UserError` unless arrays of so many bytes can come from a file of `size` bytes."""
    if unpacked > (most := min(FILE_LIMIT, unpacked_limit(size))):
        raise UserError(
            f"{path}: its arrays unpack to {unpacked >> 20} MiB, a file of {size} bytes holds at most {most >> 20}"
        )


def _walk(group, prefix, found, count, path):
    """count: [objects] so far."""
    if prefix.count("/") > DEPTH_LIMIT:
        raise UserError(f"{path}: {prefix}: nested too deeply")
    for name in group:
        if not isinstance(name, str) or not NAME.fullmatch(name):  # h5py gives bytes for what is no UTF-8
            raise UserError(f"{path}: {prefix}: has an entry named {name!r}, expected plain letters, digits and marks")
        where, item = prefix + name, linked_once(group, name, prefix, count, path)
        if isinstance(item, h5py.Group):
            if not len(item):  # SLAYER's KWTA block writes such a layer, which would be missed in the table
                raise UserError(f"{path}: {where}: is an empty group, expected what it holds")
            _walk(item, where + "/", found, count, path)
            continue
        if not isinstance(item, h5py.Dataset):
            raise UserError(f"{path}: {where}: is a {type(item).__name__}, expected a dataset")
        _check(item, where, path)
        found[where] = item


def linked_once(group: Any, name: str, prefix: str, count: list, path: object) -> Any:
    """An entry of a group, counted. What hangs on several links is refused: a walk would come by it as often as there
    are ways to it.
    """
    count[0] += 1
    if count[0] > OBJECT_LIMIT:
        raise UserError(f"{path}: more than {OBJECT_LIMIT} groups and datasets")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise UserError(f"{path}: {prefix}{name}: is a link to elsewhere, expected the data itself")
    item = group[name]
    if h5py.h5o.get_info(item.id).rc > 1:  # pyright: ignore[reportAttributeAccessIssue]
        raise UserError(f"{path}: {prefix}{name}: has several names in the file, expected one")
    return item


def _is_text(dataset):
    """A scalar variable-length string, the one kind of object type that is read: SLAYER writes neuron types so."""
    info = h5py.check_string_dtype(dataset.dtype)
    return info is not None and info.length is None and dataset.shape == ()


def _check(dataset, where, path):
    if not _is_text(dataset) and (dataset.dtype.kind not in PLAIN_KINDS or dataset.dtype.subdtype is not None):
        raise UserError(f"{path}: {where}: has type {dataset.dtype}, expected plain numbers or bytes")
    if dataset.shape is None:
        raise UserError(f"{path}: {where}: is empty")
    if dataset.external or dataset.is_virtual:
        raise UserError(f"{path}: {where}: is stored in other files, expected the data itself")
    plist = dataset.id.get_create_plist()
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if filters - {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}:
        raise UserError(f"{path}: {where}: uses an unknown compression filter, expected gzip")
    if dataset.size * dataset.dtype.itemsize > FILE_LIMIT:
        raise UserError(f"{path}: {where}: shape {dataset.shape} is too large")


def _array(dataset):
    if _is_text(dataset):
        return np.array(dataset[()], "S")
    return np.asarray(dataset[()])


def save(path: str | PathLike, content: dict) -> None:
    """Writes `content` (path inside the file -> array, or str for a variable-length string), atomically.

    The same content gives the same bytes: no time stamps. Metadata carry HDF5's own checksums. The bytes are made in
    memory, because HDF5 ends the process where it cannot write them.

    Raises:
        UserError: the folder is missing, full or not writable.
    """
    with h5py.File("memory", "w", driver="core", backing_store=False, libver=("v108", "v108")) as f:
        for name, value in content.items():
            packed = isinstance(value, np.ndarray) and value.ndim > 0 and value.nbytes >= COMPRESS_FROM
            f.create_dataset(name, data=value, **(dict(compression="gzip", shuffle=True) if packed else {}))
        f.flush()
        image = f.id.get_file_image()
    write(path, seals.sealed(image))

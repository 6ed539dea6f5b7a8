"""HDF5 as a flat table of arrays: read with every size and type checked first, written atomically. Knows nothing of
nets.
"""

import re
from pathlib import Path

import h5py
import numpy as np

from ..base.errors import UserError
from ..base.files import write

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FILE_LIMIT = 1 << 30  # bytes of a file, and of all its arrays after decompression
OBJECT_LIMIT = 1 << 17  # groups and datasets of a file
DEPTH_LIMIT = 8
PLAIN_KINDS = "iufbS"  # numpy kinds that are read: integers, floats, booleans, fixed-length bytes
NAME = re.compile(r"[!-.0-~]{1,100}")
COMPRESS_FROM = 256  # bytes; chunked storage of anything smaller only costs space


def load(path) -> dict:
    """All datasets of an HDF5 file.

    Nothing is read before the whole file has been walked: only hard links, plain number and byte-string types, no
    external
    or virtual storage, no filters but gzip, shuffle and checksum, and `FILE_LIMIT` bytes in all. The file is closed
    when this returns.

    Returns:
        dict: path inside the file, without leading slash -> numpy array. A variable-length string becomes an array of
            bytes, shape ().

    Raises:
        UserError: the file is missing, no HDF5, truncated, damaged, or holds something that is not read.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > FILE_LIMIT:
        raise UserError(f"{path}: larger than {FILE_LIMIT >> 20} MiB, this is no net of ours")
    with open(path, "rb") as f:
        if f.read(len(SIGNATURE)) != SIGNATURE:
            raise UserError(
                f"{path}: not an HDF5 file, expected a net written by `python -m convert export` or by SLAYER"
            )
    try:
        with h5py.File(path, "r", locking=False) as f:
            found = {}
            _walk(f, "", found, path)
            if sum(d.size * d.dtype.itemsize for d in found.values()) > FILE_LIMIT:
                raise UserError(f"{path}: its arrays unpack to more than {FILE_LIMIT >> 20} MiB")
            return {name: _array(d) for name, d in found.items()}
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        MemoryError,
    ) as e:  # what h5py raises on damaged files
        reason = " ".join(str(e).strip("'\"").split()) or type(e).__name__
        raise UserError(f"{path}: damaged or truncated HDF5 file ({reason}); export or copy it again") from e


def _walk(group, prefix, found, path):
    if prefix.count("/") > DEPTH_LIMIT:
        raise UserError(f"{path}: {prefix}: nested too deeply")
    for name in group:
        if not isinstance(name, str) or not NAME.fullmatch(name):  # h5py gives bytes for what is no UTF-8
            raise UserError(f"{path}: {prefix}: has an entry named {name!r}, expected plain letters, digits and marks")
        where = prefix + name
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UserError(f"{path}: {where}: is a link to elsewhere, expected the data itself")
        item = group[name]
        if isinstance(item, h5py.Group):
            _walk(item, where + "/", found, path)
            continue
        if not isinstance(item, h5py.Dataset):
            raise UserError(f"{path}: {where}: is a {type(item).__name__}, expected a dataset")
        _check(item, where, path)
        found[where] = item
        if len(found) > OBJECT_LIMIT:
            raise UserError(f"{path}: more than {OBJECT_LIMIT} datasets")


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


def save(path, content):
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
    write(path, image)

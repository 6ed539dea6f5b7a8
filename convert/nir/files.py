"""NIR files: read with care, written atomically. What stands in them is `convert.nir.to_graph`'s and
`convert.nir.from_graph`'s business.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.base.files import write
from sim.netx.hdf5 import DEPTH_LIMIT, FILE_LIMIT, OBJECT_LIMIT, SIGNATURE

PARAMETERS = {
    "IF": ("r", "v_threshold", "v_reset"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
}


def library() -> Any:
    """The package `nir`.

    Raises:
        UserError: it is not installed.
    """
    try:
        import nir
    except ImportError:
        raise UserError("NIR graphs need the package nir: pip install 'smolmamba-loihi[nir]'") from None
    return nir


def save(graph, path):
    """Writes an `nir.NIRGraph`, atomically.

    Raises:
        UserError: the folder is missing, full or not writable.
    """
    buffer = io.BytesIO()  # HDF5 ends the process where it cannot write
    library().write(buffer, graph)
    write(path, buffer.getbuffer())


def load(path):
    """The `nir.NIRGraph` of a file. Sizes, links and storage are checked before the library reads anything; shapes are
    checked by who uses them.

    Raises:
        UserError: missing, not HDF5, too large, links to elsewhere, damaged, or no graph that this version of `nir`
            knows.
    """
    nir, path = library(), Path(path)
    if not path.is_file():
        raise UserError(f"no file {str(path)!r}")
    with open(path, "rb") as f:
        if f.read(len(SIGNATURE)) != SIGNATURE:
            raise UserError(f"{path}: not an HDF5 file, expected a NIR graph")
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as f:
            if "node" not in f:
                raise UserError(f"{path}: has no group 'node', expected a NIR graph")
            _check(f, "", path, [0, 0])
            found = nir.serialization.hdf2dict(f["node"])
        _loosen(found)
        graph = nir.dict2NIRNode(found | ({"type_check": False} if found.get("type") == "NIRGraph" else {}))
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        AssertionError,
        IndexError,
        OverflowError,
        MemoryError,
    ) as e:
        reason = " ".join(str(e).strip("'\"").split())[:160] or type(e).__name__
        raise UserError(f"{path}: nir {nir.version} cannot read it ({reason})") from e
    if not isinstance(graph, nir.NIRGraph):
        raise UserError(f"{path}: holds one {type(graph).__name__}, expected a graph")
    return graph


def _loosen(node: dict) -> None:
    """Gives a neuron's parameters one shape, as `nir` wants it; tools write (), (1,) and (1, 1, 1) for one value."""
    for inner in node.get("nodes", {}).values():
        _loosen(inner)
    if node.get("type") in PARAMETERS:
        named = {key: np.asarray(node[key]) for key in PARAMETERS[node["type"]] if key in node}
        most = max((value.size for value in named.values()), default=1)
        shape = next((value.shape for value in named.values() if value.size == most and value.ndim), (1,))
        for key, value in named.items():
            node[key] = (
                value.reshape(shape) if value.size == most else np.broadcast_to(_fit(value, shape), shape).copy()
            )


def _fit(value, shape):
    """One value for each channel stands in front, whatever ones were written around it."""
    if value.size == 1:
        return value.reshape(())
    return value.reshape(value.size, *(1 for _ in shape[1:]))


def _check(group, prefix, path, sums):
    """Walks a file; sums: [datasets, bytes] so far."""
    import h5py

    if prefix.count("/") > DEPTH_LIMIT:
        raise UserError(f"{path}: {prefix}: nested too deeply")
    for name in group:
        where = f"{prefix}{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UserError(f"{path}: {where}: is a link to elsewhere, expected the data itself")
        item = group[name]
        if isinstance(item, h5py.Group):
            _check(item, f"{where}/", path, sums)
            continue
        if not isinstance(item, h5py.Dataset) or item.shape is None or item.external or item.is_virtual:
            raise UserError(f"{path}: {where}: expected a dataset that holds its own data")
        sums[0] += 1
        sums[1] += item.size * item.dtype.itemsize
        if sums[0] > OBJECT_LIMIT or sums[1] > FILE_LIMIT:
            raise UserError(
                f"{path}: {where}: the file holds more than {OBJECT_LIMIT} datasets or {FILE_LIMIT >> 20} MiB"
            )

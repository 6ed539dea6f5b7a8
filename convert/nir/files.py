"""NIR files: read with care, written atomically. What stands in them is `convert.nir.to_graph`'s and
`convert.nir.from_graph`'s business.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sim.base import apart, seals
from sim.base.errors import UserError
from sim.base.files import write
from sim.base.memory import unpacked_limit
from sim.netx.hdf5 import DEPTH_LIMIT, check_file, linked_once, require_sizes

# What `nir` and h5py raise on damaged files and on others' graphs.
_BROKEN = (
    *(OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, AssertionError, IndexError),
    *(OverflowError, RecursionError),
)

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


def save(graph: Any, path: str | Path) -> None:
    """Writes an `nir.NIRGraph`, atomically.

    Raises:
        UserError: the folder is missing, full or not writable.
    """
    buffer = io.BytesIO()  # HDF5 ends the process where it cannot write
    library().write(buffer, graph)
    write(path, seals.sealed(buffer.getbuffer()))


def load(path: str | Path) -> Any:
    """The `nir.NIRGraph` of a file. Sizes, links and storage are checked before the library reads anything; shapes are
    checked by who uses them.

    Raises:
        UserError: missing, not HDF5, too large, links to elsewhere, damaged, or no graph that this version of `nir`
            knows.
    """
    nir, size = library(), check_file(path, "expected a NIR graph")
    found = apart.first(_content, str(path), size, unpacked_limit(size), size)
    try:
        _loosen(found)
        graph = nir.dict2NIRNode(found | ({"type_check": False} if found.get("type") == "NIRGraph" else {}))
    except _BROKEN as e:
        raise UserError(f"{path}: nir {nir.version} cannot read it ({_reason(e)})") from e
    if not isinstance(graph, nir.NIRGraph):
        raise UserError(f"{path}: holds one {type(graph).__name__}, expected a graph")
    return graph


def _content(path: str, size: int) -> Iterator[dict]:
    import h5py

    nir = library()
    try:
        with h5py.File(path, "r", locking=False) as f:
            if "node" not in f:
                raise UserError(f"{path}: has no group 'node', expected a NIR graph")
            require_sizes(_check(f, "", path, [0]), size, path)
            found = nir.serialization.hdf2dict(f["node"])
    except _BROKEN as e:
        raise UserError(f"{path}: nir {nir.version} cannot read it ({_reason(e)})") from e
    yield found


def _reason(error):
    return " ".join(str(error).strip("'\"").split())[:160] or type(error).__name__


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


def _check(group, prefix, path, count) -> int:
    """Walks a file; the bytes of its arrays."""
    import h5py

    total = 0
    if prefix.count("/") > DEPTH_LIMIT:
        raise UserError(f"{path}: {prefix}: nested too deeply")
    for name in group:
        where, item = f"{prefix}{name}", linked_once(group, name, prefix, count, path)
        if isinstance(item, h5py.Group):
            total += _check(item, f"{where}/", path, count)
            continue
        if not isinstance(item, h5py.Dataset) or item.shape is None or item.external or item.is_virtual:
            raise UserError(f"{path}: {where}: expected a dataset that holds its own data")
        total += item.size * item.dtype.itemsize
    return total

"""The artifact `model.net`: a net as an HDF5 file. The full format is in docs/netx-format.md.

The group `smolmamba` says everything. A purely sequential net is said a second time in `layer`, in netx's own words, so
that stock `lava.lib.dl.netx.hdf5.Network` runs it; a net that is more than that has no `layer`, so that stock netx
refuses it instead of skipping in silence what it does not know."""

from os import PathLike
from pathlib import Path

import numpy as np

from ..base.errors import UserError
from ..net import Net
from ..net.tokens import Stream
from ..sequential import Sequential
from ..sequential.graph import Graph
from . import hdf5
from .golden import Golden, make_golden
from .graph_file import is_graph
from .graph_file import parse as parse_graph
from .reader import is_ours, parse
from .slayer_reader import parse as parse_slayer
from .stock import stock_layers
from .writer import DIGEST, ROOT, digest, pack


def export_record(net: str | Path) -> Path:
    """The file beside a net in which `convert export` notes what it measured."""
    return Path(net).with_suffix(".export.json")


def write(net: Net, path: str | PathLike, golden: Stream | None = None) -> str:
    """Writes `net`, atomically.

    Args:
        path: the file, usually `model.net`.
        golden: `sim.net.tokens.Stream`: inputs whose outputs, computed here by the engine, go along as a self-test.

    Returns:
        str: the digest, 64 hex digits.

    Raises:
        UserError: a name, a fact or a size that the format does not take; the folder cannot be written.
    """
    own = pack(net, None if golden is None else make_golden(net, golden))
    sha = digest(own)
    content = {ROOT + k: v for k, v in own.items()} | {ROOT + DIGEST: np.array(sha, "S")} | stock_layers(net)
    hdf5.save(path, content)
    return sha


def read(path: str | PathLike) -> Net:
    """Reads a net that `write` has written; every size, type, range and the digest are checked.

    Raises:
        UserError: one line that names the file, the layer and what was expected.
    """
    return _read(path)[0]


def read_golden(path: str | PathLike) -> Golden | None:
    """The file's `Golden`, or None if it has none. Checks all that `read` checks."""
    return _read(path)[1]


def read_digest(path: str | PathLike) -> str:
    """The file's digest, checked."""
    return _read(path)[2]


def load(path: str | PathLike) -> Graph | Net | Sequential:
    """Reads any net: ours, a `sim.sequential.graph.Graph`, or a `sim.sequential.Sequential` that SLAYER exported."""
    content = hdf5.load(path)
    if is_graph(content):
        return parse_graph(content, path)
    return parse(content, path)[0] if is_ours(content) else parse_slayer(content, path)


def read_slayer(path: str | PathLike, layers: int | None = None) -> Sequential:
    """Reads a net that SLAYER has exported; see `sim.netx.slayer_reader.parse`."""
    return parse_slayer(hdf5.load(path), path, layers)


def _read(path):
    content = hdf5.load(path)
    if is_graph(content):
        raise UserError(f"{path}: is a graph of layers without tokens, frames and encoder, it cannot run on recordings")
    if not is_ours(content):
        raise UserError(
            f"{path}: has no group {ROOT[:-1]!r}: a SLAYER export without tokens, frames and encoder cannot run on"
            " recordings; give it an array with --input, or write one with `python -m convert export`"
        )
    return parse(content, path)

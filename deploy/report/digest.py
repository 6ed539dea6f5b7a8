"""What names the content of a net's file."""

import hashlib
from pathlib import Path

from sim import netx
from sim.net import Net
from sim.sequential import Sequential
from sim.sequential.graph import Graph


def digest_of(path: str | Path, net: Net | Sequential | Graph) -> str:
    """SHA-256 (hex): of the content where the file carries it, as our own nets' do, else of the file."""
    if isinstance(net, Net):
        return netx.read_digest(path)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()

"""What names the content of a net's file."""

import hashlib
from pathlib import Path

from sim.graph import Graph

from sim import netx
from sim.net import Net
from sim.sequential import Sequential


def digest_of(path: str | Path, net: Net | Sequential | Graph) -> str:
    """SHA-256 (hex): of the content where the file carries it, as our own nets' do, else of the file."""
    if isinstance(net, Net):
        return netx.read_digest(path)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()

"""A net's self-test: inputs with what the engine made of them when the net was written."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from ..base.errors import UserError
from ..engine.batch import run
from ..net import Net
from ..net.tokens import Stream, checked

SPIKES_KEPT = 1 << 18  # golden spike trains up to this many bits are stored whole, larger ones as count and hash
SPIKES_NODES = 2  # of the last so many spiking nodes


@dataclass(frozen=True, eq=False)
class Golden:
    """Inputs with what the engine made of them when the net was written.

    Attributes:
        stream: the inputs, G samples.
        logits: int64 [G, classes].
        counts: name of a spiking node -> number of spikes over all G samples.
        hashes: the same names, and the read-out's -> sha256 (hex) of the node's output: uint8 [G, T*K, n], the
            read-out's as little-endian int32, in C order.
        spikes: for the last nodes, if small: name -> uint8 [G, T*K, n].
    """

    stream: Stream
    logits: np.ndarray
    counts: dict = field(default_factory=dict)
    hashes: dict = field(default_factory=dict)
    spikes: dict = field(default_factory=dict)


def make_golden(net: Net, stream: Stream | np.ndarray) -> Golden:
    """Runs the engine on a stream of at least one sample and keeps what a later run must reproduce."""
    stream = checked(net, stream)
    if not len(stream):
        raise UserError("golden input: expected at least one sample")
    result = run(net, stream, trace="all")
    spiking = [n.name for n in net.nodes[:-1]]
    kept = [n for n in spiking[-SPIKES_NODES:] if result.traces[n].size <= SPIKES_KEPT]
    return Golden(
        stream=stream,
        logits=result.logits,
        counts={n: int(result.traces[n].sum(dtype=np.int64)) for n in spiking},
        hashes={n.name: spike_hash(result.traces[n.name]) for n in net.nodes},
        spikes={n: result.traces[n] for n in kept},
    )


def spike_hash(spikes: np.ndarray) -> str:
    """sha256 (hex) of a node's output in C order, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(spikes).astype(spikes.dtype.newbyteorder("<")).tobytes()).hexdigest()


def golden_differences(expected: Golden, found: Golden) -> list:
    """Names of the nodes whose output differs, in the net's order; empty if `found` reproduces `expected`."""
    return [name for name, value in expected.hashes.items() if found.hashes.get(name) != value]

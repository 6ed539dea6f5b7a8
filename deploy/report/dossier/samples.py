"""The samples in a dossier and what every layer made of them: written once, computed again by whoever doubts."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from sim import engine
from sim.base.errors import UserError
from sim.net import Net
from sim.net.tokens import Stream
from sim.netx.golden import spike_hash
from sim.sequential import Sequential
from sim.sequential.graph import Graph


@dataclass(frozen=True, eq=False)
class Recorded:
    """Samples with their outputs.

    Attributes:
        x: `sim.net.tokens.Stream` of a net of ours, else an array [n, steps, *input shape].
        labels: int64 [n], or None if unknown.
        outputs: int64 [n, classes], the read-out of a net of ours; of others what the last layer sent, flat.
        hashes: layer -> SHA-256 (hex) of what it sent at every step.
    """

    x: Any
    labels: np.ndarray | None
    outputs: np.ndarray
    hashes: dict[str, str]


def record(net: Net | Sequential | Graph, x: Any, labels: np.ndarray | None) -> Recorded:
    """Runs the engine on the samples."""
    if isinstance(net, Net):
        found = engine.run(net, x, trace="all")
        return Recorded(x, labels, found.logits, {n.name: spike_hash(found.traces[n.name]) for n in net.nodes})
    out = net.run(x)
    last = out[net.layers[-1].name].reshape(len(x), -1).astype(np.int64)
    return Recorded(x, labels, last, {name: _hash(values) for name, values in out.items()})


def _hash(values):
    return hashlib.sha256(np.ascontiguousarray(values, "<i4").tobytes()).hexdigest()


def write(recorded: Recorded, file: IO[bytes]) -> None:
    """As .npz, without pickle."""
    x = recorded.x
    inputs = dict(tokens=x.tokens, which=x.which) if isinstance(x, Stream) else dict(input=np.asarray(x))
    known = {} if recorded.labels is None else dict(labels=np.asarray(recorded.labels, np.int64))
    names, hashes = np.array(list(recorded.hashes)), np.array(list(recorded.hashes.values()))
    content: dict[str, Any] = inputs | known | dict(outputs=recorded.outputs, layers=names, sha256=hashes)
    np.savez_compressed(file, **content)


def read(path: Path) -> Recorded:
    """What `write` wrote.

    Raises:
        UserError: it is not that.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            x = content["input"] if "input" in content else Stream(content["tokens"], content["which"])
            labels = content["labels"] if "labels" in content else None
            hashes = dict(zip(content["layers"].tolist(), content["sha256"].tolist()))
            return Recorded(x, labels, content["outputs"], hashes)
    except (OSError, ValueError, KeyError, EOFError) as e:
        raise UserError(f"{path}: no record of samples ({e}); unpack the dossier again") from None

"""What to run a net on: part of a data set, one file of events, or the net's own golden input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import events
from events import formats
from events.frames import STEP_US, SpikeFrames
from events.pictures import Photograph
from sim import netx
from sim.base.errors import UserError
from sim.net import Net
from sim.net.tokens import Stream
from sim.sequential import Sequential
from sim.sequential.graph import Graph


class Items(Protocol):
    """What has a number and can be taken singly or by the slice: a list, `events.Files`, a `Stream`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs for a net, made when they are asked for.

    Attributes:
        source: sequence of n items that `encode` takes by the slice.
        encode: slice of `source` -> `sim.net.tokens.Stream`.
        labels: int64 [n], or None if unknown.
        dataset, split: where they are from; split None if it has none.
        encoder: `events.Encoder` of recordings, None for streams that are there already.
    """

    source: Items
    encode: Callable[[Any], Stream]
    labels: np.ndarray | None
    dataset: str
    split: str | None = None
    encoder: events.Encoder | None = None

    def __len__(self):
        return len(self.source)

    def streams(self, begin: int, end: int) -> Stream:
        """`sim.net.tokens.Stream` of end - begin samples."""
        return self.encode(self.source[begin:end])


def from_dataset(net: Net, name: str | None, split: str, root: str | Path | None, limit: int | None) -> Samples:
    """The first `limit` recordings (None for all) of a part of a data set, by default of the one that the net was
    trained on.

    Raises:
        UserError: the set is unknown, not there, or has other classes than the net.
    """
    name = name or net.facts.get("dataset")
    if not name:
        raise UserError("the net does not say which data set it was trained on; name one with --dataset")
    recordings = events.load(name, split, root)
    if tuple(recordings.classes) != tuple(net.classes):
        raise UserError(
            f"data set {name!r} has classes {', '.join(recordings.classes)}; the net has"
            f" {', '.join(net.classes) or 'none named'}"
        )
    encoder = events.Encoder.of(net.encoder)
    return Samples(recordings.events[:limit], encoder.encode_all, recordings.labels[:limit], name, split, encoder)


def from_file(net: Net, path: str | Path, unit_us: float | None = None) -> Samples:
    """One recording, in any format of `events.formats`; of a net that reads pictures, a picture file, its middle square
    shrunk to the net's size.

    unit_us: microseconds to a unit of time, where the format does not fix it.

    Raises:
        UserError: as `formats.read` does; of another sensor than the net's.
    """
    encoder = events.Encoder.of(net.encoder)
    if encoder.message_bits:
        return Samples([Photograph(encoder.height)(path)], encoder.encode_all, None, str(path), encoder=encoder)
    recording = formats.read(path, (encoder.width, encoder.height), unit_us)[0]
    return Samples([recording], encoder.encode_all, None, str(path), encoder=encoder)


@dataclass(frozen=True)
class Steps:
    """How recordings become steps of a net without an encoder: see `events.frames.SpikeFrames`."""

    step_us: float | None = None
    steps: int = 0

    def of(self, net: Sequential | Graph, recordings: Sequence, height: int, width: int) -> SpikeFrames:
        """The recordings as spikes for `net`, a chain or a graph of layers.

        Raises:
            UserError: it takes no spikes, or those of another sensor.
        """
        if net.input_kind != "spikes":
            raise UserError(f"the net takes {net.input_kind}, recordings give spikes; give it an array with --input")
        return SpikeFrames(recordings, height, width, net.layers[0].shape, self.step_us or STEP_US, self.steps)


def frames_from_dataset(
    net: Sequential | Graph, name: str, split: str, root: str, limit: int | None, steps: Steps
) -> tuple[SpikeFrames, np.ndarray]:
    """(`SpikeFrames`, labels) of the first `limit` recordings of a part of a data set.

    Raises:
        UserError: the set is unknown, not there, of another sensor than the net's, or has more classes.
    """
    recordings = events.load(name, split, root)
    outputs = int(np.prod(net.layers[-1].shape))
    if len(recordings.classes) > outputs:
        raise UserError(f"data set {name!r} has {len(recordings.classes)} classes, the net {outputs} outputs")
    frames = steps.of(net, recordings.events[:limit], recordings.height, recordings.width)
    return frames, recordings.labels[:limit]


def frames_from_file(net: Sequential | Graph, path: str, unit_us: float | None, steps: Steps) -> SpikeFrames:
    """One recording, in any format of `events.formats`, on the sensor that the net's first layer has.

    Raises:
        UserError: as `formats.read` does; a net that does not say its sensor.
    """
    shape = net.layers[0].shape
    if len(shape) != 3:
        raise UserError(f"the net takes {shape}, which does not say how wide the sensor is; give it an array: --input")
    height, width = shape[1:]
    return steps.of(net, [formats.read(path, (width, height), unit_us)[0]], height, width)


def from_golden(path: str | Path, limit: int | None) -> Samples:
    """The golden input that the artifact carries.

    Raises:
        UserError: it carries none.
    """
    golden = netx.read_golden(path)
    if golden is None:
        raise UserError(f"{path} has no golden input; export it again, or name a data set with --dataset")
    return Samples(golden.stream[:limit], lambda stream: stream, None, "golden")

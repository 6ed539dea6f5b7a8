"""Bags of ROS 1 and 2 (`.bag`, `.db3`, `.mcap`), opened by the package rosbags; the messages of events are unpacked
here, as their layout is fixed and the package makes an object of each event.

Read are arrays of events (`dvs_msgs/EventArray` and `prophesee_event_msgs/EventArray`: header, height, width, then of
each event x, y, time, polarity) and packets in EVT 3.0 (`event_camera_msgs/EventPacket`).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sim.base.errors import UserError

from . import aside
from .source import EXTRA, Columns, Source, reason, sensor

_ARRAYS = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
_PACKETS = ("event_camera_msgs/msg/EventPacket",)
# Of one event in ROS 1, without gaps; in ROS 2 each value stands at a multiple of its size.
_EVENT1 = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
_EVENT2 = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<i4"), ("ns", "<u4"), ("p", "u1"), ("", "V3")])


def open_rosbag(path: str | Path) -> Source:
    """The only topic of events in a bag.

    Raises:
        UserError: the package is not installed, no bag, no events, or several topics with events.
    """
    return aside.opened(f"{__name__}:read_here", path)


def read_here(path: str | Path) -> Source:
    """As `open_rosbag`, in this process, which may not come back from it."""
    try:
        from rosbags.highlevel import AnyReader
    except ImportError:
        raise UserError(
            f"{path}: reading bags of ROS needs the package rosbags: {EXTRA.replace('events]', 'rosbag]')}"
        ) from None
    reader, place = None, Path(path)
    if place.suffix.lower() != ".bag" and (place.parent / "metadata.yaml").is_file():
        place = place.parent
    try:
        reader = AnyReader([place])
        reader.open()
    except Exception as e:  # what the package raises on a broken bag is up to it
        raise UserError(f"{path} is not a bag that can be read ({reason(e)}); fetch the file again") from None
    found = [c for c in reader.connections if c.msgtype in _ARRAYS + _PACKETS]
    topics = sorted({c.topic for c in found})
    if len(topics) != 1:
        names = topics or sorted({f"{c.topic} ({c.msgtype})" for c in reader.connections})
        reader.close()
        raise UserError(
            f"{path}: "
            + ("several topics hold events" if topics else "no topic holds events")
            + f" among {', '.join(names)[:160] or 'none'}; write one topic of EventArray messages into a bag of its own"
        )
    ros1 = place.suffix.lower() == ".bag"
    messages = _messages(reader, found, path)
    first = next(messages, None)
    if first is None:
        raise UserError(f"{path} holds no events; record it again")
    source = Source("rosbag 1" if ros1 else "rosbag 2", ())
    read = _array if first[0] in _ARRAYS else _Packets(source)
    some = read(first[1], ros1, path)
    source.size = sensor(*some[0], path)
    source.parts = _parts(some[1], messages, read, ros1, path)
    return source


def _messages(reader, connections, path) -> Iterator[tuple[str, bytes]]:
    try:
        for connection, _, data in reader.messages(connections=connections):
            yield connection.msgtype, data
    except UserError:
        raise
    except Exception as e:
        raise UserError(f"{path} is a broken bag ({reason(e)}); fetch the file again") from None
    finally:
        reader.close()


def _parts(first, messages, read, ros1, path):
    if len(first):
        yield first
    for _, data in messages:
        part = read(data, ros1, path)[1]
        if len(part):
            yield part


class _Cursor:
    """Goes through a message of ROS 1, or of ROS 2, whose values stand at multiples of their size after four bytes."""

    def __init__(self, data, ros1, path):
        self.data, self.ros1, self.at, self.path = data, ros1, 0 if ros1 else 4, path

    def take(self, kind: str) -> Any:
        size = struct.calcsize("<" + kind[-1])
        if not self.ros1:
            self.at += -(self.at - 4) % size
        try:
            value = struct.unpack_from("<" + kind, self.data, self.at)
        except struct.error:
            raise UserError(f"{self.path} is a broken bag (a message is cut); fetch the file again") from None
        self.at += struct.calcsize("<" + kind)
        return value[0] if len(value) == 1 else value

    def text(self):
        n = self.take("I")
        self.at += n
        return bytes(self.data[self.at - n : self.at]).rstrip(b"\0").decode("utf-8", "replace")

    def header(self):
        if self.ros1:
            self.take("I")
        self.take("2I")
        self.text()


def _array(data, ros1, path):
    """((width, height), Columns) of an EventArray."""
    cursor = _Cursor(data, ros1, path)
    cursor.header()
    height, width, n = cursor.take("I"), cursor.take("I"), cursor.take("I")
    at = cursor.at
    kind = _EVENT1 if ros1 else _EVENT2
    needed = n * 13 if ros1 else 16 * n - 3
    if n and needed > len(data) - at:
        raise UserError(f"{path} is a broken bag (a message claims {n} events); fetch the file again")
    if ros1:
        table = np.frombuffer(data, kind, n, at)
        x, y = table["x"], table["y"]
    else:  # a value of four bytes is followed by one of one, so all but the first event begin two bytes early
        whole = np.frombuffer(bytes(data[at : at + needed]) + bytes(3), np.uint8) if n else np.empty(0, np.uint8)
        table = whole.view(kind)
        x, y = table["x"].copy(), table["y"].copy()
        if n > 1:
            early = whole[14 : 14 + 16 * (n - 1)].reshape(-1, 16)[:, :4].copy().view("<u2")
            x[1:], y[1:] = early[:, 0], early[:, 1]
    t = table["s"].astype(np.int64) * 1_000_000 + table["ns"].astype(np.int64) // 1000
    return (width, height), Columns(x, y, table["p"], t)


class _Packets:
    """Packets of EVT 3.0 words; the decoder's state goes on from one to the next."""

    def __init__(self, source):
        self.state, self.source = None, source

    def __call__(self, data, ros1, path):
        from . import evt_kernels as kernels

        cursor = _Cursor(data, ros1, path)
        cursor.header()
        height, width, _, _ = cursor.take("I"), cursor.take("I"), cursor.take("Q"), cursor.take("Q")
        encoding = cursor.text()
        if encoding != "evt3":
            raise UserError(f"{path}: packets in {encoding[:20]!r}, expected evt3; convert the bag with its package")
        cursor.take("B")
        n = cursor.take("I")
        words = np.frombuffer(data, "<u2", min(n, len(data) - cursor.at) // 2, cursor.at)
        self.state = kernels.start() if self.state is None else self.state
        room = 12 * len(words)
        x, y, p, t = np.empty(room, np.int16), np.empty(room, np.int16), np.empty(room, np.uint8), np.empty(room, int)
        n, _ = kernels.evt3(words, width, height, self.state, x, y, p, t)
        return (width, height), Columns(x[:n].copy(), y[:n].copy(), p[:n].copy(), t[:n].copy())

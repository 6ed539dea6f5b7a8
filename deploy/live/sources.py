"""Where a stream's events come from: a file, or a camera.

A source has a name, a sensor size (width, height; None if it does not say) and one method::

    take(end_us) -> EVENT [n] | None

the events since the last call up to, not including, `end_us` microseconds from the stream's start; None when there are
no more and never will be. A new kind of source is a class with these; a new file format is an entry in
`events.formats.FORMATS`."""

from pathlib import Path
from typing import Any

import numpy as np

from events import formats
from events.recordings import EVENT, as_events
from sim.base.errors import UserError


class FileSource:
    """A recording, read as it is played: a part of it is in memory at a time where its format allows.

    Attributes:
        name: the file.
        size: (width, height) of the sensor, or None.
        usual: the sensor of the data set that files of this format mostly are of, or None.
    """

    def __init__(self, name, parts, size, usual=None):
        """parts: EVENT [n], or an iterable of such parts, all of them by time."""
        self.name, self.size, self.usual = name, size, usual
        self._parts, self._waiting = iter((parts,) if isinstance(parts, np.ndarray) else parts), np.empty(0, EVENT)

    @property
    def events(self) -> np.ndarray:
        """All events that were not yet taken: EVENT [n], in memory from now on."""
        self._waiting = np.concatenate([self._waiting, *self._parts])
        return self._waiting

    def take(self, end_us: int) -> np.ndarray | None:
        found = []
        while not len(self._waiting) or self._waiting["t"][-1] < end_us:
            if len(self._waiting):
                found.append(self._waiting)
            following = next(self._parts, None)
            if following is None:
                self._waiting = np.empty(0, EVENT)
                return np.concatenate(found) if found else None
            self._waiting = following
        ready = int(np.searchsorted(self._waiting["t"], end_us))
        found.append(self._waiting[:ready])
        self._waiting = self._waiting[ready:]
        return found[0] if len(found) == 1 else np.concatenate(found)


class CameraSource:
    """A camera that is read as it goes.

    Attributes:
        name: the camera's.
        size: (width, height) of the sensor.
        driver: an object with `isRunning() -> bool` and `getNextEventBatch()`, an event store or None if there is
            nothing now, as dv-processing has them.
    """

    def __init__(self, name, size, driver):
        self.name, self.size, self.driver = name, size, driver
        self._origin, self._waiting = None, []

    def take(self, end_us: int) -> np.ndarray | None:
        """As for every source; events that the driver delivers late come with the next frame. Does not wait."""
        while (batch := self.driver.getNextEventBatch()) is not None:
            table = batch.numpy()
            if len(table):
                self._origin = int(table["timestamp"][0]) if self._origin is None else self._origin
                t = np.maximum(table["timestamp"].astype(np.int64) - self._origin, 0)
                self._waiting.append(
                    as_events(table["x"], table["y"], table["polarity"], t, self.size[1], self.size[0], self.name)
                )
        if not self._waiting:
            return np.empty(0, EVENT) if self.driver.isRunning() else None
        events = np.concatenate(self._waiting)
        ready = events["t"] < end_us
        self._waiting = [events[~ready]] if not ready.all() else []
        return events[ready]


def open_file(path: str | Path, unit_us: float | None = None) -> FileSource:
    """A `FileSource` of any format of `events.formats`.

    unit_us: microseconds to a unit of time, where the format does not fix it.

    Raises:
        UserError: as `events.formats.read` does.
    """
    stream = formats.Stream(path, unit_us=unit_us)
    parts = stream.parts(sort=True)
    first = next(parts)  # now, so that a file that is no recording is refused before anything is set up
    return FileSource(str(path), _noting(first, parts, stream), stream.size, stream.usual)


def _noting(first, parts, stream):
    yield first
    yield from parts
    formats.say_notes(stream)


def open_camera(serial: str) -> CameraSource:
    """The camera with that serial number, or, for `any`, the first one.

    Raises:
        UserError: the driver is not installed; no such camera is connected.
    """
    dv = formats.dv("a camera")
    try:
        found = {d.serialNumber: d for d in dv.io.camera.discover()}
    except Exception as e:  # what a USB stack raises is up to it
        raise UserError(f"cameras cannot be listed: {formats.reason(e)}") from None
    if serial == "any" and found:
        serial = next(iter(found))
    if serial not in found:
        raise UserError(
            f"no camera {serial!r} is connected (found: {', '.join(found) or 'none'}); dv-processing drives iniVation's"
            " DVS128, DAVIS and DVXplorer, on Linux with its udev rules installed"
        )
    try:
        camera = dv.io.camera.open(found[serial])
    except Exception as e:
        raise UserError(f"camera {serial!r} cannot be opened: {formats.reason(e)}") from None
    width, height = camera.getEventResolution()
    return CameraSource(camera.getCameraName(), formats.sensor(width, height, serial), camera)


def fit(events: np.ndarray, size: Any, wanted: tuple[int, int]) -> np.ndarray:
    """Events of one sensor on the grid of another: the middle of the picture in the wanted shape, pixels joined (or
    spread) by whole-number division.

    Args:
        events: EVENT [n] within `size`.
        size, wanted: (width, height).

    Returns:
        EVENT [m], m <= n, within `wanted`.
    """
    (w, h), (to_w, to_h) = size, wanted
    crop_w, crop_h = min(w, h * to_w // to_h), min(h, w * to_h // to_w)
    left, top = (w - crop_w) // 2, (h - crop_h) // 2
    x, y = events["x"].astype(np.int64) - left, events["y"].astype(np.int64) - top
    inside = (x >= 0) & (x < crop_w) & (y >= 0) & (y < crop_h)
    out = events[inside].copy()
    out["x"], out["y"] = x[inside] * to_w // crop_w, y[inside] * to_h // crop_h
    return out

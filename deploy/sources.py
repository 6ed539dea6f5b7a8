"""Where a stream's events come from: a file, or a camera.

A source has a name, a sensor size (width, height; None if it does not say) and one method::

    take(end_us) -> EVENT [n] | None

the events since the last call up to, not including, `end_us` microseconds from the stream's start; None when there are no more and
never will be. A new kind of source is a class with these; a new file format is an entry in `FORMATS`.
"""

import re
from pathlib import Path

import numpy as np

from events import dvs128, nmnist
from events.recordings import EVENT, as_events
from sim.errors import UserError

SIDE_LIMIT = 8192                  # pixels along a sensor's side
EXTRA = "pip install 'smolmamba-loihi[events]'"


class FileSource:
    """A recording.

    Attributes:
        name: the file.
        size: (width, height) of the sensor, or None.
        events: EVENT [n], by time.
    """

    def __init__(self, name, events, size):
        self.name, self.events, self.size = name, events, size
        self._taken = 0

    def take(self, end_us):
        if self._taken == len(self.events):
            return None
        begin = self._taken
        self._taken = int(np.searchsorted(self.events["t"], end_us))
        return self.events[begin:self._taken]


class CameraSource:
    """A camera that is read as it goes.

    Attributes:
        name: the camera's.
        size: (width, height) of the sensor.
        driver: an object with `isRunning() -> bool` and `getNextEventBatch()`, an event store or None if there is nothing now, as dv-processing has them.
    """

    def __init__(self, name, size, driver):
        self.name, self.size, self.driver = name, size, driver
        self._origin, self._waiting = None, []

    def take(self, end_us):
        """As for every source; events that the driver delivers late come with the next frame. Does not wait."""
        while (batch := self.driver.getNextEventBatch()) is not None:
            table = batch.numpy()
            if len(table):
                self._origin = int(table["timestamp"][0]) if self._origin is None else self._origin
                self._waiting.append(_events(table, "x", "y", "polarity", "timestamp", self._origin, self.size, self.name))
        if not self._waiting:
            return np.empty(0, EVENT) if self.driver.isRunning() else None
        events = np.concatenate(self._waiting)
        ready = events["t"] < end_us
        self._waiting = [events[~ready]] if not ready.all() else []
        return events[ready]


def open_file(path):
    """A `FileSource` by the file's ending.

    Raises:
        UserError: unknown ending, no such file, a library that is not installed, a file that is not in its format.
    """
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise UserError(f"{path}: cannot tell the format, expected a name that ends in {', '.join(FORMATS)}")
    if not Path(path).is_file():
        raise UserError(f"no file {str(path)!r}")
    return FileSource(str(path), *FORMATS[ending](str(path)))


def open_camera(serial):
    """The camera with that serial number, or, for `any`, the first one.

    Raises:
        UserError: the driver is not installed; no such camera is connected.
    """
    dv = _dv("a camera")
    try:
        found = {d.serialNumber: d for d in dv.io.camera.discover()}
    except Exception as e:                     # what a USB stack raises is up to it
        raise UserError(f"cameras cannot be listed: {_reason(e)}") from None
    if serial == "any" and found:
        serial = next(iter(found))
    if serial not in found:
        raise UserError(f"no camera {serial!r} is connected (found: {', '.join(found) or 'none'}); dv-processing drives iniVation's DVS128, DAVIS and "
                        "DVXplorer, on Linux with its udev rules installed")
    try:
        camera = dv.io.camera.open(found[serial])
    except Exception as e:
        raise UserError(f"camera {serial!r} cannot be opened: {_reason(e)}") from None
    return CameraSource(camera.getCameraName(), _size(*camera.getEventResolution(), serial), camera)


def fit(events, size, wanted):
    """Events of one sensor on the grid of another: the middle of the picture in the wanted shape, pixels joined (or spread) by whole-number division.

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


def _read_aedat4(path):
    dv = _dv(path)
    try:
        recording = dv.io.MonoCameraRecording(path)
        if not recording.isEventStreamAvailable():
            raise UserError(f"{path}: has no stream of events")
        size, parts = recording.getEventResolution(), []
        while (batch := recording.getNextEventBatch()) is not None:
            parts.append(batch.numpy())
    except RuntimeError as e:
        raise UserError(f"{path}: not a readable AEDAT4 file ({_reason(e)})") from None
    return _recording(parts, "x", "y", "polarity", "timestamp", _size(*size, path), path)


def _read_prophesee(path):
    """DAT or EVT 2 / EVT 3 raw, told apart by the text header that all of them begin with."""
    with open(path, "rb") as f:
        lines = f.read(1 << 14).split(b"\n")
    header = []
    for line in lines:
        if not line.startswith(b"%") or line.strip() == b"% end":
            break
        header.append(line.decode("ascii", "replace"))
    text = "\n".join(header)
    encoding = _prophesee_encoding(path, text)
    if encoding is None:
        raise UserError(f"{path}: its header names none of Prophesee's formats DAT, EVT 2.0 and EVT 3.0; convert it with Prophesee's tools")
    try:
        from expelliarmus import Wizard
    except ImportError:
        raise UserError(f"{path}: reading Prophesee files needs the package expelliarmus: {EXTRA}") from None
    try:
        table = Wizard(encoding=encoding).read(path)
    except Exception as e:                     # it raises what its checks raise
        raise UserError(f"{path}: not a readable {encoding.upper()} file ({_reason(e)})") from None
    if table is None:
        raise UserError(f"{path}: not a readable {encoding.upper()} file; copy it again")
    found = re.search(r"geometry (\d{1,5})x(\d{1,5})", text), *(re.search(rf"\b{side}[ =](\d{{1,5}})", text, re.I) for side in ("width", "height"))
    size = found[0].groups() if found[0] else (found[1][1], found[2][1]) if found[1] and found[2] else None
    return _recording([table], "x", "y", "p", "t", _size(*size, path) if size else None, path)


def _prophesee_encoding(path, text):
    if path.lower().endswith(".dat"):
        return "dat" if text else None
    found = re.search(r"(?:evt |format EVT)([23])(?:\.0)?(?![.\d])", text)
    return found and f"evt{found[1]}"


def _recording(parts, x, y, p, t, size, where):
    """(EVENT [n] with time 0 at the first event, size) of tables with these columns."""
    parts = [part for part in parts if len(part)]
    if not parts:
        raise UserError(f"{where} holds no events; record it again")
    table = np.concatenate(parts)
    return _events(table, x, y, p, t, int(table[t].min()), size, where), size


def _events(table, x, y, p, t, origin, size, where):
    width, height = size or (SIDE_LIMIT, SIDE_LIMIT)
    return as_events(table[x], table[y], table[p], np.maximum(table[t].astype(np.int64) - origin, 0), height, width, where)


def _size(width, height, where):
    width, height = int(width), int(height)
    if not (1 <= width <= SIDE_LIMIT and 1 <= height <= SIDE_LIMIT):
        raise UserError(f"{where}: a sensor of {width} x {height} pixels, expected sides of 1 to {SIDE_LIMIT}")
    return width, height


def _dv(what):
    try:
        import dv_processing
    except ImportError:
        raise UserError(f"{what}: needs the package dv-processing, which reads AEDAT4 files and drives cameras: {EXTRA}") from None
    return dv_processing


def _reason(error):
    """The last line of an error that may have many, shortened."""
    lines = str(error).split("\n")
    return " ".join((lines[1] if len(lines) > 1 else lines[0]).split())[:160] or type(error).__name__


FORMATS = {
    ".npy": lambda path: (dvs128.read(path), (dvs128.SIZE, dvs128.SIZE)),
    ".bin": lambda path: (nmnist.read(path), (nmnist.SIZE, nmnist.SIZE)),
    ".aedat4": _read_aedat4,
    ".raw": _read_prophesee,
    ".dat": _read_prophesee,
}

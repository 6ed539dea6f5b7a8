"""What every data set becomes: labelled recordings of events, in one dtype."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sim.base.errors import UserError

# x to the right and y down from the sensor's top left pixel; p 1 = brighter (ON), 0 = darker (OFF); t in microseconds
# from the recording's start.
EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("p", np.int8), ("t", np.int64)])

# Columns of these are checked and packed in one pass. Each set of them that occurs is compiled once.
_QUICK = tuple(map(np.dtype, (np.uint8, np.int16, np.int64, np.float32, np.float64)))


def as_events(
    x: np.ndarray,
    y: np.ndarray,
    p: np.ndarray,
    t: np.ndarray,
    height: int,
    width: int,
    where: object,
    sort: bool = True,
) -> np.ndarray:
    """Checks columns of numbers and packs them into one array, sorted by time (stable: equal times keep their order).

    Args:
        x, y, p, t: [n], any real dtype; x, y, p whole numbers; t in microseconds, not negative (rounded to whole ones).
        height, width: the sensor.
        where: what the message names if something is wrong, such as the file.
        sort: put times that go back in order; otherwise they are an error.

    Returns:
        EVENT [n].

    Raises:
        UserError: no events, a value that is not finite, outside the sensor, a polarity other than 0 and 1, or a
            negative time.
    """
    if len(t) == 0:
        raise UserError(f"{where} holds no events; fetch the file again or remove it")
    from .kernels import pack  # numba is slow to import: not before it is needed

    events, columns = np.empty(len(t), EVENT), (x, y, p, t)
    if all(column.dtype in _QUICK for column in columns) and pack(*map(np.asarray, columns), height, width, events):
        return events
    for name, column, limit in (("x", x, width - 1), ("y", y, height - 1), ("polarity", p, 1), ("time", t, 2**53)):
        low, high = column.min(), column.max()
        if not (low >= 0 and high <= limit):  # written so that NaN fails, too
            raise UserError(
                f"{where}: {name} {low if not low >= 0 else high} is outside 0..{limit}; {_hint(name, width, height)}"
            )
    for name, column in (("x", x), ("y", y), ("polarity", p)):
        if column.dtype.kind == "f" and (column != np.floor(column)).any():
            raise UserError(f"{where}: {name} is not a whole number; the columns must be x, y, polarity, time")
    events["x"], events["y"], events["p"], events["t"] = x, y, p, np.rint(t)
    back = np.diff(events["t"]) < 0
    if back.any():
        if not sort:
            i = int(back.argmax()) + 1
            raise UserError(
                f"{where}: time goes back at event {i}, from {events['t'][i - 1]} to {events['t'][i]} us; sort the"
                " recording by time"
            )
        events = events[np.argsort(events["t"], kind="stable")]
    return events


def _hint(name, width, height):
    """What to look at where a column has a value that cannot be."""
    if name == "polarity":
        return "polarities are 0 and 1, or -1 and 1 all through; are the columns in the order that this format has?"
    if name == "time":
        return "times are finite numbers, in microseconds below 2**53"
    if max(width, height) > 4096:  # nobody has said what the sensor is
        return (
            f"no sensor has so many pixels along a side ({width}); are the columns in the order that this format has?"
        )
    return f"is this a recording of a {width} x {height} sensor?"


@dataclass(frozen=True)
class Files(Sequence):
    """The recordings in some files, read when they are asked for: a full data set need not fit the memory.

    Attributes:
        paths: the file of each recording; several may share one.
        read: (path, *part) -> EVENT [n]; raises UserError naming the file. What it gives depends on nothing but the
            file, the part and its own `repr` (of a dataclass) or name (of a function), which `events.cache` goes by.
        parts: where in the file each recording is, a tuple of arguments each; () if every file is one recording.
    """

    paths: tuple
    read: Callable
    parts: tuple = ()

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Files(self.paths[index], self.read, self.parts[index])
        return self.read(self.paths[index], *(self.parts[index] if self.parts else ()))

    def only(self, chosen: Iterable[int]) -> "Files":
        """Those with the given numbers."""
        return Files(
            tuple(self.paths[i] for i in chosen), self.read, tuple(self.parts[i] for i in chosen) if self.parts else ()
        )


@dataclass(frozen=True, eq=False)
class Recordings:
    """One part (train, val or test) of a data set.

    Attributes:
        events: sequence of n arrays of dtype EVENT (a list, or `Files`, which reads on access).
        labels: int64 [n], indices into `classes`.
        names: n unique names: the file, relative to the data set's folder, or such as "digits/123".
        classes: names of the classes.
        height, width: the sensor, in pixels.
        skipped: one line for each recording that was left out because its file is broken, naming it (`events.load` with
            `skip_bad`).
        root: the data folder that they are from; "" if there is none.
    """

    events: Sequence
    labels: np.ndarray
    names: list
    classes: tuple
    height: int
    width: int
    skipped: tuple = ()
    root: str = ""

    def __len__(self):
        return len(self.labels)

"""Scikit-learn's 1,797 handwritten digits (real, 8 x 8, 16 grey levels) seen by a simulated event camera that makes
three saccades.

The digit is drawn 12 pixels wide on a 16 x 16 sensor and moves along a triangle (right and down, right and up, back
left, as pictures do in N-MNIST), 100 ms a side. A pixel fires whenever its brightness has moved by one threshold since
its last event (linear intensity: the pictures have no shading to compress), plus a little noise. Position and size of
the triangle vary from digit to digit, seeded by the digit's index, so that the set is the same everywhere and any part
of it can be made alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .recordings import EVENT, Recordings

CLASSES = tuple("0123456789")
SIZE = 16
COUNT = 1797
_SCALE = 1.5  # sensor pixels to a pixel of the picture
_SACCADE_US, _STEP_US = 100_000, 2_000
_CORNERS = np.array([(0, 0), (0.5, 1), (1, 0), (0, 0)]) - (
    0.5,
    0.5,
)  # (x, y) in units of the amplitude, about the middle
_AMPLITUDE = (2.0, 3.0)  # sensor pixels
_OFFSET = 0.5  # the triangle's middle is off the sensor's by up to this, sensor pixels
_WHITE = 1 << 16  # brightness is rounded to integers: the last bit of a float sum must not decide an event
_THRESHOLD = int(0.15 * _WHITE)
_NOISE = 0.25  # events per pixel and second


def split_of() -> np.ndarray:
    """Which part each digit belongs to: str [1797] of train (1,197), val (200), test (400).

    The digits, sorted by class and index, are walked through; every 1797/400-th is for test, and of the others every
    1397/200-th for validation, so every class has its share to within one."""
    from sklearn.datasets import load_digits  # takes a second, so not before it is needed

    order = np.argsort(load_digits().target, kind="stable")  # pyright: ignore[reportAttributeAccessIssue]
    part = np.full(COUNT, "train", dtype="<U5")
    test = _spread(COUNT, 400)
    part[order[test]] = "test"
    rest = order[~test]
    part[rest[_spread(len(rest), 200)]] = "val"
    return part


def _spread(n, k):
    """Bool [n] with exactly k true, evenly spaced."""
    i = np.arange(n)
    return (i + 1) * k // n > i * k // n


def load(split: str, root: str | Path | None = None) -> Recordings:
    """Recordings of one part; made in memory, in about a second. `root` is not used."""
    from sklearn.datasets import load_digits

    data = load_digits()
    index = np.flatnonzero(split_of() == split)
    events = simulate(data.images[index] / 16, index)  # pyright: ignore[reportAttributeAccessIssue]
    return Recordings(events, data.target[index].astype(np.int64), [f"digits/{i}" for i in index], CLASSES, SIZE, SIZE)  # pyright: ignore[reportAttributeAccessIssue]


def simulate(pictures: np.ndarray, seeds: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """What the camera sees of some pictures.

    Args:
        pictures: float [n, 8, 8] in 0..1.
        seeds: int [n], one a picture.

    Returns:
        list of n arrays of dtype EVENT, sorted by time, then y, then x.
    """
    # RandomState, because numpy promises its numbers for all versions.
    random = [np.random.RandomState(seed) for seed in seeds]
    amplitude = np.array([r.uniform(*_AMPLITUDE) for r in random])
    middle = (SIZE - 1) / 2 + np.array([r.uniform(-_OFFSET, _OFFSET, 2) for r in random])
    columns = [[] for _ in ("digit", "x", "y", "p", "t")]
    seen = reference = None
    for time, place in _path():
        centre = middle + amplitude[:, None] * place
        across, down = _sample(centre[:, 0]), _sample(centre[:, 1])
        light = np.rint(_WHITE * (down @ pictures @ across.transpose(0, 2, 1))).astype(np.int64)
        if reference is not None:
            for column, new in zip(columns, _crossings(seen, light, reference, time - _STEP_US)):
                column.append(new)
        else:
            # Where a pixel stands between two events at the start is chance; and from its own brightness it would cross
            # the last threshold of this closed path in the very last microsecond, and so would all the others.
            reference = light + np.array([r.randint(1 - _THRESHOLD, _THRESHOLD, (SIZE, SIZE)) for r in random])
        seen = light
    digit, x, y, p, t = (np.concatenate(column) for column in columns)
    order = np.argsort(digit, kind="stable")
    clean = np.empty(len(digit), EVENT)
    clean["x"], clean["y"], clean["p"], clean["t"] = x[order], y[order], p[order], t[order]
    ends = np.cumsum(np.bincount(digit, minlength=len(pictures)))
    return [_sorted(np.concatenate([part, _noise(r)])) for part, r in zip(np.split(clean, ends[:-1]), random)]


def _path():
    """(microseconds, (x, y) of the picture in units of the amplitude) at every step; each side is run slow, fast, slow."""  # noqa: E501
    steps = _SACCADE_US // _STEP_US
    yield 0, _CORNERS[0]
    for side in range(3):
        for step in range(1, steps + 1):
            way = (1 - np.cos(np.pi * step / steps)) / 2
            yield (side * steps + step) * _STEP_US, _CORNERS[side] * (1 - way) + _CORNERS[side + 1] * way


def _sample(centre):
    """Bilinear interpolation along one axis, [n, 16, 8]: sensor pixel i sees picture pixel j by `max(0, 1 -
    |distance|)`; outside is dark.
    """
    position = (np.arange(SIZE) - centre[:, None]) / _SCALE + 3.5
    return np.maximum(0, 1 - np.abs(position[:, :, None] - np.arange(8)))


def _crossings(before, after, reference, start):
    """Events of one step, in which brightness goes from `before` to `after` (int64 [n, y, x]) evenly; `reference`, the
    brightness at the last event of each pixel, moves on in place.

    Returns:
        digit, x, y, p, t: int64 arrays of one length.
    """
    level = np.abs(after - reference) // _THRESHOLD
    up = np.sign(after - reference)
    digit, y, x = np.nonzero(level)
    repeat = level[digit, y, x]
    digit, y, x = (np.repeat(a, repeat) for a in (digit, y, x))
    nth = np.arange(len(digit)) - np.repeat(np.cumsum(repeat) - repeat, repeat) + 1
    sign, at = up[digit, y, x], before[digit, y, x]
    crossed = reference[digit, y, x] + sign * nth * _THRESHOLD
    t = start + (np.abs(crossed - at) * _STEP_US - 1) // np.abs(
        after[digit, y, x] - at
    )  # at the step's very end belongs to the step
    reference += up * level * _THRESHOLD
    return digit, x, y, (sign > 0).astype(np.int64), t


def _noise(random):
    """Events that nothing caused: uniform over pixels, polarities and time."""
    n = random.poisson(_NOISE * SIZE * SIZE * 3 * _SACCADE_US / 1e6)
    events = np.empty(n, EVENT)
    for name, end in (("x", SIZE), ("y", SIZE), ("p", 2), ("t", 3 * _SACCADE_US)):
        events[name] = random.randint(0, end, n)
    return events


def _sorted(events):
    return events[np.lexsort((events["x"], events["y"], events["t"]))]

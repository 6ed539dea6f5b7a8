"""What an event camera sees of a still picture that makes three saccades: right and down, right and up, back left, 100
ms each, as in N-MNIST.

The sensor has the picture's size; what comes in at the edge is the edge's pixel repeated, so that no frame is drawn
about the picture. A pixel fires whenever the logarithm of its brightness has moved by one threshold since its last
event. All of it is in whole numbers (brightness in 1/65536, places in 1/256 pixel), so every machine makes the same
events. numba compiles the loop, hence a module of its own, imported when it is needed."""

import math

import numpy as np

from sim.base.numba_cache import cached_njit

from .recordings import EVENT

SACCADE_US, STEP_US = 100_000, 2_000
THRESHOLD = round(0.2 * 65536)
_CORNERS = ((-0.5, -0.5), (0.0, 0.5), (0.5, -0.5), (-0.5, -0.5))  # (x, y) in units of the amplitude
_SHARE = 3 / 32  # amplitude: share of the picture's side
# Of a grey level: the darkest and the brightest differ by ln 17, fourteen thresholds.
_LOG = np.array([round(65536 * math.log(1 + level / 16)) for level in range(256)], np.int64)


def see(picture: np.ndarray, seed: int) -> np.ndarray:
    """Events of one picture.

    Args:
        picture: uint8 [height, width], brightness.
        seed: where between two events each pixel stands at the start.

    Returns:
        EVENT [n], by time, then by row and column within a step of 2 ms.
    """
    height, width = picture.shape
    path = _path(max(height, width) * _SHARE)
    # From its own brightness a pixel would cross the last threshold of this closed path at its very end, and so would
    # all the others.
    offset = np.random.RandomState(seed).randint(1 - THRESHOLD, THRESHOLD, picture.shape).astype(np.int64)
    room = 8 * picture.size
    while True:
        columns = np.empty((4, room), np.int64)
        n = _run(_LOG[picture], path, offset, columns)
        if n <= room:
            break
        room = n
    x, y, p, t = columns[:, :n]
    order = np.argsort(t, kind="stable")
    events = np.empty(n, EVENT)
    events["x"], events["y"], events["p"], events["t"] = x[order], y[order], p[order], t[order]
    return events


def _path(amplitude):
    """int64 [steps + 1, 2]: (x, y) of the picture in 1/256 pixel at every step; each side is run slow, fast, slow."""
    steps = SACCADE_US // STEP_US
    places: list[tuple[float, ...]] = [_CORNERS[0]]
    for begin, end in zip(_CORNERS, _CORNERS[1:]):
        for step in range(1, steps + 1):
            way = (1 - math.cos(math.pi * step / steps)) / 2
            places.append(tuple(a + way * (b - a) for a, b in zip(begin, end)))
    return np.array([[round(256 * amplitude * a) for a in place] for place in places], np.int64)


@cached_njit(nogil=True)
def _run(light, path, offset, out):
    """Writes x, y, p, t of each event to the rows of `out`, as far as there is room. Returns how many there are."""
    height, width = light.shape
    before = np.empty((height, width), np.int64)
    reference = np.empty((height, width), np.int64)
    n = 0
    for step in range(len(path)):
        dx, dy = path[step]
        for y in range(height):
            at_y = (y << 8) - dy
            fy = at_y & 255
            y0, y1 = min(max(at_y >> 8, 0), height - 1), min(max((at_y >> 8) + 1, 0), height - 1)
            for x in range(width):
                at_x = (x << 8) - dx
                fx = at_x & 255
                x0, x1 = min(max(at_x >> 8, 0), width - 1), min(max((at_x >> 8) + 1, 0), width - 1)
                upper = light[y0, x0] * (256 - fx) + light[y0, x1] * fx
                lower = light[y1, x0] * (256 - fx) + light[y1, x1] * fx
                now = (upper * (256 - fy) + lower * fy + 32768) >> 16
                if step == 0:
                    reference[y, x] = now + offset[y, x]
                else:
                    sign = 1 if now > before[y, x] else -1
                    while (now - reference[y, x]) * sign >= THRESHOLD:
                        reference[y, x] += sign * THRESHOLD
                        if n < out.shape[1]:
                            out[0, n], out[1, n], out[2, n] = x, y, 1 if sign > 0 else 0
                            # At the very end of a step belongs to the step.
                            way = (reference[y, x] - before[y, x]) * sign
                            out[3, n] = (step - 1) * STEP_US + max(way * STEP_US - 1, 0) // (
                                (now - before[y, x]) * sign
                            )
                        n += 1
                before[y, x] = now
    return n

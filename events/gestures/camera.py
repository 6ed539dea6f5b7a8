"""A moving picture seen by an event camera, pixel by pixel.

Brightness is the logarithm of luminance. A pixel follows it through a first-order low pass, adds shot noise, compares
it with the brightness at its last event, and fires when the difference has reached its own ON or OFF threshold; for a
refractory time after that it takes no notice, and then starts from the brightness it finds. On top comes what
recordings of a DVS128 show besides: events that nothing caused, most of them from a few pixels; an event of the other
polarity soon after one; stray events in the rows in which others fire (its read-out goes row by row); ON events that
come twice, a microsecond apart."""

import math
from typing import Any

import numpy as np

from sim.base.numba_cache import cached_njit

SIZE = 128
_GRID = 8  # soft shadows are computed on every 8th pixel
_SETTLE = 200  # moments before the clip, in which nothing moves and noise comes to its level
_CELLS = 64  # the texture of wrinkles repeats after so many cells


@cached_njit(nogil=True)
def _texture(cells, u, v):
    """Smooth value at (u, v), in cells, of a random table that repeats."""
    iu, iv = math.floor(u), math.floor(v)
    fu, fv = u - iu, v - iv
    a, b, c, d = int(iu) % _CELLS, (int(iu) + 1) % _CELLS, int(iv) % _CELLS, (int(iv) + 1) % _CELLS
    top = cells[c, a] + fu * (cells[c, b] - cells[c, a])
    return top + fv * (cells[d, a] + fu * (cells[d, b] - cells[d, a]) - top)


@cached_njit(nogil=True)
def _paint(picture, part, cone, anchors, scale, cells):
    """Draws one rounded cone over the picture; its rim is 1.6 pixels soft, as a lens leaves it."""
    x0, y0, r0, x1, y1, r1 = cone
    widest = max(r0, r1) + 1.0
    left, right = max(0, int(min(x0, x1) - widest)), min(SIZE - 1, int(max(x0, x1) + widest) + 1)
    top, bottom = max(0, int(min(y0, y1) - widest)), min(SIZE - 1, int(max(y0, y1) + widest) + 1)
    ax, ay = x1 - x0, y1 - y0
    square = max(ax * ax + ay * ay, np.float32(1e-3))
    root = math.sqrt(square)
    local = part.local
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            dx, dy = x - x0, y - y0
            h = min(max((dx * ax + dy * ay) / square, 0.0), 1.0)
            r = r0 + (r1 - r0) * h
            qx, qy = dx - h * ax, dy - h * ay
            away = qx * qx + qy * qy
            if away > (r + 0.8) * (r + 0.8):
                continue
            cover = min((r + 0.8 - math.sqrt(away)) / 1.6, 1.0)
            v = (dy * ax - dx * ay) / root / max(r, 0.5)
            tone = part.tone - part.shade * min(v * v, 1.0) + part.light * v
            if local:
                along, across = (y - anchors[local, 1]) / scale, (x - anchors[local, 0]) / scale
            else:
                along, across = h * part.length, v * part.width
            if part.stripe != 0:
                wave = math.sin(2 * math.pi * part.per_m * (across if part.across > 0.5 else along))
                tone += part.stripe * min(max(2 * wave, -1.0), 1.0)
            if part.wrinkle != 0:
                tone += part.wrinkle * _texture(cells, along * part.grain + 16.0, across * part.grain + 16.0)
            picture[y, x] += cover * (tone - picture[y, x])


@cached_njit(nogil=True)
def _shade(picture, wall, shadows, sizes, depth, grid):
    """Wall with soft shadows: bilinear between points of a coarse grid."""
    n = SIZE // _GRID
    for j in range(n + 1):
        for i in range(n + 1):
            total = 0.0
            for s in range(len(shadows)):
                dx, dy = i * _GRID - shadows[s, 0], j * _GRID - shadows[s, 1]
                total += math.exp(-(dx * dx + dy * dy) / (2 * sizes[s] * sizes[s]))
            grid[j, i] = depth * min(total, 1.5)
    for y in range(SIZE):
        j, fy = y // _GRID, (y % _GRID) / _GRID
        for x in range(SIZE):
            i, fx = x // _GRID, (x % _GRID) / _GRID
            upper = grid[j, i] + fx * (grid[j, i + 1] - grid[j, i])
            lower = grid[j + 1, i] + fx * (grid[j + 1, i + 1] - grid[j + 1, i])
            picture[y, x] = wall[y, x] - upper - fy * (lower - upper)


@cached_njit(nogil=True)
def _film(  # noqa: C901
    wall,
    parts,
    cones,
    order,
    anchors,
    shadows,
    sizes,
    depth,
    scale,
    cells,
    step,
    lag,
    refractory,
    on,
    off,
    start,
    shot,
    hiss,
    out,
):
    """Draws every moment, runs every pixel, writes events (x, y, p, seconds) to `out` while it has room.

    Returns:
        number of events, also those for which there was no room.
    """
    picture, grid = np.empty((SIZE, SIZE), np.float32), np.empty((SIZE // _GRID + 1, SIZE // _GRID + 1), np.float32)
    seen, shown, reference = (
        np.empty((SIZE, SIZE), np.float32),
        np.empty((SIZE, SIZE), np.float32),
        np.empty((SIZE, SIZE), np.float32),
    )
    free = np.full((SIZE, SIZE), np.float32(-1))  # the time at which the pixel looks again
    follow = np.float32(1 - math.exp(-step / lag))
    room, count, draw = len(out), 0, np.uint32(len(hiss) // 2)
    for tick in range(len(cones) + _SETTLE):
        moment = max(tick - _SETTLE, 0)
        if tick == 0 or moment > 0:
            _shade(picture, wall, shadows[moment], sizes, depth, grid)
            for place in range(len(parts)):
                i = order[moment, place]
                _paint(picture, parts[i], cones[moment, i], anchors[moment], scale, cells)
        if tick == 0:
            # Where between its thresholds each pixel stands.
            seen[:], shown[:], reference[:] = picture, picture, picture + start * np.where(start < 0, on, off)
            continue
        begin = (tick - 1 - _SETTLE) * step
        for y in range(SIZE):
            draw = np.uint32(
                draw * np.uint32(1664525) + np.uint32(1013904223)
            )  # where this row reads the table of noise
            noise = int(draw >> np.uint32(8)) % (len(hiss) - SIZE)
            for x in range(SIZE):
                before = shown[y, x]
                seen[y, x] += follow * (picture[y, x] - seen[y, x])
                # Shot noise: the darker, the more.
                after = seen[y, x] + shot * (1 - np.float32(0.25) * seen[y, x]) * hiss[noise + x]
                shown[y, x] = after
                rate = (after - before) / step
                while True:
                    if after - reference[y, x] >= on[y, x]:
                        level, p = reference[y, x] + on[y, x], 1
                    elif reference[y, x] - after >= off[y, x]:
                        level, p = reference[y, x] - off[y, x], 0
                    else:
                        break
                    t = begin + min(max((level - before) / rate if rate != 0 else 0.0, 0.0), step)
                    if t < free[y, x]:
                        if free[y, x] >= begin + step:
                            break
                        # Blind until then: what has changed meanwhile is lost.
                        reference[y, x] = before + rate * (free[y, x] - begin)
                        free[y, x] = -1
                        continue
                    if begin >= 0:
                        if count < room:
                            out[count, 0], out[count, 1], out[count, 2], out[count, 3] = x, y, p, t
                        count += 1
                    reference[y, x] = level
                    free[y, x] = t + refractory
    return count


def record(where: Any, random: np.random.RandomState, drawn: Any, seconds: float, rate: float) -> np.ndarray:
    """Events of a drawn scene.

    Args:
        where: `gesture_body.Scene`.
        random: numpy RandomState, drawn from.
        drawn: what `gesture_body.shapes` returns for `rate * seconds + 1` moments.
        seconds: length of the clip.
        rate: moments per second.

    Returns:
        float32 [n, 4], sorted by time: x, y, polarity, milliseconds.
    """
    parts, cones, order, anchors, shadows = drawn
    pixel = (SIZE, SIZE)
    threshold = where.threshold * np.exp(where.spread * random.normal(size=pixel)).astype(np.float32)
    on, off = threshold * np.float32(where.on_off**0.5), threshold * np.float32(where.on_off**-0.5)
    cells, start = (
        random.normal(size=(_CELLS, _CELLS)).astype(np.float32),
        random.uniform(-1, 1, pixel).astype(np.float32),
    )
    hiss = random.normal(size=1 << 16).astype(np.float32)
    sizes = random.uniform(5, 16, shadows.shape[1]).astype(np.float32)
    out = np.empty((400_000, 4), np.float64)
    while True:
        count = _film(
            where.wall.astype(np.float32),
            parts,
            cones,
            order,
            anchors,
            shadows,
            sizes,
            np.float32(where.shadow),
            np.float32(where.scale),
            cells,
            1 / rate,
            where.lag,
            where.refractory,
            on,
            off,
            start,
            np.float32(where.shot * where.threshold),
            hiss,
            out,
        )
        if count <= len(out):
            break
        out = np.empty((count, 4), np.float64)
    table = np.concatenate([out[:count], _uncaused(where, random, seconds)])
    for more in (_bounces, _strays, _echoes):
        table = np.concatenate([table, more(where, random, table)])
    table = table[table[:, 3] < seconds]
    table = table[np.lexsort((table[:, 0], table[:, 1], table[:, 3]))]
    table[:, 3] *= 1000
    return table.astype(np.float32)


def _uncaused(where, random, seconds):
    """Shot noise and hot pixels: rates differ by orders of magnitude from pixel to pixel."""
    rate = np.exp(1.8 * random.normal(size=(SIZE, SIZE)))
    n = random.poisson(where.noise * seconds * rate / rate.mean())
    y, x = np.divmod(np.repeat(np.arange(SIZE * SIZE), n.ravel()), SIZE)
    return np.stack([x, y, random.uniform(size=len(x)) < 0.42, random.uniform(0, seconds, len(x))], 1).astype(
        np.float64
    )


def _bounces(where, random, table):
    """Events of the other polarity that a pixel's reset causes: OFF some 0.4 ms after ON, more rarely ON some 0.8 ms
    after OFF; and theirs.
    """
    found, last = [], table
    for _ in range(2):
        on = last[:, 2] == 1
        last = last[random.uniform(size=len(last)) < np.where(on, where.bounce_off, where.bounce_on)]
        late = np.where(last[:, 2] == 1, 0.0004, 0.0008) * np.exp(0.35 * random.normal(size=len(last)))
        last = np.stack([last[:, 0], last[:, 1], 1 - last[:, 2], last[:, 3] + late], 1)
        found.append(last)
    return np.concatenate(found)


def _strays(where, random, table):
    """Events that others cause in their rows, up to 0.15 ms later, in pixels that are prone to it (more so in every
    second column).
    """
    prone = np.exp(1.5 * random.normal(size=(SIZE, SIZE)))
    prone[:, 1::2] *= 2.5
    upto = np.cumsum(prone, axis=1)
    cause = table[random.uniform(size=len(table)) < where.row_noise]
    y = cause[:, 1].astype(np.int64)
    x = (upto[y] < (random.uniform(size=len(y)) * upto[y, -1])[:, None]).sum(1)
    return np.stack(
        [x, y, random.uniform(size=len(y)) < 0.44, cause[:, 3] + random.uniform(0.00001, 0.00015, len(y))], 1
    )


def _echoes(where, random, table):
    """Second (and third) copies of ON events."""
    once = table[(table[:, 2] == 1) & (random.uniform(size=len(table)) < where.echo)]
    twice = once[random.uniform(size=len(once)) < 0.2]
    return np.concatenate([once + (0, 0, 0, 1e-6), twice + (0, 0, 0, 2e-6)])

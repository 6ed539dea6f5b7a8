"""Augmentation of recordings as events: one random shift, rotation and zoom about the sensor's centre, a random loss of
events, and, where asked for, a
shift and a stretch in time and an exchange of the polarities. Never a mirror image: digits and gestures have a left and
a right.

Pictures are shifted by whole pixels, and turned left to right where asked for.
"""

from typing import Any

import numpy as np

from sim.base.numba_cache import cached_njit


def is_off(cfg: Any, pictures: bool = False) -> bool:
    """Whether `augment`, or `augment_picture`, would change nothing under this configuration."""
    if pictures:
        return not (int(cfg.shift) or cfg.mirror)
    return not any((cfg.shift, cfg.rotate, cfg.zoom, cfg.drop, cfg.jitter_us, cfg.stretch, cfg.flip_polarity))


def augment(events: np.ndarray, height: int, width: int, cfg: Any, rng: np.random.Generator) -> np.ndarray:
    """A changed copy of one recording; events that leave the sensor are dropped. `cfg` is a `train.config.Config`."""
    lost = (
        rng.random(len(events), np.float32) < rng.uniform(0, cfg.drop)
        if cfg.drop > 0
        else np.zeros(len(events), np.bool_)
    )
    angle = np.deg2rad(rng.uniform(-cfg.rotate, cfg.rotate))
    zoom_x, zoom_y = 1 + rng.uniform(-cfg.zoom, cfg.zoom, 2)
    dx, dy = rng.uniform(-cfg.shift, cfg.shift, 2)
    # These draw only if they are on, so that older runs can be repeated. Events that get a negative time are for the
    # encoder to leave out.
    later = round(rng.uniform(-cfg.jitter_us, cfg.jitter_us)) if cfg.jitter_us > 0 else 0
    slower = rng.uniform(1 - cfg.stretch, 1 + cfg.stretch) if cfg.stretch > 0 else 1
    flip = cfg.flip_polarity > 0 and rng.random() < cfg.flip_polarity
    out = np.empty_like(events)
    out = out[: _move(events, lost, np.cos(angle), np.sin(angle), zoom_x, zoom_y, dx, dy, height, width, out)]
    if slower != 1 or later:
        out["t"] = out["t"] * slower + later
    if flip:
        out["p"] = 1 - out["p"]
    return out


def augment_pictures(pictures: np.ndarray, cfg: Any, rng: np.random.Generator) -> np.ndarray:
    """A changed copy of pictures, uint8 [n, 3, H, W]: each shifted by up to `cfg.shift` whole pixels either way, zeros
    coming in, and a share `cfg.mirror` of them turned left to right. `cfg` is a `train.config.Config`.
    """
    n, far, (height, width) = len(pictures), int(cfg.shift), pictures.shape[2:]
    moves, mirrored = rng.integers(-far, far, (n, 2), endpoint=True), rng.random(n) < cfg.mirror
    out = np.zeros_like(pictures)
    for i, (dy, dx) in enumerate(moves.tolist()):
        source = pictures[i, :, :, ::-1] if mirrored[i] else pictures[i]
        into = out[i, :, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
        into[:] = source[:, max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)]
    return out


@cached_njit(nogil=True)
def _move(events, lost, c, s, zoom_x, zoom_y, dx, dy, height, width, out):
    """Writes what stays into `out`; returns how many.

    One pass: the columns of packed records are slow to compute on one by one.
    """
    cx, cy, n = (width - 1) / 2, (height - 1) / 2, 0
    for i in range(len(events)):
        x, y = events[i]["x"] - cx, events[i]["y"] - cy
        new_x = np.rint((c * x - s * y) * zoom_x + cx + dx)
        new_y = np.rint((s * x + c * y) * zoom_y + cy + dy)
        if not lost[i] and 0 <= new_x < width and 0 <= new_y < height:
            out[n]["x"], out[n]["y"], out[n]["p"], out[n]["t"] = (
                np.int16(new_x),
                np.int16(new_y),
                events[i]["p"],
                events[i]["t"],
            )
            n += 1
    return n

"""Augmentation of recordings as events: one random shift, rotation and zoom about the sensor's centre, and a random loss of events.

Never a mirror image: digits and gestures have a left and a right.
"""

import numpy as np


def augment(events, height, width, cfg, rng):
    """A changed copy of one recording; events that leave the sensor are dropped. `cfg` is a `train.config.Config`."""
    if cfg.drop > 0:
        events = events[rng.random(len(events)) >= rng.uniform(0, cfg.drop)]
    angle = np.deg2rad(rng.uniform(-cfg.rotate, cfg.rotate))
    zoom_x, zoom_y = 1 + rng.uniform(-cfg.zoom, cfg.zoom, 2)
    dx, dy = rng.uniform(-cfg.shift, cfg.shift, 2)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    x, y = events["x"] - cx, events["y"] - cy
    c, s = np.cos(angle), np.sin(angle)
    new_x = np.rint((c * x - s * y) * zoom_x + cx + dx).astype(np.int16)
    new_y = np.rint((s * x + c * y) * zoom_y + cy + dy).astype(np.int16)
    inside = (new_x >= 0) & (new_x < width) & (new_y >= 0) & (new_y < height)
    out = events[inside].copy()
    out["x"], out["y"] = new_x[inside], new_y[inside]
    return out

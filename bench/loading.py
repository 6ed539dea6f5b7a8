"""What a recording costs before a net sees it: a clip of the synthetic gestures, a file on disk in DVS128 Gesture's
layout; `ratio` is ours over the row's.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from .measure import median, require
from .registry import Row

CLIPS = 64  # of a pass over a data set


def rows(quick):
    from events import dvs128
    from events.gestures import generate as gestures
    from events.recordings import Files, Recordings
    from events.registry import default_encoder
    from train.config import preset
    from train.data import augment
    from train.data.batches import batches

    encoder, cfg, runs = default_encoder("gestures"), preset("medium", dataset="gestures"), 3 if quick else 9
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "0.npy")
        np.save(path, gestures.clip(1, 1, 1, 3))
        clip = dvs128.read(path)
        what = f"a clip of {len(clip):,} events"
        ours, theirs = (
            median(lambda: encoder.frames_of(dvs128.read(path)), runs),
            median(lambda: _by_tonic(path, encoder), runs),
        )
        require(
            np.array_equal(encoder.frames_of(dvs128.read(path)), _by_tonic(path, encoder)), "frames by tonic differ"
        )
        yield Row(f"{what}: read, frames", 1e3 * ours, "ms", 1.0)
        yield Row(f"{what}: read, frames by tonic", 1e3 * theirs, "ms", theirs / ours, "frames equal")
        changed = augment.augment(clip, 128, 128, cfg, np.random.default_rng(1))
        for name, work in (
            ("read", lambda: dvs128.read(path)),
            ("augment", lambda: augment.augment(clip, 128, 128, cfg, np.random.default_rng(1))),
            ("encode", lambda: encoder.encode(changed)),
        ):
            yield Row(f"{what}: {name}", 1e3 * median(work, runs), "ms")
        clips = Recordings(
            Files((path,) * CLIPS, dvs128.read), np.zeros(CLIPS, np.int64), ["0"] * CLIPS, dvs128.CLASSES, 128, 128
        )
        for loaders in sorted({1, os.cpu_count() or 1}):
            seconds = median(lambda: [None for _ in batches(clips, encoder, cfg, 0, loaders=loaders)], runs)  # noqa: B023
            yield Row(
                f"training batches of {cfg.batch}, {loaders} thread{'s' * (loaders > 1)}", CLIPS / seconds, "clips/s"
            )


def _by_tonic(path, encoder):
    """The frames that `Encoder.frames_of` gives, with tonic's transform: counts at all pixels, then 0 or 1 for each
    square of `pool` pixels.
    """
    from tonic.io import make_structured_array
    from tonic.transforms import ToFrame

    x, y, p, ms = np.load(path).T
    t = ms.astype(np.float64) * 1000
    events = make_structured_array(x, y, np.rint(t - t.min()), p)
    frames = ToFrame((encoder.width, encoder.height, 2), time_window=encoder.frame_us, include_incomplete=True)(events)[
        : encoder.frames
    ]
    h, w = encoder.frame_shape
    out = np.zeros((encoder.frames, 2, h, w), np.uint8)
    out[: len(frames)] = (frames > 0).reshape(len(frames), 2, h, encoder.pool, w, encoder.pool).any((3, 5))
    return out

"""Your own recordings: one folder a class, in it one event file a recording, of any format of `events.formats`.

    DATA_ROOT/<class>/<file>                    each class is parted here: by a digest of their names a fifth of its
                                                recordings are for test, a tenth for validation, at least one each
    DATA_ROOT/<class>/<session>/<file>          the same by sessions: one is in one part, of all classes
    DATA_ROOT/train/<class>/<file>              as they stand; parts `val` and `test` without a folder are taken out of
    DATA_ROOT/val/..., DATA_ROOT/test/...       `train` in that way
    DATA_ROOT/labels.csv                        optional: labelled windows of recordings (`events.labels`)
    DATA_ROOT/folder.json                       optional (`events.folder_settings`)

Classes are the folders' names, sorted. Hidden files and folders, and files with other endings, are passed over. The
sensor is what `folder.json` says; else what the files say, if all of them do and agree; else one that just holds the
largest coordinates of the whole set. Where recordings are cut into clips (`clip_ms`), each clip is a sample.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.base.console import say
from sim.base.errors import UserError

from . import cache, clips, folder_parts, folder_settings, formats
from .encoder import Encoder
from .recordings import Files, Recordings

LAYOUT = folder_parts.LAYOUT
_SAMPLE = 50  # recordings that the encoder is made by
_LONG_US = 10_000_000
_REASONS = 3  # that are given where nothing can be read
_note = set()


@dataclass(frozen=True)
class Reader:
    """Reads a file of this set: EVENT [n] on a sensor that is known."""

    width: int
    height: int
    unit_us: float | None

    def __call__(self, path):
        return formats.read(path, (self.width, self.height), self.unit_us, sort=False)[0]


@dataclass(frozen=True)
class Survey:
    """Reads a file for what it says of the sensor: (its own size or None, (width, height) that hold its events)."""

    unit_us: float | None
    root: str | None = None  # where it is decoded to, if clips are to be cut

    def __call__(self, path):
        if self.root is None:
            events, size = formats.read(path, None, self.unit_us, sort=False)
        else:
            size = formats.Stream(path, None, self.unit_us).size
            events = clips.decoded(path, self.root, self.unit_us)
        return size, (int(events["x"].max()) + 1, int(events["y"].max()) + 1)


def load(
    split: str, root: str | Path, clip_ms: float | None = None, stride_ms: float | None = None
) -> Recordings | None:
    """Recordings of one part; None if there is no folder.

    Args:
        clip_ms, stride_ms: as in `folder.json`, and before it.

    Raises:
        UserError: what is there is not such a set.
    """
    root = Path(root)
    if not root.is_dir():
        return None
    settings = folder_settings.read(root, clip_ms, stride_ms)
    parts, classes = folder_parts.find(root, settings)
    everything = [entry for found in parts.values() for entry in found]
    cut = settings.clip_ms is not None or any(entry.begin is not None for entry in everything)
    width, height, unit_us = settings.width, settings.height, settings.time_unit_us
    if width is None or height is None:
        paths = list(dict.fromkeys(entry.path for entry in everything))
        width, height = _sensor(root, paths, Survey(unit_us, str(root) if cut else None))
    found = parts[split]
    if cut:
        return _clips(found, settings, clips.ClipReader(width, height, unit_us, str(root)), classes, root)
    return Recordings(
        Files(tuple(entry.path for entry in found), Reader(width, height, unit_us)),
        np.array([entry.label for entry in found], np.int64),
        [entry.path.relative_to(root).as_posix() for entry in found],
        classes,
        height,
        width,
    )


def _clips(entries, settings, reader, classes, root):
    """`Recordings` of the clips of some recordings, or of their labelled windows."""
    paths, parts, labels, names = [], [], [], []
    clip_us = None if settings.clip_ms is None else round(settings.clip_ms * 1000)
    stride_us = round((settings.stride_ms or settings.clip_ms or 0) * 1000)
    for entry in entries:
        name = entry.path.relative_to(root).as_posix()
        for begin, end in _windows(entry, clip_us, stride_us, reader, root):
            paths.append(entry.path)
            parts.append((begin, end))
            labels.append(entry.label)
            names.append(f"{name}@{begin / 1e6:.3f}-{end / 1e6:.3f}s")
    for i in range(1, len(names)):  # two labels may begin at one moment
        if names[i] == names[i - 1]:
            names[i] += f"-{i}"
    return Recordings(
        Files(tuple(paths), reader, tuple(parts)),
        np.array(labels, np.int64),
        names,
        classes,
        reader.height,
        reader.width,
    )


def _windows(entry, clip_us, stride_us, reader, root):
    """(begin, end) of the clips of a recording or of its window, without those in which nothing happens."""
    try:
        events = clips.decoded(entry.path, str(root), reader.unit_us)
    except UserError:
        return [(0, clip_us or 1)]  # which says why when it is read, or is left out with the other broken ones
    length = int(events["t"][-1]) + 1
    begin, end = (0, length) if entry.begin is None else (entry.begin, min(entry.end, length))
    if begin >= length:
        raise UserError(
            f"{root}/labels.csv: a window of {entry.path.relative_to(root)} begins at {begin / 1e6:g} s, and the"
            f" recording ends at {length / 1e6:g} s; do the times count in other units (start_ms,end_ms;"
            " start_us,end_us)?"
        )
    found = [(begin, end)] if clip_us is None else clips.windows(begin, end, clip_us, stride_us)
    edges = np.searchsorted(events["t"], np.array(found).reshape(-1, 2))
    return [window for window, (first, last) in zip(found, edges.tolist()) if last > first]


def encoder(recordings: Recordings) -> Encoder:
    """An encoder to begin with: pixels joined to a frame of at most 36 along its longer side, twelve frames over the
    mean length of fifty recordings.
    """
    pool = -(-max(recordings.height, recordings.width) // 36)
    chosen = np.unique(np.linspace(0, len(recordings) - 1, min(_SAMPLE, len(recordings))).astype(int)).tolist()
    parts = getattr(recordings.events, "parts", ())
    clips_of = set(parts) and {end - begin for begin, end in parts}
    if len(clips_of) == 1:
        length = clips_of.pop()
    else:
        length = np.mean([int(recordings.events[i]["t"][-1]) + 1 for i in chosen])
    if length > _LONG_US and recordings.root not in _note:
        _note.add(recordings.root)
        say(
            f"note: recordings in {recordings.root} last {length / 1e6:.0f} s on average, each is one sample of 12"
            " frames; --clip-ms 500 (or clip_ms in folder.json) cuts them into clips",
            file=sys.stderr,
        )
    return Encoder(
        height=recordings.height,
        width=recordings.width,
        pool=pool,
        window=8,
        stride=4,
        frames=12,
        frame_us=max(1, round(length / 12)),
    )


def _sensor(root, paths, survey):
    """(width, height) from the files of the whole set; broken ones are passed over, and reported when they are read."""
    files = Recordings(
        Files(tuple(paths), survey),
        np.zeros(len(paths), np.int64),
        [p.relative_to(root).as_posix() for p in paths],
        (),
        0,
        0,
        root=str(root),
    )
    looked = cache.remembered(
        files,
        "sensor",
        lambda: _survey(files),
        lambda value: isinstance(value, list) and len(value) == len(paths) and all(map(_is_survey, value)),
    )
    seen = [found for found in looked if not isinstance(found, str)]
    if not seen:
        reasons = list(dict.fromkeys(looked))
        raise UserError(
            f"{root}: none of the {len(paths)} files is a recording that can be read: {'; '.join(reasons[:_REASONS])}"
            + (f"; and {len(reasons) - _REASONS} more" if len(reasons) > _REASONS else "")
        )
    sizes = {tuple(size) for size, _ in seen if size}
    if len(sizes) > 1:
        raise UserError(
            f"{root} holds recordings of different sensors, {' and '.join(f'{w} x {h}' for w, h in sorted(sizes)[:3])};"
            " keep those of one, or one data folder each"
        )
    if sizes and all(size for size, _ in seen):
        return sizes.pop()
    needed = tuple(max(sizes_) for sizes_ in zip(*(tuple(held) for _, held in seen), *sizes))
    return needed


def _is_survey(found):
    """Whether a value is what `_survey` gives of a file."""
    if isinstance(found, list) and len(found) == 2:
        size, held = found
        return _is_pair(held) and (size is None or _is_pair(size))
    return isinstance(found, str)


def _is_pair(value):
    return isinstance(value, list) and len(value) == 2 and all(type(x) is int for x in value)


def _survey(files):
    """[size, extent] of each file, or why it cannot be read."""

    def look(i):
        try:
            return files.events[i]
        except UserError as e:
            return str(e)

    return list(cache.each(files, "sensor's size", look))

"""Your own recordings: one folder a class, in it one event file a recording, of any format of `events.formats`.

    DATA_ROOT/<class>/<file>                    each class is parted here: by a digest of their names a fifth of its
        files are for test, a tenth for
                                                validation, at least one each
    DATA_ROOT/train/<class>/<file>              as they stand; parts `val` and `test` without a folder are taken out of
    `train` in that way DATA_ROOT/val/..., DATA_ROOT/test/...
    DATA_ROOT/folder.json                       optional: {"height": .., "width": .., "time_unit_us": ..}, see below

Classes are the folders' names, sorted. Hidden files and folders, and files with other endings, are passed over. The
sensor is what `folder.json` says; else what the files say, if all of them do and agree; else one that just holds the
largest coordinates of the whole set. `time_unit_us` is for .npy and .npz, where a table's times are milliseconds and
those of named columns microseconds unless it says otherwise."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

from . import cache, formats
from .encoder import Encoder
from .recordings import Files, Recordings

LAYOUT = (
    "<class>/<file>, at least two classes of three files, or train/<class>/<file>, and val and test likewise; files"
    f" end in {', '.join(formats.FORMATS)}; folder.json may say height, width and time_unit_us"
)
_SETTINGS = "folder.json"
_PARTS = ("train", "val", "test")
_TEST, _VAL = 5, 10  # one of so many
_SAMPLE = 50  # recordings that the encoder is made by


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

    def __call__(self, path):
        events, size = formats.read(path, None, self.unit_us, sort=False)
        return size, (int(events["x"].max()) + 1, int(events["y"].max()) + 1)


def load(split, root):
    """Recordings of one part; None if there is no folder.

    Raises:
        UserError: what is there is not such a set.
    """
    root = Path(root)
    if not root.is_dir():
        return None
    parts, classes = _parts(root)
    width, height, unit_us = _settings(root)
    if width is None:
        width, height = _sensor(root, [path for found in parts.values() for path, _ in found], unit_us)
    found = parts[split]
    return Recordings(
        Files(tuple(path for path, _ in found), Reader(width, height, unit_us)),
        np.array([label for _, label in found], np.int64),
        [path.relative_to(root).as_posix() for path, _ in found],
        classes,
        height,
        width,
    )


def encoder(recordings):
    """An encoder to begin with: pixels joined to a frame of at most 36 along its longer side, twelve frames over the
    mean length of fifty recordings.
    """
    pool = -(-max(recordings.height, recordings.width) // 36)
    chosen = np.unique(np.linspace(0, len(recordings) - 1, min(_SAMPLE, len(recordings))).astype(int)).tolist()
    length = np.mean([int(recordings.events[i]["t"][-1]) + 1 for i in chosen])
    return Encoder(
        height=recordings.height,
        width=recordings.width,
        pool=pool,
        window=8,
        stride=4,
        frames=12,
        frame_us=max(1, round(length / 12)),
    )


def _parts(root):
    """({part: [(path, label)]}, classes)."""
    given = {part: root / part for part in _PARTS if (root / part).is_dir()}
    if given and "train" not in given:
        raise UserError(f"{root} has a folder {next(iter(given))!r} but none named 'train'; expected there: {LAYOUT}")
    listed = {part: _classes(folder) for part, folder in (given or {"train": root}).items()}
    classes = tuple(listed["train"])
    if len(classes) < 2:
        folder = given.get("train", root)
        loose = any(p.suffix.lower() in formats.FORMATS for p in folder.iterdir())
        what = (
            f"one class only, {classes[0]!r}"
            if classes
            else (
                "recordings but no folders of classes: is it the folder of one class?"
                if loose
                else "no folders of classes"
            )
        )
        raise UserError(f"{folder} holds {what}; expected there: {LAYOUT}")
    for part, found in listed.items():
        if unknown := sorted(set(found) - set(classes)):
            raise UserError(
                f"{root / part} has a class {unknown[0]!r} that 'train' has not; expected the same folders in every"
                " part"
            )
    parts = {part: [] for part in _PARTS}
    for label, name in enumerate(classes):
        for part, its in _split(
            listed["train"][name], [part for part in ("test", "val") if part not in listed], root / name
        ).items():
            parts[part] += [(path, label) for path in its]
        for part in set(listed) - {"train"}:
            parts[part] += [(path, label) for path in listed[part].get(name, [])]
    return parts, classes


def _classes(folder):
    """{class: [path]}, sorted by name."""
    found = {}
    for sub in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        found[sub.name] = sorted(p for p in sub.iterdir() if formats.is_recording(p))
        if not found[sub.name]:
            raise UserError(
                f"{sub} holds no recordings (files that end in {', '.join(formats.FORMATS)}); fill it or remove it"
            )
    return found


def _split(files, held, where):
    """{part: [path]} of one class: `held` are the parts that are taken out of its training files."""
    if len(files) <= len(held):
        raise UserError(
            f"class {where.name!r} has {len(files)} recordings in {files[0].parent}, too few to take"
            f" {' and '.join(held)} out of them; at least {len(held) + 1} are needed"
        )
    # By a digest of the name: the same on every machine, of no order in time or number, and a file that is added moves
    # few others.
    order = sorted(files, key=lambda path: hashlib.sha256(path.name.encode()).digest())
    out, begin = {}, 0
    for part in held:
        n = max(1, len(files) // {"test": _TEST, "val": _VAL}[part])
        out[part] = sorted(order[begin : begin + n])
        begin += n
    return out | {"train": sorted(order[begin:])}


def _settings(root):
    """(width, height, time_unit_us) of `folder.json`, None each where it does not say."""
    path = root / _SETTINGS
    if not path.is_file():
        return None, None, None
    try:
        with open(path, encoding="utf-8") as f:
            says = json.loads(f.read(10_000))
    except (OSError, ValueError) as e:
        raise UserError(f"{path} is not JSON that can be read ({formats.reason(e)})") from None
    known = {"height", "width", "time_unit_us"}
    if not isinstance(says, dict) or set(says) - known or ("height" in says) != ("width" in says):
        raise UserError(f"{path}: expected an object with height and width, and time_unit_us, all optional")
    for key, limit, kinds in (
        ("height", formats.SIDE_LIMIT, int),
        ("width", formats.SIDE_LIMIT, int),
        ("time_unit_us", 1e6, (int, float)),
    ):
        value = says.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= limit):
            raise UserError(f"{path}: {key} is {value!r}, expected a number above 0 and at most {limit:g}")
    return says.get("width"), says.get("height"), says.get("time_unit_us")


def _sensor(root, paths, unit_us):
    """(width, height) from the files of the whole set; broken ones are passed over, and reported when they are read."""
    files = Recordings(
        Files(tuple(paths), Survey(unit_us)),
        np.zeros(len(paths), np.int64),
        [p.relative_to(root).as_posix() for p in paths],
        (),
        0,
        0,
        root=str(root),
    )
    seen = cache.remembered(files, "sensor", lambda: _survey(files))
    if not seen:
        raise UserError(
            f"{root}: none of the {len(paths)} files is a recording that can be read, among them {paths[0]}"
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


def _survey(files):
    def look(i):
        try:
            return files.events[i]
        except UserError:
            return None

    return list(filter(None, cache.each(files, "sensor's size", look)))

"""DVS128 Gesture (Amir et al., CVPR 2017): 128 x 128 pixels, eleven gestures, in the layout that tonic downloads or in
IBM's own.

Read here rather than through tonic's `DVSGesture`, because any import of tonic imports torch, that class keeps to no
order of files, and it holds nothing out for validation.

IBM's archive has one long recording a trial (`events.aedat3`) and a table of windows, half open, one a gesture. They
are cut here when a clip is read. A trial has twelve windows, because arm roll comes twice, once in each sense. Tonic's
layout has these windows as files, times rounded to milliseconds; its files are named by their label, so it has one arm
roll a trial, and 1,341 clips in all against 1,464. In user22_led_labels.csv the window of class 9 ends after that of
class 10 has begun (SpikingJelly's reader notes it, and keeps both); here every window ends, at the latest, where the
next one begins, so that no event is in two clips."""

import re
from pathlib import Path

import numpy as np

from sim.base import npy, seals
from sim.base.errors import UserError

from . import aedat3
from .recordings import Files, Recordings, as_events

CLASSES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
SIZE = 128


def read(path: str | Path) -> np.ndarray:
    """Events of one `.npy` clip: numbers [n, 4], columns x, y, polarity, time in milliseconds (with fractions). Time 0
    is the first event.

    Returns:
        EVENT [n].

    Raises:
        UserError: not such an array, empty, or an event outside the sensor.
    """
    try:
        seals.check_once(path, "delete it, and generate or copy it again")
        table = npy.mapped(path)
    except seals.Damaged:
        raise
    except UserError as e:
        raise UserError(f"{path} is not a clip of numbers in .npy format ({e}); fetch the file again") from None
    if table.ndim != 2 or table.shape[1] != 4 or table.dtype.kind not in "iuf":
        raise UserError(f"{path} is not a table of numbers with four columns (x, y, polarity, milliseconds)")
    x, y, p, ms = np.asarray(table).T
    t = ms.astype(np.float64) * 1000
    return as_events(x, y, p, t - t.min(initial=np.inf), SIZE, SIZE, path)


def read_array(path: str | Path) -> np.ndarray:
    """Events of one `.npz` clip with arrays x, y, p and t in microseconds: EVENT [n]. Raises UserError as
    `formats.read` does."""
    from . import formats

    return formats.read(path, (SIZE, SIZE), 1)[0]


def read_window(path: str | Path, begin: int, end: int) -> np.ndarray:
    """Events of a trial, an AEDAT 3.1 file, from `begin` to before `end` (microseconds of its clock). Time 0 is the
    first event.

    Returns:
        EVENT [n].

    Raises:
        UserError: the file is broken, there is no event in this time, or one outside the sensor.
    """
    x, y, p, t = aedat3.read(path, begin, end)
    return as_events(x, y, p, t - t.min(initial=end), SIZE, SIZE, f"{path} ({begin} to {end} us)")


def load(split: str, root: str | Path) -> Recordings | None:
    """Recordings of one part, below `root/DVSGesture`, `root/DvsGesture` or `root`, in tonic's layout,
    SpikingJelly's (`events_np/train/<label>/userNN_<light>_<number>.npz`) or IBM's; None if the files are not there.

    Of the subjects for training, those with the highest numbers are validation, about one in seven (three of IBM's 23)
    and at least one; training is
    the rest. Which are for testing is as IBM split them: in tonic's layout the folder `ibmGestureTest`, in IBM's the
    trials named in
    `trials_to_test.txt`. A folder that holds both layouts is read in tonic's.
    """
    folders = [folder for folder in (Path(root, "DVSGesture"), Path(root, "DvsGesture"), Path(root)) if folder.is_dir()]
    for base in folders:
        if (base / "ibmGestureTrain").is_dir() or (base / "ibmGestureTest").is_dir():
            return _part(split, base, _clips(base / ("ibmGestureTest" if split == "test" else "ibmGestureTrain")), read)
    for base in folders:
        if (base / "events_np").is_dir():
            return _part(
                split, base, _arrays(base / "events_np" / ("test" if split == "test" else "train")), read_array
            )
    for base in folders:
        if any((base / list_).is_file() for list_ in _LISTS.values()):
            return _part(split, base, _windows(base, _LISTS["test" if split == "test" else "train"]), read_window)
        if any(base.glob("user*_*.aedat")):
            raise UserError(
                f"{base} holds recordings of DVS128 Gesture but not {_LISTS['train']} and {_LISTS['test']}, which say"
                " which are of which part; they are in the same archive, put them there"
            )
    return None


MARKS = ("DVSGesture", "DvsGesture", "ibmGestureTrain", "ibmGestureTest", "trials_to_train.txt", "events_np")
_LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}


def _part(split, base, clips, reader):
    """`Recordings` of (user, label, name, path, *part) of a part, or None."""
    if split != "test":
        users = sorted({clip[0] for clip in clips})
        if len(users) == 1:
            raise UserError(
                f"{base}: all recordings for training are of user {users[0]}; at least two users are needed, of"
                " whom one is for validation"
            )
        held_out = users[-max(1, len(users) // 7) :]
        clips = [clip for clip in clips if (clip[0] in held_out) == (split == "val")]
    if not clips:
        return None
    parts = tuple(clip[4:] for clip in clips)
    return Recordings(
        Files(tuple(clip[3] for clip in clips), reader, parts if any(parts) else ()),
        np.array([clip[1] for clip in clips], np.int64),
        [clip[2] for clip in clips],
        CLASSES,
        SIZE,
        SIZE,
    )


def _clips(folder):
    """(user, label, name, path) of every `userNN_<light>/<label>.npy`, by user, folder and label; other names are
    passed over.
    """
    found = []
    for path in folder.glob("user*/*.npy"):
        user, label = re.fullmatch(r"user(\d+)_\w+", path.parent.name), re.fullmatch(r"\d+", path.stem)
        if user and label:
            if int(path.stem) >= len(CLASSES):
                raise UserError(f"{path}: the file's name is its label, expected 0 to {len(CLASSES) - 1}")
            found.append((int(user[1]), int(path.stem), path.relative_to(folder.parent).as_posix(), path))
    return sorted(found, key=lambda clip: (clip[0], clip[3].parent.name, clip[1], clip[3].name))


def _arrays(folder):
    """(user, label, name, path) of every `<label>/userNN_<light>_<number>.npz`, as SpikingJelly leaves them."""
    found = []
    for path in folder.glob("*/user*.npz"):
        user = re.match(r"user(\d+)_", path.name)
        if user and re.fullmatch(r"\d+", path.parent.name) and int(path.parent.name) < len(CLASSES):
            name = path.relative_to(folder.parent).as_posix()
            found.append((int(user[1]), int(path.parent.name), name, path))
    return sorted(found, key=lambda clip: (clip[0], clip[3].name, clip[1]))


def _windows(base, list_):
    """(user, label, name, path, begin, end) of every window of the trials in a list, by user, trial and time; trials
    whose file is missing are an error.

    The name is trial and label, as tonic's files have it, and a number where the label comes again: user01_led/7,
    user01_led/7-2."""
    found = []
    for trial in _text(base / list_).split():
        user = re.fullmatch(r"user(\d+)_\w+\.aedat", trial)
        if user is None:
            raise UserError(f"{base / list_}: {trial[:80]!r} is not a trial, expected names such as user01_led.aedat")
        path = base / trial
        if not path.is_file():
            raise UserError(f"{path} is missing, though {list_} names it; fetch it, or take the line out of the list")
        seen = [0] * len(CLASSES)
        for label, begin, end in read_windows(path.with_name(f"{path.stem}_labels.csv")):
            seen[label] += 1
            found.append(
                (
                    int(user[1]),
                    label,
                    f"{path.stem}/{label}" + (f"-{seen[label]}" if seen[label] > 1 else ""),
                    path,
                    begin,
                    end,
                )
            )
    return sorted(found, key=lambda clip: (clip[0], clip[3].name, clip[4]))


def read_windows(path: str | Path) -> list[tuple[int, int, int]]:
    """(label from 0, begin, end in microseconds) of every line of a table of labels, by time; none overlap.

    Raises:
        UserError: cannot be read, another format, or a window that is empty or begins with another.
    """
    lines = _text(path).split("\n")
    if lines[0].strip() != "class,startTime_usec,endTime_usec":
        raise UserError(
            f"{path}: the first line is {lines[0].strip()[:60]!r}, expected class,startTime_usec,endTime_usec"
        )
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        row = re.fullmatch(r"(\d{1,2}),(\d{1,15}),(\d{1,15})", line.strip())
        if row is None or not 1 <= int(row[1]) <= len(CLASSES) or int(row[3]) <= int(row[2]):
            raise UserError(
                f"{path}, line {number}: {line.strip()[:60]!r} is not a class of 1 to {len(CLASSES)}, a start and a"
                " later end in microseconds"
            )
        rows.append((int(row[1]) - 1, int(row[2]), int(row[3])))
    rows.sort(key=lambda row: row[1])
    for before, after in zip(rows, rows[1:]):
        if before[1] == after[1]:
            raise UserError(f"{path}: two windows begin at {after[1]} us; remove one")
    ends = [row[1] for row in rows[1:]] + [2**63 - 1]
    return [(label, begin, min(end, latest)) for (label, begin, end), latest in zip(rows, ends)]


def _text(path):
    """A small text file; UserError if it cannot be read."""
    try:
        with open(path, encoding="utf-8-sig") as f:
            text = f.read(1 << 20)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text; fetch it again") from None
    return text

"""DVS128 Gesture (Amir et al., CVPR 2017): 128 x 128 pixels, eleven gestures, in the layout that tonic downloads.

Read here rather than through tonic's `DVSGesture`, because any import of tonic imports torch, that class keeps to no order of files, and it
holds nothing out for validation.
"""

import re
from pathlib import Path

import numpy as np

from sim.errors import UserError

from .recordings import Files, Recordings, as_events

CLASSES = ("hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter-clockwise", "left arm clockwise",
           "left arm counter-clockwise", "arm roll", "air drums", "air guitar", "other gestures")
SIZE = 128


def read(path):
    """Events of one `.npy` clip: numbers [n, 4], columns x, y, polarity, time in milliseconds (with fractions). Time 0 is the first event.

    Returns:
        EVENT [n].

    Raises:
        UserError: not such an array, empty, or an event outside the sensor.
    """
    try:
        # Memory-mapped: a header that claims more than the file holds is refused before anything is allocated.
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise UserError(f"{path} is not a clip of numbers in .npy format ({' '.join(str(e).split())[:120]}); fetch the file again") from None
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.shape[1] != 4 or table.dtype.kind not in "iuf":
        raise UserError(f"{path} is not a table of numbers with four columns (x, y, polarity, milliseconds)")
    x, y, p, ms = table.T
    t = ms.astype(np.float64) * 1000
    return as_events(x, y, p, t - t.min(initial=np.inf), SIZE, SIZE, path)


def load(split, root):
    """Recordings of one part, below `root` or `root/DVSGesture`; None if the files are not there.

    Test is the folder `ibmGestureTest`, as IBM split the subjects. Of the subjects in `ibmGestureTrain`, those with the highest numbers are
    validation, about one in seven (three of IBM's 23) and at least one; training is the rest.
    """
    base = Path(root, "DVSGesture") if Path(root, "DVSGesture").is_dir() else Path(root)
    clips = _clips(base / ("ibmGestureTest" if split == "test" else "ibmGestureTrain"))
    if split != "test":
        users = sorted({user for user, _, _ in clips})
        held_out = users[-max(1, len(users) // 7):]
        clips = [clip for clip in clips if (clip[0] in held_out) == (split == "val")]
    if not clips:
        return None
    return Recordings(Files(tuple(path for _, _, path in clips), read), np.array([label for _, label, _ in clips], np.int64),
                      [path.relative_to(base).as_posix() for _, _, path in clips], CLASSES, SIZE, SIZE)


def _clips(folder):
    """(user, label, path) of every `userNN_<light>/<label>.npy`, by user, folder and label; other names are passed over."""
    found = []
    for path in folder.glob("user*/*.npy"):
        user, label = re.fullmatch(r"user(\d+)_\w+", path.parent.name), re.fullmatch(r"\d+", path.stem)
        if user and label:
            if int(path.stem) >= len(CLASSES):
                raise UserError(f"{path}: the file's name is its label, expected 0 to {len(CLASSES) - 1}")
            found.append((int(user[1]), int(path.stem), path))
    return sorted(found, key=lambda clip: (clip[0], clip[2].parent.name, clip[1], clip[2].name))

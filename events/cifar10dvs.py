"""CIFAR10-DVS (Li et al. 2017): 10,000 pictures of CIFAR-10 moving on a screen, seen by a DVS128; in the layout that
tonic downloads (AEDAT4).

The set has no parts of its own. Here, in each class and by the files' numbers, the last tenth is for test, as in
SpikingJelly's 9 : 1 split; of the others rank 7 of every ten is validation."""

import re
from pathlib import Path

import numpy as np

from . import formats
from .recordings import Files, Recordings

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE = 128


def read(path):
    """Events of one `.aedat4` file: EVENT [n], time 0 at the first. Raises UserError as `formats.read` does."""
    return formats.read(path, (SIZE, SIZE))[0]


def load(split, root):
    """Recordings of one part, below `root/CIFAR10DVS` or `root`; None if the files are not there."""
    base = Path(root, "CIFAR10DVS") if Path(root, "CIFAR10DVS").is_dir() else Path(root)
    found = []
    for label, name in enumerate(CLASSES):
        files = [p for p in (base / name).glob("*.aedat4") if not p.name.startswith(".")]
        files.sort(key=lambda p: (int((re.findall(r"\d+", p.stem) or ["0"])[-1]), p.name))
        first_test = len(files) - len(files) // 10
        part = ["test" if rank >= first_test else "val" if rank % 10 == 7 else "train" for rank in range(len(files))]
        found += [(label, path) for path, its in zip(files, part) if its == split]
    if not found:
        return None
    return Recordings(
        Files(tuple(path for _, path in found), read),
        np.array([label for label, _ in found], np.int64),
        [path.relative_to(base).as_posix() for _, path in found],
        CLASSES,
        SIZE,
        SIZE,
    )

"""The data sets by name: what they are, how they are read, which encoder suits them, and what to say when their files are missing."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from sim.errors import UserError

from . import digits, dvs128, gestures, nmnist
from .encoder import Encoder

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Dataset:
    """One data set.

    Attributes:
        name: its key in `DATASETS`.
        what: a short description.
        height, width, classes: sensor and class names; 0, 0 and () where `loader` is None.
        encoder: the encoder to begin with; None if this version does not read the set.
        loader: (split, root) -> Recordings, or None if files are missing; None if this version does not read the set.
        where: which files go where below the data folder, with counts and checksums, in one line.
    """
    name: str
    what: str
    height: int = 0
    width: int = 0
    classes: tuple = ()
    encoder: Encoder | None = None
    loader: Callable | None = None
    where: str = ""


DATASETS = {d.name: d for d in (
    Dataset(
        "digits", "1,797 real handwritten digits of scikit-learn on three simulated saccades, 16 x 16", digits.SIZE, digits.SIZE, digits.CLASSES,
        Encoder(height=16, width=16, window=8, stride=4, frames=6, frame_us=50_000), digits.load, "embedded, no files"),
    Dataset(
        "nmnist", "N-MNIST, handwritten digits recorded on three saccades, 34 x 34", nmnist.SIZE, nmnist.SIZE, nmnist.CLASSES,
        Encoder(height=34, width=34, window=10, stride=5, frames=8, frame_us=40_000), nmnist.load,
        # Checksums, here and below, are those that tonic checks; counts are of the complete sets.
        "NMNIST/Train/<digit>/<number>.bin and NMNIST/Test/<digit>/<number>.bin, 60,000 and 10,000 files "
        "(a part will do, or Train alone, with at least eight of each digit); "
        "from train.zip (md5 20959b8e626244a1b502305a9e6e2031) "
        "and test.zip (md5 69ca8762b2fe404d9b9bad1103e97832), which tonic.datasets.NMNIST(save_to=<folder>, train=True or False) downloads"),
    Dataset(
        "dvs128", "DVS128 Gesture, eleven gestures of 29 subjects, 128 x 128", dvs128.SIZE, dvs128.SIZE, dvs128.CLASSES,
        Encoder(height=128, width=128, pool=4, window=8, stride=4, frames=12, frame_us=120_000), dvs128.load,
        "DVSGesture/ibmGestureTrain/userNN_<light>/<label>.npy (1,077 files, at least two users) and "
        "DVSGesture/ibmGestureTest/userNN_<light>/<label>.npy (264 files); "
        "from ibmGestureTrain.tar.gz (md5 3a8f0d4120a166bac7591f77409cb105) "
        "and ibmGestureTest.tar.gz (md5 56070e45dadaa85fff82e0fbfbc06de5), "
        "which tonic.datasets.DVSGesture(save_to=<folder>, train=True or False) downloads"),
    Dataset(
        "gestures", "synthetic gestures of a drawn upper body, the classes and layout of dvs128, 128 x 128", dvs128.SIZE, dvs128.SIZE, dvs128.CLASSES,
        Encoder(height=128, width=128, pool=4, window=8, stride=4, frames=12, frame_us=120_000), gestures.load,
        "gestures/DVSGesture/ibmGestureTrain and ibmGestureTest, which `python -m events gestures --out <that folder>/gestures` makes in minutes"),
    Dataset("cifar10dvs", "CIFAR10-DVS, ten classes, 128 x 128"),
    Dataset("cifar10", "static images, ten classes, 32 x 32"),
    Dataset("cifar100", "static images, 100 classes, 32 x 32"),
    Dataset("imagenet", "static images, 1,000 classes"),
)}


def dataset(name):
    """Entry of `DATASETS` that this version can read; UserError otherwise."""
    available = ", ".join(d.name for d in DATASETS.values() if d.loader)
    if name not in DATASETS:
        raise UserError(f"no data set {name!r}; available: {available}")
    if DATASETS[name].loader is None:
        raise UserError(f"data set {name!r} is planned, not read by this version; available: {available}")
    return DATASETS[name]


def default_encoder(name):
    """The encoder to begin with for a data set; UserError as in `load`."""
    return dataset(name).encoder


def load(name, split, root=None):
    """Recordings of one part of a data set; the same ones in the same order, on every machine that has the same files.

    Args:
        name: key of `DATASETS`.
        split: "train", "val" or "test"; disjoint.
        root: data folder; by default the environment's DATA_ROOT, or else `./data`.

    Returns:
        Recordings.

    Raises:
        UserError: no such set or part, or its files are missing; a file that is broken is reported, by name, when it is read.
    """
    entry = dataset(name)
    if split not in SPLITS:
        raise UserError(f"no part {split!r} of a data set; expected one of: {', '.join(SPLITS)}")
    root = root or os.environ.get("DATA_ROOT") or "data"
    found = entry.loader(split, root)
    if found is None:
        raise UserError(f"data set {name!r}: no recordings for {split!r} below {os.fspath(root)!r} (set DATA_ROOT to another folder); "
                        f"expected there: {entry.where}; 'digits' is embedded and runs now")
    return found

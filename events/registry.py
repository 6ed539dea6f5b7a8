"""The data sets by name: what they are, how they are read, which encoder suits them, and what to say when their
files are missing.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.base.errors import UserError

from . import cache, cifar10dvs, digits, dvs128, folder, nmnist, pictures
from .encoder import Encoder
from .gestures import generate as gestures
from .missing import instead
from .recordings import Files, Recordings

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Dataset:
    """One data set.

    Attributes:
        name: its key in `DATASETS`.
        what: a short description.
        loader: (split, root) -> Recordings, or None if files are missing.
        where: which files go where below the data folder, with counts and checksums, in one line.
        height, width, classes: sensor and class names; 0, 0 and () where they depend on the files: `Recordings` carries
            them.
        marks: names of folders and files by which it is known.
        encoder: the encoder to begin with; None where it depends on the files, see `default_encoder`.
        saccade: of photographs, the one for `NAME:saccade`, where a simulated camera sees them.
    """

    name: str
    what: str
    loader: Callable
    where: str
    height: int = 0
    width: int = 0
    classes: tuple = ()
    encoder: Encoder | None = None
    marks: tuple = ()
    saccade: Encoder | None = None


_GESTURES = Encoder(height=128, width=128, pool=2, window=10, stride=8, frames=12, frame_us=120_000)
_CIFAR_SEEN = Encoder(height=32, width=32, window=8, stride=4, frames=6, frame_us=50_000)
_CIFAR = Encoder(height=32, width=32, window=8, stride=4, frames=1, message_bits=8)

# Checksums are those that tonic checks or that the publishers give; counts and sizes are of the complete sets.
DATASETS = {
    d.name: d
    for d in (
        Dataset(
            "digits",
            "1,797 real handwritten digits of scikit-learn on three simulated saccades, 16 x 16",
            digits.load,
            "embedded, no files",
            digits.SIZE,
            digits.SIZE,
            digits.CLASSES,
            Encoder(height=16, width=16, window=8, stride=4, frames=6, frame_us=50_000),
        ),
        Dataset(
            "nmnist",
            "N-MNIST, handwritten digits recorded on three saccades, 34 x 34",
            nmnist.load,
            "NMNIST/Train/<digit>/<number>.bin and NMNIST/Test/<digit>/<number>.bin, 60,000 and 10,000 files (a part"
            " will do, or Train alone, with at least eight of each digit); from train.zip (md5"
            " 20959b8e626244a1b502305a9e6e2031) and test.zip (md5 69ca8762b2fe404d9b9bad1103e97832), which"
            " tonic.datasets.NMNIST(save_to=<folder>, train=True or False) downloads",
            nmnist.SIZE,
            nmnist.SIZE,
            nmnist.CLASSES,
            Encoder(height=34, width=34, window=8, stride=5, frames=8, frame_us=40_000),
            nmnist.MARKS,
        ),
        Dataset(
            "dvs128",
            "DVS128 Gesture, eleven gestures of 29 subjects, 128 x 128",
            dvs128.load,
            "either DVSGesture/ibmGestureTrain/userNN_<light>/<label>.npy (1,077 files, at least two users) and"
            " DVSGesture/ibmGestureTest/userNN_<light>/<label>.npy (264 files), from ibmGestureTrain.tar.gz (md5"
            " 3a8f0d4120a166bac7591f77409cb105) and ibmGestureTest.tar.gz (md5 56070e45dadaa85fff82e0fbfbc06de5), which"
            " tonic.datasets.DVSGesture(save_to=<folder>, train=True or False) downloads; or, as IBM published it,"
            " DvsGesture/userNN_<light>.aedat, userNN_<light>_labels.csv, trials_to_train.txt and trials_to_test.txt"
            " (122 trials, 5 GB), from DvsGesture.tar.gz (md5 8a5c71fb11e24e5ca5b11866ca6c00a1, 3 GB) of"
            " research.ibm.com/dvsgesture",
            dvs128.SIZE,
            dvs128.SIZE,
            dvs128.CLASSES,
            _GESTURES,
            dvs128.MARKS,
        ),
        Dataset(
            "gestures",
            "synthetic gestures of a drawn upper body, the classes and layout of dvs128, 128 x 128",
            gestures.load,
            "gestures/DVSGesture/ibmGestureTrain and ibmGestureTest, which `python -m events gestures --out <that"
            " folder>/gestures` makes in minutes",
            dvs128.SIZE,
            dvs128.SIZE,
            dvs128.CLASSES,
            _GESTURES,
            dvs128.MARKS[:4],
        ),
        Dataset(
            "cifar10dvs",
            "CIFAR10-DVS, pictures of ten classes moving on a screen before a DVS128, 128 x 128",
            cifar10dvs.load,
            "CIFAR10DVS/<class>/<name>_<number>.aedat4 (ten classes of 1,000 files), from CIFAR10DVS.zip (md5"
            " ce3a4a0682dc0943703bd8f749a7701c), which tonic.datasets.CIFAR10DVS(save_to=<folder>) downloads; or, as"
            " its authors publish it, CIFAR10DVS/<class>.zip, or the .aedat files in it in CIFAR10DVS/<class>/; or"
            " SpikingJelly's extract/<class>/*.aedat or events_np/<class>/*.npz",
            cifar10dvs.SIZE,
            cifar10dvs.SIZE,
            cifar10dvs.CLASSES,
            Encoder(height=128, width=128, pool=4, window=8, stride=4, frames=10, frame_us=130_000),
            cifar10dvs.MARKS,
        ),
        Dataset(
            "cifar10",
            "CIFAR-10, photographs of ten classes in colour, 32 x 32; cifar10:saccade as a camera sees them",
            pictures.load_cifar10,
            "cifar-10-batches-bin/data_batch_1.bin to data_batch_5.bin and test_batch.bin (30,730,000 bytes each), from"
            " cifar-10-binary.tar.gz (md5 c32a1d4ab5d03f1284b67883e8d87530, 162 MB) of"
            " www.cs.toronto.edu/~kriz/cifar.html, the binary version and not the pickled Python one that torchvision"
            " downloads; or cifar10/train/<class>/*.png and cifar10/test/<class>/*.png",
            32,
            32,
            pictures.CIFAR10,
            _CIFAR,
            saccade=_CIFAR_SEEN,
        ),
        Dataset(
            "cifar100",
            "CIFAR-100, photographs of 100 classes in colour, 32 x 32; cifar100:saccade as a camera sees them",
            pictures.load_cifar100,
            "cifar-100-binary/train.bin and test.bin (153,700,000 and 30,740,000 bytes), from cifar-100-binary.tar.gz"
            " (md5 03b5dce01913d631647c71ecec9e9cb8, 161 MB) of www.cs.toronto.edu/~kriz/cifar.html, the binary version"
            " and not the pickled Python one that torchvision downloads; or cifar100/train/<class>/*.png and"
            " cifar100/test/<class>/*.png",
            32,
            32,
            pictures.CIFAR100,
            _CIFAR,
            saccade=_CIFAR_SEEN,
        ),
        Dataset(
            "imagenet",
            "ImageNet (ILSVRC 2012), photographs of 1,000 classes, shrunk to 64 x 64; imagenet:saccade likewise",
            pictures.load_imagenet,
            "imagenet/train/<wnid>/*.JPEG (1,281,167 files of 1,000 classes) and imagenet/val/<wnid>/*.JPEG (50,000"
            " files), as torchvision lays them out from ILSVRC2012_img_train.tar (md5 1d675b47d978889d74fa0da5fadfb00e,"
            " 138 GB) and ILSVRC2012_img_val.tar (md5 29b22e2961454d5413ddabcf34fc5622, 6.3 GB) of image-net.org, which"
            " needs an account; a part of the classes will do",
            pictures.IMAGENET_SIZE,
            pictures.IMAGENET_SIZE,
            (),
            Encoder(height=64, width=64, window=12, stride=8, frames=1, message_bits=8),
            saccade=Encoder(height=64, width=64, window=12, stride=8, frames=6, frame_us=50_000),
        ),
        Dataset("folder", "your own recordings, one folder a class", folder.load, folder.LAYOUT),
    )
}


def dataset(name: str) -> Dataset:
    """Entry of `DATASETS`; UserError otherwise. A name may say how recordings are cut, as in `with_clips`."""
    key = name.partition(":")[0] if isinstance(name, str) else name  # a file may name anything
    if not isinstance(key, str) or key not in DATASETS:
        raise UserError(f"no data set {key!r}; available: {', '.join(DATASETS)}")
    return DATASETS[key]


def with_clips(name: str, clip_ms: float | None = None, stride_ms: float | None = None) -> str:
    """The name of a data set whose recordings are cut into clips: `folder:clip_ms=500,stride_ms=250`. A net that was
    trained on it carries that name, and is run on the same clips.

    Raises:
        UserError: only `folder` has recordings to cut; stride_ms without clip_ms.
    """
    if clip_ms is None:
        if stride_ms is not None:
            raise UserError("--stride-ms goes with --clip-ms, the length of a clip; say that, too")
        return name
    if name != "folder":
        raise UserError(f"--clip-ms cuts the recordings of 'folder', not those of {name!r}; leave it out")
    return f"{name}:clip_ms={clip_ms:g}" + ("" if stride_ms is None else f",stride_ms={stride_ms:g}")


SACCADE = "saccade"  # behind the name of a set of photographs


def _cut(name):
    """What a name says of how recordings are made: {clip_ms, stride_ms}, or {saccade}."""
    plain, _, rest = name.partition(":")
    if rest == SACCADE and dataset(plain).saccade:
        return {SACCADE: True}
    found = re.fullmatch(r"clip_ms=([0-9.]+)(?:,stride_ms=([0-9.]+))?", rest)
    try:
        values = {key: float(x) for key, x in zip(("clip_ms", "stride_ms"), found.groups()) if x} if found else {}
    except ValueError:
        values = {}
    if rest and (not values or plain != "folder" or min(values.values()) <= 0):
        raise UserError(
            f"data set {name[:80]!r}: expected folder:clip_ms=500, folder:clip_ms=500,stride_ms=250, or of photographs"
            " cifar10:saccade"
        )
    return values


def default_encoder(name: str, root: str | Path | None = None) -> Any:
    """The encoder to begin with for a data set. For most, it needs no files; for `folder` it is made to measure
    (`folder.encoder`) from those of the training part below `root` (as for `load`). UserError as in `load`."""
    entry = dataset(name)
    if SACCADE in _cut(name):
        return entry.saccade
    return entry.encoder or folder.encoder(load(name, "train", root, skip_bad=True))


def load(name: str, split: str, root: str | Path | None = None, skip_bad: bool = False) -> Recordings:
    """Recordings of one part of a data set; the same ones in the same order, on every machine that has the same files.

    Args:
        name: key of `DATASETS`.
        split: "train", "val" or "test"; disjoint.
        root: data folder; by default the environment's DATA_ROOT, or else `./data`.
        skip_bad: read every file once (the outcome is remembered, see `events.cache`) and leave out those that are
            broken, which `Recordings.skipped` counts and names. Otherwise a broken file is reported, by name, when it
            is read.

    Returns:
        Recordings.

    Raises:
        UserError: no such set or part, or its files are missing; all of them are broken.
    """
    entry = dataset(name)
    if split not in SPLITS:
        raise UserError(f"no part {split!r} of a data set; expected one of: {', '.join(SPLITS)}")
    root = os.fspath(root or os.environ.get("DATA_ROOT") or "data")
    found = entry.loader(split, root, **_cut(name))
    if found is None:
        raise UserError(
            f"data set {name!r}: no recordings for {split!r} below {root!r}: {instead(root, entry.marks)} (set"
            f" DATA_ROOT to another folder); expected there: {entry.where}; 'digits' is embedded and runs now"
        )
    found = replace(found, root=root)
    return _sound(found) if skip_bad and isinstance(found.events, Files) else found


def _sound(recordings):
    """Without those whose file is broken."""
    bad = cache.remembered(recordings, "broken", lambda: _broken(recordings), lambda value: _is_list(value, recordings))
    if len(bad) == len(recordings):
        raise UserError(f"none of the {len(bad)} recordings can be read, the first because: {bad[0][1]}")
    numbers = sorted(set(range(len(recordings))) - {i for i, _ in bad})
    return replace(
        recordings,
        events=recordings.events.only(numbers),
        labels=recordings.labels[numbers],
        names=[recordings.names[i] for i in numbers],
        skipped=tuple(line for _, line in bad),
    )


def _is_list(value, recordings):
    """Whether a value is what `_broken` gives: [number, line] of some recordings."""
    return isinstance(value, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and type(pair[0]) is int
        and 0 <= pair[0] < len(recordings)
        and isinstance(pair[1], str)
        for pair in value
    )


def _broken(recordings):
    """[number, what is wrong] of each recording that cannot be read."""

    def wrong(i):
        try:
            recordings.events[i]
        except UserError as e:
            return [i, str(e)]

    return list(filter(None, cache.each(recordings, "checking files", wrong)))

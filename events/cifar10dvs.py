"""CIFAR10-DVS (Li et al. 2017): 10,000 pictures of CIFAR-10 moving on a screen, seen by a DVS128. Read as its authors
publish it (AEDAT 2.0 in a folder or a zip file a class), as tonic downloads it (AEDAT 4), and as SpikingJelly leaves it
(`extract/<class>/*.aedat`, `events_np/<class>/*.npz`).

The set has no parts of its own. Here, in each class and by the files' numbers, the last tenth is for test, as in
SpikingJelly's 9 : 1 split; of the others rank 7 of every ten is validation."""

import re
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from sim.base.errors import UserError

from . import formats
from .recordings import Files, Recordings

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE = 128
MARKS = ("CIFAR10DVS", *CLASSES, *(f"{name}.zip" for name in CLASSES))
_FOLDERS = ("CIFAR10DVS", "CIFAR10-DVS", "cifar10dvs", "", "extract", "events_np", "download")
_ENDINGS = (".aedat4", ".aedat", ".npz")
_MEMBER_LIMIT = 1 << 30


def read(path: str | Path, member: str | None = None) -> np.ndarray:
    """Events of one file, or of a member of a zip file: EVENT [n], time 0 at the first. Raises UserError as
    `formats.read` does."""
    if member is None:
        return formats.read(path, (SIZE, SIZE), 1)[0]
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            info = archive.getinfo(member)
            if info.file_size > _MEMBER_LIMIT:
                raise UserError(f"{path}: {member!r} claims {info.file_size} bytes, at most {_MEMBER_LIMIT} are read")
            place = Path(folder, Path(member).name)
            place.write_bytes(archive.read(info))
            try:
                return formats.read(place, (SIZE, SIZE), 1)[0]
            except UserError as e:
                raise UserError(f"{path}: {member}{str(e).removeprefix(str(place))}") from None
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as e:
        raise UserError(f"{path}: {member!r} cannot be unpacked ({formats.reason(e)}); fetch the file again") from None


def load(split: str, root: str | Path) -> Recordings | None:
    """Recordings of one part; None if the files are not there."""
    for folder in _FOLDERS:
        base = Path(root, folder)
        found = [clip for label, name in enumerate(CLASSES) for clip in _part(_class(base, name), split, label)]
        if found:
            break
    else:
        return None
    return Recordings(
        Files(tuple(clip[1] for clip in found), read, tuple((clip[2],) for clip in found)),
        np.array([clip[0] for clip in found], np.int64),
        [clip[3] for clip in found],
        CLASSES,
        SIZE,
        SIZE,
    )


def _part(files, split, label):
    """(label, path, member, name) of those of a class's files that are of a part."""
    first_test = len(files) - len(files) // 10
    part = ["test" if rank >= first_test else "val" if rank % 10 == 7 else "train" for rank in range(len(files))]
    return [(label, *file) for file, its in zip(files, part) if its == split]


def _class(base, name):
    """(path, member of a zip file or None, name) of a class's recordings, by number."""
    for ending in _ENDINGS:
        files = [p for p in (base / name).glob(f"*{ending}") if not p.name.startswith(".")]
        if files:
            return sorted(((p, None, f"{name}/{p.name}") for p in files), key=_number)
    archive = base / f"{name}.zip"
    if not archive.is_file():
        return []
    try:
        with zipfile.ZipFile(archive) as f:
            members = [m for m in f.namelist() if m.lower().endswith(_ENDINGS) and not Path(m).name.startswith(".")]
    except (OSError, zipfile.BadZipFile) as e:
        raise UserError(f"{archive} cannot be unpacked ({formats.reason(e)}); fetch the file again") from None
    return sorted(((archive, m, f"{name}/{Path(m).name}") for m in members), key=_number)


def _number(file):
    name = Path(file[2])
    return int((re.findall(r"\d+", name.stem) or ["0"])[-1]), name.name

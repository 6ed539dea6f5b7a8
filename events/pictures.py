"""Sets of photographs: CIFAR-10, CIFAR-100, ImageNet. Each is read as a picture, uint8 [3, h, w], red, green and blue,
for encoders that send its pixels (`events.pixels`); or as what a simulated event camera sees of it on three saccades
(`events.saccade`).

CIFAR is read from its binary version, or from one folder a class; the Python version is a pickle, which is never
opened. Colours are brightness
to the camera: (19595 R + 38470 G + 7471 B) / 65536 (ITU-R 601, Pillow's "L").
"""

import io
import os
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.base.errors import UserError

from .recordings import Files, Recordings

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100 = tuple(
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle caterpillar cattle
    chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
    lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
    willow_tree wolf woman worm""".split()  # noqa: E501
)
CIFAR_SIZE = 32
IMAGENET_SIZE = 64
_PIXELS = CIFAR_SIZE * CIFAR_SIZE
_PICTURE_LIMIT = 1 << 26  # pixels of a photograph
_FILE_LIMIT = 1 << 28  # bytes of one
_DECODED_LIMIT = 1 << 24  # of which so many are in memory at once, two or three times over
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Record:
    """Reads one picture of a CIFAR file: `labels` bytes, of which the last is the class, then 1,024 of red, green
    and blue each, row by row. saccade: seen by the camera.
    """

    labels: int
    saccade: bool = False

    def __call__(self, path, number):
        """uint8 [3, 32, 32], or EVENT [n]. Raises UserError if the file ends before."""
        try:
            with open(path, "rb") as f:
                f.seek(number * (self.labels + 3 * _PIXELS) + self.labels)
                raw = f.read(3 * _PIXELS)
        except OSError as e:
            raise UserError(f"{path} cannot be read: {e.strerror}") from None
        if len(raw) < 3 * _PIXELS:
            raise UserError(f"{path} is truncated: it ends in picture {number}; fetch the file again")
        picture = np.frombuffer(raw, np.uint8).reshape(3, CIFAR_SIZE, CIFAR_SIZE)
        return _see(brightness(picture), f"{Path(path).stem}/{number}") if self.saccade else picture


@dataclass(frozen=True)
class Photograph:
    """Reads a picture file: its middle square, shrunk to `size` pixels. saccade: seen by the camera."""

    size: int
    saccade: bool = False

    def __call__(self, path):
        """uint8 [3, size, size], or EVENT [n]. Raises UserError for what is no picture of a sensible size."""
        from PIL import Image, ImageOps

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Of bytes in memory no more are asked for than there are, whatever a chunk says of its length.
                image = Image.open(io.BytesIO(_content(path)), formats=("PNG", "JPEG", "BMP"))
            with image:
                size = image.size
                _require(path, size, size, _PICTURE_LIMIT)
                # A JPEG is decoded no larger than it needs to be; a progressive one is held as a whole meanwhile.
                image.draft("L" if self.saccade else "RGB", (self.size, self.size))
                _require(path, size, size if image.info.get("progressive") else image.size, _DECODED_LIMIT)
                colours = image.convert("RGB")
                if self.saccade:
                    colours = colours.convert("L")
                picture = np.asarray(ImageOps.fit(colours, (self.size, self.size), Image.Resampling.BOX))
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as e:
            raise UserError(
                f"{path} is not a readable picture ({' '.join(str(e).split())[:120]}); fetch the file again"
            ) from None
        if not self.saccade:
            return np.ascontiguousarray(picture.transpose(2, 0, 1))
        return _see(picture, f"{Path(path).parent.name}/{Path(path).name}")


def _content(path):
    if os.path.getsize(path) > _FILE_LIMIT:
        raise UserError(f"{path}: more than {_FILE_LIMIT} bytes, no picture is so long; is this the right file?")
    return Path(path).read_bytes()


def _require(path, size, held, most):
    if held[0] * held[1] > most:
        raise UserError(
            f"{path}: a picture of {size[0]} x {size[1]} pixels; at most {most} are read (of a JPEG that is not"
            f" progressive {_PICTURE_LIMIT}); save it smaller"
        )


def brightness(rgb: np.ndarray) -> np.ndarray:
    """uint8 [3, h, w] -> uint8 [h, w]."""
    red, green, blue = rgb.astype(np.uint32)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def _see(picture, name):
    from . import saccade  # compiles

    return saccade.see(picture, zlib.crc32(name.encode()))


def load_cifar10(split: str, root: str | Path, saccade: Any = False) -> Recordings | None:
    """Recordings of one part, pictures or what the camera sees of them; None if the files are not there.

    Test is as published; of the training part, ranks 7 of every ten are validation.
    """
    files = "cifar-10-batches-bin", r"data_batch_\d\.bin", "test_batch.bin"
    return _cifar(split, root, files, Record(1, saccade), CIFAR10, "cifar10")


def load_cifar100(split: str, root: str | Path, saccade: Any = False) -> Recordings | None:
    """As `load_cifar10`; the 100 fine classes."""
    files = "cifar-100-binary", r"train\.bin", "test.bin"
    return _cifar(split, root, files, Record(2, saccade), CIFAR100, "cifar100")


def load_imagenet(split: str, root: str | Path, saccade: Any = False) -> Recordings | None:
    """As `load_cifar10`. Test is the published validation part, whose labels are known; of each class of the training
    part, rank 7 of every twenty is validation. Classes are the folders of the training part, by name.
    """
    base = Path(root, "imagenet")
    base = base if base.is_dir() else Path(root)
    classes = tuple(sorted(p.name for p in base.glob("train/*") if p.is_dir() and re.fullmatch(r"n\d{8}", p.name)))
    return _folders(split, base, classes, "val", Photograph(IMAGENET_SIZE, saccade), 20)


def _cifar(split, root, files, read, classes, name):
    """files: the folder, a pattern of the training files' names, the test file's. read: `Record`."""
    inside, train, test = files
    for base in (Path(root, inside), Path(root, name, inside), Path(root, name), Path(root)):
        files = (
            sorted(p for p in base.glob("*.bin") if re.fullmatch(train, p.name)) if split != "test" else [base / test]
        )
        files = [p for p in files if p.is_file()]
        if files:
            break
    else:
        return _folders(split, Path(root, name), classes, "test", Photograph(CIFAR_SIZE, read.saccade), 10)
    found = [
        (path, number, label) for path in files for number, label in enumerate(_labels(path, read.labels, len(classes)))
    ]
    if split != "test":
        found = [entry for rank, entry in enumerate(found) if (rank % 10 == 7) == (split == "val")]
    return Recordings(
        Files(tuple(path for path, _, _ in found), read, tuple((number,) for _, number, _ in found)),
        np.array([label for _, _, label in found], np.int64),
        [f"{path.stem}/{number}" for path, number, _ in found],
        classes,
        CIFAR_SIZE,
        CIFAR_SIZE,
    )


def _labels(path, labels, classes):
    """The class of every picture in a CIFAR file: list of int."""
    length = labels + 3 * _PIXELS
    try:
        size = path.stat().st_size
        if not size or size % length:
            raise UserError(f"{path} is truncated: {size} bytes is not a multiple of {length}; fetch the file again")
        found = np.memmap(path, np.uint8, "r", shape=(size // length, length))[:, labels - 1].tolist()
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}") from None
    if max(found) >= classes:
        raise UserError(
            f"{path}: picture {found.index(max(found))} is of class {max(found)}, expected 0 to {classes - 1}; is this"
            " the right file?"
        )
    return found


def _folders(split, base, classes, test, read, every):
    """Recordings from `base/train/<class>/` and `base/<test>/<class>/`, by class and name; None if there are none."""
    found = []
    for label, name in enumerate(classes):
        folder = base / (test if split == "test" else "train") / name
        files = (
            sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(_ENDINGS))
            if folder.is_dir()
            else []
        )
        found += [
            (label, folder / file)
            for rank, file in enumerate(files)
            if split == "test" or (rank % every == 7) == (split == "val")
        ]
    if not found:
        return None
    return Recordings(
        Files(tuple(path for _, path in found), read),
        np.array([label for label, _ in found], np.int64),
        [path.relative_to(base).as_posix() for _, path in found],
        classes,
        read.size,
        read.size,
    )

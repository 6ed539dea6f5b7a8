"""N-MNIST (Orchard et al. 2015): 34 x 34 pixels, ten digits, from the official tree or a part of it.

Tonic's `NMNIST` class insists on 10,000 files a part, and any import of tonic imports torch, which a machine that only
runs nets need not have; so the five-byte records are decoded here. `tonic.io.read_mnist_file` gives the same events,
and the tests hold us to it; it does not, however, notice a truncated file.

Polarity is the file's bit, 1 for ON as its authors say. In the recordings ON events lie on the trailing edge of the
moving digit, as they would for a dark digit on a bright ground (the tests show it); nothing is swapped here."""

import re
from pathlib import Path

import numpy as np

from . import formats
from .formats.fivebyte import SIZE, columns
from .recordings import Files, Recordings, as_events

CLASSES = tuple("0123456789")
MARKS = ("NMNIST", "Train", "Test", "events_np")
_FOLDERS = ("NMNIST", "", "extract", "events_np")


def read(path: str | Path) -> np.ndarray:
    """Events of one `.bin` file: EVENT [n]. Raises UserError as `columns` does, and for no event or one outside the
    sensor.
    """
    return as_events(*columns(path), SIZE, SIZE, path)


def read_any(path: str | Path) -> np.ndarray:
    """As `read`; of `.npz` files, too, with arrays x, y, p and t in microseconds."""
    if str(path).endswith(".npz"):
        (found,) = formats.Stream(path, (SIZE, SIZE), 1).columns()
        return as_events(found.x, found.y, found.p, found.t, SIZE, SIZE, path)  # times as they stand, as in the others
    return read(path)


def load(split: str, root: str | Path) -> Recordings | None:
    """Recordings of one part, below `root` or `root/NMNIST`, or as SpikingJelly leaves them, below `root/extract` or,
    as arrays, `root/events_np`; None if the files are not there.

    In each class folder, files are ranked by their number. Validation is rank 7 of every ten in `Train`. Without a
    folder `Test`, test is ranks 4 and 9 of every ten in `Train`; training is the rest."""
    for folder in _FOLDERS:
        base = Path(root, folder)
        train, test = (_ranked(_either(base, part)) for part in ("Train", "Test"))
        if train or test:
            break
    held = () if test else (4, 9)
    ranks = {"val": (7,), "test": held, "train": tuple(r for r in range(10) if r != 7 and r not in held)}[split]
    chosen = test if split == "test" and test else [entry for entry in train if entry[0] % 10 in ranks]
    if not chosen:
        return None
    return Recordings(
        Files(tuple(path for _, _, path in chosen), read_any),
        np.array([label for _, label, _ in chosen], np.int64),
        [path.relative_to(base).as_posix() for _, _, path in chosen],
        CLASSES,
        SIZE,
        SIZE,
    )


def _either(base, part):
    return next((base / name for name in (part, part.lower()) if (base / name).is_dir()), base / part)


def _ranked(folder):
    """(rank in its class, label, path) of every `<digit>/<number>.bin` (or, without any, `.npz`), by class and number;
    other names are passed over.
    """
    found = []
    for label in range(10):
        files = []
        for ending in (".bin", ".npz"):
            files = files or [p for p in (folder / str(label)).glob(f"*{ending}") if re.fullmatch(r"\d+", p.stem)]
        files.sort(key=lambda p: (int(p.stem), p.name))
        found += [(rank, label, path) for rank, path in enumerate(files)]
    return found

"""Where compiled kernels are kept, so that a changed kernel is never met in its old form.

numba looks only at the file of the function it compiles: functions and constants that are taken into it from other
files may change without its notice. So all kernels are kept in a folder named by a digest of everything that can be
compiled into one. The first place that can be written is taken: what `NUMBA_CACHE_DIR` says, this folder's
`__pycache__`, the user's cache, a folder of this user's own among the temporary ones. Where there is none, kernels are
compiled anew in each process. Kernels in a place that can only be read are copied
to the one that is taken.
"""

# numba makes its settings when it is imported.
# pyright: reportAttributeAccessIssue=false, reportPrivateImportUsage=false

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba

from . import files

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sim", "events", "train", "bench")
CONSTANTS = ("sim/integer.py", "train/dynamics/reference.py")  # files without kernels whose constants kernels use
KEPT = 4  # folders of other digests that stay: other branches of the same checkout
_COMPILES = re.compile(rb"^\s*(import numba|from numba|from [\w.]*numba_cache import)", re.M)
_NAME = "kernels-"


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`numba.njit(cache=True, **options)`, kept where the digest of all kernels says.

    numba chooses the place when it sees the function, so its setting is changed for that moment only: functions of
    others, in the same process, stay where they are.
    """

    def decorate(function):
        place = folder()
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(place or "")
        try:
            return numba.njit(cache=place is not None, **options)(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate


@cache
def folder() -> Path | None:
    """The folder for kernels of today's sources, made if need be; None where nothing can be written."""
    warm = None
    for place in _places():
        found = place / f"{_NAME}{digest()}"
        try:
            new = not found.exists()
            found.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=found).close()
        except OSError:
            if warm is None and _is_warm(found):
                warm = found
            continue
        if new:
            _tidy(place, found)
        if warm is not None and not _is_warm(found):
            _copy(warm, found)
        return found
    return None


def _is_warm(place: Path) -> bool:
    """Whether there are compiled kernels in a folder."""
    try:
        return next(place.rglob("*.nbi"), None) is not None
    except OSError:
        return False


def _copy(warm: Path, place: Path) -> None:
    """Kernels from a folder that numba cannot take them from, as it must be able to write there; the index of a kernel,
    by which numba finds it, last."""
    for path in sorted((p for p in warm.rglob("*") if p.suffix in (".nbc", ".nbi")), key=lambda p: p.suffix):
        target = place / path.relative_to(warm)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            files.write(target, path.read_bytes())
        except (OSError, files.CannotWrite):  # then it is compiled
            return


@cache
def digest(root: Path = ROOT) -> str:
    """16 hex digits over the names and contents of `sources(root)`."""
    total = hashlib.sha256()
    for path in sources(root):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def sources(root: Path = ROOT) -> list[Path]:
    """All files whose code or constants can be part of a kernel, in order."""
    found = [root / name for name in CONSTANTS if (root / name).is_file()]
    for package in PACKAGES:
        found += [path for path in (root / package).rglob("*.py") if _COMPILES.search(path.read_bytes())]
    return sorted(set(found))


def _places() -> Iterator[Path]:
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        yield Path(given)
    yield Path(__file__).parent / "__pycache__"
    try:
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "smolmamba-loihi")
    except RuntimeError:  # no home
        pass
    private = _private()
    if private is not None:
        yield private


def _private() -> Path | None:
    """A folder among the temporary ones that nobody else can write to: what lies in a cache is executed."""
    path = Path(tempfile.gettempdir(), f"smolmamba-loihi-{os.getuid() if hasattr(os, 'getuid') else 'user'}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        return None
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        return None
    return path


def _tidy(place: Path, ours: Path) -> None:
    """Removes the folders of older sources, but the last few."""
    try:
        others = sorted((p for p in place.glob(f"{_NAME}*") if p != ours), key=lambda p: p.stat().st_mtime)
    except OSError:  # another process tidies
        return
    for old in others[: max(len(others) - KEPT, 0)]:
        shutil.rmtree(old, ignore_errors=True)

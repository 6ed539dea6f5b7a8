"""Arrays in .npy files, trusting nothing: mapped, never unpickled."""

import lzma
import os
import struct
import tokenize
import zipfile
import zlib

import numpy as np

from .errors import UserError
from .memory import require_solid

# What numpy's and Python's readers raise on broken files; memory that runs out is no fault of a file's.
BROKEN = (
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError, OverflowError, RecursionError),
    *(SyntaxError, TypeError, KeyError, IndexError, AttributeError, struct.error, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


def mapped(path: str | os.PathLike) -> np.ndarray:
    """An array of numbers in a .npy file, mapped and not read: a header that claims more than the file holds is refused
    before anything is allocated.

    Raises:
        UserError: no such file, another format, not whole. The text is the reason alone, without the name.
    """
    try:
        require_solid(path)
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except UserError as e:
        raise UserError(str(e).removeprefix(f"{path}: ")) from None
    except BROKEN as e:
        lines = str(getattr(e, "strerror", None) or e).splitlines()
        raise UserError(" ".join((lines or [""])[0].split())[:120] or type(e).__name__) from None
    if not isinstance(found, np.ndarray):
        raise UserError("holds several arrays")
    return found

"""Arrays in .npy files, trusting nothing: mapped, never unpickled."""

import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from typing import IO

import numpy as np

from .errors import UserError
from .memory import require_solid

# What numpy's and Python's readers raise on broken files; memory that runs out is no fault of a file's.
BROKEN = (
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError, OverflowError, RecursionError),
    *(SyntaxError, TypeError, KeyError, IndexError, AttributeError, struct.error, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


def header(f: IO[bytes]) -> tuple[tuple, np.dtype]:
    """(shape, type) that the header of an array in .npy format says.

    Raises:
        ValueError, and others of `BROKEN`: no such header.
    """
    version = np.lib.format.read_magic(f)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(f)
    except MemoryError:  # of Python's parser, on brackets in brackets
        shape = None
    if shape is None:
        raise ValueError("its header is nested too deeply")
    return shape, dtype


def mapped(path: str | os.PathLike) -> np.ndarray:
    """An array of numbers in a .npy file, mapped and not read: a header that claims more than the file holds is refused
    before anything is allocated.

    Raises:
        UserError: no such file, another format, not whole. The text is the reason alone, without the name.
    """
    try:
        require_solid(path)
        with open(path, "rb") as f:
            if f.read(2) == b"\x93N":
                f.seek(0)
                header(f)
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except UserError as e:
        raise UserError(str(e).removeprefix(f"{path}: ")) from None
    except BROKEN as e:
        lines = str(getattr(e, "strerror", None) or e).splitlines()
        raise UserError(" ".join((lines or [""])[0].split())[:120] or type(e).__name__) from None
    if not isinstance(found, np.ndarray):
        raise UserError("holds several arrays")
    return found

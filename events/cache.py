"""What is worth keeping from one run to the next, below the data folder: frames, packed to bits, pictures, and what
reading every file once has shown.

Everything is keyed by a digest of the files' names, sizes and times of change and of what is done with them, so that a
changed file or encoder makes a new entry. The folder may be deleted at any time."""

import errno
import hashlib
import os
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.base import files, locks, npy, seals
from sim.base.console import say
from sim.base.errors import UserError

from .encoder import Encoder
from .recordings import Files, Recordings

CHECK = 4  # bytes of a row's checksum, CRC-32
_AHEAD = 64  # recordings that are read before they are asked for
_VERSION = 2  # of what readers and simulated cameras make of a file: one more when that changes
_warned = set()  # folders of which it has been said that they cannot be written


class TokenStreams(Sequence):
    """The token streams of recordings, made from their packed frames or their pictures when they are asked for.

    Index with a slice or an array of numbers for a `sim.net.tokens.Stream` of those samples, with a number for one of
    one."""

    def __init__(self, packed, encoder, numbers=None, mend=None):
        """
        Args:
            packed: uint8 [m, ceil(T * 2 * H * W / 8)], `np.packbits` of each recording's frames; of pictures [m, 3 * H
                * W], the pictures; may be mapped from a file.
            encoder: `Encoder`.
            numbers: which rows of `packed` these are, in this order; all by default.
            mend: where each row of `packed` has `CHECK` bytes more, its checksum: a function that makes the row with
                its number anew, called for one that does not match it.
        """
        self._packed, self.encoder, self._mend = packed, encoder, mend
        self._numbers = np.arange(len(packed)) if numbers is None else np.asarray(numbers)
        self._shape = encoder.frames, encoder.planes, *encoder.frame_shape

    def __len__(self):
        return len(self._numbers)

    def only(self, numbers: Sequence[int]) -> "TokenStreams":
        """Those with the given numbers, in this order; nothing is copied."""
        return TokenStreams(self._packed, self.encoder, self._numbers[np.asarray(numbers, np.int64)], self._mend)

    def __getitem__(self, index):
        frames = self.frames(index)
        return self.encoder.streams(frames if frames.ndim == 5 else frames[None])

    def frames(self, index: Any) -> np.ndarray:
        """As indexing, before it is cut into tokens: uint8 [T, planes, H, W] or [n, T, planes, H, W]."""
        if self.encoder.message_bits:
            pictures = self.pictures(index)
            found = self.encoder.frames_of_all(pictures if pictures.ndim == 4 else pictures[None])
            return found if pictures.ndim == 4 else found[0]
        packed = self._rows(index)
        return np.unpackbits(packed, axis=-1, count=int(np.prod(self._shape))).reshape(*packed.shape[:-1], *self._shape)

    def pictures(self, index: Any) -> Any:
        """The pictures that an encoder of pictures reads: uint8 [3, H, W] or [n, 3, H, W]."""
        kept = self._rows(index)
        return kept.reshape(*kept.shape[:-1], *self._shape[1:])

    def _rows(self, index):
        """What is kept of recordings, uint8 [.., bytes], whole."""
        numbers = self._numbers[index]
        packed = np.asarray(self._packed[numbers])
        return packed if self._mend is None else _checked(packed, numbers, self._mend)


def _checked(packed, numbers, mend):
    """The rows without their checksums; those that do not match are made anew."""
    rows = packed.reshape(-1, packed.shape[-1])
    wrong = [i for i, row in enumerate(rows) if _checksum(row[:-CHECK]) != row[-CHECK:].tobytes()]
    if wrong:
        rows = np.array(rows)
        for i in wrong:
            rows[i] = np.frombuffer(mend(int(np.ravel(numbers)[i])), np.uint8)
    return rows.reshape(packed.shape)[..., :-CHECK]


def _checksum(row) -> bytes:
    return zlib.crc32(np.ascontiguousarray(row).data).to_bytes(CHECK, "little")


def token_streams(recordings: Recordings, encoder: Encoder, progress: bool = True) -> TokenStreams:
    """`TokenStreams` of one part of a data set.

    The frames of files are written to the cache as they are made, once, and mapped from then on. Where there is nowhere
    to write, which is said in one line on standard error, and for recordings that are not from files, they are packed
    in memory (a tenth to a hundredth of what the streams would take).

    Args:
        recordings: as `events.load` gives them.
        progress: show how far it is, on a terminal, while files are read.

    Raises:
        UserError: a file is broken, or of another sensor than the encoder's.
    """
    pixels = encoder.planes * encoder.frame_shape[0] * encoder.frame_shape[1]
    size = pixels if encoder.message_bits else -(-encoder.frames * pixels // 8)
    what = "pictures" if encoder.message_bits else "frames"
    path = _place(recordings, what, encoder, ".npy")
    if path is not None:
        shape = len(recordings), size + CHECK
        pack = _packer(recordings, encoder)

        def save(f):
            _save(f, shape, (_with_checksum(row) for row in each(recordings, what, pack, progress)))

        def mend(i):
            _say_damaged(path)
            return _with_checksum(pack(i))

        kept = _mapped(path, shape)
        if kept is None:
            kept = _write(path, save, lambda: _mapped(path, shape) is not None) and _mapped(path, shape)
        if kept is not None:
            return TokenStreams(kept, encoder, mend=mend)
    packed = np.empty((len(recordings), size), np.uint8)
    for i, row in enumerate(each(recordings, what, _packer(recordings, encoder), progress)):
        packed[i] = row
    return TokenStreams(packed, encoder)


def _with_checksum(row) -> bytes:
    return row.tobytes() + _checksum(row)


def _say_damaged(path):
    """A file of the cache has other bytes than were written: it goes, and is made anew the next time."""
    path.unlink(missing_ok=True)
    if path not in _warned:
        _warned.add(path)
        say(
            f"warning: {path}: damaged on the disk; what is damaged is made anew from the recordings, and the file is"
            " removed",
            file=sys.stderr,
        )


def remembered(recordings: Recordings, what: Any, make: Callable[[], Any], sound: Callable[[Any], bool]) -> Any:
    """The JSON value `make()`, kept for as long as the files of some recordings stay the same; a kept one that is
    damaged or not `sound(value)` is made anew.
    """
    path = _place(recordings, what, None, ".json")
    if path is not None and path.is_file():
        try:
            value = seals.from_json(path.read_bytes(), path, "")["value"]
            if sound(value):
                return value
        except (OSError, seals.Damaged, KeyError, TypeError):
            pass
    value = make()
    if path is not None:
        _write(path, lambda f: f.write(seals.to_json({"value": value}).encode()))
    return value


def each(recordings: Recordings, text: str, work: Callable[[int], Any], progress: bool = True) -> Iterator:
    """`work(i)` for the number i of every recording, in order.

    Files are read by as many threads as there are cores, which helps where a library or a simulated camera lets the
    others run, and with a bar on standard error if that is a terminal."""
    numbers = range(len(recordings))
    if not isinstance(recordings.events, Files):
        yield from map(work, numbers)
        return
    if progress and sys.stderr.isatty():
        from sim.base.console import track  # brings rich along

        numbers = track(numbers, text)
    ahead = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for i in numbers:
                if len(ahead) == _AHEAD:
                    yield ahead.popleft().result()
                ahead.append(pool.submit(work, i))
            while ahead:
                yield ahead.popleft().result()
        finally:  # what has not begun need not
            pool.shutdown(wait=False, cancel_futures=True)


def _save(f, shape, rows):
    """Writes an .npy file row by row (a mapped file would end the program, not the write, where the disk is full)."""
    np.lib.format.write_array_header_1_0(f, {"descr": "|u1", "fortran_order": False, "shape": shape})
    for row in rows:
        f.write(row)


def _packer(recordings, encoder):
    """A function from a recording's number to its packed frames, or its picture, uint8 [bytes]."""

    def pack(i):
        recording = recordings.events[i]
        try:
            frames = encoder.frames_of(recording)
            return recording.reshape(-1) if encoder.message_bits else np.packbits(frames.reshape(-1))
        except UserError as e:
            raise UserError(f"{recordings.names[i]}: {e}") from None

    return pack


def _place(recordings, what, encoder, ending):
    """Where to keep something; None if the recordings are not from files below a data folder."""
    files = recordings.events
    if not isinstance(files, Files) or not recordings.root or not len(files):
        return None
    digest = hashlib.sha256(
        repr((_VERSION, what, encoder and encoder.drawing(), _reader(files.read), files.parts)).encode()
    )
    known = {}
    for name, path in zip(recordings.names, files.paths):
        if path not in known:
            try:
                found = os.stat(path)
            except OSError as e:
                raise UserError(f"{path} cannot be read: {e.strerror}") from None
            known[path] = found.st_size, found.st_mtime_ns
        digest.update(repr((name, known[path])).encode())
    return _folder(recordings.root) / f"{what}-{digest.hexdigest()[:32]}{ending}"


def _say(text):
    say(text, file=sys.stderr)


def _reader(read):
    return repr(read) if is_dataclass(read) else f"{read.__module__}.{read.__qualname__}"


def _folder(root):
    home = os.environ.get("XDG_CACHE_HOME")
    return Path(home, "smolmamba-loihi") if home else Path(root, ".cache")


def _mapped(path, shape):
    """The packed frames in a file, or None if it is not there or not what it should be."""
    try:
        packed = npy.mapped(path)
    except UserError:
        return None
    return packed if packed.shape == shape and packed.dtype == np.uint8 else None


def _write(path, fill, there=lambda: False, seal=False):
    """Lets `fill(open file)` write a file that appears whole or not at all. Where another process is at it, waits, and
    then does so only if the file is not `there()`. seal: put one behind what was written.

    True if it is there; None, and one line, if the folder cannot be written.
    """
    try:
        above = path.parent.parent
        if (
            not path.parent.exists() and above.is_dir() and not above.stat().st_mode & 0o222
        ):  # holds for root, too, whom the system would let write
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        path.parent.mkdir(parents=True, exist_ok=True)
        with locks.in_turn(path.parent, "reads these recordings", f".{path.stem}.lock", _say):
            if not there():
                files.fill(path, fill, seal)
        return True
    except (OSError, files.CannotWrite) as e:
        if path.parent not in _warned:
            _warned.add(path.parent)
            reason = e.reason if isinstance(e, files.CannotWrite) else e.strerror or e
            say(
                f"warning: {path.parent}: cannot keep what was read there ({reason}), so it is read again next"
                " time; set XDG_CACHE_HOME to a folder that can be written",
                file=sys.stderr,
            )
        return None

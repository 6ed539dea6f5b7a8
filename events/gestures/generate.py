"""`gestures`: a synthetic twin of DVS128 Gesture, written in its layout and read by the same code.

Random people (`gesture_body`) carry out the eleven gestures (`gesture_moves`) before a simulated event camera
(`gesture_camera`). Every clip is made alone from four numbers (seed, user, light, label), so any part of a set can be
made again, in any order, on any number of threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sim.base import files, locks, seals
from sim.base.errors import UserError
from sim.base.signals import say_when_ended

from .. import dvs128
from ..recordings import Recordings

SECONDS, RATE = 1.45, 400  # a clip's length (that of published excerpts of the real set), and pictures a second
LIGHTS = ("natural", "led")
SMALLEST = 3 * len(dvs128.CLASSES)  # one of each class for training, validation and test
_TEST_SHARE = 6 / 29  # of the users: as IBM split theirs
_STAMP = "gestures.json"  # what the folder holds; written first, so that an interrupted run is known as one
_VERSION = 1  # of the generator: other numbers from the same seed need another one


def clip(seed: int, user: int, light: int, label: int) -> np.ndarray:
    """One clip.

    Args:
        seed, user: integers from 0, which draw the person.
        light: index into LIGHTS; with the two above it draws the place, the light and the camera.
        label: index into `dvs128.CLASSES`; with the three above it draws the movement.

    Returns:
        float32 [n, 4], sorted by time: x, y, polarity, milliseconds. The same on every run of one machine; elsewhere
            the last bits of
        sines and exponentials may move single events.
    """
    from . import body, camera, moves  # numba compiles: not before it is needed

    # RandomState, because numpy promises its numbers for all versions.
    who = body.subject(np.random.RandomState([seed, user]))
    where = body.scene(np.random.RandomState([seed, user, light]))
    random = np.random.RandomState([seed, user, light, label])
    t = np.arange(round(SECONDS * RATE) + 1) / RATE
    return camera.record(where, random, body.shapes(who, where, moves.MOVES[label], random, t), SECONDS, RATE)


def plan(clips: int) -> list[tuple[str, int, int, int]]:
    """What a set of `clips` clips consists of.

    Users have two sessions of eleven clips, under two lights; those with the highest numbers are for testing, about one
    in five.

    Returns:
        list of (path relative to the folder, user, light, label), `clips` long; users count from 1.

    Raises:
        UserError: fewer than `SMALLEST`.
    """
    if clips < SMALLEST:
        raise UserError(
            f"{clips} clips are too few for training, validation and test of {len(dvs128.CLASSES)} classes; ask for"
            f" {SMALLEST} or more"
        )
    classes, lights = len(dvs128.CLASSES), len(LIGHTS)
    users = max(3, -(-clips // (classes * lights)))
    test = max(1, round(users * _TEST_SHARE))
    everything = [
        (light, user, label) for light in range(lights) for user in range(1, users + 1) for label in range(classes)
    ]
    return [
        (
            (
                f"DVSGesture/ibmGesture{'Test' if user > users - test else 'Train'}/user{user:02d}_{LIGHTS[light]}/{label}.npy"  # noqa: E501
            ),
            user,
            light,
            label,
        )
        for light, user, label in everything[:clips]
    ]


def write(
    folder: str | Path, clips: int, seed: int, workers: int | None = None, done: Callable[[], object] = lambda: None
) -> None:
    """Writes a set as DVS128 Gesture lies on disk:
    `folder/DVSGesture/ibmGesture{Train,Test}/userNN_<light>/<label>.npy`.

    Interrupted and called again with the same numbers, it makes what is missing.

    Args:
        folder: made if it does not exist.
        clips, seed: how many, and which.
        workers: threads; by default one a core.
        done: called after every clip, on any thread.

    Raises:
        UserError: too few clips, the folder holds something else, or cannot be written.
    """
    todo, folder = plan(clips), Path(folder)
    stamp = {"clips": clips, "seed": seed, "version": _VERSION}
    try:
        with locks.held(folder, "writes gestures", "wait for it, or choose another folder"):
            _write_all(folder, stamp, todo, workers, done)
    except OSError as e:
        raise UserError(f"cannot write to {os.fspath(folder)!r}: {e.strerror or e}; choose another folder") from None


def _write_all(folder, stamp, todo, workers, done):
    _claim(folder, stamp)
    seed = stamp["seed"]
    say_when_ended(lambda: f"{folder}: what is finished is kept; the same command goes on from there")
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        running = [
            pool.submit(_write_one, folder / path, seed, user, light, label, done) for path, user, light, label in todo
        ]
        try:
            for job in running:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _write_stamp(folder, stamp | {"finished": True})


def _claim(folder, stamp):
    """Makes the folder ours, or raises UserError."""
    found = _read_stamp(folder)
    if found is None and (folder / "DVSGesture").exists():
        raise UserError(
            f"{os.fspath(folder)!r} holds recordings that this command did not write; choose another folder"
        )
    if found is not None and {key: found.get(key) for key in stamp} != stamp:
        raise UserError(
            f"{os.fspath(folder)!r} holds {found.get('clips')} clips of seed {found.get('seed')} (generator"
            f" {found.get('version')}), which are kept; choose another folder or remove it"
        )
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        _write_stamp(folder, stamp | {"finished": False})


def _read_stamp(folder):
    """What `_write_stamp` wrote; None if there is no such file."""
    path = folder / _STAMP
    try:
        with open(path, encoding="utf-8") as f:
            found = seals.from_json(f.read(10_000), path, "remove the folder and generate it again")
    except FileNotFoundError:
        return None
    except (seals.Damaged, ValueError, NotADirectoryError, IsADirectoryError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{os.fspath(path)!r} cannot be read; remove the folder and generate it again")
    return found


def _write_stamp(folder, stamp):
    files.write(folder / _STAMP, seals.to_json(stamp))


def _write_one(path, seed, user, light, label, done):
    if not (path.exists() and seals.is_whole(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        made = clip(seed, user, light, label)
        files.fill(path, lambda f: np.save(f, made), seal=True)
    done()


def load(split: str, root: str | Path) -> Recordings | None:
    """Recordings of one part, below `root/gestures`; None if the files are not there.

    Raises:
        UserError: the set is only partly written.
    """
    folder = Path(root, "gestures")
    stamp = _read_stamp(folder)
    if stamp is not None and not stamp.get("finished"):
        raise UserError(
            f"{os.fspath(folder)!r} is unfinished; run again: python -m events gestures --out {folder} "
            f"--clips {stamp.get('clips')} --seed {stamp.get('seed')}"
        )
    return dvs128.load(split, folder)


def preview(seed: int, frames: int = 12, frame_ms: float = 120, bright: float = 3) -> np.ndarray:
    """Picture of one clip of every class: a row a class, a column a frame, ON red, OFF blue, both pink.

    Returns:
        uint8 [11 * 128, frames * 128, 3].
    """
    size = dvs128.SIZE
    rows = []
    for label in range(len(dvs128.CLASSES)):
        counts = np.zeros((frames, 2, size, size), np.float32)
        x, y, p, frame = (
            column.astype(np.int64)
            for column in (clip(seed, 1, 0, label) / np.array([1, 1, 1, frame_ms], np.float32)).T
        )
        inside = frame < frames
        np.add.at(counts, (frame[inside], p[inside], y[inside], x[inside]), 1)
        off, on = np.minimum(counts / bright, 1).swapaxes(0, 1)
        picture = np.stack([on, (on + off) / 4, off], -1)
        picture[:, 0], picture[:, :, 0] = 0.3, 0.3
        rows.append(np.concatenate(list(picture), 1))
    return (255 * np.concatenate(rows)).astype(np.uint8)

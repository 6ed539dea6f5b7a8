"""Which recordings a folder holds, of which class, and in which part each is: whole recordings, or all of a session,
are in one part, never clips of one in two."""

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sim.base.console import say
from sim.base.errors import UserError

from . import formats, labels
from .folder_settings import NAME as SETTINGS
from .folder_settings import Settings

PARTS = ("train", "val", "test")
LAYOUT = (
    "<class>/<file> or <class>/<session>/<file>, at least two classes of three files, or train/<class>/<file>, and val"
    f" and test likewise, or files and {labels.NAME} (file,start,end,label); files end in {', '.join(formats.FORMATS)};"
    f" {SETTINGS} may say height, width, time_unit_us, clip_ms, stride_ms and sessions"
)
_TEST, _VAL = 5, 10  # one of so many
_warned: set[tuple[Path, str]] = set()  # folders and parts of which it has been said
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")


@dataclass(frozen=True)
class Entry:
    """One recording of a class, or a labelled window of one.

    Attributes:
        path: the file. label: index of its class. session: what it shares with others; None if nothing.
        begin, end: microseconds from its first event; None for all of it.
    """

    path: Path
    label: int
    session: str | None = None
    begin: int | None = None
    end: int | None = None


def find(root: Path, settings: Settings) -> tuple[dict[str, list[Entry]], tuple]:
    """({part: entries}, classes) of a folder.

    Raises:
        UserError: what is there is no such set; the text says what was found and the step that mends it.
    """
    given = {part: root / part for part in PARTS if (root / part).is_dir()}
    if (root / labels.NAME).is_file():
        return _by_table(root, settings)
    if given and "train" not in given:
        raise UserError(f"{root} has a folder {next(iter(given))!r} but none named 'train'; expected there: {LAYOUT}")
    listed = {part: _classes(folder) for part, folder in (given or {"train": root}).items()}
    classes = tuple(listed["train"])
    if len(classes) < 2:
        folder = given.get("train", root)
        raise UserError(f"{folder} holds {_instead(folder, classes)}; expected there: {LAYOUT}")
    for part, found in listed.items():
        if unknown := sorted(set(found) - set(classes)):
            raise UserError(
                f"{root / part} has a class {unknown[0]!r} that 'train' has not; expected the same folders in every"
                " part"
            )
    parts: dict[str, list[Entry]] = {part: [] for part in PARTS}
    for part, found in listed.items():
        for label, name in enumerate(classes):
            parts[part] += [
                Entry(path, label, settings.session(path.relative_to(root).as_posix()) or session)
                for path, session in found.get(name, [])
            ]
    held = [part for part in ("test", "val") if part not in listed]
    parts |= _split(parts["train"], held, classes, root)
    _warn_of_shared(parts, root)
    return parts, classes


def _by_table(root, settings):
    lines = labels.read(root)
    classes = tuple(sorted({label for _, label, _, _ in lines}))
    if len(classes) < 2:
        raise UserError(f"{root / labels.NAME} has {len(classes)} labels, expected at least two")
    # A recording with several labels stays in one part: it is its own session.
    entries = [
        Entry(
            path,
            classes.index(label),
            settings.session(path.relative_to(root).as_posix()) or f"file {path.relative_to(root).as_posix()}",
            begin,
            end,
        )
        for path, label, begin, end in lines
    ]
    return {part: [] for part in PARTS} | _split(entries, ["test", "val"], classes, root), classes


def _classes(folder):
    """{class: [(path, session)]}, sorted by name; a folder in a class is a session."""
    found = {}
    for sub in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        files = sorted((p, None) for p in sub.iterdir() if formats.is_recording(p) and p.is_file())
        for session in sorted(p for p in sub.iterdir() if p.is_dir() and not p.name.startswith(".")):
            files += sorted((p, session.name) for p in session.iterdir() if formats.is_recording(p) and p.is_file())
        if not files:
            raise UserError(f"{sub} holds no recordings (files that end in .npy, ...): {_what_is_in(sub)}")
        found[sub.name] = files
    return found


def _what_is_in(folder):
    """What a folder without recordings holds, and what to do about it."""
    names = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))[:1000]
    if not names:
        return "it is empty; fill it or remove it"
    packed = [p for p in names if p.suffix.lower() in _PACKED]
    if packed:
        return f"it holds {packed[0].name}, which is packed; unpack it there"
    deep = [p for p in names if formats.is_recording(p)]
    if deep:
        return f"they lie deeper, in {deep[0].parent.relative_to(folder)}; move them up, to one folder a class"
    endings = sorted({p.suffix.lower() or p.name for p in names})
    return f"it holds files that end in {', '.join(endings[:5])}; expected {', '.join(formats.FORMATS)}"


def _instead(folder, classes):
    """What is there instead of two folders of classes."""
    if classes:
        return f"one class only, {classes[0]!r}"
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    packed = [p for p in files if p.suffix.lower() in _PACKED]
    if any(formats.is_recording(p) for p in files):
        return "recordings but no folders of classes: is it the folder of one class?"
    if packed:
        return f"no folders of classes but {packed[0].name}, which is packed: unpack it there"
    return "no folders of classes"


def _split(entries: list[Entry], held: list[str], classes: tuple, root: Path) -> dict[str, list[Entry]]:
    """{part: entries}: `held` are taken out of the training ones, a fifth for test and a tenth for validation, at least
    one each. Of each class by recording; by session, over all classes, where there are sessions."""
    if any(entry.session is not None for entry in entries):
        chosen = _split_sessions(entries, held, classes, root)
    else:
        chosen = {}
        for label, name in enumerate(classes):
            files = [entry.path for entry in entries if entry.label == label]
            if len(files) <= len(held):
                where = files[0].parent if files else root
                raise UserError(
                    f"class {name!r} has {len(files)} recordings in {where}, too few to take {' and '.join(held)} out"
                    f" of them; at least {len(held) + 1} are needed"
                )
            chosen |= _choose([(path, path.name) for path in files], held)
    out: dict[str, list[Entry]] = {part: [] for part in (*held, "train")}
    for entry in sorted(entries, key=lambda e: (e.label, e.path, e.begin or 0)):
        out[chosen.get(_group(entry), "train")].append(entry)
    return out


def _group(entry):
    return entry.path if entry.session is None else entry.session


def _choose(groups: Iterable[tuple], held: list[str]) -> dict:
    """{group: part} of those that are held out of (group, name)."""
    # By a digest of the name: the same on every machine, of no order in time or number, and one that is added moves few
    # others.
    order = sorted(groups, key=lambda group: hashlib.sha256(group[1].encode()).digest())
    out, begin = {}, 0
    for part in held:
        n = max(1, len(order) // {"test": _TEST, "val": _VAL}[part])
        out |= {group: part for group, _ in order[begin : begin + n]}
        begin += n
    return out


def _split_sessions(entries, held, classes, root):
    groups = sorted({(_group(e), e.path.name if e.session is None else e.session) for e in entries}, key=str)
    if len(groups) <= len(held):
        raise UserError(
            f"{root} holds {len(groups)} sessions or long recordings, too few to take {' and '.join(held)} out of them;"
            f" at least {len(held) + 1} are needed, or folders train, val and test"
        )
    chosen = _choose(groups, held)
    left = {e.label for e in entries if _group(e) not in chosen}
    for label, name in enumerate(classes):
        if label not in left:
            raise UserError(
                f"{root}: all of class {name!r} is in sessions that are held out for {' and '.join(held)}; name train,"
                " val and test by folders, or record it in another session, too"
            )
    return chosen


def _warn_of_shared(parts, root):
    """Says where a part that judges shares a recording, or a session, with training."""
    train = parts["train"]
    sessions = {e.session for e in train} - {None}
    sizes = {}
    for entry in train:
        sizes.setdefault((entry.path.name, entry.path.stat().st_size), entry.path)
    for part in ("val", "test"):
        for entry in parts[part]:
            twin = sizes.get((entry.path.name, entry.path.stat().st_size))
            if entry.session in sessions:
                what = f"session {entry.session!r} is in train, too"
            elif twin is not None and twin != entry.path and _digest(twin) == _digest(entry.path):
                what = f"{entry.path.relative_to(root)} is the same recording as {twin.relative_to(root)}"
            else:
                continue
            if (root, part) in _warned:
                break
            _warned.add((root, part))
            say(
                f"warning: {root}: part {part} shares recordings with training: {what}; its accuracy says little",
                file=sys.stderr,
            )
            break


def _digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read(1 << 20)).digest()

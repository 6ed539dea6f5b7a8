"""What is in a data folder in place of a data set's files, and the step that mends it."""

from itertools import islice
from pathlib import Path

PACKED = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")
_MOST = 5000  # names that are looked at
_NAMED = 5


def instead(root: str | Path, marks: tuple[str, ...]) -> str:
    """A clause for a message, such as "it holds train.zip, which is packed; unpack it there".

    Args:
        marks: names of files and folders by which the set is known.
    """
    root = Path(root)
    if not root.is_dir():
        return "there is no such folder"
    if root.name in marks:
        return f"this is the folder {root.name} itself; name the one above it, {str(root.parent)!r}"
    lower = {mark.lower(): mark for mark in marks}
    names = [p for p in islice(_below(root), _MOST) if not p.name.startswith(".")]
    for path in names:
        if path.name in marks and path.parent != root:
            return f"{path.relative_to(root)} is there; name its folder, {str(path.parent)!r}"
    for path in names:
        mark = lower.get(path.name.lower())
        if mark and path.name != mark:
            return f"{path.relative_to(root)} is there; rename it to {mark}"
    packed = next((p for p in names if p.suffix.lower() in PACKED), None)
    if packed is not None:
        return f"{packed.relative_to(root)} is there, packed; unpack it"
    here = sorted(p.name for p in root.iterdir() if not p.name.startswith("."))
    if not here:
        return "it is empty"
    more = f" and {len(here) - _NAMED} more" if len(here) > _NAMED else ""
    return f"it holds {', '.join(here[:_NAMED])}{more}"


def _below(root):
    """What is up to three levels down, level by level."""
    for pattern in ("*", "*/*", "*/*/*"):
        yield from sorted(islice(root.glob(pattern), _MOST))

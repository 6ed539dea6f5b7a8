"""`python -m events import`: a tree of recordings in one layout, which is read fastest."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from sim.base import files, locks, seals
from sim.base.errors import UserError
from sim.base.signals import say_when_ended

from . import clips, formats, labels
from .folder_settings import NAME as SETTINGS


def convert(
    src: str | Path,
    out: str | Path,
    unit_us: float | None = None,
    progress: Callable[..., object] = lambda done, total: None,
) -> dict:
    """Writes every recording below `src` as .npy of EVENT, under its own name and `.npy`, to `out`.

    Returns:
        written, kept: how many files; events: in those that were written; broken: a line for each that cannot be read.

    Raises:
        UserError: no folder, nothing to convert, `out` lies in `src`, or cannot be written.
    """
    src, out = Path(src), Path(out)
    if not src.is_dir():
        raise UserError(f"no folder {str(src)!r}")
    if out.resolve().is_relative_to(src.resolve()):
        raise UserError(f"{out} lies in {src}, and would be read with it the next time; name another folder")
    settings = _settings(src)
    unit_us = unit_us or settings.get("time_unit_us")
    found = sorted(p for p in src.rglob("*") if p.is_file() and formats.is_recording(p) and p.name != labels.NAME)
    found = [p for p in found if not any(part.startswith(".") for part in p.relative_to(src).parts)]
    if not found:
        raise UserError(f"{src} holds no recordings; expected files that end in {', '.join(formats.FORMATS)}")
    say_when_ended(lambda: f"{out}: what is finished is kept; the same command goes on from there")
    with locks.held(out, "imports", "wait for it, or name another folder"):
        return _all(src, out, unit_us, found, settings, progress)


def _all(src, out, unit_us, found, settings, progress):
    facts, sizes = {"written": 0, "kept": 0, "events": 0, "broken": []}, set()
    for done, path in enumerate(found):
        progress(done, len(found))
        _one(path, out / path.relative_to(src).with_name(f"{path.name}.npy"), unit_us, facts, sizes)
    progress(len(found), len(found))
    _rest(src, out, settings, sizes)
    return facts


def _one(path, target, unit_us, facts, sizes):
    if target.is_file() and target.stat().st_mtime_ns >= path.stat().st_mtime_ns and seals.is_whole(target):
        facts["kept"] += 1
        try:
            sizes.add(formats.Stream(path, None, unit_us).size)
        except UserError:
            sizes.add(None)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.writing(target, seal=True) as f:
            stream, n = clips.write(f, path, unit_us)
            sizes.add(stream.size)
    except files.CannotWrite:
        raise
    except OSError as e:
        raise UserError(f"{target}: cannot write ({e.strerror or e})") from None
    except UserError as e:
        facts["broken"].append(str(e))
        return
    facts["written"] += 1
    facts["events"] += n


def _settings(src):
    path = src / SETTINGS
    if not path.is_file():
        return {}
    from . import folder_settings

    folder_settings.read(src)  # complains
    return json.loads(path.read_text(encoding="utf-8"))


def _rest(src, out, settings, sizes):
    """folder.json with the sensor that the files named and .npy does not, without the unit; the table of labels with
    the new names."""
    settings = {key: value for key, value in settings.items() if key != "time_unit_us"}
    if "sessions" in settings:
        settings["sessions"] = {k: [*v, *(f"{p}.npy" for p in v)] for k, v in settings["sessions"].items()}
    if "width" not in settings and len(sizes) == 1 and None not in sizes:
        settings["width"], settings["height"] = next(iter(sizes))
    if settings:
        files.write(out / SETTINGS, json.dumps(settings, indent=1) + "\n")
    table = src / labels.NAME
    if table.is_file():
        labels.read(src)  # complains
        lines = table.read_text(encoding="utf-8-sig").splitlines()
        new = [lines[0]] + [_renamed(line) for line in lines[1:] if line.strip()]
        files.write(out / labels.NAME, "\n".join(new) + "\n")


def _renamed(line):
    cells = next(csv.reader([line]))
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([f"{cells[0].strip()}.npy", *cells[1:]])
    return out.getvalue()

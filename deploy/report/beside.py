"""What training and export have left beside a net: the log, the record of the export, curves over energy targets."""

import math
from pathlib import Path
from typing import Any

from sim.base import lines, seals
from sim.base.errors import UserError
from sim.netx import export_record

from .content import Beside, Curve, Point

LOG, CURVE = "log.jsonl", "curve.json"
LARGEST = 1 << 26  # bytes of a file that is read


def beside(net: str | Path, digest: str) -> Beside:
    """Reads what is there.

    Raises:
        UserError: a file is damaged.
    """
    folder, record = Path(net).parent, export_record(net)
    log = ()
    if (folder / LOG).is_file():
        log = tuple(_rows(folder / LOG))
    export = _json(record) if record.is_file() else None
    if export is not None and (not isinstance(export, dict) or export.get("digest") != digest):
        export = None  # of another net of that name
    curves = [_curve(p, folder) for p in (folder / CURVE, folder.parent / CURVE, folder.parent.parent / CURVE)]
    return Beside(log, export, tuple(c for c in curves if c))


def _rows(path):
    for row in lines.parse(_text(path), path):  # a last line that a killed training left half-written is left out
        if not all(_number(row.get(key)) for key in ("epoch", "train", "val")):
            raise UserError(f"{path}: a line is no epoch of a training; move the file away to leave it out")
        yield row


def _curve(path, folder):
    if not path.is_file():
        return None
    content = _json(path)
    try:
        points = tuple(_point(row, own, path, folder) for row, own in zip(content["rows"], content["runs"]))
        prices = content["runs"][0]["runs"][0]["config"]["prices"]
    except (KeyError, IndexError, TypeError, ValueError):
        raise UserError(f"{path}: is no curve of `train curve`; move the file away to leave it out") from None
    note = "Nets trained for different energies (python -m train curve), on validation data; bars: standard deviation."
    return Curve(note, str(prices), points) if points else None


def _point(row, own, path, folder):
    (accuracy, deviation), (uj, _), (kept, _) = row["integer_val"], row["uj"], row["kept"]
    spread = None if deviation is None else (float(accuracy) - deviation, float(accuracy) + deviation)
    here = path.parent / str(own["folder"]) in (folder, folder.parent)
    return Point(str(row["variant"]), float(accuracy), spread, float(uj), float(kept), here)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(path):
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: is larger than {LARGEST} bytes, which no such file is")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: cannot be read ({e}); move the file away to leave it out") from None


def _json(path):
    return seals.from_json(_text(path), path, "move the file away to leave it out")

"""Checkpoints: plain tensors and JSON values, written atomically and sealed, read without pickle.

A file is checked before anything in it is looked at: by its seal (`sim.base.seals`); where it has none, as those of
earlier releases, by the checksums that a zip archive has of each of its entries, which torch does not look at. What is
in it is checked by `train.checkpoint.schema`."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sim.base import files, seals
from sim.base.errors import UserError

from ..config import VERSION, Config
from ..model.smolmamba import SmolMamba
from . import schema

REMEDY = "copy it again, or train again"
_PART = 1 << 20


def save(path: str | Path, model: SmolMamba, classes: Sequence[str], facts: dict, loop: dict | None = None) -> None:
    """Writes a checkpoint: the model's state, its configuration, and, where given, the state of the training loop."""
    content = {
        "version": VERSION,
        "config": model.cfg.to_dict(),
        "classes": list(classes),
        "facts": facts,
        "model": model.state_dict(),
    }
    if loop is not None:
        content["loop"] = loop
    write(Path(path), content)


def write(path: str | Path, content: dict) -> None:
    """`torch.save`, atomically, with a seal. The bytes are made in memory: torch's own writer ends with other errors
    where the disk is full.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    files.write(path, seals.sealed_zip(buffer.getbuffer()))


def read(path: str | Path, remedy: str = REMEDY) -> Any:
    """What `write` was given, or another file of `torch.save`, whose bytes are those that were written.

    Raises:
        UserError: no such file, empty, damaged (then what to do is `remedy`), or something else than plain tensors and
            values.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror})") from None
    if not data:
        raise UserError(f"{path}: not a checkpoint, or damaged (it is empty); {remedy}")
    if not seals.check_bytes(data, path, remedy):
        _check_archive(data, path, remedy)
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as e:
        reason = (str(e).splitlines() or [type(e).__name__])[0][:100]
        raise UserError(f"{path}: not a checkpoint, or damaged ({reason}); {remedy}") from None


def _check_archive(data: bytes, path: Path, remedy: str) -> None:
    """The checksums of a zip archive. Nothing is unpacked that is not stored as it is, as torch stores it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.comment:
                raise zipfile.BadZipFile("a comment that is no digest")
            for entry in archive.infolist():
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise zipfile.BadZipFile(f"{entry.filename[:60]} is compressed")
                with archive.open(entry) as file:
                    while file.read(_PART):
                        pass
    except Exception as e:  # zipfile raises much on damaged archives
        reason = (str(e).splitlines() or [type(e).__name__])[0][:100]
        raise UserError(f"{path}: not a checkpoint, or damaged ({reason}); {remedy}") from None


def load(path: str | Path, remedy: str = REMEDY) -> tuple[SmolMamba, dict]:
    """(model, content) of a checkpoint.

    Raises `UserError` for anything that is not one of this version, complete, finite and undamaged.
    """
    content = read(path, remedy)
    try:
        schema.check_content(content)
        cfg = Config.from_dict(content["config"])
        encoder = _encoder(cfg)
        schema.check_sizes(content["model"], cfg, len(content["classes"]))
        model = SmolMamba(cfg, encoder, len(content["classes"]))
        schema.check_state(content["model"], model)
        if "loop" in content:
            schema.check_loop(content, cfg)
        model.load_state_dict(content["model"])
    except (UserError, RuntimeError, TypeError) as e:
        raise UserError(f"{path}: {(str(e).splitlines() or [type(e).__name__])[0][:300]}") from None
    for layer in model.layers():
        layer.train_what_counts()
    model.eval()
    return model, content


def _encoder(cfg: Config):
    try:
        return cfg.make_encoder()
    except (TypeError, ValueError, OverflowError) as e:
        raise UserError(f"encoder of the configuration: {e}") from None

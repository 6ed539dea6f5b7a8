"""Checkpoints: plain tensors and JSON values, written atomically, read without pickle."""

import io
from pathlib import Path

import torch

from sim.base import files
from sim.base.errors import UserError

from .config import VERSION, Config


def save(path, model, classes, facts, loop=None):
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


def write(path, content):
    """`torch.save`, atomically. The bytes are made in memory: torch's own writer ends with other errors where the disk
    is full.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    files.write(path, buffer.getbuffer())


def load(path):
    """(model, content) of a checkpoint.

    Raises `UserError` for anything that is not one of this version, complete and finite.
    """
    from .model.smolmamba import SmolMamba

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:
        raise UserError(f"{path}: not a checkpoint, or damaged ({str(e).splitlines()[0][:100]})") from None
    if not isinstance(content, dict) or "version" not in content:
        raise UserError(f"{path}: not a checkpoint of this project (no version entry)")
    if content["version"] != VERSION:
        raise UserError(
            f"{path}: checkpoint version {content['version']}, this program reads version {VERSION}; train again"
            " (python -m train), or export it with the release that wrote it"
        )
    missing = {"config", "classes", "facts", "model"} - set(content)
    if missing:
        raise UserError(f"{path}: checkpoint lacks {', '.join(sorted(missing))}")
    try:
        cfg = Config.from_dict(content["config"])
        model = SmolMamba(cfg, cfg.make_encoder(), len(content["classes"]))
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
    except TypeError as e:
        raise UserError(f"{path}: encoder of the configuration: {e}") from None
    try:
        model.load_state_dict(content["model"])
    except (RuntimeError, AttributeError, TypeError) as e:
        lines = str(e).splitlines()
        raise UserError(
            f"{path}: weights do not fit the configuration ({lines[min(1, len(lines) - 1)].strip()[:120]})"
        ) from None
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} holds NaN or infinite values; train again with a smaller learning rate")
    for layer in model.layers():
        layer.train_what_counts()
    model.eval()
    return model, content

"""Export: fold, integers, parity, report, file."""

from dataclasses import replace
from pathlib import Path

import numpy as np

import events
from events import token_streams
from sim import engine, netx
from sim.base import files, seals
from sim.base.errors import UserError
from sim.base.statistics import paired_interval, wilson
from sim.net.tokens import join
from train import checkpoint
from train.sparse import removal
from train.sparse.fold import to_chip

from . import parity, report
from .to_net import to_net

PARITY_SAMPLES = 16
GOLDEN_SAMPLES = 1


def export(
    model_path: str | Path,
    out_path: str | Path,
    data_root: str | Path | None = None,
    split: str = "val",
    dataset: str | None = None,
    limit: int | None = None,
) -> dict:
    """Writes the artifact of a checkpoint, and beside it the report, which is returned (plain JSON values).

    The report's accuracies are over `split` (or its first `limit` samples) of the data set that the model was trained
    on, or of `dataset`.

    Raises:
        UserError: the checkpoint, the data, or a layer that the chip cannot express; nothing is written then.
    """
    model, content = checkpoint.load(model_path)
    name = dataset or model.cfg.dataset
    recordings = events.load(name, split, data_root)
    if list(recordings.classes) != list(content["classes"]):
        raise UserError(
            f"data set {name!r} has classes {', '.join(recordings.classes)}; the model was trained on"
            f" {', '.join(content['classes'])}"
        )
    folded = to_chip(model, data_root)
    labels = recordings.labels[:limit]
    x = token_streams(
        replace(recordings, events=recordings.events[:limit], labels=labels, names=recordings.names[:limit]),
        model.encoder,
    )
    net = to_net(model, content["classes"], content["facts"])

    same = parity.compare(model, net, join([x[:PARITY_SAMPLES], _edge_inputs(model.encoder)]))
    if same["differences"]:
        raise RuntimeError(
            f"SLAYER and the integer engine differ, which is a defect of this program: {same['first_difference']}"
        )
    result = engine.run_batches(net, x)
    right = report.right_predictions(model, x, labels)
    out = {
        "model": str(model_path),
        "net": str(out_path),
        "dataset": name,
        "split": split,
        "n": len(labels),
        "accuracy": {k: {"value": float(v.mean()), "interval": wilson(int(v.sum()), len(v))} for k, v in right.items()},
        "float_to_integer": {
            "difference": float(right["integer"].mean() - right["float"].mean()),
            "interval": paired_interval(right["float"], right["integer"]),
        },
        "folded": "in training" if folded else "at export",
        "kept": result.sent / max(len(x) * net.frames * net.tokens, 1),
        "stages": report.stage_rows(model, x, result),
        "removed": removal.removed(model),
        "layers": report.layer_rows(model, net, result, len(x)),
        "synops_per_sample": sum(result.synops.values()) / max(len(x), 1),
        "parity": same,
    }
    out["digest"] = netx.write(net, out_path, golden=x[:GOLDEN_SAMPLES])
    files.write(netx.export_record(out_path), seals.to_json(out))
    return out


def _edge_inputs(encoder):
    """Frames in which nothing happens, in which everything does, and one after the other."""
    frames = np.zeros((4, encoder.frames, encoder.planes, *encoder.frame_shape), np.uint8)
    frames[1] = frames[2, ::2] = frames[3, 1::2] = (1 << encoder.message_bits) - 1 or 1
    return encoder.streams(frames)

"""Export: fold, calibrate, integers, parity, report, file."""

from dataclasses import replace

import numpy as np

import events
from events import token_streams
from sim import engine, netx
from sim.base.errors import UserError
from sim.base.statistics import paired_interval, wilson
from train import checkpoint
from train.loop import to_chip

from . import parity, report
from .to_net import refuse_pruner, to_net

PARITY_SAMPLES = 16
GOLDEN_SAMPLES = 1


def export(model_path, out_path, data_root=None, split="val", dataset=None, limit=None):
    """Writes the artifact of a checkpoint and returns the report (plain JSON values).

    The report's accuracies are over `split` (or its first `limit` samples) of the data set that the model was trained
    on, or of `dataset`.

    Raises:
        UserError: the checkpoint, the data, or a layer that the chip cannot express; nothing is written then.
    """
    model, content = checkpoint.load(model_path)
    cfg = model.cfg
    refuse_pruner(cfg)
    name = dataset or cfg.dataset
    recordings = events.load(name, split, data_root)
    if list(recordings.classes) != list(content["classes"]):
        raise UserError(
            f"data set {name!r} has classes {', '.join(recordings.classes)}; the model was trained on"
            f" {', '.join(content['classes'])}"
        )
    calibrated = to_chip(model, data_root)
    labels = recordings.labels[:limit]
    x = token_streams(
        replace(recordings, events=recordings.events[:limit], labels=labels, names=recordings.names[:limit]),
        model.encoder,
    )
    net = to_net(model, content["classes"], content["facts"])

    same = parity.compare(model, net, np.concatenate([x[:PARITY_SAMPLES], _edge_inputs(x[:1])]))
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
            "difference": float(right["gated"].mean() - right["float_gated"].mean()),
            "interval": paired_interval(right["float_gated"], right["gated"]),
        },
        "calibrated": "in training" if calibrated else "at export",
        "kept": float(np.mean(list(result.kept.values()))) if result.kept else 1.0,
        "gates": report.mask_agreement(model, x) if cfg.keep else {},
        "layers": report.layer_rows(model, net, result, len(x)),
        "synops_per_sample": sum(result.synops.values()) / max(len(x), 1),
        "parity": same,
    }
    out["digest"] = netx.write(net, out_path, golden=x[:GOLDEN_SAMPLES])
    return out


def _edge_inputs(x):
    """An empty and an all-ones sample of the same shape."""
    return np.concatenate([np.zeros_like(x), np.ones_like(x)])

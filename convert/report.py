"""What quantization did to a model, and what is sent to it, in numbers."""

from typing import Any

import numpy as np
import torch

from sim import engine
from sim.integer import DECAY_ONE, STATE_LIMIT, STATE_SHIFT, weight_histogram
from sim.net import TOKENS, Cuba, Net
from sim.net.nodes import largest_input
from train import stage
from train.evaluate import predict
from train.model.layer import CubaLayer
from train.model.smolmamba import SmolMamba

from .to_net import UNIT, nodes_of


def layer_rows(model: SmolMamba, net: Net, result: engine.Result, n: int) -> list[dict]:
    """One dict per layer of the net: sizes, quantization, synapses, state range seen (over the `n` samples of `result`)
    and provable.

    `weight_error` is the RMS difference of the quantized from the float weights, relative to their RMS; `saturated` the
    share of weights at the end of the range; `weights_before` their histogram before rounding (`sim.integer`);
    `u_seen`, `v_seen` the largest state of the run as a share of 24 bits (a current wraps above 1); `u_bound` the same
    if every input spiked at every step.
    """
    owners, errors, rows = nodes_of(model), weight_errors(model), []
    for node in net.nodes:
        row = {"layer": node.name, "type": type(node).__name__, "neurons": node.size}
        row["synapses"] = sum(int(np.count_nonzero(s.weight)) for s in node.synapses)
        if isinstance(node, Cuba):
            r = result.ranges[node.name]
            fan_in = sum(largest_input(s, net.node(s.source)) for s in node.synapses)
            bound = float((fan_in * (1 << STATE_SHIFT) * (DECAY_ONE / node.i_decay)).max())
            row |= {
                "threshold": node.v_th,
                "i_decay": np.unique(node.i_decay).tolist(),
                "u_seen": r["u_max"] / STATE_LIMIT,
                "u_bound": bound / STATE_LIMIT,
                "v_seen": r["v_max"] / STATE_LIMIT,
                "wraps": r["wraps"],
                "clips": r["clips"],
                "rate": result.spikes[node.name] / (n * net.steps * node.size),
            }
        if node.name in owners:
            name, layer, rows_of = owners[node.name]
            row |= errors[name] | {"weights_before": weight_histogram(mantissas_before(layer, rows_of))[0]}
        rows.append(row)
    return rows


def mantissas_before(layer: CubaLayer, rows: Any) -> list:
    """The weights of these neurons before rounding, in the unit of the chip's weights, an array for each synapse."""
    dense = [layer.weight(s) * layer.gain[:, None] for s in layer.synapses]  # pyright: ignore[reportIndexIssue]
    every = [*dense, *(layer.weight(s) * layer.gain for s in layer.diagonal)]  # pyright: ignore[reportOperatorIssue]
    return [(w.detach() * UNIT)[rows].cpu().numpy() for w in every]


def weight_errors(model: SmolMamba) -> dict:
    """Name of each layer -> dict(weight_error, saturated), over its dense synapses."""
    out = {}
    for name, layer in model.named().items():
        pairs = [(layer.weight(s).detach(), layer.weight(s, exact=True).detach()) for s in layer.synapses]
        error = sum(float(((q - w) ** 2).sum()) for w, q in pairs) / max(
            sum(float((w**2).sum()) for w, _ in pairs), 1e-12
        )
        gains = (
            layer.token_gain if s == TOKENS and layer.message_bits else layer.gain[:, None] for s in layer.synapses
        )
        mantissas = [(q * gain * UNIT).round() for (_, q), gain in zip(pairs, gains)]
        ends = sum(int(((m == -256) | (m == 254)).sum()) for m in mantissas) / sum(m.numel() for m in mantissas)
        out[name] = {"weight_error": error**0.5, "saturated": ends}
    return out


def right_predictions(model: SmolMamba, x: Any, labels: np.ndarray) -> dict:
    """Which samples are right: name -> bool [n], for the model with rounding switched off (`float`) and in the chip's
    integers (`integer`).
    """
    labels = torch.as_tensor(labels)  # pyright: ignore[reportAssignmentType]
    modes = {"float": False, "integer": True}
    return {name: (predict(model, x, exact).argmax(1) == labels).numpy() for name, exact in modes.items()}  # pyright: ignore[reportAttributeAccessIssue]


def stage_rows(model: SmolMamba, x: Any, result: engine.Result, batch: int = 64) -> list[dict]:
    """What each stage of the token pruning lets pass: a list of dicts; `result` is the engine's for `x`.

    Stage 0 is the encoder's, in training and on the chip's host the same function of the same events, so that there is
    no second mask to agree with: `kept` is the share of all tokens that are sent, `cap` the largest that K allows,
    `kept_by_frame` the first share frame by frame, `full` the share of frames in which the cap was reached.
    Those inside the net are neurons, of which that can be said as of any: `kept` of all tokens, `least` spikes.
    """
    e, filled = model.encoder, []
    for i in range(0, len(x), batch):
        which = x[i : i + batch].which
        filled.append((which >= 0).reshape(len(which), e.frames, e.per_frame).sum(2))
    filled = np.concatenate(filled)
    rows = [
        {
            "stage": "sensor",
            "kept": float(filled.mean() / e.tokens),
            "cap": e.per_frame / e.tokens,
            "full": float((filled == e.per_frame).mean()),
            "kept_by_frame": (filled.mean(0) / e.tokens).tolist(),
        }
    ]
    for (_, b), (name, *_) in model.witnesses().items():
        held = result.spikes[name] / stage.NEURONS / (len(x) * e.frames * e.tokens)
        rows.append({"stage": name, "kept": rows[0]["kept"] - held, "least": model.cfg.inner[b]})
    return rows

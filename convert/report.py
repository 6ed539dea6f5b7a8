"""What quantization and gating did to a model, in numbers."""

import numpy as np
import torch

from sim.integer import DECAY_ONE, STATE_LIMIT, STATE_SHIFT
from sim.net import Cuba, TokenGate
from train import pruning
from train.data import to_stream
from train.evaluate import predict


def layer_rows(model, net, result, n):
    """One dict per layer of the net: sizes, quantization, state range seen (over the `n` samples of `result`) and
    provable, gates.

    `weight_error` is the RMS difference of the quantized from the float weights, relative to their RMS; `saturated` the
    share of weights at the end of the range; `u_seen`, `v_seen` the largest state of the run as a share of 24 bits (a
    current wraps above 1); `u_bound` the same if every input spiked at every step."""
    errors = weight_errors(model)
    rows = []
    for node in net.nodes:
        row = {"layer": node.name, "type": type(node).__name__, "neurons": node.size}
        if isinstance(node, TokenGate):
            row |= {"threshold": node.threshold, "kept": result.kept[node.name]}
        if isinstance(node, Cuba):
            r = result.ranges[node.name]
            fan_in = sum(np.abs(s.weight.astype(np.int64)).sum(1) for s in node.synapses)
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
        row |= errors.get(node.name.rstrip("0123456789") if node.name not in errors else node.name, {})
        rows.append(row)
    return rows


def weight_errors(model):
    """Layer name as in `convert.to_net.to_net` (without the number of a bank's part) -> dict(weight_error, saturated)."""  # noqa: E501
    named = {f"{t}.{layer.name}": layer for t in model.towers for layer in model.stem}
    named |= {
        f"{t}{i}.{k}": layer
        for t in model.towers
        for i, block in enumerate(model.blocks[t])
        for k, layer in block.items()
    }
    out = {}
    for name, layer in named.items():
        pairs = [
            (s.weight.detach().flatten(1), layer.quantized(s.weight.detach().flatten(1), True))
            for s in layer.synapses.values()
        ]
        error = sum(float(((q - w) ** 2).sum()) for w, q in pairs) / max(
            sum(float((w**2).sum()) for w, _ in pairs), 1e-12
        )
        mantissas = [(q * layer.gain[:, None] * 64).round() for _, q in pairs]
        ends = sum(int(((m == -256) | (m == 254)).sum()) for m in mantissas) / sum(m.numel() for m in mantissas)
        out[name] = {"weight_error": error**0.5, "saturated": ends}
    return out


def right_predictions(model, x, labels):
    """Which samples are right: name -> bool [n], for the float model (rounding off) and the integer model, each with
    SST-TP as trained
    (top-k: `float`, `quantized`) and with the fixed gates (`float_gated`, `gated`)."""
    labels = torch.as_tensor(labels)
    fixed = model.thresholds.clone()
    right = {}
    try:
        for name, exact, thresholds in (
            ("float", False, fixed * 0),
            ("quantized", True, fixed * 0),
            ("float_gated", False, fixed),
            ("gated", True, fixed),
        ):
            model.thresholds.copy_(thresholds)
            right[name] = (predict(model, x, exact).argmax(1) == labels).numpy()
    finally:
        model.thresholds.copy_(fixed)
    return right


@torch.no_grad()
def mask_agreement(model, x, batch=64):
    """Gate -> dict(kept_trained, kept_gated, agreement), over the spikes that reach it in the integer model with fixed
    gates.
    """
    cfg, sums, n = model.cfg, {}, 0
    for i in range(0, len(x), batch):
        model(to_stream(x[i : i + batch], "cpu"), exact=True)
        n += len(x[i : i + batch])
        for (t, b), spikes in model.gate_inputs.items():
            top = pruning.top_k(spikes, cfg.keep[b], model.n_tokens, cfg.latency_bonus, cfg.pruner, cfg.seed)
            gate = pruning.fixed_gate(spikes, model.threshold(t, b), model.n_tokens)
            sums.setdefault(f"{t}{b}.sst", []).append(
                [float(top.mean(1).sum()), float(gate.mean(1).sum()), float((top == gate).float().mean(1).sum())]
            )
    return {
        k: dict(zip(("kept_trained", "kept_gated", "agreement"), (np.sum(v, 0) / n).tolist())) for k, v in sums.items()
    }

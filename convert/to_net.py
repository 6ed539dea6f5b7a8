"""A folded model to the chip's net: the same numbers, as integers.

A group of neurons with gain `g` has weights `round(w * 64 g / 2) * 2`, bias `round(b * 64 g)` and threshold `64 g`. A
bank whose groups have different gains becomes one layer per gain, because a layer has one threshold. The read gate is
two identity synapses that cross the threshold only together."""

import dataclasses

import numpy as np
import torch

from sim.base.errors import UserError
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout, Reverse, TokenGate
from train.pruning import FIXED_GATE, has_gate

REVERSED = "reversed"
AND_WEIGHT, AND_THRESHOLD = 64, 96  # one spike stays below, two cross
EMBED = 2  # weights come in steps of 2


def weight_integers(weight, gain):
    """int16 mantissas of a float weight [n, m] at gain [n] (or one), as the forward pass quantizes them."""
    gain = torch.as_tensor(gain, dtype=torch.float32).reshape(-1, 1)
    q = torch.round(weight.detach() * gain / (EMBED / 64)) * EMBED
    return q.clamp(-256, 254).to(torch.int16).numpy()


def refuse_pruner(cfg):
    """Raises `UserError` for a pruner that the chip's gate does not stand for."""
    if cfg.keep and not has_gate(cfg):
        raise UserError(
            f"model: it prunes tokens by {cfg.pruner!r}; the chip's gate counts spikes, so only"
            f" {' and '.join(FIXED_GATE)} can be exported: train with another pruner, or with keep=[]"
        )


def to_net(model, classes, facts):
    """The `sim.net.Net` of a folded model with calibrated gates.

    Raises:
        UserError: naming the layer, where the chip cannot express it.
    """
    refuse_pruner(model.cfg)
    if not model.folded:
        raise UserError("model: its norms are not folded; export folds and calibrates it first")
    if model.cfg.keep and not (model.thresholds > 0).all():
        raise UserError("model: its token gates are not calibrated; export needs the training data (--data-root)")
    nodes, ends = [], []
    for t in model.towers:
        x = _stem(model, t, nodes)
        for i, block in enumerate(model.blocks[t]):
            x = _block(model, t, i, block, x, nodes)
        ends.append((t, x))
    readout = tuple(Dense(x, weight_integers(model.readout[t].weight.flatten(1), model.readout_gain)) for t, x in ends)
    nodes.append(Readout("readout", readout))
    inputs = [Input(TOKENS, model.encoder.channels)]
    if "b" in model.towers:
        inputs.append(Input(REVERSED, model.encoder.channels, backward=True))
    return Net(
        tuple(nodes),
        tuple(inputs),
        model.n_tokens,
        model.n_frames,
        dataclasses.asdict(model.encoder),
        tuple(classes),
        facts,
    )


def _stem(model, tower, nodes):
    source = REVERSED if tower == "b" else TOKENS
    for layer in model.stem:
        weights = {}
        for name, synapse in layer.synapses.items():
            w = weight_integers(synapse.weight.flatten(1), layer.gain)
            if name == PHASE and tower == "b":  # step m of the reversed stream is token N-1-m
                w = np.ascontiguousarray(w[:, ::-1])
            weights[name if name == PHASE else source] = w
        nodes.extend(_cubas(f"{tower}.{layer.name}", layer, [(s, w, None) for s, w in weights.items()]))
        source = nodes[-1].name
    return source


def _block(model, tower, i, block, x, nodes):
    at = f"{tower}{i}"
    if model.cfg.scan == "reversal" and i > 0:
        nodes.append(Reverse(f"{at}.reverse", x, model.cfg.width))
        x = nodes[-1].name
    if model.cfg.keep:
        nodes.append(TokenGate(f"{at}.sst", x, model.cfg.width, model.threshold(tower, i)))
        x = nodes[-1].name
    bank = _cubas(
        f"{at}.bank",
        block["bank"],
        [(x, weight_integers(block["bank"].synapses["x"].weight.flatten(1), block["bank"].gain), None)],
    )
    nodes.extend(bank)
    state = [(node.name, columns) for node, columns in zip(bank, _parts(block["bank"]))]
    if "gate" in block:
        nodes.extend(
            _cubas(
                f"{at}.gate",
                block["gate"],
                [(x, weight_integers(block["gate"].synapses["x"].weight.flatten(1), block["gate"].gain), None)],
            )
        )
        eye = (AND_WEIGHT * np.eye(block["bank"].n)).astype(np.int16)
        synapses = [Dense(name, np.ascontiguousarray(eye[:, columns])) for name, columns in state] + [
            Dense(f"{at}.gate", eye)
        ]
        n = block["bank"].n
        nodes.append(
            Cuba(
                f"{at}.read",
                tuple(synapses),
                np.full(n, 4096, np.int32),
                np.zeros(n, np.int32),
                block["gate"].v_decay,
                AND_THRESHOLD,
            )
        )
        state = [(f"{at}.read", slice(None))]
    out = block["out"]
    w = weight_integers(out.synapses["h"].weight.flatten(1), out.gain)
    skip = np.diag(weight_integers(out.skips["x"][:, None], out.gain)[:, 0])
    nodes.extend(_cubas(f"{at}.out", out, [(name, w, columns) for name, columns in state] + [(x, skip, None)]))
    return nodes[-1].name


def _parts(layer):
    """Neuron indices of each gain of a layer, in order of first neuron."""
    gains = layer.gain.cpu().numpy()
    _, first = np.unique(gains, return_index=True)
    return [np.nonzero(gains == gains[i])[0] for i in sorted(first)]


def _cubas(name, layer, synapses):
    """One `Cuba` per gain. synapses: (source, weight [n, m], columns of m that the source provides or None for all)."""
    parts = _parts(layer)
    out = []
    for i, rows in enumerate(parts):
        gain = float(layer.gain[rows[0]])
        bias = torch.round(layer.bias.detach()[rows] * gain * 64).clamp(-4096, 4095).to(torch.int32).numpy()
        dense = tuple(Dense(s, np.ascontiguousarray(w[rows] if c is None else w[rows][:, c])) for s, w, c in synapses)
        out.append(
            Cuba(
                name if len(parts) == 1 else f"{name}{i}",
                dense,
                layer.i_decay[rows].numpy().astype(np.int32),
                bias,
                layer.v_decay,
                int(64 * gain),
                layer.frame_steps > 0,
            )
        )
    return out

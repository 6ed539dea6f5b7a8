"""A folded model to the chip's net: the same numbers, as integers.

A group of neurons with gain `g` has weights `round(w * 64 g / 2) * 2`, bias `round(b * 64 g)` and threshold `64 g`.
Weights of graded tokens of `b` bits have a gain `t` of their own, and their sum loses `b + log2(t / g)` bits. A
bank whose groups have different gains becomes one layer per gain, because a layer has one threshold. The read gate is
two identity synapses that cross the threshold only together.

An empty place of the stream costs no spike before the first bank, with nothing in the net to make it so: the bias of
the first layer is in its phase weights, and those of the layers behind it stay below the threshold.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sim.base.errors import UserError
from sim.integer import DECAY_ONE, WEIGHT_MIN
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout
from train import stage
from train.model import names
from train.model.layer import MEMORYLESS, UNIT, CubaLayer
from train.model.smolmamba import SmolMamba

AND_WEIGHT, AND_THRESHOLD = 64, 96  # one spike stays below, two cross


def integers(values: torch.Tensor, gain: Any, unit: int = UNIT) -> np.ndarray:
    """Mantissas of parameters that the forward pass has quantized, exactly."""
    whole = values.detach().cpu().double() * torch.as_tensor(gain).cpu().double() * unit
    if not torch.equal(whole, whole.round()):
        raise RuntimeError("a quantized parameter is no integer on the chip, which is a defect of this program")
    return whole.round().to(torch.int32).numpy()


def weight_integers(layer: CubaLayer, source: str) -> np.ndarray:
    """int16 [n, m] of a layer's synapse, a diagonal one as a matrix."""
    w = layer.weight(source, exact=True)
    if source in layer.diagonal:
        return np.diag(integers(w, layer.gain)).astype(np.int16)
    gain = layer.token_gain if source == TOKENS and layer.message_bits else layer.gain[:, None]  # pyright: ignore[reportIndexIssue]
    return integers(w, gain).astype(np.int16)


def parts(layer: CubaLayer) -> list:
    """Neuron numbers of each gain of a layer, in the order of the first neuron: its nodes in the net."""
    gains = layer.gain.cpu().numpy()  # pyright: ignore[reportCallIssue]
    _, first = np.unique(gains, return_index=True)
    return [np.nonzero(gains == gains[i])[0] for i in sorted(first)]


def nodes_of(model: SmolMamba) -> dict:
    """Name of each node that stands for (a part of) a layer -> (the layer's name, the `CubaLayer`, neuron numbers)."""
    out = {}
    for name, layer in model.named().items():
        rows = parts(layer)
        out |= {part: (name, layer, r) for part, r in zip(names.parts(name, len(rows)), rows)}
    return out


def to_net(model: SmolMamba, classes: Sequence[str], facts: dict) -> Net:
    """The `sim.net.Net` of a folded model.

    Raises:
        UserError: naming the layer, where the chip cannot express it.
    """
    if not model.folded:
        raise UserError("model: its norms are not folded; export does that")
    nodes, ends, held = [], [], _stages(model)
    for t in model.towers:
        x = _stem(model, t, nodes, held)
        for b, block in enumerate(model.blocks[t]):  # pyright: ignore[reportArgumentType]
            x = _block(t, b, block, x, nodes, held)
        w = integers(model.readout_weight(t, exact=True), model.readout_gain).astype(np.int16)
        ends.append(Dense(x, w))
    nodes.append(Readout(names.READOUT, tuple(ends)))
    e = model.encoder
    return Net(
        tuple(nodes),
        tuple(_inputs(model)),
        e.tokens,
        e.frames,
        e.per_frame,
        e.orders,
        e.settings(),
        tuple(classes),
        facts,
    )


def _inputs(model):
    sizes = {TOKENS: model.encoder.channels, PHASE: model.n_tokens}
    for t in model.towers:
        for of, name in names.inputs(t).items():
            yield Input(name, sizes[of], of, t == "b", model.encoder.message_bits if of == TOKENS else 0)


def _stages(model):
    """Name of each layer that a stage of the token pruning inhibits -> the stage's neurons, and its synapse there."""
    out, sizes = {}, model.sizes()
    inputs = {i.name: i.size for i in _inputs(model)}
    for (_, b), (name, line, witness, layer) in model.witnesses().items():
        n = stage.NEURONS
        seen = (sizes | inputs)[witness]
        if seen > stage.WITNESS_MAX:
            raise UserError(f"layer {name!r}: counts the spikes of {seen} neurons, at most {stage.WITNESS_MAX} fit")
        here = Dense(line, np.full((n, inputs[line]), 2 * model.cfg.inner[b], np.int16))
        spikes = Dense(witness, np.full((n, seen), stage.SPIKE, np.int16))
        full, none = np.full(n, DECAY_ONE, np.int32), np.zeros(n, np.int32)
        out[layer] = (
            Cuba(name, (here, spikes), full, none, MEMORYLESS, 0),
            (name, np.full((sizes[layer], n), WEIGHT_MIN, np.int16), None),
        )
    return out


def _sender(name, layer, sources, nodes, held, shifts=None):
    """Adds the nodes of a layer that sends tokens on, behind the stage that holds some back."""
    if name in held:
        neurons, synapse = held[name]
        nodes.append(neurons)
        sources = [*sources, synapse]
    nodes.extend(_cubas(name, layer, sources, shifts))


def _stem(model, tower, nodes, held):
    x = names.inputs(tower)
    for i, layer in enumerate(model.stem):
        sources = [(x[s], weight_integers(layer, s), None) for s in layer.sources]
        shifts = {x[TOKENS]: layer.shift} if layer.message_bits else {}
        _sender(names.stem(tower, i), layer, sources, nodes, held, shifts)
        x = {layer.name: nodes[-1].name}
    return nodes[-1].name


def _block(tower, b, block, x, nodes, held):
    at = lambda part: names.block(tower, b, part)  # noqa: E731
    bank = _cubas(at("bank"), block["bank"], [(x, weight_integers(block["bank"], "x"), None)])
    nodes.extend(bank)
    state = [(node.name, columns) for node, columns in zip(bank, parts(block["bank"]))]
    if "gate" in block:
        [gate] = _cubas(at("gate"), block["gate"], [(x, weight_integers(block["gate"], "x"), None)])
        n = gate.size
        eye = (AND_WEIGHT * np.eye(n)).astype(np.int16)
        synapses = [Dense(name, np.ascontiguousarray(eye[:, columns])) for name, columns in state]
        synapses.append(Dense(gate.name, eye))
        full, none = np.full(n, DECAY_ONE, np.int32), np.zeros(n, np.int32)
        read = Cuba(at("read"), tuple(synapses), full, none, gate.v_decay, AND_THRESHOLD)
        nodes += [gate, read]
        state = [(read.name, slice(None))]
    out, w = block["out"], weight_integers(block["out"], "h")
    sources = [(name, w, columns) for name, columns in state] + [(x, weight_integers(out, "x"), None)]
    _sender(at("out"), out, sources, nodes, held)
    return nodes[-1].name


def _cubas(name, layer, synapses, shifts=None):
    """One `Cuba` per gain. synapses: (source, weight [n, m], columns of m that the source provides or None for all).
    shifts: source of graded spikes -> bits that their sum loses.
    """
    groups, bias = parts(layer), integers(layer.biases(exact=True), layer.gain)
    out = []
    for part, rows in zip(names.parts(name, len(groups)), groups):
        dense = tuple(
            Dense(s, np.ascontiguousarray(w[rows] if c is None else w[rows][:, c]), (shifts or {}).get(s, 0))
            for s, w, c in synapses
        )
        threshold = int(UNIT * float(layer.gain[rows[0]]))
        decay = layer.i_decay[rows].cpu().numpy().astype(np.int32)
        out.append(Cuba(part, dense, decay, bias[rows], layer.v_decay, threshold, layer.frame_steps > 0))
    return out

"""Writes a `Sequential` in netx's words, as SLAYER exports it; `sim.netx.load` reads it back."""

from functools import singledispatch
from pathlib import Path

import numpy as np

from sim.base.errors import UserError
from sim.netx import hdf5
from sim.netx.slayer_images import turned
from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Sequential
from sim.sequential.layers import Layer


def write(net: Sequential, path: str | Path) -> None:
    """Writes a net of CUBA layers (what `convert.nir.from_graph` makes), atomically.

    Raises:
        UserError: another layer; the folder cannot be written.
    """
    content = {}
    for i, layer in enumerate(net.layers):
        content |= {f"layer/{i}/{key}": value for key, value in pack(layer).items()}
    hdf5.save(path, content)


@singledispatch
def pack(layer: Layer) -> dict:
    """Entries of the layer's group."""
    raise UserError(f"{layer.name}: a {type(layer).__name__} cannot be written")


@pack.register
def _(layer: InputLayer):
    out = {"type": np.array([b"input"], "S10"), "shape": np.array(layer.shape, "<i8")}
    if layer.neuron is None:
        return out
    if layer.transform is None:
        raise UserError(f"{layer.name}: its neurons take values as they are, which cannot be written")
    return out | dict(zip(("weight", "bias"), (np.array(x, "<i8") for x in layer.transform))) | _neuron(layer.neuron)


@pack.register
def _(layer: FlattenLayer):
    return {"type": np.array([b"flatten"], "S10"), "shape": np.array(layer.shape, "<i8")}


@pack.register
def _(layer: DenseLayer):
    if layer.recurrent is not None and layer.synapse_delay is not None:
        raise UserError(f"{layer.name}: recurrent synapses beside delayed ones cannot be written")
    more = {} if layer.recurrent is None else {"weight_rec": layer.recurrent.astype("<f4")}
    delay = layer.axon_delay if layer.synapse_delay is None else layer.synapse_delay
    if delay is not None:
        more["delay"] = delay.astype("<i8")
    return more | {
        "type": np.array([b"dense" if layer.recurrent is None else b"dense_rec"], "S10"),
        "shape": np.array(layer.shape, "<i8"),
        "inFeatures": np.array(layer.weight.shape[1], "<i8"),
        "outFeatures": np.array(layer.weight.shape[0], "<i8"),
        "weight": layer.weight.astype("<f4"),
        **_neuron(layer.neuron),
    }


@pack.register
def _(layer: ConvLayer):
    if any(layer.overhang) or layer.spread != (1, 1) and layer.stride != (1, 1):
        raise UserError(f"{layer.name}: overhang {layer.overhang}, or strides on both sides, cannot be written")
    weight, transposed, padding, stride = layer.weight, layer.spread != (1, 1), layer.padding, layer.stride
    if transposed:
        weight, stride = turned(weight, layer.groups), layer.spread
        padding = tuple(d * (k - 1) - p for d, k, p in zip(layer.dilation, weight.shape[2:], padding))
    pairs = dict(kernelSize=weight.shape[2:], stride=stride, padding=padding, dilation=layer.dilation)
    return {
        "type": np.array([b"convT" if transposed else b"conv"], "S10"),
        "shape": np.array(layer.shape, "<i8"),
        "inChannels": np.array(layer.in_shape[0], "<i8"),
        "outChannels": np.array(layer.shape[0], "<i8"),
        "groups": np.array(layer.groups, "<i8"),
        "weight": weight.astype("<f4"),
        **{key: np.array(value, "<i8") for key, value in pairs.items()},
        **_neuron(layer.neuron),
    }


def _neuron(neuron):
    i_decay = neuron.i_decay if neuron.i_decay.size > 1 else neuron.i_decay[0]
    out = {
        "neuron/type": "CUBA",
        "neuron/iDecay": np.array(i_decay, "<i8"),
        "neuron/vDecay": np.array(neuron.v_decay, "<i8"),
        "neuron/vThMant": np.array(neuron.v_th, "<i8"),
        "neuron/refDelay": np.array(1, "<i8"),
        "neuron/gradedSpike": np.array(False),
    }
    return out | ({"bias": neuron.bias.astype("<f4")} if neuron.bias.any() else {})

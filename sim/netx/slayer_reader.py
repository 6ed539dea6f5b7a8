"""Reads what SLAYER (`export_hdf5` of lava-dl 0.6.0 and before) writes: groups `layer/<i>` in netx's words."""

from os import PathLike

import numpy as np

from ..base.errors import UserError
from ..integer import STATE_SHIFT
from ..sequential import AverageLayer, DenseLayer, FlattenLayer, InputLayer, Sequential
from .slayer_entry import Entry
from .slayer_images import conv, conv_transposed, pool, unpool
from .slayer_neurons import INTEGRATOR, neuron


def parse(content: dict, path: str | PathLike, layers: int | None = None) -> Sequential:
    """Makes a `Sequential` of a file's arrays.

    Args:
        content: what `sim.netx.hdf5.load` returned for `path`.
        layers: read only the first so many groups (a file may end in a layer that nobody but SLAYER knows).

    Raises:
        UserError: an unsupported layer or neuron type (adaptive, concat, ...), a value
            out of range, shapes that do not chain. Names the layer's index and type.
    """
    groups = {}
    for key, value in content.items():
        parts = key.split("/", 2)
        if parts[0] == "layer" and len(parts) == 3 and parts[1].isdigit():
            groups.setdefault(int(parts[1]), {})[parts[2]] = value
    if not groups:
        raise UserError(
            f"{path}: has no layers: neither a net written by `python -m convert export` nor one exported by SLAYER"
        )
    if sorted(groups) != list(range(len(groups))):
        raise UserError(
            f"{path}: layers are numbered {sorted(groups)[:9]}, expected 0 to {len(groups) - 1} without gaps"
        )
    made, notes = [], []
    for index in sorted(groups)[:layers]:
        entry = Entry(groups[index], index, path)
        if entry.type not in LAYER_TYPES:
            why = f" ({NOT_READ[entry.type]})" if entry.type in NOT_READ else ""
            entry.fail(f"this layer type is not supported{why}, expected one of {', '.join(LAYER_TYPES)}")
        if entry.type != "input" and not made:
            made.append(_implied_input(entry))
        try:
            made.append(LAYER_TYPES[entry.type](entry, made))
        except UserError as e:
            raise UserError(_named(e, entry)) from e
        notes += entry.notes
    try:
        return Sequential(tuple(made), tuple(notes))
    except UserError as e:
        raise UserError(f"{path}: {e}") from e


def _named(error, entry):
    """The error's text with file, layer and type in front, once."""
    text = str(error)
    if text.startswith(f"{entry.path}: "):
        return text
    return (
        f"{entry.path}: {entry.name} ({entry.type}):"
        f" {text.removeprefix(f'layer {entry.name!r}: ').removeprefix(f'{entry.name}: ')}"
    )


def _implied_input(entry):
    """A file may begin with its first weights; a convolution's geometry then has to be in the file some other way, and
    is not.
    """
    if entry.type not in ("dense", "dense_comp", "dense_rec"):
        entry.fail("is the first layer, expected an input layer that gives the shape before it")
    return InputLayer("input", (entry.weight("weight/real" if entry.complex else "weight", 2).shape[1],))


def _input(entry, made):
    if made:
        entry.fail("input layers come first, and only once")
    shape = entry.shape()
    shape = shape[2:] if len(shape) == 3 and shape[:2] == (1, 1) else shape  # older exports: [1, 1, n]
    if not any(key.startswith("neuron/") for key in entry.arrays):
        return InputLayer(entry.name, shape)
    transform = (entry.number("weight", 1 << STATE_SHIFT), entry.number("bias", 0))
    return InputLayer(entry.name, shape, neuron(entry), transform)


def _flatten(entry, made):
    return FlattenLayer(entry.name, (int(np.prod(entry.shape())),))


def _dense(entry, made):
    weight, imaginary = entry.complex_weight(2)
    if weight is None:
        weight = _dense_weight(entry)
    elif len(weight) != int(np.prod(entry.shape())):
        entry.fail(f"weight has {len(weight)} rows, expected {int(np.prod(entry.shape()))}")
    n_out, n_in = weight.shape
    axon, synapse, delay = None, None, entry.delay()
    if delay is not None:
        if delay.ndim == 2:
            synapse = delay
        elif delay.size in (1, n_out):
            axon = np.broadcast_to(delay.ravel(), (n_out,)).copy()
        elif delay.size == n_in:
            synapse = np.broadcast_to(delay.ravel(), (n_out, n_in)).copy()
        else:
            entry.fail(f"delay has {delay.size} values, expected 1, {n_out} or {n_in}")
    return DenseLayer(entry.name, weight, neuron(entry, INTEGRATOR), None, axon, synapse, imaginary)


def _dense_weight(entry):
    n_out = int(np.prod(entry.shape()))
    if entry.has("weight") and entry.arrays["weight"].ndim == 1:
        flat = entry.weight("weight", 1)
        if flat.size % n_out:
            entry.fail(f"weight has {flat.size} values, expected a multiple of the {n_out} neurons")
        return flat.reshape(n_out, -1)
    weight = entry.weight("weight", 2)
    if weight.shape[0] != n_out:
        entry.fail(f"weight has {weight.shape[0]} rows, expected {n_out}")
    return weight


def _dense_rec(entry, made):
    weight, delay = _dense_weight(entry), entry.delay()
    if delay is not None:
        entry.notes.append(
            f"{entry.name}: delays as SLAYER has them, of what the layer sends; netx 0.6 puts them on the synapses, the"
            " recurrent ones too"
        )
        delay = entry.per_channel(delay, len(weight))
    return DenseLayer(entry.name, weight, neuron(entry), entry.weight("weight_rec", 2), delay)


def _average(entry, made):
    n, groups = int(np.prod(made[-1].shape)), int(np.prod(entry.shape()))
    if n % groups:
        entry.fail(f"the layer before gives {n} neurons, expected a multiple of {groups}")
    return AverageLayer(entry.name, groups, n // groups)


NOT_READ = {"concat": "netx names it, no block of SLAYER writes it"}
LAYER_TYPES = {
    "input": _input,
    "flatten": _flatten,
    "dense": _dense,
    "dense_comp": _dense,  # netx's word for complex weights
    "dense_rec": _dense_rec,
    "conv": conv,
    "convT": conv_transposed,
    "pool": pool,
    "unpool": unpool,
    "average": _average,
}

"""Reads what SLAYER (`export_hdf5` of lava-dl 0.6.0 and before) writes: groups `layer/<i>` in netx's words."""

import numpy as np

from ..base.errors import UserError
from ..integer import STATE_SHIFT
from ..sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Neuron, Sequential

CUBA_TYPES = ("CUBA", "LOIHI")
SIZE_LIMIT = 1 << 24  # neurons of a layer
REFUSED_NEURON = {"messageBits": "graded spikes are", "sigma_output": "a sigma output is"}


class Layer:
    """The entries of one group `layer/<i>`; every failure names the file, the layer and its type."""

    def __init__(self, arrays, index, path):
        self.arrays, self.index, self.path, self.name = arrays, index, path, f"layer/{index}"
        self.type = "?"
        self.type = self.text("type")

    def fail(self, text):
        raise UserError(f"{self.path}: {self.name} ({self.type}): {text}")

    def has(self, key):
        return key in self.arrays

    def text(self, key):
        value = self.arrays.get(key)
        if value is None or value.dtype.kind != "S" or value.size != 1:
            self.fail(f"{key} is {'missing' if value is None else f'{value.dtype} {value.shape}'}, expected a text")
        return ascii(bytes(value.ravel()[0]).decode("ascii", "replace"))[1:-1][
            :40
        ]  # one printable line, whatever it was

    def integers(self, key, default=None):
        """The entry as int64, whatever number type it was written in; NaN, infinity and fractions are refused."""
        value = self.arrays.get(key, default)
        if value is None:
            self.fail(f"{key} is missing")
        value = np.asarray(value)
        if value.dtype.kind not in "iuf" or value.size == 0:
            self.fail(f"{key} is {value.dtype} {value.shape}, expected integers")
        if (
            not np.isfinite(value).all()
            or (np.abs(value.astype(np.float64)) > 1 << 31).any()
            or (value != np.floor(value)).any()
        ):
            self.fail(f"{key} has values that are no 32-bit integers")
        return value.astype(np.int64)

    def number(self, key, default=None):
        value = self.integers(key, default)
        if value.size != 1:
            self.fail(f"{key} has shape {value.shape}, expected one number")
        return int(value.ravel()[0])

    def pair(self, key, default):
        value = self.integers(key, default).ravel()
        if value.size not in (1, 2):
            self.fail(f"{key} has {value.size} values, expected one or two")
        return (int(value[0]), int(value[-1]))

    def shape(self):
        shape = tuple(int(x) for x in self.integers("shape").ravel())
        if min(shape) < 1 or int(np.prod(shape, dtype=object)) > SIZE_LIMIT:
            self.fail(f"shape {shape} is not positive or too large")
        return shape

    def neuron(self, default=None):
        """The group `neuron` with the layer's bias; `default` if there is no such group."""
        if not any(key.startswith("neuron/") for key in self.arrays):
            if default is None:
                self.fail("neuron is missing")
            return default
        kind = self.text("neuron/type")
        if kind not in CUBA_TYPES:
            self.fail(f"neuron type {kind!r} is not supported, expected {' or '.join(CUBA_TYPES)}")
        for key, what in REFUSED_NEURON.items():
            if self.has(f"neuron/{key}"):
                self.fail(f"neuron/{key}: {what} not supported")
        if self.has("neuron/gradedSpike") and self.arrays["neuron/gradedSpike"].any():
            self.fail("graded spikes are not supported")
        if self.has("neuron/weight_exp") and self.arrays["neuron/weight_exp"].any():
            self.fail("neuron/weight_exp: normalization by weight exponents is not supported (stock netx ignores it)")
        if self.number("neuron/refDelay", 1) != 1:
            self.fail("neuron/refDelay: only a refractory delay of 1 is supported")
        if self.number("neuron/wgtExp", 0) != 0:
            self.fail("neuron/wgtExp: only a weight exponent of 0 is supported")
        decays = np.unique(self.integers("neuron/vDecay"))
        if decays.size != 1:
            self.fail("neuron/vDecay: neurons with several membrane decays are not supported")
        return Neuron(
            self.integers("neuron/iDecay").astype(np.int32).ravel(),
            int(decays[0]),
            self.number("neuron/vThMant"),
            self.bias(),
        )

    def bias(self):
        return (
            (self.integers("bias") if self.has("bias") and self.type != "input" else np.zeros(1))
            .astype(np.int32)
            .ravel()
        )

    def weight(self, key, ndim):
        if any(k.startswith(f"{key}/") for k in self.arrays):
            self.fail(f"{key}: complex weights are not supported")
        value = self.integers(key)
        if value.ndim == 5 and ndim == 4 and value.shape[4] == 1:  # SLAYER before 0.3 kept its time axis
            value = value[..., 0]
        if value.ndim != ndim:
            self.fail(f"{key} has shape {value.shape}, expected {ndim} dimensions")
        low, high = int(value.min()), int(value.max())
        if low < -256 or high > 254:
            self.fail(f"{key} spans [{low}, {high}], expected [-256, 254]")
        return value.astype(np.int16)


# What lava-dl assumes of a dense layer without a neuron: current and membrane add up for ever, no spike.
INTEGRATOR = Neuron(np.zeros(1, np.int32), 1 << 12, 1 << 17, np.zeros(1, np.int32))


def parse(content, path, layers=None) -> Sequential:
    """Makes a `Sequential` of a file's arrays.

    Args:
        content: what `sim.netx.hdf5.load` returned for `path`.
        layers: read only the first so many groups (a file may end in a layer that nobody but SLAYER knows).

    Raises:
        UserError: an unsupported layer or neuron type (sigma-delta, adaptive, resonator, pool, average, ...), a value
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
    made = []
    for index in sorted(groups)[:layers]:
        entry = Layer(groups[index], index, path)
        if entry.type not in LAYER_TYPES:
            entry.fail(f"this layer type is not supported, expected one of {', '.join(LAYER_TYPES)}")
        if entry.type != "input" and not made:
            made.append(_implied_input(entry))
        try:
            made.append(LAYER_TYPES[entry.type](entry, made))
        except UserError as e:
            raise UserError(_named(e, entry)) from e
    try:
        return Sequential(tuple(made))
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
    if entry.type not in ("dense", "dense_rec"):
        entry.fail("is the first layer, expected an input layer that gives the shape before it")
    return InputLayer("input", (entry.weight("weight", 2).shape[1],))


def _input(entry, made):
    if made:
        entry.fail("input layers come first, and only once")
    shape = entry.shape()
    shape = shape[2:] if len(shape) == 3 and shape[:2] == (1, 1) else shape  # older exports: [1, 1, n]
    if not any(key.startswith("neuron/") for key in entry.arrays):
        return InputLayer(entry.name, shape)
    transform = (entry.number("weight", 1 << STATE_SHIFT), entry.number("bias", 0))
    return InputLayer(entry.name, shape, entry.neuron(), transform)


def _flatten(entry, made):
    return FlattenLayer(entry.name, (int(np.prod(entry.shape())),))


def _dense(entry, made):
    weight = _dense_weight(entry)
    n_out, n_in = weight.shape
    axon, synapse = None, None
    if entry.has("delay"):
        delay = entry.integers("delay").astype(np.int32)
        if delay.ndim == 2:
            synapse = delay
        elif delay.size in (1, n_out):
            axon = np.broadcast_to(delay.ravel(), (n_out,)).copy()
        elif delay.size == n_in:
            synapse = np.broadcast_to(delay.ravel(), (n_out, n_in)).copy()
        else:
            entry.fail(f"delay has {delay.size} values, expected 1, {n_out} or {n_in}")
    return DenseLayer(entry.name, weight, entry.neuron(INTEGRATOR), None, axon, synapse)


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
    if entry.has("delay"):
        entry.fail("delays in recurrent layers are not supported (SLAYER and stock netx disagree on them)")
    return DenseLayer(entry.name, _dense_weight(entry), entry.neuron(), entry.weight("weight_rec", 2))


def _conv(entry, made):
    in_shape = made[-1].shape
    if len(in_shape) != 3:
        entry.fail(f"the layer before gives {in_shape}, expected (channels, height, width)")
    delay = entry.integers("delay").astype(np.int32).ravel() if entry.has("delay") else None
    layer = ConvLayer(
        entry.name,
        entry.weight("weight", 4),
        entry.neuron(),
        entry.pair("stride", 1),
        entry.pair("padding", 0),
        entry.pair("dilation", 1),
        entry.number("groups", 1),
        in_shape,
        delay,
    )
    if layer.shape != entry.shape():
        entry.fail(f"shape is {entry.shape()}, its kernel makes {layer.shape}")
    return layer


LAYER_TYPES = {"input": _input, "flatten": _flatten, "dense": _dense, "dense_rec": _dense_rec, "conv": _conv}

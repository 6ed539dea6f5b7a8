"""Nets as SLAYER exports them: a chain of layers over [batch, steps, channels, ...] without tokens, frames or read-out.

Stream time as in `sim.net`: a layer's output at step k depends on its input at the same step k. In SLAYER
(`delay_shift`) and in
Lava each layer with neurons answers one step later than that; `Sequential.lags` says by how many steps.
"""

from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from .base.errors import UserError
from .engine.kernels import conv_scan, cuba_scan, dense_scan, keep_share, threads_for
from .engine.lanes import N16, N32
from .integer import BIAS_MAX, BIAS_MIN, DECAY_ONE, INPUT_LIMIT, MAX_DELAY, STATE_SHIFT
from .net import check_weight

THRESHOLD_NEVER = (1 << 18) - 1  # SLAYER writes 18 bits for a neuron that must not spike


def _require(ok, layer, text):
    if not ok:
        raise UserError(f"{layer}: {text}")


@dataclass(frozen=True, eq=False)
class Neuron:
    """CUBA neurons of one layer; equations in `sim.integer`.

    Attributes:
        i_decay: int32 [n] or [1], 0..4096; 0 keeps the current for ever.
        v_decay, v_th: one integer each, 0..4096 and 0..2**18 - 1; from 131072 on a neuron never spikes.
        bias: int32 [channels] or [1], -4096..4095.
    """

    i_decay: np.ndarray
    v_decay: int
    v_th: int
    bias: np.ndarray

    def check(self, layer, shape):
        """Raises `UserError`, naming `layer`, unless all values are in range and fit neurons of `shape`."""
        for name, value, sizes, low, high in (
            ("iDecay", self.i_decay, {1, int(np.prod(shape))}, 0, DECAY_ONE),
            ("bias", self.bias, {1, shape[0]}, BIAS_MIN, BIAS_MAX),
        ):
            _require(
                value.ndim == 1 and value.size in sizes,
                layer,
                f"{name} has shape {value.shape}, expected one or {sorted(sizes)[-1]} values",
            )
            _require(((low <= value) & (value <= high)).all(), layer, f"{name} outside {low}..{high}")
        _require(0 <= self.v_decay <= DECAY_ONE, layer, f"vDecay {self.v_decay} outside 0..{DECAY_ONE}")
        _require(0 <= self.v_th <= THRESHOLD_NEVER, layer, f"vThMant {self.v_th} outside 0..{THRESHOLD_NEVER}")


@dataclass(frozen=True, eq=False)
class InputLayer:
    """Where spikes come in, or, with a neuron, drive: integers in weight units, added to the neurons' input at every
    step.

    The host turns raw values x into drive as `weight * x + bias` (`transform`), as netx leaves it to the host too.
    """

    name: str
    shape: tuple
    neuron: Neuron = None
    transform: tuple = None

    def __post_init__(self):
        if self.neuron is not None:
            self.neuron.check(self.name, self.shape)


@dataclass(frozen=True, eq=False)
class FlattenLayer:
    """[channels, height, width] to one vector, channels slowest."""

    name: str
    shape: tuple


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """All-to-all synapses into CUBA neurons.

    Attributes:
        weight: int16 [n_out, n_in], even, [-256, 254].
        recurrent: int16 [n_out, n_out] or None: the layer's own spikes of the step before come back through it.
        axon_delay: int32 [n_out] or None: steps by which each neuron's spikes are late, 0..62.
        synapse_delay: int32 [n_out, n_in] or None: steps by which each synapse is late, 0..62.
    """

    name: str
    weight: np.ndarray
    neuron: Neuron
    recurrent: np.ndarray = None
    axon_delay: np.ndarray = None
    synapse_delay: np.ndarray = None

    def __post_init__(self):
        n_out, n_in = self.weight.shape
        fan_in = np.abs(self.weight.astype(np.int64)).sum(1)
        check_weight(self.weight, self.name)
        if self.recurrent is not None:
            check_weight(self.recurrent, self.name)
            _require(
                self.recurrent.shape == (n_out, n_out),
                self.name,
                f"recurrent weight has shape {self.recurrent.shape}, expected {(n_out, n_out)}",
            )
            fan_in = fan_in + np.abs(self.recurrent.astype(np.int64)).sum(1)
        _require_fan_in(fan_in, self.name)
        _require_delay(self.axon_delay, (n_out,), self.name)
        _require_delay(self.synapse_delay, (n_out, n_in), self.name)
        self.neuron.check(self.name, self.shape)

    @property
    def shape(self):
        return (self.weight.shape[0],)


@dataclass(frozen=True, eq=False)
class ConvLayer:
    """Convolution (correlation, as in torch: the kernel is not flipped) into CUBA neurons.

    Attributes:
        weight: int16 [channels_out, channels_in / groups, kernel height, kernel width], even, [-256, 254].
        stride, padding, dilation: (vertical, horizontal).
        in_shape: (channels, height, width) of the source.
        axon_delay: int32 [channels_out] or None, 0..62.
    """

    name: str
    weight: np.ndarray
    neuron: Neuron
    stride: tuple
    padding: tuple
    dilation: tuple
    groups: int
    in_shape: tuple
    axon_delay: np.ndarray = None

    def __post_init__(self):
        c_out, c_in = self.weight.shape[:2]
        check_weight(self.weight.reshape(c_out, -1), self.name)
        _require_fan_in(np.abs(self.weight.astype(np.int64)).sum((1, 2, 3)), self.name)
        _require(
            self.groups >= 1 and c_out % self.groups == 0 and c_in * self.groups == self.in_shape[0],
            self.name,
            f"kernel {self.weight.shape} in {self.groups} groups does not fit {self.in_shape[0]} input channels",
        )
        _require(
            min(self.stride) >= 1 and min(self.dilation) >= 1 and min(self.padding) >= 0,
            self.name,
            f"stride {self.stride} and dilation {self.dilation} must be positive, padding {self.padding} not negative",
        )
        _require(
            min(self.shape) >= 1, self.name, f"kernel {self.weight.shape[2:]} does not fit into {self.in_shape[1:]}"
        )
        _require_delay(self.axon_delay, (c_out,), self.name)
        self.neuron.check(self.name, self.shape)

    @property
    def shape(self):
        return (
            self.weight.shape[0],
            *(
                (size + 2 * p - d * (k - 1) - 1) // s + 1
                for size, p, d, k, s in zip(
                    self.in_shape[1:], self.padding, self.dilation, self.weight.shape[2:], self.stride
                )
            ),
        )


def _require_fan_in(fan_in, layer):
    _require(
        (fan_in <= INPUT_LIMIT).all(),
        layer,
        f"sum of |weights| of a neuron exceeds {INPUT_LIMIT}, the current could wrap twice in a step",
    )


def _require_delay(delay, shape, layer):
    if delay is not None:
        _require(delay.shape == shape, layer, f"delay has shape {delay.shape}, expected {shape}")
        _require(((0 <= delay) & (delay <= MAX_DELAY)).all(), layer, f"delay outside 0..{MAX_DELAY}")


@dataclass(frozen=True, eq=False)
class Sequential:
    """A chain of layers; the first is an `InputLayer`.

    `layers` take each other's shapes: checked when made.
    """

    layers: tuple

    def __post_init__(self):
        if not self.layers or not isinstance(self.layers[0], InputLayer):
            raise UserError("net: the first layer must be an input")
        for before, layer in zip(self.layers, self.layers[1:]):
            wanted = wanted_shape(layer, before.shape)
            _require(before.shape == wanted, layer.name, f"takes {wanted}, the layer before gives {before.shape}")

    @property
    def lags(self):
        """Layer name -> chip steps by which its output lags its stream step: one for each layer of synapses up to and
        including it.

        An input neuron answers in the step in which it is driven.
        """
        out, late = {}, 0
        for layer in self.layers:
            late += isinstance(layer, (DenseLayer, ConvLayer))
            out[layer.name] = late
        return out

    def run(self, x, currents=False):
        """Runs all layers.

        Args:
            x: [B, K, *input shape]: spikes 0 and 1, or, if the input layer has a neuron, integer drive, |drive| <=
                2**18.
            currents: also return the currents.

        Returns:
            dict: layer name -> uint8 [B, K, *shape] spikes. With `currents`: (that, the same with int32 currents u
                after each step).

        Raises:
            UserError: the input is for another geometry.
        """
        first = self.layers[0]
        x = np.asarray(x)
        if x.ndim < 3 or x.shape[2:] != first.shape:
            raise UserError(
                f"input has shape {x.shape}, the net takes [samples, steps, {', '.join(map(str, first.shape))}]"
            )
        limit = INPUT_LIMIT if first.neuron else 1
        if x.size and not (np.abs(x).max() <= limit and (x == np.floor(x)).all() and (first.neuron or x.min() >= 0)):
            raise UserError(f"input: expected {f'integers up to {limit}' if first.neuron else 'spikes, 0 or 1'}")
        spikes, states = {}, {}
        for layer in self.layers:
            with threads_for(len(x), x.shape[0] * x.shape[1] * int(np.prod(layer.shape))):
                x, u = run_layer(layer, x, currents)
            spikes[layer.name] = x
            if currents and u is not None:
                states[layer.name] = u.astype(np.int32)
        return (spikes, states) if currents else spikes


@singledispatch
def wanted_shape(layer, before):
    """The shape that `layer` takes as input, where `before` is offered."""
    raise TypeError(type(layer).__name__)


@wanted_shape.register
def _(layer: FlattenLayer, before):
    size = int(np.prod(layer.shape))
    return before if int(np.prod(before)) == size else (size,)


@wanted_shape.register
def _(layer: DenseLayer, before):
    return (layer.weight.shape[1],)


@wanted_shape.register
def _(layer: ConvLayer, before):
    return layer.in_shape


@singledispatch
def run_layer(layer, x, currents=True):
    """(spikes uint8 [B, K, *shape], currents float32 of the same shape or None) for input [B, K, *input shape].

    currents: whether to return them.
    """
    raise TypeError(type(layer).__name__)


@run_layer.register
def _(layer: InputLayer, x, currents=True):
    if layer.neuron is None:
        return x.astype(np.uint8), None
    return neurons(layer.neuron, dendrite(layer, x))


@run_layer.register
def _(layer: FlattenLayer, x, currents=True):
    return x.reshape(*x.shape[:2], -1), None


@run_layer.register
def _(layer: DenseLayer, x, currents=True):
    s, u = (_scan if layer.synapse_delay is None else _scan_delayed)(layer, x, currents)
    return delayed(s, layer.axon_delay), u


@run_layer.register
def _(layer: ConvLayer, x, currents=True):
    c_out, height, width = layer.shape
    lanes = -(-c_out // N32) * N32
    weights = np.zeros((layer.in_shape[0], *layer.weight.shape[2:], lanes), np.int32)
    for g, kernels in enumerate(np.split(layer.weight, layer.groups)):
        into, out = (slice(g * n, (g + 1) * n) for n in (kernels.shape[1], kernels.shape[0]))
        weights[into, :, :, out] = kernels.transpose(1, 2, 3, 0)
    taps = [
        _taps(*sizes)
        for sizes in zip(
            layer.in_shape[1:], layer.shape[1:], layer.weight.shape[2:], layer.stride, layer.padding, layer.dilation
        )
    ]
    place = np.full((height * width, lanes), -1, np.int32)
    place[:, :c_out] = np.arange(c_out * height * width).reshape(c_out, -1).T
    s, u = _outputs(x, layer.shape, currents)
    conv_scan(_bytes(x), weights.ravel(), *taps, width, *_constants(layer, place.ravel()), s, u)
    return delayed(s.reshape(*x.shape[:2], *layer.shape), layer.axon_delay), (
        u.reshape(*x.shape[:2], *layer.shape) if currents else None
    )


def _taps(size_in, size_out, kernel, stride, padding, dilation):
    """int32 [size_in, kernel]: the place in the output that an input reaches through each place of the kernel, or
    -1.
    """
    at, rest = np.divmod(np.arange(size_in)[:, None] + padding - np.arange(kernel) * dilation, stride)
    return np.where((rest == 0) & (0 <= at) & (at < size_out), at, -1).astype(np.int32)


def _bytes(x):
    """uint8 [B, K, m], contiguous."""
    return np.ascontiguousarray(x, np.uint8).reshape(*x.shape[:2], -1)


def _outputs(x, shape, currents):
    """Empty trains and currents for input `x`, as the kernels take them."""
    n = int(np.prod(shape))
    return np.zeros((*x.shape[:2], n), np.uint8), np.empty((x.shape[0], x.shape[1] if currents else 0, n), np.float32)


def _constants(layer, place):
    """What `dense_scan` and `conv_scan` take from `keep_u` to `v_th`."""
    neuron, n = layer.neuron, int(np.prod(layer.shape))
    keep, bias = np.zeros((2, len(place)), np.int32)
    real = place >= 0
    keep[real] = (DECAY_ONE - np.broadcast_to(neuron.i_decay, n))[place[real]]
    bias[real] = (np.broadcast_to(neuron.bias, layer.shape[0]).repeat(n // layer.shape[0]) << STATE_SHIFT)[place[real]]
    return keep, bias, place, DECAY_ONE - neuron.v_decay, neuron.v_th << STATE_SHIFT


def _scan(layer, x, currents):
    n = layer.shape[0]
    width = -(-n // N16) * N16
    matrix = layer.weight if layer.recurrent is None else np.concatenate([layer.weight, layer.recurrent], 1)
    weights = np.zeros((matrix.shape[1], width), np.int16)
    weights[:, :n] = matrix.T
    place = np.concatenate([np.arange(n), np.full(width - n, -1)]).astype(np.int32)
    s, u = _outputs(x, layer.shape, currents)
    dense_scan(_bytes(x), weights.ravel(), layer.recurrent is not None, *_constants(layer, place), s, u)
    return s, u if currents else None


def _scan_delayed(layer, x, currents):
    """Delays on synapses: the sources again for each delay, late by it, with the weights that are as late."""
    late = np.unique(layer.synapse_delay)
    x = _bytes(x)
    streams = [delayed(x, np.full(x.shape[2], d)) for d in late]
    parts = [np.where(layer.synapse_delay == d, layer.weight, 0) for d in late]
    return _scan(
        replace(layer, weight=np.concatenate(parts, 1).astype(np.int16), synapse_delay=None),
        np.concatenate(streams, 2),
        currents,
    )


@singledispatch
def dendrite(layer, x):
    """What comes in through the forward synapses for spikes `x`, integers in float32 [B, K, *shape].

    Exact: |a| <= 2**18 < 2**24.
    """
    raise TypeError(type(layer).__name__)


@dendrite.register
def _(layer: InputLayer, x):
    return x.astype(np.float32)


@dendrite.register
def _(layer: DenseLayer, x):
    x, weight = x.astype(np.float32), layer.weight.T.astype(np.float32)
    if layer.synapse_delay is None:
        return x @ weight
    total = np.zeros((*x.shape[:2], weight.shape[1]), np.float32)
    for d in np.unique(layer.synapse_delay):
        total[:, d:] += (x @ np.where(layer.synapse_delay.T == d, weight, 0))[:, : x.shape[1] - d]
    return total


@dendrite.register
def _(layer: ConvLayer, x):
    (top, left), (down, right), (gap_y, gap_x) = layer.padding, layer.stride, layer.dilation
    batch, steps = x.shape[:2]
    c_out, height, width = layer.shape
    frames = np.pad(x.reshape(-1, *x.shape[2:]), ((0, 0), (0, 0), (top, top), (left, left))).astype(np.float32)
    frames = frames.reshape(len(frames), layer.groups, -1, *frames.shape[2:])
    kernels = layer.weight.reshape(layer.groups, c_out // layer.groups, *layer.weight.shape[1:]).astype(np.float32)
    total = np.zeros((len(frames), layer.groups, c_out // layer.groups, height * width), np.float32)
    for y in range(kernels.shape[3]):
        for z in range(kernels.shape[4]):
            seen = frames[..., y * gap_y :, z * gap_x :][
                ..., : down * (height - 1) + 1 : down, : right * (width - 1) + 1 : right
            ]
            total += kernels[..., y, z] @ seen.reshape(*seen.shape[:3], -1)
    return total.reshape(batch, steps, c_out, height, width)


def neurons(neuron, a):
    """(spikes uint8, currents) of CUBA neurons from rest for dendritic input, float32 [B, K, *shape], which is
    overwritten with the currents.
    """
    shape = a.shape
    a = a.reshape(*shape[:2], -1)
    batch, _, n = a.shape
    keep = np.broadcast_to(keep_share(neuron.i_decay), n).copy()
    bias = np.broadcast_to(neuron.bias, shape[2]).repeat(n // shape[2]).astype(np.float64) * (1 << STATE_SHIFT)
    spikes = np.empty(a.shape, np.uint8)
    cuba_scan(
        a,
        keep,
        bias,
        float(keep_share(neuron.v_decay)),
        float(neuron.v_th << STATE_SHIFT),
        0,
        *np.zeros((2, batch, n)),
        spikes,
        np.zeros((batch, 4)),
    )
    return spikes.reshape(shape), a.reshape(shape)


def delayed(spikes, delay):
    """[B, K, channels, ...] with channel c late by `delay[c]` steps; zeros come in first. `delay` None: unchanged."""
    if delay is None:
        return spikes
    out = np.zeros_like(spikes)
    for d in np.unique(delay):
        out[:, d:, delay == d] = spikes[:, : max(spikes.shape[1] - d, 0), delay == d]
    return out

"""Layers at work: each is a function that takes its input a chunk of steps at a time and keeps its state in between."""

from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import NamedTuple

import numpy as np

from ..engine.graded import conv_graded, delta_scan, dense_graded
from ..engine.kernels import conv_scan, cuba_scan, dense_scan, keep_share, threads_for
from ..engine.lanes import N16, N32
from ..engine.resonator import resonator_scan
from ..integer import DECAY_ONE, STATE_SHIFT, cuba_step
from .cuba import Neuron
from .dendrite import dendrite
from .layers import AnyNeuron, AverageLayer, ConvLayer, DenseLayer, FlattenLayer, InputLayer, Layer, imaginary_part
from .resonator import Resonator
from .sigma_delta import Delta, Sigma, SigmaDelta, conv_loss, dense_loss
from .taps import taps_of


class Chunk(NamedTuple):
    """What a layer gives for some steps.

    Attributes:
        out: [B, K, *shape]: uint8 spikes, or int32 messages.
        states: name -> int32 [B, K, *shape] after each step, if asked for: `u`, `v` of CUBA neurons, `re`, `im` of
            resonators, `sigma` of sigma-delta ones.
        largest: (|state|, |message|) so far of sigma-delta neurons.
    """

    out: np.ndarray
    states: dict
    largest: tuple | None = None


@singledispatch
def start(layer: Layer, batch: int) -> Callable[..., Chunk]:
    """A function (x [B, K, *input shape], states=False) -> `Chunk` that runs `layer` from rest, chunk after chunk."""
    raise TypeError(type(layer).__name__)


def run_layer(layer: Layer, x: np.ndarray, currents: bool = True) -> tuple[np.ndarray, np.ndarray | None]:
    """(output [B, K, *shape], currents int32 of the same shape or None) for input [B, K, *input shape].

    currents: whether to return them.
    """
    chunk = start(layer, len(x))(np.asarray(x), currents)
    return chunk.out, chunk.states.get("u")


class Stream:
    """A batch of samples on its way through a net, a chunk of steps at a time; states stay between chunks.

    CUBA neurons begin at rest with the first stream step (Lava's `LIFReset` does that). Sigma-delta neurons cannot be
    reset: all layers wake at the same chip step, and what their biases make the layers before send is on its way when
    the first stream step arrives. So they begin as many steps earlier as their layer lags.

    Attributes:
        early: layer name -> [B, lag, *shape], what layers of sigma-delta neurons sent in those steps.
        largest: layer name -> (|state|, |message|) so far, of layers with sigma-delta neurons.
    """

    def __init__(self, net, batch: int):
        self.net, self.steps = net, [start(layer, batch) for layer in net.layers]
        self.early, self.largest = {}, {}
        if net.graded:
            self._wake(batch)

    def _wake(self, batch):
        x = np.zeros((batch, 0, *self.net.layers[0].shape), np.int32)
        for layer, step, late in zip(self.net.layers, self.steps, self.net.lags.values()):
            if late > x.shape[1]:  # one step more than the layer before
                x = np.concatenate([np.zeros_like(x, shape=(batch, 1, *x.shape[2:])), x], 1)
            self.early[layer.name] = x = step(x).out

    def advance(self, x: np.ndarray, states: Iterable[str] = ()) -> tuple:
        """(layer name -> output, layer name -> states) for the next steps.

        Args:
            x: [B, K, *input shape], checked (`Sequential.checked`).
            states: names of layers whose states to return.
        """
        out, kept = {}, {}
        for layer, step in zip(self.net.layers, self.steps):
            with threads_for(len(x), x.shape[0] * x.shape[1] * int(np.prod(layer.shape))):
                chunk = step(x, layer.name in states)
            out[layer.name] = x = chunk.out
            if layer.name in states:
                kept[layer.name] = chunk.states
            if chunk.largest:
                self.largest[layer.name] = chunk.largest
        return out, kept


def delay_line(delay: np.ndarray) -> Callable:
    """A function that makes channel c of chunks [B, K, channels, ...] late by `delay[c]` steps; zeros come first."""
    most, tail = int(delay.max()), None

    def late(x):
        nonlocal tail
        if tail is None:
            tail = np.zeros((len(x), most, *x.shape[2:]), x.dtype)
        whole, out = np.concatenate([tail, x], 1), np.empty_like(x)
        for d in np.unique(delay):
            out[:, :, delay == d] = whole[:, most - d : most - d + x.shape[1], delay == d]
        tail = whole[:, x.shape[1] :]
        return out

    return late


@start.register
def _(layer: FlattenLayer, batch):
    return lambda x, states=False: Chunk(x.reshape(*x.shape[:2], *layer.shape), {})


@start.register
def _(layer: AverageLayer, batch):
    def step(x, states=False):
        return Chunk(x.reshape(*x.shape[:2], layer.groups, layer.size).sum(3, dtype=np.int32), {})

    return step


@start.register
def _(layer: InputLayer, batch):
    if layer.neuron is None:
        return lambda x, states=False: Chunk(x.astype(np.uint8), {})
    return encode(layer.neuron, layer, batch)


@start.register
def _(layer: DenseLayer, batch):
    return _with_delay(layer, dense(layer.neuron, layer, batch))


@start.register
def _(layer: ConvLayer, batch):
    return _with_delay(layer, conv(layer.neuron, layer, batch))


def _with_delay(layer, step):
    if layer.axon_delay is None:
        return step
    late = delay_line(layer.axon_delay)

    def delayed(x, states=False):
        chunk = step(x, states)
        return chunk._replace(out=late(chunk.out))

    return delayed


# --- inputs


@singledispatch
def encode(neuron: AnyNeuron, layer: InputLayer, batch: int) -> Callable[..., Chunk]:
    """`start` for an input layer with `neuron`."""
    raise TypeError(type(neuron).__name__)


@encode.register
def _(neuron: Neuron, layer, batch):
    n = int(np.prod(layer.shape))
    keep = np.broadcast_to(keep_share(neuron.i_decay), n).copy()
    bias = per_neuron(neuron.bias, layer.shape).astype(np.float64) * (1 << STATE_SHIFT)
    u, v = np.zeros((2, batch, n))
    v_keep, v_th = float(keep_share(neuron.v_decay)), float(neuron.v_th << STATE_SHIFT)

    def step(x, states=False):
        a = x.astype(np.float32).reshape(*x.shape[:2], n)
        kept = {"u": a.astype(np.int32), "v": _voltages(neuron, layer, a, u, v)} if states else {}
        spikes = np.empty(a.shape, np.uint8)
        cuba_scan(a, keep, bias, v_keep, v_th, 0, u, v, spikes)
        return Chunk(spikes.reshape(x.shape), {name: state.reshape(x.shape) for name, state in kept.items()})

    return step


def _voltages(neuron, layer, a, u, v):
    """Voltages after each step, by definition: the kernel gives only the last."""
    bias, out = per_neuron(neuron.bias, layer.shape), np.empty(a.shape, np.int32)
    now = u.astype(np.int64), v.astype(np.int64)
    for k in range(a.shape[1]):
        now = cuba_step(*now, a[:, k], neuron.i_decay, neuron.v_decay, neuron.v_th, bias)[:2]
        out[:, k] = now[1]
    return out


@encode.register
def _(neuron: Delta, layer, batch):
    n = int(np.prod(layer.shape))
    act, residue = np.zeros((2, batch, n), np.int32)
    tops = np.zeros((batch, 2 * N32), np.int32)

    def step(x, states=False):
        flat = np.ascontiguousarray(x, np.int32).reshape(*x.shape[:2], n)
        out = np.empty(flat.shape, np.int32)
        delta_scan(flat, neuron.shift, neuron.v_th << neuron.shift, neuron.state_exp, act, residue, out, tops)
        return Chunk(out.reshape(x.shape), {}, _largest(tops))

    return step


def per_neuron(values: np.ndarray, shape: tuple) -> np.ndarray:
    """[n]: one value or one for each channel, spread over the neurons of `shape`."""
    n = int(np.prod(shape))
    return np.broadcast_to(values, shape[0]).repeat(n // shape[0])


def _largest(tops):
    return int(tops[:, :N32].max()), int(tops[:, N32:].max())


# --- dense layers


@singledispatch
def dense(neuron: AnyNeuron, layer: DenseLayer, batch: int) -> Callable[..., Chunk]:
    """`start` for a dense layer into `neuron`, without its axons' delay."""
    raise TypeError(type(neuron).__name__)


def _sources(layer):
    """(a function that gives what the synapses see, int16 [n_out, n_seen]): where synapses have delays, the sources
    again for each delay, late by it, with the weights that are as late.
    """
    if layer.synapse_delay is None:
        return (lambda x: x), layer.weight
    steps = np.unique(layer.synapse_delay)
    lines = [delay_line(np.full(layer.weight.shape[1], d)) for d in steps]
    parts = [np.where(layer.synapse_delay == d, layer.weight, 0) for d in steps]
    return (lambda x: np.concatenate([line(x) for line in lines], 2)), np.concatenate(parts, 1).astype(np.int16)


def _rows(matrix, lanes):
    """(int16, flat: a row for each source, filled up to a multiple of `lanes`; int32 places of the neurons or -1)."""
    n = len(matrix)
    width = -(-n // lanes) * lanes
    weights = np.zeros((matrix.shape[1], width), np.int16)
    weights[:, :n] = matrix.T
    return weights.ravel(), np.concatenate([np.arange(n), np.full(width - n, -1)]).astype(np.int32)


@dense.register
def _(neuron: Neuron, layer, batch):
    seen, matrix = _sources(layer)
    recurrent = layer.recurrent is not None
    weights, place = _rows(np.concatenate([matrix, layer.recurrent], 1) if recurrent else matrix, N16)
    constants, state = _constants(layer, place), np.zeros((3, batch, len(place)), np.int32)
    fired = np.zeros((batch, 1), np.int64)

    def step(x, states=False):
        spikes, kept = _outputs(x, layer, states)
        dense_scan(_bytes(seen(x)), weights, recurrent, *constants, *state, fired, spikes, kept)
        return _chunk(x, layer, spikes, kept, ("u", "v") if states else ())

    return step


@dense.register(Delta)
@dense.register(Sigma)
def _(neuron, layer, batch):
    seen, matrix = _sources(layer)
    weights, place = _rows(matrix, 2 * N16)
    return _graded_step(dense_graded, (weights,), dense_loss(layer), place, layer, batch, seen)


@dense.register
def _(neuron: Resonator, layer, batch):
    imaginary = imaginary_part(layer)
    seen, matrix = _sources(layer)
    parts = [matrix] if imaginary is None else [matrix, _sources(imaginary)[1]]
    columns = [part.T.astype(np.float32) for part in parts]
    return _resonating(layer, batch, seen, [lambda x, matrix=m: x @ matrix for m in columns])


def _resonating(layer, batch, seen, parts):
    """`start` for resonators; parts: functions from spikes, float32, to dendritic sums: real ones and, perhaps,
    imaginary ones.
    """
    neuron, n = layer.neuron, int(np.prod(layer.shape))
    sin, cos = (per_neuron(values, layer.shape) / DECAY_ONE for values in (neuron.sin_decay, neuron.cos_decay))
    re, im = np.zeros((2, batch, n))

    def step(x, states=False):
        spikes, kept = _outputs(x, layer, states)
        x = seen(x).astype(np.float32)
        sums = [part(x).reshape(spikes.shape) for part in parts]
        b = sums[1] if len(sums) > 1 else np.zeros_like(sums[0])
        resonator_scan(sums[0], b, sin, cos, float(neuron.v_th << STATE_SHIFT), neuron.resets, re, im, spikes, kept)
        return _chunk(x, layer, spikes, kept, ("re", "im") if states else ())

    return step


# --- convolutions


@singledispatch
def conv(neuron: AnyNeuron, layer: ConvLayer, batch: int) -> Callable[..., Chunk]:
    """`start` for a convolution into `neuron`, without its axons' delay."""
    raise TypeError(type(neuron).__name__)


def _kernels(layer):
    """What the kernels for convolutions take from `weights` to `row`, and the neurons' places: channels last."""
    c_out, height, width = layer.shape
    lanes = -(-c_out // N32) * N32
    weights = np.zeros((layer.in_shape[0], *layer.weight.shape[2:], lanes), np.int32)
    for g, kernels in enumerate(np.split(layer.weight, layer.groups)):
        into, out = (slice(g * n, (g + 1) * n) for n in (kernels.shape[1], kernels.shape[0]))
        weights[into, :, :, out] = kernels.transpose(1, 2, 3, 0)
    place = np.full((height * width, lanes), -1, np.int32)
    place[:, :c_out] = np.arange(c_out * height * width).reshape(c_out, -1).T
    return (weights.ravel(), *taps_of(layer), width), place.ravel()


@conv.register
def _(neuron: Neuron, layer, batch):
    kernels, place = _kernels(layer)
    constants, state = _constants(layer, place), np.zeros((3, batch, len(place)), np.int32)

    def step(x, states=False):
        spikes, kept = _outputs(x, layer, states)
        conv_scan(_bytes(x), *kernels, *constants, *state, spikes, kept)
        return _chunk(x, layer, spikes, kept, ("u", "v") if states else ())

    return step


@conv.register
def _(neuron: Resonator, layer, batch):
    imaginary = imaginary_part(layer)
    parts = [part for part in (layer, imaginary) if part is not None]
    return _resonating(layer, batch, lambda x: x, [lambda x, part=part: dendrite(part, x) for part in parts])


@conv.register(Delta)
@conv.register(Sigma)
def _(neuron, layer, batch):
    (weights, *_), place = _kernels(layer)
    lanes = len(place) // int(np.prod(layer.shape[1:]))
    synapses = (weights, *_reach(layer, lanes), lanes)
    return _graded_step(conv_graded, synapses, conv_loss(layer), place, layer, batch, lambda x: x)


def _reach(layer, lanes):
    """What `conv_graded` takes from `reach` to `at`."""
    (rows, columns), places = taps_of(layer), np.prod(layer.weight.shape[2:])
    hit = (rows[:, None, :, None] >= 0) & (columns[None, :, None, :] >= 0)
    into = (rows[:, None, :, None] * layer.shape[2] + columns[None, :, None, :]) * lanes
    hit, into = hit.reshape(-1, places), into.reshape(-1, places)
    order = np.argsort(~hit, axis=1, kind="stable")
    at = order * lanes
    return hit.sum(1).astype(np.int32), np.take_along_axis(into, order, 1).astype(np.int32), at.astype(np.int32)


# --- what dense layers and convolutions share


def _bytes(x):
    """uint8 [B, K, m], contiguous."""
    return np.ascontiguousarray(x, np.uint8).reshape(*x.shape[:2], int(np.prod(x.shape[2:])))


def _outputs(x, layer, states):
    """Empty trains and states for input `x`, as the kernels take them."""
    n = int(np.prod(layer.shape))
    return np.zeros((*x.shape[:2], n), np.uint8), np.empty((len(x), x.shape[1] if states else 0, 2, n), np.int32)


def _chunk(x, layer, spikes, kept, names):
    """names: of the states in `kept`, if they were asked for."""
    shape = (*x.shape[:2], *layer.shape)
    return Chunk(spikes.reshape(shape), {name: kept[:, :, i].reshape(shape) for i, name in enumerate(names)})


def _constants(layer, place):
    """What `dense_scan` and `conv_scan` take from `keep_u` to `v_th`."""
    neuron, n = layer.neuron, int(np.prod(layer.shape))
    keep, bias = np.zeros((2, len(place)), np.int32)
    real = place >= 0
    keep[real] = (DECAY_ONE - np.broadcast_to(neuron.i_decay, n))[place[real]]
    bias[real] = (per_neuron(neuron.bias, layer.shape) << STATE_SHIFT)[place[real]]
    return keep, bias, place, DECAY_ONE - neuron.v_decay, neuron.v_th << STATE_SHIFT


def _graded_step(kernel, synapses, loss, place, layer, batch, seen):
    """`start` for sigma-delta and sigma neurons behind `synapses`, what `kernel` takes before `sums`."""
    neuron, n, real = layer.neuron, int(np.prod(layer.shape)), place >= 0
    bias, v_th, state_exp, sums = np.zeros(len(place), np.int32), 0, 0, isinstance(neuron, Sigma)
    if isinstance(neuron, SigmaDelta):
        v_th, state_exp = neuron.v_th << neuron.shift, neuron.state_exp
        bias[real] = (per_neuron(neuron.bias, layer.shape) << neuron.shift)[place[real]]
    state, tops = np.zeros((3, batch, len(place)), np.int32), np.zeros((batch, 2 * N32), np.int32)

    def step(x, states=False):
        x = seen(x)
        messages = np.ascontiguousarray(x, np.int32).reshape(*x.shape[:2], int(np.prod(x.shape[2:])))
        out = np.zeros((*x.shape[:2], n), np.int32)
        sigmas = np.empty((len(x), x.shape[1] if states else 0, n), np.int32)
        kernel(messages, *synapses, sums, loss, bias, v_th, state_exp, place, *state, out, sigmas, tops)
        shape = (*x.shape[:2], *layer.shape)
        return Chunk(out.reshape(shape), {"sigma": sigmas.reshape(shape)} if states else {}, _largest(tops))

    return step

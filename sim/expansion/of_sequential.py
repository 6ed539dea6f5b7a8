"""The expansion of a chain of layers: a layer is a population, a dense one for each of its current decays."""

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any

import numpy as np
from scipy import sparse

from ..sequential import (
    AverageLayer,
    ConvLayer,
    Delta,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Neuron,
    Resonator,
    Sequential,
    Sigma,
    SigmaDelta,
    imaginary_part,
)
from ..sequential.layers import AnyNeuron, Layer
from ..sequential.sigma_delta import dense_loss
from .parts import CUBA, DELTA, RESONATOR, SIGMA, SIGMA_DELTA, Builder, Expansion, Line, Population, Projection, Reset
from .weights import Kernel


class _ChainBuilder(Builder):
    """Attributes: lines, outputs; source: what the next layer reads (as in `Expansion.outputs`); late: int [neurons]
    or 0, axon delay of each of them; lags: of the net; slot: see `expand`.
    """

    def __init__(self, lags, slot):
        super().__init__()
        self.lines, self.outputs, self.source, self.late = [], {}, (), 0
        self.lags, self.slot = lags, slot

    def population(self, layer, name, rows, inputs) -> Population:
        """The neurons `rows` of a layer."""
        return population_of(layer, name, rows, inputs, self.lags[layer.name], self.slot)


def expand_sequential(net: Sequential, wanted: Sequence[str] = (), slot: int | None = None) -> Expansion:
    """See `expand`; every layer reaches the last, and only `slot` says how long a sample is."""
    builder = _ChainBuilder(net.lags, slot)
    for layer in net.layers:
        builder.source = builder.outputs[layer.name] = expand_layer(layer, builder)
        builder.late = _late(layer, builder.late)
    last = net.layers[-1].name
    return Expansion(tuple(builder.populations), tuple(builder.lines), builder.outputs, None, slot, net.lags[last])


@singledispatch
def expand_layer(layer: Layer, builder: Builder) -> tuple:
    """Adds what a layer consists of to the builder; returns what holds its neurons."""
    raise TypeError(type(layer).__name__)


@expand_layer.register(FlattenLayer)
@expand_layer.register(AverageLayer)  # the host takes averages
def _(layer, builder):
    return builder.source


@expand_layer.register
def _(layer: InputLayer, builder):
    n = int(np.prod(layer.shape))
    if layer.neuron is None:
        builder.lines.append(Line(layer.name, n, "input spikes"))
        return (builder.lines[-1],)
    drive = Line(f"{layer.name}.drive", n, "input values", graded=True)
    builder.lines.append(drive)
    wires = sparse.identity(n, "int16", "csr")  # the values as they are
    inputs = (Projection(drive.name, layer.name, wires, graded=True, injected=True),)
    return (builder.add(builder.population(layer, layer.name, np.arange(n), inputs)),)


@expand_layer.register
def _(layer: ConvLayer, builder):
    n = int(np.prod(layer.shape))
    (source,) = builder.source
    late = np.unique(builder.late)
    delay = int(late[0]) if len(late) == 1 else builder.late[None, :]
    inputs = (builder.convolve(source, layer.name, kernel_of(layer), delay),)
    imaginary = imaginary_part(layer)
    if imaginary is not None:
        inputs += (replace(builder.convolve(source, layer.name, kernel_of(imaginary), delay), imaginary=True),)
    return (builder.add(builder.population(layer, layer.name, np.arange(n), inputs)),)


def kernel_of(layer: ConvLayer) -> Kernel:
    """Its weights and how they are laid over the source."""
    steps = layer.stride, layer.padding, layer.dilation
    return Kernel(layer.weight, layer.in_shape, layer.shape, *steps, layer.groups, layer.spread, layer.plain)


@expand_layer.register
def _(layer: DenseLayer, builder):
    groups = by_decay(layer.name, layer.neuron, layer.shape)
    own = [builder.population(layer, name, rows, ()) for name, rows in groups]  # what a recurrent layer reads
    delay = builder.late if layer.synapse_delay is None else builder.late + layer.synapse_delay
    of = lambda rows: np.broadcast_to(delay, layer.weight.shape)[rows] if np.ndim(delay) else delay  # noqa: E731
    out, loss = [], dense_loss(layer) if layer.neuron.graded else 0
    for name, rows in groups:
        inputs = builder.connect(builder.source, name, layer.weight[rows], of(rows))
        inputs = tuple(replace(j, loss=loss) for j in inputs)
        if layer.imaginary is not None:
            more = builder.connect(builder.source, name, layer.imaginary[rows], of(rows))
            inputs += tuple(replace(j, imaginary=True) for j in more)
        if layer.recurrent is not None:
            inputs += builder.connect(own, name, layer.recurrent[rows])
        out.append(builder.add(builder.population(layer, name, rows, inputs)))
    return tuple(out)


def by_decay(name: str, neuron: AnyNeuron, shape: tuple) -> list:
    """(name of a population, its neurons) for neurons of one current decay, or one turn, each."""
    of_all = constants(neuron, shape)
    key = of_all["turn"] if "turn" in of_all else of_all["i_decay"][None]
    found, which = np.unique(key, axis=1, return_inverse=True)
    if found.shape[1] == 1:
        return [(name, np.arange(key.shape[1]))]
    label = lambda i: ",".join(str(v) for v in found[:, i])  # noqa: E731
    return [(f"{name}[{label(i)}]", np.flatnonzero(which.ravel() == i)) for i in range(found.shape[1])]


def population_of(layer: Any, name: str, rows: np.ndarray, inputs: Sequence, lag: int, slot: int | None) -> Population:
    """The neurons `rows` of a layer whose output lags by `lag`; with samples of `slot` chip steps CUBA neurons begin
    each at rest.
    """
    of_all = constants(layer.neuron, layer.shape)
    own = {key: of_all.pop(key)[..., rows] for key in ("i_decay", "bias", "turn") if key in of_all}
    reset = Reset(slot, lag % slot) if slot and of_all["kind"] == CUBA else None
    return Population(name=name, layer=layer.name, index=rows, inputs=tuple(inputs), reset=reset, **own, **of_all)


@singledispatch
def constants(neuron: AnyNeuron, shape: tuple) -> dict:
    """What a `Population` of such neurons says of them: `kind`, `i_decay` and `bias` int32 [n], `v_decay`, `v_th`,
    `graded`, the exponents of sigma-delta neurons, `turn` and `resets` of resonators.
    """
    raise TypeError(type(neuron).__name__)


@constants.register
def _(neuron: Neuron, shape):
    n = int(np.prod(shape))
    i_decay = np.broadcast_to(neuron.i_decay, n).astype(np.int32)
    return dict(
        kind=CUBA, i_decay=i_decay, bias=_bias(neuron, shape), v_decay=neuron.v_decay, v_th=neuron.v_th, graded=False
    )


@constants.register
def _(neuron: Resonator, shape):
    n = int(np.prod(shape))
    turn = np.array([np.broadcast_to(v, shape[0]).repeat(n // shape[0]) for v in (neuron.sin_decay, neuron.cos_decay)])
    lasting = _lasting(RESONATOR, neuron.v_th, np.zeros(n, np.int32))
    return lasting | dict(graded=False, turn=turn, resets=neuron.resets)


@constants.register
def _(neuron: Delta, shape):
    return _encoding(DELTA, neuron, np.zeros(int(np.prod(shape)), np.int32))


@constants.register
def _(neuron: SigmaDelta, shape):
    return _encoding(SIGMA_DELTA, neuron, _bias(neuron, shape))


@constants.register
def _(neuron: Sigma, shape):
    return _lasting(SIGMA, 0, np.zeros(int(np.prod(shape)), np.int32))


def _encoding(kind, neuron, bias):
    return _lasting(kind, neuron.v_th, bias) | dict(spike_exp=neuron.spike_exp, state_exp=neuron.state_exp)


def _lasting(kind, v_th, bias):
    """Neurons that add up and forget nothing."""
    return dict(kind=kind, i_decay=np.zeros_like(bias), bias=bias, v_decay=0, v_th=v_th, graded=True)


def _bias(neuron, shape):
    """int32 [n]; a bias belongs to a channel."""
    n = int(np.prod(shape))
    return np.repeat(np.broadcast_to(neuron.bias, shape[0]), n // shape[0]).astype(np.int32)


@singledispatch
def _late(layer, before) -> Any:
    """int [neurons] or 0: the axon delays of a layer's neurons; `before`: those of the layer before."""
    return 0


@_late.register
def _(layer: FlattenLayer, before):
    return before


@_late.register(DenseLayer)
@_late.register(ConvLayer)
def _(layer, before):
    if layer.axon_delay is None:
        return 0
    return np.repeat(layer.axon_delay, int(np.prod(layer.shape)) // layer.shape[0])

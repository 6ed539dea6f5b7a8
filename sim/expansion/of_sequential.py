"""The expansion of a SLAYER net: a layer is a population, a dense one for each of its current decays."""

from functools import singledispatch

import numpy as np
from scipy import sparse

from ..sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Sequential
from .parts import CUBA, Builder, Expansion, Line, Population, Projection
from .weights import Kernel


class _ChainBuilder(Builder):
    """Attributes: lines, outputs; source: what the next layer reads (as in `Expansion.outputs`); late: int [neurons]
    or 0, axon delay of each of them.
    """

    def __init__(self):
        super().__init__()
        self.lines, self.outputs, self.source, self.late = [], {}, (), 0


def expand_sequential(net: Sequential, wanted=(), slot=None) -> Expansion:
    """See `expand`; every layer reaches the last, and nothing says how long a sample is."""
    builder = _ChainBuilder()
    for layer in net.layers:
        builder.source = builder.outputs[layer.name] = expand_layer(layer, builder)
        builder.late = _late(layer, builder.late)
    last = net.layers[-1].name
    return Expansion(tuple(builder.populations), tuple(builder.lines), builder.outputs, None, None, net.lags[last])


@singledispatch
def expand_layer(layer, builder) -> tuple:
    """Adds what a layer consists of to the builder; returns what holds its neurons."""
    raise TypeError(type(layer).__name__)


@expand_layer.register
def _(layer: FlattenLayer, builder):
    return builder.source


@expand_layer.register
def _(layer: InputLayer, builder):
    n = int(np.prod(layer.shape))
    if layer.neuron is None:
        builder.lines.append(Line(layer.name, n, "input spikes"))
        return (builder.lines[-1],)
    drive = Line(f"{layer.name}.drive", n, "input values", graded=True)
    builder.lines.append(drive)
    wires = sparse.identity(n, np.int16, "csr")  # the values as they are
    inputs = (Projection(drive.name, layer.name, wires, graded=True),)
    return (builder.add(_population(layer, layer.name, np.arange(n), inputs)),)


@expand_layer.register
def _(layer: ConvLayer, builder):
    n = int(np.prod(layer.shape))
    kernel = Kernel(
        layer.weight, layer.in_shape, layer.shape, layer.stride, layer.padding, layer.dilation, layer.groups
    )
    (source,) = builder.source
    late = np.unique(builder.late)
    delay = int(late[0]) if len(late) == 1 else builder.late[None, :]
    inputs = (Projection(source.name, layer.name, kernel, delay, graded=source.graded),)
    return (builder.add(_population(layer, layer.name, np.arange(n), inputs)),)


@expand_layer.register
def _(layer: DenseLayer, builder):
    i_decay = np.broadcast_to(layer.neuron.i_decay, layer.shape[0])
    decays = np.unique(i_decay)
    names = {d: layer.name if len(decays) == 1 else f"{layer.name}[{d}]" for d in decays}
    rows = {d: np.flatnonzero(i_decay == d) for d in decays}
    own = [_population(layer, names[d], rows[d], ()) for d in decays]  # what a recurrent layer reads
    delay = builder.late if layer.synapse_delay is None else builder.late + layer.synapse_delay
    of = lambda rows: np.broadcast_to(delay, layer.weight.shape)[rows] if np.ndim(delay) else delay  # noqa: E731
    out = []
    for d in decays:
        inputs = builder.connect(builder.source, names[d], layer.weight[rows[d]], of(rows[d]))
        if layer.recurrent is not None:
            inputs += builder.connect(own, names[d], layer.recurrent[rows[d]])
        out.append(builder.add(_population(layer, names[d], rows[d], inputs)))
    return tuple(out)


def _population(layer, name, rows, inputs):
    """The neurons `rows` of a layer; a bias belongs to a channel."""
    n = int(np.prod(layer.shape))
    neuron = layer.neuron
    bias = np.repeat(np.broadcast_to(neuron.bias, layer.shape[0]), n // layer.shape[0]).astype(np.int32)
    i_decay = np.broadcast_to(neuron.i_decay, n).astype(np.int32)
    return Population(
        name, layer.name, CUBA, rows, tuple(inputs), i_decay[rows], neuron.v_decay, neuron.v_th, bias[rows]
    )


@singledispatch
def _late(layer, before):
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

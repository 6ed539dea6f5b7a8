"""The layers of a chain: synapses and neurons, and what only reorders. Shapes and ranges are checked when one is
made."""

import math
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import TypeAlias, TypeVar

import numpy as np

from ..base.memory import NEURONS_LIMIT
from ..integer import fan_in
from ..net import check_weight
from .checks import require, require_delay, require_fan_in
from .cuba import Neuron
from .resonator import Resonator
from .sigma_delta import Delta, Sigma, SigmaDelta


@dataclass(frozen=True, eq=False)
class InputLayer:
    """Where spikes come in, or, with a CUBA neuron, drive: integers in weight units, added to the neurons' input at
    every step; or, with a delta encoder, values.

    The host turns raw values x into these as `weight * x + bias` (`transform`), as netx leaves it to the host too.
    """

    name: str
    shape: tuple
    neuron: Neuron | Delta | None = None
    transform: tuple | None = None

    def __post_init__(self):
        if self.neuron is not None:
            self.neuron.check(self.name, self.shape)


@dataclass(frozen=True, eq=False)
class FlattenLayer:
    """[channels, height, width] to one vector, channels slowest."""

    name: str
    shape: tuple


@dataclass(frozen=True, eq=False)
class AverageLayer:
    """The sums over groups of `size` neurons that follow one another; the host divides by `size`."""

    name: str
    groups: int
    size: int

    def __post_init__(self):
        require(self.groups >= 1 and self.size >= 1, self.name, f"{self.groups} groups of {self.size} are not positive")

    @property
    def shape(self) -> tuple:
        return (self.groups,)


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """All-to-all synapses into neurons.

    Attributes:
        weight: int16 [n_out, n_in], even, [-256, 254].
        recurrent: int16 [n_out, n_out] or None: the layer's own spikes of the step before come back through it.
        axon_delay: int32 [n_out] or None: steps by which each neuron's spikes are late, 0..62; those that come back
            are not.
        synapse_delay: int32 [n_out, n_in] or None: steps by which each synapse is late, 0..62.
        imaginary: as `weight`, or None for zeros: what goes into the imaginary input of resonators.
    """

    name: str
    weight: np.ndarray
    neuron: Neuron | SigmaDelta | Sigma | Resonator
    recurrent: np.ndarray | None = None
    axon_delay: np.ndarray | None = None
    synapse_delay: np.ndarray | None = None
    imaginary: np.ndarray | None = None

    def __post_init__(self):
        n_out, n_in = self.weight.shape
        check_weight(self.weight, self.name)
        total = fan_in(self.weight)
        if self.recurrent is not None:
            plain = isinstance(self.neuron, Neuron)
            require(plain, self.name, "only CUBA neurons are supported with recurrent synapses")
            check_weight(self.recurrent, self.name)
            require(
                self.recurrent.shape == (n_out, n_out),
                self.name,
                f"recurrent weight has shape {self.recurrent.shape}, expected {(n_out, n_out)}",
            )
            total = total + fan_in(self.recurrent)
        if not self.neuron.takes_graded:
            require_fan_in(total, self.name)
        _check_imaginary(self)
        require_delay(self.axon_delay, (n_out,), self.name)
        require_delay(self.synapse_delay, (n_out, n_in), self.name)
        self.neuron.check(self.name, self.shape)

    @property
    def shape(self) -> tuple:
        return (self.weight.shape[0],)


@dataclass(frozen=True, eq=False)
class ConvLayer:
    """Convolution (correlation, as in torch: the kernel is not flipped) into neurons.

    Attributes:
        weight: int16 [channels_out, channels_in / groups, kernel height, kernel width], even, [-256, 254].
        stride, padding, dilation: (vertical, horizontal).
        in_shape: (channels, height, width) of the source.
        axon_delay: int32 [channels_out] or None, 0..62.
        imaginary: as of `DenseLayer`.
        spread: (vertical, horizontal) distance at which the kernel sees neighbours of the source, zeros between them:
            above 1 in what is trained as a transposed convolution of that stride; a negative padding cuts there.
        overhang: rows below and columns to the right of the source, of zeros, beside the padding.
    """

    name: str
    weight: np.ndarray
    neuron: Neuron | SigmaDelta | Sigma | Resonator
    stride: tuple
    padding: tuple
    dilation: tuple
    groups: int
    in_shape: tuple
    axon_delay: np.ndarray | None = None
    imaginary: np.ndarray | None = None
    spread: tuple = (1, 1)
    overhang: tuple = (0, 0)

    def __post_init__(self):
        c_out, c_in = self.weight.shape[:2]
        check_weight(self.weight.reshape(c_out, -1), self.name)
        if not self.neuron.takes_graded:
            require_fan_in(self.fan_in, self.name)
        _check_imaginary(self)
        require(
            self.groups >= 1 and c_out % self.groups == 0 and c_in * self.groups == self.in_shape[0],
            self.name,
            f"kernel {self.weight.shape} in {self.groups} groups does not fit {self.in_shape[0]} input channels",
        )
        cuts = self.spread != (1, 1)
        require(
            min(self.stride) >= 1 and min(self.dilation) >= 1 and (cuts or min(self.padding) >= 0),
            self.name,
            f"stride {self.stride} and dilation {self.dilation} must be positive, padding {self.padding} not negative",
        )
        require(
            min(self.spread) >= 1 and min(self.overhang) >= 0,
            self.name,
            f"spread {self.spread} must be positive, overhang {self.overhang} not negative",
        )
        require(
            min(self.shape) >= 1, self.name, f"kernel {self.weight.shape[2:]} does not fit into {self.in_shape[1:]}"
        )
        require(
            math.prod(self.shape) <= NEURONS_LIMIT,
            self.name,
            f"kernel, stride and padding make {math.prod(self.shape):,} neurons, expected {NEURONS_LIMIT:,} at most",
        )
        require_delay(self.axon_delay, (c_out,), self.name)
        self.neuron.check(self.name, self.shape)

    @property
    def shape(self) -> tuple:
        return (
            self.weight.shape[0],
            *(
                ((size - 1) * apart + 2 * p + over - d * (k - 1)) // s + 1
                for size, apart, p, over, d, k, s in zip(
                    self.in_shape[1:],
                    self.spread,
                    self.padding,
                    self.overhang,
                    self.dilation,
                    self.weight.shape[2:],
                    self.stride,
                )
            ),
        )

    @property
    def plain(self) -> bool:
        """Whether it is what Lava and other tools call a convolution."""
        return self.spread == (1, 1) and self.overhang == (0, 0)

    @property
    def fan_in(self) -> np.ndarray:
        """int64 [channels_out]: the largest sum of |weights| that any neuron can get: a kernel reads a spread source
        only through places of one phase.
        """
        (rows, columns), (gap_y, gap_x) = self.weight.shape[2:], self.dilation
        phase_y, phase_x = (np.arange(rows) * gap_y % self.spread[0]), (np.arange(columns) * gap_x % self.spread[1])
        return np.max(
            [
                fan_in(self.weight[:, :, phase_y == y][:, :, :, phase_x == x])
                for y in np.unique(phase_y)
                for x in np.unique(phase_x)
            ],
            axis=0,
        )


Layer: TypeAlias = InputLayer | FlattenLayer | AverageLayer | DenseLayer | ConvLayer
AnyNeuron: TypeAlias = Neuron | Resonator | Delta | Sigma
Weighted = TypeVar("Weighted", DenseLayer, ConvLayer)


def _check_imaginary(layer):
    weight = layer.imaginary
    if weight is None:
        return
    require(isinstance(layer.neuron, Resonator), layer.name, "imaginary weights into neurons that are no resonators")
    require(weight.shape == layer.weight.shape, layer.name, f"imaginary weight has shape {weight.shape}")
    rows = weight.reshape(len(weight), -1)
    check_weight(rows, layer.name)
    require_fan_in(fan_in(rows), layer.name)


def imaginary_part(layer: Weighted) -> Weighted | None:
    """A layer's imaginary synapses as a layer of their own, or None if it has none."""
    return None if layer.imaginary is None else replace(layer, weight=layer.imaginary, imaginary=None)


@singledispatch
def wanted_shape(layer: Layer, before: tuple) -> tuple:
    """The shape that `layer` takes as input, where `before` is offered."""
    raise TypeError(type(layer).__name__)


@wanted_shape.register
def _(layer: FlattenLayer, before):
    size = int(np.prod(layer.shape))
    return before if int(np.prod(before)) == size else (size,)


@wanted_shape.register
def _(layer: AverageLayer, before):
    return (layer.groups * layer.size,)


@wanted_shape.register
def _(layer: DenseLayer, before):
    return (layer.weight.shape[1],)


@wanted_shape.register
def _(layer: ConvLayer, before):
    return layer.in_shape

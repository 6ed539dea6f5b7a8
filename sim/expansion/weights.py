"""Weights of a projection in three forms: a dense matrix, a sparse one (csr), or the kernel of a convolution."""

from dataclasses import dataclass
from functools import singledispatch
from typing import TypeAlias

import numpy as np
from scipy import sparse

from ..sequential.taps import taps

SPARSE_SHARE = 0.5  # up to this share of weights that are not zero a matrix is kept sparse


@dataclass(frozen=True, eq=False)
class Kernel:
    """A convolution: source neurons that see the same part of the kernel have the same weights.

    Attributes:
        weight: [channels_out, channels_in / groups, kernel height, kernel width].
        in_shape, out_shape: (channels, height, width); neurons are in this order, the width runs fastest.
        stride, padding, dilation, spread: (vertical, horizontal), see `sim.sequential.ConvLayer`.
        plain: whether Lava's convolution computes it.
    """

    weight: np.ndarray
    in_shape: tuple
    out_shape: tuple
    stride: tuple
    padding: tuple
    dilation: tuple
    groups: int
    spread: tuple = (1, 1)
    plain: bool = True

    @property
    def shape(self) -> tuple:
        """(targets, sources)."""
        return int(np.prod(self.out_shape)), int(np.prod(self.in_shape))

    @property
    def reach(self) -> np.ndarray:
        """int [in pixels, kernel places]: the output pixel that an input pixel reaches through each place of the
        kernel, -1 for none.
        """
        (_, height, width), (_, out_height, out_width) = self.in_shape, self.out_shape
        k_height, k_width = self.weight.shape[2:]
        pairs = zip(self.stride, self.padding, self.dilation, self.spread)
        sizes = ((height, out_height, k_height), (width, out_width, k_width))
        rows, columns = (taps(*size, *steps).astype(np.int64) for size, steps in zip(sizes, pairs))
        target = rows[:, None, :, None] * out_width + columns[None, :, None, :]
        hit = (rows[:, None, :, None] >= 0) & (columns[None, :, None, :] >= 0)
        return np.where(hit, target, -1).reshape(height * width, k_height * k_width)

    def matrix(self) -> sparse.csr_matrix:
        """int16 [targets, sources], synapse by synapse."""
        reach, (c_out, per_group) = self.reach, self.weight.shape[:2]
        pixel, place = np.nonzero(reach >= 0)
        c, i = np.arange(c_out)[:, None, None], np.arange(per_group)[None, :, None]
        source = (c // (c_out // self.groups) * per_group + i) * len(reach) + pixel
        target = c * (self.out_shape[1] * self.out_shape[2]) + 0 * i + reach[pixel, place]
        kernel = self.weight.reshape(c_out, per_group, -1)[:, :, place]
        found = kernel != 0
        return sparse.csr_matrix((kernel[found], (target[found], source[found])), self.shape)


Weight: TypeAlias = np.ndarray | sparse.csr_matrix | Kernel


def compact(weight: np.ndarray) -> np.ndarray | sparse.csr_matrix:
    """The matrix itself, or a csr matrix if at most `SPARSE_SHARE` of it are not zero."""
    if np.count_nonzero(weight) > SPARSE_SHARE * weight.size:
        return weight
    return sparse.csr_matrix(weight)


@singledispatch
def count(weight: Weight) -> tuple:
    """(places, non-zero synapses) of a whole projection, each target neuron's counted, shared or not."""
    raise TypeError(type(weight).__name__)


@count.register
def _(weight: np.ndarray):
    return weight.size, int(np.count_nonzero(weight))


@count.register(sparse.csr_matrix)
def _(weight):
    return int(np.prod(weight.shape)), weight.nnz


@count.register
def _(weight: Kernel):
    hit = weight.reach >= 0
    per_place = np.count_nonzero(
        weight.weight, axis=(0, 1)
    ).ravel()  # every group's channels see every place of the kernel
    places = int(hit.sum()) * weight.weight.shape[0] * weight.weight.shape[1]
    return places, int(hit.sum(0) @ per_place)


@singledispatch
def values(weight: Weight) -> np.ndarray:
    """The weights that are stored, any shape."""
    raise TypeError(type(weight).__name__)


@values.register
def _(weight: np.ndarray):
    return weight


@values.register(sparse.csr_matrix)
def _(weight):
    return weight.data


@values.register
def _(weight: Kernel):
    return weight.weight

"""What stands between two populations of a NIR graph, put together to one linear map: a kernel as long as it is a
convolution, a matrix otherwise. In real numbers, step by step; the populations' neurons are not its business.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from sim.base.errors import UserError

from .values import SHAPE_LIMIT

MATRIX_LIMIT = 1 << 26  # numbers of a matrix


@dataclass(frozen=True, eq=False)
class Kernel:
    """A convolution of [channels, height, width] (correlation, as in torch).

    Attributes:
        weight: [channels_out, channels_in / groups, height, width]. stride, padding: (vertical, horizontal).
    """

    weight: np.ndarray
    stride: tuple
    padding: tuple
    groups: int

    @property
    def depthwise(self) -> bool:
        """Whether every channel stays for itself."""
        return self.groups == self.weight.shape[0] and self.weight.shape[1] == 1

    def shape(self, before: tuple) -> tuple:
        """What it makes of `before`."""
        sizes = zip(before[1:], self.weight.shape[2:], self.stride, self.padding)
        return (self.weight.shape[0], *((n + 2 * p - k) // s + 1 for n, k, s, p in sizes))

    def matrix(self, before: tuple) -> np.ndarray:
        """[neurons out, neurons in]."""
        shape, (c_out, c_in) = self.shape(before), self.weight.shape[:2]
        out = np.zeros((*shape, *before))
        grid = np.indices(shape[1:])
        y, x = grid[0], grid[1]
        each = c_out // self.groups
        for p, q in np.ndindex(self.weight.shape[2:]):
            at_y, at_x = y * self.stride[0] - self.padding[0] + p, x * self.stride[1] - self.padding[1] + q
            real = (0 <= at_y) & (at_y < before[1]) & (0 <= at_x) & (at_x < before[2])
            for g in range(self.groups):
                o = np.arange(g * each, (g + 1) * each).reshape(-1, 1, 1)
                i = np.arange(g * c_in, (g + 1) * c_in).reshape(1, -1, 1)
                part = self.weight[g * each : (g + 1) * each, :, p, q]
                out[o, y[real], x[real], i, at_y[real], at_x[real]] += part[..., None]
        return out.reshape(int(np.prod(shape)), -1)


@dataclass(frozen=True, eq=False)
class Map:
    """y = M x + bias, of sources of shape `before`.

    Attributes:
        shape: of y.
        kernel, matrix: M; if neither is there, M is diagonal.
        scale: [n], the diagonal.
        bias: [n]. delay: steps, int [sources], by which each source is late. late: steps, int [n], by which each y is.
        tau: seconds, where a leaky integrator smooths x on its way, or None.
    """

    before: tuple
    shape: tuple
    kernel: Kernel | None
    matrix: np.ndarray | None
    scale: np.ndarray | None
    bias: np.ndarray
    delay: np.ndarray
    late: np.ndarray
    tau: float | None = None

    @property
    def alone(self) -> bool:
        """Whether M is the identity."""
        if self.kernel is not None:
            k = self.kernel
            return k.weight.shape[1:] == (1, 1, 1) and (k.weight == 1).all() and k.shape(self.before) == self.before
        return self.scale is not None and bool((self.scale == 1).all())


def identity(shape: tuple) -> Map:
    """What an edge alone is."""
    n = int(np.prod(shape))
    return Map(shape, shape, None, None, np.ones(n), np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64))


def require_size(rows: int, columns: int, name: str) -> None:
    """Refuses matrices that are no use to anybody."""
    if rows * columns > MATRIX_LIMIT:
        raise UserError(f"node {name!r}: takes a matrix of {rows} x {columns}, more than {MATRIX_LIMIT} numbers")


def as_matrix(m: Map, name: str) -> np.ndarray:
    """M in full, [neurons out, neurons in]."""
    if m.matrix is not None:
        return m.matrix
    require_size(int(np.prod(m.shape)), int(np.prod(m.before)), name)
    if m.kernel is not None:
        return m.kernel.matrix(m.before)
    assert m.scale is not None  # the third way to say M
    return np.diag(m.scale)


def settled(m: Map, name: str) -> Map:
    """The same with all outputs late alike, which is a lateness of the sources.

    Raises:
        UserError: they are not.
    """
    if not m.late.any():
        return m
    if m.matrix is None and m.kernel is None:
        return replace(m, delay=m.delay + m.late, late=np.zeros_like(m.late))
    if (m.late != m.late[0]).any():
        raise UserError(
            f"node {name!r}: mixes values that a Delay has made late by different times; put the Delay behind a neuron"
        )
    return replace(m, delay=m.delay + m.late[0], late=np.zeros_like(m.late))


def mix(m: Map, weight: np.ndarray, bias: np.ndarray, name: str) -> Map:
    """`weight` [out, in] y + `bias` behind `m`."""
    m = settled(m, name)
    require_size(len(weight), int(np.prod(m.before)), name)
    matrix = weight * m.scale if m.kernel is None and m.matrix is None else weight @ as_matrix(m, name)
    zeros = np.zeros(len(weight), np.int64)
    return replace(
        m, shape=(len(weight),), kernel=None, scale=None, matrix=matrix, bias=weight @ m.bias + bias, late=zeros
    )


def scaled(m: Map, factor: np.ndarray, name: str) -> Map:
    """y times `factor` [n]."""
    bias = m.bias * factor
    if m.matrix is not None:
        return replace(m, matrix=m.matrix * factor[:, None], bias=bias)
    if m.kernel is None:
        return replace(m, scale=m.scale * factor, bias=bias)
    each = factor.reshape(m.shape[0], -1)
    if (each != each[:, :1]).any():
        return replace(m, kernel=None, matrix=as_matrix(m, name) * factor[:, None], bias=bias)
    weight = m.kernel.weight * each[:, :1, None, None]
    return replace(m, kernel=replace(m.kernel, weight=weight), bias=bias)


def convolved(m: Map, kernel: Kernel, bias: np.ndarray, name: str) -> Map:
    """`kernel` behind `m`, plus `bias` [channels]; as a matrix where edges or parameters do not let it be a kernel."""
    m = settled(m, name)
    shape = kernel.shape(m.shape)
    if math.prod(shape) > SHAPE_LIMIT:
        raise UserError(f"node {name!r}: makes {shape}, more than {SHAPE_LIMIT} neurons")
    made = _joined(m, kernel)
    spread = np.repeat(bias, int(np.prod(shape[1:])))
    if m.bias.any():
        require_size(len(spread), len(m.bias), name)
        spread = spread + kernel.matrix(m.shape) @ m.bias
    zeros = np.zeros(len(spread), np.int64)
    common = dict(shape=shape, scale=None, bias=spread, late=zeros)
    if made is not None:
        return replace(m, kernel=made, matrix=None, **common)
    require_size(len(spread), int(np.prod(m.before)), name)
    return replace(m, kernel=None, matrix=kernel.matrix(m.shape) @ as_matrix(m, name), **common)


def _joined(m, second):
    """The kernel that `second` makes of `m`, or None."""
    if m.matrix is not None:
        return None
    if m.kernel is None:
        each = m.scale.reshape(m.shape[0], -1)
        if (each != each[:, :1]).any():
            return None
        into = second.weight.shape[1]
        factor = each[:, 0].reshape(second.groups, into).repeat(len(second.weight) // second.groups, 0)
        return replace(second, weight=second.weight * factor[:, :, None, None])
    first = m.kernel
    for n, k, s, p, made, pad in zip(
        m.before[1:], first.weight.shape[2:], first.stride, first.padding, m.shape[1:], second.padding
    ):
        # Beyond its edge the first map gives nothing, a kernel of both would still see a part of the sources.
        if pad and (k - 1 - s - p >= 0 or made * s - p < n):
            return None
    return _kernel_of_both(first, second)


def _kernel_of_both(first, second):
    if first.depthwise:
        each, into = len(second.weight) // second.groups, second.weight.shape[1]
        inner = first.weight[:, 0].reshape(second.groups, into, *first.weight.shape[2:]).repeat(each, 0)
        pairs, groups = "oiab,oicd->oiabcd", second.groups
    elif second.depthwise:
        inner, pairs, groups = first.weight, "ozab,oicd->oiabcd", first.groups
    else:
        if first.groups != 1 or second.groups != 1:
            return None
        inner, pairs, groups = first.weight, "omab,micd->oiabcd", 1
    products = np.einsum(pairs, second.weight, inner)
    steps = first.stride
    size = [(b - 1) * s + a for a, b, s in zip(products.shape[4:], products.shape[2:4], steps)]
    weight = np.zeros((*products.shape[:2], *size))
    for a, b in np.ndindex(products.shape[2:4]):
        y, x = a * steps[0], b * steps[1]
        weight[:, :, y : y + products.shape[4], x : x + products.shape[5]] += products[:, :, a, b]
    stride = tuple(s * t for s, t in zip(steps, second.stride))
    padding = tuple(p + s * q for p, s, q in zip(first.padding, steps, second.padding))
    return Kernel(weight, stride, padding, groups)

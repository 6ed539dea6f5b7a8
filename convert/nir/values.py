"""Numbers of NIR nodes, checked: attributes are data from a file and may be anything."""

import math
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.base.memory import NEURONS_LIMIT

# Of a node: both polarities of 1280 x 720 pixels. A file says a shape in a few bytes, and several numbers are made for
# each of its neurons.
SHAPE_LIMIT = NEURONS_LIMIT >> 3
CLOSE = 1e-6  # relative difference that counts as rounding of the file's own floats


def numbers(node: Any, name: str, key: str, ndim: int | None = None) -> np.ndarray:
    """An attribute as finite float64.

    Raises:
        UserError: no numbers, not finite, or not of `ndim` dimensions.
    """
    value = np.asarray(getattr(node, key))
    if value.dtype.kind not in "iuf" or value.size == 0 or not np.isfinite(value).all():
        raise UserError(f"node {name!r}: {key} is {value.dtype} {value.shape}, expected finite numbers")
    if ndim is not None and value.ndim != ndim:
        raise UserError(f"node {name!r}: {key} has shape {value.shape}, expected {ndim} dimensions")
    return value.astype(np.float64)


def whole(node: Any, name: str, key: str, sizes: tuple) -> tuple:
    """An attribute as a tuple of whole numbers, as many as one of `sizes`."""
    value = numbers(node, name, key).ravel()
    if value.size not in sizes or (value != np.floor(value)).any() or (np.abs(value) > NEURONS_LIMIT).any():
        raise UserError(f"node {name!r}: {key} is {value.tolist()[:9]}, expected {sizes[-1]} whole numbers")
    return tuple(int(x) for x in value)


def shape_of(value: Any, name: str) -> tuple:
    """A shape, without leading ones beyond three dimensions, which stand for a batch.

    Raises:
        UserError: no positive sizes, or too large.
    """
    try:
        shape = tuple(int(x) for x in np.asarray(value).ravel())
    except (TypeError, ValueError):
        shape = ()
    if not shape or min(shape) < 1 or math.prod(shape) > SHAPE_LIMIT:
        raise UserError(
            f"node {name!r}: its shape is {value!r}, expected positive sizes, at most {SHAPE_LIMIT} neurons"
        )
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    return shape


def per_neuron(value: np.ndarray, shape: tuple, name: str, key: str) -> np.ndarray:
    """A parameter for neurons of `shape`, as flat float64: one value for all, one for each channel, or one for each;
    tools write (1,), (1, 1, 1), (n,) and () for the same thing.

    Raises:
        UserError: it fits none of these.
    """
    n = int(np.prod(shape))
    if value.size == 1:
        return np.full(n, value.ravel()[0])
    if value.size == n:
        return value.ravel().copy()
    squeezed = tuple(x for x in value.shape if x != 1)
    if len(shape) > 1 and squeezed == shape[:1]:
        return np.repeat(value.ravel(), n // shape[0])
    raise UserError(f"node {name!r}: {key} has shape {value.shape}, expected one value or {shape}")

"""What arrives at neurons through the synapses of a layer, by definition: plain matrix products over whole streams."""

from functools import singledispatch

import numpy as np
from numpy.typing import DTypeLike

from .layers import ConvLayer, DenseLayer, InputLayer


@singledispatch
def dendrite(layer: InputLayer | DenseLayer | ConvLayer, x: np.ndarray, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Sums of weights times messages for `x` [B, K, *input shape], integers in `dtype` [B, K, *shape].

    float32 is exact for binary spikes: |a| <= 2**18 < 2**24; float64 up to 2**53, for graded ones.
    """
    raise TypeError(type(layer).__name__)


@dendrite.register
def _(layer: InputLayer, x, dtype=np.float32):
    return x.astype(dtype)


@dendrite.register
def _(layer: DenseLayer, x, dtype=np.float32):
    x, weight = x.astype(dtype), layer.weight.T.astype(dtype)
    if layer.synapse_delay is None:
        return x @ weight
    total = np.zeros((*x.shape[:2], weight.shape[1]), dtype)
    for d in np.unique(layer.synapse_delay):
        total[:, d:] += (x @ np.where(layer.synapse_delay.T == d, weight, 0))[:, : x.shape[1] - d]
    return total


@dendrite.register
def _(layer: ConvLayer, x, dtype=np.float32):
    (down, right), (gap_y, gap_x) = layer.stride, layer.dilation
    batch, steps = x.shape[:2]
    c_out, height, width = layer.shape
    frames = _padded(_spread(x.reshape(-1, *x.shape[2:]), layer.spread), layer).astype(dtype)
    frames = frames.reshape(len(frames), layer.groups, -1, *frames.shape[2:])
    kernels = layer.weight.reshape(layer.groups, c_out // layer.groups, *layer.weight.shape[1:]).astype(dtype)
    total = np.zeros((len(frames), layer.groups, c_out // layer.groups, height * width), dtype)
    for y in range(kernels.shape[3]):
        for z in range(kernels.shape[4]):
            seen = frames[..., y * gap_y :, z * gap_x :][
                ..., : down * (height - 1) + 1 : down, : right * (width - 1) + 1 : right
            ]
            total += kernels[..., y, z] @ seen.reshape(*seen.shape[:3], -1)
    return total.reshape(batch, steps, c_out, height, width)


def _spread(frames, spread):
    """Neighbours `spread` apart, zeros between them."""
    (down, right), (height, width) = spread, frames.shape[2:]
    out = np.zeros((*frames.shape[:2], (height - 1) * down + 1, (width - 1) * right + 1), frames.dtype)
    out[:, :, ::down, ::right] = frames
    return out


def _padded(frames, layer):
    """Zeros around, or cut where the padding is negative."""
    sides = [(p, p + over) for p, over in zip(layer.padding, layer.overhang)]
    frames = np.pad(frames, ((0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in sides)))
    (top, below), (left, right) = ((max(-a, 0), frames.shape[2 + i] - max(-b, 0)) for i, (a, b) in enumerate(sides))
    return frames[:, :, top:below, left:right]

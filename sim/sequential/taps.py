"""Which places of the output a convolution's sources reach: one geometry for the engine and the chip's synapses."""

import numpy as np

from .layers import ConvLayer


def taps(
    size_in: int, size_out: int, kernel: int, stride: int, padding: int, dilation: int, spread: int = 1
) -> np.ndarray:
    """int32 [size_in, kernel], of one axis: the place in the output that an input reaches through each place of the
    kernel, or -1.
    """
    at, rest = np.divmod(np.arange(size_in)[:, None] * spread + padding - np.arange(kernel) * dilation, stride)
    return np.where((rest == 0) & (0 <= at) & (at < size_out), at, -1).astype(np.int32)


def taps_of(layer: ConvLayer) -> tuple:
    """(rows, columns): `taps` of both axes."""
    return tuple(
        taps(*sizes)
        for sizes in zip(
            layer.in_shape[1:],
            layer.shape[1:],
            layer.weight.shape[2:],
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.spread,
        )
    )

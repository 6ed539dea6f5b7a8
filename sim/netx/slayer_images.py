"""The layers of a netx file that work on images: convolutions, transposed ones, and pools of both kinds."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..sequential import ConvLayer
from ..sequential.taps import taps
from .slayer_entry import Entry
from .slayer_neurons import neuron


def conv(entry: Entry, made: list) -> ConvLayer:
    """A layer of type `conv`; `made`: the layers before."""
    weight, imaginary = entry.complex_weight(4)
    weight = entry.weight("weight", 4) if weight is None else weight
    stride, groups = entry.pair("stride", 1), entry.number("groups", 1)
    return _shaped(entry, _layer(entry, made, weight, groups, imaginary, stride=stride))


def conv_transposed(entry: Entry, made: list) -> ConvLayer:
    """`convT`: the convolution of a spread source that is the same."""
    groups, weight = entry.number("groups", 1), entry.weight("weight", 4)
    if groups < 1 or weight.shape[0] % groups:
        entry.fail(f"weight has {weight.shape[0]} input channels, expected a multiple of the {groups} groups")
    padding, spread = _apart(entry, weight)
    return _shaped(entry, _layer(entry, made, turned(weight, groups), groups, padding=padding, spread=spread))


def turned(weight: np.ndarray, groups: int) -> np.ndarray:
    """A kernel [channels in, channels out / groups, y, x] of a transposed convolution as that of a convolution
    [channels out, channels in / groups, y, x], and back.
    """
    c_in, c_out, *sides = weight.shape
    parts = weight.reshape(groups, c_in // groups, c_out, *sides).swapaxes(1, 2)
    return np.ascontiguousarray(parts.reshape(groups * c_out, c_in // groups, *sides)[..., ::-1, ::-1])


def pool(entry: Entry, made: list) -> ConvLayer:
    """A convolution of every channel for itself with one kernel. SLAYER fills up sides that are no multiple of the
    kernel's with as many zeros as are over.
    """
    in_shape, weight = _image(entry, made), _one_kernel(entry)
    over = tuple(size % k for size, k in zip(in_shape[1:], weight.shape[2:]))
    each = np.repeat(weight, in_shape[0], axis=0)
    layer = _layer(entry, made, each, in_shape[0], overhang=over, stride=entry.pair("stride", weight.shape[2:]))
    layer, without = _of_one_channel(entry, layer, in_shape[1] + over[0]), replace(layer, overhang=(0, 0))
    return without if without.shape == layer.shape else layer


def unpool(entry: Entry, made: list) -> ConvLayer:
    """A transposed convolution of every channel for itself with one kernel."""
    in_shape, weight = _image(entry, made), _one_kernel(entry)
    each = np.repeat(turned(weight, 1), in_shape[0], axis=0)
    padding, spread = _apart(entry, weight)
    layer = _layer(entry, made, each, in_shape[0], padding=padding, spread=spread)
    return _of_one_channel(entry, layer, in_shape[1])


def _of_one_channel(entry, layer, rows):
    """The layer, unless SLAYER computes another: it lays the channels of a pool one below the other, as one image of
    `rows` times as many, whose windows may reach from one channel into the next.
    """
    channels, height = layer.shape[:2]
    vertical = (layer.weight.shape[2], *(v[0] for v in (layer.stride, layer.padding, layer.dilation, layer.spread)))
    one = taps(rows, height, *vertical)
    below = np.arange(channels)[:, None, None] * height
    each = np.where(one >= 0, one + below, -1).reshape(-1, one.shape[1])
    if not np.array_equal(each, taps(rows * channels, height * channels, *vertical)):
        entry.fail("its windows reach from one channel into the next, as SLAYER lays channels one below the other")
    return _shaped(entry, layer)


def _one_kernel(entry):
    weight = entry.weight("weight", 4)
    if weight.shape[:2] != (1, 1):
        entry.fail(f"weight has shape {weight.shape}, expected (1, 1, height, width)")
    return weight


def _apart(entry, weight):
    """(padding, spread) of the convolution that a transposed one with this kernel is: its own padding takes from what
    the kernel reaches.
    """
    dilation, padding = entry.pair("dilation", 1), entry.pair("padding", 0)
    left = tuple(d * (k - 1) - p for d, k, p in zip(dilation, weight.shape[2:], padding))
    if min(padding) < 0 or min(dilation) < 1:
        entry.fail(f"padding {padding} must not be negative, dilation {dilation} positive")
    spread = entry.pair("stride", weight.shape[2:] if entry.type == "unpool" else 1)
    if min(left) < 0 and spread == (1, 1):
        entry.fail(f"padding {padding} cuts more than a kernel of {weight.shape[2:]} adds; with stride 1 it must not")
    return left, spread


def _image(entry, made):
    in_shape = made[-1].shape
    if len(in_shape) != 3:
        entry.fail(f"the layer before gives {in_shape}, expected (channels, height, width)")
    return in_shape


def _layer(entry, made, weight, groups, imaginary=None, **geometry: Any):
    delay, in_shape = entry.delay(), _image(entry, made)
    return ConvLayer(
        name=entry.name,
        weight=weight,
        neuron=neuron(entry),
        dilation=entry.pair("dilation", 1),
        groups=groups,
        in_shape=in_shape,
        axon_delay=None if delay is None else entry.per_channel(delay, len(weight)),
        imaginary=imaginary,
        **(dict(stride=(1, 1), padding=entry.pair("padding", 0)) | geometry),
    )


def _shaped(entry, layer):
    if layer.shape != entry.shape():
        entry.fail(f"shape is {entry.shape()}, its kernel makes {layer.shape}")
    return layer

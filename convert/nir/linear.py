"""NIR nodes without states, each as a step from one `Map` to the next."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.integer import MAX_DELAY

from .maps import Kernel, Map, convolved, mix, scaled
from .unfold import kind
from .values import SHAPE_LIMIT, numbers, per_neuron, shape_of, whole


def follow(m: Map, node: Any, name: str, dt: float) -> Map:
    """`m` with `node` behind it.

    Args:
        dt: seconds of a step, for delays.

    Raises:
        UserError: shapes that do not fit, values out of range; names the node.
    """
    return STATELESS[kind(node)](m, node, name, dt)


def _same(m, node, name, dt):
    return m


def _flatten(m, node, name, dt):
    return replace(m, shape=(int(np.prod(m.shape)),))


def _linear(m, node, name, dt):
    weight = numbers(node, name, "weight", 2)
    bias = numbers(node, name, "bias").ravel() if hasattr(node, "bias") else np.zeros(len(weight))
    if sum(n > 1 for n in m.shape) > 1 or int(np.prod(m.shape)) != weight.shape[1]:
        hint = "; put a Flatten before it" if int(np.prod(m.shape)) == weight.shape[1] else ""
        raise UserError(f"node {name!r}: takes {weight.shape[1]} values, the node before gives {m.shape}{hint}")
    return mix(m, weight, _bias(bias, len(weight), name), name)


def _bias(bias, n, name):
    if bias.size not in (1, n):
        raise UserError(f"node {name!r}: bias has shape ({bias.size},), expected ({n},)")
    return np.broadcast_to(bias, n)


def _scale(m, node, name, dt):
    return scaled(m, per_neuron(numbers(node, name, "scale"), m.shape, name, "scale"), name)


def _delay(m, node, name, dt):
    value = per_neuron(numbers(node, name, "delay"), m.shape, name, "delay")
    steps = np.rint(value / dt).astype(np.int64)
    if (value < 0).any() or (steps > MAX_DELAY).any():
        raise UserError(
            f"node {name!r}: delays from {value.min():g} to {value.max():g} s, expected 0 to {MAX_DELAY} steps of"
            f" {dt:g} s"
        )
    return replace(m, late=m.late + steps)


def image(m: Map, channels: int, name: str, flat: bool) -> Map:
    """`m` with its outputs as [channels, height, width]; what has two dimensions gets a third.

    Args:
        flat: [channels, n] becomes [channels, 1, n], as a convolution in one dimension needs it.
    """
    shape = m.shape
    if len(shape) == 2 and (flat or channels != 1 or shape[0] == 1):
        shape = (shape[0], 1, shape[1])
    elif len(shape) == 2:
        shape = (1, *shape)
    if len(shape) != 3 or (channels and shape[0] != channels):
        wanted = f"{channels} channels" if channels else "channels"
        raise UserError(f"node {name!r}: takes {wanted}, height and width, the node before gives {m.shape}")
    fresh = m.matrix is None and m.kernel is None and m.before == m.shape
    return replace(m, shape=shape, before=shape if fresh else m.before)


def _conv2d(m, node, name, dt):
    return _conv(m, node, name, numbers(node, name, "weight", 4), 2)


def _conv1d(m, node, name, dt):
    weight = numbers(node, name, "weight", 3)
    return _conv(m, node, name, weight[:, :, None], 1)


def _conv(m, node, name, weight, ndim):
    groups = whole(node, name, "groups", (1,))[0]
    if groups < 1 or len(weight) % groups:
        raise UserError(f"node {name!r}: {groups} groups do not divide {len(weight)} channels")
    m = image(m, groups * weight.shape[1], name, ndim == 1)
    stride, dilation = (_pair(node, name, key, ndim, 1) for key in ("stride", "dilation"))
    padding = _padding(node, name, weight.shape[2:], stride, dilation, ndim)
    if min(stride) < 1 or min(dilation) < 1 or min(padding) < 0:
        raise UserError(
            f"node {name!r}: stride {stride} and dilation {dilation} must be positive, padding {padding} not negative"
        )
    if node.input_shape is not None and shape_of(node.input_shape, name) != m.shape[3 - ndim :]:
        # A stated input shape that contradicts the graph is a broken graph, not a matter of taste.
        raise UserError(
            f"node {name!r}: input_shape is {shape_of(node.input_shape, name)}, the node before gives"
            f" {m.shape[3 - ndim :]}"
        )
    bias = _bias(numbers(node, name, "bias").ravel(), len(weight), name)
    return _applied(m, Kernel(_dilated(weight, dilation, name), stride, padding, groups), bias, name)


def _applied(m, kernel, bias, name):
    if min(kernel.shape(m.shape)) < 1:
        raise UserError(f"node {name!r}: kernel {kernel.weight.shape[2:]} does not fit into {m.shape[1:]}")
    return convolved(m, kernel, bias, name)


def _pair(node, name, key, ndim, other):
    value = whole(node, name, key, (1, ndim))
    return (value[0], value[-1]) if ndim == 2 else (other, value[0])


def _padding(node, name, size, stride, dilation, ndim):
    padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
    if not isinstance(padding, str):
        return _pair(node, name, "padding", ndim, 0)
    spans = [d * (k - 1) for d, k in zip(dilation, size)]
    if padding == "same" and (stride != (1, 1) or any(s % 2 for s in spans)):
        raise UserError(
            f"node {name!r}: padding 'same' with strides or an even kernel is uneven, which is not supported"
        )
    return tuple(s // 2 for s in spans) if padding == "same" else (0, 0)


def _dilated(weight, dilation, name):
    if dilation == (1, 1):
        return weight
    wide = tuple(d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:]))
    if math.prod(weight.shape[:2]) * math.prod(wide) > SHAPE_LIMIT:
        raise UserError(
            f"node {name!r}: dilation {dilation} makes a kernel of {wide[0]} x {wide[1]}, too large for a layer"
        )
    out = np.zeros((*weight.shape[:2], *wide))
    out[:, :, :: dilation[0], :: dilation[1]] = weight
    return out


def _pool(m, node, name, share):
    m = image(m, 0, name, False)
    size, stride, padding = (_pair(node, name, key, 2, 0) for key in ("kernel_size", "stride", "padding"))
    if min(size) < 1 or min(stride) < 1 or min(padding) < 0 or any(2 * p > k for p, k in zip(padding, size)):
        raise UserError(
            f"node {name!r}: kernel_size {size} and stride {stride} must be positive, padding {padding} from 0 to half"
            " the kernel"
        )
    weight = np.full((m.shape[0], 1, *size), share(size))
    return _applied(m, Kernel(weight, stride, padding, m.shape[0]), np.zeros(m.shape[0]), name)


def _sum_pool(m, node, name, dt):
    return _pool(m, node, name, lambda size: 1.0)


def _average_pool(m, node, name, dt):
    return _pool(m, node, name, lambda size: 1 / (size[0] * size[1]))


def _leak(m, node, name, dt):
    """A leaky integrator on the way to neurons without a current of their own: it is their current."""
    tau, r, leak = (
        np.unique(per_neuron(numbers(node, name, key), m.shape, name, key)) for key in ("tau", "r", "v_leak")
    )
    if m.tau is not None:
        raise UserError(f"node {name!r}: two leaky integrators on the way to one neuron; the chip has one current")
    if len(tau) > 1 or len(r) > 1 or leak.any():
        raise UserError(
            f"node {name!r}: a leaky integrator before other nodes becomes their current, which needs one tau, one r"
            " and v_leak 0"
        )
    return scaled(replace(m, tau=float(tau[0])), np.full(m.bias.shape, r[0]), name)


STATELESS = {
    "Input": _same,
    "Output": _same,
    "Flatten": _flatten,
    "Linear": _linear,
    "Affine": _linear,
    "Scale": _scale,
    "Delay": _delay,
    "Conv1d": _conv1d,
    "Conv2d": _conv2d,
    "SumPool2d": _sum_pool,
    "AvgPool2d": _average_pool,
    "LI": _leak,
}

"""NIR graphs as integer nets: chains of weights and neurons, quantized where they are not integers already. The
equations are in docs/nir.md.
"""

import json
from dataclasses import dataclass

import numpy as np

from sim.base.errors import UserError
from sim.integer import BIAS_MAX, BIAS_MIN, DECAY_ONE, INPUT_LIMIT, THRESHOLD_MAX, WEIGHT_MAX, WEIGHT_MIN, WEIGHT_STEP
from sim.net import TOKENS, Cuba, Dense, Input, Net, Readout
from sim.sequential import THRESHOLD_NEVER, ConvLayer, DenseLayer, FlattenLayer, InputLayer, Neuron, Sequential

from .files import library
from .to_graph import DT, KEY, TRANSFORM, VERSION

CLOSE = 1e-6  # relative difference that counts as rounding of the file's own floats
SIZE_LIMIT = 1 << 24  # neurons of a layer


@dataclass(frozen=True, eq=False)
class Dynamics:
    """A neuron node as a recursion in real numbers, arrays of the node's shape.

    With W x the weighted input of a step::

        u <- (1 - du) u + gain * W x
        v <- (1 - dv) v + u + bias,    a spike and v = 0 where v > threshold
    """

    du: np.ndarray
    dv: np.ndarray
    gain: np.ndarray
    bias: np.ndarray
    threshold: np.ndarray


def from_graph(graph, dt=None):
    """(net, report) of an `nir.NIRGraph`.

    Args:
        dt: seconds of a time step; by default what the graph's metadata say, else 1e-4.

    Returns:
        A `Net` if the graph carries what `convert.nir.to_graph` adds for one, else a `Sequential`; and a list of one
        dict a layer: `layer`, `exact` (nothing was rounded), `threshold`, `i_decay`, `v_decay`, and the rounding:
        `weight_error` (RMS of the difference over RMS), `decay_error` (largest relative one of the two decays),
        `bias_error` (largest, in thresholds).

    Raises:
        UserError: naming the node, and what about it the chip or this converter cannot do.
    """
    metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
    dt = _dt(metadata.get("dt", DT) if dt is None else dt)
    chain = _chain(graph)
    ours = KEY in metadata
    shape = _shape(chain[0][1].output_type["output"], chain[0][0])
    layers, rows, k = [InputLayer("layer/0", shape)], [], 1
    last = len(chain) - 1  # the output
    names = []
    if type(chain[1][1]).__name__ in NEURONS and not ours:
        layers, k = [_driven(*chain[1], shape, metadata.get(TRANSFORM), dt)], 2
    while k < last:
        name, node = chain[k]
        at = f"layer/{len(layers)}"
        if _is(node, "Flatten"):
            size = (int(np.prod(layers[-1].shape)),)
            if node.output_type["output"] is not None and _shape(node.output_type["output"], name) != size:
                raise UserError(
                    f"node {name!r}: flattens to {_shape(node.output_type['output'], name)}; only to one vector is"
                    " supported"
                )
            layers.append(FlattenLayer(at, size))
            k += 1
            continue
        if ours and k == last - 1 and _is(node, "Linear"):
            break  # the read-out
        if type(node).__name__ not in WEIGHTS:
            raise UserError(f"node {name!r}: {_what(node)} where weights were expected ({', '.join(WEIGHTS)}, Flatten)")
        follower_name, follower = chain[k + 1]
        if type(follower).__name__ not in NEURONS:
            raise UserError(
                f"node {follower_name!r}: {_what(follower)} after the weights {name!r}, expected neurons"
                f" ({', '.join(NEURONS)})"
            )
        layer, row = _layer(at, name, node, follower_name, follower, layers[-1], dt)
        layers.append(layer)
        rows.append(row)
        names.append(follower_name)
        k += 2
    if ours:
        return _net(metadata[KEY], layers, names, chain[k:], rows), rows
    if not rows:
        raise UserError("graph: has no neurons")
    name, node = chain[-1]
    if _shape(node.output_type["output"], name) != layers[-1].shape:
        raise UserError(
            f"node {name!r}: says {_shape(node.output_type['output'], name)}, the node before gives {layers[-1].shape}"
        )
    return Sequential(tuple(layers)), rows


def _dt(value):
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise UserError(f"graph: its dt is {value!r}, expected seconds") from None
    if not (np.isfinite(value) and value > 0):
        raise UserError(f"graph: dt is {value}, expected a positive number of seconds")
    return value


def _chain(graph):
    """[(name, node)] from the input to the output of a graph that is one chain."""
    after, before = {}, {}
    for edge in graph.edges:
        a, b = str(edge[0]), str(edge[1])
        for name in (a, b):
            if name not in graph.nodes:
                raise UserError(f"graph: an edge leads to {name!r}, which is not there")
        if a in after or b in before:
            name = a if a in after else b
            raise UserError(
                f"node {name!r}: has several edges {'out' if a in after else 'in'}; only chains are supported, without"
                " branches, sums and recurrence"
            )
        after[a], before[b] = b, a
    ends = {kind: [name for name, node in graph.nodes.items() if _is(node, kind)] for kind in ("Input", "Output")}
    for kind, names in ends.items():
        if len(names) != 1:
            raise UserError(f"graph: has {len(names)} {kind} nodes, expected one")
    chain = [ends["Input"][0]]
    while chain[-1] in after and len(chain) <= len(graph.nodes):
        chain.append(after[chain[-1]])
    if chain[-1] != ends["Output"][0] or len(chain) != len(graph.nodes):
        left = sorted(set(graph.nodes) - set(chain))
        raise UserError(f"graph: is not one chain from input to output{f': {left[0]!r} is not on it' if left else ''}")
    return [(name, graph.nodes[name]) for name in chain]


def _is(node, kind):
    return type(node).__name__ == kind


def _what(node):
    return "a graph inside the graph" if isinstance(node, library().NIRGraph) else f"a {type(node).__name__}"


def _shape(value, name):
    try:
        shape = tuple(int(x) for x in np.asarray(value).ravel())
    except (TypeError, ValueError):
        shape = ()
    if not shape or min(shape) < 1 or int(np.prod(shape, dtype=object)) > SIZE_LIMIT:
        raise UserError(f"node {name!r}: its shape is {value!r}, expected positive sizes, at most {SIZE_LIMIT} neurons")
    return shape


def _numbers(node, name, key, ndim=None):
    """An attribute as finite float64."""
    value = np.asarray(getattr(node, key))
    if value.dtype.kind not in "iuf" or value.size == 0 or not np.isfinite(value).all():
        raise UserError(f"node {name!r}: {key} is {value.dtype} {value.shape}, expected finite numbers")
    if ndim is not None and value.ndim != ndim:
        raise UserError(f"node {name!r}: {key} has shape {value.shape}, expected {ndim} dimensions")
    return value.astype(np.float64)


def _layer(at, name, node, neuron_name, neuron, before, dt):
    weight, drive, make = WEIGHTS[type(node).__name__](at, name, node, before)
    shape = _made(
        make, name, np.zeros(weight.shape, np.int16), _blank(weight.shape[0])
    ).shape  # also checks the geometry
    d = NEURONS[type(neuron).__name__](neuron, neuron_name, dt)
    if d.threshold.shape != shape:
        raise UserError(f"node {neuron_name!r}: has shape {d.threshold.shape}, the weights {name!r} make {shape}")
    weight, quantized, row = quantize(weight, drive, d, name, neuron_name)
    return _made(make, name, weight, quantized), dict(layer=neuron_name) | row


def _driven(name, node, shape, transform, dt):
    """Neurons that the input drives without weights: integers in weight units, so that nothing may have to be
    rounded.
    """
    d = NEURONS[type(node).__name__](node, name, dt)
    if d.threshold.shape != shape:
        raise UserError(f"node {name!r}: has shape {d.threshold.shape}, the input {shape}")
    neuron, row = quantize(np.full((shape[0], 1), float(WEIGHT_STEP)), np.zeros(shape[0]), d, name, name)[1:]
    if not row["exact"] or (np.abs(d.gain - 1) > CLOSE).any() or neuron.bias.any():
        raise UserError(
            f"node {name!r}: is driven by the input without weights, which needs integers: gain (w_in dt/tau_syn r"
            " dt/tau_mem) 1, v_leak 0 and one integer threshold; or put a Linear before it"
        )
    if transform is not None:
        transform = np.asarray(transform)
        if transform.shape != (2,) or transform.dtype.kind not in "iu" or (np.abs(transform) > 1 << 31).any():
            raise UserError(f"graph: its metadata {TRANSFORM!r} are {transform.tolist()}, expected weight and bias")
        transform = tuple(int(x) for x in transform)
    return InputLayer("layer/0", shape, neuron, transform or (1, 0))


def _made(make, name, *args):
    """A layer, with messages about it under the node's name instead of the layer's."""
    try:
        return make(*args)
    except UserError as e:
        raise UserError(f"node {name!r}: {str(e).split(': ', 1)[-1]}") from None


def _blank(n):
    return Neuron(np.array([DECAY_ONE], np.int32), DECAY_ONE, 0, np.zeros(n, np.int32))


def _dense(at, name, node, before):
    weight = _numbers(node, name, "weight", 2)
    if before.shape != weight.shape[1:]:
        raise UserError(f"node {name!r}: takes {weight.shape[1]} values, the node before gives {before.shape}")
    drive = _numbers(node, name, "bias", 1) if hasattr(node, "bias") else np.zeros(len(weight))
    return weight, _drive(drive, weight, name), lambda w, neuron: DenseLayer(at, w, neuron)


def _conv(at, name, node, before):
    weight = _numbers(node, name, "weight", 4)
    if len(before.shape) != 3:
        raise UserError(f"node {name!r}: takes channels, height and width, the node before gives {before.shape}")
    stride, dilation = _pair(node, name, "stride"), _pair(node, name, "dilation")
    padding, groups = node.padding, int(_numbers(node, name, "groups", 0))
    if isinstance(padding, (str, bytes)):
        padding = padding.decode() if isinstance(padding, bytes) else padding
        spans = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
        if padding == "same" and (stride != (1, 1) or any(s % 2 for s in spans)):
            raise UserError(
                f"node {name!r}: padding 'same' with strides or an even kernel is uneven, which is not supported"
            )
        padding = tuple(s // 2 for s in spans) if padding == "same" else (0, 0)
    else:
        padding = _pair(node, name, "padding")
    # A stated input shape that contradicts the chain is a broken graph, not a matter of taste.
    if node.input_shape is not None and _shape(node.input_shape, name) != before.shape[1:]:
        raise UserError(
            f"node {name!r}: input_shape is {_shape(node.input_shape, name)}, the node before gives {before.shape[1:]}"
        )
    drive = _drive(_numbers(node, name, "bias").ravel(), weight, name)
    return weight, drive, lambda w, neuron: ConvLayer(at, w, neuron, stride, padding, dilation, groups, before.shape)


def _pair(node, name, key):
    value = _numbers(node, name, key).ravel()
    if value.size not in (1, 2) or (value != np.floor(value)).any():
        raise UserError(f"node {name!r}: {key} is {value.tolist()}, expected one or two whole numbers")
    return int(value[0]), int(value[-1])


def _drive(value, weight, name):
    if value.shape != (len(weight),):
        raise UserError(f"node {name!r}: bias has shape {value.shape}, expected ({len(weight)},)")
    return value


WEIGHTS = {"Linear": _dense, "Affine": _dense, "Conv2d": _conv}


def _decay(tau, dt, name, key):
    """dt / tau, in (0, 1]."""
    if (tau <= 0).any():
        raise UserError(f"node {name!r}: {key} must be positive")
    if (tau < dt * (1 - CLOSE)).any():
        raise UserError(
            f"node {name!r}: {key} is {tau.min():g} s, shorter than a step of {dt:g} s; import with a smaller --dt"
        )
    if (DECAY_ONE * dt / tau < 0.5).any():
        raise UserError(
            f"node {name!r}: {key} is {tau.max():g} s, more than {2 * DECAY_ONE} steps of {dt:g} s, the longest that 12"
            " bits of decay hold; import with a larger --dt"
        )
    return np.minimum(dt / tau, 1.0)


def _require_reset(node, name):
    if _numbers(node, name, "v_reset").any():
        raise UserError(f"node {name!r}: v_reset is not 0; the chip resets membranes to 0")


def _cuba_lif(node, name, dt):
    _require_reset(node, name)
    get = lambda key: _numbers(node, name, key)  # noqa: E731
    du, dv = _decay(get("tau_syn"), dt, name, "tau_syn"), _decay(get("tau_mem"), dt, name, "tau_mem")
    return Dynamics(du, dv, du * get("w_in") * dv * get("r"), dv * get("v_leak"), get("v_threshold"))


def _lif(node, name, dt):
    _require_reset(node, name)
    get = lambda key: _numbers(node, name, key)  # noqa: E731
    dv = _decay(get("tau"), dt, name, "tau")
    return Dynamics(np.ones_like(dv), dv, dv * get("r"), dv * get("v_leak"), get("v_threshold"))


def _if(node, name, dt):
    _require_reset(node, name)
    r = _numbers(node, name, "r")
    return Dynamics(np.ones_like(r), np.zeros_like(r), dt * r, np.zeros_like(r), _numbers(node, name, "v_threshold"))


NEURONS = {"CubaLIF": _cuba_lif, "LIF": _lif, "IF": _if}


def quantize(weight, drive, d: Dynamics, name, neuron_name):
    """(int16 weights, `Neuron`, row of the report).

    Args:
        weight: real, [channels, ...]; drive: real [channels], added to the weighted input at every step.
        name, neuron_name: for messages.

    If weights (even), biases and one threshold are integers in range already, they stay. Otherwise each channel is
    scaled so that its threshold becomes the layer's, which is the largest integer at which no weight, bias and sum of
    weights leaves its range; then weights are rounded to even integers, biases to integers."""
    i_decay, v_decay = np.rint(DECAY_ONE * d.du).astype(np.int32), np.rint(DECAY_ONE * d.dv).astype(np.int32)
    if len(np.unique(v_decay)) > 1:
        raise UserError(
            f"node {neuron_name!r}: has several membrane time constants, a layer of the chip has one; split it"
        )
    if (drive != 0).any() and (i_decay != DECAY_ONE).any():
        raise UserError(
            f"node {name!r}: its bias enters the current, which leaks (tau_syn longer than a step); the chip adds"
            " biases to the membrane; use v_leak"
        )
    gain, bias, threshold = (
        _of_channel(x, neuron_name, what)
        for x, what in ((d.gain, "gains (w_in, r)"), (d.bias, "v_leak"), (d.threshold, "v_threshold"))
    )
    rows = gain[:, None] * weight.reshape(len(weight), -1)
    bias = bias + gain * drive
    exact = (
        _integers(rows, WEIGHT_MIN, WEIGHT_MAX, WEIGHT_STEP)
        and _integers(bias, BIAS_MIN, BIAS_MAX)
        and _integers(threshold, 0, THRESHOLD_NEVER)
        and len(np.unique(np.rint(threshold))) == 1
    )
    v_th = int(np.rint(threshold[0])) if exact else _threshold(rows, bias, threshold, neuron_name)
    scale = np.ones(len(rows)) if exact else v_th / threshold
    scaled, scaled_bias = rows * scale[:, None], bias * scale
    w = np.clip(np.rint(scaled / WEIGHT_STEP) * WEIGHT_STEP, WEIGHT_MIN, WEIGHT_MAX).astype(np.int16)
    b = np.clip(np.rint(scaled_bias), BIAS_MIN, BIAS_MAX).astype(np.int32)
    decays = [
        np.abs(q / DECAY_ONE - x).max() / x.min() if x.any() else 0.0 for q, x in ((i_decay, d.du), (v_decay, d.dv))
    ]
    row = dict(
        exact=bool(exact),
        threshold=v_th,
        i_decay=np.unique(i_decay).tolist(),
        v_decay=int(v_decay.flat[0]),
        weight_error=float(np.sqrt(((w - scaled) ** 2).sum() / max((scaled**2).sum(), 1e-300))),
        decay_error=float(max(decays)),
        bias_error=float(np.abs(b - scaled_bias).max() / max(v_th, 1)),
    )
    neuron = Neuron(_one(i_decay.ravel()), row["v_decay"], v_th, _one(b))
    return w.reshape(weight.shape), neuron, row


def _of_channel(x, name, what):
    """[channels] of an array [channels, ...] that is the same within each."""
    x = x.reshape(len(x), -1)
    if (np.abs(x - x[:, :1]) > CLOSE * np.abs(x[:, :1])).any():
        raise UserError(f"node {name!r}: its {what} differ within a channel, the chip has one for each")
    return x[:, 0]


def _integers(x, low, high, step=1):
    return bool(
        (np.abs(x / step - np.rint(x / step)) <= CLOSE * np.maximum(np.abs(x), 1)).all()
        and np.rint(x.min()) >= low
        and np.rint(x.max()) <= high
    )


def _threshold(rows, bias, threshold, name):
    """The layer's threshold: see `quantize`."""
    if (threshold <= 0).any():
        raise UserError(f"node {name!r}: v_threshold must be positive")
    # Rounding to even adds at most one to each weight of a sum.
    room = (
        (WEIGHT_MAX, rows.max(1, initial=0)),
        (-WEIGHT_MIN, (-rows).max(1, initial=0)),
        (BIAS_MAX, np.abs(bias)),
        (INPUT_LIMIT - rows.shape[1], np.abs(rows).sum(1)),
    )
    with np.errstate(divide="ignore"):
        scale = np.min([np.where(value > 0, limit / np.where(value > 0, value, 1), np.inf) for limit, value in room], 0)
    v_th = int(np.floor(min(float((threshold * scale).min()), THRESHOLD_MAX)))
    if v_th < 1:
        raise UserError(
            f"node {name!r}: its threshold is less than 1/{WEIGHT_MAX} of a weight or 1/{BIAS_MAX} of a bias, which the"
            " chip's integers do not reach"
        )
    return v_th


def _one(x):
    """[1] if all are equal, as files say it."""
    return x[:1].astype(np.int32) if (x == x[0]).all() else x.astype(np.int32)


def _net(text, layers, names, rest, rows):
    """The `Net` that `convert.nir.to_graph.to_graph` wrote."""
    try:
        says = json.loads(text)
        if says["version"] != VERSION:
            raise UserError(f"graph: its metadata {KEY!r} are of version {says['version']!r}, expected {VERSION}")
        tokens, frames, encoder, classes, facts = (
            says[key] for key in ("tokens", "frames", "encoder", "classes", "facts")
        )
    except (ValueError, TypeError, KeyError) as e:
        raise UserError(f"graph: its metadata {KEY!r} are not what convert wrote ({e})") from None
    kinds = ((tokens, int), (frames, int), (encoder, dict), (classes, list), (facts, dict))
    if not all(type(value) is kind for value, kind in kinds) or not all(isinstance(c, str) for c in classes):
        raise UserError(f"graph: its metadata {KEY!r} have a value of the wrong type")
    if len(rest) != 2:
        raise UserError("graph: has no read-out, a Linear before the output")
    if not all(isinstance(layer, DenseLayer) for layer in layers[1:]):
        raise UserError(
            "graph: a net on tokens is a chain of Linear and neurons only; take the metadata out to import it as it is"
        )
    nodes, before = [], TOKENS
    for name, layer in zip(names, layers[1:]):
        n = layer.shape[0]
        i_decay, bias = (np.broadcast_to(x, n).copy() for x in (layer.neuron.i_decay, layer.neuron.bias))
        nodes.append(Cuba(name, (Dense(before, layer.weight),), i_decay, bias, layer.neuron.v_decay, layer.neuron.v_th))
        before = name
    name, node = rest[0]
    weight = _numbers(node, name, "weight", 2)
    if not _integers(weight, WEIGHT_MIN, WEIGHT_MAX, WEIGHT_STEP):
        raise UserError(f"node {name!r}: a read-out's weights must be even integers in [{WEIGHT_MIN}, {WEIGHT_MAX}]")
    nodes.append(Readout(name, (Dense(before, np.rint(weight).astype(np.int16)),)))
    return Net(tuple(nodes), (Input(TOKENS, layers[0].shape[0]),), tokens, frames, encoder, tuple(classes), facts)

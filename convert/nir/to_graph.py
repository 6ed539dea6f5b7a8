"""Our integer nets as NIR graphs, where NIR has words for them. The equations are in docs/nir.md."""

import json
from functools import singledispatch

import numpy as np

from sim.base.errors import UserError
from sim.integer import DECAY_ONE
from sim.net import PHASE, TOKENS, Cuba, Net
from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Sequential

from .files import library

DT = 1e-4  # seconds of a step, where nobody says otherwise
KEY, VERSION = "smolmamba", 1
# how the host makes drive of raw values, where the first neurons are driven without weights: [weight, bias]
TRANSFORM = "input_transform"


def to_graph(net, dt=DT):
    """The `nir.NIRGraph` of a chain: of a `Net` whose nodes are `Cuba`s one after the other, or of a `Sequential`
    without delays and recurrence.

    Args:
        dt: seconds that one time step stands for; time constants are multiples of it.

    Raises:
        UserError: naming the layer that NIR cannot say, and why.
    """
    if not (np.isfinite(dt) and dt > 0):
        raise UserError(f"dt is {dt}, expected a positive number of seconds")
    chain = _of_net(net, dt) if isinstance(net, Net) else _of_sequential(net, dt)
    names = [name for name, _ in chain]
    if len(set(names)) != len(names):
        raise UserError(
            f"layer {next(n for n in names if names.count(n) > 1)!r}: its name is needed for another node of the graph;"
            " rename it"
        )
    metadata = {"dt": dt}
    if isinstance(net, Net):
        facts = dict(
            version=VERSION,
            tokens=net.tokens,
            frames=net.frames,
            encoder=net.encoder,
            classes=list(net.classes),
            facts=net.facts,
        )
        metadata[KEY] = json.dumps(facts)
    elif net.layers[0].transform is not None:
        metadata[TRANSFORM] = np.array(net.layers[0].transform, np.int64)
    try:
        return library().NIRGraph(dict(chain), list(zip(names, names[1:])), metadata)
    except ValueError as e:
        raise UserError(f"net: nir cannot type its graph ({e})") from e


def _of_net(net, dt):
    nir = library()
    if len(net.inputs) > 1:
        raise UserError(
            f"input {net.inputs[1].name!r}: NIR has no reversed view of an input; only chains in reading order can be"
            " said"
        )
    *chain, readout = net.nodes
    out, before = [("input", nir.Input(np.array([net.inputs[0].size])))], TOKENS
    for node in chain:
        if not isinstance(node, Cuba):
            raise UserError(f"layer {node.name!r}: NIR has no {type(node).__name__}")
        _require_chain(node, before)
        if node.frame_reset:
            raise UserError(f"layer {node.name!r}: is reset at every frame, NIR has no resets")
        out += [
            (f"{node.name}.weight", nir.Linear(node.synapses[0].weight.astype(np.float64))),
            (node.name, _neuron(node, node.name, (node.size,), dt)),
        ]
        before = node.name
    _require_chain(readout, before)
    return out + [
        (readout.name, nir.Linear(readout.synapses[0].weight.astype(np.float64))),
        ("output", nir.Output(np.array([readout.size]))),
    ]


def _require_chain(node, before):
    if node.sources != (before,):
        extra = " (the token phase is an input that NIR would have to be given)" if PHASE in node.sources else ""
        raise UserError(
            f"layer {node.name!r}: reads {', '.join(node.sources)}{extra}; only chains can be said, here of {before!r}"
        )


def _of_sequential(net: Sequential, dt):
    out = []
    for i, layer in enumerate(net.layers):
        out += pack(layer, i, net.layers[i - 1].shape if i else None, dt)
    return out + [("output", library().Output(np.array(net.layers[-1].shape)))]


@singledispatch
def pack(layer, i, before, dt):
    """[(name, NIR node)] of layer number `i`, whose source has shape `before`."""
    raise UserError(f"{layer.name}: NIR has no {type(layer).__name__}")


@pack.register
def _(layer: InputLayer, i, before, dt):
    entry = [("input", library().Input(np.array(layer.shape)))]
    return (
        entry if layer.neuron is None else [*entry, (f"layer_{i}", _neuron(layer.neuron, layer.name, layer.shape, dt))]
    )


@pack.register
def _(layer: FlattenLayer, i, before, dt):
    return [(f"layer_{i}", library().Flatten({"input": np.array(before)}, start_dim=0, end_dim=-1))]


@pack.register
def _(layer: DenseLayer, i, before, dt):
    if layer.recurrent is not None:
        raise UserError(f"{layer.name}: recurrent synapses are not exported, only chains")
    _require_undelayed(layer, layer.axon_delay, layer.synapse_delay)
    return [
        (f"layer_{i}.weight", library().Linear(layer.weight.astype(np.float64))),
        (f"layer_{i}", _neuron(layer.neuron, layer.name, layer.shape, dt)),
    ]


@pack.register
def _(layer: ConvLayer, i, before, dt):
    _require_undelayed(layer, layer.axon_delay)
    if layer.groups != 1:
        raise UserError(
            f"{layer.name}: {layer.groups} groups; nir takes the kernel's channels for the input's, so that it cannot"
            " type a grouped convolution"
        )
    conv = library().Conv2d(
        tuple(layer.in_shape[1:]),
        layer.weight.astype(np.float64),
        tuple(layer.stride),
        tuple(layer.padding),
        tuple(layer.dilation),
        1,
        np.zeros(layer.shape[0]),
    )
    typed = tuple(int(x) for x in conv.output_type["output"])
    if typed != layer.shape:
        raise UserError(
            f"{layer.name}: nir types its output {typed}, it is {layer.shape}; kernels of unequal sides are not"
            " supported by nir"
        )
    return [(f"layer_{i}.weight", conv), (f"layer_{i}", _neuron(layer.neuron, layer.name, layer.shape, dt))]


def _require_undelayed(layer, *delays):
    if any(d is not None and d.any() for d in delays):
        raise UserError(f"{layer.name}: has delays, which are not exported")


def _neuron(neuron, where, shape, dt):
    """CubaLIF for CUBA neurons (a `Cuba` or a `sim.sequential.Neuron`: they share the names) of `shape`; IF where
    neither state leaks.
    """
    nir = library()
    flat = lambda x: np.broadcast_to(np.asarray(x, np.float64), int(np.prod(shape))).reshape(shape).copy()  # noqa: E731
    i_decay = flat(neuron.i_decay)
    bias = (
        flat(neuron.bias)
        if neuron.bias.size in (1, i_decay.size)
        else flat(np.repeat(neuron.bias, i_decay.size // neuron.bias.size))
    )
    threshold = flat(neuron.v_th)
    if neuron.v_decay == 0:
        if (i_decay != DECAY_ONE).any() or bias.any():
            raise UserError(
                f"{where}: a membrane that never leaks (v_decay 0) with a current of its own or a bias has no neuron"
                " in NIR"
            )
        return nir.IF(r=flat(1 / dt), v_threshold=threshold, v_reset=flat(0))
    if (i_decay == 0).any():
        raise UserError(f"{where}: a current that never leaks (i_decay 0) has no neuron in NIR")
    tau_mem = DECAY_ONE / neuron.v_decay
    return nir.CubaLIF(
        tau_syn=dt * DECAY_ONE / i_decay,
        tau_mem=flat(dt * tau_mem),
        r=flat(tau_mem),
        v_leak=bias * tau_mem,
        v_threshold=threshold,
        v_reset=flat(0),
        w_in=DECAY_ONE / i_decay,
    )

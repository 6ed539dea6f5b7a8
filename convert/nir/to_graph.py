"""Our integer nets as NIR graphs, where NIR has words for them. The equations are in docs/nir.md."""

import json
from functools import singledispatch
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.integer import DECAY_ONE, THRESHOLD_MAX
from sim.net import Cuba, Net, Readout
from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Neuron, Sequential
from sim.sequential.graph import Graph

from .files import library

DT = 1e-4  # seconds of a step, where nobody says otherwise
KEY, VERSION = "smolmamba", 2
# how the host makes drive of raw values, where the first neurons are driven without weights: [weight, bias]
TRANSFORM = "input_transform"


def to_graph(net: Net | Sequential | Graph, dt: float = DT) -> Any:
    """The `nir.NIRGraph` of a net.

    Args:
        dt: seconds that one time step stands for; time constants are multiples of it.

    Raises:
        UserError: naming the layer that NIR cannot say, and why.
    """
    if not (np.isfinite(dt) and dt > 0):
        raise UserError(f"dt is {dt}, expected a positive number of seconds")
    draft = Draft(dt)
    draft.metadata["dt"] = dt
    _say(net, draft)
    try:
        return library().NIRGraph(draft.nodes, draft.edges, draft.metadata)
    except ValueError as e:
        raise UserError(f"net: nir cannot type its graph ({e})") from e


class Draft:
    """A graph being written.

    Attributes:
        dt: seconds of a step. nodes, edges, metadata: of the graph so far.
    """

    def __init__(self, dt):
        self.dt, self.nodes, self.edges, self.metadata = dt, {}, [], {}

    def add(self, name: str, node: Any, *sources: str) -> str:
        """Adds `node`, which reads `sources`; returns its name."""
        if name in self.nodes:
            raise UserError(f"layer {name!r}: its name is needed for another node of the graph; rename it")
        if "/" in name:
            raise UserError(f"layer {name!r}: a name in a NIR file must not contain '/'")
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name


@singledispatch
def _say(net, draft: Draft) -> None:
    raise TypeError(type(net).__name__)


@_say.register
def _(net: Net, draft):
    nir = library()
    read = {source for node in net.nodes for source in node.sources}
    for layer in (*net.inputs, *net.nodes[:-1]):
        if layer.name not in read:
            raise UserError(f"layer {layer.name!r}: nothing reads it, and a NIR graph has no dead ends")
    for i in net.inputs:
        draft.add(i.name, nir.Input(np.array([i.size])))
    for node in net.nodes:
        if len(set(node.sources)) != len(node.sources):
            raise UserError(f"layer {node.name!r}: has two synapses from one source")
        ways = [
            draft.add(f"{node.name}.{s.source}.weight", nir.Linear(s.weight / 2.0**s.shift), s.source)
            for s in node.synapses
        ]
        if isinstance(node, Readout):
            draft.add("output", nir.Output(np.array([node.size])), *ways)
            continue
        if node.frame_reset:
            raise UserError(f"layer {node.name!r}: is reset at every frame, NIR has no resets")
        draft.add(node.name, _neuron(node, node.name, (node.size,), draft.dt), *ways)
    draft.metadata[KEY] = json.dumps(tokens_facts(net))


def tokens_facts(net: Net) -> dict:
    """What a net on tokens has beside its graph, as JSON values."""
    return dict(
        version=VERSION,
        inputs=[
            dict(name=i.name, of=i.of, backward=i.backward)
            | (dict(message_bits=i.message_bits) if i.message_bits else {})
            for i in net.inputs
        ],
        nodes=[
            dict(name=node.name, sources=list(node.sources))
            | (dict(shifts=shifts) if any(shifts := [s.shift for s in node.synapses]) else {})
            for node in net.nodes
        ],
        tokens=net.tokens,
        frames=net.frames,
        places=net.places,
        orders=np.asarray(net.orders).tolist(),
        encoder=net.encoder,
        classes=list(net.classes),
        facts=net.facts,
    )


@_say.register
def _(net: Sequential, draft):
    if net.layers[0].transform is not None:
        draft.metadata[TRANSFORM] = np.array(net.layers[0].transform, np.int64)
    before, shape = None, None
    for i, layer in enumerate(net.layers):
        before = pack(layer, i, before, shape, draft, layer is net.layers[-1])
        shape = layer.shape
    draft.add("output", library().Output(np.array(shape)), before)


@singledispatch
def pack(layer: Any, i: int, before: str | None, shape: tuple | None, draft: Draft, last: bool) -> str:
    """Adds layer number `i`, which reads node `before` of `shape`; returns the node that the next one reads."""
    raise UserError(f"{layer.name}: NIR has no {type(layer).__name__}")


@pack.register
def _(layer: InputLayer, i, before, shape, draft, last):
    name = draft.add("input", library().Input(np.array(layer.shape)))
    if layer.neuron is None:
        return name
    return draft.add(f"layer_{i}", _neuron(_cuba(layer), layer.name, layer.shape, draft.dt), name)


@pack.register
def _(layer: FlattenLayer, i, before, shape, draft, last):
    return draft.add(f"layer_{i}", library().Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1), before)


@pack.register
def _(layer: DenseLayer, i, before, shape, draft, last):
    neuron, ways = _cuba(layer), []
    for k, (delay, weight) in enumerate(_delayed(layer)):
        mark = f".{k}" if k else ""
        source = before if delay is None else _delay(draft, f"layer_{i}.delay{mark}", delay, before)
        ways.append(draft.add(f"layer_{i}.weight{mark}", library().Linear(weight.astype(np.float64)), source))
    name = draft.add(f"layer_{i}", _neuron(neuron, layer.name, layer.shape, draft.dt, last), *ways)
    if layer.recurrent is not None:
        draft.add(f"layer_{i}.recurrent", library().Linear(layer.recurrent.astype(np.float64)), name)
        draft.edges.append((f"layer_{i}.recurrent", name))
    return _axons(layer, name, draft, last)


def _delayed(layer):
    """[(steps of each source or None, weights)]: synapses that are late by different times apart."""
    delay = layer.synapse_delay
    if delay is None:
        return [(None, layer.weight)]
    if (delay == delay[:1]).all():
        return [(delay[0], layer.weight)]
    return [(np.full(delay.shape[1], d), np.where(delay == d, layer.weight, 0)) for d in np.unique(delay)]


def _delay(draft, name, steps, before):
    return draft.add(name, library().Delay(np.asarray(steps, np.float64) * draft.dt), before)


def _axons(layer, name, draft, last):
    if layer.axon_delay is None or not layer.axon_delay.any():
        return name
    if last:
        raise UserError(f"{layer.name}: delays of what the last layer sends are not exported")
    each = int(np.prod(layer.shape[1:]))
    return _delay(draft, f"{name}.axons", layer.axon_delay.repeat(each).reshape(layer.shape), name)


@pack.register
def _(layer: ConvLayer, i, before, shape, draft, last):
    neuron = _cuba(layer)
    draft.add(f"layer_{i}.weight", _convolution(layer), before)
    name = draft.add(f"layer_{i}", _neuron(neuron, layer.name, layer.shape, draft.dt, last), f"layer_{i}.weight")
    return _axons(layer, name, draft, last)


def _convolution(layer):
    if not layer.plain:
        raise UserError(f"{layer.name}: NIR has no transposed convolutions, and no pools of sides that leave a rest")
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
    return conv


def _cuba(layer) -> Neuron:
    if not isinstance(layer.neuron, Neuron):
        raise UserError(f"{layer.name}: NIR has no {type(layer.neuron).__name__} neurons")
    return layer.neuron


@_say.register
def _(net: Graph, draft):
    nir, shapes = library(), {layer.name: layer.shape for layer in net.layers}
    draft.add(net.input.name, nir.Input(np.array(net.input.shape)))
    for node in net.nodes:
        draft.add(node.name, _neuron(node.neuron, node.name, node.shape, draft.dt, node.name == net.output))
    for node in net.nodes:
        for k, edge in enumerate(node.edges):
            name, before, shape = f"{node.name}.{k}", edge.source, shapes[edge.source]
            if edge.delay:
                before = _delay(draft, f"{name}.delay", np.full(shape, edge.delay), before)
            if isinstance(edge.layer, DenseLayer):
                if len(shape) > 1:
                    flat = nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
                    before = draft.add(f"{name}.flat", flat, before)
                weights = nir.Linear(edge.layer.weight.astype(np.float64))
            else:
                weights = _convolution(edge.layer)
            draft.edges.append((draft.add(f"{name}.weight", weights, before), node.name))
    draft.add("output", nir.Output(np.array(shapes[net.output])), net.output)


def _neuron(neuron: Cuba | Neuron, where, shape, dt, last=False):
    """CubaLIF for CUBA neurons of `shape`; IF where neither state leaks; CubaLI and I where the last layer is there for
    its membranes.
    """
    nir = library()
    flat = lambda x: np.broadcast_to(np.asarray(x, np.float64), int(np.prod(shape))).reshape(shape).copy()  # noqa: E731
    i_decay = flat(neuron.i_decay)
    bias = (
        flat(neuron.bias)
        if neuron.bias.size in (1, i_decay.size)
        else flat(np.repeat(neuron.bias, i_decay.size // neuron.bias.size))
    )
    silent = last and neuron.v_th > THRESHOLD_MAX
    if silent and neuron.v_decay == DECAY_ONE and not i_decay.any() and not bias.any():
        return nir.I(r=flat(1 / dt))
    if neuron.v_decay == 0:
        if (i_decay != DECAY_ONE).any() or bias.any():
            raise UserError(
                f"{where}: a membrane that never leaks (v_decay 0) with a current of its own or a bias has no neuron"
                " in NIR"
            )
        if silent:
            return nir.I(r=flat(1 / dt))
        return nir.IF(r=flat(1 / dt), v_threshold=flat(neuron.v_th), v_reset=flat(0))
    if (i_decay == 0).any():
        raise UserError(f"{where}: a current that never leaks (i_decay 0) has no neuron in NIR")
    tau_mem = DECAY_ONE / neuron.v_decay
    common = dict(
        tau_syn=dt * DECAY_ONE / i_decay,
        tau_mem=flat(dt * tau_mem),
        r=flat(tau_mem),
        v_leak=bias * tau_mem,
        w_in=DECAY_ONE / i_decay,
    )
    if silent:
        return nir.CubaLI(**common)
    return nir.CubaLIF(**common, v_threshold=flat(neuron.v_th), v_reset=flat(0))

"""A net on tokens back from the NIR graph that `convert.nir.to_graph` wrote of it."""

import json
from dataclasses import replace

import numpy as np

from sim.base.errors import UserError
from sim.integer import SHIFT_MAX
from sim.net import Cuba, Dense, Input, Net, Readout

from .maps import as_matrix
from .to_graph import KEY, VERSION
from .unfold import Flat

KINDS = dict(
    inputs=list,
    nodes=list,
    tokens=int,
    frames=int,
    places=int,
    orders=list,
    encoder=dict,
    classes=list,
    facts=dict,
)
SIZE_LIMIT = 1 << 20


def as_net(text: str, flat: Flat, inputs: dict, made: list, output: str) -> Net:
    """The `Net`.

    Args:
        text: the graph's metadata of ours, JSON. inputs: name -> shape. made: all populations, in order.

    Raises:
        UserError: metadata that are not ours, a graph that is no net on tokens or not in integers.
    """
    says = _says(text)
    if output != flat.output:
        raise UserError("graph: has no read-out, a Linear before the output")
    found = {m.real.name: m for m in made}
    names = [n["name"] for n in says["nodes"]]
    if sorted(names[:-1]) != sorted(set(found) - {output}) or {i["name"] for i in says["inputs"]} != set(inputs):
        raise UserError(f"graph: its metadata {KEY!r} name other nodes than it has")
    nodes: list[Cuba | Readout] = [_node(n, found[n["name"]]) for n in says["nodes"][:-1]]
    readout = found[output]
    if not readout.whole.row["exact"]:
        raise UserError(f"node {readout.real.where!r}: a read-out's weights must be even integers in [-256, 254]")
    nodes.append(Readout(names[-1], _synapses(says["nodes"][-1], readout)))
    return Net(
        nodes=tuple(nodes),
        inputs=tuple(
            Input(
                i["name"],
                int(np.prod(inputs[i["name"]])),
                str(i["of"]),
                i["backward"] is True,
                i.get("message_bits", 0),
            )
            for i in says["inputs"]
        ),
        tokens=says["tokens"],
        frames=says["frames"],
        places=says["places"],
        orders=says["orders"],
        encoder=says["encoder"],
        classes=tuple(says["classes"]),
        facts=says["facts"],
    )


def _synapses(said, m):
    """`Dense`s in the order in which the net had them."""
    weights = {}
    for (name, way), weight in zip(m.real.edges, m.whole.weights):
        if weight.ndim != 2 or way.delay.any() or name in weights:
            raise UserError(
                "graph: a net on tokens has Linear and neurons only; take the metadata out to import it as it is"
            )
        weights[name] = weight
    if sorted(said["sources"]) != sorted(weights):
        raise UserError(f"node {m.real.name!r}: the metadata {KEY!r} name other sources than it has")
    return tuple(Dense(source, weights[source], shift) for source, shift in zip(said["sources"], _shifts(said)))


def _shifts(said) -> list:
    return said.get("shifts", [0] * len(said["sources"]))


def unshifted(found: list, text: str) -> list:
    """The populations with the weights of graded tokens in the net's integers: a graph has what arrives, in the file
    divided by the power of two that the sum loses.
    """
    by = {(n["name"], source): k for n in _says(text)["nodes"] for source, k in zip(n["sources"], _shifts(n)) if k}

    def whole(p, source, way):
        k = by.get((p.name, source))
        return way if k is None else replace(way, matrix=as_matrix(way, p.where) * 2.0**k, kernel=None, scale=None)

    return [replace(p, edges=tuple((s, whole(p, s, way)) for s, way in p.edges)) for p in found] if by else found


def _node(said, m):
    neuron = m.whole.neuron
    i_decay, bias = (np.broadcast_to(x, m.real.shape).copy() for x in (neuron.i_decay, neuron.bias))
    return Cuba(m.real.name, _synapses(said, m), i_decay, bias, neuron.v_decay, neuron.v_th)


def _require_texts(*values):
    if not all(isinstance(value, str) for value in values):
        raise TypeError("a name that is no text")


def _says(text):
    try:
        says = json.loads(text)
        if says["version"] != VERSION:
            raise UserError(f"graph: its metadata {KEY!r} are of version {says['version']!r}, expected {VERSION}")
        values = {key: says[key] for key in KINDS}
        for node in values["nodes"]:
            _require_texts(node["name"], *node["sources"])
            bits = [*_shifts(node), len(node["sources"]) - len(_shifts(node))]
            if not all(type(k) is int and 0 <= k <= SHIFT_MAX for k in bits) or bits[-1]:
                raise ValueError(f"shifts of {node['name']!r}")
        for entry in values["inputs"]:
            _require_texts(entry["name"], entry["of"], str(entry["backward"]))
            if type(entry.get("message_bits", 0)) is not int:
                raise ValueError(f"message_bits of {entry['name']!r}")
        values["orders"] = np.asarray(values["orders"], dtype=np.int64)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as e:
        raise UserError(f"graph: its metadata {KEY!r} are not what convert wrote ({e})") from None
    good = all(type(values[key]) is expected for key, expected in KINDS.items() if key != "orders")
    good = good and all(1 <= values[key] <= SIZE_LIMIT for key in ("tokens", "frames", "places"))
    good = good and values["nodes"] and all(isinstance(c, str) for c in values["classes"])
    if not good or (np.abs(values["orders"]) > SIZE_LIMIT).any():
        raise UserError(f"graph: its metadata {KEY!r} have a value of the wrong type")
    values["orders"] = values["orders"].astype(np.int16)
    return values

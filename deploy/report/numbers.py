"""Layers in numbers: what the file holds, what a run counted, what the export noted."""

import numpy as np

from sim.integer import weight_histogram
from sim.net import Cuba, Input, Net, Readout
from sim.netx import describe
from sim.sequential import Sequential
from sim.sequential.graph import Graph, Node
from sim.sequential.layers import Layer

from .content import LayerNumbers


def layer_numbers(net: Net | Sequential | Graph, rows: list | None = None, export: dict | None = None) -> tuple:
    """A `LayerNumbers` for each layer.

    Args:
        rows: `layers` of a run (`deploy.run.run`, `deploy.run.chain.result`). export: what `convert export` noted.
    """
    counted = {row["name"]: row for row in rows or ()}
    noted = {row["layer"]: row for row in (export or {}).get("layers", ())}
    layers = (*net.inputs, *net.nodes) if isinstance(net, Net) else net.layers
    return tuple(
        _numbers(row, weights_of(layer), counted.get(row["name"], {}), noted.get(row["name"], {}))
        for row, layer in zip(describe(net), layers)
    )


def weights_of(layer: Input | Cuba | Readout | Layer | Node) -> list[np.ndarray]:
    """The weight arrays of a layer or node of any net."""
    parts = [*getattr(layer, "synapses", ()), *(edge.layer for edge in getattr(layer, "edges", ())), layer]
    every = [getattr(part, name, None) for part in parts for name in ("weight", "recurrent", "imaginary")]
    return [w for w in every if isinstance(w, np.ndarray)]


def _numbers(row, weights, counted, noted):
    bins, zeros = weight_histogram(weights)
    return LayerNumbers(
        row["name"],
        row.get("neuron") or row["type"],
        int(np.prod(row["shape"])),
        counted.get("spikes"),
        counted.get("rate"),
        counted.get("synops"),
        row.get("weight_bits"),
        tuple(bins) if weights else (),
        zeros,
        row.get("threshold"),
        tuple(row.get("i_decay", ())),
        row.get("v_decay"),
        tuple(row.get("bias", ())),
        noted,
    )

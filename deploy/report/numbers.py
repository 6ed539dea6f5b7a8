"""Layers in numbers: what the file holds, what a run counted, what the export noted."""

from typing import Any

import numpy as np

from sim.net import Net
from sim.netx import describe
from sim.sequential import Sequential
from sim.sequential.graph import Graph

from .content import LayerNumbers

BINS = 32  # of a histogram of weights, from -256 to 256


def layer_numbers(net: Net | Sequential | Graph, rows: list | None = None, export: dict | None = None) -> tuple:
    """A `LayerNumbers` for each layer.

    Args:
        rows: `layers` of a run (`deploy.run.run`, `deploy.chain.result`). export: what `convert export` noted.
    """
    counted = {row["name"]: row for row in rows or ()}
    noted = {row["layer"]: row for row in (export or {}).get("layers", ())}
    layers = (*net.inputs, *net.nodes) if isinstance(net, Net) else net.layers
    return tuple(
        _numbers(row, weights_of(layer), counted.get(row["name"], {}), noted.get(row["name"], {}))
        for row, layer in zip(describe(net), layers)
    )


def weights_of(layer: Any) -> list[np.ndarray]:
    """The weight arrays of a layer or node of any net."""
    parts = [*getattr(layer, "synapses", ()), *(edge.layer for edge in getattr(layer, "edges", ())), layer]
    every = [getattr(part, name, None) for part in parts for name in ("weight", "recurrent")]
    return [w for w in every if isinstance(w, np.ndarray)]


def histogram(weights: list[np.ndarray]) -> tuple:
    """(numbers of the weights in `BINS` bins, without zeros; zeros)."""
    flat = np.concatenate([w.ravel() for w in weights]) if weights else np.zeros(0, np.int16)
    bins = np.histogram(flat[flat != 0], BINS, (-256, 256))[0]
    return tuple(int(n) for n in bins), int((flat == 0).sum())


def _numbers(row, weights, counted, noted):
    bins, zeros = histogram(weights)
    return LayerNumbers(
        row["name"],
        row.get("neuron") or row["type"],
        int(np.prod(row["shape"])),
        counted.get("spikes"),
        counted.get("rate"),
        counted.get("synops"),
        row.get("weight_bits"),
        bins if weights else (),
        zeros,
        row.get("threshold"),
        tuple(row.get("i_decay", ())),
        row.get("v_decay"),
        tuple(row.get("bias", ())),
        noted,
    )

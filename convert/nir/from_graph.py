"""NIR graphs as integer nets: quantized where they are not integers already. The equations are in docs/nir.md."""

from dataclasses import replace
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.net import Net
from sim.sequential import InputLayer, Neuron, Sequential
from sim.sequential.graph import Graph

from .assemble import Made, as_chain, as_graph, is_driven
from .neurons import hinted_step
from .populations import populations
from .quantize import Ruined, quantized
from .split import split
from .to_graph import DT, KEY, TRANSFORM
from .tokens import as_net, unshifted
from .unfold import Flat, unfold

STEPS = tuple(m * 10.0**e for e in range(-7, 3) for m in (1, 2, 5))  # that are proposed


def from_graph(graph: Any, dt: float | None = None) -> tuple[Net | Sequential | Graph, list]:
    """(net, report) of an `nir.NIRGraph`.

    Args:
        dt: seconds of a time step; by default what the graph's metadata say, else what its gains hint at
            (`convert.nir.neurons.hinted_step`), else 1e-4.

    Returns:
        A `Net` if the graph carries what `convert.nir.to_graph` adds for one; else a `Sequential` if it is a chain,
        else a `Graph`. And a list of one dict a layer: `layer`, `exact` (nothing was rounded), `threshold`, `i_decay`,
        `v_decay`, `dt`, the rounding: `weight_error` (RMS of the difference over RMS), `decay_error` (largest relative
        one of the two decays), `bias_error` (largest, in thresholds); `notes`; and `scale` where nothing spikes:
        membranes are 64 `scale` times as large as the graph's.

    Raises:
        UserError: naming the node, and what about it the chip or this converter cannot do.
    """
    metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
    flat = unfold(graph)
    dt = _dt(metadata["dt"] if dt is None and "dt" in metadata else dt or hinted_step(flat.nodes) or DT)
    try:
        net, rows = _made(flat, dt, metadata)
    except Ruined as e:
        better = next((step for step in STEPS if step > dt and _works(flat, step, metadata)), None)
        hint = "no other --dt helps" if better is None else f"it works with --dt {better:g}"
        raise Ruined(f"{e}; steps are of {dt:g} s, {hint}") from None
    return net, [dict(row, dt=dt) for row in rows]


def _dt(value):
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise UserError(f"graph: its dt is {value!r}, expected seconds") from None
    if not (np.isfinite(value) and value > 0):
        raise UserError(f"graph: dt is {value}, expected a positive number of seconds")
    return value


def _works(flat, dt, metadata):
    try:
        _made(flat, dt, metadata)
    except UserError:
        return False
    return True


def _made(flat: Flat, dt, metadata):
    inputs, found, output = populations(flat, dt)
    if KEY in metadata:
        made = [Made(p, quantized(p)) for p in unshifted(found, metadata[KEY])]
        return as_net(metadata[KEY], flat, inputs, made, output), [m.whole.row for m in made]
    if len(inputs) != 1:
        raise UserError(f"graph: has {len(inputs)} Input nodes, expected one")
    ((source, shape),) = inputs.items()
    entry, notes = InputLayer("layer/0", shape), flat.notes
    if len(found) > 1 and is_driven(found[0], source) and not any(_reads(p, source) for p in found[1:]):
        entry, found, source = _driven(found[0], shape, metadata), found[1:], found[0].name
    found = split(found, output)
    made = [Made(p, quantized(p)) for p in found]
    notes += tuple(note for m in made for note in m.whole.row["notes"])
    chain = as_chain(entry, made, source, notes) if output == found[-1].name else None
    entry = entry if chain is not None else replace(entry, name=source)
    return chain or as_graph(entry, made, source, output, notes), [m.whole.row for m in made]


def _reads(p, source):
    return any(name == source for name, _ in p.edges)


def _driven(p, shape, metadata):
    """The input layer of neurons that the input drives without weights."""
    transform = metadata.get(TRANSFORM)
    if transform is not None:
        transform = np.asarray(transform)
        if transform.shape != (2,) or transform.dtype.kind not in "iu" or (np.abs(transform) > 1 << 31).any():
            raise UserError(f"graph: its metadata {TRANSFORM!r} are {transform.tolist()}, expected weight and bias")
        transform = tuple(int(x) for x in transform)
    i_decay, v_decay = (np.rint(4096 * x).astype(np.int32) for x in (p.dynamics.du, p.dynamics.dv))
    if (v_decay != v_decay[0]).any():
        raise UserError(f"node {p.name!r}: has several membrane time constants, a layer of the chip has one; split it")
    one = (i_decay == i_decay[0]).all()
    neuron = Neuron(
        i_decay[:1] if one else i_decay, int(v_decay[0]), int(np.rint(p.dynamics.threshold[0])), np.zeros(1, np.int32)
    )
    return InputLayer("layer/0", shape, neuron, transform or (1, 0))

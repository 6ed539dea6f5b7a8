"""The plan: does a net fit a board, what is short first, and what does a sample cost."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch

import numpy as np

from sim.expansion import RELAY, Expansion, Kernel, expand
from sim.net import Net
from sim.net.tokens import Stream, checked
from sim.sequential import Sequential
from sim.sequential.graph import Graph

from . import board as boards
from . import energy
from .activity import Activity, measure
from .allocate import CORES, PACKINGS, Core, DoesNotFit, Placement, allocate, limits
from .board import Board
from .results import (
    Bottleneck,
    ChipPlan,
    CoreRow,
    Costs,
    HostRow,
    LayerRow,
    PartRow,
    Placed,
    PopulationRow,
    Reason,
    Sizes,
)


def plan(
    net: Net | Sequential | Graph,
    board: Board,
    packing: str = "separate",
    x: Stream | np.ndarray | None = None,
    data: str | None = None,
    tables: Sequence[str] = ("loihi1-davies2018", "cmos-45nm"),
) -> ChipPlan:
    """Plans a net on a board.

    Args:
        net: `sim.net.Net`, `sim.sequential.Sequential` or `sim.sequential.graph.Graph`.
        board: `deploy.chip.board.Board`.
        packing: how parts are placed, see `deploy.chip.allocate`.
        x: samples for the cost, as `deploy.chip.activity.measure` takes them; None for no cost.
        data: what these samples are, for people.
        tables: names or paths of cost tables.

    Raises:
        UserError: a table; samples of another geometry.
    """
    priced = [energy.load(t) for t in tables]
    expansion = expand(net)
    out = ChipPlan(board, packing, sizes(net, expansion), layer_rows(expansion), host_rows(expansion))
    try:
        placement = allocate(expansion, board, packing)
    except DoesNotFit as e:
        return replace(out, reason=_reason(e))
    placed = place(expansion, placement, board, packing)
    out = replace(out, placed=placed, layers=layer_rows(expansion, placement))
    if placed.cores_used > board.cores:
        return replace(out, reason=_reason(_too_many_cores(out)))
    if x is None or not len(x):
        return out
    known, sent = samples(net, x)
    activity = measure(net, expansion, placement, board, known)
    tiles = math.ceil(min(placed.cores_used, board["cores_per_chip"]) / board["cores_per_tile"])
    macs = dense_macs(expansion, activity.counts.steps)
    prices = {t.name: energy.cost(t, activity, tiles, macs) for t in priced}
    return replace(out, host=host_rows(expansion, activity), costs=Costs(data, sent, activity.counts, prices))


@singledispatch
def samples(net: Net | Sequential | Graph, x: Stream | np.ndarray) -> tuple:
    """(input as the engine takes it, share of the tokens that are sent or None)."""
    raise TypeError(type(net).__name__)


@samples.register
def _(net: Net, x):
    x = checked(net, x)
    return x, x.sent / (len(x) * net.frames * net.tokens)


@samples.register(Sequential)
@samples.register(Graph)
def _(net, x):
    return x, None


def sizes(net: Net | Sequential | Graph, expansion: Expansion) -> Sizes:
    """Of the whole expansion."""
    relays = sum(p.n for p in expansion.populations if p.kind == RELAY)
    steps = expansion.steps
    return Sizes(
        expansion.neurons,
        {"layer": expansion.neurons - relays, "relay": relays},
        expansion.synapses,
        max((j.weight_bits for j in expansion.projections), default=0),
        steps,
        None if steps is None else steps + expansion.latency,
        tuple(n.name for n in getattr(net, "nodes", ()) if n.name not in expansion.outputs),
    )


def layer_rows(expansion: Expansion, placement: Placement | None = None) -> tuple:
    """One row for each layer of the net that has neurons or relays on the chip."""
    cores, bits = {}, {}
    for core, part in placement.parts() if placement else ():
        cores.setdefault(part.population.layer, set()).add(core)
        bits[part.population.layer] = bits.get(part.population.layer, 0) + part.sums["synapse bits"]
    rows = []
    for layer in dict.fromkeys(p.layer for p in expansion.populations):
        own = expansion.of_layer(layer)
        inputs = [j for p in own for j in p.inputs]
        rows.append(
            LayerRow(
                layer,
                sum(p.n for p in own),
                sum(j.synapses for j in inputs),
                max((j.weight_bits for j in inputs), default=0),
                max((j.longest_delay for j in inputs), default=0),
                tuple(_population_row(p) for p in own),
                len(cores[layer]) if placement else None,
                bits.get(layer),
            )
        )
    return tuple(rows)


def _population_row(p):
    role = "relay" if p.kind == RELAY else "layer"
    return PopulationRow(p.name, role, p.n, p.graded, tuple(sorted(p.decays)), p.v_th)


def host_rows(expansion: Expansion, activity: Activity | None = None) -> tuple:
    """What stays with the host; traffic from an `Activity`, where samples were run."""
    rows = []
    for line in expansion.lines:
        traffic = vars(activity.host[line.name]) if activity else {}
        rows.append(HostRow(line.name, line.process, line.n, line.graded, **traffic))
    if expansion.readout:
        n = next(p.n for p in expansion.populations if p.name == expansion.readout)
        process = "sum over the sample and argmax of the graded read-out"
        answers = activity.answers if activity else None
        rows.append(HostRow(f"{expansion.readout} sum", process, n, True, messages_per_sample=answers))
    return tuple(rows)


def place(expansion: Expansion, placement: Placement, board: Board, packing: str) -> Placed:
    """What a placement uses, core by core."""
    limit, cores = limits(board), []
    for k, core in enumerate(placement.cores):
        use = core.use()
        parts = tuple(PartRow(p.population.name, p.stop - p.start) for p in core.parts)
        share = {r: used / limit[r] for r, used in use.items()}
        cores.append(CoreRow(k, k // board["cores_per_chip"], use, share, parts))
    return Placed(
        len(cores),
        math.ceil(len(cores) / board["cores_per_chip"]),
        _by_packing(expansion, board, packing, placement),
        bottleneck(placement, board),
        sum(part.sums["synapse bits"] for _, part in placement.parts()),
        tuple(cores),
    )


def bottleneck(placement: Placement, board: Board) -> Bottleneck:
    """The resource that is used most in relation to its limit: that of a core, or the cores."""
    limit = limits(board)
    full = [(used / limit[r], r, int(used), core) for core in placement.cores for r, used in core.use().items()]
    share, resource, used, core = max(full, key=lambda x: x[0])
    most, parts = limit[resource], core.parts
    weight = lambda p: Core([p]).use()[resource]  # noqa: E731
    if len(placement.cores) / board.cores >= share:
        resource, used, most = CORES, len(placement.cores), board.cores
        share, parts, weight = used / most, [p for _, p in placement.parts()], lambda p: 1
    by_layer = Counter()
    for p in parts:
        by_layer[p.population.layer] += weight(p)
    layer = by_layer.most_common(1)[0][0]
    of = "the board's" if resource == CORES else "a core's"
    text = f"{resource}, {used:,} of {of} {most:,} ({100 * share:.1f} %), most of them in layer {layer}"
    return Bottleneck(resource, layer, used, most, share, text)


def _by_packing(expansion, board, packing, placement):
    """Cores that each packing takes, and below which none can go; None where a packing fails."""
    out: dict = {packing: len(placement.cores)}
    for other in PACKINGS:
        if other not in out:
            try:
                again = allocate(expansion, board, other)
                out[other] = len(again.cores)
            except DoesNotFit:
                out[other] = None
    return out | {"lower_bound": placement.lower_bound}


def _too_many_cores(out):
    board, used = out.board, out.placed.cores_used
    worst = max(out.layers, key=lambda row: row.cores)
    shared = out.placed.cores_by_packing.get("shared")
    larger = [
        name
        for name in boards.names()
        if (b := boards.load(name)).cores >= used and (b["message_bits"] > 0) == (board["message_bits"] > 0)
    ]
    if shared is not None and shared <= board.cores:
        remedy = f"--packing shared takes {shared:,} cores"
    elif larger:
        remedy = f"board {larger[0]} has {boards.load(larger[0]).cores:,}"
    else:
        remedy = (
            f"no board of this kind is large enough: the net must shrink {used / board.cores:.1f} times, "
            f"and this layer alone takes {worst.cores:,} cores"
        )
    return DoesNotFit(CORES, worst.layer, used, board.cores, remedy, of_whole=True)


def _reason(e):
    return Reason(e.resource, e.layer, e.used, e.limit, e.used - e.limit, e.remedy, str(e))


def dense_macs(expansion: Expansion, steps: int) -> int:
    """Multiply-accumulates of one sample if the layers' matrices, pruned weights and all, were applied to real-valued
    vectors at every step (the phase and input values that need no matrix left out).
    """
    layer_of = {x.name: x.layer for x in (*expansion.lines, *expansion.populations)}
    out = {line.name for line in expansion.lines if line.phase}
    pairs = {}  # a layer may be several populations, and a population be read through relays
    for p in expansion.populations:
        for j in p.inputs if p.kind != RELAY else ():
            if layer_of[j.source] not in out and not j.injected:
                pairs[p.layer, layer_of[j.source]] = j
    size = {name: sum(p.n for p in parts) for name, parts in expansion.outputs.items()}
    return steps * sum(
        j.places if isinstance(j.weight, Kernel) else size[target] * size[source]
        for (target, source), j in pairs.items()
    )

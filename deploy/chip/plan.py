"""The plan: does a net fit a board, what is short first, and what does a sample cost. Everything as plain JSON
values.
"""

import math
from dataclasses import replace

from sim import engine
from sim.net import PHASE, Net, TokenGate

from . import board as boards
from . import energy
from .activity import measure
from .allocate import PACKINGS, Core, DoesNotFit, allocate, limits
from .expansion import expand
from .synapses import count

CORES = "neurocores"


def plan(net, board, packing="separate", x=None, data=None, tables=("loihi1-davies2018", "cmos-45nm")) -> dict:
    """Plans a net on a board.

    Args:
        net: `sim.net.Net` or `sim.sequential.Sequential`.
        board: `deploy.chip.board.Board`.
        packing: how parts are placed, see `deploy.chip.allocate`.
        x: input of real samples for the cost; None for no cost.
        data: what these samples are, for people.
        tables: names or paths of cost tables.

    Returns:
        dict: `fits`; if not, `reason` (constraint, layer, used, limit, excess, remedy, text). Further `board`,
            `cores_used`, `cores_available`, `bottleneck`,
        `neurons`, `synapses` (not zero), `weight_bits`, `steps_per_sample`, `latency_steps`, `layers`, `left_out`
        (layers that do not reach the read-out and are not put on the chip), `host`, `limits`, `cores`, `activity`,
        `energy`, `pruning`. What cannot be said is None.

    Raises:
        UserError: a table; samples of another geometry.
    """
    tables = [energy.load(t) for t in tables]
    expansion = expand(net)
    out = {
        "board": board.name,
        "title": board.title,
        "fits": False,
        "reason": None,
        "packing": packing,
        "cores_used": None,
        "cores_available": board.cores,
        "cores_by_packing": {},
        "chips_used": None,
        "chips_available": board["chips"],
        "bottleneck": None,
        **totals(expansion),
        "steps_per_sample": expansion.steps,
        "latency_steps": None if expansion.steps is None else expansion.steps + expansion.latency,
        "left_out": [n.name for n in getattr(net, "nodes", ()) if n.name not in expansion.outputs],
        "layers": layer_rows(expansion),
        "host": host_rows(expansion),
        "limits": limit_rows(board),
        "cores": [],
        "data": data,
        "activity": None,
        "energy": None,
        "pruning": None,
    }
    try:
        placement = allocate(expansion, board, packing)
    except DoesNotFit as e:
        out["reason"] = _reason(e)
        return out
    out |= placed(expansion, placement, board)
    out["cores_by_packing"] = _by_packing(expansion, board, packing, placement)
    out["fits"] = out["cores_used"] <= board.cores
    if not out["fits"]:
        out["reason"] = _reason(_too_many_cores(out, board))
        return out
    if x is not None and len(x):
        out |= costs(net, expansion, placement, board, packing, x, tables)
    return out


def totals(expansion) -> dict:
    """Sizes of the whole expansion."""
    roles = dict.fromkeys(("layer", "gate", "reversal", "relay"), 0)
    for p in expansion.populations:
        roles[p.role] += p.n
    return {
        "neurons": expansion.neurons,
        "neurons_by_role": roles,
        "synapses": expansion.synapses,
        "weight_bits": max((j.weight_bits for p in expansion.populations for j in p.inputs), default=0),
    }


def layer_rows(expansion) -> list:
    """One dict for each layer of the net: its neurons and non-zero synapses on the chip, weight bits, populations."""
    rows = []
    for layer in dict.fromkeys(p.layer for p in expansion.populations):
        own = expansion.of_layer(layer)
        inputs = [j for p in own for j in p.inputs]
        rows.append(
            {
                "layer": layer,
                "neurons": sum(p.n for p in own),
                "synapses": sum(count(j.weight)[1] for j in inputs),
                "weight_bits": max((j.weight_bits for j in inputs), default=0),
                "longest_delay": max((j.delay for j in inputs), default=0),
                "populations": [
                    {
                        "name": p.name,
                        "role": p.role,
                        "neurons": p.n,
                        "graded": p.graded,
                        "decays": sorted(map(list, p.decays)),
                        "threshold": p.v_th,
                    }
                    for p in own
                ],
            }
        )
    return rows


def host_rows(expansion) -> list:
    """What stays with the host; traffic is filled in where samples were run."""
    rows = [{"name": h.name, "process": h.process, "lines": h.n, "graded": h.graded} for h in expansion.host]
    if expansion.readout:
        n = next(p.n for p in expansion.populations if p.name == expansion.readout)
        rows.append(
            {
                "name": f"{expansion.readout} sum",
                "process": "sum over the sample and argmax of the graded read-out",
                "lines": n,
                "graded": True,
            }
        )
    return rows


def limit_rows(board) -> list:
    return [
        {"name": x.name, "value": x.value, "unit": x.unit, "status": x.status, "source": x.source}
        for x in board.limits.values()
    ]


def placed(expansion, placement, board) -> dict:
    """What a placement uses, core by core and layer by layer."""
    limit = limits(board)
    cores, per_layer = [], {}
    for k, core in enumerate(placement.cores):
        use = core.use()
        for p in core.parts:
            row = per_layer.setdefault(p.population.layer, {"cores": set(), "synapse_bits": 0})
            row["cores"].add(k)
            row["synapse_bits"] += p.sums["synapse bits"]
        cores.append(
            {
                "core": k,
                "chip": k // board["cores_per_chip"],
                "use": use,
                "share": {r: used / limit[r] for r, used in use.items()},
                "parts": [{"population": p.population.name, "neurons": p.stop - p.start} for p in core.parts],
            }
        )
    rows = layer_rows(expansion)
    for row in rows:
        row |= {"cores": len(per_layer[row["layer"]]["cores"]), "synapse_bits": per_layer[row["layer"]]["synapse_bits"]}
    return {
        "cores_used": len(cores),
        "chips_used": math.ceil(len(cores) / board["cores_per_chip"]),
        "cores": cores,
        "layers": rows,
        "synapse_bits": sum(row["synapse_bits"] for row in rows),
        "bottleneck": bottleneck(placement, board),
    }


def bottleneck(placement, board) -> dict:
    """The resource that is used most in relation to its limit: that of a core, or the cores."""
    limit, best = limits(board), None
    for core in placement.cores:
        for r, used in core.use().items():
            if best is None or used / limit[r] > best["share"]:
                layer = max(core.parts, key=lambda p: Core([p]).use()[r]).population.layer
                best = {"resource": r, "layer": layer, "used": int(used), "limit": limit[r], "share": used / limit[r]}
    used = len(placement.cores)
    if used / board.cores >= best["share"]:
        counts = {}
        for _, p in placement.parts():
            counts[p.population.layer] = counts.get(p.population.layer, 0) + 1
        best = {
            "resource": CORES,
            "layer": max(counts, key=counts.get),
            "used": used,
            "limit": board.cores,
            "share": used / board.cores,
        }
    best["text"] = (
        f"{best['resource']}: {best['used']:,} of {best['limit']:,} ({best['share']:.1%}), most in layer"
        f" {best['layer']}"
    )
    return best


def _by_packing(expansion, board, packing, placement):
    """Cores that each packing takes, and below which none can go; None where a packing fails."""
    out = {packing: len(placement.cores)}
    for other in PACKINGS:
        if other not in out:
            try:
                again = allocate(expansion, board, other)
                out[other] = len(again.cores)
            except DoesNotFit:
                out[other] = None
    return out | {"lower_bound": placement.lower_bound}


def _too_many_cores(out, board):
    used, worst = out["cores_used"], max(out["layers"], key=lambda row: row["cores"])
    shared = out["cores_by_packing"].get("shared")
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
            f"and this layer alone takes {worst['cores']:,} cores"
        )
    return DoesNotFit(CORES, worst["layer"], used, board.cores, remedy, of_whole=True)


def _reason(e):
    return {
        "constraint": e.resource,
        "layer": e.layer,
        "used": e.used,
        "limit": e.limit,
        "excess": e.used - e.limit,
        "remedy": e.remedy,
        "text": str(e),
    }


def costs(net, expansion, placement, board, packing, x, tables) -> dict:
    """Activity and cost of samples, and the same with all gates open and without gates."""
    activity, prices = _run(net, expansion, placement, board, x, tables)
    host = host_rows(expansion)
    for row in host:
        row |= {
            k: v
            for k, v in activity.host.get(row["name"], {"messages_per_sample": activity.answers}).items()
            if k not in ("process", "lines")
        }
    counts = {
        "samples": activity.samples,
        "steps": activity.steps,
        **activity.counts,
        "layer_synops": activity.layer_synops,
    }
    out = {"host": host, "activity": counts, "energy": prices}
    if isinstance(net, Net) and any(isinstance(n, TokenGate) for n in net.nodes):
        out["pruning"] = pruning(net, prices, board, packing, x, tables)
    return out


def _run(net, expansion, placement, board, x, tables):
    activity = measure(net, expansion, placement, board, x)
    tiles = math.ceil(min(len(placement.cores), board["cores_per_chip"]) / board["cores_per_tile"])
    return activity, {t.name: energy.cost(t, activity, tiles, dense_macs(expansion, activity.steps)) for t in tables}


def dense_macs(expansion, steps) -> int:
    """Multiply-accumulates of one sample if the layers' matrices were applied to real-valued vectors at every step
    (gates and the phase left out).
    """
    return steps * sum(
        count(j.weight)[0] for p in expansion.populations if p.role == "layer" for j in p.inputs if j.source != PHASE
    )


def pruning(net, prices, board, packing, x, tables) -> dict:
    """What the gates save: the same net with open gates (threshold 1: all that fires passes) and with the gates taken
    out, beside the net itself.

    Ratios are unpruned over pruned, per table by which the net costs anything: energy and time. `gates`: share of
    tokens that each gate lets through, and of spikes."""
    ran = engine.run_batches(net, x)
    out = {
        "gates": {
            n.name: {"kept": ran.kept[n.name], "spikes_passed": ran.spikes[n.name] / max(ran.spikes[n.source], 1)}
            for n in net.nodes
            if isinstance(n, TokenGate)
        }
    }
    for name, other in (("gates_open", open_gates(net)), ("gates_removed", without_gates(net))):
        expansion = expand(other)
        placement = allocate(expansion, board, packing)
        activity, cost = _run(other, expansion, placement, board, x, tables)
        out[name] = {
            "cores": len(placement.cores),
            "neurons": expansion.neurons,
            "activity": activity.counts,
            "energy": cost,
            "energy_ratio": {
                t: cost[t]["energy_j_per_sample"] / prices[t]["energy_j_per_sample"]
                for t in cost
                if prices[t]["energy_j_per_sample"]
            },
            "time_ratio": {
                t: cost[t]["seconds_per_sample"] / prices[t]["seconds_per_sample"]
                for t in cost
                if cost[t]["seconds_per_sample"]
            },
        }
    return out


def open_gates(net):
    """The net with every gate's threshold at 1."""
    return replace(net, nodes=tuple(replace(n, threshold=1) if isinstance(n, TokenGate) else n for n in net.nodes))


def without_gates(net):
    """The net with every gate replaced by its source."""
    real = {}
    for n in net.nodes:
        if isinstance(n, TokenGate):
            real[n.name] = real.get(n.source, n.source)
    return replace(net, nodes=tuple(_read_from(n, real) for n in net.nodes if not isinstance(n, TokenGate)))


def _read_from(node, real):
    if hasattr(node, "synapses"):
        return replace(node, synapses=tuple(replace(s, source=real.get(s.source, s.source)) for s in node.synapses))
    return replace(node, source=real.get(node.source, node.source))

"""The first screen: what the net does, whether it is proven, what it would cost, each figure with its explanation."""

from pathlib import Path

import events

from ..chip.allocate import CORES, DELAY_SLOTS
from .content import Report, export_parity
from .markup import Markup, percent, quantity, tag


def first_screen(r: Report) -> Markup:
    """Title, one sentence on what is measured and what estimated, and the tiles."""
    tiles = [t for t in (_accuracy(r), _parity(r), _energy(r), _time(r), _cores(r), _counted(r)) if t]
    return tag(
        "header",
        tag("h1", Path(r.net).name, " ", tag("small", r.net)),
        tag("p", line, class_="sentence") if (line := verdict(r)) else None,
        tag("p", sentence(r), class_="sentence"),
        tag("div", tiles, class_="tiles"),
        tag("p", _what(r), class_="note"),
    )


def verdict(r: Report) -> str:
    """In one line: whether executors agree, whether the net fits, whether a chip has run it."""
    parts = []
    if r.parity:
        more = f", Lava and the engine on {r.parity.simulated} others" if r.parity.simulated else ""
        same = f"all executors give the same spikes on {_count(r.parity.samples, 'sample')}{more}"
        parts.append(same if r.parity.holds else "executors DIFFER")
    if r.plan:
        board = r.plan.board.title
        parts.append(f"fits {board}" if r.plan.placed and r.plan.fits else f"does not fit {board}")
    if "loihi2" not in ((r.accuracy.backend,) if r.accuracy else ()) + (r.parity.executors if r.parity else ()):
        parts.append("no chip has run it")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if parts else ""


def sentence(r: Report) -> Markup | str:
    """What is measured and what estimated."""
    measured = [
        name
        for name, there in (
            ("accuracy", r.accuracy),
            ("agreement of executors", r.parity),
            ("spikes", r.counted or (r.plan and r.plan.costs)),
        )
        if there
    ]
    estimated = ["neurocores"] if r.plan else []
    estimated += ["energy", "time"] if r.plan and r.plan.costs else []
    parts = []
    if measured:
        where = "on a Loihi 2 chip" if r.accuracy and r.accuracy.backend == "loihi2" else "by running this very net"
        parts += [tag("b", "Measured"), f" {where}: {_listed(measured)}. "]
        if len(measured) > 1:
            parts += ["Slower programs were run on fewer samples. "]
    if estimated:
        parts += [tag("b", "Estimated"), f" from public figures, no Loihi 2 was measured: {_listed(estimated)}."]
    return tag("span", parts) if parts else "This page says what the file holds; nothing was run."


def _count(n, name):
    return f"{n:,} {name}" if n == 1 else f"{n:,} {name}s"


def _listed(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _what(r):
    ours = r.kind.startswith("Net(")
    start = (
        "A Vision SmolMamba: a spiking net that reads the events of a camera, or pixels. Each frame is cut into patches"
        " (tokens); the liveliest, with the most events, are sent to the net, one in each time step; channels are the"
        " inputs of a patch, its pixels by polarity or colour. Our"
        " reconstruction from the abstract of arXiv 2604.25570. "
        if ours
        else "A net from another tool, run in the chip's integers. "
    )
    return [start, tag("code", r.kind.removeprefix("Net(").removesuffix(")") if ours else r.kind)]


def tile(title: str, value: str, unit: str, kind: str, explained: str, good: bool | None = None) -> Markup:
    """A figure. kind: `measured` or `estimate`; good: a colour for a verdict."""
    mood = {None: "", True: " good", False: " bad"}[good]
    return tag(
        "section",
        tag("h2", title, tag("span", kind, class_=f"tag {kind}")),
        tag("p", tag("b", value), " ", unit, class_=f"big{mood}"),
        tag("p", explained, class_="explained"),
        class_="tile",
        title=explained,
    )


_RAN = {
    "fast": "run in the chip's integers by the engine",
    "sim": "run in the chip's integers by Lava",
    "loihi2": "run by the chip",
}
_WHO = {
    "artifact": "the spikes that the export stored in the file",
    "engine": "the fast integer engine",
    "fused": "Lava's simulator with one process for the net",
    "stock": "with Lava's own neurons and synapses",
    "steps": "the equations, step by step",
    "netx": "lava-dl's own reader",
    "loihi2": "the chip",
}


def _slayer(export):
    """What the record of the export says of the net that was trained."""
    found = export_parity(export)
    if found is None or found["differences"]:
        return ""
    on = _count(found["samples"], "sample")
    return f" At export the engine's spikes were those of the trained net in SLAYER, on {on}."


def _accuracy(r):
    a = r.accuracy
    if a is None:
        return None
    low, high = (percent(v) for v in a.interval)
    part = f" ({a.split})" if a.split else ""
    what = f" {a.dataset}: {events.DATASETS[a.dataset].what}." if a.dataset in events.DATASETS else ""
    return tile(
        "Accuracy",
        percent(a.value),
        f"{low} to {high}",
        "measured",
        f"{a.right:,} of {a.n:,} samples of {a.dataset}{part} were recognized, {_RAN.get(a.backend, a.backend)}. The"
        f" range is the 95 % confidence interval of the true accuracy (Wilson's).{what}",
    )


def _parity(r):
    p = r.parity
    if p is None:
        return None
    lava = {
        None: "",
        True: f" Besides, {p.simulated} test samples in Lava: all answers and spikes are the engine's.",
        False: f" But {p.simulated} test samples gave OTHER answers or spikes in Lava.",
    }[p.simulated_equal]
    slayer = "" if "artifact" not in p.executors else _slayer(r.beside.export)
    names = _listed([f"{_WHO[e]} ({e})" if e in _WHO else e for e in p.executors])
    return tile(
        "Same spikes",
        f"{p.differences:,}",
        "differences" if p.differences != 1 else "difference",
        "measured",
        f"Parity, on {_count(p.samples, 'sample')}, at every layer, neuron and time step: {names}. {p.compared:,}"
        f" values were compared (neurons x time steps x samples, each executor with the first), {p.differences:,}"
        f" differ.{lava}{slayer}",
        p.holds,
    )


def _cost(r):
    costs = r.plan and r.plan.costs
    return next(iter(costs.energy.values()), None) if costs else None


def _energy(r):
    cost = _cost(r)
    if cost is None:
        return None
    return tile(
        "Energy",
        f"≈ {quantity(cost.energy_j_per_sample, 'J', 2)}",
        "a sample",
        "estimate",
        "What the chip would do (operations at synapses, updates of neurons, messages), counted in the engine, mean of"
        f" {r.plan.costs.data}, times the prices of {cost.table} ({cost.title}). No prices of Loihi 2 are public."
        " Without leakage, input and output, and the host.",
    )


def _time(r):
    cost = _cost(r)
    if cost is None or cost.seconds_per_sample is None:
        return None
    steps = r.plan.sizes.steps_per_sample
    length = f"{steps:,} time steps; each" if steps else "All time steps; each"
    return tile(
        "Time",
        f"≈ {quantity(cost.seconds_per_sample, 's', 2)}",
        "a sample",
        "estimate",
        f"{length} lasts until the busiest neurocore is done and all have waited for one another, at the speeds of"
        f" {cost.table}, mean of {r.plan.costs.data}. Computing alone, sample after sample: a live camera takes as"
        " long as the recording.",
    )


_MEANS = {
    "neurons": "what spikes",
    "synapse bits": "memory for weights",
    "axons in": "sources that a core can listen to",
    "axons out": "lists of synapses that a core can send to",
    "decay profiles": "different decays of its neurons",
    "threshold profiles": "different thresholds of its neurons",
    "synapse formats": "different ways in which its weights are stored",
    DELAY_SLOTS: "spikes under way, by delay",
}  # what a core has so many of: `chip.allocate.limits`


def _nearest(bottleneck):
    """The bottleneck for a reader who has never met the resource."""
    b = bottleneck
    if b.resource == CORES:
        return f"{b.resource} themselves, {b.used:,} of {b.limit:,}"
    return f"{b.resource} ({_MEANS[b.resource]}), {b.used:,} of the {b.limit:,} that one core has"


def _cores(r):
    p = r.plan
    if p is None:
        return None
    if not p.placed or not p.fits:
        return tile("Neurocores", "does not fit", p.board.title, "estimate", p.reason.text, False)
    apart = " Each layer has cores of its own." if p.packing == "separate" else ""
    sources = p.board.limits["cores_per_chip"].status
    differ = " Public sources differ on the number of cores; this is the lowest." if sources == "conflicting" else ""
    return tile(
        "Neurocores",
        f"{p.placed.cores_used:,}",
        f"of {p.board.cores:,}",
        "estimate",
        f"The parts of the chip that compute; a net fits if it needs no more than the board has: {p.board.title}."
        f"{differ}{apart} Nearest to a limit: {_nearest(p.placed.bottleneck)}.",
        True,
    )


def _counted(r):
    c = r.counted
    if c is None:
        return None
    over = f", mean of {r.accuracy.n:,} samples" if r.accuracy else ""
    kept = (
        ""
        if c.kept is None
        else f" {percent(c.kept)} of the patches of the frames (tokens) are sent; the host drops the rest."
    )
    return tile(
        "Spikes",
        f"{c.spikes:,.0f}",
        "a sample",
        "measured",
        f"Messages of inputs and neurons in the {c.steps:,} time steps of a sample, counted in the engine{over}; they"
        f" cause {c.synops:,.0f} operations at synapses.{kept} Each layer passes its spikes on a step later, so"
        f" the answer is complete {c.latency} steps after the sample's last; the next sample runs in them.",
    )

"""The first screen: what the net does, whether it is proven, what it would cost, each figure with its explanation."""

from pathlib import Path

from .content import Report
from .markup import Markup, percent, quantity, tag


def first_screen(r: Report) -> Markup:
    """Title, one sentence on what is measured and what estimated, and the tiles."""
    tiles = [t for t in (_accuracy(r), _parity(r), _energy(r), _time(r), _cores(r), _counted(r)) if t]
    return tag(
        "header",
        tag("h1", Path(r.net).name, " ", tag("small", r.net)),
        tag("p", sentence(r), class_="sentence"),
        tag("div", tiles, class_="tiles"),
        tag("p", _what(r), class_="note"),
    )


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
    if estimated:
        parts += [tag("b", "Estimated"), f" from public figures, no Loihi 2 was measured: {_listed(estimated)}."]
    return tag("span", parts) if parts else "This page says what the file holds; nothing was run."


def _listed(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _what(r):
    ours = r.kind.startswith("Net(")
    start = (
        "A Vision SmolMamba: a spiking net that reads the events of a camera, or pixels. Each frame is cut into patches"
        " (tokens); the liveliest are sent to the net, one in each time step. Our reconstruction from the abstract of"
        " arXiv 2604.25570. "
        if ours
        else "A net from another tool, run in the chip's integers. "
    )
    return [start, tag("code", r.kind)]


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


def _accuracy(r):
    a = r.accuracy
    if a is None:
        return None
    low, high = (percent(v) for v in a.interval)
    part = f" ({a.split})" if a.split else ""
    return tile(
        "Accuracy",
        percent(a.value),
        f"{low} to {high}",
        "measured",
        f"{a.right:,} of {a.n:,} samples of {a.dataset}{part} were recognized. Another such set would, with 95 %"
        " certainty, give a share within the interval (Wilson's).",
    )


def _parity(r):
    p = r.parity
    if p is None:
        return None
    lava = {
        None: "",
        True: f" And {p.simulated} test samples gave the same answers and spikes in Lava.",
        False: f" But {p.simulated} test samples gave OTHER answers or spikes in Lava.",
    }[p.simulated_equal]
    who = {
        "artifact": "the file's own record",
        "engine": "the fast integer engine",
        "fused": "Intel's Lava simulator",
        "stock": "Lava with its own neurons and synapses",
        "steps": "the equations, step by step",
        "netx": "lava-dl's netx",
        "loihi2": "the Loihi 2 chip",
    }
    names = _listed([who.get(e, e) for e in p.executors])
    return tile(
        "Same spikes",
        f"{p.differences:,}",
        "differences" if p.differences != 1 else "difference",
        "measured",
        f"Compared at every layer, neuron and time step: {names}; {p.compared:,} values, {p.differences:,} differ."
        + lava,
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
        quantity(cost.energy_j_per_sample, "J"),
        "a sample",
        "estimate",
        f"All operations of the chip were counted on {r.plan.costs.data} and priced by the table {cost.table}"
        f" ({cost.title}). The idle chip and the host are left out.",
    )


def _time(r):
    cost = _cost(r)
    if cost is None or cost.seconds_per_sample is None:
        return None
    steps = r.plan.sizes.steps_per_sample
    length = f"{steps:,} time steps, each" if steps else "All time steps, each"
    return tile(
        "Time",
        quantity(cost.seconds_per_sample, "s"),
        "a sample",
        "estimate",
        f"{length} as long as its busiest neurocore needs, by the table {cost.table}. A recording itself lasts longer;"
        " this is how soon the chip is done with it.",
    )


def _cores(r):
    p = r.plan
    if p is None:
        return None
    if not p.placed or not p.fits:
        return tile("Neurocores", "does not fit", p.board.title, "estimate", p.reason.text, False)
    return tile(
        "Neurocores",
        f"{p.placed.cores_used:,}",
        f"of {p.board.cores:,}",
        "estimate",
        f"The parts of the chip that compute; a net fits if it needs no more than the board has: {p.board.title}."
        f" First to run short: {p.placed.bottleneck.text}.",
        True,
    )


def _counted(r):
    c = r.counted
    if c is None:
        return None
    kept = (
        ""
        if c.kept is None
        else f" {percent(c.kept)} of the patches of the frames (tokens) are sent, the rest costs nothing."
    )
    return tile(
        "Spikes",
        f"{c.spikes:,.0f}",
        "a sample",
        "measured",
        f"Messages between neurons, in {c.steps:,} time steps; they cause {c.synops:,.0f} operations at synapses.{kept}"
        f" The answer is complete {c.latency} steps after the sample's end.",
    )

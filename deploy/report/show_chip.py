"""Sections about the chip: where the energy goes, which core holds what."""

from typing import Any

from ..chip.activity import KINDS
from ..chip.results import ChipPlan
from .charts import bars, legend
from .content import Report
from .markup import Markup, number, quantity, table, tag

COLOURS = ("c2", "c0", "c3", "c1")
NAMES = {
    "input": "input (events and positions)",
    "synapses": "synapses between layers",
    "updates": "updates of neurons",
    "messages": "messages between layers",
}
CHIPS_SHOWN = 4
CORES_SHOWN = 48
LAYER_COLOURS = 12


def energy(r: Report) -> Markup | None:
    """Energy of a sample, layer by layer and by kind of operation."""
    if r.plan is None or r.plan.costs is None:
        return None
    costs = r.plan.costs
    first = next(iter(costs.energy.values()))
    shown = {layer: {NAMES[k]: v for k, v in own.items()} for layer, own in first.energy_j_by_layer.items()}
    rows = [
        (
            name,
            quantity(c.energy_j_per_sample, "J"),
            "" if c.seconds_per_sample is None else quantity(c.seconds_per_sample, "s"),
            "" if c.power_w is None else quantity(c.power_w, "W"),
            "" if c.dense_equivalent_j_per_sample is None else quantity(c.dense_equivalent_j_per_sample, "J"),
        )
        for name, c in costs.energy.items()
    ]
    notes = [
        tag(
            "li",
            tag("b", c.table),
            f": {c.title}. Source: {c.source}. Leaves out {'; '.join(c.leaves_out)}."
            + (f" Assumes {'; '.join(c.assumes)}." if c.assumes else ""),
        )  # fmt: skip
        for c in costs.energy.values()
    ]
    return tag(
        "section",
        tag("h2", "Where the energy goes"),
        tag(
            "p",
            f"An estimate by the table {first.table}, mean over {costs.data}; a layer pays for what reaches it.",
            class_="note",
        ),
        bars(shown.items(), tuple((NAMES[k], c) for k, c in zip(KINDS, COLOURS)), lambda v: quantity(v, "J")),
        table(("price table", "energy", "time", "power", "same matrices, dense"), rows),
        tag("details", tag("summary", "What the tables are, and what they leave out"), tag("ul", notes)),
        id="energy",
    )


def chip(r: Report) -> Markup | None:
    """The chip with the cores in use, and how full each is."""
    p = r.plan
    if p is None:
        return None
    if p.placed is None or not p.fits:
        assert p.reason is not None
        return tag("section", tag("h2", "On the chip"), tag("p", p.reason.text, class_="bad"), id="chip")
    colour_of = {row.layer: f"l{i % LAYER_COLOURS}" for i, row in enumerate(p.layers)}
    layer_of = {part.name: row.layer for row in p.layers for part in row.populations}
    chips = min(p.placed.chips_used, CHIPS_SHOWN)
    more = p.placed.chips_used - chips
    rows = [
        (
            row.layer,
            f"{row.neurons:,}",
            f"{row.synapses:,}",
            row.weight_bits,
            number(row.synapse_bits and row.synapse_bits / 8192, ",.1f"),
            row.cores,
        )
        for row in p.layers
    ]
    return tag(
        "section",
        tag("h2", "On the chip"),
        tag(
            "p",
            f"{p.board.title}: {p.placed.cores_used:,} of {p.board.cores:,} neurocores, packing {p.packing}. A core is"
            " filled as far as the resource it uses most; the order of cores on the chip is ours."
            + (f" {more} more chips are not shown." if more > 0 else ""),
            class_="note",
        ),  # fmt: skip
        tag("div", [_map(p, k, layer_of, colour_of) for k in range(chips)], class_="charts"),
        legend((c, layer) for layer, c in colour_of.items()),
        tag("h3", "How full the cores are"),
        _bars(p, layer_of, colour_of),
        tag(
            "details",
            tag("summary", "Layers on the chip"),
            table(("layer", "neurons", "synapses", "weight bits", "synapse memory, KB", "cores"), rows),
        ),  # fmt: skip
        id="chip",
    )


def _main_layer(core, layer_of):
    return layer_of[max(core.parts, key=lambda part: part.neurons).population]


def _map(p, chip_number, layer_of, colour_of):
    per_tile, columns = p.board["cores_per_tile"], p.board["tile_columns"]
    side = max(1, round(per_tile**0.5))
    used = [core for core in p.placed.cores if core.chip == chip_number]
    shapes, right, bottom = [], 0.0, 0.0
    for k in range(p.board["cores_per_chip"]):
        tile, inside = divmod(k, per_tile)
        x, y = tile % columns * (side + 0.3) + inside % side, tile // columns * (side + 0.3) + inside // side
        right, bottom = max(right, x + 1), max(bottom, y + 1)
        if k >= len(used):
            shapes.append(tag("rect", x=_r(x), y=_r(y), width=0.9, height=0.9, class_="core"))
            continue
        core = used[k]
        layer, most = _main_layer(core, layer_of), min(1.0, max(core.share.values()))
        fullest = max(core.share, key=core.share.get)
        hint = f"core {core.core}, {layer}: {fullest} {most:.1%}"
        full = round(0.9 * most, 3)
        shapes.append(
            tag(
                "g",
                tag("title", hint),
                tag("rect", x=_r(x), y=_r(y), width=0.9, height=0.9, class_=f"core used {colour_of[layer]}"),
                tag("rect", x=_r(x), y=_r(y + 0.9 - full), width=0.9, height=full, class_=f"fill {colour_of[layer]}"),
            )  # fmt: skip
        )
    title = f"chip {chip_number}: {len(used)} of {p.board['cores_per_chip']} cores in use"
    return tag("div", tag("svg", tag("title", title), shapes, viewBox=f"-0.1 -0.1 {right + 0.2:.1f} {bottom + 0.2:.1f}",
                          role="img", class_="map"), tag("p", title, class_="note"), class_="figure")  # fmt: skip


def _r(value: float) -> float:
    return round(value, 3)


def _bars(p: ChipPlan, layer_of: Any, colour_of: Any) -> Markup:
    """A row a core, a bar for each resource."""
    assert p.placed is not None
    cores = p.placed.cores[:CORES_SHOWN]
    resources = [r for r in cores[0].use if any(core.use[r] for core in cores)]
    rows = []
    for core in cores:
        layer = _main_layer(core, layer_of)
        cells = [tag("td", tag("span", core.core, class_="number"), " ", layer)]
        for r in resources:
            share = min(1.0, core.share[r])
            bar = tag("i", class_=f"bar {colour_of[layer]}", style=f"width:{100 * share:.1f}%")
            cells.append(
                tag(
                    "td",
                    tag("span", bar, class_="track"),
                    title=f"{core.use[r]:,} {r}, {core.share[r]:.1%} of the limit",
                )
            )
        rows.append(tag("tr", cells))
    head = tag("thead", tag("tr", tag("th", "core"), [tag("th", r) for r in resources]))
    hidden = len(p.placed.cores) - len(cores)
    return tag("div", tag("div", tag("table", head, tag("tbody", rows), class_="fullness"), class_="scroll"),
               tag("p", f"{hidden} more cores are not shown.", class_="note") if hidden > 0 else None)  # fmt: skip

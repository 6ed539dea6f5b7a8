"""Sections about layers: numbers before and after quantization, and the proof that executors agree."""

from sim.integer import DECAY_ONE

from .charts import histogram
from .content import LayerNumbers, Report, export_parity
from .markup import Markup, number, table, tag


def layers(r: Report) -> Markup | None:
    """A line a layer: what it holds and what it did."""
    if not r.layers:
        return None
    noted = any(row.before for row in r.layers)
    head = ["layer", "kind", "neurons", "weights", "bits", "zeros", "threshold", "lasts, steps"]
    head += ["error", "at the end"] if noted else []
    ran = any(row.spikes is not None for row in r.layers)
    head += ["spikes", "rate", "operations"] if ran else []
    rows = [_row(layer, noted, ran) for layer in r.layers]
    outline = (
        " The outline is the weights before rounding, in the same unit; error: root mean square of the rounding"
        " relative to that of the weights; at the end: share of weights that the range of 8 bits cuts. Before rounding"
        " every threshold is 1; it becomes 64 times the layer's gain."
        if noted
        else " No record of the export lies beside the net, so only what the file holds is shown: after rounding."
        if r.kind.startswith("Net(")
        else ""
    )
    return tag(
        "section",
        tag("h2", "Layers"),
        tag(
            "p",
            "Weights from -256 to 254, as a histogram whose heights are square roots, zeros left out; zeros: synapses"
            " that are not there. A current lasts as many steps as it takes to fall to 37 %."
            + outline
            + (" Spikes and operations: per sample; rate: per neuron and step." if ran else ""),
            class_="note",
        ),  # fmt: skip
        table(tuple(head), rows, 2),
        id="layers",
    )


def _row(layer: LayerNumbers, noted: bool, ran: bool) -> list:
    before = layer.before
    total = sum(layer.weights) + layer.zeros
    row: list = [
        layer.name,
        layer.kind,
        f"{layer.neurons:,}",
        histogram(layer.weights, _counts(before.get("weights_before"), len(layer.weights))) if layer.weights else "",
        number(layer.weight_bits),
        f"{layer.zeros / total:.0%}" if total else "",
        number(layer.threshold),
        lasting(layer.i_decay),
    ]
    if noted:
        row += [_number(before.get("weight_error"), ".4f"), _number(before.get("saturated"), ".2%")]
    return row + ([number(layer.spikes), number(layer.rate, ".3f"), number(layer.synops)] if ran else [])


def _counts(bins, n):
    good = isinstance(bins, list) and len(bins) == n and all(isinstance(v, int) and v >= 0 for v in bins)
    return tuple(bins) if good else ()


def _number(value, form):
    return number(value, form) if isinstance(value, (int, float)) else ""


def lasting(i_decay: tuple) -> str:
    """Time constants in steps: 4096 / decay; a memoryless current has 1."""
    steps = sorted({DECAY_ONE / d for d in i_decay if d})
    shown = [f"{s:.3g}" for s in steps] + ["for ever"] * (0 in i_decay)
    return ", ".join(shown) if len(shown) <= 4 else f"{shown[0]} to {shown[-1]} ({len(shown)})"


def _at_export(export):
    """The comparison with SLAYER, which needs the training part: from the record of the export."""
    p = export_parity(export)
    if p is None:
        return []
    said = f"{p['compared']:,} values of {p['samples']:,} samples compared, {p['differences']:,} differ"
    return [("SLAYER against the engine, at export", said)]


def parity(r: Report) -> Markup | None:
    """Who was compared with whom, on what, and the first difference if there is one."""
    p = r.parity
    if p is None:
        return None
    rows = [
        ("compared", " = ".join(p.executors)),
        ("samples", f"{p.samples} ({', '.join(sorted(set(p.inputs)))})"),
        ("values", f"{p.compared:,}"),
        ("differences", f"{p.differences:,}"),
    ]
    if p.simulated is not None:
        rows.append(
            (
                f"Lava, {p.simulated} test samples",
                "same answers, and spikes in every layer" if p.simulated_equal else "DIFFERENT from the engine",
            )
        )
    rows += _at_export(r.beside.export)
    rows += [(f"not compared: {name}", why) for name, why in p.left_out.items()]
    if p.first:
        rows.append(("first difference", str(p.first)))
    return tag("section", tag("h2", "Same spikes everywhere"), table(("", ""), rows, 2), id="parity")

"""Sections with charts: accuracy against energy and against tokens sent, training, float against integers."""

from .charts import Axis, Series, axis, chart
from .content import Curve, Report
from .markup import Markup, percent, table, tag


def curves(r: Report) -> Markup | None:
    """Accuracy against energy and kept share, where there are points of both; float against integers."""
    parts = [_curve(c) for c in r.beside.curves]
    rounding = _rounding(r)
    if not parts and rounding is None:
        return None
    return tag("section", tag("h2", "What accuracy costs"), parts, rounding, id="curves")


def _curve(c: Curve):
    top = [100 * v for p in c.points for v in (p.accuracy, *(p.interval or ()))]
    y = axis("accuracy, %", top, high=min(101.0, max(top) + 1))
    charts = []
    for name, of in (("energy of a sample, µJ", "uj"), ("share of the tokens sent, %", "kept")):
        points = [p for p in c.points if getattr(p, of) is not None]
        if not points:
            continue
        scale = 100 if of == "kept" else 1
        x = axis(name + (f" ({c.table})" if of == "uj" else ""), [scale * getattr(p, of) for p in points])
        place = lambda p: (scale * getattr(p, of), 100 * p.accuracy, *_whisker(p), p.label)  # noqa: B023, E731
        series = Series("", tuple(place(p) for p in points if not p.here), "dots", "c0")
        here = Series("this net", tuple(place(p) for p in points if p.here), "dots", "c1")
        charts.append(chart(f"accuracy against {name}", x, y, (series, here)))
    rows = [
        (
            p.label + (" (this net)" if p.here else ""),
            percent(p.accuracy),
            "" if p.uj is None else f"{p.uj:.3g} µJ",
            "" if p.kept is None else percent(p.kept),
        )  # fmt: skip
        for p in c.points
    ]
    return [
        tag("p", c.note, class_="note"),
        tag("div", charts, class_="charts"),
        table(("", "accuracy", "energy", "tokens sent"), rows),
    ]


def _whisker(p):
    return (None, None) if p.interval is None else (100 * p.interval[0], 100 * p.interval[1])


def _rounding(r):
    """Float against integers: from the record of the export, else what training noted in the file."""
    export = r.beside.export
    try:
        if export:
            rows = [
                (name, percent(e["value"]), " to ".join(percent(v) for v in e["interval"]))
                for name, e in (
                    (n, export["accuracy"][k]) for n, k in (("float", "float"), ("chip's integers", "integer"))
                )
            ]
            d = export["float_to_integer"]
            rows.append(
                (
                    "difference",
                    f"{100 * d['difference']:+.2f} points",
                    f"{100 * d['interval'][0]:+.2f} to {100 * d['interval'][1]:+.2f}",
                )
            )
            what = f"Measured at export on {export['n']:,} samples ({export['dataset']}, {export['split']})."
        elif isinstance(r.about.get("float_val"), float) and isinstance(r.about.get("best_val"), float):
            rows = [
                ("float", percent(r.about["float_val"]), ""),
                ("chip's integers, trained on", percent(r.about["best_val"]), ""),
            ]
            what = "As training noted it in the file, on validation data: float, and the best in integers."
        else:
            return None
    except (KeyError, TypeError, ValueError):
        return tag("p", "The record of the export beside the net is damaged; export again.", class_="bad")
    return [
        tag("h3", "Float against integers"),
        tag("p", what, class_="note"),
        table(("", "accuracy", "95 % interval"), rows),
    ]


def training(r: Report) -> Markup | None:
    """Accuracy over epochs."""
    log = r.beside.log
    if not log:
        return None
    epochs = [row["epoch"] for row in log]
    integer = [row["epoch"] for row in log if row.get("phase") == "integer"]
    series = (
        Series("training (augmented)", tuple((e, 100 * row["train"]) for e, row in zip(epochs, log)), "line", "c2"),
        Series("validation", tuple((e, 100 * row["val"]) for e, row in zip(epochs, log)), "line", "c0"),
    )
    x, y = Axis("epoch", min(epochs), max(epochs) + (len(epochs) == 1)), Axis("accuracy, %", 0, 101)
    marked = (integer[0] - 0.5, integer[-1] + 0.5, "in the chip's integers") if integer else None
    return tag("section", tag("h2", "Training"), chart("accuracy over epochs", x, y, series, marked), id="training")

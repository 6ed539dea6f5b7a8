"""Tables of sets of runs: a line for each variant, mean and standard deviation over seeds."""

import csv
import io
import statistics
from pathlib import Path
from typing import Any

from sim.base import files, seals
from sim.base.statistics import mean_interval

from ..config import Config

COLUMNS = ("float_val", "integer_val", "kept", "uj", "synops", "nanojoule", "parameters")
SHOW = {
    "float_val": ("float, %", 100, 2),
    "integer_val": ("integers, %", 100, 2),
    "against_default": ("against default", 100, 2),
    "kept": ("tokens sent", 1, 3),
    "uj": ("uJ a sample", 1, 1),
    "synops": ("synops a sample", 1, 0),
    "nanojoule": ("nJ at 45 nm", 1, 1),
    "parameters": ("parameters", 1, 0),
}


def summary(row: dict, default: dict | None = None) -> dict:
    """dict(group, variant, n, and per column (mean, standard deviation)); None where it does not exist: no value, or
    one seed.

    `against_default`: (mean, half width of the 95 % interval by Student's t) of the difference in integer accuracy from
    the row `default`, seed by seed: a seed has
    the same first weights, order and augmentation in all variants that have the same shapes. Of training alone: the
    validation data are the same in all runs."""
    out = {"group": row["group"], "variant": row["variant"], "n": len(row["runs"])}
    for column in COLUMNS:
        values = [r[column] for r in row["runs"] if r[column] is not None]
        out[column] = (
            (statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)
            if values
            else (None, None)
        )
    own = dict(zip(row["seeds"], row["runs"]))
    base = dict(zip(default["seeds"], default["runs"])) if default and default["folder"] != row["folder"] else {}
    out["against_default"] = mean_interval([own[s]["integer_val"] - base[s]["integer_val"] for s in own if s in base])
    return out


def cell(column: str, mean: float, deviation: float) -> str:
    _, factor, digits = SHOW[column]
    if mean is None:
        return "–"
    text = f"{mean * factor:{'+' if column == 'against_default' else ''},.{digits}f}"
    return text if deviation is None or column == "parameters" else f"{text} ± {deviation * factor:,.{digits}f}"


def markdown(summaries: list[dict], cfg: Config) -> str:
    """The table as Markdown: one line per variant, mean ± standard deviation over seeds."""
    lines = [
        (
            f"{cfg.dataset}, {cfg.float_epochs} + {cfg.exact_epochs} epochs, validation data; mean ± standard deviation"
            f" over n seeds. uJ: estimate of training, by {cfg.prices}. Against default: points of the accuracy in"
            " integers, seed by seed, ± half the 95 % interval of the mean (Student's t)."
        ),
        "",
        "| group | variant | n | " + " | ".join(show[0] for show in SHOW.values()) + " |",
        "|---|---|---|" + "---|" * len(SHOW),
    ]
    last = None
    for s in summaries:
        name = s["group"] if s["group"] != last else ""
        last = s["group"]
        lines.append(f"| {name} | {s['variant']} | {s['n']} | " + " | ".join(cell(c, *s[c]) for c in SHOW) + " |")
    return "\n".join(lines) + "\n"


def write(out: Path, rows: list[dict], cfg: Config, name: str, default: dict | None = None) -> list:
    """Writes table.md, runs.csv (a line per run) and NAME.json (all of it) into `out`.

    Returns the summaries. `default`: see `summary`.
    """
    summaries = [summary(row, default) for row in rows]
    files.write(out / "table.md", markdown(summaries, cfg))
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["group", "variant", "seed", *COLUMNS])
    for row in rows:
        for seed, numbers_ in zip(row["seeds"], row["runs"]):
            table.writerow([row["group"], row["variant"], seed, *(numbers_[c] for c in COLUMNS)])
    files.write(out / "runs.csv", text.getvalue())
    files.write(out / f"{name}.json", seals.to_json({"rows": summaries, "runs": rows}))
    return summaries


def picture(path: str | Path, series: Any, column: str, factor: float, label: str) -> None:
    """Accuracy of the integer nets against a column, with the spread over seeds; nothing where there is no point.

    series: name -> (style, whether points are named, summaries).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    if not any(points for _, _, points in series.values()):
        return
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, (style, named, points) in series.items():
        if points:
            x, y = ([s[c][0] * f for s in points] for c, f in ((column, factor), ("integer_val", 100)))
            xe, ye = ([(s[c][1] or 0) * f for s in points] for c, f in ((column, factor), ("integer_val", 100)))
            axes.errorbar(x, y, xerr=xe, yerr=ye, fmt=style, capsize=3, label=name)
            for s, a, b in zip(points if named else [], x, y):
                axes.annotate(s["variant"], (a, b), xytext=(5, -12), textcoords="offset points", fontsize=8)
    axes.set_xlabel(label)
    axes.set_ylabel("validation accuracy in integers, %")
    axes.legend()
    files.fill(path, lambda file: figure.savefig(file, format="png", dpi=120))
    plt.close(figure)

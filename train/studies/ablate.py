"""`python -m train ablate`: what each part of the net is worth. Example: `python -m train ablate --dataset digits
--seeds 5`.

One run per variant and seed, in OUT/<variant>/seed<k>; runs that several groups share (the configuration as it stands,
the net without pruning) are made once. A run is held by a lock on its folder while a process works on it: several
processes may share one OUT, each takes the runs that are free."""

import contextlib
import csv
import dataclasses
import fcntl
import io
import json
import statistics
from pathlib import Path

import click

from sim.base import files
from sim.base.console import bar, data_root_option, note, print_json
from sim.base.errors import UserError, run_command
from sim.base.statistics import mean_interval

from ..config import PRESETS, Config, preset

SHARES = (0.8, 0.6, 0.4, 0.2)
DONE, PLAN = "ablate.json", "plan.json"
COLUMNS = ("float_val", "integer_val", "kept", "synops", "nanojoule", "parameters")


def variants(cfg):
    """Group -> {label: (folder, entries of the configuration that differ from `cfg`)}. Equal folders are one run."""
    own = ("default", {})
    no_pruning = ("pruner-none", {"keep": ()})
    no_gates_yet = 1 + 0.5 / max(cfg.float_epochs, 1)  # top-k in every float epoch, validation of the last one included
    top_k = {
        name: (f"pruner-{name}", {"pruner": name, "gate_from": no_gates_yet})
        for name in ("random", "latency", "count", "count+latency")
    }
    return {
        "default": {"as it stands": own},
        "pruner": {"none": no_pruning, **top_k},
        "scan": {s: own if s == cfg.scan else (f"scan-{s}", {"scan": s}) for s in ("forward", "reversal", "twin")},
        "state": {s: own if s == cfg.state else (f"state-{s}", {"state": s}) for s in ("sample", "frame")},
        "gate": {g: own if g == cfg.gate else (f"gate-{g}", {"gate": g}) for g in ("read", "none")},
        "frames": {
            "x 1/2": ("frames-half", {"encoder": frames(cfg.encoder, 0.5)}),
            "x 1": own,
            "x 2": ("frames-double", {"encoder": frames(cfg.encoder, 2)}),
        },
        "keep": {"1": no_pruning, **{str(s): (f"keep-{s}", {"keep": (s,) * cfg.blocks}) for s in SHARES}},
    }


def frames(encoder, factor):
    """An encoder's entries with `factor` times the frames, each so much shorter (in time, or in events) that all of
    them together stay as long.
    """
    n = max(1, round(encoder["frames"] * factor))
    return (
        encoder
        | {"frames": n}
        | {k: max(1, round(encoder["frames"] * encoder[k] / n)) for k in ("frame_us", "frame_events") if encoder.get(k)}
    )


def numbers(run_dir, cfg, data_root=None):
    """What the table needs of a trained run, on validation data.

    `float_val` is the float model's accuracy at the end of the float phase, with the pruning that it was trained with
    last: fixed gates, but top-k in the group `pruner`. All else is of the net in the chip's integers, with fixed gates
    where the pruner has one; operations are per sample."""
    import torch

    import events

    from .. import checkpoint
    from ..evaluate import accuracy
    from ..fold import to_chip
    from .energy import per_sample
    from .literature import operations

    model, _ = checkpoint.load(run_dir / "model.pt")
    recordings = events.load(cfg.dataset, "val", data_root)
    x, y = events.token_streams(recordings, model.encoder, progress=False), torch.from_numpy(recordings.labels)
    out = {"float_val": None}
    if (run_dir / "float.pt").exists():
        out["float_val"] = accuracy(checkpoint.load(run_dir / "float.pt")[0], x, y, exact=False, batch=cfg.batch)
    to_chip(model, data_root)
    total = per_sample(operations(model, x, cfg.batch), len(x))["total"]
    return out | {
        "integer_val": accuracy(model, x, y, exact=True, batch=cfg.batch),
        "kept": kept(model, x, cfg.batch),
        "synops": total["synops"],
        "acs": total["acs"],
        "macs": total["macs"],
        "nanojoule": total["nanojoule"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "n_val": len(x),
    }


def kept(model, x, batch):
    """Mean open share of the gates over token spikes uint8 [n, K, C], integer mode; 1 without pruning."""
    import torch

    from ..data import to_stream

    total = 0.0
    with torch.no_grad():
        for i in range(0, len(x), batch):
            model(to_stream(x[i : i + batch], "cpu"), exact=True)
            total += len(x[i : i + batch]) * statistics.fmean(map(float, model.kept.values() or [1.0]))
    return total / len(x)


def run(folder, cfg, data_root=None, threads=1):
    """Trains what is left of a run, measures it, notes the numbers in its folder, and returns them; None while another
    process is at it.
    """
    from ..loop import train

    done = folder / DONE
    with locked(folder) as mine:
        if not mine:
            return None
        if done.exists():
            return finished(folder, cfg)
        train(cfg, folder, data_root, resume=True, quiet=True, threads=threads)
        content = {"config": cfg.to_dict(), **numbers(folder, cfg, data_root)}
        files.write(done, json.dumps(content))
    return content


def finished(folder, cfg):
    """The numbers of a finished run, None if it is not. Raises `UserError` if they are of another configuration."""
    try:
        content = json.loads((folder / DONE).read_text())
        same = Config.from_dict(content["config"]) == cfg
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(f"{folder / DONE}: not readable ({e}); delete it, the run will be measured again") from None
    if not same:
        raise UserError(f"{folder}: holds a run of another configuration; take another --out or delete the folder")
    return content


@contextlib.contextmanager
def locked(folder):
    """Whether this process holds the folder, which it does until it leaves the block or dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except BlockingIOError:
            mine = False
        yield mine


def collect(out, cfg, groups, seeds):
    """Rows dict(group, variant, folder, seeds, runs=[numbers]) of what is finished, in the order of `variants`;
    variants without a run are left out.
    """
    rows = []
    for group in groups:
        for label, (folder, changes) in variants(cfg)[group].items():
            runs = {s: finished(out / folder / f"seed{s}", dataclasses.replace(cfg, **changes, seed=s)) for s in seeds}
            runs = {s: r for s, r in runs.items() if r}
            if runs:
                rows.append(
                    {
                        "group": group,
                        "variant": label,
                        "folder": folder,
                        "seeds": list(runs),
                        "runs": list(runs.values()),
                    }
                )
    return rows


def summary(row, default=None):
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


SHOW = {
    "float_val": ("float, %", 100, 2),
    "integer_val": ("integers, %", 100, 2),
    "against_default": ("against default", 100, 2),
    "kept": ("kept share", 1, 3),
    "synops": ("synops a sample", 1, 0),
    "nanojoule": ("nJ at 45 nm", 1, 1),
    "parameters": ("parameters", 1, 0),
}


def cell(column, mean, deviation):
    _, factor, digits = SHOW[column]
    if mean is None:
        return "–"
    text = f"{mean * factor:{'+' if column == 'against_default' else ''},.{digits}f}"
    return text if deviation is None or column == "parameters" else f"{text} ± {deviation * factor:,.{digits}f}"


def markdown(summaries, cfg):
    """The table as Markdown: one line per variant, mean ± standard deviation over seeds."""
    lines = [
        (
            f"{cfg.dataset}, {cfg.float_epochs} + {cfg.exact_epochs} epochs, validation data; mean ± standard deviation"
            " over n seeds. Against default: points of the accuracy in integers, seed by seed, ± half the 95 %"
            " interval of the mean (Student's t)."
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


def write(out, rows, cfg, default=None):
    """Writes table.md, runs.csv (a line per run), ablate.json (all of it) and, where there is a point, accuracy.png.

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
    files.write(out / "ablate.json", json.dumps({"rows": summaries, "runs": rows}))
    picture(out / "accuracy.png", summaries)
    return summaries


def picture(path, summaries):
    """Accuracy of the integer net against its operations: the curve over keep shares, and the pruners."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    groups = [
        ("keep", "keep share", "o-", (-4, 8), "right"),
        ("pruner", "pruner", "s", (5, -12), "left"),
        ("default", "default", "*", None, None),
    ]
    shown = [
        (*rest, [s for s in summaries if s["group"] == g and (g, s["variant"]) != ("pruner", "none")])
        for g, *rest in groups
    ]  # keep 1 is none
    if not any(points for *_, points in shown):
        return
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for label, style, place, side, points in shown:
        if points:
            x, y = ([s[c][0] * factor for s in points] for c, factor in (("synops", 1e-3), ("integer_val", 100)))
            xe, ye = (
                [(s[c][1] or 0) * factor for s in points] for c, factor in (("synops", 1e-3), ("integer_val", 100))
            )
            axes.errorbar(x, y, xerr=xe, yerr=ye, fmt=style, capsize=3, label=label)
            for s, a, b in zip(points if place else [], x, y):
                axes.annotate(s["variant"], (a, b), xytext=place, textcoords="offset points", ha=side, fontsize=8)
    axes.set_xlabel("synaptic operations per sample, thousands")
    axes.set_ylabel("validation accuracy in integers, %")
    axes.legend()
    files.fill(path, lambda file: figure.savefig(file, format="png", dpi=120))
    plt.close(figure)


def parse_seeds(text):
    """'5' -> 1 to 5, '4-6' -> 4, 5, 6, '1,3' -> 1, 3."""
    try:
        if "," in text or "-" not in text and not text.strip().isdigit():
            seeds = [int(part) for part in text.split(",") if part]
        elif "-" in text:
            first, last = map(int, text.split("-"))
            seeds = list(range(first, last + 1))
        else:
            seeds = list(range(1, int(text) + 1))
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0:
        raise UserError(f"--seeds {text}: expected a number (5), a range (4-6) or a list (1,3)")
    return seeds


def claim(out, cfg):
    """Makes OUT for this configuration. Raises `UserError` if it holds ablations of another."""
    out.mkdir(parents=True, exist_ok=True)
    plan = out / PLAN
    own = dataclasses.replace(cfg, seed=0)
    if not plan.exists():
        files.write(plan, json.dumps(own.to_dict()))
        return
    try:
        there = Config.from_dict(json.loads(plan.read_text()))
    except (ValueError, UserError) as e:
        raise UserError(f"{plan}: not readable ({e}); take another --out") from None
    other = [f.name for f in dataclasses.fields(own) if getattr(own, f.name) != getattr(there, f.name)]
    if other:
        raise UserError(
            f"{out}: holds ablations of another configuration ({', '.join(other)} differ); take another --out"
        )


@click.command(epilog="Example: python -m train ablate --dataset digits --seeds 5 --only pruner,keep")
@click.option("--dataset", default="digits", show_default=True, help="Name in the data registry.")
@click.option(
    "--preset",
    "preset_name",
    default="tiny",
    show_default=True,
    help=f"What all variants start from: one of {', '.join(PRESETS)}.",
)
@data_root_option
@click.option("--seeds", default="3", show_default=True, help="How many (5: 1 to 5), a range (4-6) or a list (1,3).")
@click.option(
    "--only", default=None, help="Groups, with commas: default, pruner, scan, state, gate, frames, keep. Default: all."
)
@click.option("--float-epochs", type=click.IntRange(0), default=None, help="Default: the preset's.")
@click.option("--exact-epochs", type=click.IntRange(0), default=None, help="Default: the preset's.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Changes an entry of the shared configuration; VALUE is JSON. May be repeated.",
)
@click.option("--out", default=None, help="Folder of the runs and tables; default: runs/ablate-DATASET.")
@click.option("--table", "table_only", is_flag=True, help="Train nothing; write the tables of what is finished.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Torch and kernel threads.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def main(  # noqa: C901
    dataset, preset_name, data_root, seeds, only, float_epochs, exact_epochs, changes, out, table_only, threads, as_json
):
    """Train the net without, or with another kind of, each of its parts, over several seeds, and write OUT/table.md,
    runs.csv, ablate.json and accuracy.png.

    Numbers are of validation data. Finished runs are kept, a run that was cut off goes on. Processes that are given the
    same OUT share the work."""
    import events

    from ..__main__ import _changes

    values = {"encoder": events.default_encoder(dataset, data_root).settings()} | _changes(changes)
    values |= {k: v for k, v in (("float_epochs", float_epochs), ("exact_epochs", exact_epochs)) if v is not None}
    cfg = Config.from_dict(preset(preset_name, dataset=dataset).to_dict() | values)
    if not cfg.keep:
        raise UserError(
            "configuration: keep is empty; the ablation compares pruners, so the shared configuration must prune"
        )
    if cfg.float_epochs + cfg.exact_epochs == 0:
        raise UserError("configuration: no epochs; take --float-epochs of at least 1")
    groups = [g.strip() for g in only.split(",")] if only else list(variants(cfg))
    unknown = [g for g in groups if g not in variants(cfg)]
    if unknown:
        raise UserError(f"--only: unknown group {', '.join(map(repr, unknown))}; there are {', '.join(variants(cfg))}")
    seeds = parse_seeds(seeds)
    out = Path(out or f"runs/ablate-{dataset}")
    events.load(dataset, "val", data_root)  # before the folder is made
    claim(out, cfg)

    jobs = {}  # seed after seed, so that an early table holds every variant
    for seed in seeds:
        for group in groups:
            for folder, changed in variants(cfg)[group].values():
                jobs[out / folder / f"seed{seed}"] = dataclasses.replace(cfg, **changed, seed=seed)
    busy = 0
    if not table_only:
        with bar("", len(jobs)) as progress:
            for done, (folder, job) in enumerate(jobs.items()):
                progress(done, what=f"{folder.parent.name} {folder.name}")
                known = finished(folder, job)
                result = known or run(folder, job, data_root, threads)
                busy += result is None
                if result and not known:
                    value = "" if result["float_val"] is None else f"float {result['float_val']:.3f} "
                    note(
                        f"{folder}: {value}integers {result['integer_val']:.3f} kept {result['kept']:.2f} synops"
                        f" {result['synops']:,.0f}"
                    )
    rows = collect(out, cfg, groups, seeds)
    if not rows:
        raise UserError(
            f"{out}: no run of these groups and seeds is finished{', others are in progress' if busy else ''}"
        )
    summaries = write(out, rows, cfg, next(iter(collect(out, cfg, ["default"], seeds)), None))
    if as_json:
        print_json({"out": str(out), "in_progress": busy, "rows": summaries})
    else:
        print(markdown(summaries, cfg))
        print(f"wrote {out}/table.md, runs.csv, ablate.json and, of the groups keep, pruner and default, accuracy.png")
    if busy:
        note(
            f"{busy} runs are in progress in another process and are not in the table; run again with --table when it"
            " is done"
        )


if __name__ == "__main__":
    run_command(main)

"""The report: one HTML file in which a reviewer finds accuracy, parity, fit and cost of a net, all of it measured
when it is written.
"""

import base64
import html
import io
import json
from pathlib import Path

import numpy as np

from sim import engine, netx
from sim.base import files

from . import samples
from .chip import board as boards
from .chip.plan import plan
from .run import run
from .verify import verify

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.7rem 0}td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}.note{color:#555}"""


def measure(
    path,
    data_root=None,
    sim_samples=20,
    board="oheo-gulch",
    executors=("engine", "fused", "stock"),
    say=lambda text: None,
):
    """Runs everything that the report says. Returns a dict of JSON values.

    The engine runs the whole test part of the net's data set; the Lava simulator (fused) its first `sim_samples`, every
    spike compared with the engine; `verify` compares all executors on the golden sample; the plan counts its operations
    on the golden sample."""
    net = netx.read(path)
    say("integer engine, all test samples")
    test = samples.from_dataset(net, None, "test", data_root, None)
    fast = run(net, test, "fast")
    say(f"Lava simulator, {min(sim_samples, len(test))} test samples")
    some = samples.from_dataset(net, None, "test", data_root, sim_samples)
    lava = run(net, some, "sim")
    same = run(net, some, "fast")
    equal = (
        lava["predictions"] == same["predictions"]
        and lava["spikes"] == same["spikes"]
        and lava["layers"] == same["layers"]
    )
    say("all executors on the golden sample")
    parity = verify(path, executors=executors)
    say(f"plan for {board}")
    x = some.streams(0, min(8, len(some)))
    placed = plan(net, boards.load(board), x=x, data=f"{len(x)} test samples").to_dict()
    return {
        "net": str(path),
        "digest": netx.read_digest(path),
        "facts": net.facts,
        "fast": fast,
        "lava": lava,
        "lava_equals_engine": equal,
        "parity": parity,
        "plan": placed,
    }


def write(path, measured, out):
    """Writes the HTML file, atomically. `log.jsonl` beside the net, if there, gives the training curve."""
    net = netx.read(path)
    log = Path(path).with_name("log.jsonl")
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    text = page(net, measured, rows, netx.read_golden(path))
    files.write(out, text)


def accuracy_rows(net, m):
    """(what, its value as text): how well the net does and that all executors agree."""
    fast, lava, parity = m["fast"], m["lava"], m["parity"]
    n, (low, high) = fast["n"], fast["accuracy_interval"]
    return [
        ("data set", f"{fast['dataset']}, test, n = {n}"),
        (
            "accuracy, integers",
            f"{100 * fast['accuracy']:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})",
        ),
        (
            f"Lava simulator, {lava['n']} samples",
            ("same predictions and spikes in every layer" if m["lava_equals_engine"] else "DIFFERS from the engine"),
        ),
        (
            " = ".join(parity["executors"]) + ", golden sample",
            f"{parity['compared']:,} values compared, {parity['differences']} differ",
        ),
        (
            "steps per sample",
            (
                f"{fast['steps_per_sample']} (N = {net.tokens} tokens, T = {net.frames} frames), answer"
                f" {fast['latency_steps']} steps later"
            ),
        ),
    ]


def page(net, m, log, golden):
    """The report as HTML text."""
    fast, p = m["fast"], m["plan"]
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{html.escape(m['net'])}</title><style>{STYLE}</style>",
        (
            f"<h1>{html.escape(m['net'])}</h1><p class=note>Vision SmolMamba, our reconstruction from the abstract of"
            f" arXiv 2604.25570. Digest of the net: <code>{m['digest'][:16]}</code>. Every figure on this page was"
            " measured when it was written.</p>"
        ),
    ]
    parts.append("<h2>Accuracy and parity</h2>" + table(("", ""), accuracy_rows(net, m)))
    if log:
        parts.append("<h2>Training</h2>" + picture(training_curve(log)))
    if golden is not None:
        parts.append(
            "<h2>One sample, spike by spike</h2><p class=note>The golden sample: token on turn from left to right,"
            " frame after frame. Grey: empty places, where a frame had no further token worth sending.</p>"
            + picture(raster(net, golden.stream[:1]))
        )
    parts.append(
        "<h2>Layers</h2>"
        + table(
            ("layer", "kind", "neurons", "spikes / sample", "spikes / neuron / step", "operations / sample"),
            [
                (
                    r["name"],
                    r["type"],
                    r["size"],
                    number(r["spikes"]),
                    number(r["rate"], ".3f"),
                    number(r["synops"]),
                )
                for r in fast["layers"]
            ],
        )
    )
    parts.append("<h2>On the chip</h2>" + chip_section(p))
    return "\n".join(parts)


def chip_section(p):
    if not p["fits"]:
        return f"<p>Does not fit {html.escape(p['title'])}: {html.escape(p['reason']['text'])}</p>"
    rows = [
        ("board", p["title"]),
        ("neurocores", f"{p['cores_used']} of {p['cores_available']}"),
        ("neurons", f"{p['neurons']:,}"),
        ("synapses", f"{p['synapses']:,}"),
        ("weight bits", p["weight_bits"]),
    ]
    out = table(("", ""), rows)
    for name, cost in (p["energy"] or {}).items():
        values = [
            (k.replace("_", " "), number(v, ",.3g"))
            for k, v in cost.items()
            if isinstance(v, (int, float)) and not isinstance(v, bool)
        ]
        out += f"<p>Estimate by the table <b>{html.escape(name)}</b>; no Loihi 2 was measured.</p>" + table(
            ("", ""), values
        )
    return out


def training_curve(log):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.6), layout="constrained")
    left = figure.subplots()
    epochs = [r["epoch"] for r in log]
    left.plot(epochs, [r["train"] for r in log], label="training (augmented)")
    left.plot(epochs, [r["val"] for r in log], label="validation")
    integer = [r["epoch"] for r in log if r["phase"] == "integer"]
    if integer:
        left.axvspan(integer[0] - 0.5, integer[-1] + 0.5, alpha=0.12, color="tab:green", label="in the chip's integers")
    left.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
    left.legend(loc="lower right")
    return figure


def raster(net, stream):
    """Spikes of the inputs and every node for one sample, one row of the figure a node; empty places are grey."""
    from matplotlib.figure import Figure

    result = engine.run(net, stream, trace="all")
    names = [node.name for node in (*net.inputs, *net.nodes[:-1])]
    empty = np.flatnonzero(stream.which[0] < 0)
    figure = Figure(figsize=(9, 0.75 * len(names) + 0.6), layout="constrained")
    for axis, name in zip(np.atleast_1d(figure.subplots(len(names), 1, sharex=True)), names):
        spikes = result.traces[name][0]
        for k in empty:
            axis.axvspan(k - 0.5, k + 0.5, color="0.88", lw=0)
        step, channel = np.nonzero(spikes)
        axis.plot(step, channel, ",", color="black", alpha=0.8)
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axis.set(yticks=[], xlim=(-0.5, net.steps - 0.5), ylim=(-0.5, spikes.shape[1] - 0.5))
        for t in range(1, net.frames):
            axis.axvline(t * net.places - 0.5, color="tab:blue", lw=0.5)
    axis.set_xlabel("step k = frame * K + place")
    return figure


def picture(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f"<img src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"


def table(head, rows):
    cells = lambda tag, row: "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in row)  # noqa: E731
    top = f"<tr>{cells('th', head)}</tr>" if any(head) else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>{top}{body}</table>"


def number(value, form=",.0f"):
    return "" if value is None else format(value, form)


def summary(m):
    """A few lines for the terminal."""
    fast, lava, parity, p = m["fast"], m["lava"], m["parity"], m["plan"]
    low, high = fast["accuracy_interval"]
    first = parity["first_difference"]
    return [
        (
            f"accuracy   {100 * fast['accuracy']:.1f} % of {fast['n']} test samples (95 % interval {100 * low:.1f} to"
            f" {100 * high:.1f}), integers"
        ),
        f"simulator  {lava['n']} samples in Lava: "
        + (
            "every layer's spikes and all predictions equal the engine's"
            if m["lava_equals_engine"]
            else "DIFFERENT from the engine"
        ),
        f"parity     {' = '.join(parity['executors'])}: {parity['compared']:,} values compared, {parity['differences']}"
        " differ" + (f", first {first}" if first else ""),
        (
            f"cost       {fast['spikes'] / fast['n']:,.0f} spikes and {fast['synops'] / fast['n']:,.0f} synaptic"
            f" operations a sample, {fast['steps_per_sample']} steps"
        ),
        (
            f"chip       {p['cores_used']} of {p['cores_available']} neurocores of {p['title']}"
            if p["fits"]
            else f"chip       does not fit {p['title']}: {p['reason']['text']}"
        ),
    ]

"""Sections about samples: film strips, spikes and states, who is taken for whom."""

import base64

import numpy as np

from .content import Film, Report
from .markup import Markup, data, join, percent, table, tag
from .png import data_uri, joined

CLASSES = 40  # more do not make a readable matrix
PAIRS = 20
FRAMES = 24  # of a film that are shown


def film(r: Report) -> Markup | None:
    """Strips of frames, right samples and wrong ones."""
    if not r.films:
        return None
    right = [f for f in r.films if f.label is None or f.predicted == f.label]
    wrong = [f for f in r.films if f.label is not None and f.predicted != f.label]
    parts = [
        tag("h2", "What the net sees"),
        tag(
            "p",
            "Pictures, shown for every frame."
            if r.films[0].frames.shape[1] == 3
            else [
                "Frames of events: ",
                tag("i", class_="swatch on"),
                " brighter, ",
                tag("i", class_="swatch off"),
                " darker, ",
                tag("i", class_="swatch both"),
                " both.",
            ],
            " Framed patches are the tokens that are sent; shaded ones are dropped, the chip never sees them."
            " Below each frame: the class that is ahead so far.",
            class_="note",
        ),
        [_strip(f, r.classes) for f in right],
    ]
    if wrong:
        parts += [tag("h3", "Samples that the net gets wrong"), [_strip(f, r.classes) for f in wrong]]
    elif right and right[0].label is not None:
        parts.append(tag("p", "None of the samples was wrong.", class_="note"))
    return tag("section", parts, id="film")


def _name(classes, i):
    return classes[i] if i < len(classes) else str(i)


def _strip(f: Film, classes):
    frames, by = joined(f.frames[:FRAMES])
    wrong = f.label is not None and f.predicted != f.label
    said = f"Sample {f.number}: " + ("it is " + _name(classes, f.label) + ", " if f.label is not None else "")
    cut = f" (first {FRAMES} of {len(f.frames)} frames)" if len(f.frames) > FRAMES else ""
    return tag(
        "figure",
        tag(
            "figcaption",
            said,
            "the net says ",
            tag("b", _name(classes, f.predicted), class_="bad" if wrong else None),
            f"; {percent(f.sent.mean())} of the tokens sent{cut}",
        ),
        tag("div", [_frame(f, frames[t], by, t, classes) for t in range(len(frames))], class_="strip"),
        class_="film",
    )


def _frame(f, pixels, by, t, classes):
    height, width = pixels.shape[1:]
    side = f.stride / by
    cells = {True: "", False: ""}
    for n, sent in enumerate(f.sent[t]):
        row, column = divmod(n, f.grid[1])
        w, h = min(side, width - column * side), min(side, height - row * side)
        cells[bool(sent)] += f"M{column * side:g} {row * side:g}h{w:g}v{h:g}h{-w:g}z"
    ahead = int(f.scores[t].argmax())
    mood = None if f.label is None else "good" if ahead == f.label else "bad"
    kept = int(f.sent[t].sum())
    return tag(
        "span",
        tag(
            "svg",
            tag("title", f"frame {t}: {kept} of {f.sent.shape[1]} tokens sent, ahead: {_name(classes, ahead)}"),
            tag("image", href=data_uri(pixels), width=width, height=height),
            tag("path", d=cells[False], class_="dropped"),
            tag("path", d=cells[True], class_="kept"),
            viewBox=f"0 0 {width} {height}",
            role="img",
        ),
        tag("small", _name(classes, ahead), class_=mood),
        class_="frame",
    )


def traces(r: Report) -> Markup | None:
    """Spikes of a chosen layer, states of a chosen neuron: drawn by the page's script from the data beside it."""
    if not r.traces:
        return None
    content = [_trace(t) for t in r.traces]
    select = lambda name, label: tag("label", label, " ", tag("select", id=name))  # noqa: E731
    return tag(
        "section",
        tag("h2", "Spikes and states, layer by layer"),
        tag(
            "p",
            "A dot is a spike: time from left to right, one row a neuron. Grey: places for a token that were empty; "
            "thin lines: frames. Below: the states of one neuron in the chip's integers; it fires where its voltage "
            "v exceeds the threshold.",
            class_="note",
        ),  # fmt: skip
        tag("noscript", tag("p", "This figure is drawn by a script, which is switched off.", class_="note")),
        tag(
            "div",
            select("trace-sample", "Sample"),
            select("trace-layer", "Layer"),
            select("trace-neuron", "Neuron"),
            class_="controls",
        ),  # fmt: skip
        tag("p", id="trace-caption", class_="note"),
        tag("canvas", id="raster", role="img", aria_label="spikes of the chosen layer"),
        tag("canvas", id="states", role="img", aria_label="states of the chosen neuron"),
        tag("p", id="trace-values", class_="note"),
        data("traces-data", content),
        id="traces",
    )


def _trace(t):
    return dict(
        title=t.title,
        steps=t.steps,
        shown=len(t.empty),
        frame=t.frame,
        empty=np.flatnonzero(t.empty).tolist(),
        layers=[_layer(layer) for layer in t.layers],
    )


def _layer(layer):
    spikes = (layer.spikes != 0).astype(np.uint8)
    return dict(
        name=layer.name,
        size=layer.size,
        neurons=layer.neurons.tolist(),
        bits=base64.b64encode(np.packbits(spikes.T, axis=None).tobytes()).decode(),
        watched=[int(j) for j in layer.watched],
        states={k: base64.b64encode(v.T.astype("<i4").tobytes()).decode() for k, v in layer.states.items()},
        threshold=layer.threshold,
    )


def confusion(r: Report) -> Markup | None:
    """Classes against what the net said, or, of many classes, the pairs most often confused."""
    if r.confusion is None:
        return None
    matrix, names = r.confusion, r.classes
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = [(int(i // len(matrix)), int(i % len(matrix))) for i in order if wrong.flat[i]]
    listed = [(_name(names, a), _name(names, b), f"{wrong[a, b]:,} of {matrix[a].sum():,}") for a, b in pairs]
    most = table(("it is", "the net says", "samples"), listed, 2) if listed else tag("p", "No sample was wrong.")
    if len(matrix) > CLASSES:
        return tag("section", tag("h2", "Which classes are confused"), most, id="confusion")
    return tag(
        "section",
        tag("h2", "Which classes are confused"),
        tag("p", "Rows: what it is; columns: what the net says. On the diagonal it is right.", class_="note"),
        tag("div", _matrix(matrix, names), class_="scroll"),
        most if listed else None,
        id="confusion",
    )


def _matrix(matrix, names):
    short = len(max((_name(names, i) for i in range(len(matrix))), key=len)) <= 3
    head = [tag("th", _name(names, i) if short else str(i + 1), title=_name(names, i)) for i in range(len(matrix))]
    rows = []
    for i, row in enumerate(matrix):
        total, cells = max(int(row.sum()), 1), []
        for j, n in enumerate(row):
            hint = f"{_name(names, i)}, said to be {_name(names, j)}: {n:,} of {row.sum():,}"
            kind = "right" if i == j else "wrong"
            cells.append(tag("td", f"{n:,}" if n else "", class_=kind if n else None, title=hint,
                             style=f"--share:{n / total:.3f}" if n else None))  # fmt: skip
        label = _name(names, i) if short else f"{i + 1} {_name(names, i)}"
        rows.append(tag("tr", tag("th", label), cells))
    return tag("table", tag("thead", tag("tr", tag("th"), head)), tag("tbody", join(rows)), class_="matrix")

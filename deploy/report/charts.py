"""Charts as SVG whose colours are the page's, so that they follow light, dark and print."""

import math
from dataclasses import dataclass
from typing import Any

from .markup import Markup, tag

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 44


@dataclass(frozen=True)
class Series:
    """points: (x, y) or (x, y, low, high, label); style: `line`, `dots`, `steps` or `band` of that colour class."""

    name: str
    points: tuple
    style: str = "line"
    colour: str = "c0"


@dataclass(frozen=True)
class Axis:
    """low, high: its ends; label: with the unit; form: of its numbers."""

    label: str
    low: float
    high: float
    form: str = "g"

    def at(self, value: float, begin: float, end: float) -> float:
        return begin + (value - self.low) / ((self.high - self.low) or 1) * (end - begin)

    @property
    def ticks(self) -> list:
        """Round numbers within the axis, four to eight of them."""
        span = (self.high - self.low) or 1
        step = 10 ** math.floor(math.log10(span / 4))
        step = next(step * m for m in (1, 2, 5, 10) if span / (step * m) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, int(math.floor(self.high / step + 1e-9)) + 1)]


def axis(label: str, values: Any, low: float | None = None, high: float | None = None, form: str = "g") -> Axis:
    """An axis around values, with room; `low` and `high` fix an end."""
    values = [v for v in values if v is not None]
    least, most = min(values, default=0.0), max(values, default=1.0)
    room = 0.08 * ((most - least) or abs(most) or 1)
    return Axis(label, least - room if low is None else low, most + room if high is None else high, form)


def chart(title: str, x: Axis, y: Axis, series: tuple, marked: tuple | None = None) -> Markup:
    """An SVG with a legend where there are several series.

    title: what is read out in place of the picture. marked: (from, to, text): a part of the x axis that is shaded.
    """
    px = lambda v: round(x.at(v, LEFT, WIDTH - RIGHT), 1)  # noqa: E731
    py = lambda v: round(y.at(v, HEIGHT - BOTTOM, TOP), 1)  # noqa: E731
    shapes: list[Markup] = _grid(x, y, px, py)
    if marked:
        left, right = px(max(marked[0], x.low)), px(min(marked[1], x.high))
        shapes.append(tag("rect", tag("title", marked[2]), x=left, y=TOP, width=right - left,
                          height=HEIGHT - TOP - BOTTOM, class_="marked"))  # fmt: skip
    for s in series:
        shapes.extend(_series(s, px, py))
    svg = tag("svg", tag("title", title), shapes, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="chart")
    names = [(s.colour, s.name) for s in series if s.name] + ([("shade", marked[2])] if marked else [])
    return tag("div", svg, legend(names) if len(names) > 1 else None, class_="figure")


def legend(entries: Any) -> Markup:
    """entries: (colour class, name)."""
    return tag("p", [tag("span", tag("i", class_=f"swatch {c}"), name) for c, name in entries], class_="legend")


def _grid(x, y, px, py):
    lines, bottom = [], HEIGHT - BOTTOM
    for v in y.ticks:
        lines.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=py(v), y2=py(v), class_="grid"))
        lines.append(tag("text", format(v, y.form), x=LEFT - 6, y=py(v) + 4, text_anchor="end"))
    for v in x.ticks:
        lines.append(tag("text", format(v, x.form), x=px(v), y=bottom + 16, text_anchor="middle"))
    lines.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, class_="axis"))
    lines.append(tag("text", x.label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text_anchor="middle"))
    middle = (TOP + bottom) / 2
    lines.append(tag("text", y.label, x=13, y=middle, text_anchor="middle", transform=f"rotate(-90 13 {middle})"))
    return lines


def _series(s, px, py):
    if s.style == "line":
        path = "M" + "L".join(f"{px(p[0])} {py(p[1])}" for p in s.points)
        return [tag("path", tag("title", s.name), d=path, class_=f"line {s.colour}")]
    shapes = []
    for point in s.points:
        at, value, low, high, label = (*point, None, None, None)[:5]
        if low is not None:
            shapes.append(tag("line", x1=px(at), x2=px(at), y1=py(low), y2=py(high), class_=f"whisker {s.colour}"))
        shapes.append(
            tag("circle", tag("title", label or s.name), cx=px(at), cy=py(value), r=4.5, class_=f"dot {s.colour}")
        )
        if label:
            shapes.append(tag("text", label, x=px(at) + 7, y=py(value) - 7, class_="point"))
    return shapes


def bars(rows: Any, kinds: tuple, unit_of: Any) -> Markup:
    """Horizontal bars, stacked: rows of (name, {kind: value}); the longest fills the width. unit_of: value -> text."""
    rows = list(rows)
    most = max((sum(parts.values()) for _, parts in rows), default=0) or 1
    lines = []
    for name, parts in rows:
        pieces = [
            tag(
                "i",
                class_=f"bar {colour}",
                style=f"width:{100 * parts[kind] / most:.2f}%",
                title=f"{kind}: {unit_of(parts[kind])}",
            )  # fmt: skip
            for kind, colour in kinds
            if parts.get(kind)
        ]
        lines.append(
            tag(
                "div",
                tag("span", name, class_="name"),
                tag("span", pieces, class_="track"),
                tag("span", unit_of(sum(parts.values())), class_="value"),
                class_="row",
            )  # fmt: skip
        )
    return tag("div", tag("div", lines, class_="bars"), legend([(c, k) for k, c in kinds]), class_="figure")


def histogram(bins: tuple, outline: tuple = ()) -> Markup:
    """A tiny one: filled bars, and the outline of another histogram over the same bins. Heights are square roots."""
    most = math.sqrt(max((*bins, *outline, 1)))
    width = 120 / max(len(bins), 1)
    height = lambda n: round(30 * math.sqrt(n) / most, 1)  # noqa: E731
    path = "".join(f"M{i * width:.1f} 32v-{height(n)}h{width:.1f}v{height(n)}z" for i, n in enumerate(bins) if n)
    steps = "M0 32" + "".join(f"V{32 - height(n):.1f}h{width:.1f}" for n in outline) + "V32" if outline else None
    return tag(
        "svg",
        tag("title", "histogram of the weights"),
        tag("line", x1=0, x2=120, y1=32, y2=32, class_="axis"),
        tag("path", d=path, class_="fill c0") if path else None,
        tag("path", d=steps, class_="line c1 thin") if steps else None,
        viewBox="0 0 120 33",
        class_="tiny",
        role="img",  # fmt: skip
    )

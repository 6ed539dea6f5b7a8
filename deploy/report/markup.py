"""HTML without accidents: whatever is no `Markup` is text, and is escaped where it enters a tag."""

import html
import json
from typing import Any


class Markup(str):
    """Text that is HTML already."""


def escape(text: object) -> Markup:
    """Any value as text of a page: nothing in it is markup, control characters are visible."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str(text))
    return Markup(html.escape(shown, quote=True))


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """An element. Children: text, `Markup`, lists of them, None for nothing. Attributes: `class_` for class, `_` for
    `-`; True alone, None and False not at all.
    """
    inside = "".join(_inside(child) for child in children)
    return Markup(f"<{name}{_attributes(attributes)}>{inside}</{name}>")


def void(name: str, **attributes: Any) -> Markup:
    """An element of HTML that has no end."""
    return Markup(f"<{name}{_attributes(attributes)}>")


def join(parts: Any) -> Markup:
    """Several children, one after the other."""
    return Markup("".join(_inside(part) for part in parts))


def _inside(child):
    if child is None:
        return ""
    if isinstance(child, (list, tuple)):
        return "".join(_inside(c) for c in child)
    return child if isinstance(child, Markup) else escape(child)


def _attributes(attributes):
    text = ""
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        text += f" {name}" if value is True else f' {name}="{escape(value)}"'
    return text


def data(name: str, value: Any) -> Markup:
    """JSON for a script of the page to read, in an element of that id; no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(f'<script type="application/json" id="{escape(name)}">{text}</script>')


def table(head: tuple, rows: Any, numbers_from: int = 1, class_: str | None = None) -> Markup:
    """A table that scrolls by itself where it is too wide; columns from `numbers_from` on are numbers."""
    cell = lambda name, i, c: tag(name, c, class_="number" if i >= numbers_from else None)  # noqa: E731
    top = tag("thead", tag("tr", [cell("th", i, c) for i, c in enumerate(head)])) if any(head) else None
    body = tag("tbody", [tag("tr", [cell("td", i, c) for i, c in enumerate(row)]) for row in rows])
    return tag("div", tag("table", top, body, class_=class_), class_="scroll")


def number(value: float | None, form: str = ",.0f") -> str:
    return "" if value is None else format(value, form)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


UNITS = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


def quantity(value: float, unit: str, digits: int = 3) -> str:
    """A number rounded to so many digits, with the prefix that makes it readable: 0.000235 J is 235 µJ, and 240 of two
    digits."""
    rounded = float(f"{abs(value):.{digits - 1}e}")
    size = next((u for u in UNITS if rounded >= u[0]), UNITS[-1]) if value else UNITS[0]
    shown = rounded / size[0] * (1 if value >= 0 else -1)
    return f"{shown:.{max(digits, 3)}g} {size[1]}{unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"

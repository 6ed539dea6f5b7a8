"""The last section: what is needed to make the page again."""

from .content import Report
from .markup import Markup, table, tag


def again(r: Report) -> Markup:
    """Commands, digest, versions, and what the file says of itself."""
    commands = [r.command, f"python -m deploy verify {r.net}", f"python -m deploy plan {r.net}"]
    facts = [(key, _short(value)) for key, value in r.about.items()]
    return tag(
        "section",
        tag("h2", "Make it again"),
        tag("p", "This page:", class_="note"),
        tag("pre", "\n".join(dict.fromkeys(commands))),
        table(("", ""), [("digest of the net", tag("code", r.digest)), *r.versions.items()], 2),
        tag("details", tag("summary", "What the file says of its training"), table(("", ""), facts, 2))
        if facts
        else None,
        [tag("p", note, class_="note") for note in r.notes],
        id="again",
    )


def _short(value):
    text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return text if len(text) <= 300 else text[:299] + "…"

"""The report as one HTML file that needs nothing else."""

from pathlib import Path

from sim.base import files

from .content import Report
from .markup import Markup, escape, join
from .sections import SECTIONS

HERE = Path(__file__).parent


def write(report: Report, out: str | Path) -> None:
    """Writes the page, whole or not at all.

    Raises:
        CannotWrite: see `sim.base.files`.
    """
    files.write(out, page(report))


def page(report: Report) -> str:
    """The page as text."""
    parts = {
        "TITLE": escape(f"{report.net}: report"),
        "STYLE": Markup((HERE / "page.css").read_text(encoding="utf-8")),
        "BODY": join(section(report) for section in SECTIONS),
        "SCRIPT": Markup((HERE / "page.js").read_text(encoding="utf-8")),
    }
    text = (HERE / "page.html").read_text(encoding="utf-8")
    pieces = text.split("@@")  # text, name, text, name, ...: what is filled in is never looked at again
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))

"""Which net to run, when none is named."""

from pathlib import Path

from sim.base.errors import UserError


def find(path: str | None = None) -> str:
    """`path` if given; else the newest `runs/*/model.net`, else the newest `models/*.net`.

    Raises:
        UserError: the file does not exist; there is none to choose.
    """
    if path is not None:
        if not Path(path).is_file():
            raise UserError(f"no file {str(path)!r}; write one with: python -m convert export model.pt")
        return str(path)
    for folder, pattern in (("runs", "*/model.net"), ("models", "*.net")):
        found = [p for p in Path(folder).glob(pattern) if p.is_file()]
        if found:
            return str(max(found, key=lambda p: p.stat().st_mtime))
    raise UserError("no net here: neither runs/*/model.net nor models/*.net; name one, or make one with: make demo")

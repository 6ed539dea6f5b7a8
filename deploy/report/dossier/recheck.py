"""`make check` in a dossier: is what it says true? Reads files, runs the engine, and Lava where it is installed."""

import hashlib
import json
import math
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np

from sim import netx
from sim.base.command import run_command
from sim.base.errors import UserError
from sim.net import Net

from ...chip import board as boards
from ...chip.plan import plan
from ...verify import verify
from ...verify.chain import verify_chain
from . import samples

SUMS = "SHA256SUMS"
CLOSE = 1e-9  # of energies and times, which are sums of fractions; all that is counted is compared exactly


def check(folder: str | Path, say: Callable[[str], object] = print) -> bool:
    """Whether everything holds; `say` gets a line for each part.

    Raises:
        UserError: the folder is no dossier, or a file of it cannot be read.
    """
    folder = Path(folder)
    facts = _json(folder / "facts.json")
    net, path = netx.load(folder / facts["net"]), folder / facts["net"]
    recorded = samples.read(folder / "samples.npz")
    parts = (
        _files(folder),
        _samples(net, recorded),
        _executors(net, path, recorded),
        _plan(folder, net, facts, recorded),
    )
    for name, good, text in parts:
        say(f"{name:10s} {'' if good else 'DIFFERS: '}{text}")
    return all(good for _, good, _ in parts)


def _json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise UserError(f"{path}: cannot be read ({e}); unpack the dossier again") from None


def _files(folder):
    try:
        lines = (folder / SUMS).read_text().splitlines()
    except OSError as e:
        raise UserError(f"{folder / SUMS}: cannot be read ({e}); unpack the dossier again") from None
    wrong = []
    for line in lines:
        digest, name = line.split("  ", 1)
        place = folder / name
        if not place.is_file() or hashlib.sha256(place.read_bytes()).hexdigest() != digest:
            wrong.append(name)
    if wrong:
        return "files", False, f"{len(wrong)} of {len(lines)} are not as they were written, first {wrong[0]}"
    return "files", True, f"{len(lines)}, as they were written"


def _samples(net, recorded):
    again = samples.record(net, recorded.x, recorded.labels)
    wrong = [name for name, digest in recorded.hashes.items() if again.hashes.get(name) != digest]
    same = np.array_equal(again.outputs, recorded.outputs) and set(again.hashes) == set(recorded.hashes)
    what = f"{len(recorded.outputs)} samples, {len(recorded.hashes)} layers at every step"
    if wrong or not same:
        return "engine", False, f"{what}: first in {wrong[0] if wrong else 'the outputs'}"
    if recorded.labels is None:
        return "engine", True, what
    right = int((recorded.outputs.argmax(1) == recorded.labels).sum())
    return "engine", True, f"{what}; {right} of these samples right"


def has_lava() -> bool:
    """Whether Lava can be imported."""
    try:
        return find_spec("lava") is not None
    except ImportError:
        return False


def _executors(net, path, recorded):
    lava = has_lava()
    if isinstance(net, Net):
        result = verify(path, executors=("engine", "fused", "stock") if lava else ("engine",))
    else:
        result = verify_chain(path, net, recorded.x, executors=None if lava else ("engine", "steps"))
    text = f"{' = '.join(result.executors)}: {result.compared:,} values, {result.differences:,} differ"
    missing = "" if lava else "; Lava is not installed here (make lava)"
    return "executors", bool(result), text + missing


def _plan(folder, net, facts, recorded):
    before = _json(folder / "plan.json")
    if before is None:
        return "plan", True, "none was made"
    place = lambda name: str(folder / name) if Path(name).suffix else name  # noqa: E731
    x = recorded.x if facts["counted"] else None
    again = plan(
        net,
        boards.load(place(facts["board"])),
        facts["packing"],
        x,
        before["data"],
        tuple(place(t) for t in facts["tables"]),
    )
    wrong = difference(before, json.loads(json.dumps(again.to_json())))
    if wrong:
        return "plan", False, wrong
    energy = [f"{c['energy_j_per_sample'] * 1e6:,.3f} uJ ({name})" for name, c in (before["energy"] or {}).items()]
    cores = f"{before['cores_used']} of {before['cores_available']} neurocores" if before["fits"] else "does not fit"
    return "plan", True, "; ".join([cores, *energy])


def difference(a: Any, b: Any, where: str = "plan") -> str | None:
    """The first place at which two JSON values differ; fractions may by `CLOSE`."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"{where}: other entries"
        return next((d for k in a if (d := difference(a[k], b[k], f"{where}.{k}"))), None)
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{where}: {len(a)} entries, now {len(b)}"
        return next((d for i, (x, y) in enumerate(zip(a, b)) if (d := difference(x, y, f"{where}[{i}]"))), None)
    if isinstance(a, float) and isinstance(b, float):
        return None if math.isclose(a, b, rel_tol=CLOSE) else f"{where}: {a}, now {b}"
    return None if a == b and type(a) is type(b) else f"{where}: {a}, now {b}"


@click.command(epilog="Example: python -m deploy.report.dossier.recheck .")
@click.argument("folder")
def main(folder: str) -> None:
    """Compute again what the dossier in FOLDER says; exit code 1 if something differs."""
    good = check(folder)
    print("all of it holds" if good else "NOT all of it holds")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    run_command(main)

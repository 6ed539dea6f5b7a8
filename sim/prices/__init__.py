"""Named tables of prices per operation, the same for training and for the plan of a chip.

A table is a TOML (or YAML) file::

    title = "what it is"
    source = "where the figures stand"
    leaves_out = ["what it has no price for"]
    assumes = ["how its figures are read"]

    [energy_pj]                    # picojoules each; any of `COUNTS`
    synops = 23.6

    [time_ns]                      # nanoseconds each, one after the other on a core; no time without it
    synops = 3.5
    barrier_one_tile = 113.0       # once a step, growing linearly with the tiles in use
    barrier_32_tiles = 465.0

`dense_macs` is the price of a multiply-accumulate of a net with the same matrices and real-valued activations: a
comparison, not part of the sum."""

from dataclasses import dataclass
from pathlib import Path

from ..base import tomlfile
from ..base.errors import UserError

FOLDER = Path(__file__).parent
WORK = ("synops", "graded_synops", "active_updates", "inactive_updates")  # what a core does in a step
COUNTS = (*WORK, "zero_synops", "messages", "hops_ew", "hops_ns", "spikes")
DENSE = "dense_macs"
BARRIER = ("barrier_one_tile", "barrier_32_tiles")
USUAL = "loihi1-davies2018"


@dataclass(frozen=True)
class Table:
    """Prices. energy_pj, time_ns: count -> price; time_ns is empty if the table has no times."""

    name: str
    title: str
    source: str
    leaves_out: tuple
    assumes: tuple
    energy_pj: dict
    time_ns: dict


def names() -> list:
    return sorted(p.stem for p in FOLDER.glob("*.toml"))


def load(name: str | Path) -> Table:
    """A table by name, or a user's own by path.

    Raises:
        UserError: there is none; an entry is unknown, missing, or no number that is not negative.
    """
    path = Path(name) if Path(str(name)).suffix else FOLDER / f"{name}.toml"
    if not Path(str(name)).suffix and not path.exists():
        raise UserError(
            f"no cost table {name!r}; there are {', '.join(names())}, or give the path of a .toml or .yaml file like"
            " those in sim/prices"
        )
    content = tomlfile.read(path)
    allowed = {"title": str, "source": str, "leaves_out": list, "assumes": list, "energy_pj": dict, "time_ns": dict}
    for key, value in content.items():
        if key not in allowed:
            raise UserError(f"{path}: unknown entry {key!r}, known are {', '.join(allowed)}")
        if not isinstance(value, allowed[key]):
            raise UserError(f"{path}: {key} is a {type(value).__name__}, expected a {allowed[key].__name__}")
    missing = [key for key in ("title", "source", "leaves_out", "energy_pj") if not content.get(key)]
    if missing:
        raise UserError(f"{path}: lacks {missing[0]}")
    _check_prices(path, "energy_pj", content["energy_pj"], {*COUNTS, DENSE})
    time = content.get("time_ns", {})
    _check_prices(path, "time_ns", time, {*WORK, *BARRIER})
    return Table(
        path.stem,
        content["title"],
        content["source"],
        tuple(map(str, content["leaves_out"])),
        tuple(map(str, content.get("assumes", ()))),
        content["energy_pj"],
        time,
    )


def _check_prices(path, section, prices, known):
    for key, value in prices.items():
        if key not in known:
            raise UserError(f"{path}: {section} has the unknown entry {key!r}, known are {', '.join(sorted(known))}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
            raise UserError(f"{path}: {section}.{key} is {value!r}, expected a number that is not negative")


def picojoules(table: Table, counts: dict) -> dict:
    """Count -> pJ: what `counts` (of `COUNTS`; numbers or tensors) cost, those that the table has a price for."""
    return {key: counts[key] * price for key, price in table.energy_pj.items() if key in counts}

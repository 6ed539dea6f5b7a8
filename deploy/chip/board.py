"""The chip as data: what a board has, each limit with its unit, its public source and how sure it is."""

from dataclasses import dataclass
from pathlib import Path

from sim.base import tomlfile
from sim.base.errors import UserError

FOLDER = Path(__file__).parent / "chips"
STATUSES = ("published", "conflicting", "inferred", "unknown")
LIMITS = (
    "chips",
    "cores_per_chip",
    "neurons_per_core",
    "synapse_bits_per_core",
    "axons_in_per_core",
    "axons_out_per_core",
    "decay_profiles_per_core",
    "threshold_profiles_per_core",
    "synapse_formats_per_core",
    "max_delay",
    "delay_slots_per_core",
    "weight_bits",
    "message_bits",
    "cores_per_tile",
    "tile_columns",
    "io_spikes_per_step",
)
MAY_BE_ABSENT = {"io_spikes_per_step"}
VALUE_MAX = 1 << 40


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        value: an integer; None if nothing is public and nothing stands in: such a limit is not checked.
        unit: of the value.
        status: "published"; "conflicting": sources differ, the most cautious figure is used; "inferred": our reading of
            something published; "unknown": not public, the value (if any) is another chip's.
        source: where it stands.
    """

    name: str
    value: int | None
    unit: str
    status: str
    source: str


@dataclass(frozen=True)
class Board:
    """A target. `board["neurons_per_core"]` is the value of a limit."""

    name: str
    title: str
    limits: dict

    def __getitem__(self, name):
        return self.limits[name].value

    @property
    def cores(self) -> int:
        return self["chips"] * self["cores_per_chip"]


def names() -> list:
    """The boards that come with this package, smallest first."""
    return [
        b.name
        for b in sorted((load(p.stem) for p in FOLDER.glob("*.toml")), key=lambda b: (b["message_bits"] > 0, b.cores))
    ]


def load(name: str) -> Board:
    """A board by name, or from a user's own .toml file in the same form (`extends` names one of ours).

    Raises:
        UserError: there is no such board; a limit is missing, misspelt, or no positive integer.
    """
    path = FOLDER / f"{name}.toml"
    if "/" in str(name) or str(name).endswith((".toml", ".yaml", ".yml")):
        path = Path(name)
    elif not path.exists():
        raise UserError(
            f"no board {name!r}; there are {', '.join(names())}, or give the path of a .toml file like those in"
            " deploy/chips"
        )
    content = tomlfile.read(path)
    unknown = set(content) - {"title", "extends", "limits"}
    if unknown:
        raise UserError(f"{path}: unknown entry {min(map(str, unknown))!r}")
    base = {}
    if "extends" in content:
        known = [p.stem for p in FOLDER.glob("*.toml")]
        if content["extends"] not in known or content["extends"] == path.stem:
            raise UserError(f"{path}: extends {content['extends']!r}, which is not one of {', '.join(names())}")
        base = load(content["extends"]).limits
    entries = content.get("limits", {})
    if not isinstance(entries, dict):
        raise UserError(f"{path}: limits is a {type(entries).__name__}, expected a table of limits")
    if set(entries) - set(LIMITS):
        raise UserError(
            f"{path}: limits has the unknown entry {min(map(str, set(entries) - set(LIMITS)))!r}, known are"
            f" {', '.join(LIMITS)}"
        )
    limits = base | {key: _limit(path, key, value) for key, value in entries.items()}
    missing = [key for key in LIMITS if key not in limits]
    if missing:
        raise UserError(f"{path}: limits lacks {', '.join(missing)}")
    return Board(path.stem, str(content.get("title", path.stem)), {key: limits[key] for key in LIMITS})


def _limit(path, name, entry):
    where = f"{path}: limits.{name}"
    if not isinstance(entry, dict) or set(entry) - {"value", "unit", "status", "source"}:
        raise UserError(f"{where}: expected value, unit, status and source")
    value, status = entry.get("value"), entry.get("status")
    if status not in STATUSES:
        raise UserError(f"{where}: status is {status!r}, expected one of {', '.join(STATUSES)}")
    lowest = 0 if name in ("message_bits", "max_delay") else 1
    if (
        value is None
        and name not in MAY_BE_ABSENT
        or value is not None
        and (type(value) is not int or not lowest <= value <= VALUE_MAX)
    ):
        raise UserError(f"{where}: value is {value!r}, expected an integer of at least {lowest}")
    if not all(isinstance(entry.get(key), str) and entry[key] for key in ("unit", "source")):
        raise UserError(f"{where}: needs a unit and a source")
    return Limit(name, value, entry["unit"], status, entry["source"])

"""`folder.json`: what a folder of one's own recordings says of itself."""

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from sim.base.errors import UserError

from . import formats

NAME = "folder.json"
_LIMITS = {
    "height": (formats.SIDE_LIMIT, int),
    "width": (formats.SIDE_LIMIT, int),
    "time_unit_us": (1e6, (int, float)),
    "clip_ms": (1e7, (int, float)),
    "stride_ms": (1e7, (int, float)),
}
_LIMIT = 1 << 20


@dataclass(frozen=True)
class Settings:
    """All optional, None where it does not say.

    Attributes:
        height, width: the sensor.
        time_unit_us: microseconds to a unit of time, in formats that do not fix it.
        clip_ms, stride_ms: recordings are cut into clips of this length, which begin so far apart; without `stride_ms`
            one begins where the one before ends.
        sessions: ((name, (pattern, ...)), ...): recordings whose name below the folder fits one of the patterns belong
            to the session, and are in one part together.
    """

    height: int | None = None
    width: int | None = None
    time_unit_us: float | None = None
    clip_ms: float | None = None
    stride_ms: float | None = None
    sessions: tuple = ()

    def session(self, name: str) -> str | None:
        """The session of a recording, by its name relative to the folder."""
        return next((key for key, patterns in self.sessions if any(fnmatch(name, p) for p in patterns)), None)


def read(root: Path, clip_ms: float | None = None, stride_ms: float | None = None) -> Settings:
    """Of a folder; what is given counts more than what the file says.

    Raises:
        UserError: the file is not like that.
    """
    says = _json(root / NAME)
    sessions = says.pop("sessions", {})
    if clip_ms is not None:
        says |= {"clip_ms": clip_ms}
        says.pop("stride_ms", None)
    if stride_ms is not None:
        says |= {"stride_ms": stride_ms}
    if "stride_ms" in says and "clip_ms" not in says:
        raise UserError(f"{root}: stride_ms goes with clip_ms, the length of a clip; say that, too")
    return Settings(**says, sessions=tuple((name, tuple(patterns)) for name, patterns in sorted(sessions.items())))


def _json(path):
    if not path.is_file():
        return {}
    try:
        with open(path, encoding="utf-8") as f:
            says = json.loads(f.read(_LIMIT))
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(f"{path} is not JSON that can be read ({formats.reason(e)})") from None
    if not isinstance(says, dict) or set(says) - {*_LIMITS, "sessions"} or ("height" in says) != ("width" in says):
        raise UserError(
            f"{path}: expected an object with height and width, time_unit_us, clip_ms, stride_ms and sessions, all"
            " optional"
        )
    for key, (limit, kinds) in _LIMITS.items():
        value = says.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= limit):
            raise UserError(f"{path}: {key} is {value!r}, expected a number above 0 and at most {limit:g}")
    sessions = says.get("sessions", {})
    if not isinstance(sessions, dict) or not all(
        isinstance(p, list) and p and all(isinstance(x, str) for x in p) for p in sessions.values()
    ):
        raise UserError(
            f'{path}: sessions must be an object of name: [patterns], such as {{"monday": ["*/2024-05-06*"]}}'
        )
    return says

"""Ground floor: number formats, the net as the chip sees it, file format, integer engine, Lava processes.

Nothing here imports torch, SLAYER, `train`, `convert` or `deploy`. `sim.load`, `sim.run` and the other names below are
imported when they are first used.
"""

TYPE_CHECKING = False  # `typing` itself takes time to import
if TYPE_CHECKING:
    from .base.errors import SimulationError, UserError
    from .engine import Result, Session, run
    from .lava.simulate import simulate
    from .net import Net
    from .net.tokens import Stream
    from .netx import describe, load, read_golden, write

_PLACES = {
    "SimulationError": "base.errors",
    "UserError": "base.errors",
    "Result": "engine",
    "Session": "engine",
    "run": "engine",
    "simulate": "lava.simulate",
    "Net": "net",
    "describe": "netx",
    "load": "netx",
    "read_golden": "netx",
    "write": "netx",
    "Stream": "net.tokens",
}
__all__ = [
    "Net",
    "Result",
    "Session",
    "SimulationError",
    "Stream",
    "UserError",
    "describe",
    "load",
    "read_golden",
    "run",
    "simulate",
    "write",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_PLACES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return list(__all__)

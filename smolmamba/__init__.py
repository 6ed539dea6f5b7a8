"""Vision SmolMamba for Loihi 2 from Python: train, export, run, simulate, verify and plan nets.

    import smolmamba as sm

    net = sm.load("models/digits-tiny.net")
    result = net.run(events)                    # the integer engine
    sm.simulate(net, events)                    # the same in Lava
    sm.plan(net, "oheo-gulch")                  # does it fit a board, what does it cost

Everything is imported when it is first used.
"""

TYPE_CHECKING = False  # `typing` itself takes time to import
if TYPE_CHECKING:
    from deploy.verify.results import Verification
    from events.encoder import Encoder
    from sim.base.errors import SimulationError, UserError
    from sim.net.tokens import Stream

    from . import lava
    from .nets import Net, Result, encode, load, rows, simulate
    from .proofs import plan, verify
    from .training import Trained, configuration, export, train

    __version__: str

_PLACES = {
    "Encoder": "events.encoder",
    "SimulationError": "sim.base.errors",
    "UserError": "sim.base.errors",
    "Stream": "sim.net.tokens",
    "Net": "smolmamba.nets",
    "Result": "smolmamba.nets",
    "encode": "smolmamba.nets",
    "load": "smolmamba.nets",
    "rows": "smolmamba.nets",
    "simulate": "smolmamba.nets",
    "Verification": "deploy.verify.results",
    "plan": "smolmamba.proofs",
    "verify": "smolmamba.proofs",
    "Trained": "smolmamba.training",
    "configuration": "smolmamba.training",
    "export": "smolmamba.training",
    "train": "smolmamba.training",
}

__all__ = [
    "Encoder",
    "Net",
    "Result",
    "SimulationError",
    "Stream",
    "Trained",
    "UserError",
    "Verification",
    "configuration",
    "encode",
    "export",
    "lava",
    "load",
    "plan",
    "rows",
    "simulate",
    "train",
    "verify",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "lava":
        return import_module("smolmamba.lava")
    if name == "__version__":
        from importlib.metadata import version

        return version("smolmamba-loihi")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

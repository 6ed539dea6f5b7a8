"""What the layers of a model are called, in training, in the artifact and in every report: made here, never parsed."""

from sim.net import PHASE, TOKENS

REVERSED, REVERSED_PHASE = "reversed", "reversed_phase"  # the inputs of the tower that reads each frame backward
READOUT = "readout"


def inputs(tower: str) -> dict:
    """Source of a tower's first layer (tokens, phase) -> name of the net's input."""
    return {TOKENS: REVERSED, PHASE: REVERSED_PHASE} if tower == "b" else {TOKENS: TOKENS, PHASE: PHASE}


def stem(tower: str, i: int) -> str:
    """Layer `i` of the patch embedding as a tower runs it."""
    return f"{tower}.stem{i}"


def block(tower: str, b: int, part: str) -> str:
    """A layer (`sst`, `bank`, `gate`, `read`, `out`) of block `b` of a tower."""
    return f"{tower}{b}.{part}"


def parts(name: str, n: int) -> list:
    """Names of the `n` nodes that a layer becomes in the net: one for each of its gains."""
    return [name] if n == 1 else [f"{name}{i}" for i in range(n)]

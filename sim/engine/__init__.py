"""The integer engine: whole samples (`run`) and streams that go on (`Session`). No torch, no Lava."""

from .batch import Result, gate_synops, merge, reverse_tokens, run, run_batches, run_on, synops, token_gate
from .program import Runner
from .session import Session

__all__ = [
    "Result",
    "Runner",
    "Session",
    "gate_synops",
    "merge",
    "reverse_tokens",
    "run",
    "run_batches",
    "run_on",
    "synops",
    "token_gate",
]

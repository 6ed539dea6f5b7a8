"""The integer engine: whole samples (`run`) and streams that go on (`Session`). No torch, no Lava."""

from .batch import Result, merge, run, run_batches, run_with, synops
from .program import Runner
from .session import Session

__all__ = ["Result", "Runner", "Session", "merge", "run", "run_batches", "run_with", "synops"]

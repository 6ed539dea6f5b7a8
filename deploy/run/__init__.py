"""Runs nets: `run` a net of ours on recordings, `run_on` one that is never reset, `chain` what SLAYER or NIR made on
arrays; `executors` has what they run on.
"""

from .batches import run
from .executors import Executor, table
from .results import Run
from .run_on import run_on

__all__ = ["Executor", "Run", "run", "run_on", "table"]

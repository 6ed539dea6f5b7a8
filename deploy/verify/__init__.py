"""Proves that all executors agree, at every layer, step and neuron: on a file's own samples (`verify`), on a whole data
set and on random nets (`many`), on nets that SLAYER or NIR made (`chain`).
"""

from .results import Verification
from .tokens import inputs, verify

__all__ = ["Verification", "inputs", "verify"]

"""The net: its nodes (here), the stream of tokens that it reads (`tokens`), and when each node answers (`schedule`)."""

from .nodes import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout, check_weight, replace

__all__ = ["PHASE", "TOKENS", "Cuba", "Dense", "Input", "Net", "Readout", "check_weight", "replace"]

"""Nets in Lava graphs of one's own: `smolmamba.lava.Network("model.net")`. Imports Lava, mended where it needs it."""

from sim.lava import compat

compat.apply()

from sim.lava.processes.network import Layer, Network  # noqa: E402

__all__ = ["Layer", "Network"]

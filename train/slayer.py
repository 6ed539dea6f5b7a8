"""lava-dl's SLAYER, importable on today's Pythons and without its greeting on standard output (which carries our JSON)."""

import contextlib
import io

from sim import compat

compat.apply()
with contextlib.redirect_stdout(io.StringIO()):
    from lava.lib.dl import slayer  # noqa: E402

__all__ = ["slayer"]

"""lava-dl's SLAYER, importable on today's Pythons, without its greeting on standard output (which carries our JSON),
and without a look at the GPU.

Its `jitconfig` asks for the first GPU's kind as it is imported. That sets CUDA up on that GPU, for every process of a
run, whatever GPU it is given, and no process forked after it can use CUDA. It only wants it for kernels that we do not
use, and torch finds it out by itself when they are compiled."""

import contextlib
import io
from unittest import mock

import torch

from sim.lava import compat

compat.apply()
with contextlib.redirect_stdout(io.StringIO()), mock.patch.object(torch.cuda, "is_available", return_value=False):
    from lava.lib.dl import slayer  # noqa: E402

__all__ = ["slayer"]

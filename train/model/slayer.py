"""lava-dl's SLAYER, importable on today's Pythons, without its greeting on standard output (which carries our JSON),
and without a look at the GPU.

Its `jitconfig` asks for the first GPU's kind as it is imported. That sets CUDA up on that GPU, for every process of a
run, whatever GPU it is given, and no process forked after it can use CUDA. It only wants it for kernels that we do not
use, and torch finds it out by itself when they are compiled."""

import contextlib
import io
from importlib import import_module
from typing import Any
from unittest import mock

import torch

from sim.lava import compat

compat.apply()
with contextlib.redirect_stdout(io.StringIO()), mock.patch.object(torch.cuda, "is_available", return_value=False):
    slayer: Any = import_module("lava.lib.dl.slayer")

__all__ = ["slayer"]

"""Checkpoints: written whole with a seal, and checked, in every entry, before anything is built from one."""

from .file import load, read, save, write

__all__ = ["load", "read", "save", "write"]

"""Inputs and labels that a user brings as .npy files."""

from pathlib import Path

import numpy as np

from sim.base import npy
from sim.base.errors import UserError
from sim.net import Net
from sim.net.tokens import Stream, checked
from sim.sequential import Sequential
from sim.sequential.graph import Graph


def load(path: str, what: str) -> np.ndarray:
    """An array in a .npy file, mapped and not read; never a pickle.

    Raises:
        UserError: no such file, another format, a type other than numbers.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        found = npy.mapped(path)
    except UserError as e:
        raise UserError(f"{path}: no .npy file of numbers for {what} ({e}); save it with numpy.save") from e
    if found.dtype.kind not in "biuf":
        raise UserError(f"{path}: has type {found.dtype}, expected numbers for {what}")
    return found


def load_input(path: str, net: Sequential | Graph) -> np.ndarray:
    """[n, steps, *input shape]; a file without the first axis is one sample. Its values are checked as they are used.

    Raises:
        UserError: another shape than the net's; nothing in it.
    """
    x, shape = load(path, "the input"), net.layers[0].shape
    wanted = f"[samples, steps, {', '.join(map(str, shape))}] or [steps, {', '.join(map(str, shape))}]"
    if x.ndim == len(shape) + 1 and x.shape[1:] == shape:
        x = x[None]
    if x.ndim != len(shape) + 2 or x.shape[2:] != shape:
        raise UserError(f"{path}: has shape {x.shape}, the net takes {wanted}")
    if not x.shape[0] or not x.shape[1]:
        raise UserError(f"{path}: has no samples or no steps: shape {x.shape}, the net takes {wanted}")
    return x


def load_any(path: str, net: Net | Sequential | Graph) -> np.ndarray | Stream:
    """The input of any net, checked: an array for a chain or a graph of layers, a `sim.net.tokens.Stream` for a net of
    ours that sends all its tokens, from their spikes [n, steps, channels] or [steps, channels].

    Raises:
        UserError: another shape, type or range than the net's.
    """
    if isinstance(net, Sequential | Graph):
        return net.checked(load_input(path, net))
    x = load(path, "the input")
    x = x[None] if x.ndim == 2 else x
    if x.size and (x.min() < 0 or x.max() > 1 or (x != np.floor(x)).any()):
        raise UserError(f"{path}: has values from {x.min()} to {x.max()}, expected spikes, 0 or 1")
    return checked(net, np.asarray(x, np.uint8))


def load_labels(path: str, n: int, classes: int) -> np.ndarray:
    """int64 [n], 0..classes - 1.

    Raises:
        UserError: another number of them; no whole numbers; a class that the net has not.
    """
    labels = load(path, "labels")
    if labels.shape != (n,):
        raise UserError(f"{path}: has shape {labels.shape}, expected ({n},), one label for each sample")
    if (labels != np.floor(labels)).any() or labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"{path}: labels from {labels.min()} to {labels.max()}, expected whole numbers from 0 to {classes - 1}"
        )
    return labels.astype(np.int64)

"""A chain of layers as a whole."""

from dataclasses import dataclass
from typing import Literal, overload

import numpy as np

from ..base.errors import UserError
from ..integer import INPUT_LIMIT
from .checks import require
from .cuba import Neuron
from .layers import AverageLayer, ConvLayer, DenseLayer, InputLayer, wanted_shape
from .running import Stream


@dataclass(frozen=True, eq=False, repr=False)
class Sequential:
    """A chain of layers; the first is an `InputLayer`.

    `layers` take each other's shapes and kinds of spikes: checked when made. notes: what a reader changed or left
    out, one line each.
    """

    layers: tuple
    notes: tuple = ()

    def __post_init__(self):
        if not self.layers or not isinstance(self.layers[0], InputLayer):
            raise UserError("net: the first layer must be an input")
        graded = False
        for before, layer in zip((None, *self.layers), self.layers):
            if before is not None:
                wanted = wanted_shape(layer, before.shape)
                require(before.shape == wanted, layer.name, f"takes {wanted}, the layer before gives {before.shape}")
                require(
                    not isinstance(before, AverageLayer), layer.name, "nothing can follow averages, the host takes them"
                )
            neuron = getattr(layer, "neuron", None)
            if neuron is not None:
                require(
                    neuron.takes_graded or not graded,
                    layer.name,
                    "CUBA neurons take spikes without a value, the layer before sends graded ones",
                )
                graded = neuron.graded

    def __repr__(self):
        """One line; the weights of a net fill a screen."""
        shapes = " -> ".join(f"{layer.name} {'x'.join(map(str, layer.shape))}" for layer in self.layers)
        return f"Sequential({shapes})"

    @property
    def lags(self) -> dict:
        """Layer name -> chip steps by which its output lags its stream step: one for each layer of synapses up to and
        including it.

        An input neuron answers in the step in which it is driven.
        """
        out, late = {}, 0
        for layer in self.layers:
            late += isinstance(layer, DenseLayer | ConvLayer)
            out[layer.name] = late
        return out

    @property
    def graded(self) -> bool:
        """Whether messages have values."""
        return any(getattr(getattr(layer, "neuron", None), "graded", False) for layer in self.layers)

    @property
    def input_range(self) -> tuple:
        """(lowest, highest) value that the input layer takes."""
        neuron = self.layers[0].neuron
        if neuron is None:
            return 0, 1
        limit = INPUT_LIMIT if isinstance(neuron, Neuron) else neuron.input_limit
        return -limit, limit

    @property
    def input_kind(self) -> str:
        """`spikes`, `drive` or `values`: what the input layer takes."""
        neuron = self.layers[0].neuron
        return "spikes" if neuron is None else "drive" if isinstance(neuron, Neuron) else "values"

    def checked(self, x: np.ndarray) -> np.ndarray:
        """`x` as int32, or uint8 where the net takes spikes, [B, K, *input shape].

        Raises:
            UserError: another shape, type or range than the net's.
        """
        first, (low, high) = self.layers[0], self.input_range
        x = np.asarray(x)
        if x.ndim < 3 or x.shape[2:] != first.shape:
            raise UserError(
                f"input has shape {x.shape}, the net takes [samples, steps, {', '.join(map(str, first.shape))}]"
            )
        expected = "spikes, 0 or 1" if (low, high) == (0, 1) else f"integers from {low} to {high}"
        if x.dtype.kind not in "biuf":
            raise UserError(f"input: has type {x.dtype}, expected {expected}")
        if x.size:
            least, most = x.min(), x.max()
            if not (low <= least and most <= high):
                raise UserError(f"input: has values from {least} to {most}, expected {expected}")
            if x.dtype.kind == "f" and (x != np.floor(x)).any():
                raise UserError(f"input: has values that are no integers, expected {expected}")
        return x.astype(np.uint8 if high == 1 else np.int32)

    @overload
    def run(self, x: np.ndarray, currents: Literal[False] = False) -> dict: ...

    @overload
    def run(self, x: np.ndarray, currents: Literal[True]) -> tuple[dict, dict]: ...

    def run(self, x: np.ndarray, currents: bool = False) -> dict | tuple[dict, dict]:
        """Runs all layers.

        Args:
            x: [B, K, *input shape]: spikes 0 and 1, or, if the input layer has a neuron, integers in `input_range`.
            currents: also return the currents.

        Returns:
            dict: layer name -> [B, K, *shape]: uint8 spikes, or int32 messages of graded ones. With `currents`: (that,
                the same with int32 currents u after each step, of CUBA neurons).

        Raises:
            UserError: the input is for another geometry.
        """
        x = self.checked(x)
        out, states = Stream(self, len(x)).advance(x, [layer.name for layer in self.layers] if currents else ())
        return (out, {name: s["u"] for name, s in states.items() if "u" in s}) if currents else out

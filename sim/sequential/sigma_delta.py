"""Sigma-delta neurons: they send changes of an activation as graded spikes, and add up the changes that they get.

Number formats and equations are those of Lava's fixed-point models (`lava/proc/sdn/models.py` of lava-nc 0.10.0) with
the exponents that netx gives them (`spike_exp` 6, `state_exp` 6). States are 32-bit integers in those models and wrap
there; the chip has 24 bits for a state and `message_bits` for a message, so runs report the largest of both.

One step of sigma-delta neurons with a dendritic sum a (weights times messages)::

    sigma  <- sigma + a
    new     = max(sigma + (bias << 12), 0)
    change  = new - act + residue
    sent    = change where |change| >= (v_th << 12), else 0
    residue <- change - sent
    act    <- new
    message = sent >> 6                              rounds down

A delta encoder takes values x for a dendritic sum: new = x << 12, and the rest is the same. A sigma neuron sends
sigma itself.

Dendritic sums: a convolution's wraps at 24 bits. Lava's dense synapse scales the weights up by as many bits as fit
(`loss_bits`) and the sum down again, so that it loses as many of its upper bits; one with delays does not, nor does
the sparse one, which stands for transposed convolutions.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..integer import BIAS_MAX, BIAS_MIN
from .checks import require, require_values

STATE_BITS = 24  # of the chip
SPIKE_EXP, STATE_EXP, MESSAGE_BITS = 6, 6, 16  # netx's own


@dataclass(frozen=True, eq=False)
class Delta:
    """Input neurons that encode changes of a value.

    Attributes:
        v_th: threshold mantissa. spike_exp, state_exp: bits by which values are aligned to messages, and messages to
            states. message_bits: of a message on the chip.
    """

    v_th: int
    spike_exp: int = SPIKE_EXP
    state_exp: int = STATE_EXP
    message_bits: int = MESSAGE_BITS

    graded = True
    takes_graded = True
    is_readout = False

    @property
    def shift(self) -> int:
        """Bits by which mantissas are aligned to the state."""
        return self.spike_exp + self.state_exp

    @property
    def input_limit(self) -> int:
        """Largest |value| that a state of 24 bits holds."""
        return (1 << (STATE_BITS - 1 - self.shift)) - 1

    def check(self, layer: str, shape: tuple) -> None:
        """Raises `UserError`, naming `layer`, unless all values are in range and fit neurons of `shape`."""
        limit = 1 << (31 - self.shift)
        require(0 <= self.v_th < limit, layer, f"vThMant {self.v_th} outside 0..{limit - 1}")


@dataclass(frozen=True, eq=False)
class SigmaDelta(Delta):
    """Sigma-delta neurons with ReLU.

    Attributes:
        bias: int32 [channels] or [1], mantissas, -4096..4095. Others as of `Delta`.
    """

    bias: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int32))

    def check(self, layer: str, shape: tuple) -> None:
        """As `Delta.check`."""
        super().check(layer, shape)
        require_values(self.bias, "bias", {1, shape[0]}, BIAS_MIN, BIAS_MAX, layer)


@dataclass(frozen=True, eq=False)
class Sigma:
    """Neurons that add up what they get and send the sum at every step.

    Attributes:
        message_bits: of a message on the chip.
    """

    message_bits: int = MESSAGE_BITS

    graded = True
    takes_graded = True
    is_readout = True

    def check(self, layer: str, shape: tuple) -> None:
        """Nothing can be out of range."""


def wrap32(x: np.ndarray) -> np.ndarray:
    """A state's 32 bits."""
    return ((np.asarray(x, np.int64) + (1 << 31)) & ((1 << 32) - 1)) - (1 << 31)


def lose(a: np.ndarray, bits: int) -> np.ndarray:
    """A dendritic sum without its upper `bits` of 32."""
    return wrap32(np.asarray(a, np.int64) << bits) >> bits


def loss_bits(weight: np.ndarray) -> int:
    """Bits by which netx scales a matrix up for Lava's dense synapse: as many as keep it within 8 bits and a sign."""
    low, high = int(weight.min()), int(weight.max())
    if low == high == 0:
        return 0
    if low < 0 <= high:
        ratio = min(127 / high if high else np.inf, 128 / -low)
        return int(np.floor(np.log2(ratio))) + 1
    return int(np.floor(np.log2(255 / high if low >= 0 else 256 / -low)))


def dense_loss(layer: Any) -> int:
    """Upper bits that the sums of a dense layer of sigma-delta or sigma neurons lose."""
    delayed = layer.axon_delay is not None or layer.synapse_delay is not None
    return 0 if delayed else loss_bits(layer.weight)


def conv_loss(layer: Any) -> int:
    """The same of a convolution; what Lava's does not compute it has as a sparse matrix, which loses none."""
    return 32 - STATE_BITS if layer.plain else 0


def delta_step(
    act: np.ndarray, residue: np.ndarray, new: np.ndarray, v_th: int, state_exp: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of delta encoding.

    Args:
        act, residue: int64 states of one shape before the step. new: the activation, aligned to the state.
        v_th: threshold, aligned.

    Returns:
        (act, residue, message): int64, after the step.
    """
    change = wrap32(np.asarray(new, np.int64) - act + residue)
    sent = np.where(wrap32(np.abs(change)) >= v_th, change, 0)
    return new, wrap32(change - sent), sent >> state_exp


def sigma_delta_step(
    sigma: np.ndarray, act: np.ndarray, residue: np.ndarray, a: np.ndarray, neuron: SigmaDelta, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One step of sigma-delta neurons; see the module.

    Args:
        sigma, act, residue: int64 states of one shape. a: dendritic sum. bias: mantissas that broadcast to it.

    Returns:
        (sigma, act, residue, message): int64.
    """
    sigma = wrap32(sigma + np.asarray(a, np.int64))
    new = np.maximum(wrap32(sigma + (np.asarray(bias, np.int64) << neuron.shift)), 0)
    return (sigma, *delta_step(act, residue, new, neuron.v_th << neuron.shift, neuron.state_exp))

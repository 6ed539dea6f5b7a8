"""The stages of the token pruning inside the net: a token that had few spikes is not sent on.

A stage before a block is `NEURONS` neurons without memory that see, at each step, the phase and the spikes that a token
has in one layer (its *witness*), and inhibit the layer behind it, which would send the token on to the block. Each
fires if a token is on turn and has fewer than `least` spikes:

    64 * (2 * least * (a phase line is on) - 2 * spikes) > 0

and then takes 256 mantissas from the input of every neuron of that layer. That is as much as a weight can; the layer's
thresholds and inhibition are trained as they will be, so nothing has to be calibrated. Both differences are exact for
witnesses of up to 4,095 neurons, as the membrane keeps less than a 4096th.
"""

import torch

from sim.integer import WEIGHT_MIN

NEURONS = 2
WITNESS_MAX = 4095
SPIKE = -2  # weight of a witness's spike


def weak(witness: torch.Tensor, filled: torch.Tensor | None, least: int) -> torch.Tensor:
    """[B, 1, K]: 1 where a token is on turn that has fewer than `least` spikes. No gradient.

    witness: spikes [B, n, K]. filled: [B, 1, K], or None where every place has a token.
    """
    few = (witness.detach().sum(1, keepdim=True) < least).to(witness.dtype)
    return few if filled is None else few * filled


def inhibition(few: torch.Tensor, gain: torch.Tensor, unit: int) -> torch.Tensor:
    """What all neurons of a stage together do to the input of a layer of `gain` [n], in thresholds: [B, n, K]."""
    return few * (NEURONS * WEIGHT_MIN / unit / gain)[:, None]

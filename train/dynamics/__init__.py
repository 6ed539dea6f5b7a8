"""CUBA dynamics for training: SLAYER's recursion and gradients, compiled, and with the chip's 24-bit wrap and clip.

SLAYER (lava-dl 0.6.0, `slayer/neuron/dynamics/leaky_integrator.py`) steps through time in Python. The kernels here
(`cpu`; for CUDA `cuda`) do the same arithmetic on the whole stream. Shapes follow SLAYER, `[batch, channels, steps]`;
memory is channels-last (`x.transpose(1, 2)` contiguous), so that the synapse is one matrix product and the loop over
channels is vector code.

Units. A neuron's threshold is 1 here and `64 * gain` on the chip; its weights and bias are the chip's mantissas / (64 *
gain), its states the chip's integers / (4096 * gain). The gain, a power of two per neuron, is chosen so that the
weights use their 8 bits; it cancels in the gradients. With gain 1 these are SLAYER's own units.

Backward is SLAYER's: with `g` the gradient at the voltage, the surrogate of the spike times the gradient at the spike,

    gi[k] = a_v * gi[k+1] + g[k],    gx[k] = a_u * gx[k+1] + gi[k],    a = 1 - decay/4096

that is, neither rounding, nor wrap, nor the reset after a spike takes part in the gradient.
"""

from .functions import cuba, leak, set_threads
from .reference import STATE_SCALE, backward_reference, forward_reference, leak_reference, surrogate

__all__ = [
    "STATE_SCALE",
    "backward_reference",
    "cuba",
    "forward_reference",
    "leak",
    "leak_reference",
    "set_threads",
    "surrogate",
]

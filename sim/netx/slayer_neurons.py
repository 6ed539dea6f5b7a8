"""The group `neuron` of a layer of a netx file."""

from typing import Any

import numpy as np

from ..sequential import Delta, Neuron, Resonator, Sigma, SigmaDelta
from .slayer_entry import Entry

# What lava-dl assumes of a dense layer without a neuron: current and membrane add up for ever, no spike.
INTEGRATOR = Neuron(np.zeros(1, np.int32), 1 << 12, 1 << 17, np.zeros(1, np.int32))
NO_FIXED_POINT = {
    "ALIF": "Lava's fixed-point ATRLIF takes decays as whole numbers, so that they can only be 0 or 1",
    "ADRF_PHASE": "Lava has no adaptive resonator",
    "ADRF_IZHIKEVICH": "Lava has no adaptive resonator",
}


def neuron(entry: Entry, default: Any = None) -> Any:
    """The layer's neurons with its bias; `default` if there is no group `neuron`.

    Raises:
        UserError: a neuron that is not supported, values out of range; names file and layer.
    """
    if not any(key.startswith("neuron/") for key in entry.arrays):
        if default is None:
            entry.fail("neuron is missing")
        return default
    kind = entry.text("neuron/type")
    if kind in NO_FIXED_POINT:
        entry.fail(f"neuron type {kind!r} has no exact integers to compare with: {NO_FIXED_POINT[kind]}")
    if kind not in NEURON_TYPES:
        entry.fail(f"neuron type {kind!r} is not supported, expected {', '.join(NEURON_TYPES)}")
    if entry.has("neuron/weight_exp") and entry.arrays["neuron/weight_exp"].any():
        entry.fail("neuron/weight_exp: normalization by weight exponents is not supported (stock netx ignores it)")
    if entry.number("neuron/wgtExp", 0) != 0:
        entry.fail("neuron/wgtExp: only a weight exponent of 0 is supported")
    return NEURON_TYPES[kind](entry)


def _cuba(entry):
    for key, what in {"messageBits": "graded spikes are", "sigma_output": "a sigma output is"}.items():
        if entry.has(f"neuron/{key}"):
            entry.fail(f"neuron/{key}: {what} not supported")
    if entry.has("neuron/gradedSpike") and entry.arrays["neuron/gradedSpike"].any():
        entry.fail("graded spikes are not supported")
    if entry.number("neuron/refDelay", 1) != 1:
        entry.fail("neuron/refDelay: only a refractory delay of 1 is supported")
    decays = np.unique(entry.integers("neuron/vDecay"))
    if decays.size != 1:
        entry.fail("neuron/vDecay: neurons with several membrane decays are not supported")
    return Neuron(
        entry.integers("neuron/iDecay").astype(np.int32).ravel(),
        int(decays[0]),
        entry.number("neuron/vThMant"),
        entry.bias(),
    )


def _sigma_delta(entry):
    """netx makes a delta encoder of it in an input layer, a sigma neuron where it says `sigma_output`."""
    activation = entry.text("neuron/activation") if entry.has("neuron/activation") else "relu"
    if activation != "relu":
        entry.fail(f"neuron/activation: {activation!r} is not supported, expected 'relu'")
    bits = entry.number("neuron/messageBits", 16)
    if not 1 <= bits <= 32:
        entry.fail(f"neuron/messageBits {bits} outside 1..32")
    if entry.type == "input":
        return Delta(entry.number("neuron/vThMant"), message_bits=bits)
    if entry.has("neuron/sigma_output") and entry.arrays["neuron/sigma_output"].any():
        if entry.bias().any():
            entry.fail("bias: a sigma output has none in Lava")
        return Sigma(bits)
    return SigmaDelta(entry.number("neuron/vThMant"), message_bits=bits, bias=entry.bias())


def _resonator(entry):
    if entry.has("neuron/gradedSpike") and entry.arrays["neuron/gradedSpike"].any():
        entry.fail("graded spikes are not supported")
    if entry.bias().any():
        entry.fail("bias: resonators have none in Lava")
    sin, cos = (entry.integers(f"neuron/{key}").astype(np.int32).ravel() for key in ("sinDecay", "cosDecay"))
    return Resonator(sin, cos, entry.number("neuron/vThMant"), entry.text("neuron/type") != "RF_PHASE")


NEURON_TYPES = {
    "CUBA": _cuba,
    "LOIHI": _cuba,
    "SDNN": _sigma_delta,
    "RF_PHASE": _resonator,
    "RF_IZHIKEVICH": _resonator,
}

"""A sequential net in netx's own words: the group `layer` that stock `lava.lib.dl.netx.hdf5.Network` of lava-dl
0.6.0 runs.
"""

import numpy as np

from ..net import TOKENS, Cuba, Net


def stock_refusal(net: Net) -> str | None:
    """Why stock netx cannot run `net` up to its read-out, one line, or None if it can, spike for spike.

    netx knows one chain of dense layers with one current decay each. Its weight packing goes wrong for two kinds of
    matrix: one of zeros only (it divides by zero) and one without positive weights whose lowest weight is minus a power
    of two (it is scaled to -256, which Lava then cuts)."""
    if net.message_bits:
        return "input 'tokens': graded spikes, which netx's input layers do not send"
    *chain, readout = net.nodes
    used = {source for node in net.nodes for source in node.sources}
    for i in net.inputs[1:]:
        if i.name in used:
            return f"input {i.name!r}: netx knows one input, the tokens"
    if not chain:
        return "there is no layer before the read-out"
    before = TOKENS
    for node in chain:
        if not isinstance(node, Cuba):
            return f"layer {node.name!r}: netx has no {type(node).__name__}"
        if node.sources != (before,):
            return f"layer {node.name!r}: reads {', '.join(node.sources)}; netx only knows chains"
        if (node.i_decay != node.i_decay[0]).any():
            return f"layer {node.name!r}: has several current decays, netx knows one"
        if node.frame_reset:
            return f"layer {node.name!r}: is reset at every frame, netx has no such thing"
        if not packs(node.synapses[0].weight):
            return (
                f"layer {node.name!r}: netx packs its weights wrongly (all zero, or none positive and the lowest minus"
                " a power of two)"
            )
        before = node.name
    if readout.sources != (before,):
        return f"layer {readout.name!r}: reads {', '.join(readout.sources)}; netx only knows chains"
    return None


def packs(weight: np.ndarray) -> bool:
    """Whether netx's and Lava's packing keeps an even matrix in [-256, 254] as it is.

    Checked against both in tests/sim/test_netx_stock.py.
    """
    low, high = int(weight.min()), int(weight.max())
    if high > 0:
        return True
    return low < 0 and (-low & (-low - 1)) != 0


def stock_layers(net: Net) -> dict:
    """The content of the group `layer`, keys and types as SLAYER writes them: path -> array (str: variable-length
    string).

    Empty if stock netx cannot run the net.
    """
    if stock_refusal(net) is not None:
        return {}
    out = {}
    for i, node in enumerate(net.nodes[:-1]):
        weight = node.synapses[0].weight
        entries = {
            "type": np.array([b"dense"], "S10"),
            "shape": np.array([node.size], "<i8"),
            "inFeatures": np.array(weight.shape[1], "<i8"),
            "outFeatures": np.array(weight.shape[0], "<i8"),
            "weight": weight.astype("<f4"),
            "neuron/type": "CUBA",
            "neuron/iDecay": np.array(node.i_decay[0], "<i8"),
            "neuron/vDecay": np.array(node.v_decay, "<i8"),
            "neuron/vThMant": np.array(node.v_th, "<i8"),
            "neuron/refDelay": np.array(1, "<i8"),
            "neuron/gradedSpike": np.array(False),
        }
        if node.bias.any():
            entries["bias"] = node.bias.astype("<f4")
        out |= {f"layer/{i}/{k}": v for k, v in entries.items()}
    return out

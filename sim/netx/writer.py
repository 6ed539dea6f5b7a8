"""Packs a net into the arrays of the group `smolmamba`: see docs/netx-format.md."""

import hashlib
import json
import re
from functools import singledispatch

import numpy as np

from ..base.errors import UserError
from ..integer import WEIGHT_STEP
from ..net import Cuba, Net, Readout
from .golden import Golden

SCHEMA = 2
ROOT = "smolmamba/"
DIGEST = "digest"
NAME = re.compile(r"[A-Za-z0-9_.<>:+-]{1,100}")


def digest(own: dict[str, np.ndarray]) -> str:
    """sha256 (hex) over content.

    In ascending order of the path (bytes of its ASCII), each array adds: path, NUL, numpy's type code (`<i8`, `|i1`,
    `|S5`), NUL, shape in decimals joined by commas, NUL, its bytes in C order, little-endian. Paths are relative to the
    group `smolmamba`; the digest itself is left out."""
    h = hashlib.sha256()
    for name in sorted(own, key=str.encode):
        if name != DIGEST:
            a = own[name]
            a = np.ascontiguousarray(a, a.dtype.newbyteorder("<")).reshape(a.shape)
            h.update(
                b"\0".join((name.encode(), a.dtype.str.encode(), ",".join(map(str, a.shape)).encode(), a.tobytes()))
            )
    return h.hexdigest()


def pack(net: Net, golden: Golden | None = None) -> dict:
    """The content of the group `smolmamba`, all but the digest: path -> array."""
    out = {
        "schema": np.array(SCHEMA, "<i8"),
        "tokens": np.array(net.tokens, "<i8"),
        "frames": np.array(net.frames, "<i8"),
        "places": np.array(net.places, "<i8"),
        "orders": net.orders.astype("<i4"),
    }
    for key, value in (("encoder", net.encoder), ("classes", list(net.classes)), ("facts", net.facts)):
        out[key] = _json(value, key)
    for i, entry in enumerate(net.inputs):
        out |= {
            f"input/{i}/name": _name(entry.name),
            f"input/{i}/size": np.array(entry.size, "<i8"),
            f"input/{i}/of": _name(entry.of),
            f"input/{i}/backward": np.array(entry.backward, "u1"),
        }
        if entry.message_bits:
            out[f"input/{i}/message_bits"] = np.array(entry.message_bits, "<i8")
    for i, node in enumerate(net.nodes):
        out |= {f"node/{i}/{k}": v for k, v in {"name": _name(node.name), **pack_node(node)}.items()}
    if golden is not None:
        out |= {f"golden/{k}": v for k, v in _pack_golden(golden, net.message_bits).items()}
    for name, value in out.items():
        if value.size == 0:
            raise UserError(f"net: {name} is empty, nothing to write")
    return out


def _name(text):
    if not NAME.fullmatch(text):
        raise UserError(f"layer {text!r}: names have 1 to 100 of the characters A-Z a-z 0-9 _ . : < > + -")
    return np.array(text, "S")


def _json(value, key):
    try:
        return np.array(json.dumps(value, sort_keys=True, allow_nan=False), "S")
    except (TypeError, ValueError) as e:
        raise UserError(f"net: {key} must be plain JSON values ({e})") from e


@singledispatch
def pack_node(node: Cuba | Readout) -> dict:
    """Everything of a node but its name: path inside its group -> array."""
    raise UserError(f"layer {node.name!r}: the file format has no layer of type {type(node).__name__}")


def _pack_synapses(synapses):
    out = {}
    for j, s in enumerate(synapses):
        out |= {f"synapse/{j}/source": _name(s.source), f"synapse/{j}/weight": (s.weight // WEIGHT_STEP).astype("i1")}
        if s.shift:
            out[f"synapse/{j}/shift"] = np.array(s.shift, "<i8")
    return out


@pack_node.register
def _(node: Cuba):
    return {
        "type": np.array("cuba", "S"),
        "i_decay": node.i_decay.astype("<i2"),
        "bias": node.bias.astype("<i2"),
        "v_decay": np.array(node.v_decay, "<i8"),
        "v_th": np.array(node.v_th, "<i8"),
        "frame_reset": np.array(node.frame_reset, "u1"),
        **_pack_synapses(node.synapses),
    }


@pack_node.register
def _(node: Readout):
    return {"type": np.array("readout", "S"), **_pack_synapses(node.synapses)}


def _pack_golden(g, message_bits):
    out = {
        "shape": np.array(g.stream.tokens.shape, "<i8"),
        "tokens": g.stream.tokens.ravel() if message_bits else np.packbits(g.stream.tokens.ravel()),
        "which": g.stream.which.astype("<i2"),
        "logits": g.logits.astype("<i8"),
    }
    for i, (name, value) in enumerate(g.hashes.items()):
        out[f"node/{i}/name"], out[f"node/{i}/sha256"] = _name(name), np.array(value, "S")
        if name in g.counts:
            out[f"node/{i}/count"] = np.array(g.counts[name], "<i8")
        if name in g.spikes:
            out[f"node/{i}/spikes"] = np.packbits(g.spikes[name].ravel())
    return out

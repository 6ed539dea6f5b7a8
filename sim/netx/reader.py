"""Makes a net of the arrays of the group `smolmamba`, trusting nothing: see docs/netx-format.md."""

import json
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..base.errors import UserError
from ..integer import DECAY_ONE, PIXEL_BITS, SHIFT_MAX, THRESHOLD_MAX, WEIGHT_STEP
from ..net import PHASE, Cuba, Dense, Input, Net, Readout
from ..net.tokens import Stream, checked, full
from .golden import Golden
from .stock import stock_layers
from .writer import DIGEST, NAME, ROOT, SCHEMA, digest

SIZE_LIMIT = 1 << 20  # bound on N, on T and on channels: far above any chip
SAMPLES_LIMIT = 1 << 16  # golden samples


def is_ours(content: dict) -> bool:
    """Whether `content`, as `sim.netx.hdf5.load` returns it, has our group."""
    return any(name.startswith(ROOT) for name in content)


def parse(content: dict, path: str | PathLike) -> tuple[Net, Golden | None, str]:
    """(net, golden or None, digest) of what `netx_hdf5.load` returned."""
    own = {name[len(ROOT) :]: value for name, value in content.items() if name.startswith(ROOT)}
    fields = Fields(own, path)
    schema = int(fields.take("schema", "i8", 0))
    if schema not in UNPACK:
        raise UserError(f"{path}: schema version {schema}, this program reads versions {min(UNPACK)} to {SCHEMA}")
    sha = fields.text(DIGEST)
    if sha != digest(own):
        raise UserError(
            f"{path}: content does not match its digest, the file was damaged or edited; export or copy it again"
        )
    try:
        net = UNPACK[schema](fields)
        golden = _unpack_golden(fields.under("golden/"), net, schema) if fields.has("golden/shape") else None
        fields.finish()
        _check_stock(content, net)
    except UserError as e:
        raise UserError(f"{path}: {str(e).removeprefix(f'{path}: ')}") from e
    return net, golden, sha


class Fields:
    """Arrays by path; each is taken once, with the type and rank that it must have.

    `finish` refuses what nobody took.
    """

    def __init__(self, arrays, file, prefix="", taken=None):
        self.arrays, self.file, self.prefix = arrays, file, prefix
        self.taken = set() if taken is None else taken

    def under(self, prefix: str) -> "Fields":
        return Fields(self.arrays, self.file, self.prefix + prefix, self.taken)

    def has(self, name: str) -> bool:
        return self.prefix + name in self.arrays

    def groups(self, name: str) -> list["Fields"]:
        """`Fields` for `name/0`, `name/1`, ...; what is numbered otherwise is left over and so refused by `finish`."""
        start = f"{self.prefix}{name}/"
        numbers = {k[len(start) :].split("/")[0] for k in self.arrays if k.startswith(start)}
        return [self.under(f"{name}/{i}/") for i in range(len(numbers))]

    def take(self, name: str, dtype: DTypeLike, ndim: int) -> np.ndarray:
        key = self.prefix + name
        if key not in self.arrays:
            raise UserError(f"{self.file}: {ROOT}{key}: missing")
        value, dtype = self.arrays[key], np.dtype(dtype)
        good = value.dtype.kind == dtype.kind and (dtype.kind == "S" or value.dtype.itemsize == dtype.itemsize)
        if not good or value.ndim != ndim:
            raise UserError(
                f"{self.file}: {ROOT}{key}: is {value.dtype} with {value.ndim} dimensions, expected {dtype.name} with"
                f" {ndim}"
            )
        if value.size == 0:
            raise UserError(f"{self.file}: {ROOT}{key}: has shape {value.shape}, expected at least one element")
        self.taken.add(key)
        return value

    def number(self, name: str, low: int, high: int) -> int:
        """One int64 in [low, high]."""
        value = int(self.take(name, "i8", 0))
        if not low <= value <= high:
            raise UserError(f"{self.file}: {ROOT}{self.prefix}{name}: is {value}, expected {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        value = int(self.take(name, "u1", 0))
        if value > 1:
            raise UserError(f"{self.file}: {ROOT}{self.prefix}{name}: is {value}, expected 0 or 1")
        return bool(value)

    def text(self, name: str) -> str:
        try:
            return bytes(self.take(name, "S", 0)[()]).decode("ascii")
        except UnicodeDecodeError as e:
            raise UserError(f"{self.file}: {ROOT}{self.prefix}{name}: is not ASCII text") from e

    def name(self, name: str) -> str:
        text = self.text(name)
        if not NAME.fullmatch(text):
            raise UserError(f"{self.file}: {ROOT}{self.prefix}{name}: {text[:100]!r} is not a name")
        return text

    def json(self, name: str, kind: type) -> Any:
        try:
            value = json.loads(self.text(name), parse_constant=_no_constant)
        except (ValueError, RecursionError) as e:
            raise UserError(f"{self.file}: {ROOT}{self.prefix}{name}: is not JSON ({e})") from e
        if not isinstance(value, kind):
            raise UserError(
                f"{self.file}: {ROOT}{self.prefix}{name}: is a JSON {type(value).__name__}, expected {kind.__name__}"
            )
        return value

    def finish(self) -> None:
        left = sorted(set(self.arrays) - self.taken)
        if left:
            raise UserError(f"{self.file}: {ROOT}{left[0]}: unknown content")


def _no_constant(text):
    raise ValueError(f"{text} is not allowed")


def _unpack(fields):
    return _net(
        fields,
        inputs=tuple(
            Input(
                f.name("name"),
                f.number("size", 1, SIZE_LIMIT),
                f.name("of"),
                f.flag("backward"),
                f.number("message_bits", 1, PIXEL_BITS) if f.has("message_bits") else 0,
            )
            for f in fields.groups("input")
        ),
        places=fields.number("places", 1, SIZE_LIMIT),
        orders=fields.take("orders", "i4", 2),
    )


def _unpack_1(fields):
    """Schema 1: all tokens are sent in the order of their numbers, and the phase is there without being named."""
    inputs = [
        Input(f.name("name"), f.number("size", 1, SIZE_LIMIT), backward=f.flag("backward"))
        for f in fields.groups("input")
    ]
    return _net(fields, inputs=(*inputs, Input(PHASE, fields.number("tokens", 1, SIZE_LIMIT), of=PHASE)))


def _net(fields, **more):
    classes = fields.json("classes", list)
    if not all(isinstance(c, str) for c in classes):
        raise UserError(f"{ROOT}classes: expected a list of names")
    return Net(
        nodes=tuple(_unpack_node(f) for f in fields.groups("node")),
        tokens=fields.number("tokens", 1, SIZE_LIMIT),
        frames=fields.number("frames", 1, SIZE_LIMIT),
        encoder=fields.json("encoder", dict),
        classes=tuple(classes),
        facts=fields.json("facts", dict),
        **more,
    )


UNPACK = {1: _unpack_1, SCHEMA: _unpack}  # by schema version


def _unpack_node(fields):
    kind = fields.text("type")
    if kind not in NODE_KINDS:
        raise UserError(
            f"{fields.file}: {ROOT}{fields.prefix}type: unknown layer type {kind[:40]!r}, expected one of"
            f" {', '.join(NODE_KINDS)}"
        )
    return NODE_KINDS[kind](fields)


def _unpack_synapses(fields):
    out = []
    for f in fields.groups("synapse"):
        weight = f.take("weight", "i1", 2).astype(np.int16)
        weight *= WEIGHT_STEP  # in place: a file may claim as much of them as it may
        shift = f.number("shift", 1, SHIFT_MAX) if f.has("shift") else 0
        out.append(Dense(f.name("source"), weight, shift))
    return tuple(out)


NODE_KINDS = {
    "cuba": lambda f: Cuba(
        f.name("name"),
        _unpack_synapses(f),
        f.take("i_decay", "i2", 1).astype(np.int32),
        f.take("bias", "i2", 1).astype(np.int32),
        f.number("v_decay", 0, DECAY_ONE),
        f.number("v_th", 0, THRESHOLD_MAX),
        f.flag("frame_reset"),
    ),
    "token_gate": lambda f: _gone(f, "a token gate that counts over frames"),
    "reverse": lambda f: _gone(f, "a reversal of frames inside the net"),
    "readout": lambda f: Readout(f.name("name"), _unpack_synapses(f)),
}


def _gone(fields, what):
    raise UserError(
        f"layer {fields.name('name')!r}: {what} is of release 0.1 and no longer run; train and export the net again, or"
        " run it with that release"
    )


def _unpack_golden(fields, net, schema):
    where = f"{ROOT}{fields.prefix}"
    shape = tuple(int(x) for x in fields.take("shape", "i8", 1))
    if len(shape) != 3 or shape[1:] != (net.steps, net.inputs[0].size) or not 1 <= shape[0] <= SAMPLES_LIMIT:
        raise UserError(f"{where}shape: is {shape}, expected [samples, {net.steps}, {net.inputs[0].size}]")
    tokens = _unpack_messages(fields, shape) if net.message_bits else _unpack_bits(fields, "tokens", shape)
    logits = fields.take("logits", "i8", 2)
    if logits.shape != (shape[0], net.nodes[-1].size):
        raise UserError(f"{where}logits: has shape {logits.shape}, expected ({shape[0]}, {net.nodes[-1].size})")
    counts, hashes, spikes = {}, {}, {}
    groups = fields.groups("node")
    if len(groups) != len(net.nodes):
        raise UserError(f"{where}node: has {len(groups)} entries, the net has {len(net.nodes)} layers")
    for f, node in zip(groups, net.nodes):
        name = f.name("name")
        if name != node.name:
            raise UserError(f"{ROOT}{f.prefix}name: is {name!r}, expected {node.name!r}")
        hashes[name] = f.text("sha256")
        if f.has("count"):
            counts[name] = f.number("count", 0, 1 << 60)
        if f.has("spikes"):
            spikes[name] = _unpack_bits(f, "spikes", (*shape[:2], node.size))
    stream = full(net, tokens) if schema == 1 else Stream(tokens, fields.take("which", "i2", 2))
    return Golden(checked(net, stream), logits, counts, hashes, spikes)


def _unpack_messages(fields, shape) -> np.ndarray:
    values, count = fields.take("tokens", "u1", 1), int(np.prod(shape, dtype=object))
    if values.size != count:
        where = f"{fields.file}: {ROOT}{fields.prefix}tokens"
        raise UserError(f"{where}: has {values.size} messages, expected {count} for shape {shape}")
    return values.reshape(shape)


def _unpack_bits(fields, name, shape):
    packed = fields.take(name, "u1", 1)
    count = int(np.prod(shape, dtype=object))
    if packed.size != (count + 7) // 8:
        raise UserError(
            f"{fields.file}: {ROOT}{fields.prefix}{name}: has {packed.size} bytes, expected {(count + 7) // 8} for"
            f" shape {shape}"
        )
    return np.unpackbits(packed, count=count).reshape(shape)


def _check_stock(content, net):
    """What stands outside our group must be what the net says in netx's words, nothing more and nothing less."""
    found = {name: value for name, value in content.items() if not name.startswith(ROOT)}
    expected = stock_layers(net)
    for name in sorted(found.keys() | expected.keys()):
        if name not in expected:
            raise UserError(f"{name}: unexpected, this net has no such entry in netx's words")
        if name not in found:
            raise UserError(f"{name}: missing")
        value = np.array(expected[name], "S") if isinstance(expected[name], str) else expected[name]
        same = (
            found[name].dtype.kind == value.dtype.kind
            and found[name].shape == value.shape
            and np.array_equal(found[name], value)
        )
        if not same:
            raise UserError(f"{name}: contradicts {ROOT[:-1]!r}, the file was edited; export it again")

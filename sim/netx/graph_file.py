"""A graph of layers (`sim.sequential.graph`) as a file: the group `graph`, see docs/netx-format.md."""

from os import PathLike

import numpy as np

from ..base.errors import UserError
from ..base.memory import NEURONS_LIMIT
from ..integer import BIAS_MAX, BIAS_MIN, DECAY_ONE, MAX_DELAY
from ..sequential import THRESHOLD_NEVER, ConvLayer, DenseLayer, InputLayer, Neuron
from ..sequential.graph import Edge, Graph, Node
from . import hdf5

ROOT, VERSION = "graph/", 1
TEXT_LIMIT = 4096


def write(net: Graph, path: str | PathLike) -> None:
    """Writes a graph, atomically.

    Raises:
        UserError: the folder cannot be written.
    """
    content = {
        "version": np.array(VERSION, "<i8"),
        "output": _text(net.output),
        "notes": _text("\n".join(net.notes)),
        "input/name": _text(net.input.name),
        "input/shape": np.array(net.input.shape, "<i8"),
    }
    for i, node in enumerate(net.nodes):
        here, neuron = f"node/{i}/", node.neuron
        content[f"{here}name"] = _text(node.name)
        for key in ("i_decay", "bias"):
            content[f"{here}{key}"] = getattr(neuron, key).astype("<i4")
        content[f"{here}v_decay"] = np.array(neuron.v_decay, "<i8")
        content[f"{here}v_th"] = np.array(neuron.v_th, "<i8")
        for k, edge in enumerate(node.edges):
            content |= {f"{here}edge/{k}/{key}": value for key, value in _edge(edge).items()}
    hdf5.save(path, {ROOT + key: value for key, value in content.items()})


def _text(value):
    return np.array(value.encode(), "S")


def _edge(edge):
    layer = edge.layer
    out = dict(source=_text(edge.source), delay=np.array(edge.delay, "<i8"), weight=layer.weight.astype("<i2"))
    if isinstance(layer, ConvLayer):
        for key in ("stride", "padding", "dilation", "in_shape"):
            out[key] = np.array(getattr(layer, key), "<i8")
        out["groups"] = np.array(layer.groups, "<i8")
        if not layer.plain:  # a file without them is read by earlier releases, too
            out |= {key: np.array(getattr(layer, key), "<i8") for key in ("spread", "overhang")}
    return out


def is_graph(content: dict) -> bool:
    """Whether a file's arrays are a graph's."""
    return ROOT + "version" in content


def parse(content: dict, path: str | PathLike) -> Graph:
    """The graph of a file's arrays.

    Raises:
        UserError: something missing, of another type, size or range, unknown; names the file and the entry.
    """
    fields = _Fields(content, path)
    version = fields.number("version", 0, 1 << 30)
    if version != VERSION:
        raise UserError(f"{path}: {ROOT}version: is {version}, expected {VERSION}")
    try:
        entry = InputLayer(fields.text("input/name"), fields.sizes("input/shape"))
        nodes = tuple(_node(fields, f"node/{i}/") for i in range(fields.count("node/")))
        notes = tuple(line for line in fields.text("notes").split("\n") if line)
        net = Graph(entry, nodes, fields.text("output"), notes)
    except UserError as e:
        raise UserError(f"{path}: {str(e).removeprefix(f'{path}: ')}") from e
    fields.finish()
    return net


def _node(fields, here):
    name = fields.text(f"{here}name")
    neuron = Neuron(
        fields.integers(f"{here}i_decay", 1, 0, DECAY_ONE).astype(np.int32),
        fields.number(f"{here}v_decay", 0, DECAY_ONE),
        fields.number(f"{here}v_th", 0, THRESHOLD_NEVER),
        fields.integers(f"{here}bias", 1, BIAS_MIN, BIAS_MAX).astype(np.int32),
    )
    edges = []
    for k in range(fields.count(f"{here}edge/")):
        at = f"{here}edge/{k}/"
        conv = fields.has(f"{at}groups")
        weight = fields.integers(f"{at}weight", 4 if conv else 2, -256, 254, np.int16)
        layer = _conv(fields, at, name, weight, neuron) if conv else DenseLayer(name, weight, neuron)
        edges.append(Edge(fields.text(f"{at}source"), layer, fields.number(f"{at}delay", 0, MAX_DELAY)))
    return Node(name, tuple(edges))


def _conv(fields, at, name, weight, neuron):
    more, low = {}, 0
    if fields.has(f"{at}spread"):  # padding may be negative then, see `ConvLayer`
        more, low = {key: fields.sizes(f"{at}{key}", 2, 0) for key in ("spread", "overhang")}, -NEURONS_LIMIT
    stride, dilation = (fields.sizes(f"{at}{key}", 2, 0) for key in ("stride", "dilation"))
    padding, groups = fields.sizes(f"{at}padding", 2, low), fields.number(f"{at}groups", 1, NEURONS_LIMIT)
    in_shape = fields.sizes(f"{at}in_shape", 3)
    return ConvLayer(name, weight, neuron, stride, padding, dilation, groups, in_shape, **more)


class _Fields:
    """The entries of the group, each taken once."""

    def __init__(self, content, path):
        self._arrays, self._path, self._taken = content, path, set()

    def _take(self, key, kinds, ndim):
        value = self._arrays.get(ROOT + key)
        if value is None or value.dtype.kind not in kinds or value.ndim != ndim:
            found = "missing" if value is None else f"{value.dtype} {value.shape}"
            raise UserError(f"{self._path}: {ROOT}{key}: is {found}, expected {ndim} dimensions of {kinds}")
        self._taken.add(ROOT + key)
        return value

    def has(self, key):
        return ROOT + key in self._arrays

    def count(self, prefix):
        """Groups `prefix0`, `prefix1`, ... without gaps."""
        start = ROOT + prefix
        found = {key[len(start) :].split("/")[0] for key in self._arrays if key.startswith(start)}
        if found != {str(i) for i in range(len(found))}:
            raise UserError(f"{self._path}: {start}: is numbered {sorted(found)[:9]}, expected 0 to {len(found) - 1}")
        return len(found)

    def text(self, key):
        value = bytes(self._take(key, "S", 0)[()])
        text = value.decode("utf-8", "replace") if len(value) <= TEXT_LIMIT * (key == "notes") + 200 else ""
        if not all(c.isprintable() or c == "\n" and key == "notes" for c in text) or (not text and key != "notes"):
            raise UserError(f"{self._path}: {ROOT}{key}: expected a printable text of at most 200 bytes")
        return text

    def integers(self, key, ndim, low, high, dtype=np.int64):
        value = self._take(key, "iu", ndim)
        if value.size == 0 or int(value.min()) < low or int(value.max()) > high:
            raise UserError(f"{self._path}: {ROOT}{key}: expected integers from {low} to {high}")
        return value.astype(dtype)

    def number(self, key, low, high):
        return int(self.integers(key, 0, low, high))

    def sizes(self, key, n=None, low=1):
        value = self.integers(key, 1, low, NEURONS_LIMIT)
        if (n is not None and value.size != n) or value.size > 8 or int(np.prod(value.astype(object))) > NEURONS_LIMIT:
            raise UserError(f"{self._path}: {ROOT}{key}: is {value.tolist()[:9]}, expected {n or 'a few'} sizes")
        return tuple(int(x) for x in value)

    def finish(self):
        left = sorted(set(self._arrays) - self._taken)
        if left:
            raise UserError(f"{self._path}: {left[0]}: unknown content")

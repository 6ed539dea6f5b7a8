"""A NIR graph as one flat graph: graphs inside it put in their place, names and edges checked."""

from dataclasses import dataclass
from typing import Any

from sim.base.errors import UserError

from .files import library

DEPTH_LIMIT = 16
ENDS = ("Input", "Output")


@dataclass(frozen=True, eq=False)
class Flat:
    """Nodes without graphs among them.

    Attributes:
        nodes: name -> NIR node; a node of an inner graph is named `graph.node`, inner inputs and outputs pass on what
            they get.
        sources: name -> names of the nodes that it adds up, each once.
        inputs: names of the outer graph's inputs, at least one. output: of its output.
        notes: what was changed, one line each.
    """

    nodes: dict
    sources: dict
    inputs: tuple
    output: str
    notes: tuple


def kind(node: Any) -> str:
    """The word that NIR has for it."""
    return type(node).__name__


def unfold(graph: Any) -> Flat:
    """Flattens an `nir.NIRGraph`.

    Raises:
        UserError: an edge to nowhere, no or several outputs, an inner graph without one input and one output, a node on
            no way from an input to the output.
    """
    nodes, edges, notes = {}, [], []
    _collect(graph, "", nodes, edges, notes, 0)
    sources = {name: [] for name in nodes}
    for a, b in edges:
        if a in sources[b]:
            notes.append(f"the edge from {a!r} to {b!r} stands in the graph twice and counts once")
        else:
            sources[b].append(a)
    tops = {end: [name for name, node in graph.nodes.items() if kind(node) == end] for end in ENDS}
    if not tops["Input"]:
        raise UserError("graph: has 0 Input nodes, expected one")
    if len(tops["Output"]) != 1:
        raise UserError(f"graph: has {len(tops['Output'])} Output nodes, expected one")
    flat = Flat(nodes, {k: tuple(v) for k, v in sources.items()}, tuple(tops["Input"]), tops["Output"][0], tuple(notes))
    _require_connected(flat)
    return flat


def _collect(graph, prefix, nodes, edges, notes, depth):
    if depth > DEPTH_LIMIT:
        raise UserError(f"node {prefix[:80]!r}: graphs inside graphs, more than {DEPTH_LIMIT} deep")
    inner = {}
    for name, node in graph.nodes.items():
        if not isinstance(node, library().NIRGraph):
            nodes[prefix + name] = node
            continue
        ends = [[n for n, x in node.nodes.items() if kind(x) == end] for end in ENDS]
        for end, found in zip(ENDS, ends):
            if len(found) != 1:
                raise UserError(f"node {prefix + name!r}: the graph inside has {len(found)} {end} nodes, expected one")
        inner[name] = [f"{prefix}{name}.{found[0]}" for found in ends]
        _collect(node, f"{prefix}{name}.", nodes, edges, notes, depth + 1)
    for edge in graph.edges:
        a, b = str(edge[0]), str(edge[1])
        for name in (a, b):
            if name not in graph.nodes:
                raise UserError(f"graph: an edge leads to {prefix + name!r}, which is not there")
        edges.append((inner[a][1] if a in inner else prefix + a, inner[b][0] if b in inner else prefix + b))


def _require_connected(flat):
    for name in flat.inputs:
        if flat.sources[name]:
            raise UserError(f"node {name!r}: an Input with an edge into it")
    targets = {name: [] for name in flat.nodes}
    for name, found in flat.sources.items():
        for source in found:
            targets[source].append(name)
    if targets[flat.output]:
        raise UserError(f"node {flat.output!r}: an Output with an edge out of it")
    lost = set(flat.nodes) - (_reached(flat.inputs, targets) & _reached([flat.output], flat.sources))
    if lost:
        name = min(lost)
        raise UserError(f"node {name!r}: is on no way from the graph's input to its output")


def _reached(names, onward):
    seen, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += onward[name]
    return seen

"""A flat NIR graph as populations of neurons with linear maps between them, in real numbers."""

from dataclasses import dataclass, replace

import numpy as np

from sim.base.errors import UserError

from .linear import STATELESS, follow
from .maps import Kernel, identity, settled
from .neurons import NEURONS, READOUTS, Dynamics, decay, dynamics, memoryless
from .unfold import Flat, kind
from .values import shape_of

PATHS_LIMIT = 4096


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one node.

    Attributes:
        name: of the node; of the graph's output, where no neuron makes it.
        where: for messages about weights: the node before.
        edges: (name of a population or an input, `Map`) pairs.
    """

    name: str
    where: str
    shape: tuple
    edges: tuple
    dynamics: Dynamics


def populations(flat: Flat, dt: float) -> tuple:
    """(input name -> shape, populations in order: edges that do not close a loop come from earlier ones, name of the
    population whose output is the graph's).

    Raises:
        UserError: a node that means nothing on the chip, shapes that do not fit; names the node.
    """
    _require_known(flat)
    output = _output(flat)
    ways = {name: _ways(flat, name) for name in _targets(flat, output)}
    shapes = {name: shape_of(flat.nodes[name].output_type["output"], name) for name in flat.inputs}
    order = _order(flat.inputs, ways)
    for name in order:
        shapes[name] = _shape(flat, name, ways[name], shapes, dt)
    made = []
    for name in order:
        edges, shapes[name] = _edges(flat, name, ways[name], shapes, dt)
        where = ways[name][0][1][-1] if ways[name][0][1] else name
        made.append(_population(flat, name, where, shapes[name], edges, dt))
    inputs = {name: _as_taken(name, shapes[name], made) for name in flat.inputs}
    stated = shape_of(flat.nodes[flat.output].output_type["output"], flat.output)
    if int(np.prod(stated)) != int(np.prod(shapes[output])):
        raise UserError(f"node {flat.output!r}: says {stated}, the node before gives {shapes[output]}")
    return inputs, tuple(made), output


def _require_known(flat):
    for name, node in flat.nodes.items():
        if kind(node) not in STATELESS and kind(node) not in NEURONS:
            raise UserError(
                f"node {name!r}: a {kind(node)} means nothing on the chip; expected {', '.join((*STATELESS, *NEURONS))}"
            )


def _spikes(flat, name):
    """Whether a node sends spikes: an input or a neuron, but no integrator."""
    return name in flat.inputs or (kind(flat.nodes[name]) in NEURONS and kind(flat.nodes[name]) not in READOUTS)


def _output(flat):
    """The neuron node whose output is the graph's, or the graph's output itself."""
    name = flat.output
    while True:
        before = flat.sources[name]
        if len(before) != 1 or before[0] in flat.inputs:
            return flat.output
        name = before[0]
        node = flat.nodes[name]
        if kind(node) in NEURONS:
            return name
        if kind(node) not in ("Input", "Output", "Flatten"):
            return flat.output


def _targets(flat, output):
    found = [name for name in flat.nodes if name not in flat.inputs and _spikes(flat, name)]
    return [*found, output] if output not in found else found


def _ways(flat, target):
    """[(source that spikes, names of the nodes between)] of everything that adds up at `target`."""
    out, todo = [], [(name, ()) for name in reversed(flat.sources[target])]
    while todo:
        name, after = todo.pop()
        if _spikes(flat, name):
            out.append((name, after))
            continue
        if name in after:
            raise UserError(f"node {name!r}: stands in a loop without neurons")
        if kind(flat.nodes[name]) in ("CubaLI", "I"):
            raise UserError(
                f"node {name!r}: a {kind(flat.nodes[name])} sends values and not spikes; only the graph's output can"
                " take them"
            )
        todo += [(source, (name, *after)) for source in reversed(flat.sources[name])]
        if len(out) + len(todo) > PATHS_LIMIT:
            raise UserError(f"node {target!r}: more than {PATHS_LIMIT} ways lead there")
    if not out:
        raise UserError(f"node {target!r}: nothing leads there")
    return out


def _order(inputs, ways):
    """Names of the targets, sources first but for edges that close a loop: a search from the inputs, depth first."""
    onward = {name: [] for name in (*inputs, *ways)}
    for target, found in ways.items():
        for source, _ in found:
            if target not in onward[source]:
                onward[source].append(target)
    done, seen = [], set()
    for first in inputs:
        stack = [(first, iter(onward[first]))]
        seen.add(first)
        while stack:
            name, rest = stack[-1]
            following = next((n for n in rest if n not in seen), None)
            if following is None:
                done.append(stack.pop()[0])
            else:
                seen.add(following)
                stack.append((following, iter(onward[following])))
    return [name for name in reversed(done) if name in ways]


def _map(flat, way, shape, dt):
    m = identity(shape)
    for name in way:
        m = follow(m, flat.nodes[name], name, dt)
    return m


def _shape(flat, name, ways, shapes, dt):
    """The shape that the ways from known sources give a population."""
    source, way = next((w for w in ways if w[0] in shapes), (None, None))
    if source is None:
        raise UserError(f"node {name!r}: is not reached from the input")
    shape = _map(flat, way, shapes[source], dt).shape
    size = max((np.asarray(v).size for v in vars(flat.nodes[name]).values() if isinstance(v, np.ndarray)), default=1)
    if kind(flat.nodes[name]) in NEURONS and size not in (1, int(np.prod(shape)), shape[0]):
        own = next(np.shape(v) for v in vars(flat.nodes[name]).values() if np.size(v) == size)
        raise UserError(f"node {name!r}: has shape {own}, {_made_by(way, source)} {shape}")
    return shape


def _made_by(way, source):
    return f"the weights {way[-1]!r} make" if way else f"{source!r} before it has"


def _edges(flat, name, ways, shapes, dt):
    """((source, `Map`) pairs, shape), two-dimensional shapes with a third where a convolution made them so."""
    edges, shape = [], shapes[name]
    for source, way in ways:
        m = settled(_map(flat, way, shapes[source], dt), way[-1] if way else name)
        if int(np.prod(m.shape)) != int(np.prod(shape)):
            raise UserError(f"node {name!r}: has shape {shape}, {_made_by(way, source)} {m.shape}")
        shape = m.shape if m.kernel is not None else shape
        edges.append((source, m))
    edges = [(source, replace(_kept_apart(m, shape), shape=shape)) for source, m in edges]
    return _together(edges), shape


def _kept_apart(m, shape):
    """An edge alone between images as a kernel of one place for each channel, not as a matrix."""
    if m.scale is None or len(shape) != 3 or m.before != shape:
        return m
    each = m.scale.reshape(shape[0], -1)
    if (each != each[:, :1]).any():
        return m
    return replace(m, scale=None, kernel=Kernel(each[:, :1, None, None], (1, 1), (0, 0), shape[0]))


def _together(edges):
    """Edges from one source that are late alike, as one where their kernels or matrices let them."""
    out = []
    for source, m in edges:
        for k, (other, n) in enumerate(out):
            joined = _sum(m, n) if other == source else None
            if joined is not None:
                out[k] = source, joined
                break
        else:
            out.append((source, m))
    return tuple(out)


def _sum(m, n):
    if m.tau != n.tau or (m.delay != n.delay).any():
        return None
    if m.matrix is not None and n.matrix is not None:
        return replace(m, matrix=m.matrix + n.matrix, bias=m.bias + n.bias)
    if m.scale is not None and n.scale is not None:
        return replace(m, scale=m.scale + n.scale, bias=m.bias + n.bias)
    a, b = m.kernel, n.kernel
    if a is None or b is None or m.before != n.before or a.weight.shape != b.weight.shape:
        return None
    if (a.stride, a.padding, a.groups) != (b.stride, b.padding, b.groups):
        return None
    return replace(m, kernel=replace(a, weight=a.weight + b.weight), bias=m.bias + n.bias)


def _population(flat, name, where, shape, edges, dt):
    neurons = kind(flat.nodes[name]) in NEURONS
    d = dynamics(flat.nodes[name], name, shape, dt) if neurons else memoryless(shape)
    taus = {m.tau for _, m in edges}
    if taus != {None}:
        if len(taus) > 1:
            raise UserError(
                f"node {name!r}: its inputs pass leaky integrators with different tau; the chip has one current"
            )
        if (d.du != 1).any() or not neurons:
            raise UserError(f"node {name!r}: a leaky integrator before it and a current of its own; the chip has one")
        du = decay(np.full(d.du.shape, taus.pop()), dt, where, "tau")
        d = replace(d, du=du, gain=d.gain * du)
    return Population(name, where, shape, edges, d)


def _as_taken(name, shape, made):
    """An input's shape as the first convolution behind it takes it; a vector is a vector."""
    taken = {m.before for p in made for source, m in p.edges if source == name and m.kernel is not None}
    if len(taken) > 1:
        raise UserError(f"node {name!r}: is taken as {' and as '.join(map(str, sorted(taken)))}")
    if not taken and sum(size > 1 for size in shape) <= 1:
        return (int(np.prod(shape)),)
    return taken.pop() if taken else shape

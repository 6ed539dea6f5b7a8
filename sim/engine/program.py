"""A net as flat tables for the compiled loop, and how it runs: what `sim.engine.batch` and `sim.engine.session` share.

All nodes stand in a row: inputs, then the net's nodes. Each has a stretch of `A`, the row of all neurons: constants,
states, counts and spike lists are cut from arrays of that length, at `at`. A stretch is a multiple of 32 long; what
stands past a node's last neuron has no weights, no bias and never fires.
"""

from collections.abc import Sequence
from functools import singledispatch

import numba
import numpy as np

from ..integer import DECAY_ONE, STATE_SHIFT, graded_input
from ..net import PHASE, Cuba, Input, Net, Readout
from ..net.tokens import Stream, inputs
from .kernels import CUBA, INPUT, PHASE_LINES, READOUT, Program, Room, State, advance, threads_for
from .lanes import N16, N32

CHUNK = 64  # steps: the spike lists of a net of some thousand neurons stay in a second-level cache

# One row per node. width: size up to the next multiple of 32. Its synapses are the rows `first` to `end` of their
# table, from `sparse` on the sparse ones. backward: of an input, each frame is reversed. threshold: times 64. keep_v:
# 4096 - v_decay. graded: where its columns begin in what graded spikes
# bring (`Runner`), or -1. remembers: not all currents are forgotten at once.
_FIELDS = (
    "kind",
    "size",
    "width",
    "at",
    "first",
    "sparse",
    "end",
    "backward",
    "keep_v",
    "threshold",
    "reset_every",
    "remembers",
    "graded",
)
NODE = np.dtype([(name, np.int64) for name in _FIELDS])
# source: row in the table of nodes; at, stride: its `at` and `width`. weight: where what belongs to its first neuron
# stands, for a dense synapse in `weights`, a row of `width` per neuron; for a sparse one in `targets` and `amounts`,
# `fan_out` of them per neuron: what neuron of the node gets how much.
SYNAPSE = np.dtype([(name, np.int64) for name in ("source", "at", "stride", "weight", "fan_out")])


def build(net: Net) -> tuple[Program, dict[str, list[np.ndarray]]]:
    """(`Program` of a net; node name -> for each of its synapses int64 [m], how many weights that are not zero each
    source neuron has).
    """
    rows, constants, table, at, fan_outs = {}, [], _Synapses(), 0, {}
    graded, columns = {i.name for i in net.inputs if i.message_bits}, 0
    for node in (*net.inputs, *net.nodes):
        row = dict.fromkeys(_FIELDS, 0) | dict(at=at) | row_of(node, net)
        row["width"] = width = _up(row["size"], N16)
        synapses = getattr(node, "synapses", ())
        fan_outs[node.name] = [np.count_nonzero(s.weight, 0) for s in synapses]
        row["graded"] = columns if any(s.source in graded for s in synapses) else -1
        columns += row["size"] if row["graded"] >= 0 else 0
        synapses = [s for s in synapses if s.source not in graded]
        fans = [np.count_nonzero(s.weight, 0) for s in synapses]
        # A weight that is added by itself costs about as much as a row of 32 to 64: measured.
        sparse = [int(fan.max(initial=0)) * N16 <= len(s.weight) for s, fan in zip(synapses, fans)]
        row["first"] = len(table.rows)
        for s in (s for s, alone in zip(synapses, sparse) if not alone):
            table.dense(s.weight, width, list(rows).index(s.source), rows[s.source])
        row["sparse"] = len(table.rows)
        for s, fan in ((s, fan) for s, fan, alone in zip(synapses, fans, sparse) if alone):
            table.sparse(s.weight, int(fan.max(initial=0)), list(rows).index(s.source), rows[s.source])
        row["end"] = len(table.rows)
        constant = np.zeros((2, width), np.int32)
        if isinstance(node, Cuba):
            constant[:, : node.size] = DECAY_ONE - node.i_decay, node.bias << STATE_SHIFT
        constants.append(constant)
        rows[node.name] = row
        at += width
    keep_u, bias = np.concatenate(constants, 1)
    nodes = np.array([tuple(row[name] for name in _FIELDS) for row in rows.values()], NODE)
    return (
        Program(
            nodes,
            np.array(table.rows, SYNAPSE),
            np.concatenate(table.weights),
            np.concatenate(table.targets),
            np.concatenate(table.amounts),
            keep_u,
            bias,
            net.places,
        ),
        fan_outs,
    )


class _Synapses:
    """Collects the table of synapses and their weights."""

    def __init__(self):
        self.rows, self.weights, self.targets, self.amounts = (
            [],
            [np.zeros(0, np.int16)],
            [np.zeros(0, np.int32)],
            [np.zeros(0, np.int32)],
        )

    def dense(self, weight, width, number, source):
        self.rows.append((number, source["at"], source["width"], sum(map(len, self.weights)), 0))
        rows = np.zeros((weight.shape[1], width), np.int16)
        rows[:, : len(weight)] = weight.T
        self.weights.append(rows.ravel())

    def sparse(self, weight, fan_out, number, source):
        self.rows.append((number, source["at"], source["width"], sum(map(len, self.targets)), fan_out))
        # Where a neuron has fewer weights than others, weights of zero fill up.
        source_of, target = np.nonzero(weight.T)
        place = np.arange(len(target)) - np.searchsorted(source_of, source_of)
        targets, amounts = np.zeros((2, weight.shape[1], fan_out), np.int32)
        targets[source_of, place], amounts[source_of, place] = target, weight[target, source_of]
        self.targets.append(targets.ravel())
        self.amounts.append(amounts.ravel())


def _up(n, step):
    return -(-n // step) * step


@singledispatch
def row_of(node: Input | Cuba | Readout, net: Net) -> dict:
    """What the row of a node says besides where things are."""
    raise TypeError(type(node).__name__)


@row_of.register
def _(node: Input, net):
    return dict(kind=PHASE_LINES if node.of == PHASE else INPUT, size=node.size, backward=node.backward)


@row_of.register
def _(node: Cuba, net):
    return dict(
        kind=CUBA,
        size=node.size,
        keep_v=DECAY_ONE - node.v_decay,
        threshold=node.v_th << STATE_SHIFT,
        reset_every=net.places if node.frame_reset else 0,
        remembers=(node.i_decay != DECAY_ONE).any(),
    )


@row_of.register
def _(node: Readout, net):
    return dict(kind=READOUT, size=node.size)


class Runner:
    """A net ready to run on streams side by side, with their states.

    Attributes:
        net: the net.
        fan_outs: see `build`.
        state: `State` of all streams.
    """

    def __init__(self, net: Net):
        self.net = net
        self.program, self.fan_outs = build(net)
        self.names = [node.name for node in (*net.inputs, *net.nodes)]
        self._rows = dict(zip(self.names, self.program.nodes))
        self._room = None

    def start(self, batch: int) -> None:
        """All states of `batch` streams to zero."""
        nodes, neurons = len(self.names), len(self.program.bias)
        u, v, hits = np.zeros((3, batch, neurons), np.int32)
        self.state = State(u, v, hits, np.zeros((batch, nodes, 4), np.int64))

    def run(self, stream: Stream, trace: Sequence[str] | str = ()) -> dict:
        """Takes the streams on, over whole frames (`sim.net.tokens.checked`); counts and statistics start anew.

        Returns the traces: name -> uint8 [B, S, n], int32 for the read-out.
        """
        self.state.hits[:] = 0
        self.state.stats[:] = 0
        messages = inputs(self.net, stream) if self.net.message_bits else {}
        program, batch, steps = self.program, len(stream), stream.steps
        names = self.names if trace == "all" else list(dict.fromkeys(trace))
        places, total, last = np.full(len(self.names), -1, np.int64), 0, self.net.nodes[-1]
        for name in names:
            graded = name == last.name
            places[self.names.index(name)] = 0 if graded else total
            total += 0 if graded else batch * steps * self._rows[name]["size"]
        raster = np.zeros(total, np.uint8)
        graded = np.empty((batch, steps, last.size) if last.name in names else (0, 0, 0), np.int32)
        with threads_for(batch, batch * steps * len(program.bias)):
            advance(
                *program,
                *self._make_room(),
                *self.state,
                stream.tokens,
                stream.which,
                self._brought(stream, messages),
                places,
                raster,
                graded.reshape(-1),
            )
        shaped = lambda at, n: raster[at : at + batch * steps * n].reshape(batch, steps, n)  # noqa: E731
        traces = {
            name: graded if name == last.name else shaped(places[self.names.index(name)], self._rows[name]["size"])
            for name in names
        }
        return traces | {name: messages[name] for name in traces if name in messages}

    def _brought(self, stream, messages):
        """int32 [B, S, columns]: what graded spikes bring to each neuron that they reach; columns of the nodes as their
        rows say. messages: of `sim.net.tokens.inputs`; none where the net takes no graded spikes.
        """
        columns = []
        for node in self.net.nodes if messages else ():
            found = [
                graded_input(s.weight, messages[s.source], s.shift)
                for s in node.synapses
                if s.source in messages and self.net.node(s.source).message_bits
            ]
            columns += [sum(found[1:], found[0])] if found else []
        return np.concatenate(columns, 2) if columns else np.zeros((len(stream), 0, 0), np.int32)

    def _make_room(self):
        threads = numba.get_num_threads()
        if self._room is None or len(self._room.events) < threads:
            nodes, neurons, chunk = self.program.nodes, len(self.program.bias), CHUNK
            sources = max(
                (nodes["width"][self.program.synapses["source"][n["first"] : n["end"]]].sum() for n in nodes), default=0
            )
            self._room = Room(
                np.empty((threads, chunk * neurons), np.int32),
                np.empty((threads, len(nodes), chunk), np.int64),
                np.empty((threads, sources + N32), np.int32),
                np.empty((threads, nodes["width"].max()), np.int32),
                np.zeros((threads, 2 * N32), np.int32),
                np.zeros((threads, 2), np.int64),
                chunk,
            )
        return self._room

    def hits(self, name: str) -> np.ndarray:
        """int32 [B, n]: spikes of each neuron of a node or input in the last run."""
        row = self._rows[name]
        return self.state.hits[:, row["at"] : row["at"] + row["size"]]

    def stats(self, name: str) -> np.ndarray:
        """int64 [B, 4] of the last run, see `State`."""
        return self.state.stats[:, self.names.index(name)]

    def logits(self) -> np.ndarray:
        """int64 [B, classes], the read-out summed over the last run: a sum of weights is linear in the number of
        spikes.
        """
        synapses = self.net.nodes[-1].synapses
        return np.sum([self.hits(s.source).astype(np.int64) @ s.weight.T.astype(np.int64) for s in synapses], 0)

"""The net in chip time: every node advances by one step at once, sample after sample, the pipeline always full.

This is what the fused Lava process computes. It follows the same equations as `sim.engine` by another road: step by
step instead of node by node, states in int64, one stream of any length instead of a batch."""

from collections.abc import Sequence
from functools import singledispatch

import numpy as np

from .base.numba_cache import cached_njit
from .integer import DECAY_BITS, DECAY_ONE, STATE_LIMIT, STATE_SHIFT
from .net import Cuba, Net, Readout
from .net.schedule import edge_delays, latencies
from .net.tokens import Stream, checked, rows


class ChipTime:
    """All nodes of a net with their states and the spikes in flight between them.

    Attributes:
        net: the net.
        late: name -> latency in chip steps (`sim.net.schedule.latencies`).
        now: name -> what the node or input emits at the present chip step: uint8 [n], the read-out int32.
    """

    def __init__(self, net: Net):
        self.net, self.late = net, latencies(net)
        self.step_number = -1
        delays = edge_delays(net)
        depth = {i.name: 1 for i in net.inputs}
        self._cells = []
        for node in net.nodes:
            cell = make_cell(node, net, self.late[node.name], delays)
            self._cells.append(cell)
            depth[node.name] = 1
            for source, back in cell.reaches:
                depth[source] = max(depth.get(source, 1), back + 1)
        sizes = {i.name: i.size for i in net.inputs} | {n.name: n.size for n in net.nodes}
        self._history = {
            name: np.zeros((depth[name], size), np.int32 if name == net.nodes[-1].name else np.uint8)
            for name, size in sizes.items()
        }
        self.now = {}

    def spikes(self, name: str, back: int) -> np.ndarray:
        """What `name` emitted `back` chip steps ago."""
        history = self._history[name]
        return history[(self.step_number - back) % len(history)]

    def step(self, inputs: Sequence[np.ndarray]) -> None:
        """Advances by one chip step.

        Args:
            inputs: one row for each of `net.inputs`, in order: the spikes (0 or 1) or messages that the host sends at
                this step [C].
        """
        self.step_number += 1
        for i, row in zip(self.net.inputs, inputs):
            self.now[i.name] = self._emit(i.name, row)
        for cell in self._cells:  # in any order: a cell sees only what was emitted at earlier steps
            self.now[cell.name] = self._emit(cell.name, cell(self.step_number, self.spikes))

    def _emit(self, name, row):
        history = self._history[name]
        slot = history[self.step_number % len(history)]
        slot[:] = row
        return slot


def run(net: Net, stream: Stream | np.ndarray) -> dict:
    """Samples one after the other without a gap, as the fused Lava process runs them.

    Args:
        net: the net.
        stream: as for `sim.engine.run`.

    Returns:
        node name -> [B, T*K, n] in stream time: uint8 spikes, int32 read-out.
    """
    stream, chip = checked(net, stream), ChipTime(net)
    ends = np.cumsum([i.size for i in net.inputs])
    sent = rows(net, stream).reshape(-1, ends[-1])
    n, late = len(sent), {node.name: chip.late[node.name] for node in net.nodes}
    idle = np.zeros_like(sent[0])
    out = {node.name: np.empty((n, node.size), np.int32 if node is net.nodes[-1] else np.uint8) for node in net.nodes}
    for step in range(n + max(late.values())):
        chip.step(np.split(sent[step] if step < n else idle, ends[:-1]))
        for name, lag in late.items():
            if 0 <= step - lag < n:
                out[name][step - lag] = chip.now[name]
    return {name: x.reshape(len(stream), net.steps, -1) for name, x in out.items()}


@singledispatch
def make_cell(node: Cuba | Readout, net: Net, late: int, delays: dict) -> "_CubaCell | _ReadoutCell":
    """A callable `(step number, spikes) -> output row` with a `name` and `reaches`: (source, how many steps back it
    looks) pairs.
    """
    raise TypeError(type(node).__name__)


class _Synapses:
    """Dendritic input of one node, in weight units, from spikes of the past; each synapse takes one step, plus the
    edge's delay.
    """

    def __init__(self, node, delays):
        # Every row of a transposed matrix is what one spike adds.
        self.size = node.size
        self.dense = [
            (s.source, 1 + delays[s.source, node.name], np.ascontiguousarray(s.weight.T, np.int64), s.shift)
            for s in node.synapses
        ]
        self.reaches = [(source, back) for source, back, _, _ in self.dense]

    def __call__(self, spikes):
        a = np.zeros(self.size, np.int64)
        for source, back, weights, shift in self.dense:
            if shift:
                total = np.zeros(self.size, np.int64)
                _add_rows(total, weights, spikes(source, back))
                a += total >> shift
            else:
                _add_rows(a, weights, spikes(source, back))
        return a


class _CubaCell:
    def __init__(self, node, net, late, delays):
        self.name, self.late = node.name, late
        self.input = _Synapses(node, delays)
        self.reaches = self.input.reaches
        self.period = net.places if node.frame_reset else net.steps
        self.u, self.v = np.zeros((2, node.size), np.int64)
        self.out = np.zeros(node.size, np.uint8)
        self.constants = (
            DECAY_ONE - node.i_decay.astype(np.int64),
            DECAY_ONE - node.v_decay,
            node.bias.astype(np.int64) << STATE_SHIFT,
            node.v_th << STATE_SHIFT,
        )

    def __call__(self, step, spikes):
        if (step - self.late) % self.period == 0:
            self.u[:] = 0
            self.v[:] = 0
        _cuba_step(self.u, self.v, self.input(spikes), *self.constants, self.out)
        return self.out


class _ReadoutCell:
    def __init__(self, node, net, late, delays):
        self.name, self.input = node.name, _Synapses(node, delays)
        self.reaches = self.input.reaches

    def __call__(self, step, spikes):
        return self.input(spikes)


@make_cell.register
def _(node: Cuba, net, late, delays):
    return _CubaCell(node, net, late, delays)


@make_cell.register
def _(node: Readout, net, late, delays):
    return _ReadoutCell(node, net, late, delays)


@cached_njit()
def _add_rows(a, weights, spikes):
    for i in range(spikes.shape[0]):
        if spikes[i]:
            for j in range(a.shape[0]):
                a[j] += weights[i, j] * spikes[i]


@cached_njit()
def _cuba_step(u, v, a, keep_u, keep_v, bias, v_th, out):
    """`sim.integer.cuba_step` in place; `keep_*` is 4096 - decay, `bias` and `v_th` come times 64."""
    for j in range(u.shape[0]):
        x = (abs(u[j]) * keep_u[j]) >> DECAY_BITS
        x = (x if u[j] >= 0 else -x) + (a[j] << STATE_SHIFT)
        if x > STATE_LIMIT:
            x -= 2 * STATE_LIMIT
        elif x <= -STATE_LIMIT:
            x += 2 * STATE_LIMIT
        u[j] = x
        y = (abs(v[j]) * keep_v) >> DECAY_BITS
        y = min(max((y if v[j] >= 0 else -y) + x + bias[j], 1 - STATE_LIMIT), STATE_LIMIT - 1)
        s = y > v_th
        v[j] = 0 if s else y
        out[j] = s

"""The stock expansion of a net (`sim.expansion`) as stock Lava processes, the ones that have counterparts on the chip.
Imports Lava: `compat.apply()` must have run.

Lava counts time steps from 1, so chip step c is Lava's time step c + 1. Every synapse process hands on at step c what
it received at step c - 1.

Before a neuron's first step of a sample its inputs are what the previous sample, or nothing at all, left in the
pipeline. Neurons with a state are `LIFReset`, reset exactly at that step; all others forget at once.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from lava.proc.dense.process import DelayDense
from lava.proc.dense.process import Dense as LavaDense
from lava.proc.graded.process import GradedVec
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from ..expansion import CUBA, READOUT, RELAY, Expansion
from ..expansion.weights import values
from ..integer import MESSAGE_BITS, STATE_SHIFT, WEIGHT_STEP


@dataclass(frozen=True, eq=False)
class Tap:
    """Where neurons leave: the layer's neurons `index` are at `columns` of `port`."""

    port: Any
    columns: np.ndarray
    index: np.ndarray


@dataclass(frozen=True, eq=False)
class Graph:
    """What was built.

    Attributes:
        neurons: population name -> its process.
        synapses: the processes of `Expansion.projections`, in that order.
        others: processes that stand for nothing in the expansion.
        outputs: layer or input name -> tuple of `Tap`s.
    """

    neurons: dict
    synapses: tuple
    others: tuple
    outputs: dict

    @property
    def processes(self) -> list:
        return [*self.neurons.values(), *self.synapses, *self.others]


def render(expansion: Expansion, inputs, lead: int = 0) -> Graph:
    """Builds the processes of an expansion.

    Args:
        expansion: of a `sim.net.Net`.
        inputs: an object with `.connect(in_port)` and `.shape`, the port that brings the spikes of all lines of the
            host, one behind the other.
        lead: steps that the host's spikes need to reach this port.
    """
    neurons = {p.name: NEURONS[p.kind](p, lead) for p in expansion.populations}
    taps, base = {}, 0
    for line in expansion.lines:
        taps[line.name] = Tap(inputs, base + line.index, line.index)
        base += line.n
    for p in expansion.populations:
        taps[p.name] = Tap(neurons[p.name].s_out, np.arange(p.n), p.index)
    synapses = tuple(_synapse(j, taps[j.source], neurons[j.target].a_in) for j in expansion.projections)
    others: tuple = ()
    if not any(j.source == line.name for line in expansion.lines for j in expansion.projections):
        # Nothing depends on the host; but Lava takes no graph in two pieces, so its spikes must at least arrive.
        target = neurons[expansion.readout]
        others = (Sparse(weights=csr_matrix((*target.a_in.shape, base), dtype=np.int32), sign_mode=SignMode.MIXED),)
        inputs.connect(others[0].s_in)
        others[0].a_out.connect(target.a_in)
    outputs = {name: tuple(taps[p.name] for p in parts) for name, parts in expansion.outputs.items()}
    return Graph(neurons, synapses, others, outputs)


def _lif(population, lead):
    constants: dict[str, Any] = dict(
        shape=(population.n,),
        du=int(population.i_decay[0]) - 1,  # a process has one decay; Lava's is one less
        dv=population.v_decay,
        vth=population.v_th,
        bias_mant=population.bias.astype(np.int32),
        bias_exp=STATE_SHIFT,
    )
    if population.reset is None:
        return LIF(**constants)
    period = population.reset.period
    offset = (population.reset.offset + lead + 1) % period
    return LIFReset(reset_interval=period, reset_offset=offset, **constants)


def _graded(population, lead):
    return GradedVec(shape=(population.n,), vth=0)


NEURONS = {CUBA: _lif, RELAY: _lif, READOUT: _graded}


def _synapse(projection, tap, target):
    """The process of a projection, connected."""
    bits = MESSAGE_BITS if projection.graded else 0
    options: dict[str, Any] = dict(
        sign_mode=_sign(projection.weight), weight_exp=projection.exponent, num_message_bits=bits
    )
    synapse = synapses(projection.weight, projection.delay, tap, options)
    tap.port.connect(synapse.s_in)
    synapse.a_out.connect(target)
    return synapse


def _sign(weight):
    """Synapses of both signs have even weights; odd ones must be of one."""
    stored = values(weight)
    if not (stored % WEIGHT_STEP).any():
        return SignMode.MIXED
    return SignMode.EXCITATORY if stored.min() >= 0 else SignMode.INHIBITORY


@singledispatch
def synapses(weight, delay, tap: Tap, options: dict) -> Any:
    """The process that multiplies with `weight`, as wide as the port of the tap."""
    raise TypeError(type(weight).__name__)


@synapses.register
def _(weight: np.ndarray, delay, tap, options):
    weights = _wide(weight, tap)
    if not np.any(delay):
        return LavaDense(weights=weights, **options)
    return DelayDense(
        weights=weights,
        delays=_wide(np.broadcast_to(delay, weight.shape), tap) if np.ndim(delay) else int(delay),
        **options,
    )


def _wide(matrix, tap):
    wide = np.zeros((matrix.shape[0], *tap.port.shape), int)
    wide[:, tap.columns] = matrix
    return wide


@synapses.register(csr_matrix)
def _(weight, delay, tap, options):
    entries = weight.tocoo()
    place, shape = (entries.row, tap.columns[entries.col]), (weight.shape[0], *tap.port.shape)
    weights = csr_matrix((entries.data.astype(np.int32), place), shape)
    if not np.any(delay):
        return Sparse(weights=weights, **options)
    delays = np.broadcast_to(delay, weight.shape)[entries.row, entries.col].astype(int)
    late = csr_matrix((delays, place), shape)
    late.eliminate_zeros()  # Lava takes a synapse that is not in this matrix for one without delay
    return DelaySparse(weights=weights, delays=late, **options)

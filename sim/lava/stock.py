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
from lava.proc.rf.process import RF
from lava.proc.rf_iz.process import RF_IZ
from lava.proc.sdn.process import Delta, Sigma, SigmaDelta
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from ..expansion import CUBA, DELTA, READOUT, RELAY, RESONATOR, SIGMA, SIGMA_DELTA, Expansion, Kernel
from ..expansion.weights import values
from ..integer import DECAY_BITS, MESSAGE_BITS, STATE_SHIFT, WEIGHT_STEP
from . import convolution


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
        synapses: the processes of `Expansion.projections`, in that order, without those that the host injects.
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


def render(expansion: Expansion, inputs: Any, lead: int = 0) -> Graph:
    """Builds the processes of an expansion.

    Args:
        expansion: of any net.
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
    synapses = []
    for j in expansion.projections:
        process = neurons[j.target]
        target = process.a_imag_in if j.imaginary else process.a_real_in if isinstance(process, RF) else process.a_in
        if j.injected:  # the only line, and as wide as its neurons
            inputs.connect(target)
        else:
            synapses.append(_synapse(j, taps[j.source], target))
    others: tuple = ()
    if expansion.readout and not any(j.source == line.name for line in expansion.lines for j in expansion.projections):
        # Nothing depends on the host; but Lava takes no graph in two pieces, so its spikes must at least arrive.
        target = neurons[expansion.readout]
        others = (Sparse(weights=csr_matrix((*target.a_in.shape, base), dtype=np.int32), sign_mode=SignMode.MIXED),)
        inputs.connect(others[0].s_in)
        others[0].a_out.connect(target.a_in)
    outputs = {name: tuple(taps[p.name] for p in parts) for name, parts in expansion.outputs.items()}
    return Graph(neurons, tuple(synapses), others, outputs)


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


def _delta(p, lead):
    return Delta(shape=(p.n,), vth=p.v_th, spike_exp=p.spike_exp, state_exp=p.state_exp)


def _sigma_delta(p, lead):
    bias = p.bias.astype(np.int32)
    return SigmaDelta(shape=(p.n,), vth=p.v_th, bias=bias, spike_exp=p.spike_exp, state_exp=p.state_exp)


def _sigma(population, lead):
    return Sigma(shape=(population.n,))


def _resonator(p, lead):
    """Lava calculates both decays from a period, in floating point; here the integers are known."""
    process = (RF_IZ if p.resets else RF)(
        shape=(p.n,), period=4, alpha=0, vth=p.v_th, state_exp=STATE_SHIFT, decay_bits=DECAY_BITS
    )
    process.sin_decay.init, process.cos_decay.init = (np.int32(values[0]) for values in p.turn)  # pyright: ignore[reportAttributeAccessIssue]
    return process


NEURONS = {
    CUBA: _lif,
    RELAY: _lif,
    READOUT: _graded,
    DELTA: _delta,
    SIGMA_DELTA: _sigma_delta,
    SIGMA: _sigma,
    RESONATOR: _resonator,
}


def _synapse(projection, tap, target):
    """The process of a projection, connected."""
    weight, exponent = projection.weight, projection.exponent
    if projection.loss and not np.any(projection.delay):  # see `Projection.loss`
        dense = weight.toarray() if isinstance(weight, csr_matrix) else weight
        weight, exponent = dense.astype(np.int32) << projection.loss, exponent - projection.loss
    options: dict[str, Any] = dict(
        sign_mode=_sign(weight), weight_exp=exponent, num_message_bits=MESSAGE_BITS if projection.graded else 0
    )
    synapse, sums = synapses(weight, projection.delay, tap, options)
    sums.connect(target)
    return synapse


def _sign(weight):
    """Synapses of both signs have even weights; odd ones must be of one."""
    stored = values(weight)
    if not (stored % WEIGHT_STEP).any():
        return SignMode.MIXED
    return SignMode.EXCITATORY if stored.min() >= 0 else SignMode.INHIBITORY


@singledispatch
def synapses(weight: Any, delay: Any, tap: Tap, options: dict) -> Any:
    """(the process that multiplies with `weight`, connected to the port of the tap; the port of its sums)."""
    raise TypeError(type(weight).__name__)


@synapses.register
def _(weight: np.ndarray, delay, tap, options):
    weights = _wide(weight, tap)
    if not np.any(delay):
        return _behind(tap, LavaDense(weights=weights, **options))
    late = _wide(np.broadcast_to(delay, weight.shape), tap) if np.ndim(delay) else int(delay)
    return _behind(tap, DelayDense(weights=weights, delays=late, **options))


def _behind(tap, process):
    tap.port.connect(process.s_in)
    return process, process.a_out


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
        return _behind(tap, Sparse(weights=weights, **options))
    delays = np.broadcast_to(delay, weight.shape)[entries.row, entries.col].astype(int)
    late = csr_matrix((delays, place), shape)
    late.eliminate_zeros()  # Lava takes a synapse that is not in this matrix for one without delay
    return _behind(tap, DelaySparse(weights=weights, delays=late, **options))


@synapses.register
def _(weight: Kernel, delay, tap, options):
    # Lava's convolution has no delays, reads all of a population, and is no transposed one.
    if np.any(delay) or tap.port.shape != (weight.shape[1],) or not weight.plain:
        return synapses(weight.matrix(), delay, tap, options)
    return convolution.behind(tap.port, weight, options)

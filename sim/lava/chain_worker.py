"""The process in which Lava runs a chain of layers as stock processes; started by `sim.lava.chains`.

Every layer is one synapse process and its neurons, as netx makes them. Ports are vectors in Lava's order (x, y,
channel). Lava's convolution is told to do without torch, which would compute in float32, and to calculate sizes in
Python's integers, which numpy 2 needs.
"""

import sys
import time
from functools import singledispatch

import numpy as np

from sim.lava import compat

compat.apply()

from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.proc.conv import utils as conv_utils  # noqa: E402
from lava.proc.conv.process import Conv  # noqa: E402
from lava.proc.dense.process import DelayDense, Dense  # noqa: E402
from lava.proc.lif.process import LIFReset  # noqa: E402
from lava.proc.sdn.process import Delta as LavaDelta  # noqa: E402
from lava.proc.sdn.process import Sigma as LavaSigma  # noqa: E402
from lava.proc.sdn.process import SigmaDelta as LavaSigmaDelta  # noqa: E402
from lava.proc.sparse.process import DelaySparse  # noqa: E402
from lava.utils.weightutils import SignMode  # noqa: E402
from scipy.sparse import csr_matrix  # noqa: E402

from sim.base.errors import UserError  # noqa: E402
from sim.integer import MAX_DELAY, STATE_SHIFT  # noqa: E402
from sim.lava.chains import kept, to_lava  # noqa: E402
from sim.lava.processes.host import Sink, Source, gather  # noqa: E402
from sim.lava.threads import run_threads  # noqa: E402
from sim.lava.worker import run_lava, serve  # noqa: E402
from sim.sequential import ConvLayer, Delta, DenseLayer, FlattenLayer, InputLayer, Neuron, Sigma, SigmaDelta  # noqa: E402
from sim.sequential.running import per_neuron, taps_of  # noqa: E402
from sim.sequential.sigma_delta import loss_bits  # noqa: E402

MESSAGE_BITS = 24


class Built:
    """What a layer gives: `port` in its shape as Lava has it, (x, y, channel) or (n,), of neurons that send late by
    `delay` (int32, flat, in Lava's order) or None.
    """

    def __init__(self, port, delay=None, graded=False):
        self.port, self.delay, self.graded = port, delay, graded


def mend_conv():
    """See the module."""
    conv, conv_utils.TORCH_IS_AVAILABLE = conv_utils.conv, False
    pairs = lambda sizes: [int(v) for v in sizes]  # noqa: E731
    conv_utils.conv = lambda x, weight, kernel, stride, padding, dilation, groups: conv(
        x, weight, pairs(kernel), pairs(stride), pairs(padding), pairs(dilation), int(groups)
    )


def build(net, source, slot):
    """Layer name -> `Built`, for all layers that Lava runs."""
    out, before, lags = {}, Built(source), net.lags
    for layer in net.layers:
        before = render(layer, before, lags[layer.name], slot)
        if before is not None:
            out[layer.name] = before
    return out


@singledispatch
def render(layer, before: Built, late: int, slot) -> Built | None:
    """Adds the processes of a layer behind `before`; None for what the host does."""
    return None


@render.register
def _(layer: FlattenLayer, before, late, slot):
    if len(before.port.shape) == 1:
        return before
    shape = before.port.shape
    turn = lambda x: x.reshape(shape).transpose().ravel()  # noqa: E731
    delay = None if before.delay is None else turn(before.delay)
    return Built(before.port.transpose([2, 1, 0]).flatten(), delay, before.graded)


@render.register
def _(layer: InputLayer, before, late, slot):
    shape = tuple(reversed(layer.shape))
    port = before.port if len(shape) == 1 else before.port.reshape(shape)
    if layer.neuron is None:
        return Built(port)
    return _fire(layer, [(port, slice(None))], late, slot)


@render.register(DenseLayer)
@render.register(ConvLayer)
def _(layer, before, late, slot):
    delay = _delays(layer, before)
    return _fire(layer, connect(layer, before, delay), late, slot)


def _delays(layer, before):
    """int [n_out, n_in] or None, in Lava's order: what sources send late, and synapses add."""
    synapse = getattr(layer, "synapse_delay", None)
    if before.delay is None and synapse is None:
        return None
    n_out, n_in = int(np.prod(layer.shape)), int(np.prod(before.port.shape))
    total = np.zeros((n_out, n_in), np.int32) + (0 if before.delay is None else before.delay[None])
    total += 0 if synapse is None else synapse
    if total.max() > MAX_DELAY:
        raise UserError(f"{layer.name}: delays of axon and synapse add up to {total.max()}, Lava takes {MAX_DELAY}")
    return total


@singledispatch
def connect(layer, before: Built, delay: np.ndarray | None) -> list[tuple]:
    """Synapses behind `before`: a list of (what brings their sums, which of the layer's neurons they are for)."""
    raise TypeError(type(layer).__name__)


@connect.register
def _(layer: DenseLayer, before, delay):
    """A list, as neurons with several current decays are several processes."""
    groups = _decay_groups(layer)
    return [(_dense(layer.weight[rows], before, None if delay is None else delay[rows]), rows) for rows in groups]


def _decay_groups(layer):
    n = layer.shape[0]
    if layer.neuron.graded:
        return [np.arange(n)]
    decay = np.broadcast_to(layer.neuron.i_decay, n)
    return [np.flatnonzero(decay == d) for d in np.unique(decay)]


def _dense(weight, before, delay):
    options = dict(sign_mode=SignMode.MIXED, num_message_bits=MESSAGE_BITS if before.graded else 0)
    if delay is None:
        bits = loss_bits(weight) if before.graded else 0  # as netx has it
        synapse = Dense(weights=weight.astype(np.int32) << bits, weight_exp=-bits, **options)
    else:
        synapse = DelayDense(weights=weight.astype(np.int32), delays=delay.astype(int), max_delay=MAX_DELAY, **options)
    before.port.connect(synapse.s_in)
    return synapse.a_out


@connect.register
def _(layer: ConvLayer, before, delay):
    shape = tuple(reversed(layer.shape))
    if delay is not None:
        return [(_unrolled(layer, before, delay).reshape(shape), slice(None))]
    synapse = Conv(
        input_shape=tuple(reversed(layer.in_shape)),
        weight=layer.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1).astype(np.int32),
        stride=layer.stride[::-1],
        padding=layer.padding[::-1],
        dilation=layer.dilation[::-1],
        groups=layer.groups,
        num_message_bits=MESSAGE_BITS if before.graded else 0,
    )
    before.port.connect(synapse.s_in)
    return [(synapse.a_out, slice(None))]


def _unrolled(layer, before, delay):
    """A convolution whose sources send late, synapse by synapse: Lava's own has no delays."""
    (c_out, height, width), c_in = layer.shape, layer.weight.shape[1]
    rows, columns = taps_of(layer)
    each = np.zeros((c_out, height, width, *layer.in_shape), np.int32)
    for y, p in np.argwhere(rows >= 0):
        for z, q in np.argwhere(columns >= 0):
            for c in range(c_out):
                first = c // (c_out // layer.groups) * c_in
                each[c, rows[y, p], columns[z, q], first : first + c_in, y, z] = layer.weight[c, :, p, q]
    matrix = each.transpose(2, 1, 0, 5, 4, 3).reshape(delay.shape)
    late = np.where(matrix != 0, delay, 0)
    synapse = DelaySparse(
        weights=csr_matrix(matrix),
        delays=csr_matrix(late),
        max_delay=MAX_DELAY,
        sign_mode=SignMode.MIXED,
        num_message_bits=MESSAGE_BITS if before.graded else 0,
    )
    before.port.reshape((matrix.shape[1],)).connect(synapse.s_in)
    return synapse.a_out


def _fire(layer, sums, late, slot):
    """The neurons behind synapses."""
    made = [neurons(layer.neuron, layer, rows, late, slot) for _, rows in sums]
    for (port, _), process in zip(sums, made):
        port.connect(process.a_in)
    if len(made) == 1:
        port = made[0].s_out
    else:
        n = layer.shape[0]
        port, _ = gather([(p.s_out, slice(None), rows) for p, (_, rows) in zip(made, sums)], n)
    if getattr(layer, "recurrent", None) is not None:
        back = Built(port)
        for process, (_, rows) in zip(made, sums):
            _dense(layer.recurrent[rows], back, None).connect(process.a_in)
    axon, delay = getattr(layer, "axon_delay", None), None
    if axon is not None:
        delay = to_lava(per_neuron(axon, layer.shape).reshape(layer.shape), layer.shape)
    return Built(port, delay, layer.neuron.graded)


@singledispatch
def neurons(neuron, layer, rows, late, slot):
    """The process of a layer's neurons `rows`."""
    raise TypeError(type(neuron).__name__)


def _shape(layer, rows):
    return tuple(reversed(layer.shape)) if isinstance(rows, slice) else (len(rows),)


def _bias(layer, rows):
    bias = to_lava(per_neuron(layer.neuron.bias, layer.shape).reshape(layer.shape), layer.shape).astype(np.int32)
    return bias.reshape(tuple(reversed(layer.shape))) if isinstance(rows, slice) else bias[rows]


@neurons.register
def _(neuron: Neuron, layer, rows, late, slot):
    decay = neuron.i_decay if neuron.i_decay.size == 1 or isinstance(rows, slice) else neuron.i_decay[rows]
    return LIFReset(
        shape=_shape(layer, rows),
        du=int(decay[0]) - 1,
        dv=neuron.v_decay,
        vth=neuron.v_th,
        bias_mant=_bias(layer, rows),
        bias_exp=STATE_SHIFT,
        reset_interval=slot,
        reset_offset=(late + 1) % slot,
    )


@neurons.register
def _(neuron: Delta, layer, rows, late, slot):
    return LavaDelta(shape=_shape(layer, rows), vth=neuron.v_th, spike_exp=neuron.spike_exp, state_exp=neuron.state_exp)


@neurons.register
def _(neuron: SigmaDelta, layer, rows, late, slot):
    return LavaSigmaDelta(
        shape=_shape(layer, rows),
        vth=neuron.v_th,
        bias=_bias(layer, rows),
        spike_exp=neuron.spike_exp,
        state_exp=neuron.state_exp,
    )


@neurons.register
def _(neuron: Sigma, layer, rows, late, slot):
    return LavaSigma(shape=_shape(layer, rows))


def simulate(job, folder):
    """Builds and runs a job of `sim.lava.chains`; its report."""
    start = time.monotonic()
    mend_conv()
    net = job["net"]
    source = Source(file=f"{folder}/in.npy", size=int(np.prod(net.layers[0].shape)))
    built, parts, base = build(net, source.s_out, job["slot"]), [], 0
    for layer in kept(net):
        port, size = built[layer.name].port, int(np.prod(layer.shape))
        flat = port if len(port.shape) == 1 else port.flatten()
        parts.append((flat, slice(0, size), slice(base, base + size)))
        base += size
    sink = Sink(file=f"{folder}/out.npy", done=f"{folder}/done.npy", size=base)
    gather(parts, base)[0].connect(sink.a_in)
    executable = sink.compile(Loihi2SimCfg(select_tag="fixed_pt"))
    ready = time.monotonic()
    (run_threads if job["threads"] else run_lava)(executable, job["steps"])
    return dict(
        processes=len(executable.proc_builders), build_seconds=ready - start, run_seconds=time.monotonic() - ready
    )


if __name__ == "__main__":
    serve(sys.argv[1], simulate)

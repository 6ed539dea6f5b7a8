"""A net as one Lava process that stands in a user's own graph, as `lava.lib.dl.netx.hdf5.Network` does for a chain of
layers. Imports Lava: `compat.apply()` must have run.
"""

import sys
from dataclasses import dataclass

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from sim import netx
from sim.base.errors import UserError
from sim.expansion import RELAY, expand
from sim.lava.stock import render
from sim.net import Net
from sim.net.schedule import latencies

RECURSION = 20_000  # Lava's compiler goes from process to process by recursion


@dataclass(frozen=True, eq=False)
class Layer:
    """One end of a `Network`, with the names that netx gives its blocks.

    Attributes:
        name: of the input or node.
        shape: of its neurons.
        inp, out: the port at which it is reached or left; None where the net has none.
        neuron: the process of its neurons (tuple, where they take several); None for what the host sends.
        synapses: tuple of the processes that feed it.
    """

    name: str
    shape: tuple
    inp: object = None
    out: object = None
    neuron: object = None
    synapses: tuple = ()


class Network(AbstractProcess):
    """A net of ours as a process made of stock Lava processes (`LIF`, `LIFReset`, `Dense`, `Sparse`, their delayed
    forms, `GradedVec`), samples following one another without a gap.

    In-port `inp`: the spikes of all `net.inputs` of one time step, side by side (`smolmamba.rows` makes them from
    events), [sum of sizes]. Out-port `out`: the graded read-out, [classes], of stream step k at time step k + 1 +
    `latency`; the class of a sample is the argmax of the sum over its `steps`. Runs under `RunSteps` and
    `RunContinuous`, with `Loihi2SimCfg(select_tag="fixed_pt")`, as netx's.

    Args:
        net: `sim.net.Net`, or the path of a file of one.
        reset_offset: time steps by which the first row arrives late: 1 for each process on the way that holds it back.

    Attributes:
        net, steps (of a sample), latency, shape (of the input), input_shape, output_message_bits.
        in_layer, out_layer: the two ends, `Layer`; `layers` everything that the host sends, then the nodes.

    Raises:
        UserError: the file; a net of SLAYER's, which netx runs; a net that the chip's processes cannot express.
    """

    def __init__(self, net, reset_offset: int = 0):
        if not isinstance(net, Net):
            path, net = net, netx.load(net)
            if not isinstance(net, Net):
                raise UserError(f"{path}: a chain of layers exported by SLAYER; lava.lib.dl.netx.hdf5.Network runs it")
        if isinstance(reset_offset, bool) or not isinstance(reset_offset, int) or reset_offset < 0:
            raise UserError(f"reset_offset {reset_offset!r}: expected a number of time steps, 0 or more")
        super().__init__()
        sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION))
        self.net, self.reset_offset = net, reset_offset
        self.steps, self.latency = net.steps, latencies(net)[net.nodes[-1].name]
        self.inp = InPort(shape=(sum(i.size for i in net.inputs),))
        self.out = OutPort(shape=(net.nodes[-1].size,))
        self.input_shape = self.inp.shape
        expansion = expand(net, tuple(node.name for node in net.nodes))
        self.graph = render(expansion, self.inp, reset_offset)
        self.output_message_bits = 24
        self.graph.neurons[expansion.readout].s_out.connect(self.out)
        self.layers = self._layers(expansion)
        self.in_layer = Layer("input", self.inp.shape, inp=self.inp)
        self.out_layer = self.layers[-1]

    def _layers(self, expansion):
        hosts = [Layer(i.name, (i.size,), inp=self.inp) for i in self.net.inputs]
        made = {}
        for population in (p for p in expansion.populations if p.kind != RELAY):
            neurons, synapses = made.setdefault(population.layer, ([], []))
            neurons.append(self.graph.neurons[population.name])
            synapses += [s for j, s in zip(expansion.projections, self.graph.synapses) if j.target == population.name]
        nodes = []
        for node in self.net.nodes:
            neurons, synapses = made[node.name]
            last = self.out if node is self.net.nodes[-1] else None
            one = neurons[0] if len(neurons) == 1 else tuple(neurons)
            nodes.append(Layer(node.name, (node.size,), out=last, neuron=one, synapses=tuple(synapses)))
        return [*hosts, *nodes]

    def __len__(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def __str__(self) -> str:
        return "\n".join(f"{layer.name:16s} {'x'.join(map(str, layer.shape))}" for layer in self.layers)


@implements(proc=Network, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyNetworkModel(AbstractSubProcessModel):
    """Everything is made where the process is, so that it can be reached from there."""

    def __init__(self, proc):
        for i, process in enumerate(proc.graph.processes):  # Lava finds sub-processes among the attributes
            setattr(self, f"process_{i}", process)

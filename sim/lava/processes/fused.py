"""A whole net as one Lava process, with two models: one that computes it at once, one that is made of stock
processes.
"""

# Lava puts ports and arrays where its classes declare something else, or nothing.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportCallIssue=false, reportOptionalSubscript=false

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from sim.chiptime import ChipTime
from sim.expansion import expand
from sim.lava.processes.host import gather
from sim.lava.stock import render


class FusedNet(AbstractProcess):
    """A net in chip time: sample after sample, T*K steps each, without a gap.

    In-port `s_in`: spikes of all `net.inputs`, one behind the other. Out-ports: `y_out`, the graded read-out; `trace`,
    the spikes of the nodes named in
    `trace`, one behind the other (one zero if there are none). Node l's output for stream step k leaves at chip step k
    + its latency.

    Args:
        net: `sim.net.Net`.
        trace: names of nodes, not of the read-out.
    """

    def __init__(self, *, net, trace=()):
        super().__init__(net=net, trace=tuple(trace))
        self.s_in = InPort(shape=(sum(i.size for i in net.inputs),))
        self.y_out = OutPort(shape=(net.nodes[-1].size,))
        self.trace = OutPort(shape=(max(1, sum(net.node(name).size for name in trace)),))


@implements(proc=FusedNet, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "fused")
class PyFusedNetModel(PyLoihiProcessModel):
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    y_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    trace: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        net = proc_params["net"]
        self.names = proc_params["trace"]
        self.pipeline = ChipTime(net)
        self.readout = net.nodes[-1].name
        self.ends = np.cumsum([i.size for i in net.inputs])[:-1]

    def run_spk(self) -> None:
        self.pipeline.step(np.split(self.s_in.recv(), self.ends))
        now = self.pipeline.now
        self.y_out.send(now[self.readout])
        self.trace.send(
            np.concatenate([now[name] for name in self.names]).astype(np.int32) if self.names else np.zeros(1, np.int32)
        )


@implements(proc=FusedNet, protocol=LoihiProtocol)
@tag("fixed_pt", "stock")
class SubFusedNetModel(AbstractSubProcessModel):
    """The expansion of `sim.lava.stock`. Only the probes (`Collect`) are not stock; without a trace there are none."""

    def __init__(self, proc):
        net, trace = proc.proc_params["net"], proc.proc_params["trace"]
        graph = render(expand(net, trace), proc.in_ports.s_in)
        graph.outputs[net.nodes[-1].name][0].port.connect(proc.out_ports.y_out)
        processes = graph.processes
        if trace:
            parts, base = [], 0
            for name in trace:
                parts += [(t.port, t.columns, t.index + base) for t in graph.outputs[name]]
                base += net.node(name).size
            port, probes = gather(parts, base)
            port.connect(proc.out_ports.trace)
            processes += probes
        for i, process in enumerate(processes):  # Lava finds sub-processes among the attributes
            setattr(self, f"process_{i}", process)

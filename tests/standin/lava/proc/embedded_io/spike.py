"""Test double of the spike adapters, see tests/standin/README.md. Delays in steps are taken from the environment:
STANDIN_THERE, STANDIN_BACK; if STANDIN_LOSE is "width:step:neuron", the adapter of that width loses that spike on its
way back."""

import os
from collections import deque

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.run_configs import Loihi2HwCfg
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


def select(self, process, proc_models):
    """The double's chip: Lava's bit-accurate models, and no reset that is not a power of two."""
    interval = process.proc_params.get("reset_interval")
    if interval is not None and interval & (interval - 1):
        raise ValueError(f"reset_interval {interval} is not a power of two")
    exact = [m for m in proc_models if "fixed_pt" in m.tags] or proc_models
    return super(Loihi2HwCfg, self).select(process, exact)


Loihi2HwCfg.select = select


class _Adapter(AbstractProcess):
    def __init__(self, *, shape, num_message_bits=0):
        super().__init__(shape=shape, num_message_bits=num_message_bits)
        self.inp, self.out = InPort(shape=shape), OutPort(shape=shape)


class PyToNxAdapter(_Adapter):
    pass


class NxToPyAdapter(_Adapter):
    pass


class _Late(PyLoihiProcessModel):
    inp: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        shape = proc_params["shape"]
        self.waiting = deque(np.zeros(shape, np.int32) for _ in range(int(os.environ.get(self.variable, "0"))))
        self.bits = proc_params["num_message_bits"] or 1
        width, *self.lost = (int(x) for x in os.environ.get("STANDIN_LOSE", "-1:0:0").split(":"))
        if (width,) != shape or self.variable != "STANDIN_BACK":
            self.lost = [-1, 0]

    def run_spk(self):
        row = self.inp.recv() & ((1 << self.bits) - 1)
        if self.time_step - 1 == self.lost[0]:
            row[self.lost[1]] ^= 1
        self.waiting.append(row)
        self.out.send(self.waiting.popleft())


@implements(proc=PyToNxAdapter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyPyToNxModel(_Late):
    variable = "STANDIN_THERE"


@implements(proc=NxToPyAdapter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyNxToPyModel(_Late):
    variable = "STANDIN_BACK"

"""What the host does around the chip: sends spikes in, collects what comes out. Rows travel through .npy files,
memory-mapped, row c at chip step c.
"""

# Lava puts ports and arrays where its classes declare something else, or nothing.
# pyright: reportAssignmentType=false, reportOptionalSubscript=false

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

PORTS = 16


class Source(AbstractProcess):
    """Sends the rows of an array in a file, one a step, then zeros.

    Args:
        file: .npy, integers [steps, n].
        size: n.
    """

    def __init__(self, *, file, size):
        super().__init__(file=file)
        self.s_out = OutPort(shape=(size,))


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySourceModel(PyLoihiProcessModel):
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.rows = np.load(proc_params["file"], mmap_mode="r")

    def run_spk(self) -> None:
        step = self.time_step - 1
        row = self.rows[step] if step < len(self.rows) else np.zeros(self.rows.shape[1])
        self.s_out.send(row.astype(np.int32))


class Sink(AbstractProcess):
    """Writes what it receives into an array in a file.

    Args:
        file: .npy, existing, integers [steps, n]; rows beyond it are dropped.
        done: .npy, existing, integer [1]: the number of steps done is written to it.
        size: n.
    """

    def __init__(self, *, file, done, size):
        super().__init__(file=file, done=done)
        self.a_in = InPort(shape=(size,))


@implements(proc=Sink, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySinkModel(PyLoihiProcessModel):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.rows, self.done = (np.load(proc_params[file], mmap_mode="r+") for file in ("file", "done"))

    def run_spk(self) -> None:
        row = self.a_in.recv()
        if self.time_step <= len(self.rows):
            self.rows[self.time_step - 1] = row
        self.done[0] = self.time_step


class Collect(AbstractProcess):
    """Probe: puts up to `PORTS` vectors into one, in the same step.

    Args:
        parts: list of (size of in-port `in_<i>`, columns to take of it, places in the result to put them).
        size: of the result.
    """

    def __init__(self, *, parts, size):
        super().__init__(parts=parts, size=size)
        for i in range(PORTS):
            setattr(self, f"in_{i}", InPort(shape=(parts[i][0] if i < len(parts) else 1,)))
        self.s_out = OutPort(shape=(size,))


@implements(proc=Collect, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyCollectModel(PyLoihiProcessModel):
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    for _i in range(PORTS):  # Lava wants its ports as class attributes
        locals()[f"in_{_i}"] = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.parts, self.size = proc_params["parts"], proc_params["size"]

    def run_spk(self) -> None:
        row = np.zeros(self.size, np.int32)
        for i, (_, columns, places) in enumerate(self.parts):
            row[places] = getattr(self, f"in_{i}").recv()[columns]
        self.s_out.send(row)


def gather(parts: list[tuple], size: int) -> tuple[Any, list]:
    """Joins vectors into one, in the same step, by as many `Collect`s as it takes.

    Args:
        parts: list of (out-port, columns to take of it, places in the result to put them); columns and places are
            slices or index arrays.
        size: of the result.

    Returns:
        (out-port of shape [size], list of the processes that were made)
    """
    made = []
    while len(parts) > 1 or parts[0][0].shape != (size,):
        now, parts = parts[:PORTS], parts[PORTS:]
        probe = Collect(parts=[(port.shape[0], columns, places) for port, columns, places in now], size=size)
        for i, (port, _, _) in enumerate(now):
            port.connect(getattr(probe, f"in_{i}"))
        filled = np.concatenate([np.arange(size)[places] for _, _, places in now])
        parts.append((probe.s_out, filled, filled))
        made.append(probe)
    return parts[0][0], made

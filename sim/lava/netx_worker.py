"""Runs stock lava-dl netx in Lava's CPU simulator, as a program of its own: nothing of Lava can then hang or outlive
its caller.

    python -m sim.lava.netx_worker NET IN.npz OUT.npz

IN holds `x`, integers [K, *shape], axes as in the file (x, y, channel): values for the file's first layer, or, where
`skip` is 1, spikes for the layer after it; `layers`, how many of the file's layers there are; `reset`, steps after
which neurons are reset, 0 for never. OUT gets `out_<i>`, [K, ...], what block i of netx sent, in stream time;
`seconds`, from the first step to the last; `steps`.
"""

# Lava's blocks have attributes that their classes do not declare.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import os
import sys
import time
import traceback

import numpy as np

from sim.base import forks
from sim.lava import parent


def main(path: str, given: str, result: str) -> None:
    from sim.lava import compat

    compat.apply()
    from sim.lava import convolution

    convolution.mend()
    from lava.lib.dl.netx.hdf5 import Network
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io

    with np.load(given) as file:
        x, layers, skip, reset = file["x"], int(file["layers"]), int(file["skip"]), int(file["reset"])
    # A net that begins in weights has an input layer for us that the file has not.
    net = Network(
        path,
        num_layers=layers,
        skip_layers=skip,
        input_shape=x.shape[1:] if skip else None,
        reset_interval=reset or None,
        reset_offset=1,
    )
    lags = np.cumsum([hasattr(block, "synapse") for block in net.layers])
    steps = len(x) + int(lags[-1])
    # netx never closes a sink's stream: what is recorded is as long as the run.
    data = np.pad(np.moveaxis(x, 0, -1), (*[(0, 0)] * (x.ndim - 1), (0, int(lags[-1])))).astype(int)
    source = io.source.RingBuffer(data=data)
    first = net.layers[0]
    source.s_out.connect(first.inp if hasattr(first, "synapse") else first.neuron.a_in)
    sinks = [io.sink.RingBuffer(shape=block.out.shape, buffer=steps) for block in net.layers]
    for block, sink in zip(net.layers, sinks):
        block.out.connect(sink.a_in)
    config = Loihi2SimCfg(select_tag="fixed_pt")
    net.run(condition=RunSteps(num_steps=1), run_cfg=config)  # start-up and the first step
    start = time.perf_counter()
    net.run(condition=RunSteps(num_steps=steps - 1), run_cfg=config)
    seconds = time.perf_counter() - start
    found = {
        f"out_{i}": np.moveaxis(sink.data.get(), -1, 0)[lag : lag + len(x)].astype(np.int64)
        for i, (sink, lag) in enumerate(zip(sinks, lags))
    }
    np.savez(result, **found, seconds=seconds * steps / (steps - 1), steps=steps)
    net.stop()


if __name__ == "__main__":
    forks.end_with_this_process()
    parent.attend(os.path.dirname(sys.argv[2]), with_job=False)
    try:
        main(*sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # Lava's processes would be waited for, for ever; who started this program ends them

"""Runs stock lava-dl netx in Lava's CPU simulator, as a program of its own: nothing of Lava can then hang or outlive
the benchmark.

    python -m bench.netx_worker NET IN.npz OUT.npz

IN holds `x`, int [K, *shape] spikes for the layer after the first, axes as in the file (x, y, channel), and `layers`,
how many of the file's layers there are. OUT gets `last` and `before`, the spikes [K, ...] of the last layer and of the
one before it, and `seconds`, from the first step to the last."""

import os
import sys
import time
import traceback

import numpy as np


def mend_conv():
    """Lava holds the sizes of a convolution in int8 and adds them to the picture's, which numpy 2 does in int8, too,
    and overflows; give it Python's integers.
    """
    from lava.proc.conv import utils

    conv = utils.conv

    def mended(x, weight, kernel_size, stride, padding, dilation, groups):
        return conv(
            x, weight, *([int(v) for v in size] for size in (kernel_size, stride, padding, dilation)), int(groups)
        )

    utils.conv = mended


def main(path, given, result):
    from sim.lava import compat

    compat.apply()
    mend_conv()
    from lava.lib.dl.netx.hdf5 import Network
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io

    with np.load(given) as file:
        x, layers = file["x"], int(file["layers"])
    net = Network(
        path, num_layers=layers, skip_layers=1, input_shape=x.shape[1:], reset_interval=len(x), reset_offset=1
    )
    lag = sum(1 for layer in net.layers if hasattr(layer, "synapse"))
    steps = len(x) + lag
    data = np.pad(np.moveaxis(x, 0, -1), (*[(0, 0)] * (x.ndim - 1), (0, lag))).astype(int)
    before = net.layers[-2]
    source, last, inner = (
        io.source.RingBuffer(data=data),
        *(io.sink.RingBuffer(shape=port.shape, buffer=steps) for port in (net.out, before.out)),
    )
    source.s_out.connect(net.inp)
    net.out.connect(last.a_in)
    before.out.connect(inner.a_in)
    net.run(condition=RunSteps(num_steps=1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))  # start-up and the first step
    start = time.perf_counter()
    net.run(condition=RunSteps(num_steps=steps - 1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    seconds = time.perf_counter() - start
    # What a layer answers at stream step k stands at k + its lag.
    cut = lambda sink, late: np.moveaxis(sink.data.get(), -1, 0)[late : late + len(x)].astype(np.int64)  # noqa: E731
    np.savez(
        result, last=cut(last, lag), before=cut(inner, lag - 1), seconds=seconds * steps / (steps - 1), steps=steps
    )
    net.stop()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # Lava's processes would be waited for, for ever; who started this program ends them

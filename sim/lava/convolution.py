"""Lava's convolution as a process between vectors. Imports Lava: `compat.apply()` must have run."""

# Lava declares tuples and needs lists.
# pyright: reportArgumentType=false

from typing import Any

from lava.proc.conv import utils
from lava.proc.conv.process import Conv

from ..expansion import Kernel


def mend() -> None:
    """Has Lava's convolution do without torch, which would compute in float32, and calculate sizes in Python's
    integers, which numpy 2 needs.
    """
    conv, utils.TORCH_IS_AVAILABLE = utils.conv, False
    pairs = lambda sizes: [int(v) for v in sizes]  # noqa: E731
    utils.conv = lambda x, weight, kernel, stride, padding, dilation, groups: conv(
        x, weight, pairs(kernel), pairs(stride), pairs(padding), pairs(dilation), int(groups)
    )


def behind(port: Any, kernel: Kernel, options: dict) -> tuple:
    """(the process, connected; the port of its sums): vectors in the order channel, row, column, which Lava has as x,
    y, channel in between.

    Args:
        port: out-port [sources].
        options: of Lava's synapses. The sign is left to it: it knows none but from the weights themselves.
    """
    process = Conv(
        input_shape=tuple(reversed(kernel.in_shape)),
        weight=kernel.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1).astype("int32"),
        stride=kernel.stride[::-1],
        padding=kernel.padding[::-1],
        dilation=kernel.dilation[::-1],
        groups=kernel.groups,
        num_message_bits=options["num_message_bits"],
    )
    port.reshape(kernel.in_shape).transpose([2, 1, 0]).connect(process.s_in)
    return process, process.a_out.transpose([2, 1, 0]).flatten()

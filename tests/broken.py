"""A net that fails inside the simulator on purpose, in a way of one's choice.

The worker imports this module when it unpickles one.
"""

import os
import time
from dataclasses import dataclass

import numpy as np

from sim.chiptime import make_cell
from sim.net import TOKENS, Cuba, Dense, Input, Net, Readout

STEP = 5  # at which it happens


@dataclass(frozen=True, eq=False)
class Broken(Readout):
    """A read-out that fails: `build` while the model is built, else in a step, by `raise`, `die` or `hang`."""

    how: str = "raise"


@make_cell.register
def _(node: Broken, net, late, delays):
    if node.how == "build":
        raise ValueError("broken on purpose, while building")

    def cell(step, spikes):
        if step == STEP:
            _FAIL[node.how]()
        return np.zeros(node.size, np.int32)

    cell.name, cell.reaches = node.name, []
    return cell


def _raise():
    raise ValueError("broken on purpose, in a step")


_FAIL = {"raise": _raise, "die": lambda: os._exit(3), "hang": lambda: time.sleep(10_000)}


def broken_net(how):
    one = np.full((2, 2), 64, np.int16)
    cuba = Cuba("n", (Dense(TOKENS, one),), np.full(2, 4096, np.int32), np.zeros(2, np.int32), 4096, 3)
    return Net((cuba, Broken("out", (Dense("n", one),), how)), (Input(TOKENS, 2),), 4, 4)


def broken_tokens(net):
    return np.ones((1, net.steps, net.inputs[0].size), np.uint8)

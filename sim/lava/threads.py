"""Runs what Lava's compiler made as threads of one process: the same process models, other channels, no step-by-step
synchronization.

Lava's runtime gives each model an operating-system process and waits for all of them at every step. The models
themselves only send and receive, and a synapse sends before it receives, so letting each run as far as its inputs reach
gives the same values. tests/sim/test_lava_runs.py checks that."""

import queue
import threading
import traceback
from typing import Any

import numpy as np

ROUND = 64  # steps after which all wait for the slowest, so that what is in flight stays small


class ModelFailed(Exception):
    """A process model raised or died; the text is its traceback."""


class _Port:
    """One end of a channel, with the part of a CSP port's interface that Python ports use."""

    def __init__(self, name, channel, shape, d_type):
        self.name, self._channel, self._shape, self._d_type = name, channel, shape, d_type

    def send(self, data):
        if data.shape != self._shape:
            raise AssertionError(f"sent {data.shape} through a port of shape {self._shape}")
        self._channel.put(np.array(data, self._d_type))  # as the shared memory of Lava's channels converts

    def recv(self):
        data = self._channel.get()
        if data is None:
            raise _Stopped
        return data


class _Stopped(Exception):
    pass


def run_threads(executable: Any, steps: int) -> None:
    """Runs a compiled net for `steps` steps.

    Raises:
        ModelFailed: a process model raised.
    """
    from lava.magma.core.process.ports.ports import create_port_id  # the caller has applied `compat`

    channels = []
    for c in executable.channel_builders:
        channel = queue.SimpleQueue()
        channels.append(channel)
        source, target = c.src_port_initializer, c.dst_port_initializer
        executable.proc_builders[c.src_process].set_csp_ports(
            [_Port(source.name, channel, source.shape, source.d_type)]
        )
        into, arriving = (
            executable.proc_builders[c.dst_process],
            _Port(target.name, channel, source.shape, source.d_type),
        )
        into.set_csp_ports([arriving])
        # Ports that reshape what they get know by this from whom it is.
        into.add_csp_port_mapping(create_port_id(c.src_process.id, source.name), arriving)
    models = [builder.build() for builder in executable.proc_builders.values()]
    errors, round_done = [], threading.Barrier(len(models))

    def loop(model):
        try:
            for step in range(1, steps + 1):
                model.time_step = step
                model.run_spk()
                if step % ROUND == 0:
                    round_done.wait()
        except (_Stopped, threading.BrokenBarrierError):
            pass
        except Exception:
            errors.append(traceback.format_exc())
            round_done.abort()
            for channel in channels:
                channel.put(None)

    threads = [threading.Thread(target=loop, args=(m,), daemon=True) for m in models]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise ModelFailed(errors[0])

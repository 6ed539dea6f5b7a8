"""Runs a file in stock lava-dl netx, from outside, for comparison. netx has its own reading of some files: `refusal`
says where it cannot be compared.
"""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..base import scratch
from ..netx.stock import packs
from ..sequential import AverageLayer, ConvLayer, DenseLayer, FlattenLayer, Neuron, Resonator, Sequential
from .simulate import SimulationError

LIMIT_S = 900
ROOT = Path(__file__).resolve().parents[2]


def installed() -> bool:
    """Whether lava-dl is there."""
    return find_spec("lava") is not None and find_spec("lava.lib") is not None and find_spec("lava.lib.dl") is not None


def refusal(net: Sequential) -> str | None:
    """Why netx reads a net otherwise than it was trained, one line, or None."""
    for layer in net.layers:
        neuron, axon = getattr(layer, "neuron", None), getattr(layer, "axon_delay", None)
        if isinstance(neuron, Resonator):
            return f"{layer.name}: netx calculates the turn of resonators anew, from a period, in floating point"
        late = axon is not None and axon.any()
        if isinstance(neuron, Neuron) and np.unique(neuron.i_decay).size > 1:
            return f"{layer.name}: several current decays, netx knows one"
        if late and isinstance(layer, ConvLayer):
            return f"{layer.name}: netx leaves out delays of convolutions"
        if late and getattr(layer, "recurrent", None) is not None:
            return f"{layer.name}: netx delays the recurrent synapses too"
        if late and getattr(neuron, "bias", np.zeros(1)).any():
            return f"{layer.name}: netx delays what biased neurons get, not what they send"
        if isinstance(layer, DenseLayer) and not packs(layer.weight):
            return f"{layer.name}: netx packs its weights wrongly (all zero, or none positive and a power of two)"
    return None


def run_netx(
    path: str | Path, net: Sequential, x: np.ndarray, first: np.ndarray, timeout_s: float = LIMIT_S
) -> tuple[dict, float, int]:
    """(layer name -> int64 [K, *shape] in stream time, seconds, steps) of the layers that netx has, for one sample.

    Args:
        path: the file. x: [K, *input shape]. first: uint8 [K, *input shape], what a CUBA input layer sends: netx does
            not compile these, so that it begins behind it.

    Raises:
        SimulationError: netx fails, with what it said.
    """
    skip = isinstance(net.layers[0].neuron, Neuron)
    blocks = [layer for layer in net.layers if not isinstance(layer, FlattenLayer | AverageLayer)]
    blocks = blocks[1:] if skip or net.layers[0].neuron is None else blocks
    # A file that begins in weights has no group for the input.
    layers = sum(not isinstance(layer, AverageLayer) for layer in net.layers) - (net.layers[0].name == "input")
    rows = first if skip else x
    shape = net.layers[0].shape
    with scratch.folder("netx") as folder:
        given, result = Path(folder, "in.npz"), Path(folder, "out.npz")
        turned = to_lava(np.asarray(rows, np.int64), shape).reshape(len(rows), *reversed(shape))
        np.savez(given, x=turned, layers=layers, skip=int(skip), reset=0 if net.graded else len(rows))
        _program([sys.executable, "-m", "sim.lava.netx_worker", str(path), str(given), str(result)], folder, timeout_s)
        if not result.is_file():
            raise SimulationError("netx wrote no result")
        with np.load(result) as found:
            out = {
                layer.name: from_lava(found[f"out_{i}"].reshape(len(rows), -1), layer.shape)
                for i, layer in enumerate(blocks)
            }
            return out, float(found["seconds"]), int(found["steps"])


def _program(command, folder, timeout_s):
    """Runs it in a session of its own, which ends with this process and whatever happens here."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in paths if p))
    log = Path(folder, "log")
    with open(log, "wb") as out:
        worker = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    assert worker.stdin is not None  # a pipe, as asked for
    try:
        worker.wait(timeout_s)
    except subprocess.TimeoutExpired as e:
        raise SimulationError(f"netx was ended after {timeout_s:g} s") from e
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        worker.stdin.close()
    if worker.returncode:
        said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        raise SimulationError(f"netx ended with an error: {said[-1][-300:]}")  # the last line of a traceback says it


def to_lava(x: np.ndarray, shape: tuple) -> np.ndarray:
    """[..., *shape] as rows in Lava's order: x, y, channel."""
    lead = x.shape[: x.ndim - len(shape)]
    axes = (*range(len(lead)), *(len(lead) + i for i in reversed(range(len(shape)))))
    return x.transpose(axes).reshape(*lead, int(np.prod(shape)))


def from_lava(rows: np.ndarray, shape: tuple) -> np.ndarray:
    """The reverse of `to_lava`."""
    lead = rows.shape[:-1]
    turned = rows.reshape(*lead, *reversed(shape))
    return turned.transpose((*range(len(lead)), *(len(lead) + i for i in reversed(range(len(shape))))))

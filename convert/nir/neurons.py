"""NIR's neurons as recursions, forward Euler with the new current; and what a graph tells about the step that its
writer had in mind.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.integer import DECAY_ONE

from .unfold import kind
from .values import CLOSE, numbers, per_neuron


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Neurons in real numbers, arrays [n]. With x what comes in at a step::

        u <- (1 - du) u + gain x
        v <- (1 - dv) v + u + bias,    a spike and v = 0 where v > threshold

    Attributes:
        threshold: None of neurons that never spike.
        notes: what is not as in the graph, one line each.
    """

    du: np.ndarray
    dv: np.ndarray
    gain: np.ndarray
    bias: np.ndarray
    threshold: np.ndarray | None
    notes: tuple = ()


def decay(tau: np.ndarray, dt: float, name: str, key: str) -> np.ndarray:
    """dt / tau, in (0, 1].

    Raises:
        UserError: longer or shorter than the chip's 12 bits of decay hold.
    """
    if (tau <= 0).any():
        raise UserError(f"node {name!r}: {key} must be positive")
    if (tau < dt * (1 - CLOSE)).any():
        raise UserError(
            f"node {name!r}: {key} is {tau.min():g} s, shorter than a step of {dt:g} s; import with a smaller --dt"
        )
    if (DECAY_ONE * dt / tau < 0.5).any():
        raise UserError(
            f"node {name!r}: {key} is {tau.max():g} s, more than {2 * DECAY_ONE} steps of {dt:g} s, the longest that 12"
            " bits of decay hold; import with a larger --dt"
        )
    return np.minimum(dt / tau, 1.0)


def dynamics(node: Any, name: str, shape: tuple, dt: float) -> Dynamics:
    """`node`, neurons of `shape`, in steps of `dt` seconds.

    Raises:
        UserError: parameters that do not fit, or that the chip cannot have; names the node.
    """
    return NEURONS[kind(node)](lambda key: per_neuron(numbers(node, name, key), shape, name, key), name, dt)


def _reset(get, name, threshold, leak):
    """(threshold, v_leak, notes) measured from v_reset, which the chip has at 0."""
    reset = get("v_reset")
    if not reset.any():
        return threshold, leak, ()
    if (reset >= threshold).any():
        raise UserError(f"node {name!r}: v_reset is not below v_threshold")
    note = f"node {name!r}: voltages are counted from v_reset, so that a sample begins there and not at 0"
    return threshold - reset, None if leak is None else leak - reset, (note,)


def _cuba_lif(get, name, dt):
    du, dv = decay(get("tau_syn"), dt, name, "tau_syn"), decay(get("tau_mem"), dt, name, "tau_mem")
    threshold, leak, notes = _reset(get, name, get("v_threshold"), get("v_leak"))
    return Dynamics(du, dv, du * get("w_in") * dv * get("r"), dv * leak, threshold, notes)


def _lif(get, name, dt):
    dv = decay(get("tau"), dt, name, "tau")
    threshold, leak, notes = _reset(get, name, get("v_threshold"), get("v_leak"))
    return Dynamics(np.ones_like(dv), dv, dv * get("r"), dv * leak, threshold, notes)


def _if(get, name, dt):
    r, zero = get("r"), np.zeros_like(get("r"))
    threshold, _, notes = _reset(get, name, get("v_threshold"), None)
    return Dynamics(zero + 1, zero, dt * r, zero, threshold, notes)


def _threshold(get, name, dt):
    threshold = get("threshold")
    one = np.ones_like(threshold)
    return Dynamics(one, one, one, 0 * one, threshold)


def _cuba_li(get, name, dt):
    du, dv = decay(get("tau_syn"), dt, name, "tau_syn"), decay(get("tau_mem"), dt, name, "tau_mem")
    return Dynamics(du, dv, du * get("w_in") * dv * get("r"), dv * get("v_leak"), None)


def _li(get, name, dt):
    dv = decay(get("tau"), dt, name, "tau")
    return Dynamics(np.ones_like(dv), dv, dv * get("r"), dv * get("v_leak"), None)


def _i(get, name, dt):
    r = get("r")
    return Dynamics(np.ones_like(r), 0 * r, dt * r, 0 * r, None)


def memoryless(shape: tuple) -> Dynamics:
    """Neurons that hold what comes in at a step, for outputs that no neuron makes."""
    one = np.ones(int(np.prod(shape)))
    return Dynamics(one, one, one, 0 * one, None)


NEURONS = {
    "CubaLIF": _cuba_lif,
    "LIF": _lif,
    "IF": _if,
    "Threshold": _threshold,
    "CubaLI": _cuba_li,
    "LI": _li,
    "I": _i,
}
READOUTS = ("CubaLI", "LI", "I")
_TAUS = {"CubaLIF": (("tau_mem", "r"), ("tau_syn", "w_in")), "CubaLI": (("tau_mem", "r"), ("tau_syn", "w_in"))}
_TAUS |= {"LIF": (("tau", "r"),), "LI": (("tau", "r"),), "IF": ((None, "r"),), "I": ((None, "r"),)}


def hinted_step(nodes: dict) -> float | None:
    """Seconds of the step that the writer of a graph had in mind, if all its neurons agree: tools that count in steps
    write gains (r, w_in) of tau / dt, so that a step adds what comes in, and 1 / dt for neurons that never leak.

    Args:
        nodes: name -> NIR node.
    """
    found, plain, leaky = [], False, False
    for name, node in nodes.items():
        for tau, gain in _TAUS.get(kind(node), ()):
            r = numbers(node, name, gain)
            if tau is not None and (r == 1).all():
                plain = True  # the equations' own gain, it says nothing
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                steps = (1.0 if tau is None else numbers(node, name, tau).ravel()) / r.ravel()
            found.append(steps)
            leaky |= tau is not None
    if not found or (plain and not leaky):
        return None
    steps = np.concatenate(found)
    step = float(f"{np.median(steps):.6g}")  # files hold 32 bits of it
    return step if np.isfinite(step) and step > 0 and (np.abs(steps - step) <= 1e-4 * step).all() else None

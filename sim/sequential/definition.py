"""A chain step by step in chip time, by definition: int64, no compiled code. What the engine is held against.

Every layer takes at a chip step what the layer before sent one step earlier, and is asked for its outputs from its lag
on. CUBA neurons are at rest and silent until then.
"""

from functools import singledispatch

import numpy as np

from ..integer import cuba_step
from .cuba import Neuron
from .dendrite import dendrite
from .layers import AnyNeuron, AverageLayer, ConvLayer, DenseLayer, FlattenLayer, InputLayer, Layer, imaginary_part
from .net import Sequential
from .resonator import Resonator, resonator_step
from .running import per_neuron
from .sigma_delta import Delta, Sigma, SigmaDelta, conv_loss, delta_step, dense_loss, lose, sigma_delta_step, wrap32


def by_definition(net: Sequential, x: np.ndarray) -> dict:
    """Layer name -> int64 [B, K, *shape], outputs in stream time, for input [B, K, *input shape].

    Raises:
        UserError: the input is for another geometry.
    """
    x, lags = net.checked(x).astype(np.int64), net.lags
    batch, steps = x.shape[:2]
    layers = [_Working(layer, batch, lags[layer.name]) for layer in net.layers]
    out = {layer.name: np.zeros((batch, steps, *layer.shape), np.int64) for layer in net.layers}
    silence = np.zeros_like(x, shape=(batch, *net.layers[0].shape))
    for t in range(steps + max(lags.values())):
        now = x[:, t] if t < steps else silence
        for working in layers:
            now = working.step(now, t)
            k = t - working.lag
            if 0 <= k < steps:
                out[working.layer.name][:, k] = now
    return out


class _Working:
    """One layer: its states, and what it has seen and sent."""

    def __init__(self, layer, batch, lag):
        self.layer, self.lag, self.batch = layer, lag, batch
        self.state = np.zeros((3, batch, *layer.shape), np.int64)
        self.seen, self.sent = [], []

    def step(self, x, t):
        """What leaves the layer at chip step `t`, when `x` leaves the layer before."""
        return leave(self.layer, self, x, t)


@singledispatch
def leave(layer: Layer, working: _Working, x: np.ndarray, t: int) -> np.ndarray:
    """See `_Working.step`."""
    raise TypeError(type(layer).__name__)


@leave.register
def _(layer: FlattenLayer, working, x, t):
    return x.reshape(len(x), -1)


@leave.register
def _(layer: AverageLayer, working, x, t):
    return x.reshape(len(x), layer.groups, layer.size).sum(2)


@leave.register
def _(layer: InputLayer, working, x, t):
    return x if layer.neuron is None else fire(layer.neuron, working, x, t)


@leave.register(DenseLayer)
@leave.register(ConvLayer)
def _(layer, working, x, t):
    working.seen.append(x)
    a = _arrived(layer, working)
    if isinstance(layer.neuron, Resonator):
        imaginary = imaginary_part(layer)
        a = np.stack([a, np.zeros_like(a) if imaginary is None else _arrived(imaginary, working)])
    if getattr(layer, "recurrent", None) is not None and working.sent:
        a = a + working.sent[-1] @ layer.recurrent.T.astype(np.int64)
    working.sent.append(fire(layer.neuron, working, _accumulated(layer, a), t))
    if layer.axon_delay is None:
        return working.sent[-1]
    out = np.zeros_like(working.sent[-1])
    for c, d in enumerate(layer.axon_delay):
        if d <= t:
            out[:, c] = working.sent[t - d][:, c]
    return out


def _arrived(layer, working):
    if getattr(layer, "synapse_delay", None) is not None:
        return _delayed_dendrite(layer, working)
    x = working.seen[-2] if len(working.seen) > 1 else np.zeros_like(working.seen[-1])
    return dendrite(layer, x[:, None], np.float64)[:, 0].astype(np.int64)


def _delayed_dendrite(layer, working):
    total = np.zeros((working.batch, *layer.shape), np.int64)
    for d in np.unique(layer.synapse_delay):
        if len(working.seen) > d + 1:
            total += working.seen[-2 - d] @ np.where(layer.synapse_delay == d, layer.weight, 0).T.astype(np.int64)
    return total


@singledispatch
def _accumulated(layer, a):
    """What is left of a dendritic sum: see `sim.sequential.sigma_delta`."""
    if not layer.neuron.graded:
        return a
    return lose(a, dense_loss(layer))


@_accumulated.register
def _(layer: ConvLayer, a):
    return lose(a, conv_loss(layer)) if layer.neuron.graded else a


@singledispatch
def fire(neuron: AnyNeuron, working: _Working, a: np.ndarray, t: int) -> np.ndarray:
    """What neurons send for dendritic sums `a` at chip step `t`."""
    raise TypeError(type(neuron).__name__)


def _shaped(values, layer):
    return np.broadcast_to(per_neuron(values, layer.shape).reshape(layer.shape), layer.shape).astype(np.int64)


@fire.register
def _(neuron: Neuron, working, a, t):
    if t < working.lag:
        return np.zeros_like(a)
    decay = np.broadcast_to(neuron.i_decay, int(np.prod(working.layer.shape))).reshape(working.layer.shape)
    bias = _shaped(neuron.bias, working.layer)
    u, v, s = cuba_step(working.state[0], working.state[1], a, decay, neuron.v_decay, neuron.v_th, bias)
    working.state[:2] = u, v
    return s.astype(np.int64)


@fire.register
def _(neuron: Resonator, working, a, t):
    sin, cos = (_shaped(values, working.layer) for values in (neuron.sin_decay, neuron.cos_decay))
    re, im, s = resonator_step(working.state[0], working.state[1], a[0], a[1], neuron, sin, cos)
    working.state[:2] = re, im
    return s


@fire.register
def _(neuron: Delta, working, a, t):
    act, residue, message = delta_step(
        working.state[0], working.state[1], a << neuron.shift, neuron.v_th << neuron.shift, neuron.state_exp
    )
    working.state[:2] = act, residue
    return message


@fire.register
def _(neuron: SigmaDelta, working, a, t):
    sigma, act, residue = working.state
    sigma, act, residue, message = sigma_delta_step(sigma, act, residue, a, neuron, _shaped(neuron.bias, working.layer))
    working.state[:] = sigma, act, residue
    return message


@fire.register
def _(neuron: Sigma, working, a, t):
    working.state[0] = wrap32(working.state[0] + a)
    return working.state[0].copy()

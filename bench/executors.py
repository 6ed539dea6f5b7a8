"""Samples a second of every executor, per net; `ratio` is the engine's speed over the row's. Start-up of simulators is
left out, every executor gets the number of samples that suits it.

Every executor's read-out is compared with the engine's on the samples that are timed, and all its spikes on one more:
integers, without tolerance."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.net import PHASE
from sim.net.tokens import Stream

from .measure import MODELS, golden, median, require
from .registry import Row

ENGINE_BATCH, FUSED_SAMPLES, SLAYER_BATCH = 64, 4, 64


@dataclass(frozen=True, eq=False)
class Subject:
    """A net, its SLAYER model and ENGINE_BATCH samples for it."""

    name: str
    net: object
    model: object
    stream: Stream


def rows(quick):
    for name in ("digits-tiny",) if quick else ("digits-tiny", "nmnist-small", "gestures-medium"):
        yield from compare(shipped(name), quick)


def shipped(name):
    """A net of models/ on its golden samples."""
    from sim import netx
    from train import checkpoint

    net, model = netx.read(MODELS / f"{name}.net"), checkpoint.load(MODELS / f"{name}.pt")[0]
    return Subject(name, net, model, _repeated(golden(name)))


def _repeated(stream):
    return stream[np.resize(np.arange(len(stream)), ENGINE_BATCH)]


def compare(subject, quick):
    """The rows of one net."""
    from sim import engine

    net, stream = subject.net, subject.stream
    expected = engine.run(net, stream)
    seconds = median(lambda: engine.run(net, stream), 3 if quick else 9)
    rate, steps = len(stream) / seconds, len(stream) * net.steps
    yield Row(
        f"{subject.name}: engine",
        rate,
        "samples/s",
        1.0,
        f"{net.steps} steps a sample, {sum(expected.synops.values()) / len(stream):,.0f} synops; {steps / seconds:,.0f}"
        " steps/s",
    )
    for name, run in others(subject, quick):
        found, equal = run(expected)
        yield Row(f"{subject.name}: {name}", found, "samples/s", rate / found, equal)


def others(subject, quick):
    """(name, function of the engine's result -> (samples/s, what was compared)) of the other executors."""
    yield "Lava, fused", lambda expected: _lava(subject, "fused", FUSED_SAMPLES, expected)
    if not quick:
        yield "Lava, stock", lambda expected: _lava(subject, "stock", 1, expected)
    yield (
        "SLAYER, evaluation mode (its own loop over time)",
        lambda expected: _slayer(subject, own_modules(subject.model), 1, expected),
    )
    yield (
        "SLAYER modules, our kernels for the dynamics",
        lambda expected: _slayer(subject, subject.model, 3 if quick else 5, expected),
    )


def _lava(subject, executor, samples, expected):
    from sim import engine
    from sim.lava.simulate import simulate

    net, stream = subject.net, subject.stream[:samples]
    timed = simulate(net, stream, executor)
    traced = simulate(net, stream[:1], executor, "all").traces
    right = engine.run(net, stream[:1], "all").traces
    require(
        np.array_equal(timed.logits, expected.logits[:samples])
        and all(np.array_equal(x, right[name]) for name, x in traced.items()),
        f"{subject.name}: Lava {executor} and the engine differ; python -m deploy verify shows where",
    )
    return (
        samples / timed.run_seconds,
        f"read-out of {samples} and {sum(x.size for x in traced.values()):,} values of {len(traced)} layers equal",
    )


def _slayer(subject, model, runs, expected):
    import torch

    from convert import parity
    from train import dynamics
    from train.evaluate import predict
    from train.model.smolmamba import logit_integers

    dynamics.set_threads(torch.get_num_threads())
    stream, net = subject.stream[:SLAYER_BATCH], subject.net
    compared = parity.compare(model, net, stream[:1])  # the warm-up, too
    require(
        not compared["differences"],
        f"{subject.name}: SLAYER and the engine differ, first at {compared['first_difference']}",
    )
    found, times = [], []
    for _ in range(runs):
        start = time.perf_counter()
        found.append(predict(model, stream, True, batch=len(stream)))
        times.append(time.perf_counter() - start)
    require(
        all(np.array_equal(logit_integers(model, x, net.steps).numpy(), expected.logits[: len(stream)]) for x in found),
        f"{subject.name}: SLAYER's read-out and the engine's differ",
    )
    return (
        len(stream) / statistics.median(times),
        f"read-out of {len(stream)} and {compared['compared']:,} values equal; {torch.get_num_threads()} torch threads",
    )


def own_modules(model):
    """A copy of a folded model in which SLAYER's own synapses and neurons run every layer, step by step in Python, as
    lava-dl comes.
    """
    import copy

    import torch
    from torch import nn

    from train import stage
    from train.model.layer import UNIT, CubaLayer
    from train.model.slayer import slayer

    class Bias(nn.Module):
        """Where SLAYER's neuron has its norm, between current and voltage."""

        def __init__(self, bias):
            super().__init__()
            self.register_buffer("bias", bias[:, None])

        def forward(self, current):
            return current + self.bias

    class Layer(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.name, self.gain, self.group = layer.name, layer.gain, layer.group
            gain = lambda w: layer.gain[:, None] if w.dim() == 2 else layer.gain  # noqa: E731
            scaled = lambda s: (layer.weight(s, True) * gain(layer.weight(s))).detach()  # noqa: E731
            self.synapses = nn.ModuleDict()
            for name, synapse in layer.synapses.items():
                self.synapses[name] = slayer.synapse.Dense(synapse.weight.shape[1], layer.n)
                self.synapses[name].weight.data = scaled(name).view_as(self.synapses[name].weight)
            self.skips = {name: scaled(name) for name in layer.skips}
            self.neurons = nn.ModuleList(layer.neurons())
            bias = (layer.biases(True) * layer.gain).detach()
            for i, neuron in enumerate(self.neurons):
                neuron.norm = Bias(bias[i * self.group : (i + 1) * self.group])

        def forward(self, inputs, exact, filled=None, state=None, held=None):
            x: Any = sum(synapse(_spikes(name, inputs[name], synapse)) for name, synapse in self.synapses.items())
            if held is not None:
                x = x + stage.inhibition(held, self.gain, UNIT) * self.gain[:, None]
            x = x + sum(inputs[name] * w[:, None] for name, w in self.skips.items())
            return torch.cat(
                [neuron(x[:, i * self.group : (i + 1) * self.group]) for i, neuron in enumerate(self.neurons)], 1
            )

    if any(layer.frame_steps for layer in model.layers()):
        raise ValueError("SLAYER has no reset at every frame")
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CubaLayer):
                (
                    setattr(parent, name, Layer(child))
                    if not isinstance(parent, (nn.ModuleDict, nn.ModuleList))
                    else parent.__setitem__(int(name) if isinstance(parent, nn.ModuleList) else name, Layer(child))  # pyright: ignore[reportArgumentType]
                )
    return model.eval()


def _spikes(source, x, synapse):
    """What comes in at a synapse of SLAYER's: the phase as one line for each token."""
    import torch

    if source != PHASE:
        return x
    n = synapse.weight.shape[1]
    return torch.nn.functional.one_hot(x, n + 1)[..., :n].float().transpose(1, 2)

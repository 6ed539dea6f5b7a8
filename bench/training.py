"""The training kernel and a whole training step against the same with SLAYER's loop, forward and backward, one thread; `ratio` is ours over the row's."""

import os
from contextlib import contextmanager
from itertools import groupby

from .measure import MODELS, median, require
from .registry import Row


def rows(quick):
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")            # before torch comes: its profiler would announce itself on standard error
    for shape in ((8, 64, 256),) if quick else ((8, 64, 256), (32, 256, 1024)):
        yield from kernel(shape, 3 if quick else 5)
    for name in ("digits-tiny",) if quick else ("digits-tiny", "nmnist-small"):
        yield from step(name, 3 if quick else 5)


def kernel(shape, runs):
    """Rows for [batch, channels, steps]."""
    import torch
    from train import dynamics
    from train.slayer import slayer
    dynamics.set_threads(1)
    torch.set_flush_denormal(True)
    batch, n, steps = shape
    x = (torch.randint(-20, 21, (batch, steps, n)) * (2 / 64)).transpose(1, 2).requires_grad_()
    y = x.detach().contiguous().requires_grad_()
    neuron = slayer.neuron.cuba.Neuron(threshold=1.0, current_decay=0.1, voltage_decay=4095 / 4096, tau_grad=0.005, scale_grad=10)
    i_decay, bias, gain = torch.full((n,), 410), torch.zeros(n), torch.ones(n)
    run = lambda: dynamics.cuba(x, bias, i_decay, 4095, gain, 0.5, 1.0)                 # noqa: E731
    require(torch.equal(run(), neuron(y)), "the training kernel and SLAYER's loop differ")
    ours = median(lambda: run().sum().backward(), runs)
    theirs = median(lambda: neuron(y).sum().backward(), 1 if runs < 5 else 2)
    name = f"CUBA forward + backward {list(shape)}"
    yield Row(f"{name}: kernel", 1e3 * ours, "ms", 1.0, "spikes equal")
    yield Row(f"{name}: SLAYER's loop", 1e3 * theirs, "ms", theirs / ours)


def step(name, runs):
    """Rows for a step of the integer phase on a trained net, batch 32: forward, backward, optimiser. Biases are 0, as SLAYER's neurons have none."""
    import torch
    from torch.nn import functional as F
    from train import checkpoint, dynamics
    dynamics.set_threads(1)
    torch.set_flush_denormal(True)
    model, _ = checkpoint.load(MODELS / f"{name}.pt")
    for layer in model.layers():
        layer.bias.data.zero_()
    model.train()
    steps = model.n_tokens * model.n_frames
    x = (torch.rand(32, steps, model.encoder.channels) < 0.1).float().transpose(1, 2)
    y = torch.arange(32) % 10
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0)

    def run():
        F.cross_entropy(model(x, exact=True), y).backward()
        optimizer.step()
        optimizer.zero_grad()

    ours, expected = median(run, runs), model(x, exact=True)
    with slayers_loop():
        require(torch.equal(model(x, exact=True), expected), f"{name}: a step's scores with SLAYER's neurons differ")
        theirs = median(run, 1)
    yield Row(f"{name}: training step, batch 32", 1e3 * ours, "ms", 1.0, "scores equal")
    yield Row(f"{name}: the same with SLAYER's neurons", 1e3 * theirs, "ms", theirs / ours)
    with torch.profiler.profile() as profile:
        run()
    kinds = {"matrix products": ("aten::mm", "aten::addmm", "aten::bmm"), "dynamics": ("_Cuba", "_CubaBackward")}
    spent = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    for kind, keys in kinds.items():
        yield Row(f"{name}: of our step, {kind}", 100 * sum(spent.get(key, 0) for key in keys) / sum(spent.values()), "%")


@contextmanager
def slayers_loop():
    """Within it, `dynamics.cuba` runs SLAYER's neuron modules, one for each stretch of channels with the same decay and gain."""
    import torch
    from train import dynamics
    from train.slayer import slayer
    neurons, ours = {}, dynamics.cuba

    def cuba(x, bias, i_decay, v_decay, gain, tau, scale, reset_every=0, exact=True):
        out, start = [], 0
        for (decay, g), stretch in groupby(zip(i_decay.tolist(), gain.tolist())):
            end = start + len(list(stretch))
            key = decay, g, end - start
            if key not in neurons:
                neurons[key] = slayer.neuron.cuba.Neuron(threshold=g, current_decay=decay / 4096, voltage_decay=v_decay / 4096, tau_grad=tau / 100, scale_grad=scale * 10)
            out.append(neurons[key](x[:, start:end].contiguous() * g))
            start = end
        return torch.cat(out, 1)

    dynamics.cuba = cuba
    try:
        yield
    finally:
        dynamics.cuba = ours

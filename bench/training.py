"""The training kernel and a whole training step against the same with SLAYER's neurons, forward and backward, and a
step of the nets against one of those before (two towers, every token), on one thread and, where there is a GPU, there;
`ratio` is how much longer the row takes than ours. SLAYER steps through time in Python on the CPU, and by CUDA kernels
of its own, which it compiles with nvcc, on a GPU."""

import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby

from .measure import median, require
from .registry import Row

CLASSES = 10
OLD = {  # sizes of the nets before tokens were chosen
    "tiny": dict(stem=(96,), width=48, bank=96),
    "small": dict(stem=(128,), width=64, bank=128),
    "medium": dict(stem=(160,), width=80, bank=160),
}
LOOP = {"cpu": "SLAYER's loop", "cuda": "SLAYER's CUDA kernels"}


def rows(quick):
    os.environ.setdefault(
        "KINETO_LOG_LEVEL", "99"
    )  # before torch comes: its profiler would announce itself on standard error
    import torch

    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for shape in ((8, 64, 256),) if quick else ((8, 64, 256), (32, 256, 1024)):
            yield from kernel(shape, 3 if quick else 5, device)
        for name in ("digits-tiny",) if quick else ("digits-tiny", "nmnist-small", "gestures-medium"):
            yield from step(name, 3 if quick else 5, device)


def prepare(device):
    """(runs of a measurement for one on the CPU, a function that waits until the device has done all it was given, what
    names begin with).
    """
    import torch

    from train import dynamics

    dynamics.set_threads(1)
    torch.set_flush_denormal(True)
    if device == "cpu":
        return 1, lambda: None, ""
    return 10, torch.cuda.synchronize, f"{torch.cuda.get_device_name()}, "


def kernel(shape, runs, device):
    """Rows for [batch, channels, steps]."""
    import torch

    from train import dynamics
    from train.model.slayer import slayer

    more, wait, where = prepare(device)
    batch, n, steps = shape
    x = (torch.randint(-20, 21, (batch, steps, n)) * (2 / 64)).to(device).transpose(1, 2).requires_grad_()
    y = x.detach().contiguous().requires_grad_()
    neuron = slayer.neuron.cuba.Neuron(
        threshold=1.0,
        current_decay=0.1,
        voltage_decay=4095 / 4096,
        tau_grad=0.005,  # pyright: ignore[reportArgumentType]
        scale_grad=10,
    ).to(device)
    i_decay, bias, gain = (
        torch.full((n,), 410, device=device),
        torch.zeros(n, device=device),
        torch.ones(n, device=device),
    )
    run = lambda: dynamics.cuba(x, bias, i_decay, 4095, gain, 0.5, 1.0)  # noqa: E731

    def both(forward):
        forward().sum().backward()
        wait()

    ours = median(lambda: both(run), 5 * runs)  # the first ones meet memory that is not mapped yet
    name = f"{where}CUBA forward + backward {list(shape)}"
    yield Row(f"{name}: kernel", 1e3 * ours, "ms", 1.0)
    require(torch.equal(run(), neuron(y)), f"{where}the training kernel and {LOOP[device]} differ")
    theirs = median(lambda: both(lambda: neuron(y)), more * (1 if runs < 5 else 2))
    yield Row(f"{name}: {LOOP[device]}", 1e3 * theirs, "ms", theirs / ours, "spikes equal")


def subject(cfg, device, batch=32):
    """(folded model of random weights whose layers spike, what it is called with, labels, energy term or None)."""
    import torch

    from sim import prices
    from train.data.batches import to_device
    from train.model.smolmamba import SmolMamba
    from train.run.epoch import Energy

    torch.manual_seed(0)
    encoder = cfg.make_encoder()
    frames = torch.rand(batch, encoder.frames, 2, *encoder.frame_shape) < 0.1
    x = to_device(encoder.streams(frames.to(torch.uint8).numpy()), device)
    model = SmolMamba(cfg, encoder, CLASSES).to(device).train()
    for layer in model.layers():
        layer.norm.momentum = None
        layer.norm.bias.data.fill_(0.3)
    with torch.no_grad():
        model(*x)
    model.fold()
    for layer in model.layers():
        layer.bias.data.zero_()
    energy = Energy(prices.load(cfg.prices), torch.tensor(0.01, device=device)) if cfg.energy_uj else None
    return model, x, (torch.arange(batch) % CLASSES).to(device), energy


def step(name, runs, device):
    """Rows for a step of the integer phase, batch 32: forward, backward, optimiser, of the preset's net with an energy
    term, of the same with SLAYER's neurons, and of the net as it was before tokens were chosen. Biases are 0, as
    SLAYER's neurons have none.
    """
    import torch

    from events import default_encoder
    from train.config import preset

    dataset, kind = name.split("-")
    new = preset(kind, dataset=dataset, encoder=default_encoder(dataset).settings())
    new = replace(new, energy_uj=new.energy_uj or 10.0)
    more, wait, where = prepare(device)
    run, model, x, graphed = stepper(new, device, wait)
    name = f"{where}{name}"
    plain, expected = median(run, more * runs), scores(model, x)
    ours = median(graphed, more * runs) if graphed else plain
    yield Row(f"{name}: training step, batch 32", 1e3 * ours, "ms", 1.0, "energy term included")
    if graphed:
        yield Row(f"{name}: the same without a graph", 1e3 * plain, "ms", plain / ours)
    with slayers_neurons():
        same = torch.equal(scores(model, x), expected)
        require(same or device == "cuda", f"{name}: a step's scores with SLAYER's neurons differ")
        theirs = median(run, more)
    yield Row(
        f"{name}: the same with {LOOP[device]}",
        1e3 * theirs,
        "ms",
        theirs / ours,
        "scores equal" if same else "scores differ: see docs/design.md",
    )
    old_run, *_, old_graphed = stepper(as_it_was(new, kind, dataset), device, wait)
    before = median(old_graphed or old_run, more * runs)
    yield Row(f"{name}: two towers, every token, no energy term", 1e3 * before, "ms", before / ours)
    yield from shares(name, run, ours, device)


def as_it_was(cfg, kind, dataset):
    """A preset's net as it was before tokens were chosen: two towers, every token of the data set's usual windows, the
    same batch.
    """
    from events import default_encoder
    from train.config import Config

    encoder = default_encoder(dataset).settings()
    return Config(dataset, encoder, **OLD[kind], scan="twin", share=1.0, batch=cfg.batch)


def stepper(cfg, device, wait):
    """(one step, model, what it is called with, the step as a CUDA graph or None)."""
    import torch

    from train.run.epoch import passes
    from train.run.graphs import Recorded

    model, x, y, energy = subject(cfg, device)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0)
    python = partial(passes, model, x, y, True, cfg, energy=energy)

    def run(both: Callable = python):
        both()
        optimizer.step()
        optimizer.zero_grad()
        wait()

    recorded = Recorded(model, partial(passes, cfg=cfg, energy=energy)) if device == "cuda" else None
    return run, model, x, recorded and (lambda: run(lambda: recorded(x, y, True)))


def shares(name, run, seconds, device):
    """Rows: what a step's time goes into."""
    import torch

    with torch.profiler.profile() as profile:
        run()
    kinds = {"matrix products": ("aten::mm", "aten::addmm", "aten::bmm"), "dynamics": ("_Cuba", "_CubaBackward")}
    spent = {
        event.key: event.self_cpu_time_total if device == "cpu" else event.self_device_time_total
        for event in profile.key_averages()
    }
    total = sum(spent.values()) if device == "cpu" else 1e6 * seconds
    for kind, keys in kinds.items():
        yield Row(f"{name}: of our step, {kind}", 100 * sum(spent.get(key, 0) for key in keys) / total, "%")


def scores(model, x):
    import torch

    with torch.no_grad():
        return model(*x, exact=True)


@contextmanager
def slayers_neurons():
    """Within it, `dynamics.cuba` runs SLAYER's neuron modules, one for each stretch of channels with the same decay and
    gain.
    """
    import torch

    from train import dynamics
    from train.model.slayer import slayer

    neurons, ours = {}, dynamics.cuba

    def cuba(x, bias, i_decay, v_decay, gain, tau, scale, reset_every=0, exact=True, state=None):
        out, start = [], 0
        for (decay, g), stretch in groupby(zip(i_decay.tolist(), gain.tolist())):
            end = start + len(list(stretch))
            key = decay, g, end - start
            if key not in neurons:
                neurons[key] = slayer.neuron.cuba.Neuron(
                    threshold=g,
                    current_decay=decay / 4096,
                    voltage_decay=v_decay / 4096,
                    tau_grad=tau / 100,
                    scale_grad=scale * 10,
                ).to(x.device)
            out.append(neurons[key](x[:, start:end].contiguous() * g))
            start = end
        return torch.cat(out, 1)

    dynamics.cuba = cuba
    try:
        yield
    finally:
        dynamics.cuba = ours

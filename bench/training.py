"""The training kernel against SLAYER's loop, forward and backward, one thread; `ratio` is the kernel's speed over the row's."""

from .measure import median, require
from .registry import Row


def rows(quick):
    for shape in ((8, 64, 256),) if quick else ((8, 64, 256), (32, 256, 1024)):
        yield from kernel(shape, 3 if quick else 5)


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

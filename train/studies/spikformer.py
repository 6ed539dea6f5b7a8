"""A spiking transformer to compare with: Spikformer (Z. Zhou et al., ICLR 2023) on our token windows, with the neurons
of spikingjelly.

Time is the frame here, and all tokens of a frame are there at once: tensors are `[T, B, N, channels]`.

    tokens, position -> stem -> x                   linear, batch norm, LIF; the same windows and stem widths as
        SmolMamba
    per block:  x = x + attention(x)                LIF(scale * (Q K^T) V), no softmax; N x N products per frame and
                head x = x + mlp(x)
    read-out: linear in the mean of x over tokens and frames

A residual sum is a small whole number, not a spike: see `counting` for how that is counted. Needs the extra
`spikingjelly`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sim.base.errors import UserError

from .literature import AC_PJ, MAC_PJ, Part, batch_operations

HEADS, MLP_RATIO = 4, 4
TAU = 2.0  # of the LIF neurons, in frames


def _lif(threshold=1.0):
    """spikingjelly's LIF over the first axis, as Spikformer sets it."""
    try:
        from spikingjelly.activation_based import neuron, surrogate
    except ImportError as e:
        raise UserError(
            f"the spiking transformer needs spikingjelly ({e}): pip install -c constraints.txt -e '.[spikingjelly]'"
        ) from None
    return neuron.LIFNode(
        tau=TAU, v_threshold=threshold, detach_reset=True, step_mode="m", surrogate_function=surrogate.ATan()
    )


class Lif(nn.Module):
    """LIF neurons that start every call at rest: a call is a sample, [T, ...]."""

    def __init__(self, threshold=1.0):
        super().__init__()
        self.node = _lif(threshold)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.node.reset()
        return self.node(x)


class Projection(nn.Module):
    """Synapses, batch norm and LIF: [T, B, N, m] -> spikes [T, B, N, n]. `position`: a learned input for each of so
    many tokens.
    """

    def __init__(self, m, n, position=0):
        super().__init__()
        self.linear, self.norm, self.lif = nn.Linear(m, n, bias=False), nn.BatchNorm1d(n), Lif()
        self.position = nn.Parameter(0.02 * torch.randn(position, n)) if position else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x).float()  # of mixed precision: neurons and norms stay float32
        y = y if self.position is None else y + self.position
        return self.lif(self.norm(y.flatten(0, 2)).view_as(y))


class Products(nn.Module):
    """LIF(scale * (Q K^T) V) of spikes [T, B, heads, N, width / heads].

    The scale (Spikformer: 0.125) is learned, as N differs; it folds into the threshold.
    """

    def __init__(self):
        super().__init__()
        self.scale, self.lif = nn.Parameter(torch.tensor(0.125)), Lif(0.5)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return self.lif(self.scale * ((q @ k.transpose(-2, -1)) @ v).float())


class Attention(nn.Module):
    """Spiking self-attention, [T, B, N, width] -> spikes of the same shape; width is a multiple of heads."""

    def __init__(self, width, heads=HEADS):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (Projection(width, width) for _ in range(4))
        self.products = Products()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(-3, -2)  # noqa: E731
        y = self.products(split(self.q(x)), split(self.k(x)), split(self.v(x)))
        return self.out(y.transpose(-3, -2).flatten(-2))


def attention_block(width: int, heads: int = HEADS) -> Attention:
    """The attention alone, [T, B, N, width] -> the same, for any N: for timing over N."""
    return Attention(width, heads)


class Spikformer(nn.Module):
    """`forward` takes streams of all tokens in reading order, float [B, C, T*N], and returns class scores
    [B, classes].
    """

    def __init__(self, channels, tokens, frames, classes, stem, width, hidden, blocks, heads=HEADS):
        super().__init__()
        self.n_tokens, self.n_frames = tokens, frames
        widths = (channels, *stem, width)
        self.stem = nn.Sequential(
            *(Projection(m, n, 0 if i else tokens) for i, (m, n) in enumerate(zip(widths, widths[1:])))
        )
        self.attention = nn.ModuleList(Attention(width, heads) for _ in range(blocks))
        self.mlp = nn.ModuleList(
            nn.Sequential(Projection(width, hidden), Projection(hidden, width)) for _ in range(blocks)
        )
        self.readout = nn.Linear(width, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = tokens.transpose(1, 2).unflatten(1, (self.n_frames, self.n_tokens)).transpose(0, 1)
        x = self.stem(x)
        for attention, mlp in zip(self.attention, self.mlp):
            x = x + attention(x)
            x = x + mlp(x)
        return self.readout(x.mean((0, 2)))


def parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def sizes_for(wanted: int, heads: int = HEADS, **sizes: Any) -> dict:
    """dict(width, hidden) for a `Spikformer(**sizes)` of so many parameters: the width, a multiple of `heads`, that
    comes closest with `hidden = 4 * width`, and then the hidden width that makes up the difference.

    Raises:
        UserError: the result is more than 10 % off.
    """

    def count(width, hidden):
        with torch.device("meta"):
            return parameters(Spikformer(width=width, hidden=hidden, heads=heads, **sizes))

    width = heads
    while count(width + heads, MLP_RATIO * (width + heads)) < wanted:
        width += heads
    width = min((width, width + heads), key=lambda w: abs(count(w, MLP_RATIO * w) - wanted))
    start = MLP_RATIO * width
    hidden = max(1, start + round((wanted - count(width, start)) / (count(width, start + 1) - count(width, start))))
    if abs(count(width, hidden) - wanted) > 0.1 * wanted:
        raise UserError(
            f"spiking transformer: none has {wanted} parameters within 10 % (closest {count(width, hidden)}, width"
            f" {width}); take a larger preset"
        )
    return {"width": width, "hidden": hidden}


@dataclass(frozen=True)
class Counted:
    """Operations of a part in one call, tensors of one element, those that depend on spikes with their history."""

    name: str
    neurons: int
    spikes: torch.Tensor
    acs: torch.Tensor
    macs: int


@contextmanager
def counting(model: Any) -> Iterator[list]:
    """Within it, the list that it gives is filled with the `Counted` of every part of a call, in the order of the net.

    By the rules of `train.studies.literature`. A residual sum of m spikes counts as m of them, so no synapse
    multiplies. `Q K^T`: one AC for every pair of a query's and a key's spike that meet in a channel; times V: one for
    every spike of V and non-zero entry of the matrix that it meets. Every LIF membrane decays: one MAC a neuron and
    frame."""
    found, hooks = [], []

    def projection(name, module, x, spikes):
        acs = (x.double().sum((0, 1, 2)) * (module.linear.weight != 0).sum(0)).sum()
        if module.position is not None:
            acs = acs + x.shape[0] * x.shape[1] * (module.position != 0).sum()
        found.append(Counted(name, spikes[0, 0].numel(), spikes.double().sum(), acs, spikes.numel()))

    def products(name, _, q, k, v, spikes):
        pairs = (q @ k.transpose(-2, -1)).double()
        acs = pairs.sum() + ((pairs > 0).double() @ v.double()).sum()
        found.append(Counted(name, spikes[0, 0].numel(), spikes.double().sum(), acs, spikes.numel()))

    def readout(name, module, x, _):
        sums = (x.double() * model.n_tokens * model.n_frames).sum(0)
        found.append(
            Counted(name, module.out_features, sums.new_zeros(()), sums @ (module.weight != 0).sum(0).double(), 0)
        )

    def watch(name, module, count):
        hooks.append(module.register_forward_hook(lambda m, inputs, out: count(name, m, *inputs, out)))

    try:
        for name, module in model.named_modules():
            count = {Projection: projection, Products: products}.get(type(module))
            if count:
                watch(name, module, count)
        watch("readout", model.readout, readout)
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@batch_operations.register
def _(model: Spikformer, tokens, which) -> list:
    with counting(model) as found:
        model(tokens)
    whole = lambda value: round(float(value))  # noqa: E731
    return [Part(c.name, c.neurons, whole(c.spikes), None, whole(c.acs), c.macs) for c in found]


def microjoules(found: list, samples: int) -> torch.Tensor:
    """What a sample costs by the convention of 45 nm (`train.studies.literature`), a tensor with its history."""
    return sum(AC_PJ * c.acs + MAC_PJ * c.macs for c in found) / samples * 1e-6  # pyright: ignore[reportReturnType]

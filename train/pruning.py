"""SST-TP: which tokens go on, from the spikes seen so far.

Score of token `n` at frame `t`, with `c[n, t]` its spikes in frame `t` and `f[n]` the frame of its first spike, by
`Config.pruner`:

    count           sum_{t' <= t} c[n, t']
    latency         (T - f[n]) / T
    count+latency   count + bonus * (t + 1) * latency
    random          a hash of the seed, of the spike counts of the sample so far, of t and of n

and 0 for a token that has not fired by frame t. The bonus grows with the frames seen so that it keeps its weight
against the count. The best `round(share * N)` tokens of a frame are kept; ties go to the lower token index (frequent
for the latency, which only has T values); a token that never fired is never kept, so all pruners keep the same number
of tokens. A random score is the same for the same sample wherever it stands in the data set or in a batch, and new in
each frame. (The paper's formula is not public here: count+latency is our reading of "spike count and first-spike
latency".)"""

import torch

FIXED_GATE = (
    "count+latency",
    "count",
)  # pruners whose place on the chip is taken by the fixed gate on the spike count; the others are top-k for ever


def has_gate(cfg):
    """Whether the tokens are pruned by a rule that the chip's gate stands for."""
    return bool(cfg.keep) and cfg.pruner in FIXED_GATE


def counts(x, tokens):
    """Spikes of each token in each frame: [B, C, T*N] -> [B, T, N]."""
    return x.sum(1).reshape(x.shape[0], -1, tokens)


def score(c, bonus, pruner="count+latency", seed=0):
    """c: [B, T, N] spikes per frame. Returns [B, T, N], above 0 for the tokens that have fired."""
    total = c.cumsum(1)
    return torch.where(total > 0, _SCORES[pruner](total, bonus, seed), torch.zeros_like(total))


def _frames_left(total):
    """T - first frame, [B, 1, N], from the running counts [B, T, N]."""
    return (total > 0).to(total.dtype).sum(1, keepdim=True)


def _both(total, bonus, seed):
    frames = total.shape[1]
    seen = torch.arange(1, frames + 1, device=total.device, dtype=total.dtype)[:, None]
    return total + bonus * seen * _frames_left(total) / frames


def _random(total, bonus, seed):
    """Integers in 1..2**24 (exact in float32)."""
    _, frames, tokens = total.shape
    place = torch.arange(frames * tokens, device=total.device).reshape(frames, tokens)
    content = (total.long() * _mix(place[0] + 1)).sum(2, keepdim=True)
    return ((_mix(content + _mix(place + seed * 1_000_003)) & 0xFFFFFF) + 1).to(total.dtype)


def _mix(x):
    """The finalizer of splitmix64 on int64, which wraps. Source: S. Vigna, splitmix64.c."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        x = (x ^ _shift(x, shift)) * factor
    return x ^ _shift(x, 31)


def _shift(x, bits):
    return (x >> bits) & ((1 << (64 - bits)) - 1)


_SCORES = {
    "count+latency": _both,
    "count": lambda total, bonus, seed: total,
    "latency": lambda total, bonus, seed: (_frames_left(total) / total.shape[1]).expand_as(total),
    "random": _random,
}


def top_k(x, share, tokens, bonus, pruner="count+latency", seed=0):
    """Mask [B, T*N] of the `round(share * N)` best tokens of each frame, at least one."""
    s = score(counts(x.detach(), tokens), bonus, pruner, seed)
    k = max(1, round(share * tokens))
    order = s.argsort(dim=2, descending=True, stable=True)[..., :k]
    mask = torch.zeros_like(s).scatter_(2, order, 1.0) * (s > 0)
    return mask.reshape(x.shape[0], -1)


def fixed_gate(x, threshold, tokens):
    """Mask [B, T*N] of the rule of `sim.net.TokenGate`: open once the running spike count has reached the threshold."""
    return (counts(x.detach(), tokens).cumsum(1) >= threshold).to(x.dtype).reshape(x.shape[0], -1)


def histogram(c):
    """How many entries of the running spike counts are 0, 1, 2, ...: what `calibrate` needs of c [samples, T, N],
    the spikes per token and frame; adds up over parts.
    """
    return torch.bincount(c.cumsum(1).flatten().long())


def calibrate(histogram, share):
    """The threshold whose mean open share is closest to `share`, the higher on ties.

    histogram: see there; on the CPU.
    """
    histogram = histogram[: int(histogram.nonzero().max()) + 1]
    at_least = histogram.flip(0).cumsum(0).flip(0).double() / histogram.sum()  # share of entries >= index
    at_least = torch.cat([at_least, torch.zeros(1, dtype=torch.float64)])
    error = (at_least[1:] - share).abs()
    best = torch.nonzero(error == error.min()).max()
    return int(best) + 1

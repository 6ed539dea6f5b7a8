"""SST-TP: which tokens go on, from the spikes seen so far.

Score of token `n` at frame `t`, with `c[n, t]` its spikes in frame `t` and `f[n]` the frame of its first spike:

    score[n, t] = sum_{t' <= t} c[n, t'] + bonus * (t + 1) * (T - f[n]) / T        if it has fired by frame t, else 0

The bonus grows with the frames seen so that it keeps its weight against the count. Ties go to the lower token index; a token that
never fired is never kept. (The paper's formula is not public here; this is our reading of "spike count and first-spike latency".)
"""

import torch


def counts(x, tokens):
    """Spikes of each token in each frame: [B, C, T*N] -> [B, T, N]."""
    return x.sum(1).reshape(x.shape[0], -1, tokens)


def score(c, bonus):
    """c: [B, T, N] spikes per frame. Returns [B, T, N]."""
    frames = c.shape[1]
    t = torch.arange(frames, device=c.device, dtype=c.dtype)[:, None]
    total = c.cumsum(1)
    fired = total > 0
    first = torch.where(fired, t, torch.full_like(total, frames)).amin(1, keepdim=True)
    return torch.where(fired, total + bonus * (t + 1) * (frames - first) / frames, torch.zeros_like(total))


def top_k(x, share, tokens, bonus):
    """Mask [B, T*N] of the `round(share * N)` best tokens of each frame, at least one."""
    c = counts(x.detach(), tokens)
    s = score(c, bonus)
    k = max(1, round(share * tokens))
    order = s.argsort(dim=2, descending=True, stable=True)[..., :k]
    mask = torch.zeros_like(s).scatter_(2, order, 1.0) * (s > 0)
    return mask.reshape(x.shape[0], -1)


def fixed_gate(x, threshold, tokens):
    """Mask [B, T*N] of the rule of `sim.net.TokenGate`: open once the running spike count has reached the threshold."""
    return (counts(x.detach(), tokens).cumsum(1) >= threshold).to(x.dtype).reshape(x.shape[0], -1)


def calibrate(c, share):
    """The threshold whose mean open share is closest to `share`, the higher on ties.

    Args:
        c: [samples, T, N] spikes per token and frame.
    """
    total = c.cumsum(1).flatten().long()
    histogram = torch.bincount(total)
    at_least = histogram.flip(0).cumsum(0).flip(0).double() / total.numel()        # share of entries >= index
    at_least = torch.cat([at_least, torch.zeros(1, dtype=torch.float64)])
    error = (at_least[1:] - share).abs()
    best = torch.nonzero(error == error.min()).max()
    return int(best) + 1

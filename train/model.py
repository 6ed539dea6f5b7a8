"""Vision SmolMamba as a SLAYER net over a token stream (our reconstruction; only the paper's abstract is public here).

Tensors are `[batch, channels, steps]`, step `k = t*N + n` is token `n` of frame `t`. One tower:

    tokens, phase -> stem -> x
    per block:  x  = SST-TP(x)                      tokens are dropped by spike count and first-spike latency
                h  = bank(x)                        diagonal recurrence in the dendritic current, one decay per mode
                h  = h AND gate(x)                  spiking read gate
                x  = out(h, x)                      projection plus skip, memoryless
    read-out: W @ (number of spikes of each channel)

Every layer is one `CubaLayer`: SLAYER synapses and neurons, run by `train.dynamics`. A model is first trained in float
with a norm on each current; `fold` takes the norms into weights and biases, and from then on the forward pass is the
chip's."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from sim.integer import BIAS_MAX, DECAY_ONE, STATE_SHIFT, WEIGHT_MAX

from . import dynamics, pruning
from .config import Config
from .slayer import slayer

MEMORYLESS = 4095  # the chip's membrane decay has 12 bits; the 1/4096 that stays is part of the semantics
GAIN_MAX = 64.0  # keeps 64 * gain * threshold far below the 24-bit edge


class CubaLayer(nn.Module):
    """CUBA neurons with synapses from one or more sources.

    Args:
        sources: name -> number of channels. diagonal: names among them whose synapse is one weight per channel.
        taus: time constant of the current per group of neurons, in steps (1: none); the n neurons are split evenly.
        v_decay: membrane decay, 0..4095. frame_steps: reset the states every so many steps, 0 for once a sample.
    """

    def __init__(self, name, sources, n, cfg: Config, taus=(1,), v_decay=MEMORYLESS, diagonal=(), frame_steps=0):
        super().__init__()
        self.name, self.n, self.v_decay, self.frame_steps = name, n, v_decay, frame_steps
        self.sources, self.diagonal = tuple(sources), tuple(diagonal)
        self.tau, self.scale = cfg.tau, cfg.scale
        self.synapses = nn.ModuleDict({s: slayer.synapse.Dense(m, n) for s, m in sources.items() if s not in diagonal})
        self.skips = nn.ParameterDict({s: nn.Parameter(torch.ones(n)) for s in diagonal})
        for s in self.synapses.values():
            nn.init.normal_(s.weight, std=1 / math.sqrt(s.weight.shape[1]))
        self.group = n // len(taus)
        i_decay = [max(1, round(DECAY_ONE / t)) for t in taus]
        self.memoryless = min(i_decay) == DECAY_ONE
        self.register_buffer("i_decay", torch.tensor(i_decay).repeat_interleave(self.group))
        self.register_buffer("gain", torch.ones(n))
        self.register_buffer("folded", torch.tensor(False))
        self.bias = nn.Parameter(torch.zeros(n), requires_grad=False)
        self.norm = nn.BatchNorm1d(n)
        self.rate = torch.zeros(())

    def _apply(self, fn, recurse=True):
        """Moves to a device all but `folded`: Python branches on it, and to ask a GPU for it would mean to wait
        until it has done all it was given.
        """
        folded = self.folded
        super()._apply(fn, recurse)
        self.folded = folded
        return self

    def neurons(self):
        """SLAYER's own neurons for this layer, one per decay: what the forward pass stands for, and is tested
        against.
        """
        out = []
        for g in range(0, self.n, self.group):
            neuron = slayer.neuron.cuba.Neuron(
                threshold=float(self.gain[g]),
                current_decay=int(self.i_decay[g]) / DECAY_ONE,
                voltage_decay=self.v_decay / DECAY_ONE,
                tau_grad=self.tau / 100,
                scale_grad=self.scale * 10,
            )
            out.append(neuron)
        return out

    def quantized(self, weight, exact):
        """SLAYER's 8-bit quantizer (straight-through), at the layer's gain: even mantissas in [-256, 254]."""
        if not exact:
            return weight
        gain = self.gain[:, None] if weight.dim() == 2 else self.gain
        return slayer.utils.quantize(weight * gain, step=2 / 64).clamp(-256 / 64, 254 / 64) / gain

    def quantized_bias(self, exact):
        if not exact:
            return self.bias
        return slayer.utils.quantize(self.bias * self.gain, step=1 / 64).clamp(-4096 / 64, 4095 / 64) / self.gain

    def dendrite(self, inputs, exact):
        """Sum of weight @ spikes over the sources, [B, n, K]."""
        total = 0
        for s, synapse in self.synapses.items():
            w = self.quantized(synapse.weight.flatten(1), exact)
            total = total + F.linear(inputs[s].transpose(1, 2), w).transpose(1, 2)
        for s, weight in self.skips.items():
            total = total + inputs[s] * self.quantized(weight, exact)[:, None]
        return total

    def forward(self, inputs, exact=False):
        """inputs: source -> spikes [B, C, K]. Returns spikes [B, n, K]; exact: in the chip's integers (folded layers
        only).
        """
        x = self.dendrite(inputs, exact)
        i_decay = self.i_decay
        if not self.folded:
            if not self.memoryless:
                x = dynamics.leak(x, i_decay, self.frame_steps)
                i_decay = torch.full_like(i_decay, DECAY_ONE)
            rows = x.transpose(1, 2).reshape(-1, self.n)
            x = self.norm(rows).view(x.shape[0], -1, self.n).transpose(1, 2)
        s = dynamics.cuba(
            x,
            self.quantized_bias(exact),
            i_decay,
            self.v_decay,
            self.gain,
            self.tau,
            self.scale,
            self.frame_steps,
            exact,
        )
        self.rate = s.detach().mean()
        return s

    def fold(self):
        """Takes the norm into weights and bias, and chooses gains: `gamma (u - mu) / sigma + beta = (gamma / sigma)
        u + (beta - gamma mu / sigma)`.
        """
        if self.folded:
            return
        with torch.no_grad():
            factor = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
            self.bias.copy_(self.norm.bias - factor * self.norm.running_mean)
            for s in self.synapses.values():
                s.weight.mul_(factor.view(-1, 1, 1, 1, 1))
            for w in self.skips.values():
                w.mul_(factor)
            weights = torch.cat(
                [s.weight.flatten(1) for s in self.synapses.values()] + [w[:, None] for w in self.skips.values()], 1
            ).abs()
            for g in range(0, self.n, self.group):
                rows = slice(g, g + self.group)
                top = torch.quantile(weights[rows].flatten()[:: max(1, weights[rows].numel() // 100_000)], 0.999)
                room = min(
                    WEIGHT_MAX / 64 / float(top),
                    BIAS_MAX / 64 / float(self.bias[rows].abs().max().clamp(min=1e-6)),
                    GAIN_MAX,
                )
                self.gain[rows] = 2.0 ** math.floor(math.log2(room))
            self.folded.fill_(True)
            self.train_what_counts()

    def train_what_counts(self):
        """A folded layer trains its bias, one that is not its norm. To be called after a state has been loaded."""
        self.bias.requires_grad_(bool(self.folded))
        self.norm.requires_grad_(not self.folded)


class SmolMamba(nn.Module):
    """The whole net.

    `forward` returns class scores [B, classes]; `self.kept` is the open share of each gate of the last call, tensors of
    one element.
    """

    def __init__(self, cfg: Config, encoder, n_classes):
        super().__init__()
        self.cfg, self.encoder = cfg, encoder
        self.n_tokens, self.n_frames = encoder.tokens, encoder.frames
        frame_steps = self.n_tokens if cfg.state == "frame" else 0
        self.towers = ("f", "b") if cfg.scan == "twin" else ("f",)
        widths = (*cfg.stem, cfg.width)
        self.stem = nn.ModuleList()
        sources = {"tokens": encoder.channels, "phase": self.n_tokens}
        for i, n in enumerate(widths):
            self.stem.append(CubaLayer(f"stem{i}", sources, n, cfg))
            sources = {f"stem{i}": n}
        self.blocks = nn.ModuleDict()
        for t in self.towers:
            self.blocks[t] = nn.ModuleList()
            for _ in range(cfg.blocks):
                layers = {
                    "bank": CubaLayer("bank", {"x": cfg.width}, cfg.bank, cfg, taus=cfg.decays, frame_steps=frame_steps)
                }
                if cfg.gate == "read":
                    layers["gate"] = CubaLayer("gate", {"x": cfg.width}, cfg.bank, cfg)
                layers["out"] = CubaLayer(
                    "out", {"h": cfg.bank, "x": cfg.width}, cfg.width, cfg, v_decay=cfg.mix_decay, diagonal=("x",)
                )
                self.blocks[t].append(nn.ModuleDict(layers))
        self.readout = nn.ModuleDict({t: slayer.synapse.Dense(cfg.width, n_classes) for t in self.towers})
        for s in self.readout.values():
            nn.init.normal_(s.weight, std=1 / math.sqrt(cfg.width))
        self.register_buffer("readout_gain", torch.ones(()))
        self.register_buffer(
            "thresholds", torch.zeros(len(self.towers), cfg.blocks, dtype=torch.long)
        )  # 0: not calibrated, top-k
        self.kept, self.gate_inputs = {}, {}

    def _apply(self, fn, recurse=True):
        """All but the thresholds, as in `CubaLayer`."""
        thresholds = self.thresholds
        super()._apply(fn, recurse)
        self.thresholds = thresholds
        return self

    def layers(self):
        """Every `CubaLayer`."""
        return [m for m in self.modules() if isinstance(m, CubaLayer)]

    @property
    def folded(self):
        return all(bool(layer.folded) for layer in self.layers())

    def fold(self):
        """Norms into weights. The model's float function stays the same (up to rounding of float32)."""
        for layer in self.layers():
            layer.fold()
        with torch.no_grad():
            top = max(s.weight.abs().max() for s in self.readout.values())
            self.readout_gain.fill_(2.0 ** math.floor(math.log2(WEIGHT_MAX / 64 / float(top))))

    def threshold(self, tower, block):
        """The gate's spike count, 0 while it is not calibrated."""
        return int(self.thresholds[self.towers.index(tower), block])

    def set_threshold(self, tower, block, value):
        self.thresholds[self.towers.index(tower), block] = value

    def reverse(self, x):
        """Tokens of each frame in reverse order, [B, C, K]."""
        b, c, k = x.shape
        rows = x.transpose(1, 2).reshape(b, self.n_frames, self.n_tokens, c).flip(2)
        return rows.reshape(b, k, c).transpose(1, 2)

    def phase(self, like):
        """One-hot token phase [1, N, K], the same for every sample."""
        return torch.eye(self.n_tokens, device=like.device).repeat(self.n_frames, 1).T[None]

    def run_stem(self, tokens, exact, backward=False, trace=None):
        inputs = {"tokens": tokens, "phase": self.phase(tokens)}
        if backward:  # the same weights, so the phase line of step m means token N-1-m
            inputs = {"tokens": self.reverse(tokens), "phase": inputs["phase"].flip(1)}
        x = None
        for layer in self.stem:
            x = layer(inputs, exact)
            inputs = {layer.name: x}
            if trace is not None:
                trace[layer.name + ("b" if backward else "f")] = x
        return x

    def select(self, x, tower, block, exact):
        """SST-TP before a block: top-k of the score while the gates are not calibrated, then the fixed thresholds.
        Pruners without a gate stay top-k.
        """
        cfg = self.cfg
        if not cfg.keep:
            return x
        if pruning.has_gate(cfg):
            self.gate_inputs[tower, block] = x.detach()
        threshold = self.threshold(tower, block)
        if threshold:
            mask = pruning.fixed_gate(x, threshold, self.n_tokens)
        else:
            mask = pruning.top_k(x, cfg.keep[block], self.n_tokens, cfg.latency_bonus, cfg.pruner, cfg.seed)
        self.kept[tower, block] = mask.mean()
        return x * mask[:, None]

    def run_tower(self, x, tower, exact, trace=None):
        for i, block in enumerate(self.blocks[tower]):
            if self.cfg.scan == "reversal" and i > 0:
                x = self.reverse(x)
            x = self.select(x, tower, i, exact)
            h = block["bank"]({"x": x}, exact)
            if "gate" in block:
                m = block["gate"]({"x": x}, exact)
                h_read = h * m
            else:
                m, h_read = None, h
            y = block["out"]({"h": h_read, "x": x}, exact)
            if trace is not None:
                trace |= {
                    f"{tower}{i}.{k}": v
                    for k, v in dict(sst=x, bank=h, gate=m, read=h_read, out=y).items()
                    if v is not None
                }
            x = y
        return x

    def readout_weight(self, tower, exact):
        w = self.readout[tower].weight.flatten(1)
        if not exact:
            return w
        return slayer.utils.quantize(w * self.readout_gain, step=2 / 64).clamp(-256 / 64, 254 / 64) / self.readout_gain

    def forward(self, tokens, exact=False, trace=None):
        """tokens: float [B, C, T*N], 0 or 1. exact: in the chip's integers. trace: a dict to be filled with every
        layer's spikes.
        """
        logits = 0
        shared = None if exact else self.run_stem(tokens, False, trace=trace)
        for t in self.towers:
            if exact:
                x = self.run_stem(tokens, True, backward=t == "b", trace=trace)
            else:
                x = shared if t == "f" else self.reverse(shared)
            x = self.run_tower(x, t, exact, trace)
            counts, w = x.sum(2), self.readout_weight(t, exact)
            if exact and not self.training:  # float32 holds the integer sums of long streams no longer
                counts, w = counts.double(), w.double()
            logits = logits + counts @ w.T
        # One spike in eight is the usual rate: brings the scores to the order of 1 for the loss.
        return logits * (8 / tokens.shape[2])


def logit_integers(model, logits, steps):
    """Scores of `SmolMamba.forward(exact=True)` as the chip's integers, the sum over the stream of the weight
    mantissas.
    """
    return (logits.double() * steps / 8 * float(model.readout_gain) * (1 << STATE_SHIFT)).round().long()

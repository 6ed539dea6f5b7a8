"""One layer of CUBA neurons: SLAYER synapses and neurons, run by `train.dynamics`."""

# torch says of every attribute of a module that it may be a module itself.
# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false, reportOptionalOperand=false

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sim.integer import (
    BIAS_MAX,
    BIAS_MIN,
    DECAY_ONE,
    INPUT_LIMIT,
    SHIFT_MAX,
    STATE_LIMIT,
    WEIGHT_MAX,
    WEIGHT_MIN,
    WEIGHT_STEP,
)
from sim.net import PHASE, TOKENS

from .. import dynamics, stage
from ..config import Config
from .pixels import rounded
from .slayer import slayer

MEMORYLESS = 4095  # the chip's membrane decay has 12 bits; the 1/4096 that stays is part of the semantics
GAIN_MAX = 64.0  # keeps 64 * gain * threshold far below the 24-bit edge
UNIT = 64  # mantissas of a weight of 1 at gain 1
TOP = 1 - 1 / UNIT  # the largest bias of a quiet layer, one unit of it below the threshold at gain 1


def quantized_weight(weight: torch.Tensor, gain: torch.Tensor | None) -> torch.Tensor:
    """SLAYER's 8-bit quantizer (straight-through): even mantissas in [-256, 254], as weights at `gain`."""
    whole = slayer.utils.quantize(weight * gain, step=2 / UNIT)
    return whole.clamp(WEIGHT_MIN / UNIT, WEIGHT_MAX / UNIT) / gain


def _room(weights) -> float:
    """The largest gain at which all but a thousandth of some weights are in range."""
    size = weights.abs().flatten()
    top = torch.quantile(size[:: max(1, size.numel() // 100_000)], 0.999)
    return WEIGHT_MAX / UNIT / float(top.clamp(min=1e-6))


class CubaLayer(nn.Module):
    """CUBA neurons with synapses from one or more sources.

    Where nothing comes in, at an empty place of the stream, a layer without memory must not fire, with nothing but its
    parameters to see to it. The bias of a layer that reads the phase rides on the phase lines, of which an empty place
    has none; that of another (a *quiet* one) stays below the threshold.

    Args:
        sources: name -> number of channels. diagonal: names among them whose synapse is one weight per channel.
        taus: time constant of the current per group of neurons, in steps (1: none); the n neurons are split evenly.
        v_decay: membrane decay, 0..4095. frame_steps: reset the states every so many steps, 0 for once a sample.
        silence: whether the stream has empty places.
        message_bits: of graded tokens, 0 for spikes. Until they are folded, the weights of graded ones are `whitening`
            times what is trained.

    Attributes:
        masks: source -> bool [n, m], synapses that there are; those from `phase` and the diagonal ones all stay.
        rate: spikes per neuron and step of the last call.
    """

    def __init__(
        self,
        name,
        sources,
        n,
        cfg: Config,
        taus=(1,),
        v_decay=MEMORYLESS,
        diagonal=(),
        frame_steps=0,
        silence=False,
        message_bits=0,
    ):
        super().__init__()
        self.name, self.n, self.v_decay, self.frame_steps = name, n, v_decay, frame_steps
        self.sources, self.diagonal = tuple(sources), tuple(diagonal)
        self.tau, self.scale = cfg.tau, cfg.scale
        self.synapses = nn.ModuleDict({s: slayer.synapse.Dense(m, n) for s, m in sources.items() if s not in diagonal})
        self.skips = nn.ParameterDict({s: nn.Parameter(torch.ones(n)) for s in diagonal})
        for s, synapse in self.synapses.items():
            nn.init.normal_(synapse.weight, std=1 / math.sqrt(synapse.weight.shape[1]))
            if s != PHASE:
                self.register_buffer(f"mask_{s}", torch.ones(n, sources[s], dtype=torch.bool))
        self.message_bits = message_bits
        if message_bits:
            self.register_buffer("whitening", torch.eye(sources[TOKENS]))
            self.register_buffer("token_gain", torch.ones(()))
        self.group = n // len(taus)
        i_decay = [max(1, round(DECAY_ONE / t)) for t in taus]
        self.memoryless = min(i_decay) == DECAY_ONE
        self.quiet = silence and self.memoryless and v_decay == MEMORYLESS and PHASE not in sources
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

    @property
    def masks(self) -> dict:
        return {s: getattr(self, f"mask_{s}") for s in self.synapses if s != PHASE}

    def neurons(self) -> list:
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

    def weight(self, source: str, exact: bool = False) -> torch.Tensor:
        """[n, m] weights of a dense synapse, 0 where there is none, or [n] of a diagonal one; exact: as the chip has
        them. Those of graded tokens are, once they are folded, in any case: each makes up for the rounding of others.
        """
        if source in self.diagonal:
            w, gain = self.skips[source], self.gain
        else:
            w, gain = self.synapses[source].weight.flatten(1), self.gain[:, None]
            if source == TOKENS and self.message_bits:
                gain = self.token_gain
                if not self.folded:
                    with torch.autocast(w.device.type, enabled=False):
                        w = w @ self.whitening
            if source != PHASE:
                w = w * getattr(self, f"mask_{source}")
        exact = exact or (source == TOKENS and bool(self.message_bits) and bool(self.folded))
        return quantized_weight(w, gain) if exact else w

    def biases(self, exact: bool = False) -> torch.Tensor:
        """[n] biases, in a quiet layer below the threshold by what a membrane can keep of the step before (it has a
        4096th of at most the threshold left, less than one unit of the bias); exact: as the chip has them.
        """
        b = self.bias
        if self.quiet:
            top = 1 - 1 / (UNIT * self.gain)  # straight-through, as rounding is
            b = b + (torch.minimum(b, top) - b).detach()
        if not exact:
            return b
        whole = slayer.utils.quantize(b * self.gain, step=1 / UNIT)
        return whole.clamp(BIAS_MIN / UNIT, BIAS_MAX / UNIT) / self.gain

    def dendrite(self, inputs: dict[str, torch.Tensor], exact: bool = False) -> torch.Tensor:
        """Sum of weight @ spikes over the sources, [B, n, K]."""
        total: Any = 0
        for s in self.synapses:
            w = self.weight(s, exact)
            if s == PHASE:  # one line at a time: its column, and nothing at an empty place
                columns = torch.cat([w.T, w.new_zeros(1, self.n)])
                total = total + F.embedding(inputs[s], columns).transpose(1, 2)
            elif s == TOKENS and self.message_bits:
                total = total + self._graded(inputs[s].transpose(1, 2), w, exact).transpose(1, 2)
            else:
                total = total + F.linear(inputs[s].transpose(1, 2), w).transpose(1, 2)
        for s in self.diagonal:
            total = total + inputs[s] * self.weight(s, exact)[:, None]
        return total

    def _graded(self, messages, w, exact):
        """What graded tokens bring, [B, K, n]: messages in shares of 2**bits; exact: the sum of mantissas times
        messages, less its lowest bits (straight-through).
        """
        if not exact:
            return F.linear(messages / (1 << self.message_bits), w)
        share = UNIT * self.gain / (1 << self.message_bits)
        total = F.linear(messages, w)
        whole = torch.floor(total.detach() * share) / (UNIT * self.gain)
        return total / (1 << self.message_bits) + (whole - total.detach() / (1 << self.message_bits))

    def forward(
        self,
        inputs: dict[str, torch.Tensor],
        exact: bool = False,
        filled: torch.Tensor | None = None,
        state: Any = None,
        held: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Spikes [B, n, K].

        Args:
            inputs: source -> spikes [B, C, K]; `phase` -> int64 [B, K], the line that is on, N for none.
            exact: in the chip's integers (folded layers only).
            filled: [B, 1, K], 0 at empty places, or None where there are none: makes a layer that reads the phase
                silent there until it is folded.
            held: [B, 1, K], 1 where a stage of the token pruning holds the token back (`train.stage`), or None.
            state: (u, v) [B, n] to begin with, overwritten with those at the end; None: zeros.
        """
        x = self.dendrite(inputs, exact)
        i_decay = self.i_decay
        if not self.folded:
            if not self.memoryless:
                x = dynamics.leak(x, i_decay, self.frame_steps, None if state is None else state[0].clone())
                if state is not None:
                    state[0].copy_(x.detach()[..., -1])
                i_decay = torch.full_like(i_decay, DECAY_ONE)
            rows = x.transpose(1, 2).reshape(-1, self.n)
            normed = self.norm(rows)
            if self.quiet:
                normed = normed - F.relu(self._nothing(rows) - TOP)
            x = normed.view(x.shape[0], -1, self.n).transpose(1, 2)
            if state is not None:  # the current that goes on is the one before the norm
                state = torch.zeros_like(state[0]), state[1]
        if held is not None:
            x = x + stage.inhibition(held, self.gain, UNIT)
        s = dynamics.cuba(
            x,
            self.biases(exact),
            i_decay,
            self.v_decay,
            self.gain,
            self.tau,
            self.scale,
            self.frame_steps,
            exact,
            state,
        )
        if filled is not None and not self.folded:
            s = s * filled
        self.rate = s.detach().mean()
        return s

    def _nothing(self, rows):
        """[n] What the norm makes of no input, by the statistics of `rows` in training; the bias once it is folded."""
        norm = self.norm
        if not self.training:
            mean, var = norm.running_mean, norm.running_var
        elif hasattr(norm, "seen"):
            mean, var = norm.seen
        else:
            var, mean = torch.var_mean(rows.detach().float(), 0, correction=0)
        return norm.bias - norm.weight * mean / torch.sqrt(var + norm.eps)

    def fold(self) -> None:
        """Takes the norm into weights and bias, and chooses gains: `gamma (u - mu) / sigma + beta = (gamma / sigma)
        u + (beta - gamma mu / sigma)`.
        """
        if self.folded:
            return
        with torch.no_grad():
            factor = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
            self.bias.copy_(self.norm.bias - factor * self.norm.running_mean)
            if self.message_bits:
                weight = self.synapses[TOKENS].weight
                weight.copy_((weight.flatten(1) @ self.whitening).view_as(weight))
                white = self.whitening.clone()
                self.whitening.copy_(torch.eye(len(white)))
            for s in self.synapses.values():
                s.weight.mul_(factor.view(-1, 1, 1, 1, 1))
            for w in self.skips.values():
                w.mul_(factor)
            if self.quiet:
                self.bias.clamp_(max=TOP)
            if PHASE in self.synapses:
                self.synapses[PHASE].weight.add_(self.bias.view(-1, 1, 1, 1, 1))
                self.bias.zero_()
            for g in range(0, self.n, self.group):
                rows = slice(g, g + self.group)
                self.gain[rows] = self._gain(rows)
            if self.message_bits:
                self._round_tokens(white)
            self.folded.fill_(True)
            self.train_what_counts()

    def _gain(self, rows):
        """The largest power of two at which all but a thousandth of the weights, and all biases, are in range."""
        sources = [s for s in self.sources if not (s == TOKENS and self.message_bits)]
        weights = torch.cat([self.weight(s).reshape(self.n, -1)[rows].flatten() for s in sources])
        room = min(
            _room(weights),
            BIAS_MAX / UNIT / float(self.bias[rows].abs().max().clamp(min=1e-6)),
            GAIN_MAX,
        )
        if self.message_bits:
            room = min(room, self._token_gain(room))
        return 2.0 ** math.floor(math.log2(room))

    def _token_gain(self, room):
        """Chooses the gain of the weights of graded tokens, which is apart from that of all else: their sum loses
        `shift` bits on the way. Returns the layer's largest gain by them; room: by all else.
        """
        weight, most = self.weight(TOKENS), float(self.weight(TOKENS).abs().sum(1).max().clamp(min=1e-6)) * UNIT
        own = min(
            _room(weight),
            STATE_LIMIT / 2 / most / (1 << self.message_bits),  # sums of mantissas times messages have 24 bits
            2.0 ** math.floor(math.log2(room)) * 2.0 ** (SHIFT_MAX - self.message_bits),
        )
        self.token_gain.fill_(2.0 ** math.floor(math.log2(own)))
        return min(float(self.token_gain) * (1 << self.message_bits), INPUT_LIMIT / 2 / most)

    def _round_tokens(self, white):
        """Weights of graded tokens to what the chip can have, which rounding then leaves as they are."""
        weight, unit = self.synapses[TOKENS].weight, UNIT * float(self.token_gain)
        ends = WEIGHT_MIN // WEIGHT_STEP, WEIGHT_MAX // WEIGHT_STEP
        weight.copy_(rounded(weight.flatten(1), white, WEIGHT_STEP / unit, *ends).view_as(weight))

    @property
    def shift(self) -> int:
        """Lowest bits that the sum of graded tokens loses, once the layer is folded."""
        return self.message_bits + round(math.log2(float(self.token_gain) / float(self.gain[0])))

    def train_what_counts(self) -> None:
        """A folded layer trains its bias (the phase weights hold it, if there are any), one that is not its norm. To be
        called after a state has been loaded.
        """
        self.bias.requires_grad_(bool(self.folded) and PHASE not in self.synapses)
        self.norm.requires_grad_(not self.folded)

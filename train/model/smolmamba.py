"""Vision SmolMamba as a SLAYER net over a token stream (our reconstruction; only the paper's abstract is public here).

Tensors are `[batch, channels, steps]`, step `k = t*K + i` is what stands at place `i` of frame `t`: a token, or nothing
(`sim.net.tokens`; which tokens are sent, and in which order, the encoder has decided). One tower:

    tokens, phase -> stem -> x
    per block:  x                                   held back for tokens of few spikes (`train.stage`), if asked for
                h  = bank(x)                        diagonal recurrence in the dendritic current, one decay per mode
                h  = h AND gate(x)                  spiking read gate
                x  = out(h, x)                      projection plus skip, memoryless
    read-out: W @ (number of spikes of each channel)

Frames that are read forward and backward by turns show one tower both directions over a sample; with `scan` "twin" a
second tower reads each frame backward, and the read-out joins the two.

Every layer is one `CubaLayer`. A model is first trained in float with a norm on each current; `fold` takes the norms
into weights and biases, and from then on the forward pass is the chip's.
"""

# torch says of every attribute of a module that it may be a module itself.
# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from sim.integer import STATE_SHIFT, WEIGHT_MAX
from sim.net import PHASE, TOKENS

from .. import stage
from ..config import Config
from . import names
from .layer import UNIT, CubaLayer, quantized_weight
from .slayer import slayer


@dataclass(frozen=True)
class Edge:
    """The synapses from one source (an input or a layer) to one layer, by their names in the net.

    Attributes:
        size: neurons of the source.
        synapses: called with `exact`, gives bool [neurons of the target, size], where there is a synapse; bool [size]
            if each neuron has the one of its own number.
    """

    source: str
    target: str
    size: int
    synapses: Callable

    def nonzero(self, exact: bool = False) -> torch.Tensor:
        """Synapses that the masks leave, or, exact, whose integer weight is not 0."""
        return self.synapses(exact)


@dataclass
class _Pass:
    """What one call of the model goes along with."""

    exact: bool
    trace: dict | None
    state: dict | None
    activity: dict = field(default_factory=dict)

    def run(self, name, layer, inputs, filled=None, held=None):
        state = None
        if self.state is not None:
            b = next(iter(inputs.values()))
            zeros = lambda: torch.zeros(len(b), layer.n, device=b.device)  # noqa: E731
            state = tuple(x.clone() for x in self.state[name]) if name in self.state else (zeros(), zeros())
            self.state[name] = state
        s = layer(inputs, self.exact, filled, state, held)
        self.note(name, s)
        return s

    def note(self, name, s):
        self.activity[name] = s.sum((0, 2))
        if self.trace is not None:
            self.trace[name] = s


class SmolMamba(nn.Module):
    """The whole net.

    Attributes:
        activity: name of each input and layer in the net -> float [n], its neurons' spikes in the last call, summed
            over samples and steps; those of layers with their gradients' history, until someone lets go of it.
    """

    def __init__(self, cfg: Config, encoder, n_classes):
        super().__init__()
        self.cfg, self.encoder = cfg, encoder
        self.n_tokens, self.n_frames, self.n_places = encoder.tokens, encoder.frames, encoder.per_frame
        self.steps, empty = encoder.steps, encoder.places > 0
        frame_steps = self.n_places if cfg.state == "frame" else 0
        self.towers = ("f", "b") if cfg.scan == "twin" else ("f",)
        widths = (*cfg.stem, cfg.width)
        self.stem = nn.ModuleList()
        sources = {TOKENS: encoder.channels, PHASE: self.n_tokens}
        for i, n in enumerate(widths):
            bits = 0 if i else encoder.message_bits
            self.stem.append(CubaLayer(f"stem{i}", sources, n, cfg, silence=empty, message_bits=bits))
            sources = {f"stem{i}": n}
        self.blocks = nn.ModuleDict()
        for t in self.towers:
            self.blocks[t] = nn.ModuleList()
            for _ in range(cfg.blocks):
                self.blocks[t].append(_block(cfg, frame_steps, empty))
        self.readout = nn.ModuleDict({t: slayer.synapse.Dense(cfg.width, n_classes) for t in self.towers})
        for t, s in self.readout.items():
            nn.init.normal_(s.weight, std=1 / math.sqrt(cfg.width))
            self.register_buffer(f"readout_mask_{t}", torch.ones(n_classes, cfg.width, dtype=torch.bool))
        self.register_buffer("readout_gain", torch.ones(()))
        self.activity = {}

    def layers(self) -> list[CubaLayer]:
        """Every `CubaLayer`."""
        return [m for m in self.modules() if isinstance(m, CubaLayer)]

    def named(self) -> dict:
        """Name in the net -> `CubaLayer`, in the order of the net; a stem that two towers share is there twice."""
        out = {}
        for t in self.towers:
            out |= {names.stem(t, i): layer for i, layer in enumerate(self.stem)}
            for b, block in enumerate(self.blocks[t]):
                out |= {names.block(t, b, part): layer for part, layer in block.items()}
        return out

    @property
    def folded(self) -> bool:
        return all(bool(layer.folded) for layer in self.layers())

    @property
    def readout_masks(self) -> dict:
        """Tower -> bool [classes, width]."""
        return {t: getattr(self, f"readout_mask_{t}") for t in self.towers}

    def fold(self) -> None:
        """Norms into weights. The model's float function stays the same (up to rounding of float32, and to biases above
        the threshold in quiet layers).
        """
        for layer in self.layers():
            layer.fold()
        with torch.no_grad():
            top = max(s.weight.abs().max() for s in self.readout.values())
            self.readout_gain.fill_(2.0 ** math.floor(math.log2(WEIGHT_MAX / UNIT / float(top))))

    def readout_weight(self, tower: str, exact: bool = False) -> torch.Tensor:
        """[classes, width]"""
        w = self.readout[tower].weight.flatten(1) * self.readout_masks[tower]
        return quantized_weight(w, self.readout_gain) if exact else w

    def reverse(self, x: torch.Tensor) -> torch.Tensor:
        """The places of each frame in reverse order, [B, ..., T*K]."""
        return x.unflatten(-1, (self.n_frames_of(x), self.n_places)).flip(-1).flatten(-2)

    def n_frames_of(self, x: torch.Tensor) -> int:
        return x.shape[-1] // self.n_places

    def hold(
        self, tower: str, b: int, witness: torch.Tensor, filled: torch.Tensor | None, now: _Pass
    ) -> torch.Tensor | None:
        """Whom the stage before block `b` holds back, by the spikes of its witness; None without a stage."""
        if b >= len(self.cfg.inner) or not self.cfg.inner[b]:
            return None
        held = stage.weak(witness, filled, self.cfg.inner[b])
        now.note(names.block(tower, b, "sst"), held.expand(-1, stage.NEURONS, -1))
        return held

    def run_tower(self, tower: str, x: torch.Tensor, filled: torch.Tensor | None, now: _Pass) -> torch.Tensor:
        for b, block in enumerate(self.blocks[tower]):
            at = lambda part: names.block(tower, b, part)  # noqa: B023, E731
            h = now.run(at("bank"), block["bank"], {"x": x})
            if "gate" in block:
                h = h * now.run(at("gate"), block["gate"], {"x": x})
                now.note(at("read"), h)
            held = self.hold(tower, b + 1, x, filled, now)
            x = now.run(at("out"), block["out"], {"h": h, "x": x}, held=held)
        return x

    def run_stem(
        self, tower: str, tokens: torch.Tensor, line: torch.Tensor, filled: torch.Tensor | None, now: _Pass
    ) -> list[torch.Tensor]:
        """The spikes of every stem layer, first to last."""
        again = self._again(tokens, now)
        if again is not None:
            return self._stem_once(tower, tokens, line, again, now)
        inputs, out, last = {TOKENS: tokens, PHASE: line}, [], len(self.stem) - 1
        for i, layer in enumerate(self.stem):
            held = self.hold(tower, 0, next(iter(inputs.values())), filled, now) if i == last else None
            out.append(now.run(names.stem(tower, i), layer, inputs, filled if i == 0 else None, held))
            inputs = {layer.name: out[-1]}
        return out

    def _again(self, tokens, now):
        """int64 [T*K]: where in the first frame each place's token stands, if every frame is the same picture and all
        its tokens are sent; memoryless layers then need see it only once. None where that is not known, and in
        integers.
        """
        e = self.encoder
        if not e.message_bits or e.places or now.exact or now.state is not None or any(self.cfg.inner):
            return None
        if tokens.shape[-1] != self.steps:
            return None
        first = np.argsort(e.orders[0])
        order = np.concatenate([first[e.orders[t % len(e.orders)]] for t in range(self.n_frames)])
        return torch.from_numpy(order.astype(np.int64)).to(tokens.device)

    def _stem_once(self, tower, tokens, line, again, now):
        n = self.n_tokens
        inputs, out = {TOKENS: tokens[..., :n], PHASE: line[:, :n]}, []
        for i, layer in enumerate(self.stem):
            spikes = layer(inputs)
            inputs = {layer.name: spikes}
            out.append(spikes.index_select(2, again))
            now.note(names.stem(tower, i), out[-1])
        return out

    def forward(
        self,
        tokens: torch.Tensor,
        which: torch.Tensor,
        exact: bool = False,
        trace: dict | None = None,
        state: Any = None,
        chain: int = 1,
    ) -> torch.Tensor:
        """Class scores [B, classes].

        Args:
            tokens: float [B, C, T*K], 0 or 1, of pictures messages. which: int64 [B, T*K], the token on turn, -1 at
                an empty place.
            exact: in the chip's integers.
            trace: a dict to be filled with every layer's spikes, [B, n, T*K] by name.
            state: a dict, name of a layer -> (u, v) [B, n] that it begins with (zeros for one that is not in it), which
                is filled with what it ends with, without history; None: begin at zero. Streams of other whole numbers
                of frames than T may be run so.
            chain: samples that stand one after the other in a stream, with no reset between them: the scores of each
                are given, [B * chain, classes].
        """
        now = _Pass(exact, trace, state)
        filled = (which >= 0).to(tokens.dtype)[:, None] if self.encoder.places else None
        line, logits, shared = torch.where(which < 0, self.n_tokens, which), 0, None
        counts = torch.zeros(self.n_tokens + 1, device=line.device).index_add_(
            0, line.flatten(), torch.ones(line.numel(), device=line.device)
        )
        spikes = (tokens.detach() != 0).sum((0, 2)).float()
        for t in self.towers:
            now.activity |= dict(zip(names.inputs(t).values(), (spikes, counts[:-1])))
            if t == "b":
                tokens, line = self.reverse(tokens), self.reverse(line)
                filled = None if filled is None else self.reverse(filled)
            if shared is not None and not exact and state is None:  # memoryless: the same spikes, the other way round
                shared = [self.reverse(x) for x in shared]
                for i, x in enumerate(shared):
                    now.note(names.stem(t, i), x)
                self.hold(t, 0, shared[-2] if len(shared) > 1 else tokens, filled, now)
            else:
                shared = self.run_stem(t, tokens, line, filled, now)
            x = self.run_tower(t, shared[-1], filled, now)
            counts_of = x.unflatten(2, (chain, -1)).sum(3).transpose(1, 2).flatten(0, 1)
            w = self.readout_weight(t, exact)
            if exact and not self.training:  # float32 holds the integer sums of long streams no longer
                counts_of, w = counts_of.double(), w.double()
            logits = logits + counts_of @ w.T
        self.activity = now.activity
        # One spike in eight is the usual rate: brings the scores to the order of 1 for the loss.
        return logits * (8 * chain / tokens.shape[2])

    def sizes(self) -> dict:
        """Name in the net -> number of neurons, of all layers."""
        out = {name: layer.n for name, layer in self.named().items()}
        for t in self.towers:
            out |= {names.block(t, b, "read"): self.cfg.bank for b in range(self.cfg.blocks) if self.cfg.gate == "read"}
            out |= {names.block(t, b, "sst"): stage.NEURONS for b, least in enumerate(self.cfg.inner) if least}
        return out | {names.READOUT: len(self.readout["f"].weight)}

    def witnesses(self) -> dict:
        """(tower, block) -> names of the stage before the block, of its phase input, its witness and the layer that it
        inhibits, for each stage inside the net.
        """
        out = {}
        for t in self.towers:
            line = names.inputs(t)
            stem = [line[TOKENS], *(names.stem(t, i) for i in range(len(self.stem)))]
            sends = [stem[-1], *(names.block(t, b, "out") for b in range(self.cfg.blocks))]
            for b, least in enumerate(self.cfg.inner):
                if least:
                    witness = sends[b - 1] if b else stem[-2]
                    out[t, b] = names.block(t, b, "sst"), line[PHASE], witness, sends[b]
        return out

    def edges(self) -> list:
        """Every `Edge` of the net."""
        out = []
        for t in self.towers:
            x = names.inputs(t)
            for i, layer in enumerate(self.stem):
                out += [_dense(x[s], names.stem(t, i), layer, s) for s in layer.sources]
                x = {f"stem{i}": names.stem(t, i)}
            x = names.stem(t, len(self.stem) - 1)
            for b, block in enumerate(self.blocks[t]):
                at = lambda part: names.block(t, b, part)  # noqa: B023, E731
                h = at("bank")
                out.append(_dense(x, h, block["bank"], "x"))
                if "gate" in block:
                    out.append(_dense(x, at("gate"), block["gate"], "x"))
                    out += [_one_each(at(part), at("read"), block["bank"].gain) for part in ("bank", "gate")]
                    h = at("read")
                out += [_dense(h, at("out"), block["out"], "h"), _skip(x, at("out"), block["out"])]
                x = at("out")
            synapses = lambda exact, t=t: (  # noqa: E731
                self.readout_weight(t, True).detach() != 0 if exact else self.readout_masks[t]
            )
            out.append(Edge(x, names.READOUT, self.cfg.width, synapses))
        sizes = self.sizes() | {i: self.n_tokens for t in self.towers for i in names.inputs(t).values()}
        sizes |= {names.inputs(t)[TOKENS]: self.encoder.channels for t in self.towers}
        for sst, line, witness, layer in self.witnesses().values():
            out += [
                _all(s, target, sizes, self.readout_gain) for s, target in ((line, sst), (witness, sst), (sst, layer))
            ]
        return out


def _block(cfg, frame_steps, empty):
    x = {"x": cfg.width}
    layers = {"bank": CubaLayer("bank", x, cfg.bank, cfg, taus=cfg.decays, frame_steps=frame_steps)}
    if cfg.gate == "read":
        layers["gate"] = CubaLayer("gate", x, cfg.bank, cfg, silence=empty)
    both = {"h": cfg.bank, "x": cfg.width}
    layers["out"] = CubaLayer("out", both, cfg.width, cfg, v_decay=cfg.mix_decay, diagonal=("x",), silence=empty)
    return nn.ModuleDict(layers)


def _dense(source, target, layer, s):
    """The edge of a layer's dense synapse `s`."""
    weight = layer.synapses[s].weight

    def synapses(exact):
        if exact:
            return layer.weight(s, True).detach() != 0
        mask = layer.masks.get(s)
        return torch.ones(weight.shape[:2], dtype=torch.bool, device=weight.device) if mask is None else mask

    return Edge(source, target, weight.shape[1], synapses)


def _all(source, target, sizes, like):
    shape = sizes[target], sizes[source]
    return Edge(source, target, shape[1], lambda exact: torch.ones(shape, dtype=torch.bool, device=like.device))


def _one_each(source, target, like):
    return Edge(source, target, len(like), lambda exact: torch.ones_like(like, dtype=torch.bool))


def _skip(source, target, layer):
    there = lambda exact: layer.weight("x", True).detach() != 0 if exact else torch.ones_like(layer.gain) > 0  # noqa: E731
    return Edge(source, target, layer.n, there)


def logit_integers(model: SmolMamba, logits: torch.Tensor, steps: int) -> torch.Tensor:
    """Scores of `SmolMamba.forward(exact=True)` as the chip's integers, the sum over the stream of the weight
    mantissas.
    """
    return (logits.double() * steps / 8 * float(model.readout_gain) * (1 << STATE_SHIFT)).round().long()

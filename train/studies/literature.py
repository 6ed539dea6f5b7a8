"""Operations of a net on real spikes, and their energy as the literature of spiking networks counts it.

Two countings of the same spikes:

- **synops**, those of the chip's graph, as `sim.engine` counts them (a test holds them equal): for every spike one for
each non-zero weight that it
  meets; at a token gate those of `sim.engine.gate_synops`.
- **AC and MAC** of the literature (45 nm, 32-bit floating point: 0.9 pJ an addition, 4.6 pJ a multiplication with an
addition; M. Horowitz, ISSCC 2014).
  AC: every synop of a layer, the position embedding included (its phase line spikes at every step); at the pruner one
      for each spike counted and one
  for the comparison of each token in each frame. MAC: the decay of each current that is a recurrence and of each
      membrane that is not memoryless,
  one per neuron and step, spike or no spike.

docs/ablations.md says what is left out.
"""

from dataclasses import dataclass
from functools import singledispatch

import torch

from sim.engine.batch import gate_synops
from sim.integer import DECAY_ONE

from ..data import to_stream
from ..model import MEMORYLESS, SmolMamba

AC_PJ, MAC_PJ = 0.9, 4.6


@dataclass(frozen=True)
class Part:
    """Operations of one part of a net, summed over all samples.

    Attributes:
        neurons: their number. spikes: those that they send.
        synops: as on the chip's graph; None where there is none. acs, macs: as in the literature.
    """

    name: str
    neurons: int
    spikes: int
    synops: int
    acs: int
    macs: int

    @property
    def picojoule(self):
        return AC_PJ * self.acs + MAC_PJ * self.macs

    def __add__(self, other):
        return Part(
            self.name,
            self.neurons,
            self.spikes + other.spikes,
            None if self.synops is None else self.synops + other.synops,
            self.acs + other.acs,
            self.macs + other.macs,
        )


@torch.no_grad()
def operations(model, x, batch=64, device="cpu"):
    """[Part] of a model in evaluation mode on token spikes uint8 [n, K, C], in the order of the net.

    A `SmolMamba` must be folded.
    """
    model.eval()
    total = None
    for i in range(0, len(x), batch):
        parts = batch_operations(model, to_stream(x[i : i + batch], device))
        total = parts if total is None else [a + b for a, b in zip(total, parts)]
    return total


@singledispatch
def batch_operations(model, tokens):
    """[Part] of one batch of token spikes, float [B, C, K]."""
    raise TypeError(type(model).__name__)


@batch_operations.register
def _(model: SmolMamba, tokens):
    trace = {}
    model(tokens, exact=True, trace=trace)
    batch, _, steps = tokens.shape
    sums = {name: x.double().sum((0, 2)).long() for name, x in trace.items()}  # spikes of each neuron
    sums["tokens"] = tokens.double().sum((0, 2)).long()
    sums["phase"] = torch.full((model.n_tokens,), batch * model.n_frames, device=tokens.device)
    parts, read = [], 0

    def add(name, layer, sources, sent):
        ops = layer_synops(layer, {s: sums[key] for s, key in sources.items()})
        parts.append(Part(name, layer.n, int(sums[sent].sum()), ops, ops, decays(layer) * batch * steps))

    for t in model.towers:
        source = {"tokens": "tokens", "phase": "phase"}
        for layer in model.stem:
            add(f"{t}.{layer.name}", layer, source, layer.name + t)
            x = layer.name + t
            source = {layer.name: x}
        for i, block in enumerate(model.blocks[t]):
            at = f"{t}{i}"
            if model.cfg.keep:
                parts.append(
                    Part(
                        f"{at}.sst",
                        model.n_tokens,
                        int(sums[f"{at}.sst"].sum()),
                        gate_synops(sums[x].cpu().numpy()),
                        int(sums[x].sum()) + batch * steps,
                        0,
                    )
                )
            add(f"{at}.bank", block["bank"], {"x": f"{at}.sst"}, f"{at}.bank")
            if "gate" in block:
                add(f"{at}.gate", block["gate"], {"x": f"{at}.sst"}, f"{at}.gate")
                both = int(sums[f"{at}.bank"].sum() + sums[f"{at}.gate"].sum())  # two identity synapses
                parts.append(Part(f"{at}.read", block["bank"].n, int(sums[f"{at}.read"].sum()), both, both, 0))
            add(f"{at}.out", block["out"], {"h": f"{at}.read", "x": f"{at}.sst"}, f"{at}.out")
            x = f"{at}.out"
        read += int((sums[x] * (model.readout_weight(t, True) != 0).sum(0)).sum())
    return [*parts, Part("readout", len(model.readout_weight(t, True)), 0, read, read, 0)]


def layer_synops(layer, sums):
    """One for every spike and non-zero weight that it meets.

    sums: source -> spikes of each of its neurons, integers [m].
    """
    total = 0
    for s, synapse in layer.synapses.items():
        total += int((sums[s] * (layer.quantized(synapse.weight.flatten(1), True) != 0).sum(0)).sum())
    for s, weight in layer.skips.items():
        total += int((sums[s] * (layer.quantized(weight, True) != 0)).sum())
    return total


def decays(layer):
    """Multiplications of a layer per step: the neurons whose current decays, and those whose membrane does."""
    return int((layer.i_decay < DECAY_ONE).sum()) + (layer.n if layer.v_decay < MEMORYLESS else 0)

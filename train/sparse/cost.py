"""What a sample costs on the chip, counted while the net is still trained, and how training is made to spend less.

Counted are, as by `deploy plan`, the operations of the net that `convert export` would write, from the spikes of the
model's last call (`SmolMamba.activity`):

    synops            spikes times the synapses that they meet: in the chip's integers those with a weight that is not
                      0, in the float phase those that are there, less the share that is still to be removed
    graded_synops     the same of graded tokens, messages that are not 0
    active_updates    of neurons with a bias or a lasting state, at every step; of the others at the places with a
                      token, at most as often as spikes reach them: a little more than the plan's, which looks at each
                      step
    inactive_updates  the others
    messages          spikes times the populations that they go to (one core for each)
    spikes            of all neurons; the read-out's graded ones at most as often as it is reached

Not counted are the zeros that dense lists of synapses hold, further cores of one population, and the tiles that
messages cross: that is known when the net is placed.

The loss of a training step is the classification's plus a factor times the microjoules of what spikes cause (synops,
messages, spikes), whose gradient flows through the spikes, as the surrogate of the threshold lets it; updates are a
matter of sizes and of steps. With a target (`energy_uj`) the factor is steered, epoch by epoch:

    factor <- factor * clamp((uj / (AIM * target)) ^ RESPONSE, 1 / CHANGE, CHANGE)

with `uj` what a validation sample cost after the epoch, between a hundredth and a hundred times the factor that it
began with (`energy_factor`, or where there is none FIRST / target)."""

from typing import Any

import torch

from sim.base.errors import UserError
from sim.net import PHASE, TOKENS
from sim.prices import Table, picojoules

from ..config import Config
from ..model import names
from ..model.layer import CubaLayer
from ..model.names import READOUT
from ..model.smolmamba import SmolMamba
from .removal import groups

AIM, RESPONSE, CHANGE, RANGE, FIRST = 0.96, 0.7, 1.25, 100.0, 0.2
UJ = 1e-6  # picojoules


def caused(model: SmolMamba, samples: int, exact: bool = False) -> dict:
    """Count -> mean of a sample, of what the spikes of the model's last call (of `samples`) cause: synops,
    graded_synops, messages, spikes. Tensors with the activity's history.
    """
    layers, left = model.named(), {} if model.folded or not model.cfg.removed() else _left(model)
    synops, messages = {"synops": 0.0, "graded_synops": 0.0}, 0.0
    graded = {names.inputs(t)[TOKENS] for t in model.towers if model.encoder.message_bits}
    for edge in model.edges():
        sent, there = model.activity[edge.source], edge.nonzero(exact)
        kind = "graded_synops" if edge.source in graded else "synops"
        synops[kind] += (sent * fan_out(there)).sum() * left.get((edge.source, edge.target), 1.0)
        messages = messages + (sent * lists(there, layers.get(edge.target))).sum()
    spikes = sum(model.activity[name].sum() for name in model.sizes() if name != READOUT)
    counted = {kind: value / samples for kind, value in synops.items()}
    return counted | {"messages": messages / samples, "spikes": spikes / samples}


def _left(model):
    """(source, target) -> the share of the synapses there are now that will be left when training is through."""
    shares = model.cfg.removed()
    return {
        (g.source, g.target): ((1 - shares.get(g.kind, 0.0)) / g.mask.float().mean()).clamp(max=1.0)
        for g in groups(model)
    }


def fan_out(there: Any) -> torch.Tensor:
    """float [m]: synapses that a spike of each source neuron meets, of `Edge.nonzero`."""
    return there.float() if there.dim() == 1 else there.sum(0).float()


def lists(there: Any, layer: CubaLayer | None) -> torch.Tensor:
    """float [m]: populations of the target that a spike of each source neuron goes to; `layer` becomes one for each
    decay of its current, a node without a layer is one.
    """
    if there.dim() == 1:
        return there.float()
    groups = 1 if layer is None else layer.n // layer.group
    return there.view(groups, -1, there.shape[1]).any(1).sum(0).float()


@torch.no_grad()
def counts(model: SmolMamba, samples: int, exact: bool = False) -> dict:
    """Count (`sim.prices.COUNTS`) -> mean of a sample of the model's last call, numbers."""
    out = {name: float(value) for name, value in caused(model, samples, exact).items()}
    active, read = _active(model, samples, exact)
    total = sum(model.sizes().values()) * model.steps
    return out | {
        "active_updates": active,
        "inactive_updates": total - active,
        "spikes": out["spikes"] + read,
    }


def _active(model, samples, exact):
    """(active updates, those of the read-out among them) of a sample, on average."""
    filled, layers, reached = float(model.activity[PHASE].sum()), model.named(), {}
    for edge in model.edges():
        there, spikes = edge.nonzero(exact).float(), model.activity[edge.source].detach()
        reached[edge.target] = reached.get(edge.target, 0) + (there * spikes if there.dim() == 1 else there @ spikes)
    active = {}
    for name, hits in reached.items():
        updates = hits.clamp(max=filled)
        if name in layers:
            updates = torch.where(always(layers[name], exact), model.steps * samples, updates)
        active[name] = float(updates.sum()) / samples
    return sum(active.values()), active[READOUT]


def always(layer: CubaLayer, exact: bool = False) -> torch.Tensor:
    """bool [n]: neurons of a layer that the chip counts as active at every step, by a bias or a lasting state."""
    everyone = torch.ones_like(layer.gain) > 0  # pyright: ignore[reportArgumentType]
    if not layer.memoryless or layer.v_decay < 4095:
        return everyone
    if PHASE in layer.synapses:
        return ~everyone  # its bias rides on the phase lines
    return layer.biases(True).detach() != 0 if exact else everyone


def microjoules(table: Table, counted: dict) -> Any:
    """What counted operations cost by a table, numbers or tensors; those that it has no price for cost nothing."""
    return sum(picojoules(table, counted).values()) * UJ


def least(model: SmolMamba, table: Table) -> float:
    """Microjoules of a sample without a spike: every neuron's updates, none of them active but those of neurons with a
    lasting state.
    """
    lasting = sum(layer.n for layer in model.named().values() if not layer.memoryless or layer.v_decay < 4095)
    updates = {
        "active_updates": lasting * model.steps,
        "inactive_updates": (sum(model.sizes().values()) - lasting) * model.steps,
    }
    return microjoules(table, updates)


def check_target(model: SmolMamba, table: Table) -> None:
    """UserError for a target that no net of these sizes can reach."""
    target, floor = model.cfg.energy_uj, least(model, table)
    if target and floor >= target:
        neurons = sum(model.sizes().values())
        raise UserError(
            f"energy_uj {target:g}: the updates of {neurons} neurons in {model.steps} steps alone cost {floor:.3g} uJ"
            f" by {table.name}; ask for more, or for a smaller net or a smaller share of tokens"
        )


def first_factor(cfg: Config) -> float:
    """The factor of the first epoch, per microjoule; 0 without an energy term."""
    return cfg.energy_factor or (FIRST / cfg.energy_uj if cfg.energy_uj else 0.0)


def steer(factor: float, uj: float, cfg: Config) -> float:
    """The factor of the next epoch, after one whose net costs `uj` a sample."""
    if not cfg.energy_uj:
        return factor
    change = (max(uj, 1e-9) / (AIM * cfg.energy_uj)) ** RESPONSE
    first = first_factor(cfg)
    return min(max(factor * min(max(change, 1 / CHANGE), CHANGE), first / RANGE), first * RANGE)


def rank(val: float, uj: float, cfg: Config) -> tuple:
    """What the kept net is the best of: with a target the best validation accuracy among the nets that cost no more;
    while there is none, the one that comes nearest to it. Greater is better.
    """
    if not cfg.energy_uj:
        return (1, val)
    return (1, val) if uj <= cfg.energy_uj else (0, -uj)

"""The energy that training estimates: operations of the exported net, prices of the plan, a gradient that asks for
fewer spikes, a factor that finds its way to a target.
"""

import dataclasses

import numpy as np
import pytest
import torch

import events
from convert.to_net import to_net
from deploy.chip import board
from deploy.chip.plan import plan
from sim import engine, prices
from sim.base.errors import UserError
from sim.net import PHASE
from train.config import Config
from train.data.batches import to_device
from train.model.smolmamba import SmolMamba
from train.sparse import cost
from train.sparse import removal as sparsity
from train.sparse.fold import to_integers

DRAWING = events.Encoder(height=8, width=8, window=4, stride=2, frames=4, frame_us=1000).drawing()
CFG = Config(encoder=DRAWING | {"window": 4, "stride": 2}, stem=(7,), width=6, bank=8, gate="read")
DAVIES = prices.load(prices.USUAL)


def samples(cfg, n=6):
    """Streams whose frames are sparse enough for empty places."""
    encoder, random = cfg.make_encoder(), np.random.default_rng(5)
    return encoder.streams((random.random((n, encoder.frames, 2, *encoder.frame_shape)) < 0.04).astype(np.uint8))


def awake(cfg, x, shares=None):
    """A folded model whose layers all spike, with some weights that are zero in integers."""
    torch.manual_seed(1)
    model = SmolMamba(cfg, cfg.make_encoder(), 3).train()
    for layer in model.layers():
        layer.norm.momentum = None
        layer.norm.bias.data.fill_(0.3)
    model(*to_device(x, "cpu"))
    to_integers(model, x)
    with torch.no_grad():
        for layer in model.layers():
            for synapse in layer.synapses.values():
                synapse.weight[::2, ::3] = 0
            layer.bias[::2] = 0
            for skip in layer.skips.values():
                skip[1] = 0
    return model.eval()


def run(model, x):
    with torch.no_grad():
        return model(*to_device(x, "cpu"), exact=model.folded)


@pytest.mark.parametrize(
    "changes",
    [{}, {"sparsity": 0.6}, {"scan": "twin"}, {"share": 1.0, "gate": "none", "mix_decay": 3000}],
    ids=lambda c: "-".join(c) or "usual",
)
def test_operations_are_those_of_the_exported_net(changes):
    """Synops, spikes and messages to the last one; updates against a count of every step, which they may exceed."""
    cfg = dataclasses.replace(CFG, **changes)
    x = samples(cfg)
    model = awake(cfg, x)
    run(model, x)
    found = cost.counts(model, len(x), exact=True)
    net = to_net(model, "abc", {})
    ran = engine.run(net, x, trace="all")
    assert found["synops"] * len(x) == pytest.approx(sum(ran.synops.values()), abs=0.01)
    active, messages, sent = 0, 0, 0
    for node in net.nodes:
        reached = sum((ran.traces[s.source].astype(int) @ (s.weight != 0).T.astype(int)) for s in node.synapses) > 0
        decays = getattr(node, "i_decay", np.full(node.size, 4096))
        if node is not net.nodes[-1]:
            reached |= (node.bias != 0) | (decays < 4096) | (node.v_decay < 4095)
            sent += int(ran.traces[node.name].sum())
        active += int(reached.sum())
        for s in node.synapses:
            for decay in np.unique(decays):
                rows = (s.weight[decays == decay] != 0).any(0)
                messages += int(ran.traces[s.source][..., rows].sum())
    total = net.steps * sum(n.size for n in net.nodes)
    assert found["active_updates"] + found["inactive_updates"] == pytest.approx(total)
    assert active / len(x) <= found["active_updates"] <= 1.15 * active / len(x)
    assert found["messages"] * len(x) == pytest.approx(messages, abs=0.01)
    assert sent / len(x) <= found["spikes"] <= sent / len(x) + 3 * net.steps


@pytest.mark.parametrize("changes", [{}, {"sparsity": 0.6, "scan": "twin"}], ids=["usual", "sparse twin"])
def test_the_plan_of_the_exported_net_says_the_same(changes):
    """All but what is known only when the net is placed: zeros in dense lists, and tiles that messages cross."""
    cfg = dataclasses.replace(CFG, **changes)
    x = samples(cfg)
    model = awake(cfg, x)
    run(model, x)
    found = cost.counts(model, len(x), exact=True)
    planned = plan(to_net(model, "abc", {}), board.load("oheo-gulch"), "separate", x).to_json()
    counted = planned["activity"]
    assert found["synops"] == pytest.approx(counted["synops"] - counted["zero_synops"])
    assert found["messages"] == pytest.approx(counted["messages"])
    assert counted["active_updates"] <= found["active_updates"] <= 1.15 * counted["active_updates"]
    uj = planned["energy"][DAVIES.name]["energy_j_by_operation"]
    placed = 23.6e-12 * counted["zero_synops"] + uj["hops_ew"] + uj["hops_ns"]
    whole = planned["energy"][DAVIES.name]["energy_j_per_sample"]
    assert cost.microjoules(DAVIES, found) == pytest.approx(1e6 * (whole - placed), rel=0.07)


def test_prices_are_those_of_the_table():
    counted = {"synops": 10.0, "active_updates": 2.0, "messages": 3.0, "spikes": 5.0}
    assert cost.microjoules(DAVIES, counted) == pytest.approx((10 * 23.6 + 2 * 81 + 3 * 1.7) * 1e-6)
    assert cost.microjoules(prices.load("cmos-45nm"), counted) == pytest.approx(9e-6)


def test_the_gradient_asks_for_fewer_spikes():
    x = samples(CFG)
    model = awake(CFG, x).train()
    before = cost.counts(model, len(x)) if model.activity else None
    for _ in range(10):
        model(*to_device(x, "cpu"), exact=True)
        uj = cost.microjoules(DAVIES, cost.caused(model, len(x)))
        before = before or cost.counts(model, len(x))
        model.zero_grad()
        uj.backward()
        with torch.no_grad():
            for p in model.parameters():
                if p.grad is not None and p.grad.norm() > 0:
                    p -= 0.02 * p.grad / p.grad.norm()
    assert cost.counts(model, len(x))["spikes"] < 0.9 * before["spikes"]


def test_the_float_phase_counts_what_folding_will_leave():
    x = samples(CFG)
    torch.manual_seed(1)
    models = [SmolMamba(dataclasses.replace(CFG, sparsity=s), CFG.make_encoder(), 3).train() for s in (0.0, 0.5)]
    models[1].load_state_dict(models[0].state_dict())
    synops = []
    for model in models:
        run(model, x)
        synops.append(cost.counts(model, len(x))["synops"])
    model, left = models[0], sparsity.groups(models[0])
    going = sum(
        0.5 * float((model.activity[g.source] * g.mask.sum(0)).sum()) / len(x) for g in left if g.kind != "readout"
    )
    assert synops[1] == pytest.approx(synops[0] - going)


def test_the_factor_finds_its_way():
    cfg = dataclasses.replace(CFG, energy_uj=10.0)
    first = cost.first_factor(cfg)
    assert cost.first_factor(CFG) == 0 and cost.first_factor(dataclasses.replace(CFG, energy_factor=0.3)) == 0.3
    assert cost.steer(first, 40.0, cfg) == first * cost.CHANGE and cost.steer(first, 1.0, cfg) == first / cost.CHANGE
    assert cost.steer(first, cost.AIM * 10, cfg) == pytest.approx(first)
    assert cost.steer(0.3, 40.0, dataclasses.replace(CFG, energy_factor=0.3)) == 0.3  # without a target it stays
    low, high = first, first
    for _ in range(100):
        low, high = cost.steer(low, 0.0, cfg), cost.steer(high, 1e9, cfg)
    assert (low, high) == pytest.approx((first / cost.RANGE, first * cost.RANGE))
    factor, uj = first, 40.0
    for _ in range(30):  # a net that spends less the more it costs, and takes its time
        factor = cost.steer(factor, uj, cfg)
        uj += 0.3 * (40.0 / (1 + 30 * factor) - uj)
    assert uj == pytest.approx(cost.AIM * 10, rel=0.1)


def test_the_best_net_is_within_the_target():
    cfg = dataclasses.replace(CFG, energy_uj=10.0)
    nets = [(0.99, 12.0), (0.90, 11.0), (0.95, 10.0), (0.96, 9.0), (0.97, 10.5)]
    assert max(nets, key=lambda n: cost.rank(*n, cfg)) == (0.96, 9.0)
    assert max(nets[:2], key=lambda n: cost.rank(*n, cfg)) == (0.90, 11.0)  # none is: the nearest
    assert max(nets, key=lambda n: cost.rank(*n, CFG)) == (0.99, 12.0)


def test_a_target_that_no_net_reaches_is_refused():
    cfg = dataclasses.replace(CFG, energy_uj=0.001)
    with pytest.raises(UserError, match="energy_uj 0.001: the updates of 76 neurons in .* alone cost .* uJ by loihi1"):
        cost.check_target(SmolMamba(cfg, cfg.make_encoder(), 3), DAVIES)
    cost.check_target(SmolMamba(CFG, CFG.make_encoder(), 3), DAVIES)


def test_the_phase_counts_where_a_token_is_on_turn():
    x = samples(CFG)
    model = awake(CFG, x)
    run(model, x)
    assert 0 < x.sent < x.which.size and int(model.activity[PHASE].sum()) == x.sent

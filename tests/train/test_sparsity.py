"""Synapses that are removed: which ones, how many, when, and that they stay away from net, gradient and file."""

import dataclasses

import numpy as np
import pytest
import torch
from trees import SMALL, nmnist, random_batch

from convert.export import export
from convert.to_net import to_net
from sim.base.errors import UserError
from sim.net import PHASE
from train import checkpoint
from train.config import Config
from train.model.smolmamba import SmolMamba
from train.run import loop
from train.sparse import removal as sparsity


def model_of(**changes):
    torch.manual_seed(2)
    cfg = dataclasses.replace(SMALL, **changes)
    return SmolMamba(cfg, cfg.make_encoder(), 10)


def test_the_strongest_stay():
    score = torch.tensor([[3.0, 1.0, 2.0, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert sparsity.strongest(score, 0.6).tolist() == [[True, False, False, False, True], [True, True, *[False] * 3]]
    assert sparsity.strongest(score, 0.5).sum(1).tolist() == [3, 3]
    assert sparsity.strongest(score, 0.99).sum(1).tolist() == [1, 1]
    assert sparsity.strongest(score, 0.0).all()


def test_weight_and_rate_decide():
    model = model_of(sparsity={"out": 0.5})
    layer = model.blocks["f"][0]["out"]
    with torch.no_grad():
        layer.synapses["h"].weight.zero_()
        layer.synapses["h"].weight.view(8, 8)[:] = torch.tensor([1.0, -4, 2, 3, 1, 1, 1, 1])
    rates = {g.source: torch.ones(g.mask.shape[1], dtype=torch.float64) for g in sparsity.groups(model)}
    rates["f0.read"] = torch.tensor([1.0, 0, 1, 1, 100, 4, 2, 4]).double()
    sparsity.remove(model, rates, model.cfg.removed())
    assert layer.masks["h"].int().tolist() == [[0, 0, 1, 1, 1, 1, 0, 0]] * 8  # 1 0 2 3 10 2 1.4 2
    rates["f0.read"] = torch.tensor([9e9, 9e9, 1, 1, 1, 1, 1, 1]).double()
    sparsity.remove(model, rates, {"out": 0.5})
    assert layer.masks["h"].int().tolist() == [[0, 0, 1, 1, 1, 1, 0, 0]] * 8  # what is gone stays gone
    assert set(sparsity.removed(model)) == {"out", "all"} and sparsity.removed(model)["out"] == 0.5


def test_the_share_grows_over_the_float_epochs():
    cfg = dataclasses.replace(SMALL, float_epochs=20, sparsity={"input": 0.8, "bank": 0.4})
    shares = [sparsity.grown(cfg, n)["input"] for n in range(21)]
    assert shares[:5] == [0.0] * 5 and shares[15:] == [0.8] * 6 and sorted(shares) == shares
    assert sparsity.grown(cfg, 9) == pytest.approx(
        {"input": 2 * sparsity.grown(cfg, 9)["bank"]} | {"bank": sparsity.grown(cfg, 9)["bank"]}
    )
    assert dataclasses.replace(cfg, sparsity=0.5).removed() == dict.fromkeys(
        ("input", "stem", "bank", "gate", "out"), 0.5
    )
    assert dataclasses.replace(cfg, sparsity=0.0).removed() == {}


def test_one_line_for_a_share_that_is_none():
    for value, text in (
        (1.0, "sparsity is 1.0, expected the share"),
        ({"bank": -0.1}, "sparsity of bank is -0.1"),
        ({"phase": 0.5}, "sparsity names phase, expected of input, stem"),
        ({"bank": "half"}, "sparsity of bank is 'half'"),
    ):
        with pytest.raises(UserError, match=text):
            Config.from_dict(SMALL.to_dict() | {"sparsity": value})


@pytest.mark.parametrize("scan", ["alternate", "twin"])
def test_a_trained_net_lacks_them_everywhere(tmp_path, scan):
    """In the mask, in the integers of the exported net, and in the optimiser's gradient; the phase is whole."""
    nmnist(tmp_path, events=80)
    cfg = dataclasses.replace(SMALL, sparsity={"input": 0.75, "out": 0.5, "readout": 0.25}, scan=scan, drop=0.2)
    facts = loop.train(cfg, tmp_path / "run", tmp_path, quiet=True, threads=1)
    assert {k: v for k, v in facts["removed"].items() if k != "all"} == {"input": 0.75, "out": 0.5, "readout": 0.25}
    model, content = checkpoint.load(tmp_path / "run/model.pt")
    assert content["facts"]["removed"] == facts["removed"]
    report = export(tmp_path / "run/model.pt", tmp_path / "run/model.net", tmp_path, limit=3)
    assert report["removed"] == facts["removed"]
    net = to_net(model, content["classes"], facts)
    first = net.nodes[0]
    tokens, phase = (next(s for s in first.synapses if s.source == name).weight for name in ("tokens", PHASE))
    assert (np.count_nonzero(tokens, axis=1) <= tokens.shape[1] / 4).all() and np.count_nonzero(phase) > phase.size / 2
    for node in net.nodes:
        if node.name.endswith(".out"):
            read = next(s for s in node.synapses if s.source.endswith("read")).weight
            assert (np.count_nonzero(read, axis=1) <= read.shape[1] / 2).all()
    model.train()
    model(*random_batch(model, 8), exact=True).sum().backward()
    layer = model.stem[0]
    gradient = layer.synapses["tokens"].weight.grad.flatten(1)
    assert (gradient[~layer.masks["tokens"]] == 0).all() and gradient.abs().sum() > 0

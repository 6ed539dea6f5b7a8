"""The spiking transformer: shapes, size, learning, and its operations counted by hand."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

import events
from sim.base.errors import UserError
from sim.net.tokens import Stream
from train.config import Config
from train.sparse import cost
from train.studies.literature import operations

pytest.importorskip("spikingjelly", reason="the extra spikingjelly is not installed")
from train.studies import spikformer, spikformer_train  # noqa: E402
from train.studies.energy import energy  # noqa: E402

SIZES = dict(channels=8, tokens=4, frames=3, classes=3, stem=(10,), blocks=2)


def test_shapes_and_that_a_call_leaves_nothing_behind():
    torch.manual_seed(0)
    model = spikformer.Spikformer(width=8, hidden=32, **SIZES)
    x = (torch.rand(5, 8, 12) < 0.5).float()
    assert model(x).shape == (5, 3)
    model.eval()
    assert torch.equal(model(x), model(x)) and torch.equal(model(x)[2:3], model(x[2:3]))
    y = torch.rand(3, 2, 7, 8, requires_grad=True)
    z = spikformer.attention_block(8)(y)
    assert z.shape == y.shape and set(z.unique().tolist()) <= {0.0, 1.0}
    z.sum().backward()
    assert y.grad.abs().sum() > 0


@pytest.mark.parametrize("wanted", [3_000, 80_000])
def test_sizes_for_meets_a_number_of_parameters(wanted):
    sizes = spikformer.sizes_for(wanted, **SIZES)
    assert sizes["width"] % spikformer.HEADS == 0
    assert abs(spikformer.parameters(spikformer.Spikformer(**SIZES, **sizes)) - wanted) < 0.02 * wanted


def test_sizes_for_says_when_there_are_none():
    with pytest.raises(UserError, match="none has 10 parameters"):
        spikformer.sizes_for(10, **SIZES)


def test_it_can_learn_eight_samples():
    torch.manual_seed(0)
    model = spikformer.Spikformer(width=16, hidden=64, **SIZES)
    x, y = (torch.rand(8, 8, 12) < 0.5).float(), torch.arange(8) % 3
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3 * math.log(3) and (model(x).argmax(1) == y).all()


def test_operations_of_a_net_whose_neurons_all_spike_at_every_frame():
    model = spikformer.Spikformer(width=8, hidden=32, **SIZES).eval()
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, torch.nn.BatchNorm1d):
                m.bias.fill_(100)
        model.stem[0].position.fill_(1)
        for attention in model.attention:
            attention.products.scale.fill_(10)
    samples, times, n, d = 2, 3, 4, 8
    x = Stream(np.ones((samples, 12, 8), np.uint8), np.tile(np.arange(4, dtype=np.int16), (samples, 3)))
    parts = {p.name: p for p in operations(model, x)}
    acs = {k: p.acs / (samples * times * n) for k, p in parts.items()}  # a token and frame
    assert acs["stem.0"] == 8 * 10 + 10 and acs["stem.1"] == 10 * d
    assert acs["attention.0.q"] == d * d  # the block's input is one spike a channel,
    assert acs["attention.0.products"] == n * d + n * d  # Q K^T, then V
    assert acs["mlp.0.0"] == 2 * d * 4 * d and acs["mlp.0.1"] == 4 * d * d  # then the residual sum of two,
    assert acs["attention.1.q"] == 3 * d * d and acs["readout"] == 5 * d * 3  # three, at the end five
    assert {k: p.macs / (samples * times * n) for k, p in parts.items()} == {
        k: {"stem.0": 10, "mlp.0.0": 4 * d, "mlp.1.0": 4 * d, "readout": 0}.get(k, d) for k in parts
    }


def test_what_training_counts_is_what_the_report_counts_and_has_a_gradient():
    torch.manual_seed(0)
    model = spikformer.Spikformer(width=8, hidden=32, **SIZES)
    x = (torch.rand(5, 8, 12) < 0.5).float()
    with spikformer.counting(model) as found:
        model(x)
    uj = spikformer.microjoules(found, 5)
    uj.backward()
    assert model.stem[0].linear.weight.grad.abs().sum() > 0
    assert model.attention[0].q.linear.weight.grad.abs().sum() > 0
    model.eval()
    which = np.tile(np.arange(4, dtype=np.int16), (5, 3))
    parts = operations(model, Stream(x.transpose(1, 2).numpy().astype(np.uint8), which))
    with torch.no_grad(), spikformer.counting(model) as found:
        model(x)
    assert float(spikformer.microjoules(found, 1)) * 1e6 == pytest.approx(sum(p.picojoule for p in parts))
    assert [c.name for c in found] == [p.name for p in parts]


def test_mixed_precision_leaves_the_neurons_in_float32():
    torch.manual_seed(0)
    model = spikformer.Spikformer(width=8, hidden=32, **SIZES)
    met = []
    for module in model.modules():
        if isinstance(module, spikformer.Lif):
            module.register_forward_hook(lambda _, x, y: met.extend((x[0].dtype, y.dtype)))
    x = (torch.rand(5, 8, 12) < 0.5).float()
    with torch.autocast("cpu", torch.bfloat16), spikformer.counting(model) as found:
        scores = model(x)
    assert set(met) == {torch.float32} and len(met) > 10
    (scores.float().square().mean() + spikformer.microjoules(found, 5)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
def test_training_writes_a_checkpoint_that_energy_reads(tmp_path):
    encoder = dataclasses.replace(events.default_encoder("digits"), frames=2, frame_us=150_000).settings()
    cfg = Config(
        dataset="digits", encoder=encoder, stem=(16,), width=16, bank=32, float_epochs=2, exact_epochs=1, batch=32
    )
    cfg = dataclasses.replace(
        cfg, energy_uj=0.01, energy_factor=2.0
    )  # out of reach: the factor rises as fast as it may
    facts = spikformer_train.train(cfg, tmp_path, quiet=True, threads=1, limit=100)
    factors = [json.loads(line)["factor"] for line in open(tmp_path / "log.jsonl")]
    assert factors == [2.0, 2.0 * cost.CHANGE, 2.0 * cost.CHANGE**2] and facts["uj"] > 0.01
    assert abs(facts["parameters"] - facts["smolmamba_parameters"]) < 0.1 * facts["smolmamba_parameters"]
    assert facts["best_epoch"] == 3 and len((tmp_path / "log.jsonl").read_text().splitlines()) == 3
    report = energy(tmp_path / "spikformer.pt", limit=100)
    assert (
        report["kind"] == "spikformer"
        and report["accuracy"] == pytest.approx(facts["best_val"], abs=0.03 if facts["device"] == "cuda" else 0)
        and report["total"]["nanojoule"] > 0
    )
    content = torch.load(tmp_path / "spikformer.pt", weights_only=True)
    for change in (
        {"sizes": content["sizes"] | {"width": 4}},
        {"sizes": {"width": 10**9, "hidden": 1}},
        {"config": []},
        {"classes": None},
    ):
        torch.save(content | change, tmp_path / "spikformer.pt")
        with pytest.raises(UserError, match="entries do not fit"):
            energy(tmp_path / "spikformer.pt")

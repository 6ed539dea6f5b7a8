"""What an epoch does with its batches: recordings one after the other in a stream, and the energy term."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from streams import same
from trees import SMALL, nmnist, random_batch

from sim import prices
from train import checkpoint
from train.data.batches import encode
from train.model.smolmamba import SmolMamba
from train.run import epoch, loop


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return nmnist(tmp_path_factory.mktemp("data"), events=120)


def model_of(cfg=SMALL):
    """A model whose layers all spike."""
    torch.manual_seed(4)
    model = SmolMamba(cfg, cfg.make_encoder(), 10).train()
    for layer in model.layers():
        layer.norm.momentum = None
        layer.norm.bias.data.fill_(0.3)
    with torch.no_grad():
        model(*random_batch(model, 16))
    return model


@pytest.mark.parametrize("exact", [False, True])
def test_recordings_in_one_stream_are_those_that_take_up_each_others_state(exact):
    model = model_of().eval()
    x = random_batch(model, 6)
    if exact:
        model.fold()
    with torch.no_grad():
        whole = model(*epoch.chained(x, 3), exact=exact, chain=3)
        alone = model(*x, exact=exact)
        for first in (0, 3):
            state = {}
            for i in range(first, first + 3):
                scores = model(x[0][i : i + 1], x[1][i : i + 1], exact=exact, state=state)
                torch.testing.assert_close(
                    whole[i : i + 1], scores, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6
                )
    assert torch.equal(whole[[0, 3]], alone[[0, 3]]) and not torch.equal(whole, alone)


def test_a_chain_that_does_not_fit_is_left_out():
    x = random_batch(model_of(), 5)
    assert epoch.chained(x, 2) is x and epoch.chained(x, 1) is x
    tokens, which = epoch.chained(x, 5)
    assert tokens.shape == (1, x[0].shape[1], 5 * x[0].shape[2]) and torch.equal(which[0], x[1].flatten())
    assert torch.equal(tokens[0], torch.cat(list(x[0]), 1))


def test_chains_begin_in_the_middle_of_the_float_phase():
    cfg = dataclasses.replace(SMALL, chain=4, float_epochs=5)
    assert [epoch.chain_in(cfg, e) for e in range(7)] == [1, 1, 1, 4, 4, 4, 4]
    assert epoch.chain_in(SMALL, 6) == 1


def test_the_choice_of_tokens_runs_on_with_the_stream(data_root):
    import events

    recordings = events.load("nmnist", "val", data_root).events[:4]
    encoder = dataclasses.replace(SMALL, leak=64).make_encoder()
    alone, on = encode(encoder, recordings), encode(encoder, recordings, 2)
    assert same(alone[[0, 2]], on[[0, 2]]) and not same(alone, on)
    frames = encoder.frames_of_all(recordings[:2])
    assert same(encoder.selector().stream(frames[0]), on[[0]])
    selector = encoder.selector()
    selector.stream(frames[0])
    assert same(selector.stream(frames[1]), on[[1]])
    assert same(encode(encoder, recordings, 3), alone)  # 3 does not divide 4


def test_the_energy_term_is_of_the_loss_and_not_shown_in_it():
    model, y = model_of().train(), torch.arange(8)
    x = random_batch(model, 8)
    gradients = {}
    for factor in (0.0, 1.0, 2.0):
        model.zero_grad()
        energy = epoch.Energy(prices.load(prices.USUAL), torch.tensor(factor))
        loss, _ = epoch.passes(model, x, y, False, SMALL, 1.0, energy)
        gradients[factor] = loss, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        assert not any(spikes.requires_grad for spikes in model.activity.values())
    (a, zero), (b, one), (c, two) = gradients.values()
    assert a == b == c and (one - zero).norm() > 0
    torch.testing.assert_close(two - zero, 2 * (one - zero), rtol=1e-3, atol=1e-5)
    model.zero_grad()
    epoch.passes(model, x, y, False, SMALL)
    assert torch.equal(zero, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))


def test_a_target_pulls_and_the_log_tells(tmp_path, data_root):
    cfg = dataclasses.replace(SMALL, float_epochs=4, exact_epochs=2)
    free = loop.train(cfg, tmp_path / "free", data_root, quiet=True, threads=1)
    cfg = dataclasses.replace(cfg, energy_uj=0.8 * free["uj"], energy_factor=100.0)
    facts = loop.train(cfg, tmp_path / "aimed", data_root, quiet=True, threads=1)
    rows = [json.loads(line) for line in open(tmp_path / "aimed/log.jsonl")]
    assert rows[0]["factor"] == 100.0 and all(r["uj"] > 0 for r in rows)
    assert facts["uj"] < 0.98 * free["uj"]  # most of it are updates, which stay
    assert facts["energy_uj"] == cfg.energy_uj and "energy_uj" not in free
    found = [(r["uj"] <= cfg.energy_uj, r["val"] if r["uj"] <= cfg.energy_uj else -r["uj"]) for r in rows[4:]]
    assert (facts["uj"], facts["best_val"]) == pytest.approx(
        [(r["uj"], r["val"]) for r, key in zip(rows[4:], found) if key == max(found)][-1]
    )
    assert np.isfinite(checkpoint.load(tmp_path / "aimed/model.pt")[1]["facts"]["uj"])

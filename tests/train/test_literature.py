"""Operations on real spikes: the engine's numbers, and energy that can be worked out by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import events
from convert.to_net import to_net
from sim import engine
from train import checkpoint
from train.config import Config
from train.data.batches import to_device
from train.model.smolmamba import SmolMamba
from train.sparse.fold import to_integers
from train.studies.energy import energy, main, per_sample
from train.studies.literature import Part, operations

ENCODER = events.Encoder(
    height=4, width=4, window=2, stride=2, frames=3, frame_us=1000
)  # 4 tokens, 8 channels, 12 steps


def model_of(**changes):
    torch.manual_seed(1)
    cfg = Config(**{"encoder": ENCODER.settings(), "stem": (7,), "width": 6, "bank": 8, "gate": "read", **changes})
    return SmolMamba(cfg, cfg.make_encoder(), 3)


def awake(model, x):
    """The model with norms set so that all its layers spike, folded."""
    model.train()
    for layer in model.layers():
        layer.norm.momentum = None
    with torch.no_grad():
        for layer in model.layers():
            layer.norm.bias.fill_(0.7)
        model(*to_device(x, "cpu"))
    to_integers(model, x)
    return model


def streams(model, n, rate=0.2):
    encoder, random = model.encoder, np.random.default_rng(5)
    return encoder.streams((random.random((n, encoder.frames, 2, *encoder.frame_shape)) < rate).astype(np.uint8))


@pytest.mark.parametrize(
    "changes",
    [{}, {"scan": "twin", "state": "frame"}, {"scan": "forward", "gate": "none"}, {"share": 1.0, "mix_decay": 3000}],
)
def test_synops_are_the_engines(changes):
    model = model_of(**changes)
    x = streams(model, 10)
    awake(model, x)
    with torch.no_grad():
        for layer in model.layers():  # some weights that are exactly zero in integers
            for synapse in layer.synapses.values():
                synapse.weight[::2, ::3] = 0
    expected = {}
    for name, n in engine.run(to_net(model, "abc", {}), x).synops.items():
        part = name.rstrip("0123456789") if ".bank" in name else name  # a bank is one layer for each gain
        expected[part] = expected.get(part, 0) + n
    parts = [p for p in operations(model, x, batch=4) if p.name != "choice of tokens"]
    assert {p.name: p.synops for p in parts} == expected and min(expected.values()) > 0


def test_choosing_tokens_costs_their_events_and_comparisons():
    model = model_of(share=0.5)
    x = streams(model, 10)
    model.fold()
    first, *others = operations(model, x)
    assert first.name == "choice of tokens" and (first.spikes, first.macs) == (x.sent, 0)
    assert first.acs == int(x.tokens.sum()) + 10 * 3 * 4 and first.synops == 0
    assert "choice of tokens" not in [p.name for p in others]


def test_energy_of_a_net_whose_neurons_all_spike_at_every_step():
    model = model_of(scan="forward", blocks=1, share=1.0)
    model.fold()
    with torch.no_grad():
        for layer in model.layers():
            layer.gain.fill_(1)
            for weight in (*[s.weight for s in layer.synapses.values()], *layer.skips.values()):
                weight.fill_(3.0)
        model.readout["f"].weight.fill_(1)
    x, steps = model.encoder.streams(np.ones((2, 3, 2, 4, 4), np.uint8)), 12
    by_hand = {  # AC and MAC a step
        "f.stem0": ((8 + 1) * 7, 0),
        "f.stem1": (7 * 6, 0),
        "f0.bank": (6 * 8, 8),
        "f0.gate": (6 * 8, 0),
        "f0.read": (8 + 8, 0),
        "f0.out": (8 * 6 + 6, 0),
        "readout": (6 * 3, 0),
    }
    report = per_sample(operations(model, x), len(x))
    assert {r["part"]: (r["acs"], r["macs"]) for r in report["parts"]} == {
        k: (a * steps, m * steps) for k, (a, m) in by_hand.items()
    }
    acs = steps * sum(a for a, _ in by_hand.values())
    assert report["total"]["nanojoule"] == pytest.approx((0.9 * acs + 4.6 * 8 * steps) / 1e3, rel=1e-12)


def test_a_membrane_with_memory_costs_a_multiplication():
    macs = {}
    for mix in (4095, 2000):
        model = model_of(share=1.0, scan="twin", mix_decay=mix)
        x = streams(model, 4)
        model.fold()
        macs[mix] = {p.name: p.macs for p in operations(model, x)}
    changed = {k: macs[2000][k] - macs[4095][k] for k in macs[2000] if macs[2000][k] != macs[4095][k]}
    assert changed == {f"{t}{i}.out": 6 * 12 * 4 for t in "fb" for i in (0, 1)}


def test_prices():
    assert Part("x", 1, 1, 1, 10, 100).picojoule == pytest.approx(0.9 * 10 + 4.6 * 100)


def test_command(tmp_path):
    encoder = dataclasses.replace(events.default_encoder("digits"), frames=1, frame_us=300_000)
    cfg = Config(dataset="digits", encoder=encoder.settings(), stem=(), width=8, bank=8)
    model = SmolMamba(cfg, cfg.make_encoder(), 10)
    model.fold()
    checkpoint.save(tmp_path / "m.pt", model, events.load("digits", "val").classes, {})
    report = energy(tmp_path / "m.pt", limit=3)
    assert report["n"] == 3 and report["total"]["acs"] == pytest.approx(sum(p["acs"] for p in report["parts"]))
    shown = CliRunner().invoke(main, [str(tmp_path / "m.pt"), "--limit", "3"])
    assert shown.exit_code == 0 and "f0.bank" in shown.output and f"{report['total']['acs']:,.0f}" in shown.output

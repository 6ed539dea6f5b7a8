"""What a configuration makes of the encoder, and the parts of a model that stand alone."""

import dataclasses

import pytest
import torch
from click.testing import CliRunner
from trees import SMALL

import events
from sim.base.errors import UserError
from train import checkpoint
from train.__main__ import _config, main
from train.config import PRESETS, Config, preset
from train.model.layer import CubaLayer
from train.model.smolmamba import SmolMamba

ENCODER = events.default_encoder("nmnist")  # 49 tokens, 8 frames


@pytest.mark.parametrize("share,places", [(1.0, 0), (1, 0), (0.999, 49), (0.6, 29), (0.5, 24), (0.001, 1)])
def test_the_share_gives_the_places(share, places):
    cfg = Config(encoder=ENCODER.settings(), share=share)
    assert cfg.make_encoder().places == places
    model = SmolMamba(cfg, cfg.make_encoder(), 10)
    assert model.n_places == (places or 49) and model.steps == 8 * model.n_places and model.n_tokens == 49


def test_what_the_configuration_says_of_the_encoder():
    cfg = Config(encoder=ENCODER.settings(), scan="cross", early=3, leak=128, least=2, pruner="latency")
    e = cfg.make_encoder()
    assert (e.scan, e.early, e.leak, e.least, e.pruner) == ("cross", 3, 128, 2, "latency") and len(e.orders) == 4
    assert dataclasses.replace(cfg, scan="twin").make_encoder().scan == "forward"
    everything = Config(encoder=ENCODER.settings(), share=1.0, scan="forward", leak=128, least=3).make_encoder()
    assert everything == ENCODER and everything.settings() == ENCODER.settings()
    assert Config.from_dict(cfg.to_dict()) == cfg


@pytest.mark.parametrize(
    "change,text",
    [
        ({"share": 0.0}, "share is 0.0, expected the share of tokens that are sent, above 0 up to 1"),
        ({"share": 1.01}, "share is 1.01"),
        ({"share": "all"}, "share is 'all', expected a number"),
        ({"share": float("nan")}, "share is nan"),
        ({"pruner": "best"}, "pruner is 'best', expected one of count, latency, random"),
        ({"inner": (3,)}, "inner is .3,., expected none or one integer in 0..127 for each of the 2 blocks"),
        ({"inner": (3, 128)}, "inner is"),
        ({"inner": (3, 1.5)}, "inner is"),
        ({"scan": "reversal"}, "scan is 'reversal', expected one of alternate, cross, forward, twin"),
        ({"keep": (0.5, 0.5)}, "has unknown entries: keep"),
        ({"encoder": ENCODER.settings() | {"places": 9}}, "encoder holds 'places', .*--set share="),
        ({"encoder": ENCODER.settings() | {"scan": "cross"}}, "encoder holds 'scan', .*--set scan="),
    ],
)
def test_configuration_faults(change, text):
    with pytest.raises(UserError, match=f"^configuration: [^\n]*{text}[^\n]*$"):
        Config.from_dict(SMALL.to_dict() | change)


@pytest.mark.parametrize("change,text", [({"leak": 257}, "leak is 257"), ({"early": -1}, "early is -1")])
def test_faults_of_the_rule(change, text):
    with pytest.raises(UserError, match=f"encoder: {text}"):
        Config(encoder=ENCODER.settings(), **change).make_encoder()


def test_parts_of_the_encoder_can_be_set():
    cfg = _config(preset("tiny"), {"encoder.window": 6, "encoder.frames": 4}, {}, 2, "digits", None)
    e = cfg.make_encoder()
    assert (e.window, e.frames, e.stride, e.places) == (6, 4, 4, 10)  # 0.6 of 16
    for item, text in (("encoder.window=3", "window 3 is smaller than stride 4"), ("encoder.wide=3", "'wide'")):
        done = CliRunner().invoke(main, ["--set", item])
        assert isinstance(done.exception, UserError) and text in str(done.exception), done.exception


def test_presets_are_found_by_the_name_of_the_data():
    tiny, small = preset("tiny", dataset="digits"), preset("small", dataset="nmnist")
    assert tiny.gate == small.gate == "none" and (tiny.share, small.share) == (0.56, 0.53)
    assert Config(**tiny.to_dict()) == tiny and preset("tiny", dataset="digits", sparsity=0.0).removed() == {}
    for name in PRESETS:
        for dataset in events.DATASETS:
            cfg = preset(name, dataset=dataset)
            assert cfg.removed().get("input", 1) > 0 and Config.from_dict(cfg.to_dict()) == cfg


def test_an_old_checkpoint_is_refused_by_one_line_that_says_what_to_do(tmp_path):
    model = SmolMamba(SMALL, SMALL.make_encoder(), 10)
    checkpoint.save(tmp_path / "m.pt", model, "0123456789", {})
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    torch.save(content | {"version": 1}, tmp_path / "m.pt")
    with pytest.raises(UserError, match="^[^\n]*version 1, this program reads version 2; train again [^\n]*$"):
        checkpoint.load(tmp_path / "m.pt")


def test_gradients_come_to_every_parameter_in_both_phases():
    torch.manual_seed(0)
    model = SmolMamba(SMALL, SMALL.make_encoder(), 10).train()
    x = (torch.rand(4, model.encoder.channels, model.steps) < 0.2).float()
    which = torch.arange(model.steps).expand(4, -1) % model.n_places
    for exact in (False, True):
        if exact:
            model.fold()
        model.zero_grad()
        logits = model(x, which, exact)
        (logits.sum() + sum(s.sum() for s in model.activity.values())).backward()
        for name, p in model.named_parameters():
            assert not p.requires_grad or p.grad is not None, name
        assert model.stem[0].synapses["phase"].weight.grad.abs().sum() > 0
        assert model.activity["phase"].sum() == 4 * model.steps and model.activity["tokens"].sum() == x.sum()


def test_a_token_of_few_spikes_is_held_back():
    """In float as in integers: where the witness has fewer spikes, the layer behind it is silent, but for drives above
    what the stage can take away.
    """
    cfg = dataclasses.replace(SMALL, inner=(3, 2))
    torch.manual_seed(0)
    model = SmolMamba(cfg, cfg.make_encoder(), 10)
    x = (torch.rand(4, model.encoder.channels, model.steps) < 0.2).float()
    which = torch.arange(model.steps).expand(4, -1) % model.n_places
    which = torch.where(torch.arange(model.steps) % model.n_places == model.n_places - 1, -1, which)
    x = x * (which >= 0)[:, None]
    for layer in model.layers():
        layer.norm.momentum = 1.0
    for exact in (False, True):
        if exact:
            model.eval().fold()
        trace = {}
        model(x, which, exact, trace)
        for sst, witness, layer, least in (("f0.sst", "f.stem0", "f.stem1", 3), ("f1.sst", "f.stem1", "f0.out", 2)):
            held = (trace[witness].sum(1) < least) & (which >= 0)
            assert held.any() and torch.equal(trace[sst], held[:, None].expand(-1, 2, -1).float())
            assert trace[layer].any() and not trace[layer].transpose(1, 2)[held].any()


def test_the_phase_is_the_synapse_of_a_one_hot_line():
    torch.manual_seed(0)
    layer = CubaLayer("a", {"tokens": 3, "phase": 5}, 7, SMALL)
    x, line = torch.rand(2, 3, 11), torch.randint(0, 6, (2, 11))  # 5: nothing
    one_hot = torch.nn.functional.one_hot(line, 6)[..., :5].float()
    wanted = x.transpose(1, 2) @ layer.weight("tokens").T + one_hot @ layer.weight("phase").T
    torch.testing.assert_close(layer.dendrite({"tokens": x, "phase": line}).transpose(1, 2), wanted)

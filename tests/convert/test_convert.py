"""Export: what was trained is what runs. Untrained models with random norms stand in for trained ones: parity must
hold for any weights.
"""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import events
from convert import parity
from convert.export import export
from convert.to_net import to_net
from sim import engine, netx
from sim.base.errors import UserError
from train import checkpoint
from train.config import Config
from train.fold import to_integers
from train.model import SmolMamba

ENCODER = events.Encoder(height=12, width=12, window=6, stride=4, frames=3, frame_us=100_000)


def random_model(seed, **changes):
    """A folded model with random weights, norms and thresholds: rates, signs and gains of all sizes."""
    r = torch.Generator().manual_seed(seed)
    cfg = Config(**({"encoder": dataclasses.asdict(ENCODER), "stem": (12,), "width": 8, "bank": 8} | changes))
    torch.manual_seed(seed)
    model = SmolMamba(cfg, ENCODER, 5)
    for layer in model.layers():
        layer.norm.running_mean.copy_(torch.randn(layer.n, generator=r))
        layer.norm.running_var.copy_(torch.rand(layer.n, generator=r) * 4 + 0.05)
        layer.norm.weight.data.copy_(torch.randn(layer.n, generator=r))
        layer.norm.bias.data.copy_(torch.randn(layer.n, generator=r))
    model.eval()
    model.fold()
    if cfg.keep:
        model.thresholds.copy_(torch.randint(1, 12, model.thresholds.shape, generator=r))
    return model


def inputs(seed, n=4):
    r = np.random.default_rng(seed)
    x = (r.random((n, ENCODER.frames * ENCODER.tokens, ENCODER.channels)) < r.random((n, 1, 1))).astype(np.uint8)
    x[0], x[1] = 0, 1
    return x


VARIANTS = [
    {},
    {"scan": "reversal"},
    {"scan": "forward", "gate": "none"},
    {"keep": ()},
    {"state": "frame"},
    {"mix_decay": 1000},
    {"stem": (), "decays": (1, 4096), "blocks": 1, "keep": (0.5,)},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_slayer_and_engine_agree_on_every_layer_and_step(changes, seed):
    model = random_model(seed, **changes)
    net = to_net(model, [str(i) for i in range(5)], {})
    out = parity.compare(model, net, inputs(seed))
    assert out["differences"] == 0, out["first_difference"]
    assert out["compared"] >= sum(n.size for n in net.nodes[:-1]) * net.steps * 4 - 4 * net.steps * sum(
        n.size for n in net.nodes if n.name.endswith("reverse")
    )


@pytest.mark.parametrize("seed", range(3))
def test_slayers_own_neurons_give_the_layers_spikes(seed):
    """`CubaLayer` against SLAYER's own neuron modules, decay by decay, on the layer's dendritic input."""
    layer = random_model(seed).blocks["f"][0]["bank"]
    x = (torch.rand(3, 8, 50) < 0.3).float()
    with torch.no_grad():
        layer.bias.zero_()
        spikes = layer({"x": x}, exact=True)
        a = layer.dendrite({"x": x}, exact=True) * layer.gain[:, None]
        for g, neuron in zip(range(0, layer.n, layer.group), layer.neurons()):
            assert torch.equal(neuron(a[:, g : g + layer.group].contiguous()), spikes[:, g : g + layer.group])


def test_parity_finds_a_single_wrong_weight():
    model = random_model(1)
    net = to_net(model, [], {})
    x = inputs(1)
    node = next(n for n in net.nodes if n.name == "f.stem0")
    fires = engine.run(net, x, trace=["f.stem0"]).traces["f.stem0"].sum((0, 1))
    j = int(fires.argmax())
    assert 0 < fires[j]
    node.synapses[0].weight[j] = 0
    node.bias[j] = -4096
    out = parity.compare(model, net, x)
    assert (
        out["differences"] >= fires[j]
        and out["first_difference"]["layer"] == "f.stem0"
        and out["first_difference"]["neuron"] == j
    )


def test_folding_keeps_the_float_function():
    cfg = Config(encoder=dataclasses.asdict(ENCODER), stem=(12,), width=8, bank=8, keep=())
    torch.manual_seed(0)
    model = SmolMamba(cfg, ENCODER, 5).double()
    x = torch.from_numpy(inputs(3, 6)).double().transpose(1, 2)
    layer = model.stem[0]
    layer.norm.running_mean.normal_()
    layer.norm.running_var.uniform_(0.5, 2)
    model.eval()
    phase = model.phase(x).double()
    before = layer.norm(layer.dendrite({"tokens": x, "phase": phase}, False).transpose(1, 2).reshape(-1, layer.n))
    layer.fold()
    after = layer.dendrite({"tokens": x, "phase": phase}, False).transpose(1, 2).reshape(-1, layer.n) + layer.bias
    torch.testing.assert_close(before, after, rtol=1e-9, atol=1e-9)


def test_an_uncalibrated_or_unfolded_model_is_refused():
    model = random_model(0)
    model.thresholds.zero_()
    with pytest.raises(UserError, match="not calibrated"):
        to_net(model, [], {})
    with pytest.raises(UserError, match="not folded"):
        to_net(SmolMamba(model.cfg, ENCODER, 5), [], {})


def test_a_fan_in_that_could_wrap_twice_is_refused_by_layer():
    cfg = Config(encoder=dataclasses.asdict(ENCODER), stem=(2100,), width=2, bank=4)
    model = SmolMamba(cfg, ENCODER, 5)
    model.stem[1].synapses["stem0"].weight.data.fill_(1.0)
    model.eval()
    model.fold()
    model.thresholds.fill_(1)
    with pytest.raises(UserError, match="layer 'f.stem1': sum of .weights. of a neuron exceeds"):
        to_net(model, [], {})


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory):
    encoder = dataclasses.replace(events.default_encoder("digits"), frames=2, frame_us=150_000)
    cfg = Config(dataset="digits", encoder=dataclasses.asdict(encoder), stem=(8,), width=8, bank=8)
    torch.manual_seed(0)
    model = SmolMamba(cfg, encoder, 10)
    path = tmp_path_factory.mktemp("model") / "m.pt"
    checkpoint.save(path, model, [str(i) for i in range(10)], {"seed": 0})
    return path


def test_export_calibrates_writes_and_reports(digits_model, tmp_path):
    report = export(digits_model, tmp_path / "m.net", limit=60)
    net = netx.read(tmp_path / "m.net")
    x = events.Encoder(**net.encoder).encode_all(events.load("digits", "val").events[:60])
    result = engine.run(net, x)
    assert (
        report["accuracy"]["gated"]["value"] == (result.predictions == events.load("digits", "val").labels[:60]).mean()
    )
    assert report["parity"]["differences"] == 0 and report["calibrated"] == "at export" and report["n"] == 60
    for gate, row in report["gates"].items():
        assert row["kept_gated"] == pytest.approx(result.kept[gate], abs=1e-6)
        assert 0 <= row["agreement"] <= 1
    names = [row["layer"] for row in report["layers"]]
    assert names == [n.name for n in net.nodes]
    assert all(
        "weight_error" in row
        for row in report["layers"]
        if "bank" in row["layer"] or row["layer"].endswith((".out", ".gate"))
    )
    json.dumps(report)


def test_calibration_reaches_the_target_share(digits_model):
    model, _ = checkpoint.load(digits_model)
    x = model.encoder.encode_all(events.load("digits", "train").events[:100])
    to_integers(model, x, model.cfg, "cpu")
    kept = engine.run(to_net(model, [], {}), x).kept
    for name, share in kept.items():
        target = model.cfg.keep[int(name[1])]
        gate = next(n for n in to_net(model, [], {}).nodes if n.name == name)
        c = (
            engine.run(to_net(model, [], {}), x, trace=[gate.source])
            .traces[gate.source]
            .sum(2, dtype=int)
            .reshape(len(x), 2, -1)
            .cumsum(1)
        )
        assert (
            abs(share - target)
            <= min(abs(float((c >= th).mean()) - target) for th in (gate.threshold - 1, gate.threshold + 1) if th >= 1)
            + 1e-12
        )


def test_commands(digits_model, tmp_path):
    run = lambda *a: subprocess.run([sys.executable, "-m", "convert", *a], capture_output=True, text=True)  # noqa: E731
    out = str(tmp_path / "x.net")
    done = run("export", str(digits_model), "--out", out, "--limit", "20", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 20
    layers = json.loads(run("inspect", out, "--json").stdout)
    assert layers[0]["type"] == "input" and layers[-1]["type"] == "readout"
    for arguments, text in ((["export", "none.pt"], "none.pt: no such file"), (["inspect", "none.net"], "none.net")):
        bad = run(*arguments)
        assert bad.returncode == 2 and text in bad.stderr.strip().splitlines()[-1] and "Traceback" not in bad.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.net"]

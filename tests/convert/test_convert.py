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
from convert.to_net import nodes_of, to_net
from sim import engine, netx
from sim.base.errors import UserError
from sim.integer import weight_histogram
from train import checkpoint
from train.config import Config
from train.data.batches import to_device
from train.model.layer import TOP
from train.model.smolmamba import SmolMamba
from train.sparse.cost import fan_out

ENCODER = events.Encoder(height=12, width=12, window=6, stride=4, frames=3, frame_us=100_000)


def random_model(seed, fold=True, **changes):
    """A folded model with random weights, norms and missing synapses: rates, signs and gains of all sizes."""
    r = torch.Generator().manual_seed(seed)
    cfg = Config(**({"encoder": ENCODER.settings(), "stem": (12,), "width": 8, "bank": 8} | changes))
    torch.manual_seed(seed)
    model = SmolMamba(cfg, cfg.make_encoder(), 5)
    for layer in model.layers():
        layer.norm.running_mean.copy_(torch.randn(layer.n, generator=r))
        layer.norm.running_var.copy_(torch.rand(layer.n, generator=r) * 4 + 0.05)
        layer.norm.weight.data.copy_(torch.randn(layer.n, generator=r))
        layer.norm.bias.data.copy_(torch.randn(layer.n, generator=r))
    model.eval()
    if not fold:
        return model
    model.fold()
    if seed % 2:
        masks = [m for layer in model.layers() for m in layer.masks.values()] + list(model.readout_masks.values())
        for mask in masks:
            mask.copy_(torch.rand(mask.shape, generator=r) < 0.5)
    return model


def frames(seed, n=6):
    """Empty frames, full ones, and all in between."""
    r = np.random.default_rng(seed)
    shape = n, ENCODER.frames, 2, *ENCODER.frame_shape
    x = (r.random(shape) < r.random((n, ENCODER.frames, 1, 1, 1)) ** 3).astype(np.uint8)
    x[0], x[1] = 0, 1
    x[2, 1] = 0
    return x


def inputs(model, seed, n=6):
    return model.encoder.streams(frames(seed, n))


VARIANTS = [
    {},
    {"scan": "cross", "share": 0.3, "least": 20},
    {"scan": "twin"},
    {"scan": "twin", "share": 1.0, "gate": "none"},
    {"scan": "forward", "gate": "none"},
    {"share": 1.0},
    {"state": "frame"},
    {"state": "frame", "scan": "twin", "pruner": "random", "share": 0.4},
    {"mix_decay": 1000},
    {"stem": (), "decays": (1, 4096), "blocks": 1, "leak": 100},
    {"inner": (3, 2)},
    {"inner": (4, 0), "scan": "twin"},
    {"inner": (0, 1), "gate": "none", "share": 1.0},
    {"stem": (), "inner": (20, 4), "state": "frame"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_slayer_and_engine_agree_on_every_layer_and_step(changes, seed):
    model = random_model(seed, **changes)
    net = to_net(model, [str(i) for i in range(5)], {})
    assert {n.name for n in net.nodes if ".sst" in n.name} == {name for name, *_ in model.witnesses().values()}
    x = inputs(model, seed)
    out = parity.compare(model, net, x)
    assert out["differences"] == 0, out["first_difference"]
    assert out["compared"] == sum(n.size for n in net.nodes[:-1]) * net.steps * 6 + 5 * 6
    assert (x.which < 0).any() == (model.encoder.places > 0) and (net.places, net.steps) == (
        model.n_places,
        model.steps,
    )


def silent_layers(model):
    """All that nothing comes in to at an empty place: a bank may fire there, and what it drives without a gate."""
    if model.cfg.mix_decay != 4095:
        return ["f.stem0", "f.stem1", "f0.gate", "f0.read"]
    gated = model.cfg.gate == "read"
    names = [*model.named(), *(f"f{b}.read" for b in range(model.cfg.blocks) if gated)]
    return [name for name in names if "stem" in name or gated and "bank" not in name]


def empty_places(model, x, tower):
    empty = x.which < 0
    if tower == "b":
        empty = empty.reshape(len(x), -1, model.n_places)[:, :, ::-1].reshape(empty.shape)
    return empty


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_an_empty_place_costs_no_spike_before_a_bank(changes):
    """In the engine, which masks nothing; with biases above the threshold, and inhibition to recover from."""
    fired = set()
    for seed in range(4):
        model = random_model(seed, **changes)
        for layer in model.layers():
            if layer.bias.requires_grad:
                layer.bias.data.copy_(torch.rand(layer.n) * 3)
        net = to_net(model, [str(i) for i in range(5)], {})
        x = inputs(model, seed)
        traces = engine.run(net, x, trace="all").traces
        for name in silent_layers(model):
            fired |= {name} if traces[name].any() else set()
            assert not traces[name][empty_places(model, x, name[0])].any(), name
    assert {name for name in fired if "stem" in name or ".out" in name}


@pytest.mark.parametrize("changes", [{}, {"scan": "twin"}, {"gate": "none", "share": 0.4}], ids=str)
def test_an_empty_place_costs_no_spike_in_training(changes):
    """Not in the float phase either, with the statistics of a batch or of the whole set."""
    for training in (True, False):
        model, trace = random_model(3, fold=False, **changes).train(training), {}
        for layer in model.layers():
            layer.norm.bias.data.copy_(torch.rand(layer.n) * 3)
        x = inputs(model, 3)
        model(*to_device(x, "cpu"), trace=trace)
        for name in silent_layers(model):
            empty = torch.from_numpy(empty_places(model, x, name[0]).copy())
            assert not trace[name].transpose(1, 2)[empty].any(), name
        assert trace["f.stem0"].any() and trace["f.stem1"].any() and trace["f0.out"].any()


@pytest.mark.parametrize("inner", [(), (3, 3)])
def test_masked_synapses_are_zero_in_the_net_and_counted_so(inner):
    model = random_model(1, scan="twin", inner=inner)
    net = to_net(model, list("abcde"), {})
    x = inputs(model, 1)
    with torch.no_grad():
        model(*to_device(x, "cpu"), exact=True)
    spikes, edges = model.activity, model.edges()
    result = engine.run(net, x)
    for part, (name, _, _) in nodes_of(model).items():
        assert sum(result.spikes[p] for p, (n, _, _) in nodes_of(model).items() if n == name) == spikes[name].sum(), (
            part
        )
    for i in net.inputs:
        assert result.spikes[i.name] == spikes[i.name].sum()
    counted = sum(float((spikes[e.source].double() * fan_out(e.nonzero(True)).double()).sum()) for e in edges)
    assert counted == sum(result.synops.values())
    assert {e.target for e in edges} == {nodes_of(model).get(n.name, [n.name])[0] for n in net.nodes}
    assert model.sizes() == _sizes(net, model)
    for layer in model.layers():
        for s, mask in layer.masks.items():
            assert 0 < mask.float().mean() < 1 and (layer.weight(s, True)[~mask] == 0).all()
    node = net.node("b.stem1")
    assert (node.synapses[0].weight[~model.stem[1].masks["stem0"].numpy()] == 0).all()


def _sizes(net, model):
    out = {}
    for node in net.nodes:
        name = nodes_of(model)[node.name][0] if node.name in nodes_of(model) else node.name
        out[name] = out.get(name, 0) + node.size
    return out


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("changes", [{}, {"scan": "twin"}, {"state": "frame"}, {"mix_decay": 100}], ids=str)
def test_a_stream_in_windows_is_the_stream(changes, folded):
    """With the state handed on, in integers and in float, folded or not."""
    model = random_model(1, folded, **changes)
    r = np.random.default_rng(0)
    x = (r.random((2, 9, 2, *ENCODER.frame_shape)) < 0.05).astype(np.uint8)
    tokens, which = to_device(model.encoder.streams(x), "cpu")
    cuts = [model.n_places * k for k in (0, 2, 3, 9)]
    with torch.no_grad():
        for exact in (False, True) if folded else (False,):
            whole, state, parts = {}, {}, []
            model(tokens, which, exact, whole, {})
            for a, b in zip(cuts, cuts[1:]):
                parts.append({})
                model(tokens[..., a:b], which[:, a:b], exact, parts[-1], state)
            assert set(state) == set(model.named()) and state["f1.bank"][0].any() and whole["f1.bank"].any()
            for name in whole:
                assert torch.equal(torch.cat([p[name] for p in parts], 2), whole[name]), name
            alone = {}
            model(tokens[..., : model.steps], which[:, : model.steps], exact, alone)
            assert all(torch.equal(alone[name], whole[name][..., : model.steps]) for name in whole) or not exact


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
    x = inputs(model, 1)
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
    """The current that the norm gives is the one of the folded weights; of the first layer, with the bias in its
    phase weights, at every place that has a token.
    """
    cfg = Config(encoder=ENCODER.settings(), stem=(12,), width=8, bank=8)
    torch.manual_seed(0)
    model = SmolMamba(cfg, cfg.make_encoder(), 5).double()
    stream = inputs(model, 3)
    tokens, which = to_device(stream, "cpu")
    line = torch.where(which < 0, model.n_tokens, which)
    x = {"tokens": tokens.double(), "phase": line}
    there = (which >= 0)[:, None]
    for layer, given in ((model.stem[0], x), (model.stem[1], {"stem0": torch.rand(6, 12, model.steps).double()})):
        layer.norm.running_mean.normal_()
        layer.norm.running_var.uniform_(0.5, 2)
        layer.norm.bias.data.normal_()
        model.eval()
        rows = layer.dendrite(given).transpose(1, 2).reshape(-1, layer.n)
        before = layer.norm(rows)
        if layer.quiet:  # a neuron that nothing would make fire is held below that
            before = before - torch.relu(layer._nothing(rows) - TOP)
        before = before.view(6, -1, layer.n).transpose(1, 2)
        layer.fold()
        after = layer.dendrite(given) + layer.bias[:, None]
        torch.testing.assert_close(before * there, after * there, rtol=1e-9, atol=1e-9)
    assert not model.stem[0].bias.any() and not model.stem[0].bias.requires_grad and model.stem[1].bias.any()
    assert not model.stem[0].dendrite(x)[:, :, :1][~there[:, :, :1].expand(-1, 12, -1)].any()


def test_a_model_that_is_not_folded_is_refused():
    model = random_model(0)
    with pytest.raises(UserError, match="not folded"):
        to_net(SmolMamba(model.cfg, model.encoder, 5), [], {})


def test_a_fan_in_that_could_wrap_twice_is_refused_by_layer():
    cfg = Config(encoder=ENCODER.settings(), stem=(2100,), width=2, bank=4)
    model = SmolMamba(cfg, cfg.make_encoder(), 5)
    model.stem[1].synapses["stem0"].weight.data.fill_(1.0)
    model.eval()
    model.fold()
    with pytest.raises(UserError, match="layer 'f.stem1': sum of .weights. of a neuron exceeds"):
        to_net(model, [], {})


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory):
    encoder = dataclasses.replace(events.default_encoder("digits"), frames=2, frame_us=150_000)
    cfg = Config(dataset="digits", encoder=encoder.settings(), stem=(8,), width=8, bank=8, least=3)
    torch.manual_seed(0)
    model = SmolMamba(cfg, cfg.make_encoder(), 10)
    path = tmp_path_factory.mktemp("model") / "m.pt"
    checkpoint.save(path, model, [str(i) for i in range(10)], {"seed": 0})
    return path


def test_export_folds_writes_and_reports(digits_model, tmp_path):
    report = export(digits_model, tmp_path / "m.net", limit=60)
    net = netx.read(tmp_path / "m.net")
    x = events.Encoder(**net.encoder).encode_all(events.load("digits", "val").events[:60])
    result = engine.run(net, x)
    assert (
        report["accuracy"]["integer"]["value"]
        == (result.predictions == events.load("digits", "val").labels[:60]).mean()
    )
    assert report["parity"]["differences"] == 0 and report["folded"] == "at export" and report["n"] == 60
    [stage] = report["stages"]
    assert report["kept"] == stage["kept"] == pytest.approx(result.sent / (60 * 2 * 16)) and stage["kept"] <= 10 / 16
    assert net.places == 10 and stage["cap"] == 10 / 16 and len(net.orders) == 2 and len(stage["kept_by_frame"]) == 2
    names = [row["layer"] for row in report["layers"]]
    assert names == [n.name for n in net.nodes]
    assert all(
        "weight_error" in row
        for row in report["layers"]
        if "bank" in row["layer"] or row["layer"].endswith((".out", ".gate", "stem0", "stem1"))
    )
    for row, node in zip(report["layers"], net.nodes):
        if "weights_before" in row:  # rounding moves a weight by one at most, and some to zero
            after = weight_histogram([s.weight for s in node.synapses])[0]
            assert 0 < sum(after) <= sum(row["weights_before"]) and len(after) == len(row["weights_before"])
    record = json.loads(netx.export_record(tmp_path / "m.net").read_text())
    assert len(record.pop("sha256")) == 64 and record == json.loads(json.dumps(report))
    golden = netx.read_golden(tmp_path / "m.net")
    assert netx.golden_differences(golden, netx.make_golden(net, golden.stream)) == []


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
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.export.json", "x.net"]

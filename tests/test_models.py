"""The nets that come with the repository: their golden samples, and that the model beside each is the same net."""

from pathlib import Path

import pytest

import events
from convert import parity
from convert.to_net import to_net
from deploy.verify import inputs
from sim import engine, netx
from train import checkpoint

MODELS = Path(__file__).resolve().parent.parent / "models"
REAL = MODELS.parent.parent / "shared" / "data"
NETS = sorted(MODELS.glob("*.net"))
PAIRS = [path for path in NETS if path.with_suffix(".pt").exists()]


def test_there_are_nets():
    assert {p.stem for p in PAIRS} >= {"digits-tiny", "gestures-medium", "nmnist-small"}
    assert {p.stem for p in NETS} >= {"cifar10-photos"}


@pytest.mark.parametrize("path", NETS, ids=lambda p: p.stem)
def test_golden_sample(path):
    net, golden = netx.read(path), netx.read_golden(path)
    assert golden is not None
    assert netx.golden_differences(golden, netx.make_golden(net, golden.stream)) == []
    assert (engine.run(net, golden.stream).logits == golden.logits).all()
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize("path", PAIRS, ids=lambda p: p.stem)
def test_the_checkpoint_beside_it_is_the_same_net(path):
    assert path.with_suffix(".pt").stat().st_size < 2_000_000
    model, content = checkpoint.load(path.with_suffix(".pt"))
    net, again = netx.read(path), to_net(model, content["classes"], content["facts"])
    assert [n.name for n in net.nodes] == [n.name for n in again.nodes]
    for a, b in zip(net.nodes, again.nodes):
        for s, t in zip(getattr(a, "synapses", ()), getattr(b, "synapses", ())):
            assert s.source == t.source and (s.weight == t.weight).all()
    golden = netx.read_golden(path)
    edges, _ = inputs(net, golden, len(golden.stream) + 2, 0)  # and one without tokens, one in which all spikes
    assert parity.compare(model, net, edges)["differences"] == 0


@pytest.mark.skipif(
    not (REAL / "DVSGesture").is_dir(), reason="the five DVS128 clips are not here (../shared/data/DVSGesture)"
)
def test_real_gestures():
    """A net that has only seen synthetic people, on recordings of a real one: what the README says."""
    net, clips = netx.read(MODELS / "gestures-medium.net"), events.load("dvs128", "test", REAL)
    assert engine.run(net, events.Encoder(**net.encoder).encode_all(clips.events)).predictions.tolist() == [
        7,
        1,
        2,
        3,
        4,
    ]
    assert clips.labels.tolist() == [0, 1, 2, 3, 4] and "4 of 5" in (MODELS / "README.md").read_text()


def test_digits_accuracy_is_what_the_readme_says():
    net = netx.read(MODELS / "digits-tiny.net")
    test = events.load("digits", "test")
    right = engine.run_batches(net, events.Encoder(**net.encoder).encode_all(test.events)).predictions == test.labels
    assert f"{int(right.sum())} of {len(right)}" in (MODELS / "README.md").read_text()

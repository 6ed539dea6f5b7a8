"""The benchmark runs and says what it measured, and a difference between executors ends it; nothing is timed here."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import executors, loading, others, roofline, tokens
from bench.measure import Different, machine, require
from bench.netx import lava_dl_nets
from bench.registry import GROUPS, Row
from bench.training import kernel
from sim import engine, netx

ROOT = Path(__file__).resolve().parent.parent


def test_kernel_rows():
    rows = list(kernel((2, 4, 10), 1, "cpu"))
    assert [r.unit for r in rows] == ["ms", "ms"] and rows[0].ratio == 1.0
    assert math.isclose(rows[1].ratio, rows[1].value / rows[0].value, rel_tol=1e-9)


def test_loading_rows():
    """Ours and tonic's frames are compared within."""
    found = list(loading.rows(quick=True))
    assert {r.unit for r in found} == {"ms", "clips/s"} and all(r.value > 0 for r in found)


@pytest.mark.slow  # compiles what nothing else needs
def test_command():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", "--only", "roofline"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["machine"]["cores"] >= 1 and {row["group"] for row in said["rows"]} == {"roofline"}
    assert all(row["value"] > 0 for row in said["rows"])


def test_unknown_group_and_difference(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--only", "nothing"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and "nothing" in done.stderr and "Traceback" not in done.stderr
    with pytest.raises(Different, match="a and b differ"):
        require(False, "a and b differ")


def test_machine_and_groups():
    assert {"cpu", "cores", "load", "numpy"} <= machine().keys()
    assert list(GROUPS) == [
        "executors",
        "netx",
        "sinabs",
        "others",
        "tokens",
        "scaling",
        "roofline",
        "training",
        "loading",
    ]


@pytest.fixture(scope="module")
def mnist():
    folder = lava_dl_nets()
    if folder is None:
        pytest.skip("lava-dl is not installed")
    return others.case(folder / "mnist.net", 3, 1)


def test_others_get_what_the_net_would_see(mnist):
    """The net behind its input neurons, and the sums that its last layer would hold; another's spikes are compared."""
    whole = netx.read_slayer(lava_dl_nets() / "mnist.net")
    weight = whole.layers[-1].weight.astype(np.int64)
    last = mnist.sent[whole.layers[-2].name].sum(1, dtype=np.int64)
    assert np.array_equal(mnist.sums, last @ weight.T) and mnist.sums.any() and mnist.rate > 0
    assert others._differing(mnist, mnist.sent, 3).startswith("0 of 49,152 values")
    with pytest.raises(Different, match="differ from the engine's"):
        others._differing(mnist, {name: 1 - sent for name, sent in mnist.sent.items()}, 3)


@pytest.mark.parametrize("package", ["snntorch", "sanafe"])
def test_others_that_are_installed(mnist, package, capfd):
    pytest.importorskip(package)
    row = getattr(others, package)(mnist, 1)
    assert row.value > 0 and row.ratio > 0 and "are not the engine's" in row.note
    assert not capfd.readouterr().out


def test_others_that_are_not(monkeypatch):
    monkeypatch.setattr(others, "find_spec", lambda name: None)
    if lava_dl_nets() is None:
        pytest.skip("lava-dl is not installed")
    found = list(others.rows(True))
    assert [row.value is None for row in found] == [False, True, True] and "pip install sanafe" in found[2].note


def untrained(encoder, frames, classes, **changes):
    """(model, net, stream) of preset `small` with random weights, its norms set by a float pass over `frames`."""
    import torch

    from convert.to_net import to_net
    from train.config import preset
    from train.data.batches import to_device
    from train.model.smolmamba import SmolMamba

    torch.manual_seed(0)
    cfg = preset("small", encoder=encoder.settings(), **changes)
    model = SmolMamba(cfg, cfg.make_encoder(), classes)
    stream = model.encoder.streams(frames)
    for layer in model.layers():
        layer.norm.momentum = 1.0
    with torch.no_grad():
        model.train()(*to_device(stream, "cpu"))
    model.eval().fold()
    return model, to_net(model, [str(i) for i in range(classes)], {}), stream


def subject():
    from events import Encoder

    encoder = Encoder(height=8, width=8, window=4, stride=2, frames=4, frame_us=1000)
    frames = (
        np.random.default_rng(0).random((4, 4, 2, 8, 8)) < np.array([0.02, 0.1, 0.3, 0.6])[:, None, None, None, None]
    )
    changes = dict(stem=(12,), width=8, bank=8, gate="read", inner=(2, 0), least=2)
    model, net, stream = untrained(encoder, frames.astype(np.uint8), 3, **changes)
    return executors.Subject("small", net, model, executors._repeated(stream))


def test_slayers_own_modules_give_the_engines_spikes():
    """With biases, gains and several decays; and the comparison can fail."""
    small = subject()
    expected = engine.run(small.net, small.stream)
    assert sum(expected.spikes.values()) and len({float(g) for layer in small.model.layers() for g in layer.gain}) > 1
    own = executors.own_modules(small.model)
    rate, note = executors._slayer(small, own, 1, expected)
    assert rate > 0 and "equal" in note
    own.stem[1].neurons[0].norm.bias += 1
    with pytest.raises(Different, match="SLAYER and the engine differ"):
        executors._slayer(small, own, 1, expected)


def test_tokens_net_is_at_work():
    """About one neuron in ten fires in every layer, for every number of tokens."""
    for n in (64, 300):
        net = tokens.net_of(n, frames=2)
        result = engine.run(net, tokens._spikes(1, 2 * n, tokens.CHANNELS))
        rates = {node.name: result.spikes[node.name] / (2 * n * node.size) for node in net.nodes[:-1]}
        assert all(0.02 < rate < 0.6 for rate in rates.values()), rates


def test_rows_of_tokens(monkeypatch):
    monkeypatch.setattr(tokens, "SIZES", (8, 16, 32))
    monkeypatch.setattr(tokens, "_attention", lambda n, quick: (n * n, 1.0))
    rows = list(tokens.rows(True))
    assert all(isinstance(row, Row) for row in rows) and any("slope" in row.what for row in rows)
    slopes = [row.value for row in rows if "spiking attention" in row.what and "slope" in row.what]
    assert slopes == [] or slopes == [pytest.approx(2)]


def test_limits_are_of_the_right_order():
    """Thousands of additions in a turn that the compiler must not leave out: no machine adds a million a nanosecond."""
    for what, limit in roofline.limits(2):
        assert 1e6 < limit < 1e14, what

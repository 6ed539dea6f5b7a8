"""`deploy run NET --input` and `deploy verify NET` on nets that are chains of layers."""

import json

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from deploy.__main__ import main
from deploy.run.chain import Window, run_engine
from sim import engine, netx
from sim.base.errors import UserError
from sim.net import TOKENS, Cuba, Dense, Input, Net, Readout
from sim.sequential import by_definition


def dense(i, weight, neuron, delay=None):
    out = {"type": np.array([b"dense"], "S10"), "shape": np.array([len(weight)]), "weight": weight.astype("f4")}
    out |= {f"neuron/{k}": v for k, v in neuron.items()} | ({} if delay is None else {"delay": delay})
    return {f"layer/{i}/{k}": v for k, v in out.items()}


CUBA = {"type": "CUBA", "iDecay": 1000, "vDecay": 300, "vThMant": 80}
SDNN = {"type": "SDNN", "activation": "relu", "vThMant": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """spikes.net: two dense layers of CUBA neurons; values.net: sigma-delta, with delays; x.npy, v.npy for them."""
    path, r = tmp_path_factory.mktemp("chains"), np.random.default_rng(0)
    even = lambda *shape: r.integers(-60, 90, shape) * 2  # noqa: E731
    nets = {
        "spikes": dense(0, even(8, 5), CUBA) | dense(1, even(3, 8), CUBA, np.array([0, 1, 2])),
        "values": {"layer/0/type": np.array([b"input"], "S10"), "layer/0/shape": np.array([5])}
        | {f"layer/0/neuron/{k}": v for k, v in SDNN.items()}
        | dense(1, even(6, 5), SDNN, np.array([0, 2, 0, 1, 3, 1]))
        | dense(2, even(2, 6), SDNN | {"sigma_output": np.bool_(True)}),
    }
    for name, content in nets.items():
        with h5py.File(path / f"{name}.net", "w") as f:
            for key, value in content.items():
                f.create_dataset(key, data=value)
    np.save(path / "x.npy", r.random((4, 30, 5)) < 0.3)
    np.save(path / "v.npy", r.integers(-40, 90, (30, 5)))
    np.save(path / "labels.npy", np.array([0, 1, 2, 0]))
    return path


def call(folder, *args, code=0):
    found = CliRunner().invoke(main, [str(a) for a in args])
    if code == 2:
        assert isinstance(found.exception, UserError), found.output
        assert "\n" not in str(found.exception)
        return str(found.exception)
    assert found.exit_code == code, (found.output, found.exception)
    return found.stdout


def test_spikes(folder):
    """Counts, probes, labels and files are what the definition says."""
    args = "run", folder / "spikes.net", "--input", folder / "x.npy", "--json"
    more = "--labels", folder / "labels.npy", "--probe", "layer/0", "--output", folder / "y.npz"
    found = json.loads(call(folder, *args, *more))
    expected = by_definition(netx.load(folder / "spikes.net"), np.load(folder / "x.npy"))
    counts = expected["layer/1"].sum(1)
    facts = dict(backend="fast", net=str(folder / "spikes.net"), n=4, steps=30, input="spikes", readout="count")
    assert {k: found[k] for k in facts} == facts and found["outputs"] == counts.tolist()
    assert found["predictions"] == counts.argmax(1).tolist()
    assert found["accuracy"] == (counts.argmax(1) == [0, 1, 2, 0]).mean()
    assert found["spikes"] == sum(int(x.sum()) for x in expected.values())
    reached = [np.count_nonzero(layer.weight, 0) for layer in netx.load(folder / "spikes.net").layers[1:]]
    sources = [expected[name].sum((0, 1)) for name in ("input", "layer/0")]
    assert found["synops"] == sum(int(s @ r) for s, r in zip(sources, reached))
    assert [row["name"] for row in found["layers"]] == ["input", "layer/0", "layer/1"]
    first = json.loads(call(folder, *args, "--labels", folder / "labels.npy", "--limit", "2"))
    assert first["n"] == 2 and first["labels"] == [0, 1]
    with np.load(folder / "y.npz") as y:
        assert np.array_equal(y["output"], expected["layer/1"]) and np.array_equal(y["outputs"], counts)
        assert np.array_equal(y["layer.0"], expected["layer/0"]) and y["layer.0.u"].shape == (4, 30, 8)
        assert (y["layer.0.v"][y["layer.0"] == 1] == 0).all()


def test_values(folder):
    """A file without a samples' axis is one sample; values are summed, in a window."""
    args = "run", folder / "values.net", "--input", folder / "v.npy", "--json"
    expected = by_definition(netx.load(folder / "values.net"), np.load(folder / "v.npy")[None])["layer/2"]
    found = json.loads(call(folder, *args))
    assert found["n"] == 1 and found["input"] == "values" and found["readout"] == "sum"
    assert found["outputs"] == expected.sum(1).tolist() and found["layers"][1]["largest_message"] > 0
    assert json.loads(call(folder, *args, "--window", "4"))["outputs"] == expected[:, -4:].sum(1).tolist()
    last = json.loads(call(folder, *args, "--window", "3:9", "--read", "last"))
    assert last["outputs"] == expected[:, 8].tolist() and last["window"] == [3, 9]
    assert "messages" in call(folder, *args[:-1])


def test_chunks_change_nothing(folder, monkeypatch):
    net, x = netx.load(folder / "values.net"), np.load(folder / "v.npy")[None].repeat(5, 0)
    whole = run_engine(net, x, Window(0, 30), "sum", ("layer/1",))
    monkeypatch.setattr("deploy.run.chain.CHUNK_BYTES", 4 * (5 + 6 + 2) * 7)
    parts = run_engine(net, x, Window(0, 30), "sum", ("layer/1",))
    assert np.array_equal(whole.output, parts.output) and whole.counter.synops == parts.counter.synops
    assert (
        all(np.array_equal(whole.probes[k], parts.probes[k]) for k in whole.probes) and whole.largest == parts.largest
    )


@pytest.mark.parametrize("name, x", [("spikes", "x"), ("values", "v")])
def test_verify(folder, name, x):
    """Engine and step function here; Lava and netx in the slow test."""
    net, given = folder / f"{name}.net", folder / f"{x}.npy"
    for more in ((), ("--input", given)):
        found = json.loads(call(folder, "verify", net, "--executors", "engine,steps", "--json", *more))
        assert found["differences"] == 0 < found["compared"] and found["executors"] == ["engine", "steps"]


def test_plan_counts_on_the_array(folder):
    """Operations that arrive at each layer are those that `run` counts."""
    net, x = folder / "spikes.net", folder / "x.npy"
    plan = json.loads(call(folder, "plan", net, "--input", x, "--json"))
    found = json.loads(call(folder, "run", net, "--input", x, "--json"))
    assert {row["name"]: row["synops"] for row in found["layers"] if row["synops"]} == plan["activity"]["layer_synops"]
    assert json.loads(call(folder, "plan", folder / "values.net", "--input", folder / "v.npy", "--json"))["activity"]
    assert "exclude" in call(folder, "plan", net, "--input", x, "--dataset", "digits", code=2)


def test_a_net_of_ours(folder):
    """Its read-out is its own; the array is its tokens, all of them sent."""
    weight = np.array([[4, -2], [2, 6], [-8, 2]], np.int16)
    none = np.zeros(3, np.int32)
    layer = Cuba("layer", (Dense(TOKENS, weight),), np.full(3, 4096, np.int32), none, 4095, 3)
    net = Net((layer, Readout("out", (Dense("layer", np.eye(3, dtype=np.int16) * 2),))), (Input(TOKENS, 2),), 2, 3)
    netx.write(net, folder / "ours.net")
    x = (np.random.default_rng(1).random((2, 6, 2)) < 0.5).astype(np.uint8)
    np.save(folder / "ours.npy", x)
    args = "run", folder / "ours.net", "--input", folder / "ours.npy"
    more = "--probe", "layer", "--output", folder / "ours.npz", "--json"
    found, expected = json.loads(call(folder, *args, *more)), engine.run(net, x, trace="all")
    assert found["outputs"] == expected.logits.tolist() and (found["n"], found["steps"]) == (2, 6)
    with np.load(folder / "ours.npz") as y:
        assert np.array_equal(y["layer"], expected.traces["layer"])
    assert "has its own read-out" in call(folder, *args, "--window", "2", code=2)
    np.save(folder / "ours.npy", x[:, :5])
    assert "input has shape (2, 5, 2), the net takes" in call(folder, *args, code=2)


@pytest.mark.slow
@pytest.mark.parametrize("name, x", [("spikes", "x"), ("values", "v")])
def test_lava_and_netx_agree(folder, name, x):
    net, given = folder / f"{name}.net", folder / f"{x}.npy"
    found = json.loads(call(folder, "verify", net, "--threads", "--samples", "1", "--input", given, "--json"))
    assert found["differences"] == 0 and "stock" in found["executors"] and not set(found["left_out"]) - {"netx"}
    args = "run", net, "--input", given, "--limit", "1", "--json"
    sim, fast = json.loads(call(folder, *args, "--backend", "sim", "--threads")), json.loads(call(folder, *args))
    assert sim["backend"] == "sim" and all(sim[k] == fast[k] for k in ("outputs", "spikes", "synops", "predictions"))


def bad(folder, name, value):
    np.save(folder / name, value)
    return folder / name


@pytest.mark.parametrize(
    "net, value, said",
    [
        ("spikes", np.zeros((2, 3, 6)), "has shape (2, 3, 6), the net takes [samples, steps, 5] or [steps, 5]"),
        ("spikes", np.zeros((2, 3, 4, 5)), "has shape (2, 3, 4, 5), the net takes"),
        ("spikes", np.zeros((0, 3, 5)), "has no samples or no steps"),
        ("spikes", np.full((1, 3, 5), 2), "has values from 2 to 2, expected spikes, 0 or 1"),
        ("spikes", np.full((1, 3, 5), 0.5), "no integers, expected spikes"),
        ("spikes", np.full((1, 3, 5), "a"), "has type <U1, expected numbers"),
        ("values", np.full((1, 3, 5), 2048), "expected integers from -2047 to 2047"),
        ("values", np.full((1, 3, 5), np.nan), "has values from nan to nan"),
        ("values", np.array([{}]), "no .npy file of numbers"),
    ],
)
def test_input_of_another_kind_is_one_line(folder, net, value, said):
    given = bad(folder, "bad.npy", value)
    assert said in call(folder, "run", folder / f"{net}.net", "--input", given, code=2)


@pytest.mark.parametrize(
    "more, said",
    [
        (("--labels", np.zeros(3)), "has shape (3,), expected (4,), one label for each sample"),
        (("--labels", np.full(4, 3)), "labels from 3 to 3, expected whole numbers from 0 to 2"),
        (("--labels", np.full(4, 0.5)), "expected whole numbers from 0 to 2"),
        (("--probe", "layer/9"), "--probe layer/9: no such layer, the net has input, layer/0, layer/1"),
        (("--window", "31"), "--window 31: expected N or A:B within the 30 steps of a sample"),
        (("--window", "9:3"), "--window 9:3"),
        (("--window", "x"), "--window x"),
        (("--golden",), "--golden, --file, --dataset and --input exclude each other"),
    ],
)
def test_other_mistakes_are_one_line(folder, more, said):
    more = [bad(folder, "labels-bad.npy", m) if isinstance(m, np.ndarray) else m for m in more]
    assert said in call(folder, "run", folder / "spikes.net", "--input", folder / "x.npy", *more, code=2)


def test_without_an_array(folder):
    assert "--input" in call(folder, "run", folder / "spikes.net", code=2)
    assert "--labels goes with --input only" in call(folder, "run", folder / "spikes.net", "--labels", "l.npy", code=2)
    found = call(folder, "verify", folder / "spikes.net", "--executors", "engine,fused", code=2)
    assert "for this kind of net there are: engine, steps, stock, netx" in found

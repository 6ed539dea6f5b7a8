"""The commands of `python -m deploy`, run as a user does."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from commands import ROOT, deploy, digits_net, loaded_by, refused

import events
from deploy.find import find
from deploy.run import batches, executors, run
from deploy.samples import from_dataset
from deploy.verify import verify
from sim import engine, netx
from sim.base.errors import UserError
from sim.lava.simulate import Simulation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with runs/a/model.net, with a golden input, and plain.net, without."""
    path = tmp_path_factory.mktemp("deploy")
    (path / "runs/a").mkdir(parents=True)
    net = digits_net()
    tokens = from_dataset(net, None, "val", None, 2).streams(0, 2)
    netx.write(net, path / "runs/a/model.net", golden=tokens)
    netx.write(net, path / "plain.net")
    return path


def test_run_json(folder):
    """What the engine says about the embedded test set, with nothing named: the newest net and its own data set are
    taken, and that is said.
    """
    out, _ = deploy(folder, "run", "--backend", "fast", "--json", "--limit", "70")
    result = json.loads(out)
    net = digits_net()
    samples = from_dataset(net, "digits", "test", None, 70)
    expected = engine.run(net, samples.streams(0, 70))
    assert result["predictions"] == expected.predictions.tolist() and result["labels"] == samples.labels.tolist()
    assert result["accuracy"] == (expected.predictions == samples.labels).mean()
    assert result["accuracy_interval"][0] < result["accuracy"] < result["accuracy_interval"][1]
    assert result["spikes"] == sum(expected.spikes.values()) and result["synops"] == sum(expected.synops.values())
    assert result["kept"] == expected.sent / (70 * net.frames * net.tokens) <= 10 / 16
    facts = dict(backend="fast", net="runs/a/model.net", dataset="digits", split="test", n=70, steps_per_sample=60)
    assert {k: result[k] for k in facts} == facts and result["seconds"] > 0


@pytest.mark.slow
def test_simulator_counts_what_the_engine_counts(folder):
    """Not only the predictions: spikes, operations and kept shares as well, though they come from the simulated
    spikes.
    """
    args = "run", "runs/a/model.net", "--limit", "3", "--json"
    fast, fused, stock = (
        json.loads(deploy(folder, *args, "--backend", *backend)[0])
        for backend in (["fast"], ["sim"], ["sim", "--executor", "stock", "--threads"])
    )
    for sim in (fused, stock):
        assert sim["backend"] == "sim"
        for key in ("predictions", "spikes", "synops", "kept", "layers", "accuracy"):
            assert sim[key] == fast[key], key
    assert stock["processes"] > fused["processes"] == 4


def test_run_for_people(folder):
    """Without --json: a table of layers, the accuracy with its interval."""
    out, _ = deploy(folder, "run", "--backend", "fast", "--limit", "20")
    assert (
        "accuracy 0." in out and "95 % interval" in out and all(name in out for name in ("stem", "bank", "back", "out"))
    )


def test_batches_are_all_samples(monkeypatch):
    net = digits_net()
    samples = from_dataset(net, None, "val", None, 11)
    whole = run(net, samples).to_json()
    monkeypatch.setattr(batches, "MAX_BATCH", 4)
    seen = []
    parts = run(net, samples, progress=seen.append).to_json()
    assert seen == [4, 8, 11]
    assert {k: v for k, v in parts.items() if k not in ("seconds", "layers")} == {
        k: v for k, v in whole.items() if k not in ("seconds", "layers")
    }


def test_golden_and_file(folder):
    golden = json.loads(deploy(folder, "run", "--golden", "--backend", "fast", "--json")[0])
    assert (
        golden["dataset"] == "golden" and golden["n"] == 2 and golden["accuracy"] is None and golden["labels"] is None
    )
    clip = events.load("digits", "val").events[0]
    np.save(folder / "clip.npy", np.stack([clip["x"], clip["y"], clip["p"], clip["t"] / 1000], 1).astype(np.float64))
    found = json.loads(deploy(folder, "run", "--file", "clip.npy", "--backend", "fast", "--json")[0])
    assert found["n"] == 1
    assert "prediction: " in deploy(folder, "run", "--file", "clip.npy", "--backend", "fast")[0]


@pytest.mark.parametrize(
    "args, message",
    [
        (("run", "none.net"), "no file 'none.net'; write one with: python -m convert export"),
        (("run", "plain.net", "--golden"), "has no golden input"),
        (("run", "--golden", "--dataset", "digits"), "exclude each other"),
        (("run", "plain.net", "--net", "plain.net"), "name the net once"),
        (("run", "--dataset", "bogus"), "no data set 'bogus'"),
        (("run", "--dataset", "nmnist", "--data-root", "nowhere"), "no recordings for 'test'"),
        (("run", "--file", "clip.aedat"), "no file"),
        (("run", "--file", "missing.npy"), "no file 'missing.npy'"),
        (("run", "plain.net", "--executor", "stock", "--file", "plain.net"), "cannot tell the format"),
        (("verify", "--executors", "engine,loihi"), "unknown executor 'loihi'"),
    ],
)
def test_mistakes(folder, args, message):
    assert message in refused(folder, *args)


def test_other_classes(folder):
    netx.write(digits_net(("yes", "no") * 5), folder / "other.net")
    assert "data set 'digits' has classes 0, 1, " in refused(folder, "run", "other.net")


def test_chip_is_refused_at_once(folder):
    """Before anything slow is imported."""
    line = refused(folder, "run", "--backend", "loihi2")
    assert loaded_by(folder, "run", "--backend", "loihi2")[1] == set()
    assert "numba" in loaded_by(folder, "run", "plain.net", "--golden")[1]
    assert "Intel's Loihi extension of Lava" in line and "inrc_interest@intel.com" in line and "--backend sim" in line


def test_newest_net_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no net here"):
        find()
    for i, name in enumerate(("models/a.net", "runs/x/model.net", "runs/y/model.net", "runs/z/other.net")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (100 - i, 100 - i))
    assert find() == "runs/x/model.net"  # what was trained here comes before what was delivered
    os.utime("runs/y/model.net", (200, 200))
    assert find() == "runs/y/model.net" and find("models/a.net") == "models/a.net"


@pytest.mark.parametrize("command", ["run", "verify", "plan"])
def test_help_has_an_example(folder, command):
    assert f"Example: python -m deploy {command}" in deploy(folder, command, "--help")[0]


@pytest.mark.slow
def test_verify_command(folder):
    out, _ = deploy(folder, "verify", "--samples", "5", "--threads", "--json")
    result = json.loads(out)
    assert result["executors"] == ["artifact", "engine", "fused", "stock"] and result["samples"] == 5
    assert result["inputs"] == ["golden", "golden", "empty", "ones", "random"]
    per_sample = sum(n.size for n in digits_net().nodes) * digits_net().steps
    assert (
        result["compared"] == (2 + 5 + 5) * per_sample
        and result["differences"] == 0
        and result["first_difference"] is None
    )


@pytest.mark.slow
def test_verify_in_lavas_runtime(folder):
    """The stock graph under Lava's own runtime, one sample; people get a table."""
    out, _ = deploy(folder, "verify", "plain.net", "--samples", "1")
    assert "engine = fused = stock" in out and "0" in out


def test_verify_finds_one_wrong_spike(folder, monkeypatch):
    """A single flipped value in what Lava gives is counted and placed."""

    def tampered(net, tokens, executor, *args, **options):
        result = engine.run(net, tokens, "all")
        traces = {n.name: result.traces[n.name].copy() for n in net.nodes}
        traces["back"][1, 40, 7] ^= 1
        return Simulation(result.logits, traces, 3, 0, 0.0, 0.0)

    monkeypatch.setattr(executors, "simulate", tampered)
    result = verify(folder / "runs/a/model.net", executors=("engine", "fused")).to_json()
    assert result["differences"] == 1
    first = result["first_difference"]
    assert {k: first[k] for k in ("layer", "sample", "step", "neuron")} == dict(
        layer="back", sample=1, step=40, neuron=7
    )
    assert abs(first["values"]["engine"] - first["values"]["fused"]) == 1


def test_verify_finds_an_engine_that_does_not_match_the_file(folder, monkeypatch):
    """If the engine changed since the file was written, the golden hashes tell."""
    real = engine.run

    def changed(net, tokens, trace=()):
        result = real(net, tokens, trace)
        result.traces["stem"] = 1 - result.traces["stem"]
        return result

    monkeypatch.setattr(engine, "run", changed)
    result = verify(folder / "runs/a/model.net", executors=("engine",)).to_json()
    assert result["differences"] > 0 and result["first_difference"]["layer"] == "stem"


def test_running_needs_no_torch(folder):
    """A machine that only runs nets needs neither torch nor lava-dl."""
    code = (
        "import sys, deploy.__main__, deploy.run, deploy.samples, deploy.verify, sim.lava.worker\n"
        "assert not {'torch', 'lava.lib', 'train', 'convert'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=dict(os.environ, PYTHONPATH=ROOT), check=True)


def test_run_on_is_one_long_recording(folder):
    """Recordings laid behind one another in time are what `--run-on` runs: the same read-out, one after the other."""
    net = digits_net()
    digits = events.load("digits", "val").events[:4]
    long, encoder = [], events.Encoder(**net.encoder)
    for i, recording in enumerate(digits):
        moved = recording[recording["t"] < encoder.frames * encoder.frame_us].copy()
        moved["t"] += i * encoder.frames * encoder.frame_us
        long.append(moved)
    whole = replace(encoder, frames=4 * encoder.frames).encode(np.concatenate(long))
    graded = engine.run(replace(net, frames=4 * net.frames), whole, ["out"]).traces["out"][0]
    expected = graded.reshape(4, net.steps, -1).sum(1)
    out, _ = deploy(folder, "run", "--backend", "fast", "--run-on", "--split", "val", "--limit", "4", "--json")
    found = json.loads(out)
    assert found["run_on"] and found["outputs"] == expected.tolist()
    assert found["spikes"] > 0 and found["steps_per_sample"] == net.steps
    assert (
        found["outputs"]
        != json.loads(deploy(folder, "run", "--backend", "fast", "--split", "val", "--limit", "4", "--json")[0])[
            "outputs"
        ]
    )
    assert "--run-on takes the recordings of a data set" in refused(
        folder, "run", "--golden", "--backend", "fast", "--run-on"
    )
    assert "--run-on goes with --backend fast" in refused(folder, "run", "--backend", "sim", "--run-on")

"""The loop: learns, resumes to identical weights, and says clearly what is wrong with a checkpoint or a
configuration.
"""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import events
from sim.base.errors import UserError
from train import checkpoint
from train.config import PRESETS, Config, preset
from train.data.augment import augment
from train.model.smolmamba import SmolMamba
from train.run import loop
from train.run.loop import train

ENCODER = dataclasses.replace(events.default_encoder("digits"), frames=2, frame_us=150_000).settings()
SMALL = Config(dataset="digits", encoder=ENCODER, stem=(8,), width=8, bank=8, float_epochs=2, exact_epochs=2, batch=64)


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    """A hundred recordings of each part: these tests are about the loop."""
    load = events.load

    def first(name, split, root=None, skip_bad=False):
        r = load(name, split, root)
        return dataclasses.replace(r, events=r.events[:100], labels=r.labels[:100], names=r.names[:100])

    monkeypatch.setattr(events, "load", first)


def weights(path):
    return checkpoint.load(path)[0].state_dict()


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_cut_off_after_any_epoch_ends_in_the_same_weights(tmp_path, monkeypatch, stop):
    train(SMALL, tmp_path / "whole", quiet=True, threads=1)

    save, done = checkpoint.save, []

    def save_and_die(path, *args, **kwargs):
        save(path, *args, **kwargs)
        done.extend([1] if str(path).endswith("last.pt") else [])
        if len(done) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(SMALL, tmp_path / "cut", quiet=True, threads=1)
    monkeypatch.setattr(checkpoint, "save", save)
    train(SMALL, tmp_path / "cut", quiet=True, threads=1)

    a, b = weights(tmp_path / "whole/last.pt"), weights(tmp_path / "cut/last.pt")
    assert a.keys() == b.keys() and [k for k in a if not torch.equal(a[k], b[k])] == []
    rows = [[json.loads(line) for line in open(tmp_path / d / "log.jsonl")] for d in ("whole", "cut")]
    assert [r["loss"] for r in rows[0]] == [r["loss"] for r in rows[1]]


def test_norms_of_some_batches_serve_to_show_an_accuracy_only(tmp_path, monkeypatch):
    seen = []
    reestimate = loop.reestimate_norms
    monkeypatch.setattr(loop, "reestimate_norms", lambda *args: (seen.append(args[-1]), reestimate(*args)))
    train(SMALL, tmp_path / "all", quiet=True, threads=1)
    monkeypatch.setattr(loop, "SHOW_BATCHES", 1)
    train(SMALL, tmp_path / "some", quiet=True, threads=1)
    assert seen == [
        1,
        1,
        2,
        1,
    ]  # every batch; with SHOW_BATCHES 1 one of the two, but all of them in the last float epoch
    for name in ("float.pt", "model.pt"):
        a, b = weights(tmp_path / "all" / name), weights(tmp_path / "some" / name)
        assert [k for k in a if not torch.equal(a[k], b[k])] == []


def test_resuming_another_configuration_is_refused(tmp_path):
    train(dataclasses.replace(SMALL, float_epochs=1, exact_epochs=0), tmp_path, quiet=True, threads=1)
    with pytest.raises(UserError, match="another configuration .lr differ"):
        train(dataclasses.replace(SMALL, float_epochs=1, exact_epochs=0, lr=1.0), tmp_path, quiet=True, threads=1)


def test_rows_logged_but_not_saved_are_not_logged_twice(tmp_path):
    cfg = dataclasses.replace(SMALL, float_epochs=2, exact_epochs=0)
    train(dataclasses.replace(SMALL, float_epochs=2, exact_epochs=0), tmp_path, quiet=True, threads=1)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text() + '{"epoch": 3}\n')
    train(cfg, tmp_path, quiet=True, threads=1)
    assert [json.loads(line)["epoch"] for line in open(log)] == [1, 2]


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    with pytest.raises(UserError, match="the loss is (nan|inf) in epoch 1"):
        train(dataclasses.replace(SMALL, weight_decay=1e30, lr=1e30), tmp_path, quiet=True, threads=1)


def test_missing_data_leaves_no_run_folder(tmp_path):
    with pytest.raises(UserError):
        train(
            dataclasses.replace(SMALL, dataset="nmnist"),
            tmp_path / "run",
            data_root=str(tmp_path),
            quiet=True,
            threads=1,
        )
    assert not (tmp_path / "run").exists()


@pytest.fixture
def saved(tmp_path):
    model = SmolMamba(SMALL, SMALL.make_encoder(), 10)
    path = tmp_path / "m.pt"
    checkpoint.save(path, model, [str(i) for i in range(10)], {})
    return path


def broken(path, **changes):
    content = torch.load(path, weights_only=True)
    content.update(changes)
    torch.save(content, path)
    return path


def test_checkpoint_faults_are_one_line_each(saved, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        checkpoint.load(tmp_path / "none.pt")
    data = saved.read_bytes()
    (tmp_path / "half.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="not a checkpoint, or damaged"):
        checkpoint.load(tmp_path / "half.pt")
    torch.save({"a": 1}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="no version entry"):
        checkpoint.load(tmp_path / "other.pt")
    config = torch.load(saved, weights_only=True)["config"]
    for change, text in (
        ({"version": 99}, "version 99"),
        ({"config": config | {"colour": 1}}, "unknown entries: colour"),
        ({"config": config | {"scan": "up"}}, "scan is 'up'"),
        ({"config": config | {"width": 16}}, "weights do not fit"),
        ({"config": config | {"encoder": {"frames": "x"}}}, "frames"),
        ({"config": [1]}, "expected a dictionary"),
    ):
        copy = tmp_path / "copy.pt"
        copy.write_bytes(data)
        with pytest.raises(UserError, match=text) as e:
            checkpoint.load(broken(copy, **change))
        assert "\n" not in str(e.value) and "copy.pt" in str(e.value)


def test_nan_in_a_checkpoint_is_refused_by_name(saved):
    state = torch.load(saved, weights_only=True)["model"]
    state["blocks.f.0.bank.synapses.x.weight"][0] = float("nan")
    with pytest.raises(UserError, match="blocks.f.0.bank.synapses.x.weight holds NaN"):
        checkpoint.load(broken(saved, model=state))


def test_no_pickle_is_loaded(saved, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"version": 1, "x": Evil()}, saved)
    with pytest.raises(UserError, match="not a checkpoint, or damaged"):
        checkpoint.load(saved)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"bank": 7},
        {"share": 0},
        {"share": 1.5},
        {"energy_uj": -1},
        {"energy_factor": float("nan")},
        {"sparsity": 1.0},
        {"sparsity": "much"},
        {"chain": 0},
        {"chain": 65},
        {"decays": ()},
        {"width": 0},
        {"mix_decay": 5000},
        {"gate": "x"},
        {"stem": (0,)},
        {"stem": "3x"},
        {"stem": ("a", "b")},
        {"lr": "fast"},
        {"lr": float("nan")},
        {"encoder": 3},
        {"width": 8.0},
        {"float_epochs": 1.5},
        {"scan": 1},
        {"lr": 10**400},
        {"lr": 0},
        {"exact_lr": -1e-3},
        {"seed": -1},
        {"weight_decay": -1},
        {"label_smoothing": 2},
    ],
)
def test_configuration_faults(change):
    with pytest.raises(UserError, match=f"configuration: {next(iter(change))} "):
        Config.from_dict(SMALL.to_dict() | change)


def test_unknown_preset():
    with pytest.raises(UserError, match="unknown preset 'huge'; there are tiny, small, medium, base"):
        preset("huge")
    assert set(PRESETS) == {"tiny", "small", "medium", "base", "photos", "photos-gpu"}
    assert (
        preset("small", dataset="dvs128").batch == 16
        and preset("small", dataset="dvs128", batch=4).batch == 4
        and preset("small").batch == 32
    )


def test_augmentation_keeps_time_order_and_the_sensor():
    r = np.random.default_rng(0)
    recording = events.load("digits", "val").events[0]
    out = augment(recording, 16, 16, dataclasses.replace(SMALL, shift=5.0, rotate=30.0, zoom=0.3), r)
    assert 0 < len(out) < len(recording)
    assert (np.diff(out["t"]) >= 0).all() and out["x"].min() >= 0 and out["x"].max() < 16 and out["y"].max() < 16
    same = augment(recording, 16, 16, dataclasses.replace(SMALL, shift=0.0, rotate=0.0, zoom=0.0, drop=0.0), r)
    assert (same == recording).all()


def test_the_command_ends_with_one_line_and_status_2():
    for arguments, text in (
        (["--preset", "huge"], "unknown preset"),
        (["--dataset", "nothing"], "nothing"),
        (["--dataset", "nmnist", "--data-root", "/nonexistent"], "nmnist"),
        (["--set", "scan=up"], "scan is 'up'"),
    ):
        run = subprocess.run([sys.executable, "-m", "train", *arguments], capture_output=True, text=True)
        assert run.returncode == 2 and "Traceback" not in run.stderr
        assert text in run.stderr.strip().splitlines()[-1]

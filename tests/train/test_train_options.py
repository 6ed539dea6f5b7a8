"""What the options of `python -m train` promise: logs, evaluation, early stop, exact integers under mixed precision,
broken files left out, augmentation, states saved within an epoch.
"""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from streams import same
from trees import SMALL, nmnist, random_batch

import events
from sim.base.errors import UserError
from train import checkpoint
from train.__main__ import _share_epochs, main
from train.config import Config, preset
from train.data.augment import augment
from train.data.batches import batches
from train.model.smolmamba import SmolMamba
from train.run import loop, precision
from train.run.logs import Log


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return nmnist(tmp_path_factory.mktemp("data"), events=120)


def rows(folder):
    return [
        {k: v for k, v in json.loads(line).items() if k not in ("seconds", "wait")}
        for line in open(folder / "log.jsonl")
    ]


def test_a_run_cut_off_within_an_epoch_ends_in_the_same_weights(tmp_path, monkeypatch, data_root):
    new = dict(energy_uj=5.0, sparsity=0.5, chain=2, leak=128)
    cfg = dataclasses.replace(SMALL, drop=0.2, shift=1.0, float_epochs=1, exact_epochs=1, **new)
    loop.train(cfg, tmp_path / "whole", data_root, quiet=True, threads=1, loaders=3)
    save = checkpoint.save
    for run in range(6):  # dies after its second save, mostly within an epoch, and goes on
        done = []

        def save_and_die(path, *args, **kwargs):
            save(path, *args, **kwargs)
            done.extend([1] if str(path).endswith("last.pt") else [])  # noqa: B023
            if len(done) == 2:  # noqa: B023
                raise KeyboardInterrupt

        monkeypatch.setattr(checkpoint, "save", save_and_die)
        try:
            loop.train(cfg, tmp_path / "cut", data_root, quiet=True, threads=1, save_minutes=0)
            break
        except KeyboardInterrupt:
            if run == 0:  # in the first epoch, of five steps
                assert torch.load(tmp_path / "cut/last.pt", weights_only=True)["loop"]["step"] == 2
    assert run >= 3
    for name in ("last.pt", "model.pt", "float.pt"):
        a, b = (checkpoint.load(tmp_path / d / name)[0].state_dict() for d in ("whole", "cut"))
        assert [k for k in a if not torch.equal(a[k], b[k])] == []
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")


def test_batches_do_not_depend_on_the_number_of_loaders(data_root):
    recordings, encoder = events.load("nmnist", "train", data_root), SMALL.make_encoder()
    cfg = dataclasses.replace(SMALL, drop=0.2, rotate=10.0, jitter_us=9e3, flip_polarity=0.5)
    one, three = (list(batches(recordings, encoder, cfg, 4, loaders=n)) for n in (1, 3))
    assert len(one) == len(three) == 5 and sorted(torch.cat([b[1] for b in one]).tolist()) == sorted(
        recordings.labels.tolist()
    )
    for a, b in zip(one, three):
        assert same(a[0], b[0]) and torch.equal(a[1], b[1])
    later = list(batches(recordings, encoder, cfg, 4, first=3))
    assert len(later) == 2 and same(later[0][0], one[3][0])


def test_batches_that_are_not_augmented_come_from_the_frames(data_root):
    recordings, encoder = events.load("nmnist", "train", data_root), SMALL.make_encoder()
    streams = events.token_streams(recordings, encoder, progress=False)
    for cfg, unchanged in (
        (dataclasses.replace(SMALL, shift=0.0, rotate=0.0, zoom=0.0, drop=0.0), True),
        (dataclasses.replace(SMALL, shift=3.0), False),
    ):
        read, kept = (
            list(batches(recordings, encoder, cfg, 4)),
            list(batches(recordings, encoder, cfg, 4, streams=streams)),
        )
        assert len(read) == len(kept) and all(
            same(a[0], b[0]) and torch.equal(a[1], b[1]) and a[2] == b[2] for a, b in zip(read, kept)
        )
        unread = dataclasses.replace(recordings, events=None)
        if unchanged:
            assert len(list(batches(unread, encoder, cfg, 4, streams=streams))) == len(read)
        else:
            with pytest.raises(TypeError):
                list(batches(unread, encoder, cfg, 4, streams=streams))


def test_time_and_polarity():
    recording, r = events.load("digits", "val").events[0], np.random.default_rng(0)
    off = dataclasses.replace(SMALL, dataset="digits")
    assert (augment(recording, 16, 16, off, r) == recording).all()
    later = augment(recording, 16, 16, dataclasses.replace(off, jitter_us=5000.0), r)
    moved = np.unique(later["t"] - recording["t"])
    assert (
        len(moved) == 1 and 0 < abs(moved[0]) <= 5000 and (later[["x", "y", "p"]] == recording[["x", "y", "p"]]).all()
    )
    slower = augment(recording, 16, 16, dataclasses.replace(off, stretch=0.5), r)
    factor = slower["t"][-1] / recording["t"][-1]
    assert (
        0.5 <= factor <= 1.5
        and factor != 1
        and np.abs(slower["t"] - factor * recording["t"]).max() < 3
        and (slower["x"] == recording["x"]).all()
    )
    flipped = augment(recording, 16, 16, dataclasses.replace(off, flip_polarity=1.0), r)
    assert (flipped["p"] == 1 - recording["p"]).all() and (flipped[["x", "y", "t"]] == recording[["x", "y", "t"]]).all()
    for change in (
        {"jitter_us": -1.0},
        {"stretch": 1.0},
        {"flip_polarity": 2.0},
        {"accumulate": 0},
        {"accumulate": 17},
        {"amp": 1},
        {"patience": -1},
    ):
        with pytest.raises(UserError, match="configuration: "):
            Config.from_dict(SMALL.to_dict() | change)


def test_integers_are_exact_under_mixed_precision():
    torch.manual_seed(0)
    model = SmolMamba(SMALL, SMALL.make_encoder(), 10)
    x = random_batch(model, 4)
    model.train()
    assert not torch.equal(
        precision.forward(model, x, False, True), precision.forward(model, x, False, False)
    )  # it is on in the float phase
    model.fold()
    seen = []
    for amp in (False, True):
        logits = precision.forward(model, x, True, amp)
        seen.append([logits, *(model.activity[name].detach() for name in sorted(model.activity))])
        model.zero_grad()
        logits.sum().backward()
        seen[-1].append(model.stem[0].synapses["tokens"].weight.grad.clone())
    assert all(torch.equal(a, b) for a, b in zip(*seen)) and seen[0][-1].abs().max() > 0
    assert precision.products_are_exact("cpu")
    with torch.autocast("cpu", torch.bfloat16):  # what must not happen in the integer phase
        assert not precision.products_are_exact("cpu")


def test_mixed_precision_trains(tmp_path, data_root):
    cfg = dataclasses.replace(SMALL, amp=True, accumulate=2, float_epochs=1, exact_epochs=1)
    assert loop.train(cfg, tmp_path, data_root, quiet=True, threads=1)["best_epoch"] == 2
    assert checkpoint.load(tmp_path / "model.pt")[0].folded


def test_patience(tmp_path, monkeypatch, data_root):
    monkeypatch.setattr(loop, "accuracy_and_energy", lambda *args: (0.5, 1.0))
    cfg = dataclasses.replace(SMALL, patience=2, float_epochs=1, exact_epochs=9)
    facts = loop.train(cfg, tmp_path, data_root, quiet=True, threads=1)
    assert (
        facts["stopped_early"] == 4 and len(rows(tmp_path)) == 4
    )  # epoch 2 is the first of integers, 3 and 4 are no better
    assert checkpoint.load(tmp_path / "model.pt")[1]["facts"]["stopped_early"] == 4
    assert loop.train(cfg, tmp_path, data_root, quiet=True, threads=1) == facts and len(rows(tmp_path)) == 4


def test_broken_files_are_named_or_left_out(tmp_path):
    nmnist(tmp_path, each=8, events=60)
    bad = tmp_path / "NMNIST/Train/3/00002.bin"
    bad.write_bytes(bad.read_bytes()[:-2])
    cfg = dataclasses.replace(SMALL, float_epochs=0, exact_epochs=1)
    with pytest.raises(UserError, match="3/00002.bin"):
        loop.train(cfg, tmp_path / "run", tmp_path, quiet=True, threads=1)
    assert loop.train(cfg, tmp_path / "run", tmp_path, quiet=True, threads=1, skip_bad=True)["skipped"] == 1


def test_the_log_is_cut_and_its_copies_agree(tmp_path):
    board = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    row = {
        "phase": "float",
        "loss": 1.5,
        "train": 0.1,
        "val": 0.25,
        "uj": 12.5,
        "factor": 0.1,
        "kept": 1.0,
        "rate": 0.1,
        "wait": 0.0,
        "seconds": 1.0,
    }
    for kept, new in ((0, (1, 2, 3)), (2, (3, 4))):  # epoch 3 was logged, but not saved
        log = Log(tmp_path, kept, tensorboard=True)
        for epoch in new:
            log.add({"epoch": epoch} | row)
    assert [json.loads(line)["epoch"] for line in open(tmp_path / "log.jsonl")] == [1, 2, 3, 4]
    table = list(csv.DictReader(open(tmp_path / "log.csv")))
    assert [r["epoch"] for r in table] == ["1", "2", "3", "4"] and table[3]["val"] == "0.25"
    seen = board.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.step for e in seen.Scalars("val")] == [1, 2, 3, 4] and seen.Scalars("loss")[0].value == 1.5


def test_epochs_are_shared_out_and_zero_evaluates(tmp_path, monkeypatch):
    assert _share_epochs(55, preset("tiny")) == (40, 15)
    assert [_share_epochs(n, preset("base")) for n in (0, 1, 2, 3, 13)] == [(0, 0), (1, 0), (1, 1), (2, 1), (10, 3)]
    monkeypatch.chdir(tmp_path)
    nmnist(tmp_path, each=8, events=60)
    run = ["--dataset", "nmnist", "--data-root", str(tmp_path), "--name", "x"]
    missing = CliRunner().invoke(main, [*run, "--epochs", "0"])
    assert isinstance(missing.exception, UserError) and "runs/x/model.pt: no such file; train first" in str(
        missing.exception
    )
    twice = CliRunner().invoke(main, [*run, "--epochs", "2", "--set", "float_epochs=1"])
    assert isinstance(twice.exception, UserError) and "float_epochs" in str(twice.exception)

    model = SmolMamba(SMALL, SMALL.make_encoder(), 10)
    (tmp_path / "runs/x").mkdir(parents=True)
    checkpoint.save(tmp_path / "runs/x/model.pt", model, [str(i) for i in range(10)], {})
    text = CliRunner().invoke(main, [*run, "--epochs", "0"]).output
    assert "a model of the float phase" in text and "of 10, interval" in text
    model.fold()
    checkpoint.save(tmp_path / "runs/x/model.pt", model, [str(i) for i in range(10)], {})
    out = json.loads(CliRunner().invoke(main, [*run, "--epochs", "0", "--split", "test", "--json"]).output)
    assert out["n"] == 10 and out["integer"]["interval"][0] <= out["integer"]["value"] <= out["integer"]["interval"][1]

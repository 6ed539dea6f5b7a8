"""Checkpoints: a turned bit, an entry of another kind and a half-written log are seen before they are used."""

import copy
import dataclasses
import io
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import events
from sim.base import lines, seals
from sim.base.errors import UserError
from train import checkpoint
from train.config import Config
from train.run.loop import train

ROOT = Path(__file__).resolve().parents[2]
ENCODER = dataclasses.replace(events.default_encoder("digits"), frames=2, frame_us=150_000).settings()
CFG = Config(encoder=ENCODER, stem=(8,), width=8, bank=8, float_epochs=1, exact_epochs=1, batch=64)
MUTANTS, FLIPS = int(os.environ.get("MUTANTS", 250)), int(os.environ.get("FLIPS", 150))
JUNK = (
    *(None, True, -1, 10**30, float("nan"), "", "x", [], {}, [[]], {"a": 1}, b"x", 1.5),
    *(torch.zeros(3), torch.zeros(0), torch.tensor(1j), torch.tensor(7), torch.zeros(2, 2).to_sparse()),
)


@pytest.fixture(scope="module", autouse=True)
def few_digits():
    """A hundred recordings of each part."""
    load = events.load

    def first(name, split, root=None, skip_bad=False):
        r = load(name, split, root)
        return dataclasses.replace(r, events=r.events[:100], labels=r.labels[:100], names=r.names[:100])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "load", first)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(CFG, folder, quiet=True, threads=1)
    return folder


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "of an earlier release"])
@pytest.mark.parametrize("name", ["model.pt", "last.pt"])
def test_a_turned_bit_is_never_loaded(run, tmp_path, name, sealed):
    """Without a seal, what loads may differ in what says nothing (times in the archive), and never in what it holds."""
    data = (run / name).read_bytes()
    content = checkpoint.read(run / name)
    if not sealed:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getvalue()
    rng, refused, path = random.Random(1), 0, tmp_path / "m.pt"
    for _ in range(FLIPS):
        bit = rng.randrange(8 * len(data))
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        try:
            assert same(content, checkpoint.read(path)), f"bit {bit}"
        except UserError as e:
            assert "damaged" in str(e) and "\n" not in str(e) and str(e).startswith(f"{path}: ")
            refused += 1
    print(f"{refused} of {FLIPS} refused, the others hold what they held")
    assert refused > FLIPS * (0.95 if sealed else 0.6)


def test_torch_alone_does_not_see_most(run):
    """Why we look."""
    data, content = (run / "model.pt").read_bytes(), checkpoint.read(run / "model.pt")
    rng, other = random.Random(1), 0
    for _ in range(FLIPS):
        broken = bytearray(data)
        broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            other += not same(content, torch.load(io.BytesIO(broken), weights_only=True))
        except Exception:  # whatever torch makes of it
            pass
    print(f"torch alone loads {other} of {FLIPS} as something else")
    assert other > FLIPS / 10


def test_torch_alone_does_not_see_it(run, tmp_path):
    """A bit of a weight, and torch loads another net."""
    data = bytearray((run / "model.pt").read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda i: i.file_size)
    data[largest.header_offset + 64 + largest.file_size // 2] ^= 64
    (tmp_path / "m.pt").write_bytes(data)
    assert not same(checkpoint.read(run / "model.pt"), torch.load(tmp_path / "m.pt", weights_only=True))
    with pytest.raises(seals.Damaged):
        checkpoint.load(tmp_path / "m.pt")


def test_shipped_checkpoints_load():
    for path in (ROOT / "models").glob("*.pt"):
        model, content = checkpoint.load(path)
        assert content["version"] == 2 and model.folded


def places(value, path=()):
    """Paths of everything in a nest of dictionaries and lists."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def mutated(content, rng):
    """The content with one thing replaced, left out, added or, of a tensor, changed."""
    out = copy.deepcopy(content)
    path = rng.choice([p for p in places(out) if p])
    inner = out
    for key in path[:-1]:
        inner = inner[key]
        if isinstance(inner, tuple):
            return out | {rng.choice(list(out)): rng.choice(JUNK)}
    if isinstance(inner, tuple):
        return out | {"x": 1}
    value, kind = inner[path[-1]], rng.randrange(4)
    if kind == 0 and isinstance(inner, dict):
        del inner[path[-1]]
    elif kind == 1 and isinstance(value, torch.Tensor) and value.is_floating_point():
        inner[path[-1]] = rng.choice(
            [value.double(), value.flatten(), value[..., None], -value - 1, value * float("inf")]
        )
    elif kind == 2 and isinstance(inner, dict):
        inner[rng.choice(["x", 1, "epoch"])] = rng.choice(JUNK)
    else:
        inner[path[-1]] = rng.choice(JUNK)
    return out


def test_whatever_stands_in_it_a_checkpoint_is_read_or_refused_in_a_line(run, tmp_path):
    rng, refused = random.Random(2), 0
    content = checkpoint.read(run / "last.pt")
    optimizer = content["loop"].pop("optimizer")
    content["loop"]["optimizer"] = {"state": {0: optimizer["state"][0]}, "param_groups": optimizer["param_groups"]}
    for i in range(MUTANTS):
        change = mutated(content, rng)
        checkpoint.write(tmp_path / "m.pt", change)
        try:
            checkpoint.load(tmp_path / "m.pt")
        except UserError as e:
            assert str(e).startswith(f"{tmp_path}/m.pt: ") and "\n" not in str(e), i
            refused += 1
    print(f"{refused} of {MUTANTS} refused in a line, the others loaded")
    assert MUTANTS / 2.5 < refused < MUTANTS


def test_a_huge_net_is_refused_before_it_is_built(run, tmp_path):
    content = checkpoint.read(run / "model.pt")
    content["config"] |= {"stem": (4096,), "width": 4096, "blocks": 8}
    checkpoint.write(tmp_path / "m.pt", content)
    with pytest.raises(UserError, match="weights do not fit the configuration"):
        checkpoint.load(tmp_path / "m.pt")


def test_an_optimiser_of_another_net_is_refused(run, tmp_path):
    folder = tmp_path / "run"
    for change, text in (
        (lambda o: o["state"].update({0: {"step": torch.tensor(1.0)}}), "state of parameter 0: other entries"),
        (lambda o: o["state"][0].update(exp_avg=torch.zeros(3)), "exp_avg is not finite, or of another"),
        (lambda o: o["state"][0]["exp_avg_sq"].fill_(-1.0), "exp_avg_sq is not finite"),
        (lambda o: o["state"].update({99: o["state"][0]}), "there is no such parameter"),
        (lambda o: o["param_groups"][0].update(lr="x"), "optimizer: lr is 'x'"),
        (lambda o: o["param_groups"][0].update(params=[0]), "optimizer: params is"),
        (lambda o: o["param_groups"].pop(), "another number of groups"),
    ):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run, folder)
        content = checkpoint.read(folder / "last.pt")
        change(content["loop"]["optimizer"])
        checkpoint.write(folder / "last.pt", content)
        with pytest.raises(UserError, match=text) as e:
            train(CFG, folder, quiet=True, threads=1)
        assert "\n" not in str(e.value) and "--fresh" in str(e.value)


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:100], lambda b: b[: len(b) // 2], lambda b: b[:-1], lambda b: b"\0" * len(b)]
)
def test_a_damaged_state_says_what_to_do(run, tmp_path, damage):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "last.pt").write_bytes(damage((run / "last.pt").read_bytes()))
    with pytest.raises(UserError, match="damaged") as e:
        train(CFG, folder, quiet=True, threads=1)
    assert "\n" not in str(e.value) and str(e.value).endswith("or start anew with --fresh")


@pytest.mark.parametrize("old", [False, True], ids=["", "of an earlier release"])
def test_a_half_written_log_is_mended(run, tmp_path, old):
    folder, rows = tmp_path / "run", lines.read(run / "log.jsonl")
    shutil.copytree(run, folder)
    if old:
        content = checkpoint.read(folder / "last.pt")
        del content["loop"]["rows"]
        checkpoint.write(folder / "last.pt", content)
    log = folder / "log.jsonl"
    for text in (log.read_text() + '{"epoch": 3, "pha', log.read_text() + "\0\0"):
        log.write_text(text)
        assert lines.read(log) == rows
        train(CFG, folder, quiet=True, threads=1)
        assert log.read_text() == (run / "log.jsonl").read_text()
    log.write_text("x\n" + log.read_text())
    with pytest.raises(UserError, match=f"{log}: line 1 is damaged; "):
        lines.read(log)
    if old:
        with pytest.raises(UserError, match="line 1 is damaged"):
            train(CFG, folder, quiet=True, threads=1)
    else:
        train(CFG, folder, quiet=True, threads=1)
        assert lines.read(log) == rows


def test_the_second_training_in_a_folder_is_refused_by_name(tmp_path):
    code = (
        "import sys, time; from sim.base import locks\nwith locks.held(sys.argv[1], 'trains', ''):\n"
        "    print(flush=True); time.sleep(60)"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
    )
    first.stdout.readline()
    try:
        with pytest.raises(UserError, match=f"process {first.pid} trains here since .*; wait for it, or take another"):
            train(CFG, tmp_path, quiet=True, threads=1)
        assert os.listdir(tmp_path) == [".lock"]
    finally:
        first.kill()
        first.communicate()
    train(CFG, tmp_path, quiet=True, threads=1)
    assert [row["epoch"] for row in lines.read(tmp_path / "log.jsonl")] == [1, 2]
    assert not list(tmp_path.glob(".*"))


def test_numbers_of_a_study_are_sealed(tmp_path):
    from train.studies import runs

    runs.claim(tmp_path, CFG)
    plan = tmp_path / runs.PLAN
    plan.write_text(plan.read_text().replace('"width": ', '"width": 1'))
    with pytest.raises(UserError, match="damaged"):
        runs.claim(tmp_path, CFG)
    (tmp_path / runs.DONE).write_text(json.dumps({"config": CFG.to_dict(), "uj": 1.0}))  # of an earlier release
    assert runs.finished(tmp_path, CFG)["uj"] == 1.0
    text = seals.to_json({"config": CFG.to_dict(), "uj": 1.0})
    (tmp_path / runs.DONE).write_text(text.replace('"uj": 1.0', '"uj": 1.5'))
    with pytest.raises(UserError, match="damaged: .* measured again"):
        runs.finished(tmp_path, CFG)

"""Training on two processes: the same gradients, norms and masks as on one, the same weights on both, one
voice.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from trees import SMALL, nmnist

from train import checkpoint
from train.data.batches import chunks
from train.distributed import Ranks

REPO = Path(__file__).resolve().parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def python(*arguments, cwd=REPO, **more):
    paths = os.pathsep.join([str(REPO), str(REPO / "tests")])
    env = os.environ | {
        "PYTHONPATH": paths,
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }  # two processes need two GPUs
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, env=env, **more)


def test_shares_are_disjoint_and_complete_and_never_empty():
    for n in range(2, 9):
        for size in range(1, n + 1):
            shares = [Ranks(rank, size).share(list(range(n))) for rank in range(size)]
            assert (
                sum(shares, []) == list(range(n))
                and min(map(len, shares)) >= 1
                and max(map(len, shares)) - min(map(len, shares)) <= 1
            )
    assert [len(c) for c in chunks(range(33), 16)] == [16, 16, 1]
    assert [len(c) for c in chunks(range(33), 16, 2)] == [16, 17]
    assert [len(c) for c in chunks(range(1), 16, 2)] == [1]


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path):
    for name, launcher in (("one", []), ("two", TORCHRUN)):
        (tmp_path / name).mkdir()
        run = python(*launcher, str(REPO / "tests/rank_checks.py"), str(tmp_path / name))
        assert run.returncode == 0, run.stderr[-3000:]
    one, a, b = (torch.load(tmp_path / p) for p in ("one/0.pt", "two/0.pt", "two/1.pt"))
    for key in ("float", "integer 1", "integer 3", "norms"):
        assert one[key].keys() == a[key].keys() == b[key].keys() and one[key]
        for name in one[key]:
            assert torch.equal(a[key][name], b[key][name]), f"{key} {name}: the processes differ"
            scale = float(one[key][name].abs().max()) + 1e-6
            assert float((one[key][name] - a[key][name]).abs().max()) < 1e-4 * scale, f"{key} {name}"
    for name in one["integer 1"]:  # micro-batches: the same gradient in one process, too
        assert torch.allclose(one["integer 1"][name], one["integer 3"][name], rtol=1e-4, atol=1e-6), name
    for name, mask in one["masks"].items():
        assert torch.equal(mask, a["masks"][name]) and torch.equal(mask, b["masks"][name]), name
    assert not one["masks"]["stem.0.mask_tokens"].all()
    for key in ("float sums", "integer sums 1", "integer sums 3"):
        assert torch.equal(a[key], b[key]) and torch.allclose(one[key], a[key], rtol=1e-5)
    assert not one["noticed"] and a["noticed"] and b["noticed"]
    assert a["from_first"] == b["from_first"] == {"a": [1, 2]}
    assert a["together"] == "the second process has a complaint" and b["together"] == "2"  # exit status 2, in silence


@pytest.mark.slow
def test_torchrun_trains_resumes_and_speaks_once(tmp_path):
    nmnist(tmp_path)
    changes = [
        a
        for k, v in SMALL.to_dict().items()
        if k not in ("dataset", "float_epochs", "exact_epochs")
        for a in ("--set", f"{k}={json.dumps(v)}")
    ]
    options = [
        "-m",
        "train",
        "--dataset",
        "nmnist",
        "--data-root",
        str(tmp_path),
        "--threads",
        "1",
        "--epochs",
        "2",
        "--json",
        *changes,
    ]
    one = python(*options, "--name", "one", cwd=tmp_path)
    two = python(*TORCHRUN, *options, "--name", "two", cwd=tmp_path)
    assert one.returncode == two.returncode == 0, two.stderr[-3000:]
    facts = json.loads(two.stdout)  # one line, of the first process
    assert facts["processes"] == 2 and facts["best_epoch"] == 2 and two.stderr.count("epoch   1 float") == 1
    rows = [[json.loads(line) for line in open(tmp_path / "runs" / name / "log.jsonl")] for name in ("one", "two")]
    assert [r["loss"] for r in rows[1]] == pytest.approx([r["loss"] for r in rows[0]], rel=1e-3)
    model, _ = checkpoint.load(tmp_path / "runs/two/model.pt")
    assert model.folded

    # Saves after every step and dies; goes on within the second epoch, each process with its share, to the same
    # weights.
    died = python(
        *TORCHRUN, str(REPO / "tests/rank_dies.py"), *options[2:], "--save-minutes", "0", "--name", "cut", cwd=tmp_path
    )
    loop = torch.load(tmp_path / "runs/cut/last.pt", weights_only=True)["loop"]
    assert died.returncode != 0 and (loop["epoch"], loop["step"]) == (1, 4)
    python(*TORCHRUN, *options, "--name", "cut", cwd=tmp_path)
    whole, cut = (checkpoint.load(tmp_path / "runs" / name / "last.pt")[0].state_dict() for name in ("two", "cut"))
    assert [k for k in whole if not torch.equal(whole[k], cut[k])] == []
    assert {r["loss"] for r in rows[1]} == {json.loads(line)["loss"] for line in open(tmp_path / "runs/cut/log.jsonl")}

    small = python(*TORCHRUN, *options[:-2], "--set", "batch=1", "--name", "none", cwd=tmp_path)
    text = "a batch of 1 is smaller than 2 processes times accumulate 1"
    assert small.returncode != 0 and small.stderr.count(f"error: {text}") == 1 and not (tmp_path / "runs/none").exists()

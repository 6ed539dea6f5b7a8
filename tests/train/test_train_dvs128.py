"""DVS128 Gesture from a tree in tonic's layout: synthetic clips for training, and the real ones, where they are, for
testing.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from events.gestures import generate as gestures

REPO = Path(__file__).resolve().parents[2]
REAL = REPO.parent / "shared" / "data" / "DVSGesture" / "ibmGestureTest"
SMALL = ["stem=[8]", "width=8", "bank=8", "batch=4"]


def command(*arguments, cwd, **more):
    env = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"} | more
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_trains_to_the_end_alone_and_on_two_processes(tmp_path):
    for user, part in ((1, "Train"), (2, "Train"), (3, "Test")):
        folder = tmp_path / f"DVSGesture/ibmGesture{part}/user{user:02d}_led"
        folder.mkdir(parents=True)
        for label in range(4 if user == 1 else 2):
            np.save(folder / f"{label}.npy", gestures.clip(1, user, 1, label))
    if REAL.is_dir():
        shutil.copytree(REAL, tmp_path / "DVSGesture/ibmGestureTest", dirs_exist_ok=True)
    options = [
        "-m",
        "train",
        "--dataset",
        "dvs128",
        "--data-root",
        str(tmp_path),
        "--epochs",
        "2",
        "--threads",
        "1",
        "--json",
        *(a for s in SMALL for a in ("--set", s)),
    ]
    alone = command(*options, "--name", "alone", cwd=tmp_path)
    two = command(
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        *options,
        "--name",
        "two",
        cwd=tmp_path,
        CUDA_VISIBLE_DEVICES="",
    )  # two processes need two GPUs
    for facts in (alone, two):
        assert (facts["n_train"], facts["n_val"], facts["best_epoch"]) == (4, 2, 2)
    out = command(
        "-m",
        "train",
        "--dataset",
        "dvs128",
        "--data-root",
        str(tmp_path),
        "--name",
        "two",
        "--epochs",
        "0",
        "--split",
        "test",
        "--json",
        cwd=tmp_path,
    )
    assert out["n"] == 2 + 5 * REAL.is_dir() and out["integer"] and out["float"]


def test_make_train_names_what_was_asked_for():
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for arguments, launcher in (
        ([], "-m train"),
        (["NPROC=2"], "-m torch.distributed.run --standalone --nproc-per-node 2 -m train"),
    ):
        text = subprocess.run(
            ["make", "-n", "train", "DATASET=dvs128", "DATA_ROOT=/a b", "PRESET=tiny", *arguments],
            capture_output=True,
            text=True,
            cwd=REPO,
        ).stdout
        assert f'python {launcher} --dataset dvs128 --preset tiny --name dvs128-tiny --data-root "/a b"' in text

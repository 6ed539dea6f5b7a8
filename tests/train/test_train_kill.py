"""A run killed with SIGKILL at ten random moments and resumed each time ends in the numbers of one that was left alone."""  # noqa: E501

import dataclasses
import json
import multiprocessing
import random
import time

import pytest
import torch
from trees import SMALL, nmnist

from train.run.loop import train

KILLS = 10
NEW = dict(energy_uj=5.0, sparsity=0.5, chain=2, leak=128)
CFG = dataclasses.replace(SMALL, drop=0.2, shift=1.0, float_epochs=6, exact_epochs=4, **NEW)


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_in_the_same_numbers(tmp_path):
    nmnist(tmp_path)
    # Children are forked from a process that has imported everything: a start takes no time, and a kill is a kill.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train.run.loop"])

    def start(name, save_minutes):
        child = context.Process(
            target=train,
            args=(CFG, str(tmp_path / name), str(tmp_path)),
            kwargs=dict(quiet=True, threads=1, save_minutes=save_minutes),
        )
        child.start()
        return child

    seed = random.SystemRandom().randrange(10**6)
    print(f"random seed {seed}")  # shown if the test fails
    chance, log = random.Random(seed), tmp_path / "cut" / "log.jsonl"
    lone = start("whole", None)
    lone.join()
    assert lone.exitcode == 0
    took = sum(json.loads(line)["seconds"] for line in open(tmp_path / "whole/log.jsonl"))

    def state():
        path = tmp_path / "cut" / "last.pt"
        return path.stat().st_mtime_ns if path.exists() else 0

    killed, moments = 0, []
    while killed < KILLS:
        child, before = start("cut", 0), state()  # 0: a state is saved after every step
        while (
            killed % 5 and state() == before and child.exitcode is None
        ):  # two of ten die whenever it comes, the others in training
            time.sleep(0.002)
        child.join(chance.uniform(0, took / KILLS))
        if child.exitcode is not None:
            break
        child.kill()
        child.join()
        assert child.exitcode == -9
        killed += 1
        moments.append(len(log.read_text().splitlines()) if log.exists() else 0)
    print(f"epochs logged at the kills: {moments}")
    assert killed >= 5 and moments[-1] > 0
    last = start("cut", 0)
    last.join()
    assert last.exitcode == 0
    rows = [
        [
            {k: v for k, v in json.loads(line).items() if k not in ("seconds", "wait")}
            for line in open(tmp_path / name / "log.jsonl")
        ]
        for name in ("whole", "cut")
    ]
    assert rows[0] == rows[1] and len(rows[0]) == CFG.float_epochs + CFG.exact_epochs
    for name in ("model.pt", "float.pt", "last.pt"):
        a, b = (torch.load(tmp_path / folder / name, weights_only=True) for folder in ("whole", "cut"))
        assert [k for k in a["model"] if not torch.equal(a["model"][k], b["model"][k])] == []
    for key, value in a["loop"]["optimizer"]["state"].items():
        assert all(torch.equal(v, b["loop"]["optimizer"]["state"][key][k]) for k, v in value.items())
    assert [p.name for p in (tmp_path / "cut").glob(".*")] == []

"""What a GPU computes is what the engine and the chip compute, and a run on it repeats. Skipped where there is none."""

import dataclasses
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from trees import SMALL, nmnist, random_batch

from convert import parity
from convert.to_net import to_net
from sim import netx, prices
from sim.net.tokens import join
from train import checkpoint
from train.model.smolmamba import SmolMamba
from train.run import precision
from train.run.epoch import Energy, chained, passes
from train.run.graphs import Recorded
from train.run.loop import train

NEW = dict(energy_uj=5.0, sparsity=0.5, chain=2, leak=128)
DENSITY = np.array([0.01, 0.1, 0.5, 1.0])[:, None, None, None, None]
REPO = Path(__file__).resolve().parents[2]
NETS = sorted((REPO / "models").glob("*.net"))
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")


@needs_gpu
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("path", NETS, ids=lambda p: p.stem)
def test_every_layer_is_the_engines(path, amp):
    """The trained nets, on their golden samples and on random ones; with `--amp`, too, whose products are TF32's."""
    model, content = checkpoint.load(path.with_suffix(".pt"))
    net, golden = to_net(model, content["classes"], content["facts"]), netx.read_golden(path).stream
    e = model.encoder
    dense = np.random.default_rng(0).random((4, e.frames, 2, *e.frame_shape)) < DENSITY
    model.to("cuda")
    try:
        precision.prepare("cuda", amp, _Quiet)
        found = parity.compare(model, net, join([golden, e.streams(dense.astype(np.uint8))]))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert found["compared"] > 100_000 and found["differences"] == 0, found["first_difference"]


class _Quiet:
    @staticmethod
    def print(text):
        print(text)


@needs_gpu
@pytest.mark.parametrize("exact", [False, True])
def test_a_graph_computes_what_python_does(exact):
    """Loss, right predictions, gradients, the norms' statistics and what is looked at between steps, on two batches in
    turn.
    """
    random = torch.Generator().manual_seed(1)
    cfg, models = dataclasses.replace(SMALL, sparsity=0.5), []
    for _ in range(2):
        torch.manual_seed(1)
        model = SmolMamba(cfg, cfg.make_encoder(), 10).train()
        for layer in model.layers():
            layer.norm.bias.data.fill_(0.3)
        model(*random_batch(model, 16))
        if exact:
            model.fold()
        models.append(model.to("cuda").train())
    plain, replayed = models
    energies = [Energy(prices.load(prices.USUAL), torch.tensor(0.1, device="cuda")) for _ in models]
    recorded = Recorded(replayed, partial(passes, cfg=cfg, energy=energies[1]))
    for factor in (0.1, 0.1, 3.0):  # the graph reads the energy's factor anew
        x = tuple(t.to("cuda") for t in chained(random_batch(plain, 32, random=random), 2))
        y = torch.randint(0, 10, (32,), generator=random).to("cuda")
        plain.zero_grad()
        replayed.zero_grad()
        for energy in energies:
            energy.factor.fill_(factor)
        loss, hits = passes(plain, x, y, exact, cfg, energy=energies[0])
        loss_too, hits_too = recorded(x, y, exact)
        assert torch.equal(hits, hits_too)
        torch.testing.assert_close(loss, loss_too)
        for (name, p), q in zip(plain.named_parameters(), replayed.parameters()):
            assert (p.grad is None) == (q.grad is None), name
            if p.grad is not None:
                torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6, msg=name)
        for (name, a), b in zip(plain.named_buffers(), replayed.buffers()):
            torch.testing.assert_close(a, b, msg=name)
        assert all(torch.equal(plain.activity[key], replayed.activity[key]) for key in plain.activity)
        assert plain.activity and all(torch.equal(a.rate, b.rate) for a, b in zip(plain.layers(), replayed.layers()))


@needs_gpu
@pytest.mark.slow
@pytest.mark.parametrize("amp", [False, True])
def test_a_run_repeats_and_resumes(tmp_path, amp):
    """The same weights, bit for bit, from a run left alone, one more like it, and one that was taken up again from a
    state within an epoch.
    """
    nmnist(tmp_path)
    cfg = dataclasses.replace(SMALL, drop=0.2, shift=1.0, float_epochs=2, exact_epochs=2, amp=amp, **NEW)
    for name in ("one", "two"):
        facts = train(cfg, tmp_path / name, str(tmp_path), quiet=True)
        assert facts["device"] == "cuda"
    code = f"""
import os, sys; sys.path[:0] = [{str(REPO)!r}, {str(REPO / "tests")!r}]
from train import checkpoint, loop
save, calls = checkpoint.save, []
def stop(*args, **more):
    save(*args, **more)
    calls.append(1)
    if len(calls) in {{3, 8}}:
        os._exit(9)
checkpoint.save = stop
import dataclasses
from trees import SMALL
cfg = dataclasses.replace(SMALL, drop=0.2, shift=1.0, float_epochs=2, exact_epochs=2, amp={amp}, **{NEW})
loop.train(cfg, {str(tmp_path / "cut")!r}, {str(tmp_path)!r}, quiet=True, save_minutes=0)
"""
    codes = [subprocess.run([sys.executable, "-c", code], cwd=REPO).returncode for _ in range(2)]
    assert codes == [9, 9]
    train(cfg, tmp_path / "cut", str(tmp_path), quiet=True, save_minutes=0)
    one, *others = (
        torch.load(tmp_path / name / "last.pt", map_location="cpu", weights_only=True)["model"]
        for name in ("one", "two", "cut")
    )
    for other in others:
        assert all(torch.equal(one[key], other[key]) for key in one)


@needs_gpu
@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() != 1, reason="needs exactly one GPU")
def test_more_processes_than_gpus_is_one_clear_line(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            "train",
            "--dataset",
            "digits",
            "--name",
            "two",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode != 0 and "process 1 of this machine has no GPU of its own (1 found)" in done.stderr


def test_what_python_branches_on_stays_on_the_cpu():
    model = SmolMamba(SMALL, SMALL.make_encoder(), 10)
    model.fold()
    model.to("meta")
    assert model.folded and model.readout_gain.is_meta and model.stem[0].mask_tokens.is_meta

"""The bookkeeping around a recorded step, with a stand-in for CUDA's graphs that records nothing (on a GPU:
test_cuda.py).
"""

import contextlib
from functools import partial

import pytest
import torch
from trees import SMALL, nmnist, random_batch

from sim.base.errors import UserError
from train.model.smolmamba import SmolMamba
from train.run import epoch, loop
from train.run.graphs import Recorded


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def recordings(monkeypatch):
    """Stands in for CUDA; a list of the recordings made, and how often each was replayed."""
    made = []

    class Graph:
        def __init__(self):
            self.replays = 0
            made.append(self)

        def replay(self):
            self.replays += 1

    for name, value in dict(
        Stream=Stream,
        current_stream=Stream,
        stream=lambda s: contextlib.nullcontext(),
        CUDAGraph=Graph,
        graph=lambda graph, **more: contextlib.nullcontext(),
    ).items():
        monkeypatch.setattr(torch.cuda, name, value)
    return made


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SmolMamba(SMALL, SMALL.make_encoder(), 10).train()


def batch(model, n=16):
    return random_batch(model, n), torch.arange(n) % 10


def test_a_step_is_recorded_again_when_what_python_decides_on_has_changed(recordings, model):
    step, (x, y) = Recorded(model, partial(epoch.passes, cfg=SMALL)), batch(model)
    counted = []

    def run(x, y, exact):
        step(x, y, exact)
        counted.append((len(recordings), recordings[-1].replays))

    run(x, y, False)
    run(x, y, False)
    run(*batch(model, 8), False)
    model.fold()
    run(x, y, True)
    run(x, y, True)
    assert counted == [(1, 1), (1, 2), (2, 1), (3, 1), (3, 2)]


def test_warming_up_leaves_the_norms_alone_and_what_is_looked_at_comes_back(recordings, model):
    before = {name: b.clone() for name, b in model.named_buffers()}
    step, (x, y) = Recorded(model, partial(epoch.passes, cfg=SMALL)), batch(model)
    step(x, y, False)
    assert all(torch.equal(before[name], b) for name, b in model.named_buffers())
    grads, spikes, rates = (
        [p.grad for p in model.parameters()],
        dict(model.activity),
        [layer.rate for layer in model.layers()],
    )
    model.eval()(*(t[:3] for t in x))  # as validation does between steps
    model.train().zero_grad()
    assert model.activity["f0.bank"] is not spikes["f0.bank"]
    step(x, y, False)
    assert all(a is b for a, b in zip(grads, (p.grad for p in model.parameters())))
    assert all(model.activity[key] is spikes[key] for key in spikes) and all(
        a is layer.rate for a, layer in zip(rates, model.layers())
    )


def test_a_refusal_is_one_clear_line(recordings, model, monkeypatch):
    @contextlib.contextmanager
    def refuse(graph, **more):
        yield
        raise RuntimeError("CUDA error: operation not permitted\nand many more lines")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    with pytest.raises(
        UserError, match=r"recorded as a CUDA graph \(CUDA error: operation not permitted\); go on with --no-graph"
    ):
        Recorded(model, partial(epoch.passes, cfg=SMALL))(*batch(model), False)


def test_a_gpu_that_is_too_small_is_one_clear_line(tmp_path, monkeypatch):
    nmnist(tmp_path, events=60)

    def full(*args, **more):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")

    monkeypatch.setattr(epoch, "passes", full)
    with pytest.raises(
        UserError, match="does not hold a batch of 16 in 1 part; start again with --accumulate 2 --fresh"
    ):
        loop.train(SMALL, tmp_path / "run", tmp_path, quiet=True, threads=1)

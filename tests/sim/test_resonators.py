"""Resonate-and-fire neurons: engine, definition, Lava's models, SLAYER's own blocks."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import h5py
import numpy as np
import pytest
from chains import even

from sim import netx
from sim.base.errors import UserError
from sim.expansion import expand
from sim.integer import STATE_LIMIT
from sim.sequential import (
    ConvLayer,
    Counter,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Neuron,
    Resonator,
    Sequential,
    Stream,
    by_definition,
)
from sim.sequential.resonator import resonator_step


def turning(r, n, resets, v_th=40):
    """Decays of 0.7 to 1 and any angle, those too that turn by more than a quarter."""
    angle, keep = r.uniform(0, 2 * np.pi, n), 4096 * r.uniform(0.7, 1, n)
    return Resonator((keep * np.sin(angle)).astype(np.int32), (keep * np.cos(angle)).astype(np.int32), v_th, resets)


def random_net(seed, same_turn=False):
    """A convolution of one kind, dense layers of both and of CUBA neurons, delays on axons and synapses."""
    r = np.random.default_rng(seed)
    first = turning(r, 1 if same_turn else 3, bool(seed % 2))
    kernel, image = (3, 2, 3, 2), (2, 5, 4)
    cuba = Neuron(np.array([600], np.int32), 800, 60, np.zeros(1, np.int32))
    conv = ConvLayer("conv", even(r, kernel), first, (1, 2), (1, 0), (1, 1), 1, image, None, even(r, kernel))
    n = int(np.prod(conv.shape))
    late = r.integers(0, 4, 5).astype(np.int32)
    mid = DenseLayer("mid", even(r, (5, n)), turning(r, 5, not seed % 2), None, late, None, even(r, (5, n)))
    slow = r.integers(0, 4, (4, 5)).astype(np.int32)
    last = DenseLayer("last", even(r, (4, 5)), turning(r, 4, True), None, None, slow)  # no imaginary weights
    layers = [InputLayer("in", image), conv, FlattenLayer("flat", (n,)), mid, last]
    return Sequential((*layers, DenseLayer("out", even(r, (3, 4)), cuba))), r


@pytest.mark.parametrize("seed", range(6))
def test_engine_and_definition(seed):
    net, r = random_net(seed)
    x = (r.random((3, 40, *net.layers[0].shape)) < 0.3).astype(np.uint8)
    expected, found = by_definition(net, x), net.run(x)
    assert all(np.array_equal(found[name], values) for name, values in expected.items())
    assert all(values.any() for values in expected.values())
    stream = Stream(net, 3)
    parts = [stream.advance(part)[0] for part in (x[:, :1], x[:, 1:18], x[:, 18:])]
    assert all(np.array_equal(np.concatenate([p[name] for p in parts], 1), found[name]) for name in found)


def test_step_by_hand():
    """A quarter turn without decay: real becomes imaginary; rounding is towards zero, states saturate."""
    quarter = Resonator(np.array([4096]), np.array([0]), 1, False)
    state = (np.array([64]), np.array([-70]))
    re, im, s = resonator_step(*state, np.array([3]), np.array([0]), quarter, 4096, 0)
    assert (re[0], im[0], s[0]) == (70 + 3 * 64, 64, 1)  # from below the real axis to above it, beyond the threshold
    assert not resonator_step(*state, np.array([-3]), np.array([0]), quarter, 4096, 0)[2][0]
    kicked = resonator_step(*state, np.array([0]), np.array([0]), replace(quarter, resets=True), 4096, 0)
    assert [int(v[0]) for v in kicked] == [0, 63, 1]
    half = resonator_step(np.array([-1]), np.array([1]), np.array([0]), np.array([0]), quarter, 0, 2048)
    assert [int(v[0]) for v in half[:2]] == [0, 0]
    full = resonator_step(np.array([STATE_LIMIT - 1]), np.array([0]), 1 << 18, -(1 << 18), quarter, 0, 4096)
    assert [int(v[0]) for v in full[:2]] == [STATE_LIMIT - 1, 1 - STATE_LIMIT]


def test_saturation_in_the_engine():
    """Full drive in all directions at no decay: states stand at both limits in engine and definition."""
    r = np.random.default_rng(3)
    n = 900
    part = lambda: np.where(r.random((8, n)) < 0.5, 254, -256).astype(np.int16)  # noqa: E731
    neuron = Resonator(np.zeros(1, np.int32), np.array([4096], np.int32), 131071, False)
    net = Sequential((InputLayer("in", (n,)), DenseLayer("d", part(), neuron, None, None, None, part())))
    x = (r.random((2, 60, n)) < 0.5).astype(np.uint8)
    x[0, :, :450], x[1, :, 450:] = 1, 1
    stream = Stream(net, 2)
    out, states = stream.advance(x, ("d",))
    assert np.array_equal(out["d"], by_definition(net, x)["d"])
    assert {np.abs(states["d"][name]).max() for name in ("re", "im")} == {STATE_LIMIT - 1}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_lava(seed):
    """Lava's `RF` and `RF_IZ`, one process for each turn of a dense layer."""
    pytest.importorskip("lava.proc.rf")
    from sim.lava.chains import check, simulate_chain

    net, r = random_net(seed, same_turn=True)
    x = (r.random((2, 25, *net.layers[0].shape)) < 0.4).astype(np.uint8)
    found, expected = simulate_chain(net, x, threads=True).traces, net.run(x)
    assert all(np.array_equal(found[name], values) for name, values in expected.items())
    assert all(values.any() for values in expected.values())
    with pytest.raises(UserError, match="conv: Lava's neurons behind a convolution have one"):
        check(random_net(seed)[0])


def test_recorded_dense_block():
    """The complex block that lava-dl ships with its activity, 256 neurons over 2,000 steps; it answers a step later."""
    try:
        folder = Path(str(distribution("lava-dl").locate_file("tests/lava/lib/dl/netx/gts/complex_dense")))
    except PackageNotFoundError:
        pytest.skip("the recording comes with lava-dl, which is not installed")
    read = lambda name: np.load(folder / f"{name}.npy")  # noqa: E731
    sin, cos = (np.array([int(0.95 * f(2 * np.pi / 11) * 4096)], np.int32) for f in (np.sin, np.cos))
    weight, imaginary = (read(name).astype(np.int16) for name in ("weight_r", "weight_img"))
    layer = DenseLayer("d", weight, Resonator(sin, cos, 25, False), None, None, None, imaginary)
    spikes = Sequential((InputLayer("in", (200,)), layer)).run(read("in").T[None])["d"][0]
    expected = read("out").T
    assert expected.sum() == 41512 and np.array_equal(spikes[:-1], expected[1:])


@pytest.mark.parametrize("kind", ["rf", "rf_iz"])
def test_slayer_exports(kind, tmp_path):
    """SLAYER's blocks, as they are made: what they send in PyTorch, one step later for each layer, is what a net read
    from their export sends. (Its complex convolutions cannot be exported: they lack what `export_hdf5` asks them.)"""
    torch = pytest.importorskip("torch")
    from train.model.slayer import slayer

    torch.manual_seed(0)
    options = dict(
        threshold=0.3, period=(4, 12) if kind == "rf_iz" else 5, decay=(0.05, 0.3) if kind == "rf_iz" else 0.1
    )
    options["shared_param"] = kind == "rf"
    block = getattr(slayer.block, kind)
    first = block.Dense(options, 30, 20, weight_scale=6, delay=True)
    second = block.Dense(options, 20, 6, weight_scale=6)
    x = (torch.rand(2, 30, 40) < 0.3).float()
    with torch.no_grad():
        first(x)
        first.delay.delay.data = torch.randint(0, 5, first.delay.delay.shape).float()
        sent = first(x)
        answered = second(sent)
    with h5py.File(tmp_path / "rf.net", "w") as file:
        for i, part in enumerate((first, second)):
            part.export_hdf5(file.create_group(f"layer/{i}"))
    net = netx.load(tmp_path / "rf.net")
    assert all(layer.neuron.resets == (kind == "rf_iz") for layer in net.layers[1:])
    found = net.run(np.moveaxis(x.numpy(), -1, 1).astype(np.uint8))
    for mine, slayers, late in ((found["layer/0"], sent, 1), (found["layer/1"], answered, 2)):
        theirs = np.moveaxis(slayers.numpy(), -1, 1) > 0
        assert theirs[:, late:].any() and np.array_equal(mine[:, :-late] > 0, theirs[:, late:])


def test_counts_plan_and_description():
    """A spike costs its real and its imaginary synapses; Loihi 1 has no such neurons."""
    from deploy.chip.board import load
    from deploy.chip.plan import plan
    from sim.netx.describe import describe

    net, r = random_net(1)
    x = (r.random((2, 20, *net.layers[0].shape)) < 0.3).astype(np.uint8)
    counter = Counter(net)
    counter.add(net.run(x))
    mine = sum(j.synapses for p in expand(net).of_layer("mid") for j in p.inputs)
    assert mine == np.count_nonzero(net.layers[3].weight) + np.count_nonzero(net.layers[3].imaginary)
    fits = plan(net, load("oheo-gulch"), x=x)
    counts = fits.costs.counts
    assert counts.layer_synops["mid"] * 2 == counter.synops["mid"] and counter.synops["mid"]
    refused = plan(net, load("loihi1"))
    assert not refused.fits and "programmable neurons of Loihi 2" in refused.reason.text
    row = describe(net)[3]
    assert row["neuron"] == "resonator" and row["nonzero"] == mine


def test_refusals():
    r = np.random.default_rng(0)
    good = turning(r, 4, True)
    cuba = Neuron(np.array([600], np.int32), 800, 60, np.zeros(1, np.int32))
    for change, text in (
        (dict(neuron=replace(good, v_th=0)), "vThMant 0 outside"),
        (dict(neuron=replace(good, sin_decay=np.array([5000], np.int32))), "sinDecay outside"),
        (dict(neuron=cuba), "imaginary weights into neurons that are no resonators"),
        (dict(imaginary=even(r, (4, 2))), "imaginary weight has shape"),
        (dict(recurrent=even(r, (4, 4))), "only CUBA neurons are supported with recurrent"),
    ):
        with pytest.raises(UserError, match=text):
            replace(DenseLayer("d", even(r, (4, 3)), good, None, None, None, even(r, (4, 3))), **change)

"""Stock netx and Lava run what we export, and we run what SLAYER exports, spike for spike.

Lava runs in a process of its own, this file as a program, so that nothing of it can hang or outlive the tests.
"""

import os
import signal
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from sim import netx  # noqa: E402
from sim.engine.batch import run  # noqa: E402
from sim.lava import compat  # noqa: E402
from sim.net import Cuba, Dense, Input, Net, Readout, replace  # noqa: E402
from sim.net.schedule import latencies  # noqa: E402
from sim.netx import hdf5  # noqa: E402
from sim.netx.stock import packs  # noqa: E402

needs_lava = pytest.mark.skipif(
    find_spec("lava") is None or find_spec("torch") is None, reason="lava-dl is not installed"
)
SECONDS = 400


# --- the program
# -------------------------------------------------------------------------------------------------------


def run_stock(path, x, skip=0, layers=None):
    """Spikes [B, K, n] that stock netx and Lava's fixed-point models give for samples x [B, K, n_in], one after the
    other.

    A layer with biases begins before the first spike reaches it, and a sample begins before the last one has left, so
    each layer is
    reset where its sample begins: netx does that for the layer at place p at the steps p + offset, p + offset +
    interval, ...
    The first `skip` groups of the file are left out, and those from number `layers` on.
    """
    from lava.lib.dl.netx.hdf5 import Network
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io

    batch, steps, n = x.shape
    net = Network(
        str(path),
        num_layers=layers,
        skip_layers=skip,
        input_shape=(n,) if skip else None,
        reset_interval=steps,
        reset_offset=1,
    )
    lag = len(net)
    data = np.pad(x.reshape(batch * steps, n).T, ((0, 0), (0, lag))).astype(int)
    source, sink = io.source.RingBuffer(data=data), io.sink.RingBuffer(shape=net.out.shape, buffer=data.shape[1])
    source.s_out.connect(net.inp)
    net.out.connect(sink.a_in)
    try:
        net.run(condition=RunSteps(num_steps=data.shape[1]), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        # What the last layer answers at stream step k stands at k + lag: Lava's first step is number 0 in the sink.
        return sink.data.get().T[lag:].reshape(batch, steps, -1).astype(np.int64), lag
    finally:
        net.stop()


def slayer_net(kind):
    """A SLAYER net in evaluation mode with weights large enough to fire, and the shape of its input."""
    import torch
    from lava.lib.dl.slayer import block

    torch.manual_seed(5)
    params = dict(threshold=0.7, current_decay=0.2, voltage_decay=0.1, persistent_state=False)
    cuba = block.cuba
    blocks, shape = {
        "dense": lambda: (
            [cuba.Dense(dict(params), 12, 20, weight_scale=3), cuba.Dense(dict(params), 20, 15, weight_scale=3)],
            (12,),
        ),
        "delay": lambda: (
            [
                cuba.Dense(dict(params), 12, 20, weight_scale=3, delay=True),
                cuba.Dense(dict(params), 20, 15, weight_scale=3),
            ],
            (12,),
        ),
        "conv": lambda: (
            [
                cuba.Conv(
                    dict(params), 2, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, weight_scale=3
                ),
                cuba.Flatten(),
                cuba.Dense(dict(params), 4 * 4 * 6, 9, weight_scale=3),
            ],
            (2, 7, 8),
        ),
        "recurrent": lambda: (
            [cuba.Dense(dict(params), 6, 8, weight_scale=3), cuba.Recurrent(dict(params), 8, 8, weight_scale=3)],
            (6,),
        ),
    }[kind]()
    net = torch.nn.Sequential(*blocks).eval()
    with torch.no_grad():
        net(torch.zeros(1, *shape, 3))  # SLAYER makes its delays at the first call
        if kind == "delay":
            blocks[0].delay.delay.data = torch.tensor([0.0, 0.4, 1.9, 3.0, 62.0] * 4)
    return net, shape


def export_slayer(kind, folder):
    """Writes `<kind>.net` as SLAYER exports it, and `<kind>.npz` with an input x and SLAYER's spikes s, both [K, ...]."""  # noqa: E501
    import h5py
    import torch

    net, shape = slayer_net(kind)
    x = (torch.rand(1, *shape, 150, generator=torch.Generator().manual_seed(1)) < 0.2).float()
    with torch.no_grad():
        s = net(x)
    np.savez(folder / f"{kind}.npz", x=np.moveaxis(x[0].numpy(), -1, 0), s=np.moveaxis(s[0].numpy(), -1, 0))
    with h5py.File(folder / f"{kind}.net", "w") as f:
        f.create_dataset("layer/0/type", data=np.array([b"input"], "S10"))
        f.create_dataset("layer/0/shape", data=np.array(shape))
        for i, block in enumerate(net):
            block.export_hdf5(f.create_group(f"layer/{i + 1}"))


def main(what, folder, *names):
    compat.apply()
    for name in names:
        if what == "slayer":
            export_slayer(name, folder)
        elif what == "refuse":
            try:
                run_stock(folder / f"{name}.net", np.zeros((1, 1, 1)))
            except Exception as e:
                print(name, "refused:", type(e).__name__, e)
        else:
            given = np.load(folder / f"{name}.x.npz")
            part = dict(skip=int(given["skip"]), layers=int(given["layers"])) if "skip" in given else {}
            spikes, lag = run_stock(folder / f"{name}.net", given["x"], **part)
            np.savez(folder / f"{name}.s.npz", s=spikes, lag=lag)


def program(what, folder, names):
    """Runs this file as a program; ends it with all its children when it takes too long. Returns what it wrote."""
    with subprocess.Popen(
        [sys.executable, __file__, what, str(folder), *names],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            out, _ = child.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    assert child.returncode == 0, out
    return out


# --- what we export, run by stock netx
# ---------------------------------------------------------------------------------


def chain(weights, i_decay=500, v_decay=200, v_th=100, bias=None):
    """A purely sequential net of the matrices `weights`; one step per frame."""
    nodes, source = [], "tokens"
    for i, w in enumerate(weights):
        nodes.append(
            Cuba(
                f"n{i}",
                (Dense(source, np.asarray(w, np.int16)),),
                np.full(len(w), i_decay, np.int32),
                np.zeros(len(w), np.int32) if bias is None else np.asarray(bias[i], np.int32),
                v_decay,
                v_th,
            )
        )
        source = f"n{i}"
    out = Readout("out", (Dense(source, np.full((2, len(weights[-1])), 2, np.int16)),))
    return Net((*nodes, out), (Input("tokens", np.asarray(weights[0]).shape[1]),), 1, 60)


def even(r, *shape, low=-128, high=128):
    return r.integers(low, high, shape) * 2


def cases():
    r = np.random.default_rng(3)
    return {
        "plain": chain([even(r, 12, 6), even(r, 7, 12), even(r, 5, 7)]),
        "biased": chain(
            [even(r, 12, 6), even(r, 7, 12)], bias=[r.integers(-40, 60, 12), np.resize([-4096, 4095, 0, 30], 7)]
        ),
        "ends": chain([r.choice([-256, 254], (9, 6)), r.choice([-256, 254], (7, 9))], i_decay=4096, v_decay=4096),
        "all positive": chain([even(r, 8, 6, low=1), np.full((4, 8), 254)], v_th=400),
        "all negative": chain(
            [even(r, 8, 6), np.where(np.arange(8) == 3, -254, -100) * np.ones((5, 1))],
            v_th=200,
            bias=[np.zeros(8), np.full(5, 900)],
        ),
        "one neuron": chain([even(r, 1, 6), [[254], [-256], [2]], [[254, 254, 254]]], v_th=20),
        "small weights": chain([r.choice([-2, 0, 2], (9, 6)), r.choice([-4, 8], (6, 9))], v_th=5),
        "slowest": chain([even(r, 9, 6), even(r, 6, 9)], i_decay=1, v_decay=1, v_th=3000),
        "no leak": chain(
            [even(r, 9, 6), even(r, 6, 9)],
            i_decay=4096,
            v_decay=0,
            v_th=131071,
            bias=[np.full(9, 4095), np.full(6, 3000)],
        ),
        "wide": chain([np.full((4, 900), 254) * [[1], [-1], [1], [-1]] // 4 * 4, even(r, 5, 4)], i_decay=1, v_decay=1),
    }


@pytest.mark.slow
@needs_lava
def test_stock_netx_runs_our_chains_spike_for_spike(tmp_path):
    nets, inputs = cases(), {}
    for name, net in nets.items():
        assert netx.stock_refusal(net) is None, name
        netx.write(net, tmp_path / f"{name}.net")
        inputs[name] = (
            np.random.default_rng(len(name)).random((2, net.steps, net.inputs[0].size))
            < (1.0 if name == "wide" else 0.4)
        ).astype(np.uint8)
        np.savez(tmp_path / f"{name}.x.npz", x=inputs[name])
    program("run", tmp_path, nets)
    for name, net in nets.items():
        got, last = np.load(tmp_path / f"{name}.s.npz"), net.nodes[-2].name
        expected = run(net, inputs[name], trace=[last]).traces[last]
        assert int(got["lag"]) == latencies(net)[last] == len(net.nodes) - 1
        assert expected.any() and np.array_equal(got["s"], expected), (
            f"{name}: {int(expected.sum())} spikes expected, {int(got['s'].sum())} found"
        )
    ranges = {name: run(net, inputs[name]).ranges["n0"] for name, net in nets.items()}
    assert ranges["wide"]["wraps"] > 0 and ranges["no leak"]["clips"] > 0


@pytest.mark.slow
@needs_lava
def test_stock_netx_refuses_a_graph(tmp_path):
    r = np.random.default_rng(0)
    skip = chain([even(r, 4, 6), even(r, 4, 4)])
    first, second, out = skip.nodes
    skip = replace(
        skip, nodes=(first, second, replace(out, synapses=(*out.synapses, Dense("n0", np.full((2, 4), 2, np.int16)))))
    )
    assert netx.stock_refusal(skip) == "layer 'out': reads n1, n0; netx only knows chains"
    netx.write(skip, tmp_path / "graph.net")
    said = program("refuse", tmp_path, ["graph"])
    assert "graph refused: KeyError" in said and "layer" in said


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(frame_reset=True), "layer 'n0': is reset at every frame"),
        (dict(i_decay=np.array([1, 2, 3, 4], np.int32)), "layer 'n0': has several current decays"),
        (dict(synapses=(Dense("tokens", np.zeros((4, 6), np.int16)),)), "layer 'n0': netx packs its weights wrongly"),
        (dict(synapses=(Dense("phase", np.full((4, 1), 2, np.int16)),)), "input 'phase': netx knows one input"),
    ],
)
def test_what_netx_cannot_say_is_not_said_in_its_words(tmp_path, change, said):
    net = chain([np.full((4, 6), 2)])
    inputs = *net.inputs, Input("phase", net.tokens, of="phase")
    net = replace(net, nodes=(replace(net.nodes[0], **change), net.nodes[1]), inputs=inputs)
    assert netx.stock_refusal(net).startswith(said)
    netx.write(net, tmp_path / "a.net")
    assert not any(name.startswith("layer") for name in hdf5.load(tmp_path / "a.net"))


@pytest.mark.slow
@needs_lava
def test_which_weights_netx_packs_rightly(tmp_path):
    """`packs` against netx's scaling and Lava's clipping and truncation: all pairs of weights, and random matrices
    of every precision.
    """
    code = """
import warnings; warnings.simplefilter('ignore')
import numpy as np
from sim.lava import compat; compat.apply()
from lava.lib.dl.netx.utils import optimize_weight_bits
from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights
from sim.netx.stock import packs

def kept(w):
    try:
        scaled, bits, exponent, _ = optimize_weight_bits(w)
    except OverflowError:
        return False
    mode = determine_sign_mode(scaled)
    held = truncate_weights(clip_weights(scaled, mode, num_bits=8), mode, bits)
    return np.array_equal(np.left_shift(held, exponent) if exponent > 0 else np.right_shift(held, -exponent), w)

pairs = [np.array([[a, b]]) for a in range(-256, 256, 2) for b in range(a, 256, 2)]
r = np.random.default_rng(0)
for _ in range(5000):
    step, low, high = 2 ** int(r.integers(1, 9)), int(r.integers(-256, 1)), int(r.integers(0, 255))
    pairs.append(np.clip(r.integers(low // step, high // step + 1, (2, 3)) * step, -256, 254))
wrong = [w.tolist() for w in pairs if kept(w) != packs(w)]
print(len(pairs), sum(map(packs, pairs)), wrong[:3])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    total, right, wrong = done.stdout.splitlines()[-1].split(maxsplit=2)
    assert wrong == "[]" and 0 < int(right) < int(total)


@pytest.mark.parametrize(
    "weight, right",
    [
        ([[0, 0]], False),
        ([[-256, 0]], False),
        ([[-128, -2]], False),
        ([[-254, -2]], True),
        ([[-256, 2]], True),
        ([[254]], True),
    ],
)
def test_packs(weight, right):
    assert packs(np.array(weight)) is right


# --- what SLAYER exports, run by us
# ------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_lava
def test_our_engine_runs_what_slayer_exports(tmp_path):
    kinds = ["dense", "delay", "conv", "recurrent"]
    program("slayer", tmp_path, kinds)
    for kind in kinds:
        made = np.load(tmp_path / f"{kind}.npz")
        net = netx.load(tmp_path / f"{kind}.net")
        last = net.layers[-1].name
        found = net.run(made["x"][None])[last][0]
        lag = net.lags[last]  # SLAYER's layers answer a step later each, as the chip's do
        assert made["s"].sum() > 100 and not made["s"][:lag].any(), kind
        assert np.array_equal(found[:-lag], made["s"][lag:]), kind


@pytest.mark.slow
@needs_lava
def test_mnist_as_lava_runs_it(tmp_path):
    """lava-dl's own net without recorded activity, from its first spikes on: two dense layers (the third never
    spikes).
    """
    path = Path(distribution("lava-dl").locate_file("tests/lava/lib/dl/netx/mnist.net"))
    net = netx.read_slayer(path, layers=3)
    traces = net.run(np.random.default_rng(0).integers(0, 140, (2, 1, 784)).repeat(16, 1))
    (tmp_path / "mnist.net").symlink_to(path)
    np.savez(tmp_path / "mnist.x.npz", x=traces["layer/0"], skip=1, layers=3)
    program("run", tmp_path, ["mnist"])
    assert traces["layer/2"].any() and np.array_equal(np.load(tmp_path / "mnist.s.npz")["s"], traces["layer/2"])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])

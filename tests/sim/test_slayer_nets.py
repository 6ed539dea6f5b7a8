"""Nets that SLAYER exported, against the activity that lava-dl's wheel ships with them, integer for integer; and what
we refuse in others.

The recordings run in chip time: a layer answers one step after the layer before it, and was reset at steps of its own.
They lie as [x, y, channel, step].
"""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import netx
from sim.base.errors import UserError
from sim.integer import cuba_step
from sim.sequential import ConvLayer, DenseLayer, FlattenLayer, InputLayer, Neuron, Sequential, dendrite, run_layer

try:
    NETX = Path(distribution("lava-dl").locate_file("tests/lava/lib/dl/netx"))
except PackageNotFoundError:
    NETX = Path("lava-dl is not installed")
recorded = pytest.mark.skipif(not NETX.is_dir(), reason="the recordings come with lava-dl, which is not installed")
PILOT = NETX / "gts" / "pilotnet_lif"
PILOT_LAYERS = {
    "input": 0,
    "conv-0": 1,
    "conv-1": 2,
    "conv-2": 3,
    "conv-3": 4,
    "conv-4": 5,
    "fc-0": 7,
    "fc-1": 8,
    "fc-2": 9,
    "fc-3": 10,
}


def activity(path):
    """A recording as int64 [step, channel, y, x] or [step, neuron]."""
    a = np.load(path)
    return a.transpose(*reversed(range(a.ndim))).astype(np.int64)


# --- recorded activity
# -------------------------------------------------------------------------------------------------


def by_definition(layer, x, resets):
    """(spikes, currents, voltages), int64 [K, *shape], for one sample x [K, ...], step by step with `cuba_step`; states
    are cleared at `resets`.
    """
    n, steps = layer.neuron, len(x)
    a = dendrite(layer, x[None])[0].astype(np.int64)
    bias = np.broadcast_to(n.bias, layer.shape[0]).reshape(-1, *[1] * (len(layer.shape) - 1))
    s, u, v = np.empty((3, steps, *layer.shape), np.int64)
    state = None
    for k in range(steps):
        state = np.zeros((2, *layer.shape), np.int64) if k in (0, *resets) else state
        u[k], v[k], s[k] = cuba_step(*state, a[k], int(n.i_decay[0]), n.v_decay, n.v_th, bias)
        state = u[k], v[k]
    return s, u, v


def one_step_later(x):
    return np.concatenate([np.zeros_like(x[:1]), x[:-1]])


@recorded
@pytest.mark.parametrize("name", [n for n in PILOT_LAYERS if n not in ("input", "fc-3")])
def test_pilotnet_layer_by_layer(name):
    """Spikes, currents and voltages of every layer and step, given the recorded spikes of the layer before; that
    includes the steps before the sample arrives, in which the layer runs on its biases, and those after the reset, 17
    steps later. In the step of a spike the recorded voltage register holds 128 (Loihi keeps the refractory count
    there), where ours holds 0."""
    names = list(PILOT_LAYERS)
    place = names.index(name)
    layer = netx.read_slayer(PILOT / "network.net").layers[PILOT_LAYERS[name]]
    x = one_step_later(activity(PILOT / f"{names[place - 1]}.npy"))
    x = x.reshape(len(x), -1) if name == "fc-0" else x
    s, u, v = by_definition(layer, x, resets=(place, place + 17))
    assert s.sum() > 0
    assert np.array_equal(s, activity(PILOT / f"{name}.npy"))
    assert np.array_equal(u, activity(PILOT / f"{name}-u.npy"))
    assert np.array_equal(np.where(s, 128, v), activity(PILOT / f"{name}-v.npy"))


@recorded
def test_pilotnet_whole():
    """All layers from the image alone: each answers as recorded from the step on in which the sample reaches it,
    until the reset.
    """
    net = netx.read_slayer(PILOT / "network.net")
    image = activity(PILOT / "image.npy")[None, None].repeat(17, 1)
    spikes, currents = net.run(image, currents=True)
    assert net.lags["layer/10"] == 9
    for name, index in list(PILOT_LAYERS.items())[:-1]:
        key = f"layer/{index}"
        expected = activity(PILOT / f"{name}.npy")[net.lags[key] :][:17]
        assert np.array_equal(spikes[key][0, : len(expected)], expected), name
        if name != "input":
            assert np.array_equal(
                currents[key][0, : len(expected)], activity(PILOT / f"{name}-u.npy")[net.lags[key] :][:17]
            ), name


@recorded
def test_pilotnet_with_spikes_as_input():
    """The second recorded input, made with a reset every 16 steps."""
    net = netx.read_slayer(PILOT / "network.net")
    spikes = net.run(activity(PILOT / "image.npy")[None, None].repeat(16, 1))["layer/0"][0]
    expected = activity(PILOT / "input-s.npy")
    assert np.array_equal(np.concatenate([spikes, spikes[:8]]), expected)


@recorded
def test_pilotnet_output_layer():
    """`fc-3` stems from another run: resets every 16 steps, each layer's one step before the sample reaches it. The
    whole chain is run so, in chip time.
    """
    layers = [netx.read_slayer(PILOT / "network.net").layers[i] for i in PILOT_LAYERS.values()]
    x = activity(PILOT / "image.npy")[None].repeat(25, 0)
    for place, layer in enumerate(layers):
        x = one_step_later(x) if place else x
        x = x.reshape(25, -1) if place == 6 else x
        x, u, v = by_definition(layer, x, resets=[k for k in range(1, 25) if (k - place + 1) % 16 == 0])
    assert np.count_nonzero(u) == 4
    for found, name in ((x, "s"), (u, "u"), (v, "v")):
        assert np.array_equal(found, activity(PILOT / f"fc-3-{name}.npy")), name


@recorded
def test_ntidigits_with_axonal_delays():
    net = netx.read_slayer(NETX / "gts/ntidigits/ntidigits.net", layers=5)
    spikes = net.run(activity(NETX / "gts/ntidigits/input.npy")[None])["layer/4"][0]
    expected = activity(NETX / "gts/ntidigits/output.npy")
    lag = net.lags["layer/4"] + 1  # in SLAYER the input layer takes a step too
    assert expected.sum() == 22572 and not expected[:lag].any()
    assert np.array_equal(spikes[:-lag], expected[lag:])


@recorded
def test_tinynet():
    net = netx.read_slayer(NETX / "tiny.net")
    folder = NETX / "gts/tinynet"
    drive = activity(folder / "input_bias.npy")[None, None].repeat(15, 1)
    spikes, currents = net.run(drive, currents=True)
    assert net.layers[0].transform == (36, 34)
    for index, name in enumerate(("input", "layer1", "output")):
        expected = np.moveaxis(np.load(folder / f"{name}.npy")[0], -1, 0)[
            1:
        ]  # one step late, each against the layer before it at once
        assert expected.sum() > 90
        assert np.array_equal(spikes[f"layer/{index}"][0], expected), name
    current = np.moveaxis(np.load(folder / "current.npy")[0], -1, 0)[1:]
    assert np.array_equal(currents["layer/1"][0], current * 64)


@recorded
def test_dense_block():
    weight = np.load(NETX / "gts/dense/weight.npy")
    layer = DenseLayer(
        "dense", weight.astype(np.int16), Neuron(np.array([4096], np.int32), 415, 6, np.zeros(1, np.int32))
    )
    spikes, currents = run_layer(layer, activity(NETX / "gts/dense/in.npy")[None])
    assert np.array_equal(spikes[0, :-1], activity(NETX / "gts/dense/out.npy")[1:])
    assert np.array_equal(currents[0, :-1], activity(NETX / "gts/dense/current.npy")[1:] * 64)


@recorded
def test_mnist_is_read():
    """lava-dl ships no activity with it; tests/sim/test_netx_stock.py holds it against Lava.

    Its last layer has no neuron: an integrator.
    """
    net = netx.read_slayer(NETX / "mnist.net")
    assert [layer.shape for layer in net.layers] == [(784,), (512,), (512,), (10,)]
    assert net.layers[0].transform == (76, 64)
    assert [d["type"] for d in netx.describe(net)] == ["input", "dense", "dense", "dense"]
    spikes, currents = net.run(np.full((1, 16, 784), 100), currents=True)
    assert spikes["layer/2"].any() and not spikes["layer/3"].any()
    assert np.array_equal(
        currents["layer/3"][0], (spikes["layer/2"][0].astype(np.int64) @ net.layers[3].weight.T * 64).cumsum(0)
    )


# --- layers against their definition
# -----------------------------------------------------------------------------------


def neuron(r, n, channels):
    return Neuron(
        r.choice([0, 1, 500, 4095, 4096], r.choice([1, n])).astype(np.int32),
        int(r.choice([0, 1000, 4096])),
        int(r.integers(0, 400)),
        r.integers(-20, 40, r.choice([1, channels])).astype(np.int32),
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_convolution_by_definition(seed):
    r = np.random.default_rng(seed)
    groups = int(r.choice([1, 2, 3]))
    c_in, c_out = groups * int(r.integers(1, 4)), groups * int(r.integers(1, 4))
    ky, kx = (int(k) for k in r.integers(1, 4, 2))
    stride, padding, dilation = (
        tuple(int(v) for v in r.integers(low, high, 2)) for low, high in ((1, 4), (0, 3), (1, 3))
    )
    height, width = (int(v) for v in r.integers(5, 9, 2))
    weight = (r.integers(-128, 128, (c_out, c_in // groups, ky, kx)) * 2).astype(np.int16)
    apart = dict(spread=tuple(int(v) for v in r.integers(1, 4, 2)), overhang=tuple(int(v) for v in r.integers(0, 3, 2)))
    where = (stride, padding, dilation, groups, (c_in, height, width))
    layer = ConvLayer("c", weight, neuron(r, 1, c_out), *where, **apart)
    x = (r.random((2, 3, c_in, height, width)) < 0.5).astype(np.uint8)
    found = dendrite(layer, x)
    for b, k, c, i, j in np.ndindex(found.shape):
        total = 0
        for d, y, z in np.ndindex(weight.shape[1:]):
            (at, off), (to, beside) = (
                divmod(n * stride[a] + tap * dilation[a] - padding[a], layer.spread[a])
                for a, (n, tap) in enumerate(((i, y), (j, z)))
            )
            if not off and not beside and 0 <= at < height and 0 <= to < width:
                total += int(weight[c, d, y, z]) * int(x[b, k, c // (c_out // groups) * (c_in // groups) + d, at, to])
        assert found[b, k, c, i, j] == total
    all_on = replace(layer, weight=np.minimum(np.abs(weight), 254).astype(np.int16))
    assert (dendrite(all_on, np.ones_like(x)).max((0, 1, 3, 4)) <= all_on.fan_in).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_dense_by_definition(seed):
    """Recurrent, with delays on synapses and on axons."""
    r = np.random.default_rng(seed)
    n_in, n, steps = int(r.integers(1, 6)), int(r.integers(1, 6)), 70
    weight, back = ((r.integers(-128, 128, shape) * 2).astype(np.int16) for shape in ((n, n_in), (n, n)))
    back = back if r.random() < 0.6 else None
    late = r.choice([0, 1, 5, 62], (n, n_in)).astype(np.int32) if r.random() < 0.6 else None
    axon = r.choice([0, 2, 62], n).astype(np.int32) if r.random() < 0.6 else None
    layer = DenseLayer("d", weight, neuron(r, n, n), back, axon, late)
    x = (r.random((2, steps, n_in)) < 0.4).astype(np.uint8)
    spikes, currents = run_layer(layer, x)
    q = layer.neuron
    for b in range(2):
        u, v, s = np.zeros((3, n), np.int64)
        own = np.zeros((steps, n), np.int64)
        for k in range(steps):
            a = back.astype(np.int64) @ s if back is not None else np.zeros(n, np.int64)
            for j, i in np.ndindex(n, n_in):
                at = k - (late[j, i] if late is not None else 0)
                a[j] += int(weight[j, i]) * int(x[b, at, i]) if at >= 0 else 0
            u, v, s = cuba_step(u, v, a, q.i_decay, q.v_decay, q.v_th, q.bias)
            own[k] = s
            assert np.array_equal(currents[b, k], u)
        for j in range(n):
            d = axon[j] if axon is not None else 0
            assert np.array_equal(spikes[b, :, j], np.concatenate([np.zeros(d), own[: steps - d, j]]))


def test_flatten_puts_channels_slowest():
    net = Sequential((InputLayer("in", (2, 3, 4)), FlattenLayer("f", (24,))))
    x = np.zeros((1, 1, 2, 3, 4), np.uint8)
    x[0, 0, 1, 2, 0] = 1
    assert net.run(x)["f"][0, 0].nonzero()[0].tolist() == [1 * 12 + 2 * 4 + 0]


@pytest.mark.parametrize(
    "x, said",
    [
        (np.zeros((1, 2, 3)), "takes [samples, steps, 4]"),
        *((np.full((1, 2, 4), wrong), "expected spikes, 0 or 1") for wrong in (2, -1, 0.5, np.nan)),
    ],
)
def test_input_of_another_kind_is_refused(x, said):
    with pytest.raises(UserError, match="input") as caught:
        Sequential((InputLayer("in", (4,)),)).run(x)
    assert said in str(caught.value)


# --- refusals
# ----------------------------------------------------------------------------------------------------------


def cuba(layer):
    values = {"type": "CUBA", "iDecay": np.int64(1000), "vDecay": np.int64(100), "vThMant": np.int64(90)}
    return {f"{layer}/neuron/{key}": value for key, value in values.items()}


KINDS = "expected one of input, flatten, dense, dense_comp, dense_rec, conv, convT, pool, unpool, average"
BASE = {
    "layer/0/type": np.array([b"input"], "S10"),
    "layer/0/shape": np.array([2, 5, 5]),
    "layer/1/type": np.array([b"conv"], "S10"),
    "layer/1/shape": np.array([3, 3, 3]),
    "layer/1/weight": np.full((3, 2, 3, 3), 6, np.float32),
    "layer/1/stride": np.array([1, 1]),
    "layer/1/padding": np.array([0, 0]),
    "layer/1/dilation": np.array([1, 1]),
    "layer/1/groups": np.int64(1),
    **cuba("layer/1"),
    "layer/1/neuron/refDelay": np.int64(1),
    "layer/1/neuron/gradedSpike": np.bool_(False),
    "layer/1/bias": np.zeros(3, np.float32),
    "layer/2/type": np.array([b"flatten"], "S10"),
    "layer/2/shape": np.array([27, 1, 1]),
    "layer/3/type": np.array([b"dense_rec"], "S10"),
    "layer/3/shape": np.array([4]),
    "layer/3/weight": np.full((4, 27), -6, np.float32),
    "layer/3/weight_rec": np.full((4, 4), 2, np.float32),
    **cuba("layer/3"),
    "layer/4/type": np.array([b"dense"], "S10"),
    "layer/4/shape": np.array([2]),
    "layer/4/weight": np.full((2, 4), 254, np.float32),
    "layer/4/delay": np.array([0, 62], np.float32),
    **cuba("layer/4"),
}
WEIGHT = BASE["layer/1/weight"]


def put(value, at):
    w = np.array(value)
    w.flat[0] = at
    return w


def save(path, changes):
    with h5py.File(path, "w") as f:
        for name, value in {**BASE, **changes}.items():
            if value is not None:
                f.create_dataset(name, data=value)


def test_the_base_of_the_refusals_is_read(tmp_path):
    save(tmp_path / "a.net", {})
    net = netx.load(tmp_path / "a.net")
    assert [layer.shape for layer in net.layers] == [(2, 5, 5), (3, 3, 3), (27,), (4,), (2,)]
    assert list(net.lags.values()) == [0, 1, 1, 2, 3]


@pytest.mark.parametrize(
    "name, value, said",
    [
        *(
            (
                "layer/1/type",
                np.array([t.encode()], "S10"),
                f"layer/1 ({t}): this layer type is not supported{why}, {KINDS}",
            )
            for t, why in (("concat", " (netx names it, no block of SLAYER writes it)"), ("novel", ""))
        ),
        *(
            (
                "layer/1/neuron/type",
                t,
                f"layer/1 (conv): neuron type '{t}' is not supported, expected CUBA, LOIHI, SDNN, RF_PHASE, RF_I",
            )
            for t in ("RF_ZERO", "novel")
        ),
        ("layer/1/neuron/type", "RF_PHASE", "layer/1 (conv): neuron/sinDecay is missing"),
        (
            "layer/1/neuron/messageBits",
            np.int64(16),
            "layer/1 (conv): neuron/messageBits: graded spikes are not supported",
        ),
        ("layer/1/neuron/gradedSpike", np.bool_(True), "layer/1 (conv): graded spikes are not supported"),
        ("layer/1/neuron/weight_exp", np.array([0, 1, 0]), "layer/1 (conv): neuron/weight_exp: normalization"),
        ("layer/1/neuron/refDelay", np.int64(2), "layer/1 (conv): neuron/refDelay: only"),
        ("layer/1/neuron/wgtExp", np.int64(2), "layer/1 (conv): neuron/wgtExp: only a weight exponent of 0"),
        ("layer/1/neuron/vDecay", np.array([1, 2, 3]), "layer/1 (conv): neuron/vDecay: neurons with several"),
        ("layer/1/neuron/vDecay", np.int64(4097), "layer/1 (conv): vDecay 4097 outside 0..4096"),
        ("layer/1/neuron/iDecay", np.int64(-1), "layer/1 (conv): iDecay outside 0..4096"),
        ("layer/1/neuron/iDecay", None, "layer/1 (conv): neuron/iDecay is missing"),
        ("layer/1/neuron/vThMant", np.int64(1 << 18), "layer/1 (conv): vThMant 262144 outside 0..262143"),
        (
            "layer/1/neuron/vThMant",
            np.array([1, 2]),
            "layer/1 (conv): neuron/vThMant has shape (2,), expected one number",
        ),
        ("layer/1/weight", put(WEIGHT, 255), "layer/1 (conv): weight spans [6, 255], expected [-256, 254]"),
        ("layer/1/weight", put(WEIGHT, -258), "layer/1 (conv): weight spans [-258, 6], expected [-256, 254]"),
        ("layer/1/weight", put(WEIGHT, 7), "layer/1 (conv): weights must be even, found 7"),
        ("layer/1/weight", put(WEIGHT, 0.5), "layer/1 (conv): weight has values that are no 32-bit integers"),
        ("layer/1/weight", put(WEIGHT, np.nan), "layer/1 (conv): weight has values that are no 32-bit integers"),
        ("layer/1/weight", put(WEIGHT, np.inf), "layer/1 (conv): weight has values that are no 32-bit integers"),
        ("layer/1/weight", WEIGHT > 0, "layer/1 (conv): weight is bool (3, 2, 3, 3), expected integers"),
        ("layer/1/weight", WEIGHT[0], "layer/1 (conv): weight has shape (2, 3, 3), expected 4 dimensions"),
        (
            "layer/1/weight",
            WEIGHT[:, :1],
            "layer/1 (conv): kernel (3, 1, 3, 3) in 1 groups does not fit 2 input channels",
        ),
        ("layer/1/weight", None, "layer/1 (conv): weight is missing"),
        (
            "layer/1/groups",
            np.int64(2),
            "layer/1 (conv): kernel (3, 2, 3, 3) in 2 groups does not fit 2 input channels",
        ),
        ("layer/1/stride", np.array([0, 1]), "layer/1 (conv): stride (0, 1)"),
        ("layer/1/stride", np.array([1, 1, 1]), "layer/1 (conv): stride has 3 values, expected one or two"),
        ("layer/1/dilation", np.array([3, 3]), "layer/1 (conv): kernel (3, 3) does not fit into (5, 5)"),
        ("layer/1/shape", np.array([3, 2, 3]), "layer/1 (conv): shape is (3, 2, 3), its kernel makes (3, 3, 3)"),
        ("layer/1/bias", np.zeros(2), "layer/1 (conv): bias has shape (2,), expected one or 3 values"),
        ("layer/1/bias", np.full(3, 4096), "layer/1 (conv): bias outside -4096..4095"),
        (
            "layer/0/shape",
            np.array([50]),
            "layer/1 (conv): the layer before gives (50,), expected (channels, height, width)",
        ),
        (
            "layer/0/shape",
            np.array([1 << 20, 1 << 20, 1]),
            "layer/0 (input): shape (1048576, 1048576, 1) is not positive or too large",
        ),
        ("layer/0/type", None, "layer/0 (?): type is missing"),
        ("layer/2/shape", np.array([28]), "layer/2: takes (28,), the layer before gives (3, 3, 3)"),
        ("layer/1/type", np.array([b"a\nb"], "S10"), "layer/1 (a\\nb): this layer type is not supported"),
        ("layer/2/type", np.array([b"input"], "S10"), "layer/2 (input): input layers come first, and only once"),
        ("layer/3/weight", np.full((4, 26), 2.0), "layer/3: takes (26,), the layer before gives (27,)"),
        ("layer/3/weight", np.full((5, 27), 2.0), "layer/3 (dense_rec): weight has 5 rows, expected 4"),
        (
            "layer/3/weight_rec",
            np.full((4, 5), 2.0),
            "layer/3 (dense_rec): recurrent weight has shape (4, 5), expected (4, 4)",
        ),
        ("layer/3/weight_rec", None, "layer/3 (dense_rec): weight_rec is missing"),
        *(
            ("layer/1/neuron/type", t, f"layer/1 (conv): neuron type '{t}' has no exact integers to compare with: ")
            for t in ("ALIF", "ADRF_PHASE", "ADRF_IZHIKEVICH")
        ),
        ("layer/1/neuron/type", "SDNN", "layer/3: CUBA neurons take spikes without a value"),
        ("layer/1/type", np.array([b"average"], "S10"), "layer/1 (average): the layer before gives 50 neurons"),
        *(
            (
                "layer/1/type",
                np.array([t.encode()], "S10"),
                f"layer/1 ({t}): weight has shape (3, 2, 3, 3), expected (1",
            )
            for t in ("pool", "unpool")
        ),
        (
            "layer/1/type",
            np.array([b"convT"], "S10"),
            "layer/1 (convT): kernel (2, 3, 3, 3) in 1 groups does not fit 2 input channels",
        ),
        ("layer/3/delay", np.zeros(3), "layer/3 (dense_rec): delay has 3 values, expected 1 or 4"),
        ("layer/4/delay", np.array([0, -1]), "layer/4 (dense): delay outside 0..62"),
        ("layer/4/delay", np.zeros(3), "layer/4 (dense): delay has 3 values, expected 1, 2 or 4"),
        ("layer/4/weight/real", np.zeros((2, 4)), "layer/4 (dense): weight/imag is missing"),
        (
            "layer/6/type",
            np.array([b"dense"], "S10"),
            "layers are numbered [0, 1, 2, 3, 4, 6], expected 0 to 5 without gaps",
        ),
    ],
)
def test_refusals_name_file_layer_and_expectation(tmp_path, name, value, said):
    path = tmp_path / "a.net"
    save(path, {name: value, **({"layer/4/weight": None} if name == "layer/4/weight/real" else {})})
    with pytest.raises(UserError) as caught:
        netx.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {said}") and "\n" not in text


def test_delays_beyond_the_longest_are_cut_as_netx_does(tmp_path):
    save(tmp_path / "a.net", {"layer/4/delay": np.array([3, 64]), "layer/3/delay": np.full(4, 7)})
    net = netx.load(tmp_path / "a.net")
    assert net.layers[4].axon_delay.tolist() == [3, 62] and net.layers[3].axon_delay.tolist() == [7] * 4
    assert net.notes[1] == "layer/4: 1 delays above 62 cut to 62, as netx does" and "as SLAYER has them" in net.notes[0]


def test_currents_that_could_wrap_twice_are_refused(tmp_path):
    wide = {"layer/0/shape": np.array([1, 1, 1100]), "layer/1/weight": np.full((2, 1100), 254, np.float32)}
    chain = {
        name.replace("layer/4", "layer/1"): v
        for name, v in BASE.items()
        if name.startswith("layer/4") and "delay" not in name
    }
    save(tmp_path / "a.net", {name: None for name in BASE if name[:7] > "layer/0"} | chain | wide)
    with pytest.raises(UserError, match=r"layer/1 \(dense\): sum of \|weights\| of a neuron exceeds 262144"):
        netx.load(tmp_path / "a.net")


def test_no_layers_at_all(tmp_path):
    with h5py.File(tmp_path / "a.net", "w") as f:
        f.create_dataset("simulation/Ts", data=1)
    with pytest.raises(UserError, match="has no layers: neither"):
        netx.load(tmp_path / "a.net")


def test_a_file_may_begin_with_its_first_weights(tmp_path):
    first = {name.replace("layer/4", "layer/0"): v for name, v in BASE.items() if name.startswith("layer/4")}
    save(tmp_path / "a.net", {name: None for name in BASE} | first)
    assert [layer.shape for layer in netx.load(tmp_path / "a.net").layers] == [(4,), (2,)]

"""What others have been wounded by: public reports on the software of this field, each with the right answer here.

lava and lava-dl: github.com/lava-nc, expelliarmus: github.com/open-neuromorphic, tonic: github.com/neuromorphs,
nengo-loihi: github.com/nengo. The number of each report stands with its test. Cases of these reports that have tests of
their own elsewhere are not repeated.
"""

import subprocess
import sys
from pathlib import Path

import event_files
import h5py
import numpy as np
import pytest
import segments
from broken import broken_net, broken_tokens
from event_files import evt_header

from bench import census
from deploy.chip import board
from deploy.chip.plan import plan
from events import formats
from sim import chiptime, engine, netx
from sim.base.errors import UserError
from sim.integer import BIAS_MAX, BIAS_MIN, STATE_LIMIT, cuba_step, decay, weight_bits, wrap24
from sim.lava.simulate import SimulationError, simulate
from sim.net import TOKENS, Cuba, Dense, Input, Net, Readout
from sim.sequential import ConvLayer, DenseLayer, InputLayer, Neuron, Sequential

HERE = Path(__file__).resolve().parents[1]
needs_lava = pytest.mark.usefixtures("lava_dl")


@pytest.fixture
def lava_dl():
    from sim.lava import stock_netx

    if not stock_netx.installed():
        pytest.skip("lava-dl is not installed")


def one_layer(weight, bias=0, v_th=1, v_decay=4096, i_decay=4096, tokens=4):
    """A layer of ours with an identity behind it."""
    n, n_in = weight.shape
    all_of = lambda x: np.full(n, x, np.int32)  # noqa: E731
    cuba = Cuba("n", (Dense(TOKENS, weight.astype(np.int16)),), all_of(i_decay), all_of(bias), v_decay, v_th)
    return Net((cuba, Readout("out", (Dense("n", np.eye(n, dtype=np.int16) * 2),))), (Input(TOKENS, n_in),), tokens, 2)


def slayer_file(path, **changes):
    """A dense layer of SLAYER's, 4 inputs to 2 neurons."""
    values = {
        "0/type": np.array([b"input"], "S10"),
        "0/shape": np.array([4]),
        "1/type": np.array([b"dense"], "S10"),
        "1/shape": np.array([2]),
        "1/weight": np.full((2, 4), 64, np.float32),
        "1/neuron/type": "CUBA",
        "1/neuron/iDecay": np.int64(4096),
        "1/neuron/vDecay": np.int64(4096),
        "1/neuron/vThMant": np.int64(100),
    }
    with h5py.File(path, "w") as f:
        for name, value in {**values, **changes}.items():
            if value is not None:
                f[f"layer/{name}"] = value
    return path


def test_lava_dl_149_an_input_of_one_dimension(tmp_path):
    """netx wants three and fails with an IndexError."""
    net = netx.load(slayer_file(tmp_path / "a.net"))
    x = np.zeros((1, 3, 4), np.uint8)
    x[0, 0] = 1, 1, 0, 0  # 128 > 100: both fire
    x[0, 1] = 1, 0, 0, 0  # 64: none
    assert net.layers[0].shape == (4,)
    assert net.run(x)["layer/1"][0].tolist() == [[1, 1], [0, 0], [0, 0]]


def test_lava_dl_170_a_weight_of_255(tmp_path):
    """netx turns the whole matrix into zeros; here it is named."""
    weight = np.full((2, 4), 64, np.float32)
    weight[1, 2] = 255
    slayer_file(tmp_path / "a.net", **{"1/weight": weight})
    with pytest.raises(UserError, match=r"layer/1 \(dense\): weight spans \[64, 255\], expected \[-256, 254\]"):
        netx.load(tmp_path / "a.net")


@pytest.mark.parametrize("shape", [None, h5py.Empty("f4")])
def test_lava_dl_179_221_layers_exported_before_their_shapes_are_known(tmp_path, shape):
    """A file without a layer's shape is refused, and which layer is said."""
    slayer_file(tmp_path / "a.net", **{"1/shape": shape})
    with pytest.raises(UserError, match="layer/1") as e:
        netx.load(tmp_path / "a.net")
    assert "\n" not in str(e.value)


@pytest.mark.slow
def test_lava_dl_179_a_net_is_exported_right_after_its_checkpoint_is_loaded(tmp_path):
    """No step has been run through the model: its shapes are the configuration's."""
    from convert.to_net import to_net
    from train import checkpoint
    from train.config import Config
    from train.model.smolmamba import SmolMamba

    cfg = Config(width=8, bank=8, stem=(8,), blocks=1, decays=(2, 8))
    model = SmolMamba(cfg, cfg.make_encoder(), 3)
    model.fold()
    checkpoint.save(tmp_path / "a.pt", model, ["a", "b", "c"], {})
    loaded, _ = checkpoint.load(tmp_path / "a.pt")
    netx.write(to_net(loaded, ["a", "b", "c"], {}), tmp_path / "a.net")
    net = netx.read(tmp_path / "a.net")
    assert net.inputs[0].size == cfg.make_encoder().channels and net.nodes[-1].size == 3


@pytest.mark.parametrize("kernel", [(1, 3), (3, 1), (2, 3)])
def test_lava_dl_260_kernels_are_not_transposed(kernel, tmp_path):
    """An impulse through a kernel of other height than width, with one weight at its end: the only neuron that fires is
    where a correlation puts it, before and after the way through a file.
    """
    from sim.netx import slayer_writer

    h, w = kernel
    weight = np.zeros((1, 1, h, w), np.int16)
    weight[0, 0, h - 1, w - 1] = 200
    neuron = Neuron(np.array([4096], np.int32), 4096, 100, np.zeros(1, np.int32))
    conv = ConvLayer("layer/1", weight, neuron, (1, 1), (0, 0), (1, 1), 1, (1, 5, 6))
    net = Sequential((InputLayer("layer/0", (1, 5, 6)), conv))
    slayer_writer.write(net, tmp_path / "a.net")
    x = np.zeros((1, 1, 1, 5, 6), np.uint8)
    x[0, 0, 0, 3, 4] = 1
    for each in (net, netx.load(tmp_path / "a.net")):
        out = each.run(x)["layer/1"][0, 0, 0]
        assert out.shape == (6 - h, 7 - w)
        assert np.argwhere(out).tolist() == [[3 - (h - 1), 4 - (w - 1)]]


def test_lava_dl_304_lava_859_small_weights_are_not_blown_up():
    """A matrix of one magnitude takes a sign's two bits and keeps its values: nothing is scaled up to fill eight."""
    assert weight_bits([np.array([[-2, 2]])]) == 2
    assert weight_bits([np.array([[-64, 64]])]) == 2
    net = one_layer(np.array([[2, -2], [2, 2]]), v_th=3)
    x = np.ones((1, net.steps, 2), np.uint8)
    # 2 + 2 = 4 > 3, 2 - 2 = 0: exact, in the engine and in chip time
    expected = np.tile([0, 1], (1, net.steps, 1))
    assert np.array_equal(engine.run(net, x, trace=["n"]).traces["n"], expected)
    assert np.array_equal(chiptime.run(net, x)["n"], expected)


def test_lava_501_a_matrix_of_zeros_runs_and_costs_nothing(tmp_path):
    """Lava's packing divides by their largest weight; here the engine, the definition and Lava's processes run them."""
    net = one_layer(np.zeros((3, 2)), bias=5, v_th=3)
    x = np.ones((2, net.steps, 2), np.uint8)
    expected = engine.run(net, x, trace=["n"])
    assert expected.traces["n"].all()  # the bias alone
    assert np.array_equal(chiptime.run(net, x)["n"], expected.traces["n"])
    assert "zero" in netx.stock_refusal(net)  # so that stock netx is not offered what it cannot pack
    rows = plan(net, board.load("oheo-gulch")).to_json()["layers"]
    assert next(row for row in rows if row["layer"] == "n")["synapses"] == 0


@pytest.mark.slow
@needs_lava
@pytest.mark.parametrize("executor", ["fused", "stock"])
def test_lava_501_zeros_in_lava(executor):
    net = one_layer(np.zeros((3, 2)), bias=5, v_th=3)
    x = np.ones((1, net.steps, 2), np.uint8)
    found = simulate(net, x, executor, trace=["n"], threads=True)
    assert np.array_equal(found.traces["n"], engine.run(net, x, trace=["n"]).traces["n"])


def test_lava_329_biases_at_both_ends_do_not_overflow():
    """A mantissa of 13 bits, shifted by six, is added in 32 bits: by hand, and in both executors."""
    for bias in (BIAS_MIN, BIAS_MAX):
        net = one_layer(np.zeros((1, 1)) + 2, bias=bias, v_th=131071, v_decay=0)
        x = np.zeros((1, net.steps, 1), np.uint8)
        found = engine.run(net, x, trace=["n"]).traces["n"]
        v, by_hand = 0, []
        for _ in range(net.steps):
            v = max(min(v + (bias << 6), STATE_LIMIT - 1), 1 - STATE_LIMIT)
            fires = v > 131071 << 6
            by_hand.append(int(fires))
            v = 0 if fires else v
        assert found[0, :, 0].tolist() == by_hand == chiptime.run(net, x)["n"][0, :, 0].tolist()
    for beyond in (BIAS_MIN - 1, BIAS_MAX + 1):
        with pytest.raises(UserError, match=f"bias outside {BIAS_MIN}..{BIAS_MAX}"):
            one_layer(np.full((1, 1), 2), bias=beyond)


def test_lava_334_nengo_loihi_88_106_130_states_at_their_ends():
    """A current that overflows goes on at the other end, not at 0; a voltage stays at its end; nothing raises."""
    assert wrap24(STATE_LIMIT + 5) == 5 - STATE_LIMIT and wrap24(-STATE_LIMIT - 5) == STATE_LIMIT - 5
    u, v, _ = cuba_step(np.array([STATE_LIMIT - 10]), np.array([0]), np.array([1]), 0, 0, 131071, 0)
    assert u == 64 - 10 - STATE_LIMIT
    for sign in (1, -1):
        u, v, s = cuba_step(np.array([sign * 8_000_000]), np.array([sign * 8_000_000]), np.array([0]), 0, 0, 131071, 0)
        assert u == sign * 8_000_000 and (v == sign * (STATE_LIMIT - 1) or s.all())


def test_nengo_loihi_114_a_decay_rounds_toward_zero():
    """7, halved in integers, is 3, 1 and 0, and its mirror image below zero: both ends come to rest."""
    for sign in (1, -1):
        x, seen = np.array([sign * 7]), []
        for _ in range(4):
            x = decay(x, 2048)
            seen.append(int(x[0]))
        assert seen == [sign * 3, sign * 1, 0, 0]


def crowded(n=200):
    """A neuron that fires only where all of n inputs arrive in the same step, and such steps, but the last."""
    net = one_layer(np.full((1, n), 2), v_th=2 * n - 1)
    x = np.ones((1, net.steps, n), np.uint8)
    x[0, -1, n // 2] = 0
    return net, x, [1] * (net.steps - 1) + [0]


def test_nengo_loihi_109_every_spike_of_a_crowded_step_arrives():
    """There 73 spikes in one step were too many, the rest were left out with a warning, and 94 % became 30 % on the
    board. Here none is left out, by any executor, and each is counted."""
    net, x, expected = crowded()
    found = engine.run(net, x, trace=["n"])
    assert found.traces["n"][0, :, 0].tolist() == expected == chiptime.run(net, x)["n"][0, :, 0].tolist()
    assert found.spikes[TOKENS] == found.synops["n"] == x.sum()


@pytest.mark.slow
@needs_lava
@pytest.mark.parametrize("executor", ["fused", "stock"])
def test_nengo_loihi_109_in_lava(executor):
    net, x, expected = crowded()
    assert simulate(net, x, executor, trace=["n"], threads=True).traces["n"][0, :, 0].tolist() == expected


def test_lava_83_231_an_exception_in_a_model_ends_the_run(monkeypatch):
    """Lava waits for ever for a process that has died; here the run ends and brings the traceback along."""
    monkeypatch.setenv("PYTHONPATH", str(HERE / "tests"))  # the worker must be able to import `broken`
    net = broken_net("raise")
    with pytest.raises(SimulationError, match="broken on purpose, in a step"):
        simulate(net, broken_tokens(net), threads=True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts files in /proc")
def test_lava_260_730_runs_leave_no_descriptors_and_no_shared_memory():
    """Lava keeps those of every run open in the process that asked for it."""
    net = one_layer(np.full((3, 2), 64), v_th=3)
    x = np.ones((1, net.steps, 2), np.uint8)

    simulate(net, x)
    before, shared = census.descriptors(), segments.held()
    for _ in range(3):
        simulate(net, x)
    assert census.descriptors() == before and not segments.left(shared)


def test_lava_826_a_net_that_is_too_large_is_refused():
    """Lava runs it for ever without a word; a plan says which layer, how much and what to do."""
    neuron = Neuron(np.array([4096], np.int32), 4096, 100, np.zeros(1, np.int32))
    huge = DenseLayer("huge", np.full((6000, 4000), 254, np.int16) // 4 // 2 * 2, neuron)
    found = plan(Sequential((InputLayer("in", (4000,)), huge)), board.load("oheo-gulch"))
    assert not found.fits and found.reason.layer == "huge" and found.reason.remedy


@pytest.mark.slow
@needs_lava
def test_lava_dl_77_92_what_slayer_trains_is_what_the_file_does(tmp_path):
    """Spikes of SLAYER's own blocks in evaluation mode and of the exported file, at every step."""
    code = """
import sys, warnings; warnings.simplefilter('ignore')
from sim.lava import compat; compat.apply()
import h5py, numpy as np, torch
import lava.lib.dl.slayer as slayer
torch.manual_seed(3)
given = dict(threshold=1.0, current_decay=0.3, voltage_decay=0.1)
more = dict(weight_scale=3, delay_shift=False)
blocks = [slayer.block.cuba.Dense(dict(given), a, b, **more) for a, b in ((12, 16), (16, 5))]
x = (torch.rand(2, 12, 60) < 0.4).float()
out = x
for b in blocks:
    b.eval()
    out = b(out)
with h5py.File(sys.argv[1], 'w') as f:
    for i, b in enumerate(blocks):
        b.export_hdf5(f.create_group(f'layer/{i}'))
np.savez(sys.argv[2], x=x.numpy(), out=out.detach().numpy())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.net"), str(tmp_path / "a.npz")],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-600:]
    with np.load(tmp_path / "a.npz") as kept:
        x, out = kept["x"].astype(np.uint8).transpose(0, 2, 1), kept["out"].transpose(0, 2, 1)
    net = netx.load(tmp_path / "a.net")
    found = net.run(x)[net.layers[-1].name]
    assert out.any() and np.array_equal(found.reshape(out.shape), out)


# --- event files


def test_expelliarmus_6_events_before_the_first_time_are_left_out(tmp_path):
    """An EVT 2.0 file may begin in the middle: its first events have no time yet, and get none beyond the rest."""
    table = event_files.rows(50)
    early = np.array([1 << 28 | 5 << 22 | 3 << 11 | 4] * 7, "<u4").tobytes()
    whole = event_files.evt2(table)
    head = len(evt_header("EVT2"))
    path = tmp_path / "a.raw"
    path.write_bytes(whole[:head] + early + whole[head:])
    found, _ = formats.read(path)
    assert len(found) == 50 and found["t"][-1] == table[-1, 3] - table[0, 3]
    assert any("7 words before the first TIME_HIGH are left out" in note for note in formats.info(path)["notes"])


@pytest.mark.parametrize("kind", [0x7, 0xA, 0xE, 0xF])
def test_expelliarmus_18_words_of_other_kinds_are_passed_over(tmp_path, kind):
    """A trigger (0xA) among EVT 3.0's words, and other kinds: no error, and the events around them stay."""
    table = event_files.rows(40)
    words = event_files.evt3_words(table)
    words[10:10] = [kind << 12 | 0x101] * 3
    path = tmp_path / "a.raw"
    path.write_bytes(evt_header("EVT3") + np.array(words, "<u2").tobytes())
    plain = tmp_path / "b.raw"
    plain.write_bytes(event_files.evt3(table))
    assert np.array_equal(formats.read(path)[0], formats.read(plain)[0])


def test_expelliarmus_19_a_fall_of_the_low_half_is_no_overflow(tmp_path):
    """EVT 3.0: TIME_LOW starts anew with every TIME_HIGH; only a fall of the high half is 2**24 us more."""
    at = [4000, 4095, 4096 + 3, 4096 + 4000, 3 * 4096 + 1, 2**24 - 5, 2**24 + 7]
    table = np.array([[i, 2, i % 2, t] for i, t in enumerate(at)])
    words = []
    for x, y, p, t in table.tolist():
        words += [8 << 12 | t >> 12 & 0xFFF, 6 << 12 | t & 0xFFF, y, 2 << 12 | p << 11 | x]
    path = tmp_path / "a.raw"
    path.write_bytes(evt_header("EVT3") + np.array(words, "<u2").tobytes())
    found, _ = formats.read(path)
    assert found["t"].tolist() == [t - at[0] for t in at]


def test_tonic_94_a_row_of_240_is_the_clock(tmp_path):
    """N-MNIST's y = 240 is no pixel: it takes the times on by 2**13 us, and the sensor stays 34 x 34."""
    table = np.array([[1, 2, 1, 10], [0, 240, 0, 20], [33, 33, 0, 30]])
    path = tmp_path / "a.bin"
    path.write_bytes(event_files.nmnist(table))
    found, _ = formats.read(path, (34, 34))
    assert found["y"].tolist() == [2, 33] and found["t"].tolist() == [0, 20 + 2**13]


@pytest.mark.parametrize("scale, unit", [(1e-6, "s"), (1.0, "us"), (1e-3, "ms")])
def test_tonic_210_units_of_time_are_told_or_asked_for(tmp_path, scale, unit):
    """Seconds with more digits than a microsecond: the name of a column says it, times come out in microseconds."""
    table = event_files.rows(200)
    rows = "\n".join(f"{x},{y},{p},{t * scale + scale * 0.1234:.12f}" for x, y, p, t in table.tolist())
    path = tmp_path / "a.csv"
    path.write_text(f"x,y,p,t_{unit}\n{rows}\n")
    found, _ = formats.read(path)
    assert np.array_equal(found["t"], table[:, 3] - table[0, 3])


def test_tonic_210_two_events_at_one_time_are_two(tmp_path):
    table = np.array([[1, 2, 1, 100], [3, 4, 0, 100], [5, 6, 1, 30_000]])
    path = tmp_path / "a.csv"
    path.write_bytes(event_files.text(table))
    found, _ = formats.read(path)
    assert found["t"].tolist() == [0, 0, 29_900] and found["x"].tolist() == [1, 3, 5]


@pytest.mark.parametrize("threshold", [0.004, 1.0, 37.0])
def test_nir_111_threshold_weights_and_decays_shift_together(threshold):
    """The paper's script shifts thresholds and decays by fixed numbers of bits and leaves the weights; what a neuron
    does depends on their ratio: four inputs that take the graph's neuron 1, 2, 3 and 7 steps to its threshold, with a
    membrane that leaks 1/64 a step.
    """
    nir = pytest.importorskip("nir")
    from convert.nir.from_graph import from_graph

    dt, tau = 1e-3, 64e-3
    all_of = lambda x: np.full(4, x, np.float64)  # noqa: E731
    first = np.array([1, 2, 3, 7])  # a sum of k inputs that leak is w * 64 (1 - (63/64)^k)
    reached = 64 * (1 - (63 / 64) ** np.array([first, first - 1]))
    weight = 2 * threshold / reached.sum(0)  # above the threshold after so many, below it one step before
    graph = nir.NIRGraph(
        {
            "input": nir.Input(np.array([4])),
            "w": nir.Linear(np.diag(weight)),
            "n": nir.LIF(all_of(tau), all_of(tau / dt), all_of(0.0), all_of(threshold), all_of(0.0)),
            "output": nir.Output(np.array([4])),
        },
        [("input", "w"), ("w", "n"), ("n", "output")],
    )
    net, (row,) = from_graph(graph, dt)
    spikes = net.run(np.ones((1, 14, 4), np.uint8))["layer/1"][0]
    assert (spikes.argmax(0) + 1).tolist() == first.tolist()
    assert net.layers[1].neuron.v_decay == row["v_decay"] == 4096 // 64
    assert spikes.sum(0).tolist() == (14 // first).tolist()

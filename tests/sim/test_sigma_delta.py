"""Sigma-delta nets: recorded activity that comes with lava-dl, and random nets against the definition."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from chains import even, random_net
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import netx
from sim.base.errors import UserError
from sim.sequential import (
    AverageLayer,
    Delta,
    DenseLayer,
    InputLayer,
    Neuron,
    Sequential,
    SigmaDelta,
    Stream,
    by_definition,
)

try:
    GTS = Path(distribution("lava-dl").locate_file("tests/lava/lib/dl/netx")) / "gts"
except PackageNotFoundError:
    GTS = Path("lava-dl is not installed")
recorded = pytest.mark.skipif(not GTS.is_dir(), reason="the recordings come with lava-dl, which is not installed")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "nets"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder ../shared/data/nets is not here")


def activity(name):
    """A recording as int64 [step, channel, y, x]."""
    return np.load(GTS / "pilotnet_sdnn" / name).transpose(3, 2, 1, 0).astype(np.int64)


def run(net, x):
    """(outputs, states, what was sent before the first step)."""
    stream = Stream(net, len(x))
    return *stream.advance(net.checked(x), [layer.name for layer in net.layers]), stream.early


@recorded
def test_pilotnet_output():
    """The recorded output begins when the net is switched on, eight steps before the first picture reaches it: what
    the biases send comes first.
    """
    net = netx.load(GTS / "pilotnet_sdnn/network.net")
    out, _, early = run(net, activity("input.npy")[None].repeat(3, 1))
    expected = np.load(GTS / "pilotnet_sdnn/output.npy")[0].astype(np.int64)
    assert net.lags["layer/9"] == 8 and len(expected) == 9
    assert np.array_equal(np.concatenate([early["layer/9"][0, :, 0], out["layer/9"][0, :1, 0]]), expected)


@recorded
@pytest.mark.parametrize(
    "file, name, layer",
    [("network", f"sigma{i}", i) for i in (1, 2)] + [("square_network", f"sigma{i}_square", i) for i in (1, 2, 3, 4)],
)
def test_pilotnet_states(file, name, layer):
    """Recorded sums of every layer, from the step on in which the picture reaches it."""
    net = netx.load(GTS / f"pilotnet_sdnn/{file}.net")
    x = activity("input.npy")[None, ..., : net.layers[0].shape[2]].repeat(20, 1)
    _, states, _ = run(net, x)
    expected = activity(f"{name}.npy")
    found = states[f"layer/{layer}"]["sigma"][0]
    assert np.array_equal(found[: len(expected) - layer], expected[layer:])


# --- random nets against the definition


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_engine_equals_definition(seed):
    """Every layer and step, however the steps are cut into chunks; large inputs make the 32-bit states wrap."""
    net, r = random_net(seed)
    limit = int(r.choice([3, 60, net.input_range[1]]))
    x = r.integers(-limit, limit + 1, (2, 12, *net.layers[0].shape))
    expected, stream, at = by_definition(net, x), Stream(net, 2), 0
    for end in sorted({*r.integers(1, 12, 2).tolist(), 12}):
        out, _ = stream.advance(net.checked(x[:, at:end]))
        for name, values in out.items():
            assert np.array_equal(values, expected[name][:, at:end]), name
        at = end


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_cuba_chains_equal_definition(seed):
    """The same step function for nets without values, with delays and recurrence; ends in averages."""
    r = np.random.default_rng(seed)
    neuron = lambda n: Neuron(  # noqa: E731
        np.array([int(r.choice([0, 900, 4096]))], np.int32), 1000, 60, r.integers(-20, 30, n).astype(np.int32)
    )
    late = r.integers(0, 5, (6, 8)).astype(np.int32) if r.random() < 0.5 else None
    net = Sequential(
        (
            InputLayer("in", (8,)),
            DenseLayer("a", even(r, (6, 8)), neuron(6), even(r, (6, 6)), r.integers(0, 5, 6).astype(np.int32), late),
            DenseLayer("b", even(r, (6, 6)), neuron(6)),
            AverageLayer("c", 3, 2),
        )
    )
    x = (r.random((2, 20, 8)) < 0.3).astype(np.uint8)
    expected, found = by_definition(net, x), net.run(x)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert np.array_equal(found["c"], found["b"].reshape(2, 20, 3, 2).sum(3))


@shared
@pytest.mark.parametrize("name", ["dns_sdnn", "dns_sdnn_delays"])
def test_dns(name):
    net = netx.load(SHARED / f"{name}.net")
    x = np.random.default_rng(0).integers(-20, 40, (1, 70, 257))
    expected, found = by_definition(net, x), net.run(x)
    assert all(np.array_equal(found[layer], expected[layer]) for layer in expected)
    assert found["layer/3"].any() and [len(net.notes)] == [int("delays" in name)]


# --- refusals


def test_what_does_not_go_together_is_refused():
    weight, cuba = np.full((2, 4), 2, np.int16), Neuron(np.array([1], np.int32), 1, 1, np.zeros(1, np.int32))
    first, graded = InputLayer("in", (4,), Delta(1)), SigmaDelta(1, bias=np.zeros(1, np.int32))
    for layers, said in (
        ((first, DenseLayer("a", weight, cuba)), "a: CUBA neurons take spikes without a value"),
        ((first, AverageLayer("a", 2, 2), DenseLayer("b", weight[:, :2], graded)), "b: nothing can follow averages"),
        ((first, AverageLayer("a", 3, 2)), "a: takes (6,), the layer before gives (4,)"),
    ):
        with pytest.raises(UserError) as caught:
            Sequential(layers)
        assert str(caught.value).startswith(said)
    with pytest.raises(UserError, match="supported with recurrent synapses"):
        DenseLayer("a", weight[:, :2], graded, weight[:, :2])


@pytest.mark.parametrize("x, said", [(2048, "values from 2048 to 2048"), (0.5, "no integers"), (np.nan, "values from")])
def test_values_beyond_the_state_are_refused(x, said):
    net = Sequential((InputLayer("in", (4,), Delta(1)),))
    assert net.input_range == (-2047, 2047)
    with pytest.raises(UserError, match=said):
        net.run(np.full((1, 2, 4), x))

"""Transposed convolutions and pools as SLAYER exports them: against SLAYER itself, and in every executor here."""

import h5py
import numpy as np
import pytest
from chains import even
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.chip.board import load
from deploy.chip.plan import plan
from sim import netx
from sim.base.errors import UserError
from sim.expansion import expand
from sim.netx import graph_file, slayer_writer
from sim.netx.describe import describe
from sim.netx.slayer_images import turned
from sim.sequential import (
    ConvLayer,
    Counter,
    Delta,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Neuron,
    Sequential,
    Sigma,
    SigmaDelta,
    by_definition,
)
from sim.sequential.graph import Edge, Graph, Node
from sim.sequential.graph import by_definition as graph_by_definition

CUBA = dict(threshold=0.4, current_decay=0.3, voltage_decay=0.2)


def exported(path, blocks, x):
    """Writes the blocks as SLAYER does; what each sends for x, float [B, K, *shape]."""
    torch = pytest.importorskip("torch")
    sent, out = [], torch.from_numpy(np.moveaxis(x, 1, -1).astype(np.float32))
    with torch.no_grad():
        for block in blocks:
            out = block.eval()(out)
            sent.append(np.moveaxis(out.numpy(), -1, 1))
    with h5py.File(path, "w") as file:
        file["layer/0/type"], file["layer/0/shape"] = np.array([b"input"], "S10"), np.array(x.shape[2:])
        for i, block in enumerate(blocks):
            block.export_hdf5(file.create_group(f"layer/{i + 1}"))
    return sent


def as_slayer(path, blocks, x):
    """The net of the blocks, after its spikes were found to be SLAYER's, layer by layer, one step later for each."""
    sent = exported(path, blocks, x)
    net = netx.load(path)
    found = net.run(x)
    for layer, theirs in zip(net.layers[1:], sent):
        late = net.lags[layer.name]
        assert np.array_equal(found[layer.name][:, : x.shape[1] - late] > 0, theirs[:, late:] > 0), layer.name
    return net, sent


def random_block(r, cuba):
    """(a transposed convolution, pool or unpool, channels that it takes), of any geometry."""
    pair = lambda low, high: tuple(int(v) for v in r.integers(low, high, 2))  # noqa: E731
    kind, groups = str(r.choice(["ConvT", "Pool", "Unpool"])), int(r.choice([1, 2, 3]))
    channels, kernel = groups * int(r.integers(1, 3)), pair(1, 4)
    more = dict(padding=pair(0, 3), dilation=pair(1, 3)) if kind == "ConvT" or r.random() < 0.4 else {}
    if kind != "ConvT":
        more |= dict(stride=pair(1, 5)) if more else {}
        return getattr(cuba, kind)(dict(CUBA), kernel, weight_scale=1.1, **more), channels
    out = groups * int(r.integers(1, 3))
    return cuba.ConvT(
        dict(CUBA), channels, out, kernel, stride=pair(1, 4), groups=groups, weight_scale=4, **more
    ), channels


@pytest.mark.slow
def test_blocks_of_every_geometry(tmp_path):
    """What SLAYER can compute and export is either read and gives its spikes, or refused as its windows mix channels,
    or cuts all that a kernel adds."""
    torch = pytest.importorskip("torch")
    from train.model.slayer import slayer

    r, done = np.random.default_rng(7), dict(same=0, spikes=0, mixing=0, odd=0)
    torch.manual_seed(7)
    for _ in range(150):
        block, channels = random_block(r, slayer.block.cuba)
        x = (r.random((1, 12, channels, *r.integers(3, 8, 2))) < 0.3).astype(np.uint8)
        try:
            exported(tmp_path / "a.net", [block], x)
        except RuntimeError:  # SLAYER lays the channels of a pool one below the other and cannot part them
            continue
        try:
            net, (sent,) = as_slayer(tmp_path / "a.net", [block], x)
        except UserError as e:
            assert channels > 1 and "reach from one channel into the next" in str(e) or "cuts more than" in str(e)
            done["mixing"] += 1
            continue
        assert np.array_equal(net.run(x)["layer/1"], by_definition(net, x)["layer/1"])
        done["same"] += 1
        done["spikes"] += int(sent.sum())
        done["odd"] += any(net.layers[1].overhang)
    assert done["same"] > 80 and done["spikes"] > 5000 and done["mixing"] > 5 and done["odd"] > 5, done


def test_an_autoencoder(tmp_path):
    """Pools of odd sides, an axon's delay in front of a transposed convolution, groups, back to the input's size."""
    torch = pytest.importorskip("torch")
    from train.model.slayer import slayer

    cuba = slayer.block.cuba
    torch.manual_seed(3)
    blocks = [
        cuba.Conv(dict(CUBA), 2, 4, 3, padding=1, weight_scale=3, delay=True),
        cuba.Pool(dict(CUBA), 2, weight_scale=1.1),
        cuba.ConvT(dict(CUBA), 4, 6, (3, 2), stride=2, padding=(1, 0), groups=2, weight_scale=4, delay=True),
        cuba.Unpool(dict(CUBA), (1, 2), weight_scale=1.1),
        cuba.ConvT(dict(CUBA), 6, 2, 3, padding=1, weight_scale=3),
    ]
    x = (np.random.default_rng(0).random((2, 20, 2, 7, 9)) < 0.3).astype(np.uint8)
    exported(tmp_path / "a.net", blocks, x)  # SLAYER makes its delays at the first call
    for block in (blocks[0], blocks[2]):
        block.delay.delay.data = torch.randint(0, 4, block.delay.delay.shape).float()
    net, sent = as_slayer(tmp_path / "a.net", blocks, x)
    assert [layer.shape for layer in net.layers] == [
        (2, 7, 9),
        (4, 7, 9),
        (4, 4, 5),
        (6, 7, 10),
        (6, 7, 20),
        (2, 7, 20),
    ]
    assert all(theirs.any() for theirs in sent) and net.layers[3].axon_delay.any()
    assert net.layers[5].plain and [row["type"] for row in describe(net)][3:] == ["convT", "convT", "conv"]


def test_the_kernel_is_turned_and_back():
    r = np.random.default_rng(0)
    for groups in (1, 2, 3):
        weight = even(r, (2 * groups, 3, 2, 4))
        there = turned(weight, groups)
        assert there.shape == (3 * groups, 2, 2, 4) and np.array_equal(turned(there, groups), weight)


def neuron(r, channels, graded=False):
    bias = r.integers(*((0, 60) if graded else (-20, 1)), channels).astype(np.int32)
    return SigmaDelta(9, bias=bias) if graded else Neuron(np.array([700], np.int32), 900, 60, bias)


def decoder(seed, graded=False, late=False):
    """A random chain with a transposed convolution, a pool that hangs over, and a dense layer behind them."""
    r = np.random.default_rng(seed)
    pair = lambda low, high: tuple(int(v) for v in r.integers(low, high, 2))  # noqa: E731
    groups, shape = int(r.choice([1, 2])), (2, *pair(3, 6))
    spread = dict(spread=pair(2, 4))
    kernel = even(r, (groups * int(r.integers(1, 4)), 2 // groups, *pair(1, 4)))
    place = ((1, 1), (0, int(r.integers(0, 2))), pair(1, 3), groups, shape)
    delay = r.integers(0, 4, len(kernel)).astype(np.int32) if late else None
    up = ConvLayer("up", kernel, neuron(r, len(kernel), graded), *place, axon_delay=delay, **spread)
    each = np.repeat((r.integers(20, 100, (1, 1, 2, 2)) * 2).astype(np.int16), up.shape[0], axis=0)
    place = ((2, 2), (0, 0), (1, 1), up.shape[0], up.shape)
    down = ConvLayer("down", each, neuron(r, up.shape[0], graded), *place, overhang=(1, 1))
    n = int(np.prod(down.shape))
    last = DenseLayer("out", even(r, (3, n)), Sigma() if graded else neuron(r, 3))
    first = InputLayer("in", shape, Delta(0) if graded else None)
    x = r.integers(-60, 61, (2, 12, *shape)) if graded else (r.random((2, 12, *shape)) < 0.5).astype(np.uint8)
    return Sequential((first, up, down, FlattenLayer("flat", (n,)), last)), x


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_engine_and_definition(seed, graded, late):
    net, x = decoder(seed, graded, late)
    found, expected = net.run(x), by_definition(net, x)
    assert all(np.array_equal(found[name], values) for name, values in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("seed, graded, late", [(0, False, False), (1, False, True), (2, True, False), (3, True, True)])
def test_lava(seed, graded, late):
    """Stock processes: a sparse matrix, as Lava's convolution knows neither."""
    pytest.importorskip("lava.proc.lif")
    from sim.lava.chains import simulate_chain

    net, x = decoder(seed, graded, late)
    found, expected = simulate_chain(net, x, threads=True).traces, net.run(x)
    assert all(values.any() for values in expected.values())
    assert all(np.array_equal(found[name], values) for name, values in expected.items())


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_the_chip(seed):
    net, x = decoder(seed)
    counter, expansion = Counter(net), expand(net)
    counter.add(net.run(x))
    assert counter.synops["up"] and counter.synops["down"]
    for name in ("up", "down", "out"):
        (population,) = expansion.of_layer(name)
        assert population.inputs[0].synapses == counter.fan_out[name].sum()
    planned = plan(net, load("oheo-gulch"), x=x)
    assert planned.fits and planned.costs.counts.layer_synops["up"] * 2 == counter.synops["up"]


def test_wide_transposed_convolutions_are_not_refused_for_sums_that_no_neuron_gets():
    """Each neuron of a stride of 2 reads a quarter of a kernel of 4 x 4."""
    weight = np.full((1, 200, 4, 4), 254, np.int16)
    make = lambda spread: ConvLayer(  # noqa: E731
        "c", weight, neuron(np.random.default_rng(0), 1), (1, 1), (3, 3), (1, 1), 1, (200, 3, 3), spread=spread
    )
    assert make((2, 2)).fan_in == [200 * 4 * 254]
    with pytest.raises(UserError, match="the current could wrap twice"):
        make((1, 1))


def test_files(tmp_path):
    """Written and read again: as SLAYER has it, and in a graph."""
    net, x = decoder(5)
    chain = Sequential(net.layers[:2])
    slayer_writer.write(chain, tmp_path / "a.net")
    again = netx.load(tmp_path / "a.net")
    assert again.layers[1].spread == chain.layers[1].spread and again.layers[1].padding == chain.layers[1].padding
    assert np.array_equal(again.run(x)["layer/1"], chain.run(x)["up"])
    with pytest.raises(UserError, match="down: overhang .* cannot be written"):
        slayer_writer.write(Sequential(net.layers[:3]), tmp_path / "b.net")
    nodes = tuple(Node(layer.name, (Edge(before.name, layer),)) for before, layer in zip(net.layers, net.layers[1:3]))
    graph = Graph(net.layers[0], nodes, "down")
    graph_file.write(graph, tmp_path / "graph.net")
    same = netx.load(tmp_path / "graph.net")
    for found in (same.run(x), graph_by_definition(same, x)):
        assert np.array_equal(found["down"], net.run(x)["down"]) and found["down"].any()


def test_a_layer_without_content_is_not_left_out(tmp_path):
    """SLAYER's winner-takes-all block writes an empty group."""
    pytest.importorskip("torch")
    from train.model.slayer import slayer

    blocks = [slayer.block.cuba.Dense(dict(CUBA), 6, 5), slayer.block.cuba.KWTA(dict(CUBA), 5, 4, 2)]
    exported(tmp_path / "a.net", blocks, np.zeros((1, 3, 6), np.uint8))
    with pytest.raises(UserError, match="layer/2: is an empty group, expected what it holds"):
        netx.load(tmp_path / "a.net")

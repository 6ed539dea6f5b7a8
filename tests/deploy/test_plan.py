"""The plan's numbers against independent recounts: sizes from the net, memory list by list, counts from the engine,
prices by hand.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import long_net, random_net, random_stream
from scipy.sparse import csr_matrix

from deploy.chip import board, energy
from deploy.chip.activity import measure
from deploy.chip.allocate import DoesNotFit, allocate, limits
from deploy.chip.plan import dense_macs
from deploy.chip.plan import plan as make_plan
from deploy.chip.synapses import list_bits, lists, order
from sim import engine
from sim.base.errors import UserError
from sim.expansion import RELAY, expand
from sim.expansion.of_sequential import kernel_of
from sim.expansion.weights import count
from sim.integer import weight_bits
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout
from sim.net.schedule import edge_delays
from sim.sequential import (
    AverageLayer,
    ConvLayer,
    Delta,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Neuron,
    Sequential,
    Sigma,
    SigmaDelta,
    dendrite,
)

OHEO = board.load("oheo-gulch")


def plan(*args, **options):
    """A plan as a script reads it."""
    return make_plan(*args, **options).to_json()


def cuba(name, weight, source=TOKENS, i_decay=4096, bias=0, v_th=10):
    n = weight.shape[0]
    return Cuba(
        name,
        (Dense(source, weight.astype(np.int16)),),
        np.full(n, i_decay, np.int32),
        np.full(n, bias, np.int32),
        4096,
        v_th,
    )


def neuron(bias=0):
    return Neuron(np.array([4095], np.int32), 100, 50, np.array([bias], np.int32))


# ---- sizes


def needed(net):
    names = {net.nodes[-1].name}
    for node in reversed(net.nodes):
        if node.name in names:
            names |= {s.source for s in node.synapses if s.weight.any()}
    return [node for node in net.nodes if node.name in names]


def recount(net):
    """(neurons without relays, non-zero synapses without relays) straight from the net's own nodes."""
    nodes = needed(net)
    return sum(n.size for n in nodes), sum(int((s.weight != 0).sum()) for n in nodes for s in n.synapses)


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_neurons_and_synapses_add_up_to_the_net(seed):
    net = random_net(seed, 8)
    expansion = expand(net)
    relays = [p for p in expansion.populations if p.kind == RELAY]
    wired = sum(j.synapses for p in relays for j in p.inputs)
    neurons, synapses = recount(net)
    assert expansion.neurons - sum(p.n for p in relays) == neurons
    assert expansion.synapses - wired == synapses
    assert wired == sum(p.n for p in relays)
    p = plan(net, OHEO, "shared")
    assert (p["neurons"], p["synapses"]) == (expansion.neurons, expansion.synapses)
    assert sum(row["neurons"] for row in p["layers"]) == p["neurons"]
    assert sum(row["synapses"] for row in p["layers"]) == p["synapses"]
    assert sum(p["neurons_by_role"].values()) == p["neurons"]
    parts = [
        weight_bits([s.weight[node.i_decay == d] if isinstance(node, Cuba) else s.weight])
        for node in needed(net)
        for s in node.synapses
        for d in (np.unique(node.i_decay) if isinstance(node, Cuba) else [0])
    ]
    assert relays or p["weight_bits"] == max(parts, default=0)


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_each_neuron_is_placed_once_and_no_limit_is_exceeded(seed):
    net = random_net(seed, 8)
    expansion = expand(net)
    # Small limits, so that even small nets are cut and packed.
    small = {
        "neurons_per_core": 16,
        "axons_in_per_core": 40,
        "axons_out_per_core": 60,
        "synapse_bits_per_core": 6000,
        "decay_profiles_per_core": 2,
        "threshold_profiles_per_core": 2,
        "synapse_formats_per_core": 5,
        "delay_slots_per_core": 630,
    }
    board = replace(OHEO, limits=OHEO.limits | {k: replace(OHEO.limits[k], value=v) for k, v in small.items()})
    for packing in ("separate", "shared"):
        try:
            placement = allocate(expansion, board, packing)
        except DoesNotFit as e:
            assert e.used > e.limit and e.layer in {p.layer for p in expansion.populations}
            continue
        seen = {}
        for _, part in placement.parts():
            seen.setdefault(part.population.name, []).append(part.members)
        assert {name: sorted(np.concatenate(m).tolist()) for name, m in seen.items()} == {
            p.name: list(range(p.n)) for p in expansion.populations
        }
        for core in placement.cores:
            for resource, used in core.use().items():
                assert used <= limits(board)[resource]
        assert len(placement.cores) >= placement.lower_bound
        if packing == "separate":
            assert all(len(core.parts) == 1 for core in placement.cores)
            assert all(len(m) & (len(m) - 1) == 0 or len(m) == expand_size(expansion, name) for name, m in seen.items())


def expand_size(expansion, name):
    return next(p.n for p in expansion.populations if p.name == name)


def test_what_does_not_reach_the_read_out_is_left_out():
    dead = cuba("dead", np.full((5, 3), 2))
    live = cuba("live", np.full((4, 3), 2))
    net = Net((dead, live, Readout("out", (Dense("live", np.full((2, 4), 2, np.int16)),))), (Input(TOKENS, 3),), 2, 2)
    p = plan(net, OHEO)
    assert (p["neurons"], p["left_out"]) == (6, ["dead"])


def test_relays_carry_what_waits_longer_than_a_synapse_can():
    net = long_net()
    wait = edge_delays(net)[TOKENS, "late"]
    assert wait == 66
    expansion = expand(net)
    relay = next(p for p in expansion.populations if p.kind == RELAY and p.layer == TOKENS)
    assert (relay.n, relay.inputs[0].delay) == (3, 62)
    late = next(p for p in expansion.populations if p.name == "late")
    assert {j.source: j.delay for j in late.inputs}[relay.name] == wait - 63
    p = plan(net, OHEO, "separate", random_stream(net, 1))
    assert p["fits"] and p["neurons_by_role"]["relay"] == 3 + 8 + 5 + 5  # tokens, phase, two layers
    # A relay is sent what its source sends, and sends it on.
    assert (
        p["activity"]["layer_synops"][TOKENS] == next(r for r in p["host"] if r["name"] == TOKENS)["spikes_per_sample"]
    )


# ---- memory


def brute_bits(weight, start, stop, bits, delayed):
    """Sparse where a tenth of the entries or more are zeros, or where it is smaller, else dense: list by list."""
    part, per = weight[start:stop], bits + 6 * delayed
    index = max(6, math.ceil(math.log2(max(2, stop - start))))

    def words(n, each):
        return sum(-(-(min(64, n - i) * each + 10) // 64) for i in range(0, n, 64))

    columns = [c for c in part.T if c.any()]
    dense = sum(words(len(c), per) for c in columns)
    thin = sum(words(int(np.count_nonzero(c)), per + index) for c in columns)
    zeros = sum(int((c == 0).sum()) for c in columns)
    return 64 * (thin if thin <= dense or 10 * zeros >= sum(map(len, columns)) else dense)


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_memory_of_a_matrix_list_by_list(seed):
    r = np.random.default_rng(seed)
    shape = int(r.integers(1, 150)), int(r.integers(1, 40))
    weight = (r.integers(-128, 128, shape) * 2 * (r.random(shape) < r.random())).astype(np.int16)
    start = int(r.integers(0, shape[0]))
    stop = int(r.integers(start + 1, shape[0] + 1))
    bits, delayed = int(r.choice([1, 2, 5, 8])), bool(r.random() < 0.5)
    for form in (weight, csr_matrix(weight)):  # what is stored does not depend on how we hold it
        found = lists(form, start, stop, bits, delayed)
        assert found.bits == brute_bits(weight, start, stop, bits, delayed)
        assert (found.nonzero == np.count_nonzero(weight[start:stop], axis=0)).all()
        assert found.axons == int((found.nonzero > 0).sum())
        assert count(form) == (weight.size, np.count_nonzero(weight))


def test_a_list_of_64_synapses_of_8_bits_takes_nine_words():
    assert list_bits(64, 8) == 9 * 64  # 512 bits of weights and 10 of header
    assert list_bits(65, 8) == 10 * 64
    assert list_bits(0, 8) == 0


@settings(max_examples=40)
@given(st.integers(0, 100_000))
def test_lists_of_a_convolution_against_the_unrolled_matrix(seed):
    r = np.random.default_rng(seed)
    groups = int(r.choice([1, 2]))
    kernel, size = r.integers(1, 4, 2), r.integers(5, 9, 2)
    weight = (r.integers(-3, 4, (2 * groups, int(r.integers(1, 3)), *kernel)) * 2).astype(np.int16)
    in_shape = (weight.shape[1] * groups, int(size[0]), int(size[1]))
    layer = ConvLayer(
        "c",
        weight,
        neuron(),
        tuple(map(int, r.integers(1, 4, 2))),
        tuple(map(int, r.integers(0, 3, 2))),
        tuple(map(int, r.integers(1, 3, 2))),
        groups,
        in_shape,
    )
    if r.random() < 0.5:
        apart, over = ((int(v) for v in r.integers(low, low + 3, 2)) for low in (1, 0))
        layer = replace(layer, spread=tuple(apart), overhang=tuple(over))
    n_in, n_out = int(np.prod(in_shape)), int(np.prod(layer.shape))
    unit = np.eye(n_in, dtype=np.uint8).reshape(1, n_in, *in_shape)
    full = dendrite(layer, unit).reshape(n_in, n_out).T
    ones = dendrite(replace(layer, weight=np.full_like(weight, 2)), unit).reshape(n_in, n_out).T
    k = kernel_of(layer)
    by_pixel = np.arange(n_out).reshape(layer.shape[0], -1).T.ravel()
    start = int(r.integers(0, n_out))
    stop = int(r.integers(start + 1, n_out + 1))
    found = lists(k, start, stop, 8, False)
    rows = by_pixel[start:stop]
    assert (found.nonzero == np.count_nonzero(full[rows], axis=0)).all()
    assert (found.entries == np.count_nonzero(ones[rows], axis=0)).all()
    assert count(k) == (np.count_nonzero(ones), np.count_nonzero(full))
    # Shared lists are at most as large as one list for each source.
    assert found.bits <= list_bits(found.entries, 8 + 13).sum()


# ---- activity


@settings(max_examples=30)
@given(st.integers(0, 100_000))
def test_operations_are_the_engine_s(seed):
    net = random_net(seed, 8)
    x = random_stream(net, seed, batch=5)
    ran = engine.run(net, x)
    p = plan(net, OHEO, "shared", x)
    a, host = p["activity"], {row["name"]: row for row in p["host"]}
    per_layer = {name: round(n * len(x)) for name, n in a["layer_synops"].items()}
    assert {n.name: ran.synops[n.name] for n in needed(net)} == {n.name: per_layer[n.name] for n in needed(net)}
    assert round((a["active_updates"] + a["inactive_updates"]) * len(x)) == p["neurons"] * net.steps * len(x)
    for i in net.inputs:
        assert round(host[i.name]["spikes_per_sample"] * len(x)) == ran.spikes[i.name]
    assert host[TOKENS]["peak_per_step"] == (x.tokens != 0).sum(2).max()
    assert p["sent"] == x.sent / (len(x) * net.frames * net.tokens) <= net.places / net.tokens
    separate = measure(net, expand(net), allocate(expand(net), OHEO), OHEO, x)
    counts = separate.counts
    assert counts.spikes == a["spikes"] and counts.active_updates == a["active_updates"]
    assert round(separate.work[..., 0].sum() / len(x)) == round(counts.synops)


def thin_net(share, n=64):
    """Two layers with that share of weights."""
    r = np.random.default_rng(0)
    thin = lambda *shape: np.where(r.random(shape) < share, r.integers(1, 128, shape) * 2, 0)  # noqa: E731
    out = Readout("out", (Dense("b", thin(4, n).astype(np.int16)),))
    return Net((cuba("a", thin(n, n)), cuba("b", thin(n, n), "a"), out), (Input(TOKENS, n),), 3, 4)


def test_pruned_weights_cost_neither_memory_nor_operations():
    x = np.random.default_rng(1).integers(0, 2, (2, 12, 64)).astype(np.uint8)
    full, pruned = (plan(thin_net(share), OHEO, "separate", x) for share in (1.0, 0.3))
    assert pruned["synapses"] < 0.35 * full["synapses"] and pruned["synapse_bits"] < 0.6 * full["synapse_bits"]
    ran = engine.run(thin_net(0.3), x)
    assert pruned["activity"]["zero_synops"] == 0  # all lists are sparse
    assert pruned["activity"]["synops"] * 2 == sum(ran.synops.values())
    dense = [p["energy"]["cmos-45nm"]["dense_equivalent_j_per_sample"] for p in (full, pruned)]
    assert dense[0] == dense[1] == pytest.approx(12 * (2 * 64 * 64 + 4 * 64) * 4.6e-12)


def test_the_phase_is_no_multiplication_of_a_dense_net():
    net = long_net()
    weights = [s.weight for n in net.nodes for s in n.synapses if s.source != PHASE]
    assert dense_macs(expand(net), 7) == 7 * sum(w.size for w in weights)


# ---- cost


def one_neuron_net():
    """Two inputs, one neuron without bias or memory, one class; 1 token, 4 frames."""
    return Net(
        (cuba("a", np.array([[20, 20]]), v_th=30), Readout("out", (Dense("a", np.array([[2]], np.int16)),))),
        (Input(TOKENS, 2),),
        1,
        4,
    )


def test_energy_by_hand():
    net = one_neuron_net()
    x = np.array([[[1, 1], [1, 0], [0, 0], [1, 1]]], np.uint8)  # 5 spikes in, the neuron answers to steps 0 and 3
    p = plan(net, OHEO, "separate", x)
    a = p["activity"]
    assert (a["synops"], a["active_updates"], a["inactive_updates"], a["messages"]) == (5 + 2, 3 + 2, 1 + 2, 5 + 2)
    cost = p["energy"]["loihi1-davies2018"]
    assert cost["energy_j_per_sample"] == pytest.approx((7 * 23.6 + 5 * 81 + 3 * 52 + 7 * 1.7) * 1e-12, rel=1e-12)
    # Each step is as long as its longer core; both are on one tile.
    steps = [max(2 * 3.5 + 8.4, 3.5 + 8.4), max(3.5 + 8.4, 5.3), 5.3, max(2 * 3.5 + 8.4, 3.5 + 8.4)]
    assert cost["seconds_per_sample"] == pytest.approx((sum(steps) + 4 * 113) * 1e-9, rel=1e-6)
    assert p["energy"]["cmos-45nm"]["energy_j_per_sample"] == pytest.approx(7 * 0.9e-12, rel=1e-12)
    assert p["energy"]["cmos-45nm"]["dense_equivalent_j_per_sample"] == pytest.approx(4 * (2 + 1) * 4.6e-12, rel=1e-12)
    assert p["energy"]["cmos-45nm"]["seconds_per_sample"] is None


def test_a_biased_or_lasting_neuron_is_always_active():
    net = one_neuron_net()
    x = np.zeros((1, 4, 2), np.uint8)
    for changed in (
        replace(net.nodes[0], bias=np.array([1], np.int32)),
        replace(net.nodes[0], i_decay=np.array([5], np.int32)),
    ):
        p = plan(replace(net, nodes=(changed, net.nodes[1])), OHEO, "separate", x)
        assert (p["activity"]["active_updates"], p["activity"]["inactive_updates"]) == (4, 4)


def test_every_table_is_labelled():
    for name in energy.names():
        table = energy.load(name)
        assert table.title and table.source and table.leaves_out and table.energy_pj
    cost = plan(one_neuron_net(), OHEO, "separate", np.ones((1, 4, 2), np.uint8))["energy"]["loihi1-davies2018"]
    assert "leakage and idle power" in cost["leaves_out"] and "Davies" in cost["title"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("title = 1", "title is a int"),
        ('title = "a"\nsource = "b"\nleaves_out = ["c"]\n[energy_pj]\nsynapses = 1.0', "unknown entry 'synapses'"),
        ('title = "a"\nsource = "b"\nleaves_out = ["c"]\n[energy_pj]\nsynops = -1.0', "not negative"),
        ('title = "a"', "lacks source"),
        ("title = ", "Invalid"),
    ],
)
def test_a_users_table_that_is_wrong_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        energy.load(path)


def test_a_users_own_table(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('title = "mine"\nsource = "me"\nleaves_out = ["much"]\n[energy_pj]\nspikes = 2.0\n')
    p = plan(
        one_neuron_net(), OHEO, "separate", np.array([[[1, 1], [1, 0], [0, 0], [1, 1]]], np.uint8), tables=(str(path),)
    )
    assert p["energy"]["mine"]["energy_j_per_sample"] == pytest.approx(
        (2 + 2) * 2e-12, rel=1e-12
    )  # two spikes, two graded messages


# ---- boards


def test_boards():
    assert board.names() == ["loihi1", "oheo-gulch", "kapoho-point", "hala-point"]
    assert [board.load(n).cores for n in board.names()] == [128, 120, 960, 140_544]
    for name in board.names():
        for limit in board.load(name).limits.values():
            assert limit.source and limit.unit and limit.status in board.STATUSES
    assert (
        OHEO.limits["axons_in_per_core"].status == "unknown" and OHEO.limits["cores_per_chip"].status == "conflicting"
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "lacks chips"),
        ('extends = "nothing"', "is not one of"),
        ('extends = "oheo-gulch"\n[limits.cores]\nvalue = 1', "unknown entry 'cores'"),
        (
            'extends = "oheo-gulch"\n[limits.chips]\nvalue = 0\nunit = "u"\nstatus = "published"\nsource = "s"',
            "at least 1",
        ),
        (
            'extends = "oheo-gulch"\n[limits.chips]\nvalue = 2\nunit = "u"\nstatus = "sure"\nsource = "s"',
            "status is 'sure'",
        ),
    ],
)
def test_a_board_that_is_wrong_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        board.load(path)


def test_no_such_board():
    with pytest.raises(UserError, match="no board 'loihi3'; there are loihi1, oheo-gulch"):
        board.load("loihi3")


# ---- right answers


def lif_conv(size, channels=4):
    """The net of a known report: LIF size x size x 2, convolution 3 x 3 with stride 2 to `channels` channels; Lava
    runs it for ever from size 58 on.
    """
    r = np.random.default_rng(0)
    first = InputLayer("lif_in", (2, size, size), neuron(bias=25))
    weight = (r.integers(-128, 128, (channels, 2, 3, 3)) * 2).astype(np.int16)
    return Sequential((first, ConvLayer("conv", weight, neuron(), (2, 2), (0, 0), (1, 1), 1, first.shape)))


@pytest.mark.parametrize("size", [57, 58, 98])
def test_the_lif_conv_net_fits_one_chip(size):
    p = plan(lif_conv(size), OHEO)
    out = (size - 3) // 2 + 1
    assert p["fits"] and p["reason"] is None and p["cores_used"] <= 16
    assert p["neurons"] == 2 * size * size + 4 * out * out
    assert p["steps_per_sample"] is None and p["energy"] is None
    if size == 58:  # what it cannot do is lie on one core: more source neurons than a core takes axons
        weight = next(q for q in expand(lif_conv(size)).populations if q.name == "conv").inputs[0].weight
        assert lists(weight, 0, 4 * out * out, 8, False).axons == 2 * (2 * out + 1) ** 2 > OHEO["axons_in_per_core"]
        assert next(row for row in p["layers"] if row["layer"] == "conv")["cores"] == 2


def oversized(n_in=4000, n_out=6000):
    weight = np.full((n_out, n_in), 2, np.int16)
    weight[0, 0] = 254
    return Sequential((InputLayer("in", (n_in,)), DenseLayer("huge", weight, neuron())))


def test_an_oversized_net_is_refused_with_layer_amount_and_remedy():
    p = plan(oversized(), OHEO)
    reason = p["reason"]
    assert not p["fits"] and (reason["constraint"], reason["layer"]) == ("neurocores", "huge")
    assert reason["used"] == p["cores_used"] > reason["limit"] == 120 and reason["excess"] == reason["used"] - 120
    # 24 million synapses of 8 bits are more than a chip's 15.7 million bytes, whatever the packing.
    assert p["cores_by_packing"]["lower_bound"] > 120 and "kapoho-point has 960" in reason["remedy"]
    assert f"needs {reason['used']:,} neurocores, the chip has 120" in reason["text"]
    assert plan(oversized(), board.load("kapoho-point"))["fits"]


def test_a_neuron_that_reads_too_much_is_refused():
    net = Sequential((InputLayer("in", (5000,)), DenseLayer("wide", np.full((3, 5000), 2, np.int16), neuron())))
    reason = plan(net, board.load("hala-point"))["reason"]
    assert (reason["constraint"], reason["layer"], reason["used"], reason["limit"], reason["excess"]) == (
        "axons in",
        "wide",
        5000,
        4096,
        904,
    )
    assert "one neuron alone reads too many sources" in reason["text"]


def test_loihi_1_has_no_graded_spikes():
    p = plan(one_neuron_net(), board.load("loihi1"))
    assert not p["fits"] and (p["reason"]["constraint"], p["reason"]["layer"]) == ("bits of a graded spike", "out")


def test_many_cores_that_packing_would_save():
    wide = [cuba(f"c{i}", np.full((2, 3), 2)) for i in range(130)]
    out = Readout("out", tuple(Dense(w.name, np.full((2, 2), 2, np.int16)) for w in wide))
    net = Net((*wide, out), (Input(TOKENS, 3),), 1, 1)
    p = plan(net, OHEO)
    assert not p["fits"] and p["cores_used"] == 131 and "--packing shared takes 1 cores" in p["reason"]["remedy"]
    assert plan(net, OHEO, "shared")["fits"]
    assert plan(net, board.load("kapoho-point"))["chips_used"] == 2


def test_the_bottleneck_is_the_largest_share():
    p = plan(lif_conv(58), OHEO)
    shares = [s for core in p["cores"] for s in core["share"].values()] + [p["cores_used"] / p["cores_available"]]
    assert p["bottleneck"]["share"] == max(shares)


def test_recurrent_and_delayed_layers():
    r = np.random.default_rng(1)
    w = (r.integers(-3, 4, (6, 4)) * 2).astype(np.int16)
    back = (r.integers(-3, 4, (6, 6)) * 2).astype(np.int16)
    layer = DenseLayer(
        "rec",
        w,
        Neuron(np.array([5, 5, 5, 7, 7, 7], np.int32), 100, 50, np.array([0], np.int32)),
        recurrent=back,
        axon_delay=np.arange(6, dtype=np.int32),
    )
    net = Sequential((InputLayer("in", (4,)), layer, DenseLayer("next", np.full((2, 6), 2, np.int16), neuron())))
    expansion = expand(net)
    assert expansion.synapses == np.count_nonzero(w) + np.count_nonzero(back) + 12
    assert [(p.name, p.n) for p in expansion.populations] == [("rec[5]", 3), ("rec[7]", 3), ("next", 2)]
    first, _, last = (p.inputs for p in expansion.populations)
    assert [np.unique(j.delay).tolist() for j in last] == [[0, 1, 2], [3, 4, 5]]  # an axon's is on its synapses
    assert {j.longest_delay for j in first} == {0}
    x = r.integers(0, 2, (2, 20, 4)).astype(np.uint8)
    a = plan(net, OHEO, "separate", x)["activity"]
    s = net.run(x)
    total = x.sum((0, 1)) @ np.count_nonzero(w, axis=0) + s["rec"].sum((0, 1)) @ np.count_nonzero(back, axis=0)
    assert round(a["layer_synops"]["rec"] * 2) == total


def test_operations_of_a_convolution():
    net = lif_conv(9)
    x = np.random.default_rng(0).integers(-50, 400, (2, 6, 2, 9, 9))
    spikes = net.run(x)
    conv = net.layers[1]
    unit = np.eye(162, dtype=np.uint8).reshape(1, 162, 2, 9, 9)
    full = dendrite(conv, unit).reshape(162, -1)
    a = plan(net, OHEO, "separate", x)["activity"]
    sent = spikes["lif_in"].reshape(12, -1).sum(0, dtype=np.int64)
    assert round(a["layer_synops"]["conv"] * 2) == sent @ np.count_nonzero(full, axis=1)
    reached = spikes["lif_in"].reshape(12, -1).astype(np.int64) @ (full != 0) > 0
    assert round(a["active_updates"] * 2) == reached.sum() + 12 * 162  # the input neurons have a bias


def test_cutting_order_of_a_convolution():
    conv = next(p for p in expand(lif_conv(9)).populations if p.name == "conv")
    assert sorted(order(conv).tolist()) == list(range(conv.n))
    assert order(conv)[:4].tolist() == [0, 16, 32, 48]  # the four channels of the first pixel


def test_graded_messages_of_a_sigma_delta_net():
    """Operations follow the messages that are not 0; states last, so that every neuron is updated at every step."""
    r = np.random.default_rng(2)
    even = lambda *shape: (r.integers(-9, 10, shape) * 2).astype(np.int16)  # noqa: E731
    first = InputLayer("in", (1, 6, 5), Delta(2))
    conv = ConvLayer(
        "conv",
        even(3, 1, 2, 2),
        SigmaDelta(40, bias=np.array([5, 9, 0], np.int32)),
        (2, 1),
        (0, 0),
        (1, 1),
        1,
        first.shape,
    )
    flat = FlattenLayer("flat", (int(np.prod(conv.shape)),))
    net = Sequential(
        (first, conv, flat, DenseLayer("out", even(4, flat.shape[0]), Sigma()), AverageLayer("mean", 2, 2))
    )
    x = r.integers(-100, 100, (3, 12, 1, 6, 5)).repeat(2, 1)[:, :12]
    expansion = expand(net)
    assert [p.kind for p in expansion.populations] == ["delta", "sigma-delta", "sigma"]
    assert [p.name for p in expansion.outputs["mean"]] == ["out"]
    p, sent = plan(net, OHEO, "separate", x), net.run(x)
    fired = {name: (m.reshape(3 * 12, -1) != 0).sum(0) for name, m in sent.items()}
    n_in = int(np.prod(first.shape))
    full = dendrite(conv, np.eye(n_in, dtype=np.uint8).reshape(1, n_in, *first.shape)).reshape(n_in, -1)
    work = {name: round(n * 3) for name, n in p["activity"]["layer_synops"].items()}
    assert work == {
        "in": np.count_nonzero(x),
        "conv": fired["in"] @ np.count_nonzero(full, 1),
        "out": fired["flat"] @ np.count_nonzero(net.layers[3].weight, 0),
    }
    assert p["activity"]["synops"] == 0 and fired["conv"].any() and p["sent"] is None
    assert p["activity"]["active_updates"] == 12 * p["neurons"]


def wide_convolution(c_in, c_out):
    weight = (np.random.default_rng(0).integers(-20, 20, (c_out, c_in, 3, 3)) * 2).astype(np.int16)
    first = InputLayer("in", (c_in, 14, 14))
    return Sequential((first, ConvLayer("conv", weight, neuron(), (1, 1), (1, 1), (1, 1), 1, first.shape)))


def test_a_neuron_that_no_core_takes_is_found_at_once():
    """A corner's neurons read few enough sources, those inside too many."""
    found = plan(wide_convolution(512, 512), OHEO)
    assert not found["fits"] and not found["cores_used"]
    said = found["reason"]
    assert (said["constraint"], said["layer"], said["limit"]) == ("axons in", "conv", 4096) and said["used"] > 4096


def test_a_net_far_too_large_is_not_placed():
    said = plan(wide_convolution(256, 512), OHEO)["reason"]
    assert said["constraint"] == "neurocores" and said["used"] > 2048 and "at least" in said["text"]

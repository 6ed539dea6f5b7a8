"""The artifact: what is written is read back, and what is not what was written is refused in one line."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import edge_net, random_net, random_stream

from sim import netx
from sim.base.errors import UserError
from sim.engine.batch import run
from sim.integer import weight_bits
from sim.net import PHASE, Cuba, Dense, Input, Net, Readout, replace
from sim.net.tokens import Stream, full
from sim.netx import hdf5, writer

SEEDS = st.integers(0, 2**32 - 1)


def chain(seed=0, sizes=(6, 40, 7, 3)):
    """A purely sequential net, and two samples for it."""
    r = np.random.default_rng(seed)
    names = ["tokens", *(f"block{i}.mix" for i in range(len(sizes) - 2))]
    weights = [(r.integers(-128, 128, (o, i)) * 2).astype(np.int16) for i, o in zip(sizes, sizes[1:])]
    nodes = [
        Cuba(
            name,
            (Dense(source, w),),
            np.full(len(w), 500, np.int32),
            r.integers(-5, 5, len(w)).astype(np.int32),
            200,
            50,
        )
        for source, name, w in zip(names, names[1:], weights)
    ]
    net = Net(
        (*nodes, Readout("out", (Dense(names[-1], weights[-1]),))),
        (Input("tokens", sizes[0]),),
        4,
        3,
        encoder={"kernel": [5, 5], "bins": 3},
        classes=("left", "right", "none"),
        facts={"accuracy": 0.5, "preset": "tiny", "nested": {"a": [1, None, True]}},
    )
    return net, random_stream(net, seed, 2, "random")


@pytest.fixture
def written(tmp_path):
    net, tokens = chain()
    path = tmp_path / "model.net"
    netx.write(net, path, tokens)
    return path


def content(net):
    """Everything a net says: path -> (type, shape, bytes)."""
    return {k: (v.dtype.str, v.shape, v.tobytes()) for k, v in writer.pack(net).items()}


def refusal(path):
    """The line with which a file is refused."""
    with pytest.raises(UserError) as caught:
        netx.read(path)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text
    return text


# --- round trip
# --------------------------------------------------------------------------------------------------------


@given(SEEDS)
@settings(max_examples=25)
def test_round_trip(tmp_path_factory, seed):
    net = random_net(seed)
    tokens = random_stream(net, seed)
    path = tmp_path_factory.mktemp("netx") / "model.net"
    sha = netx.write(net, path, tokens)
    again, golden = netx.read(path), netx.read_golden(path)
    assert content(again) == content(net)
    assert [type(n) for n in again.nodes] == [type(n) for n in net.nodes]
    assert netx.read_digest(path) == sha
    assert np.array_equal(golden.stream.tokens, tokens.tokens)
    assert np.array_equal(golden.stream.which, tokens.which)
    assert netx.golden_differences(golden, netx.make_golden(again, tokens)) == []
    assert (netx.stock_refusal(net) is None) == any(k.startswith("layer/") for k in hdf5.load(path))


def test_reading_gives_the_types_that_the_engine_and_lava_expect(written):
    net = netx.read(written)
    for node in net.nodes:
        assert all(s.weight.dtype == np.int16 for s in node.synapses)
    for node in net.nodes[:-1]:
        assert node.i_decay.dtype == node.bias.dtype == np.int32 and type(node.v_th) is type(node.v_decay) is int
        assert type(node.frame_reset) is bool
    assert net.encoder == {"kernel": [5, 5], "bins": 3} and net.classes == ("left", "right", "none")
    assert net.facts["nested"] == {"a": [1, None, True]}


def test_weights_keep_both_ends_of_their_range(tmp_path):
    net = edge_net()
    netx.write(net, tmp_path / "edge.net")
    weights = [s.weight for n in netx.read(tmp_path / "edge.net").nodes for s in n.synapses]
    assert min(w.min() for w in weights) == -256 and max(w.max() for w in weights) == 254
    assert content(netx.read(tmp_path / "edge.net")) == content(net)


def test_without_golden_input(tmp_path):
    net, _ = chain()
    netx.write(net, tmp_path / "a.net")
    assert netx.read_golden(tmp_path / "a.net") is None and content(netx.read(tmp_path / "a.net")) == content(net)


def test_same_net_same_bytes(tmp_path):
    net, tokens = chain()
    netx.write(net, tmp_path / "a.net", tokens)
    netx.write(net, tmp_path / "b.net", tokens)
    assert (tmp_path / "a.net").read_bytes() == (tmp_path / "b.net").read_bytes()


def test_digest_is_of_the_content_not_of_the_layout(written, tmp_path):
    other = tmp_path / "copy.net"
    with h5py.File(written) as a, h5py.File(other, "w") as b:  # another HDF5 version, other order, no compression
        names = []
        a.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in reversed(names):
            b.create_dataset(name, data=a[name][()], dtype=a[name].dtype)
    assert other.read_bytes() != written.read_bytes()
    assert netx.read_digest(other) == netx.read_digest(written)


def test_digest_is_the_one_that_the_documentation_defines(written):
    text = b""
    with h5py.File(written) as f:
        names = []
        f["smolmamba"].visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and name != "digest" else None
        )
        for name in sorted(names):
            a = f["smolmamba"][name][()]
            text += f"{name}\0{a.dtype.str}\0{','.join(str(n) for n in a.shape)}\0".encode() + a.tobytes()
        assert f["smolmamba/digest"][()].decode() == hashlib.sha256(text).hexdigest()
    assert (
        sorted(names)[0] == "classes"
        and b"node/0/synapse/0/weight\0|i1\0" + b"40,6\0" in text
        and b"schema\0<i8\0\0\2" in text
    )


def test_digest_depends_on_everything():
    net, _ = chain()
    first = net.nodes[0]
    changed = [
        replace(net, facts={}),
        replace(net, classes=("a", "b", "c")),
        replace(net, encoder={}),
        replace(net, tokens=3, frames=4, places=3, orders=None),
        replace(net, places=3),
        replace(net, orders=net.orders[:, ::-1]),
        *(
            replace(net, nodes=(replace(first, **change), *net.nodes[1:]))
            for change in (
                dict(v_th=51),
                dict(v_decay=201),
                dict(frame_reset=True),
                dict(bias=first.bias + 1),
                dict(i_decay=first.i_decay + 1),
                dict(synapses=(Dense("tokens", first.synapses[0].weight[:, ::-1].copy()),)),
            )
        ),
    ]
    digests = {writer.digest(writer.pack(n)) for n in (net, *changed)}
    assert len(digests) == len(changed) + 1


def test_golden_sees_a_changed_net():
    net, tokens = chain()
    golden = netx.make_golden(net, tokens)
    assert all(0 < c for c in golden.counts.values()) and len(golden.spikes) == 2
    slower = replace(net, nodes=(net.nodes[0], replace(net.nodes[1], v_th=2000), net.nodes[2]))
    assert netx.golden_differences(golden, netx.make_golden(slower, tokens)) == ["block1.mix", "out"]


def test_golden_keeps_the_spikes_of_the_last_two_nodes(tmp_path):
    net, tokens = chain(sizes=(6, 20, 15, 7, 3))
    netx.write(net, tmp_path / "a.net", tokens)
    golden, traces = netx.read_golden(tmp_path / "a.net"), run(net, tokens, trace="all").traces
    assert set(golden.spikes) == {"block1.mix", "block2.mix"} and set(golden.counts) == {"block0.mix", *golden.spikes}
    assert all(np.array_equal(golden.spikes[n], traces[n]) for n in golden.spikes)
    assert all(golden.counts[n] == traces[n].sum() for n in golden.counts)
    assert np.array_equal(golden.logits, traces["out"].sum(1))
    assert golden.hashes["out"] == hashlib.sha256(traces["out"].astype("<i4").tobytes()).hexdigest()


def test_large_spike_trains_are_kept_as_hashes_only(tmp_path):
    net, tokens = chain(sizes=(6, 40, 7, 3))
    big = replace(net, frames=40_000)
    netx.write(big, tmp_path / "big.net", random_stream(big, 0, 1, "sparse"))
    golden = netx.read_golden(tmp_path / "big.net")
    assert (
        golden.spikes == {}
        and set(golden.hashes) == {n.name for n in big.nodes}
        and set(golden.counts) == {n.name for n in big.nodes[:-1]}
    )


def test_writing_again_over_a_file_that_is_open(written):
    """Stock netx never closes its file; the name must be free all the same, and no temporary file may stay."""
    net, _ = chain(seed=1)
    with h5py.File(written, "r"):
        netx.write(net, written)
    assert content(netx.read(written)) == content(net)
    assert [p.name for p in written.parent.iterdir()] == ["model.net"]


def test_reading_closes_the_file(written, tmp_path):
    bad = tmp_path / "bad.net"
    bad.write_bytes(written.read_bytes()[:-100])
    for path in (written, bad):
        try:
            netx.read(path)
        except UserError:
            pass
    assert not [
        f for f in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{f}") in (str(written), str(bad))
    ]


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(facts={"x": float("nan")}), "facts must be plain JSON"),
        (dict(encoder={"x": np.int64(1)}), "encoder must be plain JSON"),
    ],
)
def test_what_is_no_json_is_not_written(tmp_path, change, said):
    with pytest.raises(UserError, match=said):
        netx.write(replace(chain()[0], **change), tmp_path / "a.net")
    assert list(tmp_path.iterdir()) == []


def test_bad_names_are_not_written(tmp_path):
    net, _ = chain()
    second = replace(net.nodes[1], synapses=(Dense("a/b", net.nodes[1].synapses[0].weight),))
    odd = replace(net, nodes=(replace(net.nodes[0], name="a/b"), second, net.nodes[2]))
    with pytest.raises(UserError, match="'a/b'"):
        netx.write(odd, tmp_path / "a.net")


def test_missing_folder_and_bad_golden(tmp_path):
    net, tokens = chain()
    with pytest.raises(UserError, match="cannot write"):
        netx.write(net, tmp_path / "none" / "a.net")
    with pytest.raises(UserError, match="spikes are 0 or 1, found 2"):
        netx.write(net, tmp_path / "a.net", Stream(tokens.tokens + 1, tokens.which))


# --- refusals
# ----------------------------------------------------------------------------------------------------------


def test_not_there_and_not_hdf5(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.net")
    (tmp_path / "text.net").write_text("hello")
    assert "not an HDF5 file" in refusal(tmp_path / "text.net")
    (tmp_path / "empty.net").write_bytes(b"")
    assert "not an HDF5 file" in refusal(tmp_path / "empty.net")
    assert "no such file" in refusal(tmp_path)


def test_every_truncation_is_refused(written, tmp_path):
    raw, cut = written.read_bytes(), tmp_path / "cut.net"
    for size in {*range(0, 200, 7), *range(200, len(raw), 401), len(raw) - 1}:
        cut.write_bytes(raw[:size])
        refusal(cut)


@pytest.mark.parametrize("burst", [1, 40])
def test_flipped_bytes_never_give_another_net(written, tmp_path, burst):
    raw, bad, sha = written.read_bytes(), tmp_path / "bad.net", netx.read_digest(written)
    r, refused = np.random.default_rng(burst), 0
    for start in r.integers(0, len(raw), 100):
        damaged = bytearray(raw)
        damaged[start : start + burst] = bytes(b ^ int(r.integers(1, 256)) for b in damaged[start : start + burst])
        bad.write_bytes(damaged)
        try:
            assert netx.read_digest(bad) == sha  # the damage hit bytes that HDF5 does not use
        except UserError as e:
            refused += 1
            assert "\n" not in str(e)
    assert refused > 40


def edit(path, name, data=None, signed=True, **options):
    """Replaces one dataset (or removes it); `signed`: makes the digest fit again, as an attacker would."""
    with h5py.File(path, "a") as f:
        if name in f:
            del f[name]
        if data is not None:
            f.create_dataset(name, data=data, **options)
    if signed:
        own = {k.removeprefix(writer.ROOT): v for k, v in hdf5.load(path).items() if k.startswith(writer.ROOT)}
        with h5py.File(path, "a") as f:
            del f["smolmamba/digest"]
            f.create_dataset("smolmamba/digest", data=np.array(writer.digest(own), "S"))


def i8(x):
    return np.array(x, np.int8)


EDITS = [
    # name, new value, what the refusal says
    ("smolmamba/schema", np.int64(3), "schema version 3, this program reads versions 1 to 2"),
    ("smolmamba/schema", np.float64(1), "smolmamba/schema: is float64"),
    ("smolmamba/tokens", np.int64(0), "smolmamba/tokens: is 0, expected 1 to"),
    ("smolmamba/tokens", np.int64(1 << 40), "smolmamba/tokens: is 1099511627776, expected 1 to"),
    ("smolmamba/frames", None, "smolmamba/frames: missing"),
    ("smolmamba/tokens", np.int64(5), "scan orders are int32 (1, 4), expected integers [orders, 5]"),
    ("smolmamba/places", np.int64(2), "golden/shape: is (2, 12, 6), expected [samples, 6, 6]"),
    ("smolmamba/places", np.int64(5), "sends 5 tokens a frame, expected 1 to 4"),
    ("smolmamba/orders", np.array([[0, 1, 1, 3]], np.int32), "a scan order must name each of the tokens 0..3 once"),
    ("smolmamba/orders", np.zeros((0, 4), np.int32), "smolmamba/orders: has shape (0, 4)"),
    ("smolmamba/input/0/of", np.bytes_("pixels"), "the first input must be named 'tokens'"),
    ("smolmamba/golden/which", np.zeros((2, 12), np.int16), "tokens of a frame must not repeat"),
    ("smolmamba/facts", np.bytes_("{"), "smolmamba/facts: is not JSON"),
    ("smolmamba/facts", np.bytes_('{"a": NaN}'), "smolmamba/facts: is not JSON"),
    ("smolmamba/facts", np.bytes_("[" * 100_000), "smolmamba/facts: is not JSON"),
    ("smolmamba/facts", np.bytes_("[1]"), "smolmamba/facts: is a JSON list, expected dict"),
    ("smolmamba/classes", np.bytes_("[1]"), "smolmamba/classes: expected a list of names"),
    (
        "smolmamba/node/0/type",
        np.bytes_("gru"),
        "smolmamba/node/0/type: unknown layer type 'gru', expected one of cuba, token_gate, reverse, readout",
    ),
    ("smolmamba/node/0/name", np.bytes_("a b"), "smolmamba/node/0/name: 'a b' is not a name"),
    ("smolmamba/node/0/name", np.bytes_("tokens"), "layer 'tokens': name used twice"),
    ("smolmamba/node/0/v_th", np.int64(1 << 17), "smolmamba/node/0/v_th: is 131072, expected 0 to 131071"),
    ("smolmamba/node/0/v_decay", np.int64(-1), "smolmamba/node/0/v_decay: is -1, expected 0 to 4096"),
    ("smolmamba/node/0/frame_reset", np.uint8(2), "smolmamba/node/0/frame_reset: is 2, expected 0 or 1"),
    ("smolmamba/node/0/bias", np.zeros(39, np.int16), "layer 'block0.mix': bias has shape (39,), expected (40,)"),
    ("smolmamba/node/0/bias", np.full(40, 5000, np.int16), "layer 'block0.mix': bias outside -4096..4095"),
    ("smolmamba/node/0/bias", np.full(40, np.nan), "smolmamba/node/0/bias: is float64"),
    ("smolmamba/node/0/i_decay", np.zeros(40, np.int16), "layer 'block0.mix': i_decay outside 1..4096"),
    (
        "smolmamba/node/0/synapse/0/weight",
        np.zeros((40, 6), np.float32),
        "smolmamba/node/0/synapse/0/weight: is float32 with 2 dimensions, expected int8 with 2",
    ),
    ("smolmamba/node/0/synapse/0/weight", np.zeros((40, 6), np.int16), "smolmamba/node/0/synapse/0/weight: is int16"),
    ("smolmamba/node/0/synapse/0/weight", np.zeros((40, 6), np.uint8), "smolmamba/node/0/synapse/0/weight: is uint8"),
    (
        "smolmamba/node/0/synapse/0/weight",
        np.zeros(240, np.int8),
        "smolmamba/node/0/synapse/0/weight: is int8 with 1 dimensions, expected int8 with 2",
    ),
    (
        "smolmamba/node/0/synapse/0/weight",
        np.zeros((0, 6), np.int8),
        "smolmamba/node/0/synapse/0/weight: has shape (0, 6)",
    ),
    (
        "smolmamba/node/0/synapse/0/weight",
        i8(np.ones((40, 5))),
        "layer 'block0.mix': weight from 'tokens' has 5 columns, the source has 6 neurons",
    ),
    (
        "smolmamba/node/0/synapse/0/weight",
        i8(np.ones((41, 6))),
        "layer 'block0.mix': i_decay has shape (40,), expected (41,)",
    ),
    ("smolmamba/node/0/synapse/0/weight", i8(np.full((40, 6), 3)), "layer/0/weight: contradicts 'smolmamba'"),
    (
        "smolmamba/node/0/synapse/0/source",
        np.bytes_("nobody"),
        "layer 'block0.mix': source 'nobody' is not defined before it",
    ),
    (
        "smolmamba/node/1/synapse/0/source",
        np.bytes_("phase"),
        "layer 'block1.mix': source 'phase' is not defined before it",
    ),
    ("smolmamba/node/1/synapse/3/source", np.bytes_("tokens"), "smolmamba/node/1/synapse/1/weight: missing"),
    (
        "smolmamba/golden/logits",
        np.zeros((1, 3), np.int64),
        "smolmamba/golden/logits: has shape (1, 3), expected (2, 3)",
    ),
    ("smolmamba/golden/tokens", np.zeros(17, np.uint8), "smolmamba/golden/tokens: has 17 bytes, expected 18"),
    ("smolmamba/golden/shape", np.array([1 << 40, 12, 6]), "smolmamba/golden/shape: is"),
    ("smolmamba/golden/node/0/name", np.bytes_("x"), "smolmamba/golden/node/0/name: is 'x', expected 'block0.mix'"),
    ("smolmamba/extra", np.int64(1), "smolmamba/extra: unknown content"),
    ("layer/0/weight", np.zeros((40, 6), np.float32), "layer/0/weight: contradicts 'smolmamba'"),
    ("layer/0/bias", None, "layer/0/bias: missing"),
    ("layer/0/neuron/type", np.bytes_("LOIHI"), "layer/0/neuron/type: contradicts 'smolmamba'"),
    ("layer/2/type", np.array([b"dense"], "S10"), "layer/2/type: unexpected"),
    ("other", np.int64(1), "other: unexpected"),
]


@pytest.mark.parametrize("name, data, said", EDITS, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(EDITS)])
def test_edited_files_are_refused_by_name(written, name, data, said):
    edit(written, name, data)
    assert said in refusal(written)


@pytest.mark.parametrize("name", ["a\nb", "\N{SNOWMAN}", b"\xff"])
def test_odd_names_inside_are_refused(written, name):
    with h5py.File(written, "a") as f:
        f["smolmamba"].create_dataset(name, data=1)
    assert "smolmamba/: has an entry named" in refusal(written)


def test_an_unsigned_edit_fails_the_digest(written):
    edit(written, "smolmamba/node/0/v_th", np.int64(49), signed=False)
    assert "does not match its digest" in refusal(written)


def test_object_types_and_links_are_never_followed(written, tmp_path):
    with h5py.File(written, "a") as f:
        f.create_dataset("smolmamba/objects", data=np.array([b"a", b"bb"], object), dtype=h5py.string_dtype())
    assert "smolmamba/objects: has type object, expected plain numbers or bytes" in refusal(written)
    for link in (h5py.SoftLink("/layer"), h5py.ExternalLink("/etc/passwd", "/")):
        netx.write(*chain()[:1], written)
        with h5py.File(written, "a") as f:
            f["smolmamba/link"] = link
        assert "smolmamba/link: is a link to elsewhere" in refusal(written)
    netx.write(*chain()[:1], written)
    (tmp_path / "raw").write_bytes(bytes(8))
    with h5py.File(written, "a") as f:
        f.create_dataset("smolmamba/raw", (1,), "i8", external=[(str(tmp_path / "raw"), 0, 8)])
    assert "smolmamba/raw: is stored in other files" in refusal(written)
    netx.write(*chain()[:1], written)
    with h5py.File(written, "a") as f:
        f["smolmamba/loop"] = f["smolmamba"]
    assert "smolmamba: has several names in the file" in refusal(written)


def test_nothing_huge_is_allocated(written):
    with h5py.File(written, "a") as f:
        del f["smolmamba/node/0/synapse/0/weight"]
        f.create_dataset(
            "smolmamba/node/0/synapse/0/weight", (1 << 20, 1 << 20), "i1", chunks=(1024, 1024), compression="gzip"
        )  # a terabyte of zeros
    assert "is too large" in refusal(written)
    with h5py.File(written, "a") as f:
        del f["smolmamba/node/0/synapse/0/weight"]
        for i in range(3):
            f.create_dataset(f"smolmamba/part{i}", (1 << 29,), "i1", chunks=(1 << 20,), compression="gzip")
    assert "unpack to 1536 MiB" in refusal(written)


def to_schema_1(path, kind=None):
    """The file as release 0.1 wrote it: the phase is not named, all tokens are sent in the order of their numbers."""
    for name in ("places", "orders", "golden/which", "input/0/of", "input/1", "input/2"):
        edit(path, f"smolmamba/{name}", signed=False)
    if kind:
        edit(path, "smolmamba/node/0/type", np.bytes_(kind), signed=False)
    edit(path, "smolmamba/schema", np.int64(1))


def test_files_of_the_first_schema(tmp_path):
    """A net without the parts that are gone is read as it was meant; the others are refused by one line."""
    net, _ = chain()
    first, second, out = net.nodes
    both = replace(second, synapses=(*second.synapses, Dense("phase", np.full((7, 4), 128, np.int16))))
    net = replace(net, nodes=(first, both, out), inputs=(*net.inputs, Input("phase", 4, of=PHASE)))
    path = tmp_path / "old.net"
    netx.write(net, path, full_stream(net))
    to_schema_1(path)
    again = netx.read(path)
    assert content(again) == content(net)
    golden = netx.read_golden(path)
    assert netx.golden_differences(golden, netx.make_golden(again, golden.stream)) == []
    for kind, says in (
        ("token_gate", "a token gate that counts over frames is of release 0.1"),
        ("reverse", "a reversal"),
    ):
        to_schema_1(path, kind)
        assert "layer 'block0.mix': " + says in refusal(path) and "train and export the net again" in refusal(path)


def full_stream(net):
    """Two samples in which all tokens are sent."""
    r = np.random.default_rng(0)
    return full(net, (r.random((2, net.steps, net.inputs[0].size)) < 0.5).astype(np.uint8))


def test_a_slayer_export_is_no_artifact(tmp_path):
    with h5py.File(tmp_path / "slayer.net", "w") as f:
        f.create_dataset("layer/0/type", data=np.array([b"input"], "S10"))
    assert "has no group 'smolmamba'" in refusal(tmp_path / "slayer.net")


# --- describing
# --------------------------------------------------------------------------------------------------------


def test_describe():
    weight = np.array([[4, 0, -8, 4]], np.int16)
    synapses = (Dense("tokens", weight), Dense("phase", weight[:, :2]))
    net = Net(
        (
            Cuba("a", synapses, np.array([7], np.int32), np.array([-3], np.int32), 5, 6, True),
            Readout("out", (Dense("a", np.array([[254], [-256]], np.int16)),)),
        ),
        (Input("tokens", 4), Input("phase", 2, of=PHASE)),
        2,
        1,
    )
    described = netx.describe(net)
    assert described == [
        {"type": "input", "name": "tokens", "sources": [], "shape": [4], "of": "tokens", "backward": False},
        {"type": "input", "name": "phase", "sources": [], "shape": [2], "of": "phase", "backward": False},
        {
            "type": "cuba",
            "name": "a",
            "sources": ["tokens", "phase"],
            "shape": [1],
            "frame_reset": True,
            "threshold": 6,
            "i_decay": [7],
            "v_decay": 5,
            "bias": [-3, -3],
            "weight_bits": 2,
            "synapses": 6,
            "nonzero": 4,
            "parameters": 7,
        },
        {
            "type": "readout",
            "name": "out",
            "sources": ["a"],
            "shape": [2],
            "weight_bits": 8,
            "synapses": 2,
            "nonzero": 2,
            "parameters": 2,
        },
    ]
    assert json.loads(json.dumps(described)) == described


@given(SEEDS)
@settings(max_examples=20)
def test_describe_is_json_for_every_net(seed):
    net = random_net(seed)
    assert len(json.loads(json.dumps(netx.describe(net)))) == len(net.inputs) + len(net.nodes)


@pytest.mark.parametrize(
    "weights, bits",
    [
        ([0, 0], 0),
        ([2], 2),
        ([-2], 1),
        ([-256, 254], 8),
        ([-256, 0], 1),
        ([-4, 2], 2),
        ([-6, 2], 3),
        ([-4, 4], 2),
        ([6], 3),
    ],
)
def test_weight_bits(weights, bits):
    assert weight_bits([np.array([weights])]) == bits


def test_reading_needs_neither_torch_nor_lava(written):
    code = (
        f"import sys; from sim import netx; netx.read({str(written)!r}); sys.exit(any(m.split('.')[0] in ('torch',"
        " 'lava') for m in sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2], timeout=120).returncode
        == 0
    )

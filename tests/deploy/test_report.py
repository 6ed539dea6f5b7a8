"""The report: what it shows is what was measured, it needs nothing but itself, nothing in a file becomes markup."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import chains
import numpy as np
import pytest
from commands import deploy, digits_net, refused
from nets import random_net, random_stream, weights
from PIL import Image

import events
from deploy import samples as sources
from deploy.chip import board
from deploy.chip.plan import plan
from deploy.report import Asked, first, measure, page, parts
from deploy.report.beside import beside
from deploy.report.content import export_parity
from deploy.report.film import choose, films, painted
from deploy.report.markup import data, escape, quantity, tag
from deploy.report.png import COLOURS, data_uri, joined
from deploy.report.sweep import sweep
from deploy.report.trace import of_chain, of_net
from deploy.run import run
from deploy.verify import verify
from sim import engine, netx
from sim.base.errors import UserError
from sim.netx import export_record
from sim.sequential import DenseLayer, InputLayer, Neuron
from sim.sequential.graph import Edge, Graph, Node

HOSTILE = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


class Checked(HTMLParser):
    """Every element that is opened is closed, in order; notes elements, ids, texts and addresses."""

    VOID = {"meta", "link", "br", "img"}

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.ids, self.addresses, self.text, self.handlers = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        named = dict(attrs)
        assert len(named) == len(attrs), (tag, attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action", "srcset")]
        self.handlers += [k for k in named if k.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def checked(text):
    """The page, parsed; it is self-contained, small, and its ids are there once."""
    found = Checked(text)
    assert len(text.encode()) < 5_000_000
    assert all(a.startswith("data:") for a in found.addresses), found.addresses
    assert not re.search(r"https?://", text) and "@import" not in text and "url(" not in text
    assert found.handlers == [] and len(set(found.ids)) == len(found.ids)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("report")
    net = digits_net()
    netx.write(net, path / "model.net", golden=sources.from_dataset(net, None, "val", None, 1).streams(0, 1))
    return path


@pytest.fixture(scope="module")
def report(folder):
    """Of an untrained net, without Lava."""
    return made(folder / "model.net", digits_net())


def made(path, net, n=40):
    taken = sources.from_dataset(net, "digits", "test", None, n)
    found = parts.of_run(parts.start(path, net), net, taken, run(net, taken).to_json())
    found = parts.of_verify(found, verify(path, executors=("engine",)))
    return replace(found, plan=plan(net, board.load("oheo-gulch"), x=taken.streams(0, 2), data="2 samples"))


def test_the_record_of_the_export_is_told_only_if_it_holds():
    same = dict(samples=20, compared=9, differences=0)
    assert export_parity({"parity": same | dict(first_difference=None)}) == same
    for record in (None, [], {}, {"parity": 3}, {"parity": dict(samples="a")}):
        assert export_parity(record) is None
    assert "SLAYER, on 20 samples" in first._slayer({"parity": same})
    assert first._slayer({"parity": same | dict(differences=1)}) == first._slayer(None) == ""


def test_page_shows_what_was_measured(report):
    text = page(report)
    found = checked(text)
    assert {"film", "traces", "confusion", "energy", "chip", "layers", "parity", "again"} <= set(found.ids)
    shown = " ".join(found.text)
    a, c = report.accuracy, report.plan.costs
    cost = c.energy["loihi1-davies2018"]
    for expected in (
        f"{100 * a.value:.1f} %",
        f"{a.right} of 40 samples of digits (test)",
        f"{report.parity.compared:,} values were compared (neurons x time steps x samples, each executor with the"
        " first), 0 differ",
        f"≈ {quantity(cost.energy_j_per_sample, 'J', 2)}",
        f"≈ {quantity(cost.seconds_per_sample, 's', 2)}",
        "All executors give the same spikes on 1 sample; fits Oheo Gulch, one Loihi 2 chip; no chip has run it.",
        f"{report.counted.spikes:,.0f}",
        f"{report.plan.placed.cores_used}",
        "prices of loihi1-davies2018",
        "Measured",
        "Estimated",
        report.digest,
    ):
        assert expected in shown, expected
    assert report.confusion.sum() == 40 and np.trace(report.confusion) == a.right
    assert report.confusion.sum(1).tolist() == np.bincount(report.raw["fast"]["labels"], minlength=10).tolist()
    assert found.elements.count("image") == len(report.films) * report.films[0].frames.shape[0] > 0


def test_what_is_not_measured_is_not_shown(folder):
    net = digits_net()
    found = checked(page(parts.start(folder / "model.net", net)))
    assert not {"film", "traces", "confusion", "curves", "energy", "chip", "parity", "training"} & set(found.ids)
    assert "nothing was run" in " ".join(found.text)


def test_every_figure_of_the_first_screen_is_explained(report):
    first = page(report).split("<section", 1)[1].split('id="film"')[0]
    tiles = re.findall(r'class="tile" title="([^"]+)"', first)
    assert len(tiles) == 6 and all(len(t) > 60 for t in tiles)
    assert first.count('class="explained"') == first.count('class="tag ') == 6


def test_names_of_a_file_stay_text(tmp_path):
    """Classes, layers, facts, the path: hostile ones are shown as they are, and open nothing."""
    net = digits_net()
    rename = {n.name: f"{n.name}{HOSTILE}" for n in net.nodes}
    nodes = tuple(
        replace(
            n,
            name=rename[n.name],
            synapses=tuple(replace(s, source=rename.get(s.source, s.source)) for s in n.synapses),
        )
        for n in net.nodes
    )
    net = replace(net, nodes=nodes, classes=tuple(f"{i}{HOSTILE}" for i in range(10)), facts={HOSTILE: HOSTILE})
    x = sources.from_dataset(digits_net(), "digits", "test", None, 6)
    path = tmp_path / "<b>&quot;'x.net"
    netx.write(digits_net(), path)
    plain, hostile = (
        page(
            replace(
                parts.of_run(parts.start(path, n), n, x, run(n, x).to_json()), plan=plan(n, board.load("oheo-gulch"))
            )
        )
        for n in (digits_net(), net)
    )
    a, b = checked(plain), checked(hostile)
    assert b.elements.count("script") == a.elements.count("script") == 2 and "img" not in b.elements
    assert "b" in b.elements and a.elements.count("b") == b.elements.count("b")
    assert HOSTILE in "".join(b.text) and str(path) in "".join(b.text)
    layers = json.loads(re.search(r'id="traces-data">(.*?)</script>', hostile, re.S)[1])[0]["layers"]
    assert layers[-1]["name"] == f"out{HOSTILE}"


def test_markup():
    assert tag("p", "<", tag("b", "&"), None, [1], class_='a"b', hidden=True, id=None) == (
        '<p class="a&quot;b" hidden>&lt;<b>&amp;</b>1</p>'
    )
    assert escape("a\x1b[31m\x00") == "a\ufffd[31m\ufffd"
    assert "<" not in data("x", "</script>&\u2028")[len('<script type="application/json" id="x">') : -len("</script>")]
    assert [quantity(v, "s", 2) for v in (0.000422, 8.013e-6, 0.9996)] == ["420 µs", "8 µs", "1 s"]
    assert [quantity(v, "J") for v in (0.000235, 8.013e-6, 1.5, 0, 2.5e-13, 0.9996)] == (
        ["235 µJ", "8.01 µJ", "1.5 J", "0 J", "0.25 pJ", "1 J"]
    )


def test_pictures():
    """The PNG says what the pixels are; joining keeps every event."""
    pixels = np.random.default_rng(0).integers(0, 2, (2, 7, 13)).astype(np.uint8)
    import base64

    image = Image.open(io.BytesIO(base64.b64decode(data_uri(pixels).split(",")[1]))).convert("RGBA")
    seen = np.array(image)
    which = pixels[1] + 2 * pixels[0]
    assert (seen[..., 3] == np.where(which == 0, 0, 255)).all()
    assert all((seen[which == k][:, :3] == COLOURS[k]).all() for k in (1, 2, 3))
    big = np.zeros((1, 2, 200, 300), np.uint8)
    big[0, 1, 199, 299] = 1
    small, by = joined(big)
    assert by == 4 and small.shape == (1, 2, 50, 75) and small.sum() == small[0, 1, 49, 74] == 1


@pytest.mark.parametrize("changes", [{}, dict(window=5), dict(stride=5, window=8), dict(window=4)])
def test_frames_can_be_painted_from_tokens(changes):
    """Where all tokens are sent, painting gives the frames back."""
    encoder = replace(events.default_encoder("digits"), places=0, **changes)
    recording = events.load("digits", "test").events[0]
    assert np.array_equal(painted(encoder, encoder.encode(recording)), encoder.frames_of(recording))


def test_films_end_with_the_nets_answer():
    net = digits_net()
    taken = sources.from_dataset(net, None, "test", None, 20)
    result = run(net, taken).to_json()
    shown = films(net, taken, range(5))
    assert [f.predicted for f in shown] == result["predictions"][:5]
    assert [f.scores[-1].tolist() for f in shown] == result["outputs"][:5]
    x = taken.streams(0, 5)
    assert sum(int(f.sent.sum()) for f in shown) == x.sent
    assert choose([1, 1, 2, 3, 0, 7], [1, 1, 2, 0, 0, 0]) == [0, 2, 4, 3, 5]
    assert choose([4, 5], None) == [0, 1]


@pytest.mark.parametrize("seed", range(12))
def test_states_are_those_of_the_chip(seed):
    """u and v of every watched neuron lead to the engine's spikes: resets at frames, views backward, the 24-bit edge
    included; and after the last step they are what the engine's session holds next."""
    net, title = random_net(seed), "x"
    x = random_stream(net, seed)
    found = of_net(net, x[:1], title)
    ran = engine.run(net, x[:1], trace="all").traces
    for layer in found.layers:
        assert np.array_equal(layer.spikes, ran[layer.name][0][: len(layer.spikes)][:, layer.neurons])
        if layer.states:
            fired = ran[layer.name][0][: len(layer.spikes)][:, layer.watched] != 0
            assert set(layer.states) == {"u", "v"}
            assert (layer.states["v"][fired] == 0).all() and (layer.states["v"][~fired] <= layer.threshold).all()


def test_a_wrong_spike_is_seen(monkeypatch):
    net = digits_net()
    x = sources.from_dataset(net, None, "test", None, 1).streams(0, 1)
    true = engine.run

    def wrong(*args, **kwargs):
        out = true(*args, **kwargs)
        out.traces["bank"] = 1 - out.traces["bank"]
        return out

    monkeypatch.setattr(engine, "run", wrong)
    with pytest.raises(RuntimeError, match="layer bank, step 0"):
        of_net(net, x, "x")


def test_large_nets_are_cut_to_size():
    """Long samples and wide layers: the page says so and stays below its size."""
    net = random_net(3)
    net = replace(net, frames=4000)
    x = random_stream(net, 1)
    found = of_net(net, x[:1], "long")
    assert len(found.empty) < net.steps == found.steps


def test_energy_by_layer_adds_up(report):
    for cost in report.plan.costs.energy.values():
        parts_ = [j for own in cost.energy_j_by_layer.values() for j in own.values()]
        assert sum(parts_) == pytest.approx(cost.energy_j_per_sample, rel=1e-12)
    counts = report.plan.costs.counts
    for name in ("synops", "graded_synops", "zero_synops", "active_updates", "inactive_updates", "messages", "spikes"):
        total = sum(n[name] for own in counts.parts.values() for n in own.values())
        assert total == pytest.approx(getattr(counts, name), rel=1e-12)
    assert counts.parts["stem"]["input"]["synops"] > 0 == counts.parts["stem"]["synapses"]["synops"]
    assert counts.parts["bank"]["synapses"]["synops"] > 0


def test_fewer_tokens(folder):
    net = digits_net()
    taken = sources.from_dataset(net, None, "test", None, 30)
    curve = sweep(net, taken, Asked())
    assert [p.label for p in curve.points] == ["K = 2", "K = 4", "K = 6", "K = 8", "K = 10"]
    whole = engine.run(net, taken.streams(0, 30))
    assert curve.points[-1].here and curve.points[-1].accuracy == (whole.predictions == taken.labels).mean()
    kept = [p.kept for p in curve.points]
    assert kept == sorted(kept) and kept[-1] == whole.sent / (30 * net.frames * net.tokens)
    assert [p.uj for p in curve.points] == sorted(p.uj for p in curve.points)
    with pytest.raises(UserError, match="--golden"):
        sweep(net, sources.from_golden(folder / "model.net", None), Asked())
    with pytest.raises(UserError, match="sends all of them"):
        sweep(digits_net(places=0), taken, Asked())


def test_beside(tmp_path):
    """Log, curve and record of the export are read if they are the net's, and refused if they are damaged."""
    net = digits_net()
    place = tmp_path / "uj-7/seed1/model.net"
    place.parent.mkdir(parents=True)
    digest = netx.write(net, place)
    (place.parent / "log.jsonl").write_text('{"epoch": 0, "phase": "float", "train": 0.5, "val": 0.6}\n' * 3)
    row = dict(variant="7 uJ", integer_val=[0.9, 0.01], uj=[7.1, None], kept=[0.5, None])
    own = dict(folder="uj-7", runs=[dict(config=dict(prices="loihi1-davies2018"))])
    (tmp_path / "curve.json").write_text(json.dumps(dict(rows=[row], runs=[own])))
    record = dict(
        digest=digest,
        n=60,
        dataset="digits",
        split="val",
        accuracy={k: dict(value=0.9, interval=[0.8, 0.95]) for k in ("float", "integer")},
        float_to_integer=dict(difference=-0.01, interval=[-0.02, 0.0]),
        layers=[dict(layer="stem", weight_error=0.01, saturated=0.0, weights_before=[1] * 32)],
    )
    export_record(place).write_text(json.dumps(record))
    found = beside(place, digest)
    assert len(found.log) == 3 and found.export == record and found.curves[0].points[0].here
    text = page(parts.start(place, net))
    assert {"curves", "training"} <= set(checked(text).ids) and "-1.00 points" in text and "7 uJ" in text
    assert beside(place, "another").export is None
    for name in ("uj-7/seed1/log.jsonl", "curve.json", "uj-7/seed1/model.export.json"):
        before = (tmp_path / name).read_text()
        for wrong in ("{", '{"rows": [1], "runs": [2], "epoch": "x"}'):
            (tmp_path / name).write_text(wrong)
            if wrong == "{" and "log" in name:  # a line that a killed training left half-written
                assert beside(place, digest).log == ()
            elif wrong == "{" or "export" not in name:
                with pytest.raises(UserError, match=name.rsplit("/", 1)[-1]):
                    beside(place, digest)
        (tmp_path / name).write_text(before)


def test_a_damaged_record_of_the_export_is_said(tmp_path):
    digest = netx.write(digits_net(), tmp_path / "model.net")
    export_record(tmp_path / "model.net").write_text(json.dumps(dict(digest=digest, accuracy=3, layers=[])))
    assert "record of the export beside the net is damaged" in page(parts.start(tmp_path / "model.net", digits_net()))


@pytest.mark.parametrize("seed", range(4))
def test_nets_of_others(tmp_path, monkeypatch, seed):
    """A chain of sigma-delta layers: made-up samples without cost, or the user's array with it."""
    net, r = chains.random_net(seed)
    monkeypatch.setattr(netx, "load", lambda path: net)
    place = tmp_path / "other.net"
    place.write_bytes(b"x")
    made_up = measure(place, Asked(executors=("engine", "steps")))
    assert made_up.parity.holds and made_up.accuracy is None and made_up.plan.costs is None
    found = checked(page(made_up))
    assert {"traces", "layers", "parity", "chip"} <= set(found.ids) and "energy" not in found.ids
    x = r.integers(-20, 20, (3, 12, *net.layers[0].shape))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.zeros(3, int))
    given = measure(
        place, Asked(input=str(tmp_path / "x.npy"), labels=str(tmp_path / "y.npy"), executors=("engine", "steps"))
    )
    assert given.accuracy.n == 3 and given.plan.costs is not None and given.confusion.sum() == 3
    assert {"energy", "confusion"} <= set(checked(page(given)).ids)
    trace, expected = of_chain(net, x, "x"), net.run(x[:1])
    for layer in trace.layers:
        flat = expected[layer.name][0].reshape(12, -1)[: len(layer.spikes)]
        assert np.array_equal(layer.spikes, flat[:, layer.neurons])


def small_graph():
    """Two nodes, of which the second also hears itself, two steps late."""
    r = np.random.default_rng(2)
    neurons = [Neuron(np.full(n, 600, np.int32), 200, 100, np.zeros(n, np.int32)) for n in (5, 4)]
    first = Node("a", (Edge("in", DenseLayer("a", weights(r, 5, 3), neurons[0])),))
    loops = (
        Edge("a", DenseLayer("b", weights(r, 4, 5), neurons[1])),
        Edge("b", DenseLayer("b", weights(r, 4, 4), neurons[1]), 2),
    )
    return Graph(InputLayer("in", (3,)), (first, Node("b", loops)), "b")


def test_graphs(tmp_path, monkeypatch):
    """Nodes with several edges and loops."""
    net = small_graph()
    monkeypatch.setattr(netx, "load", lambda path: net)
    place = tmp_path / "graph.net"
    place.write_bytes(b"x")
    found = measure(place, Asked(executors=("engine", "steps")))
    assert found.parity.holds and found.plan.fits
    assert {"traces", "layers", "parity", "chip"} <= set(checked(page(found)).ids)
    assert {layer.name for layer in found.traces[0].layers if layer.states} == {"a", "b"}


def test_pages_of_other_commands(folder):
    """`--html` of run, verify and plan: each shows what it found, and nothing else."""
    for arguments, there, missing in (
        (
            ("run", "model.net", "--backend", "fast", "--limit", "8"),
            {"film", "traces", "confusion"},
            {"parity", "chip"},
        ),
        (("verify", "model.net", "--executors", "engine"), {"parity"}, {"film", "chip"}),
        (("plan", "model.net"), {"energy", "chip"}, {"film", "parity"}),
    ):
        plain = deploy(folder, *arguments)[0]
        assert deploy(folder, *arguments, "--html", "page.html")[0].split()[:6] == plain.split()[:6]
        found = checked((folder / "page.html").read_text())
        assert there <= set(found.ids) and not missing & set(found.ids)
        (folder / "page.html").unlink()
    assert "--html" in refused(folder, "verify", "--random", "3", "--html", "page.html")
    run_on = "run", "model.net", "--backend", "fast", "--run-on", "--html", "page.html"
    assert "--html" in refused(folder, *run_on)


def test_mistakes(folder):
    assert "for nets that SLAYER or NIR made" in refused(folder, "report", "model.net", "--input", "x.npy")
    assert "leave out --golden" in refused(folder, "report", "model.net", "--golden", "--sweep")
    assert "no board" in refused(folder, "report", "model.net", "--board", "none", "--golden")


def test_every_resource_of_a_core_is_explained():
    """The bottleneck on the first screen can be any of them."""
    from deploy.chip import allocate, board
    from deploy.report import first

    assert set(first._MEANS) == set(allocate.limits(board.load("oheo-gulch")))

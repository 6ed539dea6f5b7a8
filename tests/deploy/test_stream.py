"""Frames one at a time must be what whole samples are; the player must keep to its clock; sources must give all events
once, and say what is wrong.
"""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import event_files
import numpy as np
import pytest
from commands import deploy, digits_net, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import differences, edge_net, random_net, random_stream, weights
from rich.console import Console

import events
from deploy import samples
from deploy.live import display, sources
from deploy.live.player import Classifier, Decision, Player, one_thread, recorder
from deploy.live.summary import RECENT, Tally
from events import EVENT, Encoder, formats
from sim import engine, netx
from sim.base.errors import UserError
from sim.engine.session import Session
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout


def pieces(net, x, cuts):
    """Read-out and traces of a session that is given `x` in pieces that end at these frames."""
    session, logits, traces = Session(net, len(x)), 0, []
    for begin, end in zip((0, *cuts), (*cuts, net.frames)):
        out, trace = session.run(x.window(begin * net.places, end * net.places), "all")
        logits = logits + out
        traces.append(trace)
    return logits, {name: np.concatenate([t[name] for t in traces], 1) for name in traces[0]}, session


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.data())
def test_piece_by_piece_equals_whole(seed, data):
    """All nodes, all steps, any cuts: views backward, scan orders, resets at frames."""
    net = random_net(seed)
    net = replace(net, frames=data.draw(st.integers(len(net.orders), 6)))
    x = random_stream(net, seed)
    cuts = sorted(data.draw(st.sets(st.integers(1, net.frames - 1)))) if net.frames > 1 else []
    expected = engine.run(net, x, "all")
    logits, traces, session = pieces(net, x, cuts)
    differences(expected.traces, traces, f"seed {seed}, cuts {cuts}")
    assert (logits == expected.logits).all()
    again = session.reset() or session.run(x, "all")  # after a reset nothing of the past is left
    differences(expected.traces, again[1], f"seed {seed}, after a reset")


def test_every_kind_of_node_frame_by_frame():
    """Not left to chance: one net with all kinds of node, states that matter from frame to frame, and the 24-bit
    edge.
    """
    r = np.random.default_rng(3)
    cuba = lambda name, source, n, **k: Cuba(  # noqa: E731
        name,
        (Dense(source, weights(r, 6, n)), Dense(PHASE, weights(r, 6, 3))),
        np.full(6, 20, np.int32),  # noqa: E731
        np.full(6, 9, np.int32),
        30,
        400,
        **k,
    )
    nodes = (
        cuba("a", TOKENS, 4),
        cuba("b", "a", 6, frame_reset=True),
        cuba("c", "back", 4),
        Readout("out", (Dense("b", weights(r, 3, 6)), Dense("c", weights(r, 3, 6)))),
    )
    inputs = Input(TOKENS, 4), Input(PHASE, 3, of=PHASE), Input("back", 4, backward=True)
    net = Net(nodes, inputs, 3, 7, 2, np.array([[0, 1, 2], [2, 1, 0]]))
    for net in (net, edge_net(6, 1000)):  # noqa: B020
        x = random_stream(net, 1, kind="random")
        expected = engine.run(net, x, "all")
        _, traces, _ = pieces(net, x, range(1, net.frames))
        differences(expected.traces, traces, "frame by frame")
        frames = [x.window(i, i + net.places) for i in range(0, net.steps, net.places)]
        alone = replace(net, frames=2)
        forgetful = sum(
            Session(replace(alone, orders=net.orders[t % len(net.orders)][None]), len(x)).run(part)[0]
            for t, part in enumerate(frames)
        )
        assert (forgetful != expected.logits).any()  # the test can tell a session that forgets


@pytest.mark.parametrize("shape", [(1, 17, 128), (2, 16, 128), (1, 16, 7), (1, 0, 128), (16, 128)])
def test_session_refuses_other_shapes(shape):
    with pytest.raises(UserError, match="the net takes"):
        Session(digits_net(places=0)).run(np.zeros(shape, np.uint8))


class Steps:
    """A clock that only moves when somebody sleeps, or when a frame is run: by the times given."""

    def __init__(self, busy):
        self.time, self.busy, self.slept = 100.0, list(busy), []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds


def clip(seed=0, frames=6, n=4000):
    """Events of the embedded digits' geometry, spread over so many frames of 50 ms."""
    r = np.random.default_rng(seed)
    e = np.zeros(n, EVENT)
    e["x"], e["y"], e["p"], e["t"] = (
        r.integers(0, 16, n),
        r.integers(0, 16, n),
        r.integers(0, 2, n),
        np.sort(r.integers(0, frames * 50_000, n)),
    )
    e["t"][0] = 0
    return e


def source(e, size=(16, 16)):
    return sources.FileSource("clip", e, size)


def played(classifier, src, busy=(), **options):
    """(decisions, player) on a clock on which frame i keeps the machine busy for `busy[i]` s."""
    clock = Steps(busy)
    run = classifier.frame

    def frame(e):
        clock.time += clock.busy.pop(0) if clock.busy else 0.0
        return run(e).copy()

    classifier.frame = frame
    player = Player(classifier, src, clock=clock, **options)
    return list(player), player


def test_a_stream_is_a_sample():
    """After T frames the scores are those of the whole recording; before, those of its beginning."""
    net = digits_net()
    e = clip()
    made, _ = played(Classifier(net), source(e))
    x = Encoder(**net.encoder).encode(e)
    for t in (1, 3, 6):
        expected = engine.run(replace(net, frames=t, orders=net.orders[:t]), x.window(0, t * net.places)).logits[0]
        assert made[t - 1].scores == expected.tolist() and made[t - 1].label == expected.argmax()
    assert [d.frame for d in made] == list(range(6)) and sum(d.events for d in made) == len(e)
    assert len({tuple(d.scores) for d in made}) == 6  # the net is not silent


@pytest.mark.parametrize("window", [None, 0, 1, 2, 20])
@pytest.mark.parametrize("reset", [True, False])
def test_longer_than_a_sample(window, reset):
    """Eleven frames, T = 6: what is summed, and what the states know."""
    net, e = digits_net(), clip(1, 11)
    enc = replace(Encoder(**net.encoder), frames=11)
    late = e[e["t"] >= 6 * 50_000].copy()
    late["t"] -= 6 * 50_000
    first = replace(enc, frames=6)
    parts = [first.encode(e), replace(enc, frames=5).encode(late)] if reset else [enc.encode(e)]
    rows = np.concatenate(
        [engine.run(replace(net, frames=p.steps // net.places), p, ["out"]).traces["out"][0] for p in parts]
    )
    per_frame = rows.reshape(11, net.places, -1).sum(1)
    made, _ = played(Classifier(net, window, reset), source(e), speed=0)
    last = 6 if window is None else window or 99
    assert [d.scores for d in made] == [per_frame[max(0, k + 1 - last) : k + 1].sum(0).tolist() for k in range(11)]


def test_clock_of_a_fast_machine():
    """Each frame runs when it is complete, 50 ms apart, or at double speed 25 ms; latency counts from there."""
    for speed in (1.0, 2.0):
        made, player = played(Classifier(digits_net()), source(clip()), [0.01] * 6, speed=speed)
        assert len(made) == 6 and player.dropped == 0
        assert np.allclose([d.latency_ms for d in made], 10) and np.allclose([d.busy_ms for d in made], 10)
        assert np.allclose(player.clock.time, 100 + 7 * 0.05 / speed)  # the seventh turn finds the end
    made, player = played(Classifier(digits_net()), source(clip()), [0.01] * 6, speed=0)
    assert player.clock.slept == [] and np.allclose(player.clock.time, 100.06)


def summarize(made, dropped):
    tally = Tally()
    for decision in made:
        tally.add(decision)
    return tally.summary(50_000, dropped)


def test_a_stream_without_end_takes_no_more_memory():
    """Ten times as many decisions, each with thousands of scores, take what the first had taken; the numbers are right
    all the same.
    """
    import tracemalloc

    tally, held = Tally(), []
    tracemalloc.start()
    for n in range(1, 10 * RECENT + 1):
        tally.add(Decision(n, n, 1, [n] * 500, 2, 0.5, float(n % 100), 1.0, 0))
        if n in (RECENT, 10 * RECENT):
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[1] < held[0] + 20_000
    s = tally.summary(50_000, 3)
    assert (s.frames, s.events, s.kept, s.scores[0], s.dropped) == (10 * RECENT, 20 * RECENT, 0.5, 10 * RECENT, 3)
    assert s.busy_ms["mean"] == pytest.approx(49.5) and s.busy_ms["max"] == 99 and s.busy_ms["p50"] == 49.5
    assert s.real_time_factor == pytest.approx(50 / 49.5)


def test_clock_of_a_slow_machine():
    """A frame whose successor is complete when its turn comes is dropped, its events with it; numbers of frames tell.

    One short stall drops nothing.
    """
    net, e = digits_net(), clip()
    made, player = played(Classifier(net), source(e), [0.12, 0.01, 0.01, 0.01])
    assert (
        [d.frame for d in made] == [0, 2, 3, 4, 5]
        and player.dropped == 1
        and [d.dropped for d in made] == [0, 1, 1, 1, 1]
    )
    assert np.allclose([d.latency_ms for d in made], [120, 30, 10, 10, 0])
    left = e[e["t"] // 50_000 != 1].copy()
    left["t"] -= np.where(left["t"] >= 100_000, 50_000, 0)
    x = Encoder(**net.encoder).encode(left).window(0, 5 * net.places)
    expected = engine.run(replace(net, frames=5), x).logits[0]
    assert made[-1].scores == expected.tolist()  # for the net the dropped frame did not happen
    made, player = played(Classifier(net), source(e), [0.09])
    assert len(made) == 6 and player.dropped == 0
    made, player = played(Classifier(net), source(e), [10.0])
    assert len(made) == 1 and player.dropped == 5
    assert summarize(made, player.dropped).dropped == 5
    with pytest.raises(UserError, match="no frame was run, 5 were dropped"):
        summarize([], 5)


def test_quiet_times_and_limits():
    """A gap is empty frames, not the end; a limit ends before it; nothing is read twice."""
    e = clip(3, 2, 50)
    e["t"][25:] += 400_000
    made, _ = played(Classifier(digits_net()), source(e))
    assert (
        len(made) == int(e["t"][-1]) // 50_000 + 1
        and 0 in [d.events for d in made]
        and sum(d.events for d in made) == 50
    )
    assert len(played(Classifier(digits_net()), source(e), limit=3)[0]) == 3


def test_summary():
    made, player = played(Classifier(digits_net()), source(clip()), [0.01, 0.02, 0.01, 0.01, 0.01, 0.0])
    s = summarize(made, player.dropped)
    assert (s.frames, s.dropped, s.events, s.frame_ms, s.label, s.scores) == (
        6,
        0,
        4000,
        50.0,
        made[-1].label,
        made[-1].scores,
    )
    assert (
        s.busy_ms["mean"] == pytest.approx(10)
        and s.busy_ms["max"] == pytest.approx(20)
        and s.real_time_factor == pytest.approx(5)
    )
    assert s.kept == np.mean([d.kept for d in made]) and 0 < s.kept <= 10 / 16


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(encoder={}), "has no encoder"),
        (dict(encoder=dict(digits_net().encoder, lens=1)), "unknown entry"),
        (dict(encoder=dict(digits_net().encoder, stride=2)), "its encoder sends 10 of 64 of 128"),
        (dict(encoder=dict(digits_net().encoder, frame_events=100)), "hold 100 events each .* deploy run"),
    ],
)
def test_nets_that_cannot_stream(change, message):
    with pytest.raises(UserError, match=message):
        Classifier(replace(digits_net(), **change))


def test_other_sensors():
    with pytest.raises(UserError, match="of a 128 x 128 sensor, the net takes 16 x 16; --fit"):
        Player(Classifier(digits_net()), source(clip(), (128, 128)))
    with pytest.raises(UserError, match="does not say how large"):
        Player(Classifier(digits_net()), source(clip(), None), fitted=True)
    e = clip()
    assert (
        Player(Classifier(digits_net()), source(e, None)).dropped == 0
    )  # unknown: each event is checked by the encoder
    e["x"] *= 8
    e["y"] *= 8
    small, _ = played(Classifier(digits_net()), source(clip()), speed=0)
    large, _ = played(Classifier(digits_net()), source(e, (128, 128)), speed=0, fitted=True)
    assert [d.scores for d in small] == [d.scores for d in large]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(0, 99))
def test_fit(w, h, to_w, to_h, seed):
    """What is left lies on the new grid; the middle stays in the middle; the same size changes nothing."""
    if min(w, h * to_w // to_h) < 1 or min(h, w * to_h // to_w) < 1:
        return  # no pixel in the wanted shape
    r = np.random.default_rng(seed)
    e = np.zeros(200, EVENT)
    e["x"], e["y"] = r.integers(0, w, 200), r.integers(0, h, 200)
    out = sources.fit(e, (w, h), (to_w, to_h))
    assert ((out["x"] >= 0) & (out["x"] < to_w) & (out["y"] >= 0) & (out["y"] < to_h)).all()
    assert (sources.fit(e, (w, h), (w, h)) == e).all()
    corners = np.zeros(2, EVENT)
    corners["x"], corners["y"] = [0, w - 1], [0, h - 1]
    if w * to_h == h * to_w and w >= to_w:
        assert sources.fit(corners, (w, h), (to_w, to_h))["x"].tolist() == [0, to_w - 1]


def table(n=3000, side=100):
    """Columns as expelliarmus and dv-processing give them."""
    r = np.random.default_rng(1)
    t = np.sort(r.integers(0, 200_000, n)) + 5_000
    return dict(t=t, x=r.integers(0, side, n), y=r.integers(0, side, n), p=r.integers(0, 2, n))


def same(e, c):
    assert (e["t"] == c["t"] - c["t"][0]).all() and all((e[k] == c[k]).all() for k in "xyp")


@pytest.mark.parametrize("ending", list(formats.FORMATS))
def test_every_format_is_played(tmp_path, ending):
    """The same events as `events.formats.read` gives, part by part."""
    path = tmp_path / f"a{ending}"
    if not event_files.write(path, event_files.rows(200)):
        pytest.skip("the extra `rosbag` is not installed")
    events, size = formats.read(path)
    src = sources.open_file(path)
    parts = [src.take(end) for end in (1, 70_000, 150_000, 10**6)]
    assert src.take(10**7) is None and src.size == size
    assert np.array_equal(np.concatenate(parts), events) and parts[1]["t"][-1] < 70_000 <= parts[2]["t"][0]
    same(sources.open_file(path).events, {k: events[k] for k in "xypt"})


@pytest.mark.parametrize("ending", list(formats.FORMATS))
def test_every_format_is_run(tmp_path, ending):
    """`deploy run --file` takes what `deploy stream` takes, and makes the same tokens of it."""
    width, height = (128, 128) if ending == ".aedat" else event_files.SIZE
    encoder = Encoder(height=height, width=width, pool=4, window=8, stride=4, frames=4, frame_us=50_000)
    path = tmp_path / f"a{ending}"
    if not event_files.write(path, event_files.rows(200)):
        pytest.skip("the extra `rosbag` is not installed")
    net = SimpleNamespace(encoder=encoder.settings())
    taken = samples.from_file(net, path).streams(0, 1)
    expected = encoder.encode_all([formats.read(path)[0]])
    assert np.array_equal(taken.tokens, expected.tokens) and np.array_equal(taken.which, expected.which)


def test_aedat4_files(tmp_path):
    """A file that the vendor's own writer makes, with the absolute times that it has."""
    dv = pytest.importorskip("dv_processing", reason="the extra `events` is not installed")
    c, path = table(), str(tmp_path / "a.aedat4")
    store = dv.EventStore()
    for t, x, y, p in zip(*(c[k].tolist() for k in "txyp")):
        store.push_back(1_700_000_000_000_000 + t, x, y, bool(p))
    writer = dv.io.MonoCameraWriter(path, dv.io.MonoCameraWriter.EventOnlyConfig("test", (346, 260)))
    writer.writeEvents(store)
    del writer
    src = sources.open_file(path)
    same(src.events, c)
    assert src.size == (346, 260)
    (tmp_path / "b.aedat4").write_bytes((tmp_path / "a.aedat4").read_bytes()[:300])
    with pytest.raises(UserError, match="b.aedat4: "):
        sources.open_file(tmp_path / "b.aedat4")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.xyz", b"", "cannot tell the format, expected a name that ends in .npy, .npz, .bin, .aedat, .aedat4, .raw"),
        ("a.raw", b"", "names none of Prophesee's formats"),
        ("a.raw", b"% evt 4.0\n% end\n" + bytes(64), "names none of Prophesee's formats"),
        ("a.raw", b"% format EVT21;height=720;width=1280\n% end\n", "holds no events"),
        ("a.dat", bytes(64), "names none of Prophesee's formats"),
        ("a.aedat4", b"no", "not a readable AEDAT4 file"),
        ("a.npy", b"no", "is not an array of numbers"),
        ("a.bin", b"no", "is truncated"),
    ],
    ids=range(8),
)
def test_bad_files(tmp_path, name, content, message):
    if name.endswith("aedat4"):
        pytest.importorskip("dv_processing", reason="the extra `events` is not installed")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as e:
        sources.open_file(path)
    assert "\n" not in str(e.value)


def test_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dv_processing", None)
    with pytest.raises(
        UserError, match=r"needs the package .* drives cameras: pip install 'smolmamba-loihi\[events\]'"
    ):
        sources.open_camera("any")


def test_no_camera():
    dv = pytest.importorskip("dv_processing", reason="the extra `events` is not installed")
    if dv.io.camera.discover():
        pytest.skip("a camera is connected")
    for serial in ("any", "DV1"):
        with pytest.raises(UserError, match=rf"no camera '{serial}' is connected \(found: none\)"):
            sources.open_camera(serial)


class StandInDriver:
    """A test double: batches that are there, or not yet, in the form of dv-processing's. No camera has been tried."""

    def __init__(self, *batches):
        self.batches = list(batches)

    def isRunning(self):
        return bool(self.batches)

    def getNextEventBatch(self):
        times = self.batches.pop(0) if self.batches else None
        if times is None:
            return None
        rows = np.zeros(len(times), [("timestamp", "<i8"), ("x", "<i2"), ("y", "<i2"), ("polarity", "i1")])
        rows["timestamp"] = np.array(times) + 1_700_000_000_000_000
        return type("Store", (), {"numpy": lambda self: rows})()


def test_camera():
    """None means not now; late events come with the next frame; early ones wait for theirs; the end is the end."""
    camera = sources.CameraSource(
        "stand-in", (16, 16), StandInDriver(None, [0, 10], [90], None, [20, 60, 130], None, [], None)
    )
    takes = [camera.take(end) for end in (50, 50, 100, 150, 200, 250)]
    assert [None if e is None else sorted(e["t"].tolist()) for e in takes] == [
        [],
        [0, 10],
        [20, 60, 90],
        [130],
        None,
        None,
    ]
    made, _ = played(
        Classifier(digits_net()),
        sources.CameraSource("stand-in", (16, 16), StandInDriver([0, 60_000], None, [70_000, 120_000], None)),
    )
    assert [d.events for d in made] == [1, 2, 1]


def test_record_is_written_at_the_end(tmp_path):
    made, _ = played(Classifier(digits_net()), source(clip()), speed=0)
    path = tmp_path / "out.jsonl"
    with recorder(path) as note:
        for d in made:
            note(d)
        assert not path.exists()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["scores"] for r in rows] == [d.scores for d in made] and rows[0].keys() == vars(made[0]).keys()
    with pytest.raises(RuntimeError), recorder(tmp_path / "broken.jsonl") as note:
        note(made[0])
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]
    with pytest.raises(UserError, match="cannot write"), recorder(tmp_path / "none/out.jsonl"):
        pass


def test_display():
    """What is seen is there: the picture's colours, bars by score, open tokens, the numbers."""
    pixels = np.zeros((2, 3, 2), np.uint8)
    pixels[1, 0, 0] = pixels[0, 1, 0] = pixels[:, 2, 1] = 1
    text = display.picture(pixels)
    assert text.plain == "▀▀\n▀▀\n" and [s.style for s in text.spans] == [
        "green on red",
        "black on black",
        "black on black",
        "yellow on black",
    ]
    assert display.shrunk(np.eye(5, dtype=np.uint8)[None].repeat(2, 0), 2)[0].tolist() == np.eye(3, dtype=int).tolist()
    lines = display.bars([-5, 10, 25], 2, ["left", "right"]).plain.splitlines()
    assert [line.count("█") for line in lines] == [0, 15, 30] and [line.split()[0] for line in lines] == [
        "left",
        "right",
        "2",
    ]
    assert display.bars([0, 0], 0, []).plain.count("█") == 0
    assert display.tokens(np.array([[True, False], [False, True]])).plain == "■ · \n· ■ \n"
    net = digits_net()
    classifier = Classifier(net)
    made, _ = played(classifier, source(clip()), [0.01] * 6)
    console = Console(width=150, record=True, file=open("/dev/null", "w"))
    console.print(display.view(classifier, made[-1], net.classes, 1.0))
    shown = console.export_text()
    for part in (
        "latency 10.0 ms, busy 10.0 of 50 ms",
        "dropped 0",
        "frame 5",
        f"tokens sent: {made[-1].kept:.0%}",
        f"{made[-1].events * 20:,} events/s",
    ):
        assert part in shown, part
    wide = replace(Encoder(**net.encoder), height=128, width=128)
    assert (
        max(len(line) for line in display.picture(np.zeros((2, *wide.frame_shape), np.uint8)).plain.splitlines())
        == display.COLUMNS
    )


def test_one_thread_is_given_back():
    import numba

    before = numba.get_num_threads()
    with one_thread():
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """dvs.net, untrained, for 128 x 128, with a clip of a second and a half; frames of 120 ms as DVS128 Gesture's
    preset has them.
    """
    path = tmp_path_factory.mktemp("stream")
    r, encoder = np.random.default_rng(1), events.default_encoder("dvs128")
    stem = Cuba(
        "stem",
        (Dense(TOKENS, weights(r, 64, encoder.channels)),),
        np.full(64, 30, np.int32),
        np.zeros(64, np.int32),
        4095,
        20000,
    )
    net = Net(
        (stem, Readout("out", (Dense("stem", weights(r, 11, 64)),))),
        (Input(TOKENS, encoder.channels),),
        encoder.tokens,
        encoder.frames,
        encoder=encoder.settings(),
        classes=events.DATASETS["dvs128"].classes,
    )
    netx.write(net, path / "dvs.net")
    n = 60_000
    np.save(
        path / "clip.npy",
        np.stack([r.integers(0, 128, n), r.integers(0, 128, n), r.integers(0, 2, n), np.sort(r.random(n)) * 1450], 1),
    )
    return path


def test_command(folder):
    """In real time, in a process of its own: the summary's numbers, the record, and the same decisions as without
    the clock.
    """
    out, err = deploy(folder, "stream", "clip.npy", "--net", "dvs.net", "--record", "a.jsonl", "--json", "--speed", "4")
    s = json.loads(out)
    assert (
        s["frames"] + s["dropped"] == 13
        and s["frame_ms"] == 120
        and err == ""
        and s["net"] == "dvs.net"
        and s["source"] == "clip.npy"
    )
    rows = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    assert len(rows) == s["frames"] and rows[-1]["scores"] == s["scores"] and rows[-1]["label"] == s["label"]
    out, _ = deploy(
        folder,
        "stream",
        "clip.npy",
        "--net",
        "dvs.net",
        "--record",
        "b.jsonl",
        "--speed",
        "0",
        "--run-on",
        "--window",
        "0",
    )
    plain = [json.loads(line) for line in (folder / "b.jsonl").read_text().splitlines()]
    if not s["dropped"]:
        assert [r["scores"] for r in plain[:12]] == [r["scores"] for r in rows[:12]]
    clip_ = sources.open_file(folder / "clip.npy").events
    net = netx.read(folder / "dvs.net")
    assert plain[11]["scores"] == engine.run(net, Encoder(**net.encoder).encode(clip_)).logits[0].tolist()
    assert (
        "13 frames of 120 ms, 0 dropped, 60,000 events" in out
        and "times real time" in out
        and "tokens sent: 100%" in out
        and "at the end: " in out
    )


def test_ctrl_c_ends_a_stream_in_good_order(folder, monkeypatch):
    """What was decided until then is recorded and summed up."""
    from click.testing import CliRunner

    from deploy.commands.stream import stream

    real = Classifier.frame

    def frame(self, e):
        if self.session.frames == 3:
            raise KeyboardInterrupt
        return real(self, e)

    monkeypatch.setattr(Classifier, "frame", frame)
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(stream, ["clip.npy", "--net", "dvs.net", "--speed", "0", "--record", "c.jsonl", "--json"])
    assert (
        done.exit_code == 0
        and json.loads(done.output)["frames"] == 3
        and len((folder / "c.jsonl").read_text().splitlines()) == 3
    )


@pytest.mark.parametrize(
    "args, message",
    [
        ((), "name one file, or a camera"),
        (("clip.npy", "--camera", "any"), "name one file, or a camera"),
        (("--camera", "any", "--speed", "2"), "a camera runs in real time"),
        (("none.npy",), "no file 'none.npy'"),
        (("clip.npy", "--net", "none.net"), "no file 'none.net'"),
        (("clip.npy", "--record", "none/a.jsonl"), "cannot write"),
    ],
)
def test_mistakes(folder, args, message):
    assert message in refused(folder, "stream", *args, *(() if "--net" in args else ("--net", "dvs.net")))

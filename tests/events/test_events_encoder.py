"""The encoder against its equations, written as loops."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import EVENT, Encoder
from sim.base.errors import UserError
from sim.net import TOKENS, Dense, Input, Net, Readout
from sim.net.tokens import checked, join


def events_of(*rows):
    return np.array(list(rows), dtype=EVENT)  # rows are (x, y, p, t)


def frames_by_loop(enc, events):
    out = np.zeros((enc.frames, 2, math.ceil(enc.height / enc.pool), math.ceil(enc.width / enc.pool)), np.uint8)
    for i, (x, y, p, t) in enumerate(
        sorted(events.tolist(), key=lambda event: event[3])
    ):  # sorted() keeps the order of equal times
        frame = i // enc.frame_events if enc.frame_events else t // enc.frame_us
        if 0 <= frame < enc.frames:
            out[frame, p, y // enc.pool, x // enc.pool] = 1
    return out


def window_by_loop(enc, frame, n):
    """What token n sees of one frame, uint8 [C]."""
    _, height, width = frame.shape
    cols = math.ceil(width / enc.stride)
    out = np.zeros(2 * enc.window**2, np.uint8)
    top = (n // cols) * enc.stride - (enc.window - enc.stride) // 2
    left = (n % cols) * enc.stride - (enc.window - enc.stride) // 2
    for c in range(len(out)):
        p, dy, dx = c // enc.window**2, c // enc.window % enc.window, c % enc.window
        if 0 <= top + dy < height and 0 <= left + dx < width:
            out[c] = frame[p, top + dy, left + dx]
    return out


def order_by_loop(enc, t):
    rows, cols = enc.grid
    by_row = list(range(rows * cols))
    by_col = [r * cols + c for c in range(cols) for r in range(rows)]
    orders = {
        "forward": [by_row],
        "alternate": [by_row, by_row[::-1]],
        "cross": [by_row, by_col[::-1], by_row[::-1], by_col],
    }[enc.scan][: enc.frames]
    return orders[t % len(orders)]


def stream_by_loop(enc, frames):
    """(tokens, which) of one recording by the equations of `Encoder`, one Python number at a time."""
    rows, cols = enc.grid
    count, since, tokens, which = [0] * (rows * cols), [0] * (rows * cols), [], []
    for t, frame in enumerate(frames):
        seen = [window_by_loop(enc, frame, n) for n in range(rows * cols)]
        for n in range(rows * cols):
            count[n] += int(seen[n].sum()) - math.ceil(count[n] * enc.leak / 256)
            since[n] = min(since[n] + 1, enc.frames) if count[n] else 0
        sent = set(range(rows * cols))
        if enc.places:
            score = [since[n] if enc.pruner == "latency" else count[n] + enc.early * since[n] for n in sent]
            best = sorted((n for n in sent if count[n] >= max(enc.least, 1)), key=lambda n: (-score[n], n))
            sent = set(best[: enc.places])
        turns = [n for n in order_by_loop(enc, t) if n in sent]
        empty = (enc.places or rows * cols) - len(turns)
        which += turns + [-1] * empty
        tokens += [seen[n] for n in turns] + [np.zeros(enc.channels, np.uint8)] * empty
    return np.array(tokens), np.array(which)


@st.composite
def encoders(draw):
    stride = draw(st.integers(1, 6))
    return Encoder(
        height=draw(st.integers(1, 20)),
        width=draw(st.integers(1, 20)),
        pool=draw(st.integers(1, 4)),
        stride=stride,
        window=stride + draw(st.integers(0, 5)),
        frames=draw(st.integers(1, 4)),
        frame_us=draw(st.integers(1, 50)),
        frame_events=draw(st.sampled_from([0, 0, 1, 3, 20, 100])),
        scan=draw(st.sampled_from(["forward", "alternate", "cross"])),
    )


@st.composite
def choosing(draw):
    """An encoder that sends some of its tokens."""
    enc = draw(encoders())
    return dataclasses.replace(
        enc,
        places=draw(st.integers(1, enc.tokens)),
        pruner=draw(st.sampled_from(["count", "count", "latency"])),
        early=draw(st.sampled_from([0, 1, 4, 50])),
        leak=draw(st.sampled_from([0, 0, 1, 64, 255, 256])),
        least=draw(st.sampled_from([0, 0, 1, 2, 5])),
    )


@st.composite
def recordings(draw, enc):
    random = np.random.RandomState(draw(st.integers(0, 2**31)))
    events = np.zeros(draw(st.integers(0, 60)), EVENT)
    for name, low, high in (
        ("x", 0, enc.width),
        ("y", 0, enc.height),
        ("p", 0, 2),
        ("t", -2 * enc.frame_us, (enc.frames + 2) * enc.frame_us),
    ):
        events[name] = random.randint(low, high, len(events))
    return events


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_equals_the_loops(data):
    enc = data.draw(encoders() | choosing())
    events = data.draw(recordings(enc))
    frames = enc.frames_of(events)
    stream = enc.encode(events)
    assert frames.dtype == stream.tokens.dtype == np.uint8 and stream.which.dtype == np.int16
    assert np.array_equal(frames, frames_by_loop(enc, events))
    tokens, which = stream_by_loop(enc, frames)
    assert np.array_equal(stream.tokens[0], tokens) and np.array_equal(stream.which[0], which)
    assert stream.tokens.shape == (1, enc.steps, enc.channels) and len(enc.orders) <= enc.frames


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_selector_goes_on_where_it_was(data):
    enc = data.draw(choosing())
    random = np.random.RandomState(data.draw(st.integers(0, 2**31)))
    pruner = data.draw(st.sampled_from(["count", "latency", "random"]))
    enc = dataclasses.replace(enc, pruner=pruner)
    frames = (random.rand(9, 2, *enc.frame_shape) < random.rand(9, 1, 1, 1) ** 3).astype(np.uint8)
    whole, selector, parts = enc.streams(frames[None]), enc.selector(), []
    cuts = [0, *sorted(random.randint(0, 10, 3)), 9]
    for begin, end in zip(cuts, cuts[1:]):
        parts.append(selector.stream(frames[begin:end]))
    assert np.array_equal(np.concatenate([p.tokens for p in parts], 1), whole.tokens)
    assert np.array_equal(np.concatenate([p.which for p in parts], 1), whole.which)
    assert selector.frame == 9
    if pruner != "random" and enc.frames >= 9:
        assert np.array_equal(stream_by_loop(enc, frames)[1], whole.which[0])


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_executors_take_every_stream_of_an_encoder(data):
    enc = data.draw(encoders() | choosing())
    out = Readout("out", (Dense(TOKENS, np.zeros((2, enc.channels), np.int16)),))
    net = Net((out,), (Input(TOKENS, enc.channels),), enc.tokens, enc.frames, enc.per_frame, enc.orders)
    checked(net, enc.encode(data.draw(recordings(enc))))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_all_pruners_send_as_many_tokens_and_none_in_which_nothing_happened(data):
    enc = data.draw(choosing())
    frames = enc.frames_of(data.draw(recordings(enc)))[None]
    everything = dataclasses.replace(enc, places=0, pruner="count", early=0, leak=0, least=0, scan="forward")
    events = everything.streams(frames).tokens.reshape(enc.frames, enc.tokens, -1).sum(2, dtype=int)
    fired = events.cumsum(0) > 0
    for pruner in ("count", "latency", "random"):
        one = dataclasses.replace(enc, pruner=pruner, leak=0, least=0)
        which = one.streams(frames).which.reshape(enc.frames, -1)
        assert ((which >= 0).sum(1) == fired.sum(1).clip(max=enc.places)).all(), pruner
        assert all(fired[t, n] for t, row in enumerate(which) for n in row if n >= 0), pruner
        assert np.array_equal(one.streams(np.concatenate([frames, frames])).which[1].reshape(enc.frames, -1), which)


def test_random_scores_are_new_in_each_frame_and_favour_no_token():
    enc = Encoder(height=4, width=20, window=4, stride=4, frames=60, places=2, pruner="random")
    which = enc.streams(np.ones((1, 60, 2, 4, 20), np.uint8)).which.reshape(60, 2)
    seen = np.bincount(which.reshape(-1), minlength=5)
    assert len({tuple(row) for row in which}) > 5 and 10 <= seen.min() and seen.max() <= 40  # 24 each; deviation 3.8


def test_an_early_first_spike_beats_an_equal_count_and_ties_go_to_the_lower_token():
    enc = Encoder(height=1, width=2, window=1, stride=1, frames=2, places=1)
    frames = np.zeros((1, 2, 2, 1, 2), np.uint8)
    frames[0, 0, 0, 0, 1] = frames[0, 1, 0, 0, 0] = 1  # token 1 first, token 0 in the second frame
    assert enc.streams(frames).which.tolist() == [[1, 0]]
    assert dataclasses.replace(enc, early=1).streams(frames).which.tolist() == [[1, 1]]
    assert dataclasses.replace(enc, least=2).streams(frames).which.tolist() == [[-1, -1]]
    assert dataclasses.replace(enc, leak=256).streams(frames).which.tolist() == [[1, 0]]


def test_every_event_in_its_frame_at_the_edges():
    enc = Encoder(height=4, width=4, window=4, stride=4, frames=3, frame_us=100)
    frames = enc.frames_of(
        events_of(
            (0, 0, 0, -1), (1, 0, 0, 0), (2, 0, 0, 99), (3, 0, 0, 100), (0, 1, 0, 200), (1, 1, 0, 299), (2, 1, 0, 300)
        )
    )
    assert [tuple(i) for i in np.argwhere(frames)] == [
        (0, 0, 0, 1),
        (0, 0, 0, 2),
        (1, 0, 0, 3),
        (2, 0, 1, 0),
        (2, 0, 1, 1),
    ]


def test_frames_of_a_fixed_count():
    enc = Encoder(height=4, width=4, window=4, stride=4, frames=3, frame_events=2)
    #                             second      first       after the last   third (after the first of its time)
    frames = enc.frames_of(events_of((0, 0, 0, 5), (1, 0, 0, -7), (2, 0, 0, 900), (3, 0, 0, 5)))
    assert [tuple(i) for i in np.argwhere(frames)] == [(0, 0, 0, 0), (0, 0, 0, 1), (1, 0, 0, 2), (1, 0, 0, 3)]
    assert not enc.frames_of(np.zeros(0, EVENT)).any()
    assert enc.frames_of(events_of(*[(i, 0, 0, i) for i in range(4)] * 2)).sum(axis=(1, 2, 3)).tolist() == [1, 1, 1]


def test_encoder_of_a_file_from_before_fixed_counts():
    old = dict(height=34, width=34, pool=1, window=10, stride=5, frames=8, frame_us=40000)
    assert Encoder(**old) == Encoder(**old, frame_events=0) and Encoder(**old).settings() == old
    assert Encoder(**Encoder(**old, frame_events=9).settings()).frame_events == 9
    new = dict(scan="cross", places=9, pruner="latency", early=3, leak=16, least=2)
    assert Encoder(**old, **new).settings() == old | new


def test_a_pixel_is_one_however_many_events_and_polarity_1_is_the_second_channel():
    enc = Encoder(height=4, width=6, window=2, stride=2, frames=1, frame_us=100)
    frames = enc.frames_of(events_of((5, 1, 1, 0), (5, 1, 1, 0), (5, 1, 1, 50), (0, 3, 0, 7)))
    assert [tuple(i) for i in np.argwhere(frames)] == [(0, 0, 3, 0), (0, 1, 1, 5)]
    assert frames.max() == 1


def test_where_one_pixel_lands_in_the_stream():
    enc = Encoder()  # 34 x 34, window 10, stride 5: 7 x 7 tokens, windows start 2 before their patch
    assert enc.grid == (7, 7) and enc.tokens == 49 and enc.channels == 200 and enc.frame_shape == (34, 34)
    spikes = enc.encode(events_of((6, 0, 1, 80_000))).tokens[0]
    # Frame 2; x = 6 is seen by columns 0 (from -2), 1 (from 3); y = 0 by row 0 (from -2) alone.
    assert [tuple(i) for i in np.argwhere(spikes)] == [(98, 100 + 2 * 10 + 8), (99, 100 + 2 * 10 + 3)]


def test_without_overlap_every_pixel_is_seen_once_and_with_window_twice_the_stride_four_times():
    frames = np.ones((1, 1, 2, 20, 20), np.uint8)
    assert Encoder(height=20, width=20, window=5, stride=5).streams(frames).tokens.sum() == 2 * 400
    inner = np.zeros_like(frames)
    inner[..., 5:15, 5:15] = 1
    assert Encoder(height=20, width=20, window=10, stride=5).streams(inner).tokens.sum() == 4 * 2 * 100


def test_pooling_rounds_the_frame_up():
    enc = Encoder(height=34, width=33, pool=4, window=4, stride=4, frames=1)
    assert enc.frame_shape == (9, 9)
    assert [tuple(i) for i in np.argwhere(enc.frames_of(events_of((32, 33, 0, 0), (3, 4, 1, 0))))] == [
        (0, 0, 8, 8),
        (0, 1, 1, 0),
    ]


def test_empty_recording_is_silence():
    enc = Encoder()
    stream = enc.encode(np.zeros(0, EVENT))
    assert stream.tokens.shape == (1, 392, 200) and not stream.tokens.any() and stream.sent == 392
    assert dataclasses.replace(enc, places=20).encode(np.zeros(0, EVENT)).which.tolist() == [[-1] * 160]


def test_batches_equal_single_recordings():
    enc = Encoder(height=16, width=16, window=6, stride=4, frames=3)
    random = np.random.RandomState(0)
    many = []
    for n in (50, 0, 7):
        events = np.zeros(n, EVENT)
        for name, high in (("x", 16), ("y", 16), ("p", 2), ("t", 130_000)):
            events[name] = random.randint(0, high, n)
        many.append(events)
    frames = enc.frames_of_all(many)
    assert np.array_equal(frames, np.stack([enc.frames_of(e) for e in many]))
    for e in (enc, dataclasses.replace(enc, places=5, early=2, scan="alternate")):
        whole, parts = e.encode_all(many), join([e.encode(one) for one in many])
        for other in (parts, e.streams(frames)):
            assert np.array_equal(whole.tokens, other.tokens) and np.array_equal(whole.which, other.which)
        short = e.streams(frames[:, :2])
        assert np.array_equal(short.tokens, whole.tokens[:, : 2 * e.per_frame])


@pytest.mark.parametrize(
    "row", [(34, 0, 0, 0), (-1, 0, 0, 0), (0, 34, 0, 0), (0, -1, 0, 0), (0, 0, 2, 0), (0, 0, -1, 0), (34, 0, 0, 10**9)]
)
def test_event_outside_the_sensor_is_refused(row):
    with pytest.raises(UserError, match=r"^event 1: [xyp] = -?\d+ is outside [^\n]*$"):
        Encoder().frames_of(events_of((0, 0, 0, 0), row))


@pytest.mark.parametrize("shape", [(8, 2, 34, 33), (8, 1, 34, 34), (2, 34, 34)])
def test_frames_of_another_shape_are_refused(shape):
    with pytest.raises(UserError, match="frames have shape"):
        Encoder().streams(np.zeros((1, *shape), np.uint8))
    with pytest.raises(UserError, match="frames have shape"):
        Encoder().selector().stream(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    "change",
    [
        {"window": 4},
        {"height": 0},
        {"width": -3},
        {"frames": 0},
        {"frame_us": 0},
        {"pool": 0},
        {"stride": 0},
        {"frames": 8.0},
        {"frames": True},
        {"frame_events": -1},
        {"frame_events": 2**31},
        {"frame_events": 2.0},
        {"frame_events": False},
        {"frames": "8"},
        {"frames": None},
        {"height": 10**9},
        {"frames": 65536, "window": 256, "stride": 1},
        {"height": 400, "width": 400, "window": 1, "stride": 1, "frames": 1},
        {"scan": "back"},
        {"scan": 1},
        {"places": 50},
        {"places": -1},
        {"places": True},
        {"places": 10, "pruner": "best"},
        {"places": 10, "leak": 257},
        {"places": 10, "early": -1},
        {"places": 10, "least": 1.0},
        {"least": 1},
        {"pruner": "random"},
    ],
)
def test_nonsense_is_refused_at_birth(change):
    with pytest.raises(UserError, match="^encoder: [^\n]*$"):
        Encoder(**change)


def test_survives_json():
    enc = Encoder(height=128, width=64, pool=4, window=8, stride=4, frames=12, frame_us=120_000)
    assert Encoder(**json.loads(json.dumps(dataclasses.asdict(enc)))) == enc

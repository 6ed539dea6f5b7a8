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


def tokens_by_loop(enc, frames):
    count, _, height, width = frames.shape
    rows, cols = math.ceil(height / enc.stride), math.ceil(width / enc.stride)
    out = np.zeros((count * rows * cols, 2 * enc.window**2), np.uint8)
    for k in range(len(out)):
        t, n = divmod(k, rows * cols)
        top = (n // cols) * enc.stride - (enc.window - enc.stride) // 2
        left = (n % cols) * enc.stride - (enc.window - enc.stride) // 2
        for c in range(out.shape[1]):
            p, dy, dx = c // enc.window**2, c // enc.window % enc.window, c % enc.window
            if 0 <= top + dy < height and 0 <= left + dx < width:
                out[k, c] = frames[t, p, top + dy, left + dx]
    return out


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
    enc = data.draw(encoders())
    events = data.draw(recordings(enc))
    frames = enc.frames_of(events)
    stream = enc.encode(events)
    assert frames.dtype == stream.dtype == np.uint8
    assert np.array_equal(frames, frames_by_loop(enc, events))
    assert np.array_equal(stream, tokens_by_loop(enc, frames))
    assert stream.shape == (enc.frames * enc.tokens, enc.channels)


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


def test_a_pixel_is_one_however_many_events_and_polarity_1_is_the_second_channel():
    enc = Encoder(height=4, width=6, window=2, stride=2, frames=1, frame_us=100)
    frames = enc.frames_of(events_of((5, 1, 1, 0), (5, 1, 1, 0), (5, 1, 1, 50), (0, 3, 0, 7)))
    assert [tuple(i) for i in np.argwhere(frames)] == [(0, 0, 3, 0), (0, 1, 1, 5)]
    assert frames.max() == 1


def test_where_one_pixel_lands_in_the_stream():
    enc = Encoder()  # 34 x 34, window 10, stride 5: 7 x 7 tokens, windows start 2 before their patch
    assert enc.grid == (7, 7) and enc.tokens == 49 and enc.channels == 200 and enc.frame_shape == (34, 34)
    spikes = enc.encode(events_of((6, 0, 1, 80_000)))
    # Frame 2; x = 6 is seen by columns 0 (from -2), 1 (from 3); y = 0 by row 0 (from -2) alone.
    assert [tuple(i) for i in np.argwhere(spikes)] == [(98, 100 + 2 * 10 + 8), (99, 100 + 2 * 10 + 3)]


def test_without_overlap_every_pixel_is_seen_once_and_with_window_twice_the_stride_four_times():
    frames = np.ones((1, 2, 20, 20), np.uint8)
    assert Encoder(height=20, width=20, window=5, stride=5).token_spikes(frames).sum() == 2 * 400
    inner = np.zeros_like(frames)
    inner[..., 5:15, 5:15] = 1
    assert Encoder(height=20, width=20, window=10, stride=5).token_spikes(inner).sum() == 4 * 2 * 100


def test_pooling_rounds_the_frame_up():
    enc = Encoder(height=34, width=33, pool=4, window=4, stride=4, frames=1)
    assert enc.frame_shape == (9, 9)
    assert [tuple(i) for i in np.argwhere(enc.frames_of(events_of((32, 33, 0, 0), (3, 4, 1, 0))))] == [
        (0, 0, 8, 8),
        (0, 1, 1, 0),
    ]


def test_empty_recording_is_silence():
    enc = Encoder()
    assert enc.encode(np.zeros(0, EVENT)).shape == (392, 200)
    assert not enc.encode(np.zeros(0, EVENT)).any()


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
    assert np.array_equal(enc.encode_all(many), np.stack([enc.encode(e) for e in many]))
    assert np.array_equal(enc.token_spikes(frames), enc.encode_all(many))
    assert np.array_equal(enc.token_spikes(frames[:, None, :2])[:, 0], enc.encode_all(many)[:, : 2 * enc.tokens])


@pytest.mark.parametrize(
    "row", [(34, 0, 0, 0), (-1, 0, 0, 0), (0, 34, 0, 0), (0, -1, 0, 0), (0, 0, 2, 0), (0, 0, -1, 0), (34, 0, 0, 10**9)]
)
def test_event_outside_the_sensor_is_refused(row):
    with pytest.raises(UserError, match=r"^event 1: [xyp] = -?\d+ is outside [^\n]*$"):
        Encoder().frames_of(events_of((0, 0, 0, 0), row))


@pytest.mark.parametrize("shape", [(8, 2, 34, 33), (8, 1, 34, 34), (2, 34, 34)])
def test_frames_of_another_shape_are_refused(shape):
    with pytest.raises(UserError, match="frames have shape"):
        Encoder().token_spikes(np.zeros(shape, np.uint8))


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
    ],
)
def test_nonsense_is_refused_at_birth(change):
    with pytest.raises(UserError, match="^encoder: [^\n]*$"):
        Encoder(**change)


def test_survives_json():
    enc = Encoder(height=128, width=64, pool=4, window=8, stride=4, frames=12, frame_us=120_000)
    assert Encoder(**json.loads(json.dumps(dataclasses.asdict(enc)))) == enc

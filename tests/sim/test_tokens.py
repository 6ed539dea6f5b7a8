"""What a stream of tokens may be: every mistake is one line, in every executor the same, as all take it from here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import random_net, random_stream

from sim import engine
from sim.base.errors import UserError
from sim.net import PHASE, TOKENS, Cuba, Dense, Input, Net, Readout
from sim.net.tokens import Stream, checked, full, inputs, join, order_of, reversed_frames, rows


def net(tokens=4, frames=3, places=3, orders=((0, 1, 2, 3), (3, 2, 1, 0))):
    weight = np.full((2, 2), 64, np.int16)
    first = Cuba("a", (Dense(TOKENS, weight),), np.full(2, 4096, np.int32), np.zeros(2, np.int32), 4095, 10)
    nodes = (first, Readout("out", (Dense("a", weight),)))
    order = None if orders is None else np.array(orders)
    return Net(nodes, (Input(TOKENS, 2), Input(PHASE, tokens, of=PHASE)), tokens, frames, places, order)


def stream(which):
    which = np.array([which], np.int16)
    return Stream((which >= 0)[..., None].repeat(2, 2).astype(np.uint8), which)


GOOD = [0, 2, 3, 3, 1, -1, -1, -1, -1]


def test_a_stream_and_its_inputs():
    x = checked(net(), stream(GOOD))
    assert x.sent == 5 and len(x) == 1 and x.steps == 9
    phase = inputs(net(), x)[PHASE][0]
    assert [int(row.argmax()) if row.any() else -1 for row in phase] == GOOD and phase.sum() == 5
    assert rows(net(), x).shape == (1, 9, 2 + 4)


@pytest.mark.parametrize(
    "which, says",
    [
        ([0, 0, 3, 3, 1, -1, -1, -1, -1], "frame 0: token 0 after 0; tokens of a frame must not repeat"),
        ([2, 0, 3, 3, 1, -1, -1, -1, -1], "frame 0: token 0 after 2"),
        ([0, 2, 3, 1, 3, -1, -1, -1, -1], "frame 1: token 3 after 1"),
        ([0, -1, 3, 3, 1, -1, -1, -1, -1], "frame 0: token 3 after -1"),
        ([0, 2, 4, 3, 1, -1, -1, -1, -1], "token 4 is outside 0..3, the stream is of another grid"),
        ([0, 2, 3, 3, 1, -1], r"input has shape \(1, 6, 2\), the net takes \[samples, 9, 2\]"),
    ],
)
def test_tokens_that_are_out_of_order(which, says):
    with pytest.raises(UserError, match=says):
        engine.run(net(), stream(which))


def test_spikes_where_no_token_is_and_other_numbers():
    x = stream(GOOD)
    with pytest.raises(UserError, match="spikes at an empty place"):
        checked(net(), Stream(np.ones_like(x.tokens), x.which))
    with pytest.raises(UserError, match="spikes are 0 or 1, found 3"):
        checked(net(), Stream(x.tokens * 3, x.which))
    with pytest.raises(UserError, match="`which` is float64"):
        checked(net(), Stream(x.tokens, x.which.astype(float)))
    with pytest.raises(UserError, match="takes 3 of 4 tokens a frame, an array does not say which"):
        checked(net(), x.tokens)


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(places=0), "sends 0 tokens a frame, expected 1 to 4"),
        (dict(places=5), "sends 5 tokens a frame, expected 1 to 4"),
        (dict(frames=1), "has 2 scan orders for 1 frames, more than are used"),
        (dict(orders=((0, 1, 2, 2),)), "must name each of the tokens 0..3 once"),
        (dict(orders=((0, 1, 2),)), "scan orders are int64"),
    ],
)
def test_nets_that_cannot_be(changes, says):
    with pytest.raises(UserError, match=says):
        net(**changes)


def test_a_net_that_sends_all_takes_an_array():
    whole = net(places=4)
    x = full(whole, np.zeros((2, 12, 2), np.uint8))
    assert x.which[0].tolist() == [0, 1, 2, 3, 3, 2, 1, 0, 0, 1, 2, 3]
    assert full(whole, np.zeros((1, 4, 2), np.uint8), first=1).which[0].tolist() == [3, 2, 1, 0]


@given(st.integers(0, 10**6))
@settings(max_examples=60)
def test_random_streams_are_sound(seed):
    n = random_net(seed)
    x = checked(n, random_stream(n, seed))
    orders = order_of(n, n.frames)
    for b, t in np.ndindex(len(x), n.frames):
        sent = x.which[b, t * n.places : (t + 1) * n.places].tolist()
        kept = [k for k in sent if k >= 0]
        assert kept == [k for k in orders[t].tolist() if k in kept] and sent[len(kept) :] == [-1] * (
            n.places - len(kept)
        )
    turned = reversed_frames(x.tokens, n.places)
    assert np.array_equal(reversed_frames(turned, n.places), x.tokens)
    assert np.array_equal(join([x[:1], x[1:]]).which, x.which)

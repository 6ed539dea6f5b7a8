"""Recordings as spikes of pixels."""

import numpy as np
import pytest

from events import EVENT
from events.frames import STEPS_LIMIT, SpikeFrames
from sim.base.errors import UserError


def recording(*rows):
    """rows: (x, y, p, t)."""
    return np.array(list(rows), EVENT)


def test_what_stands_where():
    """Steps count from the first event; polarities are channels; what is later than the last step is left out."""
    found = recording(
        (3, 1, 1, 500), (0, 0, 0, 1499), (0, 0, 0, 1499), (2, 1, 0, 1500), (3, 1, 1, 3499), (3, 0, 1, 3500)
    )
    frames = SpikeFrames([found], 2, 4, (2, 2, 4), 1000, 3)
    assert frames.shape == (1, 3, 2, 2, 4) and frames[0:1].dtype == np.uint8
    assert np.argwhere(frames[0]).tolist() == [[0, 0, 0, 0], [0, 1, 1, 3], [1, 0, 1, 2], [2, 1, 1, 3]]
    assert SpikeFrames([found], 2, 4, (2, 2, 4)).steps == 4
    both = SpikeFrames([found], 2, 4, (1, 2, 4), 1000, 3)
    assert np.array_equal(both[0:1], frames[0:1].max(2, keepdims=True))
    assert np.array_equal(SpikeFrames([found], 2, 4, (16,), 1000, 3)[0:1], frames[0:1].reshape(1, 3, 16))


def test_parts_are_the_whole():
    r = np.random.default_rng(0)
    events = [
        np.sort(
            np.array([tuple(r.integers(0, 5, 2)) + (r.integers(2), t) for t in r.integers(0, 9000, 60)], EVENT),
            order="t",
        )
        for _ in range(3)
    ]
    frames = SpikeFrames([*events, np.zeros(0, EVENT)], 5, 5, (2, 5, 5), 400)
    whole = frames[:]
    assert whole.shape == frames.shape and not whole[3].any()
    parts = [frames[1:3, at : at + 7] for at in range(0, frames.steps, 7)]
    assert np.array_equal(np.concatenate(parts, 1), whole[1:3]) and np.array_equal(frames[2], whole[2])


@pytest.mark.parametrize("layout", [(3, 2, 4), (2, 4, 2), (9,), (2, 8)])
def test_another_layout_is_refused(layout):
    with pytest.raises(UserError, match=r"recordings of 4 x 2 pixels give \(2, 2, 4\) or \(1, 2, 4\)"):
        SpikeFrames([recording((0, 0, 0, 0))], 2, 4, layout)


def test_lengths_that_say_nothing_are_refused():
    with pytest.raises(UserError, match="without events"):
        SpikeFrames([np.zeros(0, EVENT)], 2, 4, (1, 2, 4))
    slow = recording((0, 0, 0, 0), (0, 0, 0, 1000 * STEPS_LIMIT))
    with pytest.raises(UserError, match="name --steps, or longer ones"):
        SpikeFrames([slow], 2, 4, (1, 2, 4))
    assert SpikeFrames([slow], 2, 4, (1, 2, 4), steps=5)[0].sum() == 1

"""The embedded data set."""

import hashlib

import numpy as np
import pytest

from events import DATASETS, EVENT, default_encoder, load
from events import digits as module


@pytest.fixture(scope="module")
def digits():
    return {split: load("digits", split) for split in ("train", "val", "test")}


def test_sizes_and_shares(digits):
    assert {split: len(r) for split, r in digits.items()} == {"train": 1197, "val": 200, "test": 400}
    total = sum(np.bincount(r.labels) for r in digits.values())
    for r in digits.values():
        assert len(r.events) == len(r.names) == len(r.labels) and r.labels.dtype == np.int64
        assert np.abs(np.bincount(r.labels) - total * len(r) / 1797).max() < 2
        assert (r.classes, r.height, r.width) == (DATASETS["digits"].classes, 16, 16)


def test_every_digit_is_in_one_part_under_its_own_label(digits):
    from sklearn.datasets import load_digits

    names = [name for r in digits.values() for name in r.names]
    assert sorted(names) == sorted(f"digits/{i}" for i in range(1797))
    target = load_digits().target
    for r in digits.values():
        assert [target[int(name.split("/")[1])] for name in r.names] == r.labels.tolist()


def test_events_are_what_they_should_be(digits):
    for events in (e for r in digits.values() for e in r.events):
        assert events.dtype == EVENT
        assert 400 < len(events) < 1500
        assert events["x"].min() >= 0 and events["x"].max() < 16 and events["y"].min() >= 0 and events["y"].max() < 16
        assert set(np.unique(events["p"])) == {0, 1}
        assert events["t"][0] >= 0 and events["t"][-1] < 300_000 and (np.diff(events["t"]) >= 0).all()


def test_the_same_bytes_every_time(digits):
    digest = hashlib.sha256()
    for r in digits.values():
        for events in r.events:
            digest.update(events.tobytes())
    assert digest.hexdigest() == "c0a59f773e68a00ddf974c218bd6a1922a36d58f2e385024c0e69e51ad34a5be"


def test_a_digit_does_not_depend_on_the_others(digits):
    from sklearn.datasets import load_digits

    index = int(digits["test"].names[7].split("/")[1])
    (alone,) = module.simulate(load_digits().images[[index]] / 16, [index])
    assert np.array_equal(alone, digits["test"].events[7])
    (other,) = module.simulate(load_digits().images[[index]] / 16, [index + 1])
    assert not np.array_equal(alone, other)


def test_on_events_lead_the_white_digit_on_its_way(digits):
    """Right and down, right and up, left: brightness comes up on the side that it moves to."""
    lead = np.zeros((400, 3, 2))
    for i, events in enumerate(digits["test"].events):
        for side in range(3):
            part = events[events["t"] // 100_000 == side]
            on = part["p"] == 1
            lead[i, side] = [part[a][on].mean() - part[a][~on].mean() for a in "xy"]
    for side, axis, sign in ((0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, -1), (2, 0, -1)):
        assert (np.sign(lead[:, side, axis]) == sign).mean() > 0.95


def test_events_follow_brightness_to_within_a_threshold(monkeypatch):
    """From where it started, a pixel's ON events less its OFF events, times the threshold, lead to its brightness."""
    monkeypatch.setattr(module, "_noise", lambda random: np.empty(0, EVENT))
    picture = np.zeros((1, 8, 8))
    picture[0, 2:6, 2:6] = 1
    path = list(module._path())
    (events,) = module.simulate(picture, [3])
    # The path is closed, so cut it after the first saccade.
    first = events[events["t"] < 100_000]
    net = np.zeros((16, 16), int)
    np.add.at(net, (first["y"], first["x"]), 2 * first["p"].astype(int) - 1)
    random = np.random.RandomState(3)
    amplitude, middle = random.uniform(*module._AMPLITUDE), 7.5 + random.uniform(-module._OFFSET, module._OFFSET, 2)

    def light(place):
        (cx, cy), out = middle + amplitude * place, np.zeros((16, 16))
        for y in range(16):
            for x in range(16):
                u, v = (x - cx) / 1.5 + 3.5, (y - cy) / 1.5 + 3.5
                out[y, x] = sum(
                    max(0, 1 - abs(u - j)) * max(0, 1 - abs(v - i)) for i in range(2, 6) for j in range(2, 6)
                )
        return out

    start = light(path[0][1]) + random.randint(1 - module._THRESHOLD, module._THRESHOLD, (16, 16)) / 65536
    end = light(path[50][1])
    assert path[50][0] == 100_000 and np.abs(end - light(path[0][1])).max() > 0.9
    # Events stop up to one threshold short, whichever side they come from.
    assert np.abs(start + net * 0.15 - end).max() < 0.15 + 1e-3


def test_no_instant_is_crowded(digits):
    """Had all pixels begun at their own brightness, the end of the closed path would be one burst."""
    t = np.concatenate([e["t"] for e in digits["test"].events])
    assert np.bincount(t).max() < 25


def test_a_linear_classifier_reads_the_frames(digits):
    from sklearn.linear_model import RidgeClassifier

    enc = default_encoder("digits")
    assert (enc.tokens, enc.channels, enc.frames * enc.frame_us) == (16, 128, 300_000)
    frames = {split: enc.frames_of_all(r.events).reshape(len(r), -1).astype(np.float64) for split, r in digits.items()}
    model = RidgeClassifier(alpha=100).fit(frames["train"], digits["train"].labels)
    assert model.score(frames["test"], digits["test"].labels) > 0.93

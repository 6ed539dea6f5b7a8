"""The synthetic gestures: the same from the same seed, in dvs128's layout, the right arm on the picture's left,
circles in the right sense.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import events
from events import convert_tree, dvs128, formats
from events.gestures import body, camera, moves
from events.gestures import generate as gestures
from sim.base import files, locks, seals
from sim.base.errors import UserError

REAL = Path(__file__).resolve().parents[3] / "shared/data/DVSGesture/ibmGestureTest/user00_sample"
USERS = range(1, 5)
clip = cache(gestures.clip)


def test_clip_is_determined_by_its_four_numbers(monkeypatch):
    monkeypatch.setattr(gestures, "SECONDS", 0.2)
    first = gestures.clip(5, 2, 1, 8)
    assert first.dtype == np.float32 and first.shape[1] == 4
    assert np.array_equal(first, gestures.clip(5, 2, 1, 8))
    for other in ((6, 2, 1, 8), (5, 3, 1, 8), (5, 2, 0, 8), (5, 2, 1, 7)):
        assert not np.array_equal(first, gestures.clip(*other))


def test_columns_are_in_range_and_times_in_order():
    x, y, p, ms = clip(1, 1, 0, 3).T
    assert set(np.unique(x)) <= set(range(128)) and set(np.unique(y)) <= set(range(128)) and set(np.unique(p)) == {0, 1}
    assert (np.diff(ms) >= 0).all() and 0 <= ms[0] < 20 and 1400 < ms[-1] < 1450


@pytest.mark.parametrize("label, side", [(1, -1), (2, 1), (3, -1), (4, -1), (5, 1), (6, 1)])
def test_right_arm_is_on_the_left_of_the_picture(label, side):
    mean = []
    for user in USERS:
        where = body.scene(np.random.RandomState([1, user, 0]))
        mean.append(clip(1, user, 0, label)[:, 0].mean())
        assert side * (mean[-1] - where.centre[0]) > 0
    assert side * (np.mean(mean) - 64) > 0


def swept(path):
    """Area that a path sweeps about its mean, in pixels squared; positive from the picture's top to its left."""
    x, y = (path - path.mean(0)).T
    return -(x[:-1] * y[1:] - y[:-1] * x[1:]).sum() / 2


def turning(table):
    """Which way events go round: the area that the densest place of each 40 ms sweeps (density squared, so that
    noise weighs little).
    """
    x, y, frame = (column.astype(int) for column in (table[:, 0] // 8, table[:, 1] // 8, table[:, 3] // 40))
    count = np.zeros((frame.max() + 1, 16, 16))
    np.add.at(count, (frame, y, x), 1)
    weight = count[:36] ** 2 / (count[:36] ** 2).sum((1, 2), keepdims=True)
    return swept(8 * np.stack([weight.sum(1) @ np.arange(16), weight.sum(2) @ np.arange(16)], 1))


@pytest.mark.parametrize("clockwise, counter", [(3, 4), (5, 6)])
def test_circles_turn_in_opposite_senses(clockwise, counter):
    """Clockwise for the subject is up, to the subject's right (the picture's left), and down."""
    assert all(turning(clip(1, user, 0, clockwise)) > 0 for user in USERS)
    assert all(turning(clip(1, user, 0, counter)) < 0 for user in USERS)


@pytest.mark.parametrize("label, sense", [(3, 1), (4, -1), (5, 1), (6, -1)])
def test_drawn_hands_turn_in_their_sense(label, sense):
    """Of two hundred subjects, whether or not the hand stays in the picture."""
    t = np.arange(145) / 100
    for user in range(200):
        random = np.random.RandomState([2, user])
        who, where = body.subject(random), body.scene(random)
        _, _, _, _, shadows = body.shapes(who, where, moves.MOVES[label], random, t)
        assert sense * swept(shadows[:, 2 if label < 5 else 5]) > 0  # the shadow of the hand goes as the hand does


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real clips at {REAL}")
def test_senses_and_sides_are_those_of_real_clips():
    real = [np.load(REAL / f"{label}.npy") for label in range(5)]
    assert turning(real[3]) > 0 > turning(real[4])
    assert real[1][:, 0].mean() < 64 < real[2][:, 0].mean()
    assert {table.dtype for table in real} == {clip(1, 1, 0, 0).dtype}


def test_rates_and_polarities_are_in_the_range_of_real_clips():
    """Real clips have 63 to 181 thousand events, 49 to 52 % of them ON; synthetic cameras differ a little more."""
    tables = [clip(1, user, 0, label) for user in USERS for label in range(1, 7)]
    assert 63_000 < np.median([len(table) for table in tables]) < 181_000
    assert all(10_000 < len(table) < 700_000 for table in tables)
    assert all(0.44 < table[:, 2].mean() < 0.58 for table in tables)


@pytest.mark.parametrize("label", range(11))
def test_every_movement_keeps_to_the_length_of_the_arm(label):
    build = moves.Build(0.18, 0.3, 0.25, 0.17, 1.0)
    t = np.arange(100) / 100
    for seed in range(5):
        pose = moves.MOVES[label](moves.Timing(np.random.RandomState(seed), t, 1.0, 1.0), build)
        for side, arm in ((moves.RIGHT, pose.right), (moves.LEFT, pose.left)):
            shoulder = np.broadcast_to(build.at(side), (100, 3))
            elbow, wrist = body._bend(shoulder, arm.wrist, arm.pole, build.upper, build.fore)
            assert np.allclose(np.linalg.norm(elbow - shoulder, axis=1), build.upper, atol=1e-6)
            assert np.allclose(np.linalg.norm(wrist - elbow, axis=1), build.fore, atol=1e-6)


def film(shaded, shot=0.0):
    """Events of a wall, of brightness 0, with a soft shadow of depth 0.25 on pixel (64, 64) at the moments that
    `shaded` says, 1 ms apart; thresholds are 0.1 (ON) and 0.12 (OFF), and pixels follow at once."""
    n = len(shaded)
    on, off = np.full((128, 128), 0.1, np.float32), np.full((128, 128), 0.12, np.float32)
    shadows = np.array([[(64, 64) if there else (1000, 1000)] for there in shaded], np.float32)
    noise, out = np.random.RandomState(0).normal(size=1 << 16).astype(np.float32), np.zeros((100_000, 4))
    count = camera._film(
        np.zeros((128, 128), np.float32),
        np.zeros(0, body.PART),
        np.zeros((n, 0, 6), np.float32),
        np.zeros((n, 0), np.int16),
        np.zeros((n, 3, 2), np.float32),
        shadows,
        np.full(1, 10, np.float32),
        np.float32(0.25),
        np.float32(100),
        np.zeros((64, 64), np.float32),
        0.001,
        1e-9,
        1e-6,
        on,
        off,
        np.zeros((128, 128), np.float32),
        np.float32(shot),
        noise,
        out,
    )
    return out[:count]


def test_a_step_of_brightness_gives_as_many_events_as_thresholds():
    assert len(film([1] * 20)) == 0
    darker = film([1] * 5 + [0] * 5 + [1] * 5)
    here = darker[(darker[:, 0] == 64) & (darker[:, 1] == 64)]
    # From -0.25 to 0 crosses -0.15 and -0.05; back to -0.25 crosses -0.17.
    assert here[:, 2].tolist() == [1, 1, 0]
    assert (here[:2, 3] >= 0.004).all() and (here[:2, 3] <= 0.005).all() and 0.009 <= here[2, 3] <= 0.010
    assert len(darker[(darker[:, 0] == 0) & (darker[:, 1] == 0)]) == 0


def test_noise_alone_makes_a_still_picture_fire():
    assert len(film([1] * 50, shot=0.04)) > 100


def test_noise_is_as_much_at_the_start_as_later():
    n = round(gestures.SECONDS * gestures.RATE) + 1
    empty = (
        np.zeros(0, body.PART),
        np.zeros((n, 0, 6), np.float32),
        np.zeros((n, 0), np.int16),
        np.zeros((n, 3, 2), np.float32),
        np.full((n, 1, 2), 1000, np.float32),
    )
    scenes = [body.scene(np.random.RandomState(i)) for i in range(5)]
    tables = [
        camera.record(scene, np.random.RandomState(9), empty, gestures.SECONDS, gestures.RATE) for scene in scenes
    ]
    count, _ = np.histogram(np.concatenate(tables)[:, 3], bins=5, range=(0, 1000 * gestures.SECONDS))
    assert count.min() > 500 and count[0] < 1.3 * count[1:].mean()


def test_plan_separates_subjects():
    for clips in (33, 100, 1000):
        todo = gestures.plan(clips)
        assert len(todo) == clips == len({path for path, *_ in todo})
        train, test = ({user for path, user, *_ in todo if part in path} for part in ("Train", "Test"))
        assert train and test and not train & test
        assert {label for path, _, _, label in todo if "Test" in path} == set(range(11))
    assert 0.15 < len(test) / len(test | train) < 0.25
    with pytest.raises(UserError, match="32 clips are too few"):
        gestures.plan(32)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data folder with a set of very short clips."""
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gestures, "SECONDS", 0.05)
        gestures.write(root / "gestures", 33, 4, workers=2)
    return root


def test_written_as_dvs128_and_read_by_its_code(root):
    users, count = {}, 0
    for split in events.registry.SPLITS:
        part, same = events.load("gestures", split, root), dvs128.load(split, root / "gestures")
        assert part.names == same.names and part.classes == dvs128.CLASSES and (part.height, part.width) == (128, 128)
        assert sorted(part.labels) == list(range(11))
        assert all(e.dtype == events.EVENT and len(e) for e in part.events)
        users[split], count = {name.split("/")[1].split("_")[0] for name in part.names}, count + len(part)
    assert count == 33 and len(set.union(*users.values())) == sum(map(len, users.values()))
    path = root / "gestures/DVSGesture/ibmGestureTrain/user01_natural/3.npy"
    assert np.load(path).dtype == np.float32
    encoder = events.default_encoder("gestures")
    assert (encoder.tokens, encoder.channels) == (64, 200) and encoder == events.default_encoder("dvs128")


def test_goes_on_where_it_was_interrupted(root, monkeypatch):
    monkeypatch.setattr(gestures, "SECONDS", 0.05)
    folder = root / "gestures"
    lost, kept = (folder / f"DVSGesture/ibmGestureTrain/user01_natural/{label}.npy" for label in (3, 4))
    before, age = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    done = []
    gestures.write(folder, 33, 4, workers=1, done=lambda: done.append(1))
    assert lost.read_bytes() == before and kept.stat().st_mtime_ns == age and len(done) == 33
    assert not list(folder.rglob(".*.tmp"))


def test_never_mixes_sets(root, tmp_path):
    with pytest.raises(UserError, match="holds 33 clips of seed 4"):
        gestures.write(root / "gestures", 33, 5)
    (tmp_path / "DVSGesture").mkdir()
    with pytest.raises(UserError, match="did not write"):
        gestures.write(tmp_path, 33, 5)


def test_an_unfinished_set_is_not_read(tmp_path):
    def stop():
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gestures, "SECONDS", 0.05)
        gestures.write(tmp_path / "gestures", 33, 4, workers=1, done=stop)
    with pytest.raises(UserError, match="unfinished; run again: python -m events gestures .*--clips 33 --seed 4"):
        events.load("gestures", "train", tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00\xff"])
def test_broken_stamp_is_named(tmp_path, text):
    (tmp_path / "gestures").mkdir()
    (tmp_path / "gestures/gestures.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="gestures.json' cannot be read"):
        events.load("gestures", "train", tmp_path)


def test_missing_set_says_what_makes_it(tmp_path):
    with pytest.raises(UserError, match="python -m events gestures --out"):
        events.load("gestures", "train", tmp_path)


def run(*arguments):
    command = [sys.executable, "-m", "events", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"COLUMNS": "200"})


def test_command_reports_a_users_mistake_in_one_line(tmp_path):
    (tmp_path / "DVSGesture").mkdir()
    made = run("gestures", "--out", str(tmp_path), "--clips", "33")
    assert made.returncode == 2 and "Traceback" not in made.stderr
    assert [line for line in made.stderr.splitlines() if line.startswith("error: ")] == made.stderr.splitlines()[-1:]
    assert run("gestures", "--clips", "3").returncode == 2


def test_command_lists_data_sets():
    listed = run("list")
    assert listed.returncode == 0 and all(name in listed.stdout for name in events.DATASETS)


def test_a_turned_bit_of_a_clip_is_seen(tmp_path, monkeypatch):
    """A generated clip, and an imported recording: each bit that turns is refused, by name and with what to do."""
    path = tmp_path / "gestures" / "a.npy"
    path.parent.mkdir()
    made = np.float32([[1, 2, 1, 0], [3, 4, 0, 1.5], [5, 6, 1, 2.25]])
    files.fill(path, lambda f: np.save(f, made), seal=True)
    whole = path.read_bytes()
    assert np.array_equal(dvs128.read(path)["x"], [1, 3, 5])
    for i in range(128, len(whole) - seals.LENGTH):
        broken = bytearray(whole)
        broken[i] ^= 4
        path.write_bytes(broken)
        seals._checked.clear()
        with pytest.raises(UserError, match="a.npy: damaged: .*; delete it, and generate or copy it again"):
            dvs128.read(path)
        with pytest.raises(UserError, match="a.npy: damaged: .*; import or copy it again"):
            formats.read(path, None, 1)
    monkeypatch.setattr(gestures, "clip", lambda *numbers: made)
    gestures._write_one(path, 1, 1, 0, 0, lambda: None)  # what the same command does with it
    assert path.read_bytes() == whole
    path.write_bytes(whole[: -seals.LENGTH])  # of another program
    assert np.array_equal(dvs128.read(path)["x"], [1, 3, 5])


def test_two_generators_in_one_folder(tmp_path):
    with locks.held(tmp_path / "g", "writes gestures", "wait"):
        with pytest.raises(UserError, match="process .* writes gestures here since .*; wait for it, or choose another"):
            gestures.write(tmp_path / "g", 33, 1)
    with locks.held(tmp_path / "out", "imports", "wait"):
        (tmp_path / "in").mkdir()
        np.save(tmp_path / "in/a.npy", np.zeros((3, 4)))
        with pytest.raises(UserError, match="process .* imports here since .*; wait for it, or name another folder"):
            convert_tree.convert(tmp_path / "in", tmp_path / "out")


def test_what_was_imported_and_is_damaged_is_imported_again(tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in/a.npy", np.float32([[1, 2, 1, 0], [3, 4, 0, 1.5], [5, 6, 1, 2.25]]))
    assert convert_tree.convert(tmp_path / "in", tmp_path / "out", 1000)["written"] == 1
    [path] = (tmp_path / "out").glob("*.npy")
    whole = path.read_bytes()
    assert convert_tree.convert(tmp_path / "in", tmp_path / "out", 1000)["kept"] == 1
    path.write_bytes(whole[:130] + b"x" + whole[131:])
    assert convert_tree.convert(tmp_path / "in", tmp_path / "out", 1000)["written"] == 1
    assert path.read_bytes() == whole

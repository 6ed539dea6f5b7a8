"""Data sets that are read from files, and what is said when they are not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import DATASETS, default_encoder, load
from events import dvs128 as dvs128_module
from events import nmnist as nmnist_module
from events.recordings import EVENT, as_events
from sim.base.errors import UserError

REPO = Path(__file__).resolve().parents[2]
REAL = REPO.parent / "shared" / "data"
real_nmnist = pytest.mark.skipif(
    not (REAL / "NMNIST").is_dir(), reason="the 1,000 N-MNIST recordings are not here (../shared/data/NMNIST)"
)
real_dvs128 = pytest.mark.skipif(
    not (REAL / "DVSGesture").is_dir(), reason="the five DVS128 clips are not here (../shared/data/DVSGesture)"
)


def record(x, y, p, t):
    return bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])


def nmnist_tree(root, **counts):
    """A tree with so many files per class in each part; the file's number is its first event's time."""
    number = 0
    for part, count in counts.items():
        for label in range(10):
            folder = root / part / str(label)
            folder.mkdir(parents=True)
            for _ in range(count):
                number += 1
                (folder / f"{number:05d}.bin").write_bytes(record(label, 1, 1, number))


def names(name, root):
    return {split: load(name, split, root).names for split in ("train", "val", "test")}


# ---- N-MNIST


@pytest.mark.parametrize("inside", ["NMNIST", "."])
def test_nmnist_partial_tree(tmp_path, inside):
    nmnist_tree(tmp_path / inside, Train=20)
    (tmp_path / inside / "Train" / "3" / "._00061.bin").write_bytes(b"")
    (tmp_path / inside / "Train" / "3" / "notes.txt").write_text("not a recording")
    parts = {split: load("nmnist", split, tmp_path) for split in ("train", "val", "test")}
    assert {split: np.bincount(r.labels).tolist() for split, r in parts.items()} == {
        "train": [14] * 10,
        "val": [2] * 10,
        "test": [4] * 10,
    }
    assert len({name for r in parts.values() for name in r.names}) == 200
    for r in parts.values():
        for label, name, events in zip(r.labels, r.names, r.events):
            assert (
                name.split("/")[1] == str(label) and events["x"][0] == label and events["t"][0] == int(Path(name).stem)
            )
    assert parts["val"].names[:2] == ["Train/0/00008.bin", "Train/0/00018.bin"]
    assert parts["test"].names[:4] == [
        "Train/0/00005.bin",
        "Train/0/00010.bin",
        "Train/0/00015.bin",
        "Train/0/00020.bin",
    ]


def test_nmnist_with_test_part_holds_only_validation_out_of_training(tmp_path):
    nmnist_tree(tmp_path, Train=20, Test=3)
    found = names("nmnist", tmp_path)
    assert {split: len(n) for split, n in found.items()} == {"train": 180, "val": 20, "test": 30}
    assert not set(found["train"]) & set(found["val"])
    assert all(n.startswith("Test/") for n in found["test"]) and all(
        n.startswith("Train/") for n in found["train"] + found["val"]
    )


def test_nmnist_split_does_not_depend_on_the_order_of_the_folder(tmp_path, monkeypatch):
    nmnist_tree(tmp_path, Train=12)
    before = names("nmnist", tmp_path)
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: reversed(sorted(glob(self, pattern))))
    assert names("nmnist", tmp_path) == before


def test_nmnist_numbers_are_sorted_as_numbers(tmp_path):
    folder = tmp_path / "Train" / "0"
    folder.mkdir(parents=True)
    for number in (100, 9, 20, 1):
        (folder / f"{number}.bin").write_bytes(record(0, 0, 0, 1))
    assert load("nmnist", "train", tmp_path).names == [
        "Train/0/1.bin",
        "Train/0/9.bin",
        "Train/0/20.bin",
        "Train/0/100.bin",
    ]


def test_nmnist_record_and_time_overflow(tmp_path):
    path = tmp_path / "1.bin"
    path.write_bytes(
        record(33, 2, 1, 0x012345)
        + record(0, 240, 0, 0)
        + record(5, 33, 0, 0x7FFFFF)
        + record(0, 240, 1, 77)
        + record(6, 0, 1, 9)
    )
    events = nmnist_module.read(path)
    # The last one is earlier than the others: sorted by time.
    assert events.tolist() == [(6, 0, 1, 9 + 2 * 8192), (33, 2, 1, 0x012345), (5, 33, 0, 0x7FFFFF + 8192)]


@pytest.mark.parametrize(
    "content, what",
    [
        (record(1, 1, 1, 1)[:4], "truncated"),
        (record(1, 1, 1, 1) + b"\0", "truncated"),
        (b"", "no events"),
        (record(0, 240, 0, 0), "no events"),
        (record(34, 0, 0, 0), "x 34 is outside 0..33"),
        (record(0, 34, 0, 0), "y 34 is outside 0..33"),
    ],
)
def test_nmnist_broken_files_are_named(tmp_path, content, what):
    path = tmp_path / "00007.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^[^\n]*00007\.bin[^\n]*{what}[^\n]*$"):
        nmnist_module.read(path)


def test_nmnist_file_that_is_gone(tmp_path):
    nmnist_tree(tmp_path, Train=10)
    recordings = load("nmnist", "train", tmp_path)
    (tmp_path / recordings.names[0]).unlink()
    with pytest.raises(UserError, match="00001.bin cannot be read"):
        recordings.events[0]


@real_nmnist
def test_real_nmnist_counts():
    parts = {split: load("nmnist", split, REAL) for split in ("train", "val", "test")}
    assert {split: len(r) for split, r in parts.items()} == {"train": 708, "val": 96, "test": 196}
    classes = sum(np.bincount(r.labels) for r in parts.values())
    assert classes.sum() == 1000 and (classes.min(), classes.max()) == (87, 117)
    assert len({name for r in parts.values() for name in r.names}) == 1000
    events = [e for r in parts.values() for e in r.events]
    assert round(np.mean([len(e) for e in events])) == 4133
    assert all((np.diff(e["t"]) >= 0).all() for e in events)
    assert 300_000 < max(e["t"][-1] for e in events) < 320_000


@real_nmnist
def test_real_nmnist_axes_and_polarity():
    recordings = load("nmnist", "train", REAL)
    ones = [e for e, label in zip(recordings.events, recordings.labels) if label == 1]
    # A handwritten one is tall and leans to the right: y (down) falls as x grows.
    assert np.mean([e["y"].std() > e["x"].std() for e in ones]) > 0.95
    assert np.mean([np.corrcoef(e["x"], e["y"])[0, 1] for e in ones]) < -0.3
    # The picture moves down, up, and left in its three saccades, and ON lies behind.
    for side, axis, sign in ((0, "y", -1), (1, "y", 1), (2, "x", 1)):
        lead = []
        for e in recordings.events[:100]:
            part = e[e["t"] // 105_000 == side]
            lead.append(part[axis][part["p"] == 1].mean() - part[axis][part["p"] == 0].mean())
        assert (np.sign(lead) == sign).mean() > 0.95


@real_nmnist
def test_real_nmnist_equals_tonic():
    read_mnist_file = pytest.importorskip("tonic.io").read_mnist_file
    dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    paths = sorted((REAL / "NMNIST" / "Train").glob("*/*.bin"))[::25]
    assert len(paths) == 40
    for path in paths:
        ours, theirs = nmnist_module.read(path), read_mnist_file(str(path), dtype)
        assert all(np.array_equal(ours[name], theirs[name]) for name in ("x", "y", "p", "t"))


def test_nmnist_time_overflow_equals_tonic(tmp_path):
    read_mnist_file = pytest.importorskip("tonic.io").read_mnist_file
    path = tmp_path / "1.bin"
    path.write_bytes(
        record(1, 2, 1, 100)
        + record(0, 240, 0, 3)
        + record(5, 33, 0, 200)
        + record(0, 240, 1, 77)
        + record(6, 0, 1, 300)
    )
    theirs = read_mnist_file(str(path), np.dtype([("x", int), ("y", int), ("t", int), ("p", int)]))
    ours = nmnist_module.read(path)
    assert len(ours) == 3
    assert all(np.array_equal(ours[name], theirs[name]) for name in ("x", "y", "p", "t"))


# ---- DVS128 Gesture


def clip(path, rows, dtype=np.float32):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(rows, dtype))


def dvs128_tree(root):
    for user in range(1, 24):
        for light in ("led", "natural"):
            for label in (10, 2):
                clip(
                    root / "ibmGestureTrain" / f"user{user:02d}_{light}" / f"{label}.npy",
                    [[user, label, 1, 0.5], [user, label, 0, 2.25]],
                )
    clip(root / "ibmGestureTest" / "user24_fluorescent_led" / "3.npy", [[24, 3, 1, 7]])


def test_dvs128_splits_by_subject(tmp_path):
    dvs128_tree(tmp_path / "DVSGesture")
    parts = {split: load("dvs128", split, tmp_path) for split in ("train", "val", "test")}
    users = {split: {int(e["x"][0]) for e in r.events} for split, r in parts.items()}
    assert users == {"train": set(range(1, 21)), "val": {21, 22, 23}, "test": {24}}
    assert [len(r) for r in parts.values()] == [80, 12, 1]
    assert parts["val"].names[:3] == [f"ibmGestureTrain/user21_{file}.npy" for file in ("led/2", "led/10", "natural/2")]
    for r in parts.values():
        assert [int(e["y"][0]) for e in r.events] == r.labels.tolist()


def test_dvs128_one_subject_cannot_be_split(tmp_path):
    clip(tmp_path / "ibmGestureTrain" / "user01_led" / "0.npy", [[0, 0, 0, 0]])
    with pytest.raises(UserError, match="at least two users"):
        load("dvs128", "train", tmp_path)


def test_dvs128_time_is_milliseconds_from_the_first_event(tmp_path):
    clip(tmp_path / "1.npy", [[1, 2, 1, 1000.5], [127, 0, 0, 1000.25], [3, 127, 1, 1002]])
    assert dvs128_module.read(tmp_path / "1.npy").tolist() == [(127, 0, 0, 0), (1, 2, 1, 250), (3, 127, 1, 1750)]
    clip(tmp_path / "2.npy", [[1, 2, 1, 5], [1, 2, 0, 9]], np.int32)
    assert dvs128_module.read(tmp_path / "2.npy").tolist() == [(1, 2, 1, 0), (1, 2, 0, 4000)]


@pytest.mark.parametrize(
    "rows, what",
    [
        ([[128, 0, 0, 0]], "x 128.0 is outside"),
        ([[0, -1, 0, 0]], "y -1.0 is outside"),
        ([[0, 0, 2, 0]], "polarity 2.0 is outside"),
        ([[np.nan, 0, 0, 0]], "x nan is outside"),
        ([[0, 0, 0, np.nan]], "time nan is outside"),
        ([[0, 0, 0, 1], [0, 0, 0, np.inf]], "time inf is outside"),
        ([[0.5, 0, 0, 0]], "x is not a whole number"),
        ([[0, 0, 0]], "four columns"),
        ([0, 0, 0, 0], "four columns"),
        (np.zeros((0, 4)), ""),
    ],
)
def test_dvs128_broken_clips_are_named(tmp_path, rows, what):
    clip(tmp_path / "4.npy", rows)
    with pytest.raises(UserError, match=rf"^[^\n]*4\.npy[^\n]*{what}[^\n]*$"):
        dvs128_module.read(tmp_path / "4.npy")


def test_dvs128_files_that_are_no_tables(tmp_path):
    path = tmp_path / "4.npy"
    np.save(path, np.array([[{}, 1, 2, 3]], object), allow_pickle=True)
    contents = [
        path.read_bytes(),
        b"",
        b"hello",
        (lambda b: b[:-8])(_npy(tmp_path, np.zeros((3, 4)))),
        _npy(tmp_path, np.zeros((3, 4), complex)),
    ]
    with open(path, "wb") as f:
        np.savez(f, a=np.zeros(3))
    contents.append(path.read_bytes())
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"^[^\n]*4\.npy is not a [^\n]*$"):
            dvs128_module.read(path)


def _npy(folder, array):
    np.save(folder / "any.npy", array)
    return (folder / "any.npy").read_bytes()


def test_dvs128_label_out_of_range(tmp_path):
    clip(tmp_path / "ibmGestureTest" / "user24_led" / "11.npy", [[0, 0, 0, 0]])
    with pytest.raises(UserError, match="11.npy: the file's name is its label, expected 0 to 10"):
        load("dvs128", "test", tmp_path)


@real_dvs128
def test_real_dvs128_clips():
    recordings = load("dvs128", "test", REAL)
    assert recordings.labels.tolist() == [0, 1, 2, 3, 4] and recordings.names[2] == "ibmGestureTest/user00_sample/2.npy"
    events = list(recordings.events)
    assert [len(e) for e in events] == [63471, 84260, 113063, 151879, 181179]
    for e in events:
        assert e["t"][0] == 0 and 1_400_000 < e["t"][-1] < 1_450_000 and (np.diff(e["t"]) >= 0).all()
        assert (e["x"].min(), e["y"].min(), e["x"].max(), e["y"].max()) == (0, 0, 127, 127)
    # The subject's right hand is on the left of the picture, the left hand on the right.
    assert recordings.classes[1:3] == ("right hand wave", "left hand wave")
    assert events[1]["x"].mean() < 50 and events[2]["x"].mean() > 78
    frames = default_encoder("dvs128").frames_of_all(recordings.events)
    assert frames.shape == (5, 12, 2, 64, 64) and frames.any(axis=(2, 3, 4)).all()
    for label, e in enumerate(events):
        raw = np.load(REAL / "DVSGesture" / recordings.names[label])
        assert (
            np.array_equal(e["x"], raw[:, 0])
            and np.array_equal(e["y"], raw[:, 1])
            and np.array_equal(e["p"], raw[:, 2])
        )
        assert np.abs(e["t"] - (raw[:, 3].astype(float) - raw[0, 3]) * 1000).max() <= 0.5


# ---- names, messages, imports

AVAILABLE = ", ".join(DATASETS)
PARTS = {
    "nmnist": ("Train/", "Test/", "md5", "files", "tonic.datasets"),
    "gestures": ("python -m events gestures",),
    "dvs128": (
        "ibmGestureTrain/",
        "ibmGestureTest/",
        "md5",
        "files",
        "tonic.datasets",
        "trials_to_train.txt",
        "_labels.csv",
        "DvsGesture.tar.gz",
    ),
    "cifar10dvs": ("CIFAR10DVS/<class>/", "md5", "tonic.datasets", "CIFAR10DVS/<class>.zip"),
    "cifar10": ("data_batch_1.bin", "bytes", "md5", "binary version", "cifar10/train/<class>/"),
    "cifar100": ("train.bin", "bytes", "md5", "binary version", "cifar100/train/<class>/"),
    "imagenet": ("train/<wnid>/", "val/<wnid>/", "md5", "files"),
    "folder": ("<class>/<file>", "folder.json", ".aedat4"),
}


def test_all_sets_can_be_read():
    assert set(DATASETS) == {"digits", *PARTS}


@pytest.mark.parametrize("name", sorted(PARTS))
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_missing_files_give_one_line_that_helps(tmp_path, name, split):
    with pytest.raises(UserError) as e:
        load(name, split, tmp_path / "nowhere")
    text = str(e.value)
    assert "\n" not in text
    for part in (
        name,
        split,
        str(tmp_path / "nowhere"),
        "DATA_ROOT",
        *PARTS[name],
        "'digits' is embedded and runs now",
    ):
        assert part in text


def test_root_comes_from_the_environment_or_is_data(tmp_path, monkeypatch):
    nmnist_tree(tmp_path / "elsewhere", Train=10)
    nmnist_tree(tmp_path / "data", Train=20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_ROOT", raising=False)
    assert len(load("nmnist", "test")) == 40
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "elsewhere"))
    assert len(load("nmnist", "test")) == 20
    assert len(load("nmnist", "test", "data")) == 40


def test_unknown_set_and_unknown_part():
    with pytest.raises(UserError, match=f"^no data set 'mnist'; available: {AVAILABLE}$"):
        load("mnist", "train")
    with pytest.raises(UserError, match="^no part 'valid' of a data set; expected one of: train, val, test$"):
        load("digits", "valid")


@pytest.mark.parametrize("name", [d.name for d in DATASETS.values() if d.encoder])
def test_default_encoder_fits_the_sensor(name, tmp_path):
    entry, enc = DATASETS[name], default_encoder(name, tmp_path)
    assert (enc.height, enc.width) == (entry.height, entry.width) and enc == default_encoder(name)
    assert len(set(entry.classes)) == len(entry.classes) and (len(entry.classes) > 1 or name == "imagenet")


def test_only_the_folder_set_needs_files_for_its_encoder(tmp_path):
    assert [d.name for d in DATASETS.values() if not d.encoder] == ["folder"]
    with pytest.raises(UserError, match="data set 'folder': no recordings"):
        default_encoder("folder", tmp_path / "nowhere")


# ---- the command


def check(*arguments):
    command = [sys.executable, "-m", "events", "check", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=REPO, env=os.environ | {"COLUMNS": "200"}
    )


def test_list_names_every_set_and_what_it_needs():
    done = subprocess.run(
        [sys.executable, "-m", "events", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPO,
        env=os.environ | {"COLUMNS": "4000"},
    )
    assert done.returncode == 0 and all(entry.where in done.stdout for entry in DATASETS.values())


def test_check_says_what_is_there_and_what_is_broken(tmp_path):
    nmnist_tree(tmp_path, Train=10)
    good = check("--dataset", "nmnist", "--data-root", str(tmp_path), "--json")
    facts = json.loads(good.stdout)
    assert good.returncode == 0 and {split: part["recordings"] for split, part in facts["parts"].items()} == {
        "train": 70,
        "val": 10,
        "test": 20,
    }
    assert all(
        part["files_per_s"] > 0 and part["cache_per_s"] > 0 and part["broken"] == [] for part in facts["parts"].values()
    )
    (tmp_path / load("nmnist", "val", tmp_path).names[3]).write_bytes(b"no")
    bad = check("--dataset", "nmnist", "--data-root", str(tmp_path))
    assert bad.returncode == 1 and "broken: " in bad.stdout and "is truncated" in bad.stdout
    wrong = check("--data-root", str(tmp_path / "nowhere"))
    assert (
        wrong.returncode == 2
        and wrong.stderr.startswith("error: data set 'folder'")
        and "Traceback" not in wrong.stderr
    )


# ---- broken files


def test_skip_bad_leaves_broken_files_out_and_names_them(tmp_path, monkeypatch):
    nmnist_tree(tmp_path, Train=10)
    whole = load("nmnist", "train", tmp_path)
    for number, content in ((1, b"abc"), (12, b"")):
        (tmp_path / whole.names[number]).write_bytes(content)
    recordings = load("nmnist", "train", tmp_path)
    assert len(recordings) == 70 and recordings.skipped == ()
    with pytest.raises(UserError, match=f"{whole.names[1]} is truncated"):
        recordings.events[1]
    sound = load("nmnist", "train", tmp_path, skip_bad=True)
    assert (
        len(sound.skipped) == 2
        and whole.names[1] in sound.skipped[0]
        and whole.names[12] in sound.skipped[1]
        and "no events" in sound.skipped[1]
    )
    rest = [i for i in range(70) if i not in (1, 12)]
    assert sound.names == [whole.names[i] for i in rest] and sound.labels.tolist() == whole.labels[rest].tolist()
    assert [len(e) for e in sound.events] == [1] * 68 and all(
        e["x"][0] == label for e, label in zip(sound.events, sound.labels)
    )
    assert (
        load("nmnist", "val", tmp_path, skip_bad=True).skipped == ()
        and load("digits", "val", skip_bad=True).skipped == ()
    )
    # What was found is remembered, until a file changes.
    with monkeypatch.context() as patch:
        patch.setattr(nmnist_module, "columns", None)
        assert load("nmnist", "train", tmp_path, skip_bad=True).skipped == sound.skipped
    (tmp_path / whole.names[12]).write_bytes(record(1, 1, 1, 1))
    assert len(load("nmnist", "train", tmp_path, skip_bad=True)) == 69


def test_skip_bad_with_nothing_left(tmp_path):
    for number in range(10):
        (tmp_path / "Train/3").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"Train/3/{number}.bin").write_bytes(b"?")
    with pytest.raises(
        UserError, match=r"^none of the 7 recordings can be read, the first because: [^\n]*0.bin is truncated[^\n]*$"
    ):
        load("nmnist", "train", tmp_path, skip_bad=True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 33, 33, -1, 34, 0.5, float("nan")]),
            st.integers(-1, 34),
            st.integers(-1, 2),
            st.sampled_from([-1, 0, 0.4, 0.5, 1.5, 7, 8, 9, 10, 2**53, 2**54, float("inf")]),
        ),
        max_size=5,
    ),
    st.integers(0, 5),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_columns_in_one_pass_and_in_many(rows, sound, sort):
    """The compiled pass gives what numpy gives, the same message included; half precision takes the second way, which
    all dtypes may.
    """
    rows = [(1, 2, 0, 3), (33, 33, 1, 3.5), (0, 0, 1, 3.5), (5, 6, 0, 1024), (0, 1, 0, 2048)][:sound] + rows
    columns = np.array(rows, np.float64).reshape(-1, 4).T
    results = []
    for first in (columns[0].astype(np.float64), columns[0].astype(np.float16)):
        try:
            results.append(as_events(first, *columns[1:], 34, 34, "a file", sort).tolist())
        except UserError as e:
            results.append(str(e))
    assert results[0] == results[1]
    if rows and results[0] and isinstance(results[0], list):
        order = sorted(rows, key=lambda row: np.rint(row[3]))
        assert results[0] == np.array([(x, y, p, np.rint(t)) for x, y, p, t in order], EVENT).tolist()


def test_files_slice_without_reading(tmp_path):
    nmnist_tree(tmp_path, Train=10)
    events = load("nmnist", "train", tmp_path).events
    for path in events.paths[3:]:
        path.unlink()
    head = events[:3]
    assert len(head) == 3 and [e["t"][0] for e in head] == [1, 2, 3]


def test_import_needs_neither_torch_nor_anything_slow():
    code = (
        "import sys\nfor name in ('torch', 'tonic', 'sklearn', 'lava', 'numba', 'PIL', 'rich', 'dv_processing'):"
        " sys.modules[name] = None\nimport events\nprint(events.default_encoder('digits').tokens)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stdout == "16\n", done.stderr

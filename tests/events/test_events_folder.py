"""Your own recordings in folders, the formats they may have, and CIFAR10-DVS, whose files are such ones."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import default_encoder, formats, load
from sim.base.errors import UserError

ROWS = np.array([[3, 9, 1, 10], [0, 1, 0, 10], [15, 2, 1, 250]])  # x, y, p, t
EVENTS = [(3, 9, 1, 0), (0, 1, 0, 0), (15, 2, 1, 240)]
FIELDS = [("x", "<u2"), ("y", "<u2"), ("p", "?"), ("t", "<i8")]


def structured(rows=ROWS, names=("x", "y", "p", "t")):
    out = np.empty(len(rows), [(name, kind) for name, (_, kind) in zip(names, FIELDS)])
    for name, column in zip(names, np.asarray(rows).T):
        out[name] = column
    return out


def write_npz(path, rows=ROWS, **kinds):
    np.savez_compressed(path, **{k: c.astype(kinds.get(k, np.int64)) for k, c in zip("xypt", np.asarray(rows).T)})


def write_aedat4(path, rows=ROWS, size=(128, 128)):
    dv = pytest.importorskip("dv_processing", reason="the extra `events` is not installed")
    store = dv.EventStore()
    for x, y, p, t in np.asarray(rows).tolist():
        store.push_back(1_700_000_000_000_000 + t, x, y, bool(p))
    writer = dv.io.MonoCameraWriter(str(path), dv.io.MonoCameraWriter.EventOnlyConfig("test", size))
    writer.writeEvents(store)


def tree(root, classes=("cat", "dog"), count=10, write=None, side=16):
    """Files whose number is in the first event's time; every class has its own x."""
    r = np.random.default_rng(3)
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            t = np.sort(r.integers(0, 5000, 20))
            rows = np.stack([np.full(20, label), r.integers(0, side, 20), r.integers(0, 2, 20), t], 1)
            (write or (lambda path, rows: np.save(path.with_suffix(".npy"), structured(rows))))(
                root / name / f"{number:03d}", rows
            )


# ---- formats


@pytest.mark.parametrize(
    "name, write",
    [
        ("a.npy", lambda p: np.save(p, structured())),
        ("b.npy", lambda p: np.save(p, structured(names=("x", "y", "polarity", "timestamp")))),
        ("c.npy", lambda p: np.save(p, ROWS / [1, 1, 1, 1000])),
        ("d.npy", lambda p: np.save(p, np.asfortranarray(ROWS / [1, 1, 1, 1000], np.float64))),
        ("e.npz", write_npz),
        ("f.npz", lambda p: write_npz(p, ROWS * [1, 1, 2, 1] - [0, 0, 1, 0])),  # polarities -1 and 1
        ("g.npz", lambda p: write_npz(p, x=np.uint8, p=bool, t=np.uint64)),
        ("h.npz", lambda p: np.savez(p, events=structured())),
        ("i.npz", lambda p: write_npz(p, ROWS + [0, 0, 0, 2**52], t=np.uint64)),
        (
            "j.bin",
            lambda p: p.write_bytes(b"".join(bytes([x, y, q << 7, t >> 8, t & 255]) for x, y, q, t in ROWS.tolist())),
        ),
        ("k.aedat4", write_aedat4),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_formats_give_the_same_events(tmp_path, name, write):
    write(tmp_path / name)
    events, size = formats.read(tmp_path / name)
    assert events.tolist() == EVENTS and size == ((128, 128) if name.endswith("aedat4") else None)


def test_time_unit(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    assert formats.read(tmp_path / "a.npy")[0]["t"].tolist() == [0, 0, 240_000]
    assert formats.read(tmp_path / "a.npy", unit_us=1)[0]["t"].tolist() == [0, 0, 240]
    assert formats.read(tmp_path / "a.npy", unit_us=0.01)[0]["t"].tolist() == [0, 0, 2]
    (tmp_path / "a.bin").write_bytes(bytes([1, 1, 0, 0, 7, 1, 1, 0, 0, 9]))
    assert formats.read(tmp_path / "a.bin", unit_us=1000)[0]["t"].tolist() == [0, 2]  # this format says what it means


def member(path, name, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)


def npy_header(shape, kind="<i8"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "name, write, what",
    [
        ("a.npz", lambda p: p.write_bytes(b"PK\x03\x04no"), "is not an archive"),
        ("a.npz", lambda p: member(p, "x.npy", npy_header("(10000000000000,)")), "claims 80000000000000 bytes"),
        ("a.npz", lambda p: member(p, "x.npy", b"hello"), "is not an archive"),
        ("a.npz", lambda p: np.savez(p, x=np.array([{}], object), y=np.zeros(1)), "is not an archive"),
        (
            "a.npz",
            lambda p: np.savez(p, x=np.zeros(1), y=np.zeros(1), p=np.zeros(1)),
            "has no column 't' among 'x', 'y', 'p'",
        ),
        (
            "a.npz",
            lambda p: np.savez(p, x=np.zeros(2), y=np.zeros(1), p=np.zeros(1), t=np.zeros(1)),
            "columns of one length",
        ),
        (
            "a.npz",
            lambda p: np.savez(p, x=np.zeros((1, 1)), y=np.zeros(1), p=np.zeros(1), t=np.zeros(1)),
            "columns of one length",
        ),
        (
            "a.npz",
            lambda p: np.savez(p, x=np.array(["a"]), y=np.zeros(1), p=np.zeros(1), t=np.zeros(1)),
            "x is not numbers",
        ),
        ("a.npz", lambda p: np.savez(p), "has no column"),
        ("a.npy", lambda p: np.save(p, np.zeros((3, 5))), "neither a table with four columns"),
        ("a.npy", lambda p: np.save(p, np.zeros((3, 4), complex)), "x is not numbers"),
        ("a.npy", lambda p: np.save(p, np.zeros((0, 4))), "holds no events"),
        ("a.npy", lambda p: np.save(p, [[1, 1, 1, 1], [1, 1, -1, 1], [1, 1, 0, 1]]), "polarity -1 is outside 0..1"),
        ("a.npy", lambda p: np.save(p, [[1, 1, 1, np.nan]]), "time nan"),
        ("a.npy", lambda p: np.save(p, [[9000, 1, 1, 1]]), "x 9000 is outside"),
        ("a.aedat", lambda p: p.write_bytes(b"x"), "is not an AEDAT file"),
        ("a.xyz", lambda p: p.write_bytes(b""), "cannot tell the format"),
        ("a.bin", lambda p: None, "no file"),
    ],
    ids=range(18),
)
def test_files_that_are_wrong(tmp_path, name, write, what):
    write(tmp_path / name)
    with pytest.raises(UserError, match=rf"^[^\n]*{name}[^\n]*{what}[^\n]*$|^{what}[^\n]*{name}[^\n]*$"):
        formats.read(tmp_path / name)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6), st.integers(0, 10_000))
def test_damaged_npz_is_no_traceback(tmp_path_factory, changes, cut):
    path = tmp_path_factory.mktemp("a") / "a.npz"
    write_npz(path)
    content = bytearray(path.read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    path.write_bytes(content[:cut] if cut < len(content) else content)
    try:
        formats.read(path)
    except UserError as e:
        assert "a.npz" in str(e) and "\n" not in str(e)


# ---- the folder set


def test_parts_are_of_each_class_disjoint_and_the_same_every_time(tmp_path):
    tree(tmp_path, ("zebra", "ant", "cat"), 20)
    (tmp_path / "ant/.hidden.npy").write_bytes(b"")
    (tmp_path / "ant/readme.txt").write_text("passed over")
    parts = {split: load("folder", split, tmp_path) for split in ("train", "val", "test")}
    assert parts["train"].classes == ("ant", "cat", "zebra")
    assert {split: np.bincount(r.labels).tolist() for split, r in parts.items()} == {
        "train": [14] * 3,
        "val": [2] * 3,
        "test": [4] * 3,
    }
    assert len({name for r in parts.values() for name in r.names}) == 60
    for split, r in parts.items():
        assert r.names == load("folder", split, tmp_path).names and (r.height, r.width) == (
            16,
            3,
        )  # the largest coordinates of the whole set
        assert all(name.split("/")[0] == r.classes[label] for name, label in zip(r.names, r.labels))
        assert [int(e["x"][0]) for e in r.events] == [
            {"ant": 1, "cat": 2, "zebra": 0}[name.split("/")[0]] for name in r.names
        ]
        assert all(e["t"][0] == 0 for e in r.events)
    # A file more does not turn the parts over.
    np.save(tmp_path / "ant/new.npy", structured(ROWS - [[3, 0, 0, 0], [0] * 4, [13, 0, 0, 0]]))
    moved = [len(set(parts[split].names) - set(load("folder", split, tmp_path).names)) for split in parts]
    assert sum(moved) <= 3


def test_parts_that_are_given(tmp_path):
    tree(tmp_path / "train", count=10)
    tree(tmp_path / "test", count=3)
    parts = {split: load("folder", split, tmp_path) for split in ("train", "val", "test")}
    assert [len(r) for r in parts.values()] == [18, 2, 6]
    assert {name.split("/")[0] for name in parts["val"].names + parts["train"].names} == {"train"} and parts[
        "test"
    ].names[0] == "test/cat/000.npy"
    tree(tmp_path / "val", ("dog",), 1)
    assert [len(load("folder", split, tmp_path)) for split in parts] == [20, 1, 6]


def test_default_encoder_is_made_to_measure(tmp_path):
    tree(tmp_path, side=100)
    (tmp_path / "folder.json").write_text(json.dumps({"height": 260, "width": 346}))
    recordings, encoder = load("folder", "train", tmp_path), default_encoder("folder", tmp_path)
    assert (recordings.height, recordings.width) == (encoder.height, encoder.width) == (260, 346)
    assert encoder.pool == 10 and encoder.frames == 12 and 300 < encoder.frame_us < 417
    assert encoder.frames_of_all(recordings.events).any(axis=(2, 3, 4)).mean() > 0.5


def test_settings(tmp_path):
    tree(tmp_path, write=lambda path, rows: np.save(path.with_suffix(".npy"), rows))
    assert (
        max(e["t"][-1] for e in load("folder", "train", tmp_path).events) > 1_000_000
    )  # a table's times are milliseconds
    (tmp_path / "folder.json").write_text('{"time_unit_us": 1}')
    assert max(e["t"][-1] for e in load("folder", "train", tmp_path).events) < 5000


def test_sensor_that_the_files_say(tmp_path):
    tree(tmp_path, count=4, write=lambda path, rows: write_aedat4(path.with_suffix(".aedat4"), rows, (346, 260)))
    recordings = load("folder", "test", tmp_path)
    assert (recordings.width, recordings.height) == (346, 260) and len(recordings.events[0]) == 20
    write_aedat4(tmp_path / "cat/zzz.aedat4", ROWS, (128, 128))
    with pytest.raises(UserError, match="different sensors, 128 x 128 and 346 x 260"):
        load("folder", "test", tmp_path)
    (tmp_path / "folder.json").write_text('{"height": 260, "width": 346}')
    sound = (
        load("folder", "train", tmp_path, skip_bad=True),
        load("folder", "test", tmp_path, skip_bad=True),
        load("folder", "val", tmp_path, skip_bad=True),
    )
    assert sum((r.skipped for r in sound), ())[0].endswith("zzz.aedat4: is of a 128 x 128 sensor, expected 346 x 260")


def empty(path):
    path.mkdir(parents=True, exist_ok=True)


@pytest.mark.parametrize(
    "make, what",
    [
        (lambda r: empty(r), "holds no folders of classes"),
        (lambda r: tree(r, ("cat",)), "holds one class only, 'cat'"),
        (lambda r: (tree(r), empty(r / "emu")), "emu holds no recordings .files that end in .npy"),
        (
            lambda r: tree(r, count=2),
            "class 'cat' has 2 recordings in .*cat, too few to take test and val out of them; at least 3",
        ),
        (
            lambda r: np.save(r / "a.npy", ROWS),
            "holds recordings but no folders of classes: is it the folder of one class",
        ),
        (lambda r: tree(r / "test"), "has a folder 'test' but none named 'train'"),
        (lambda r: (tree(r / "train"), tree(r / "val", ("cat", "cow"))), "val has a class 'cow' that 'train' has not"),
        (lambda r: (tree(r), (r / "folder.json").write_text("{")), "folder.json is not JSON"),
        (lambda r: (tree(r), (r / "folder.json").write_text("[]")), "folder.json: expected an object"),
        (lambda r: (tree(r), (r / "folder.json").write_text('{"height": 5}')), "folder.json: expected an object"),
        (lambda r: (tree(r), (r / "folder.json").write_text('{"height": 5, "width": 0}')), "folder.json: width is 0"),
        (
            lambda r: (tree(r), (r / "folder.json").write_text('{"time_unit_us": "ms"}')),
            "folder.json: time_unit_us is 'ms'",
        ),
        (
            lambda r: tree(r, write=lambda path, rows: path.with_suffix(".npy").write_bytes(b"no")),
            "none of the 20 files is a recording that can be read",
        ),
    ],
    ids=range(13),
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, make, what):
    make(tmp_path)
    with pytest.raises(UserError, match=rf"^[^\n]*{what}[^\n]*$"):
        load("folder", "train", tmp_path)


@pytest.mark.parametrize(
    "rows, what",
    [
        (ROWS[::-1], r"time goes back at event 1, from 240 to 0 us; sort"),
        (ROWS + [90, 0, 0, 0], "x 105 is outside 0..49"),
        (ROWS + [0, 90, 0, 0], "y 99 is outside 0..49"),
        (ROWS[:0], "holds no events"),
        (ROWS + [0, 0, 5, 0], "polarity 6 is outside"),
    ],
    ids=range(5),
)
def test_recordings_that_are_wrong_are_named_or_skipped(tmp_path, rows, what):
    tree(tmp_path, write=lambda path, rows: write_npz(path.with_suffix(".npz"), rows))
    (tmp_path / "folder.json").write_text('{"height": 50, "width": 50}')
    first = load("folder", "train", tmp_path).names[0]
    write_npz(tmp_path / first, rows)
    recordings = load("folder", "train", tmp_path)
    with pytest.raises(UserError, match=rf"^[^\n]*{first}[^\n]*{what}[^\n]*$"):
        recordings.events[0]
    sound = load("folder", "train", tmp_path, skip_bad=True)
    assert len(sound) == len(recordings) - 1 and len(sound.skipped) == 1 and first in sound.skipped[0]
    assert default_encoder("folder", tmp_path).height == 50


# ---- CIFAR10-DVS


def test_cifar10dvs(tmp_path):
    pytest.importorskip("dv_processing", reason="the extra `events` is not installed")
    write_aedat4(tmp_path / "one.aedat4", ROWS)
    content = (tmp_path / "one.aedat4").read_bytes()
    for name in ("airplane", "truck"):
        (tmp_path / "CIFAR10DVS" / name).mkdir(parents=True)
        for number in range(30):
            (tmp_path / "CIFAR10DVS" / name / f"cifar10_{name}_{number}.aedat4").write_bytes(content)
    parts = {split: load("cifar10dvs", split, tmp_path) for split in ("train", "val", "test")}
    assert [len(r) for r in parts.values()] == [50, 4, 6] and set(parts["test"].labels.tolist()) == {0, 9}
    assert parts["test"].names[:3] == [f"airplane/cifar10_airplane_{n}.aedat4" for n in (27, 28, 29)]
    assert parts["val"].names[:2] == ["airplane/cifar10_airplane_7.aedat4", "airplane/cifar10_airplane_17.aedat4"]
    assert len({name for r in parts.values() for name in r.names}) == 60 and parts["train"].events[0].tolist() == EVENTS
    write_aedat4(tmp_path / "CIFAR10DVS/truck/cifar10_truck_0.aedat4", ROWS, (346, 260))
    sound = load("cifar10dvs", "train", tmp_path, skip_bad=True)
    assert (
        len(sound) == 49 and "cifar10_truck_0.aedat4: is of a 346 x 260 sensor, expected 128 x 128" in sound.skipped[0]
    )

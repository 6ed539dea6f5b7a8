"""Long recordings: clips, sessions, tables of labels, conversion, pictures; what is said of folders that are none."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import event_files
import numpy as np
import pytest

from events import clips, default_encoder, formats, load, with_clips
from events.recordings import EVENT
from sim.base.errors import UserError

REPO = Path(__file__).resolve().parents[2]
PARTS = ("train", "val", "test")


def recording(path, seconds=3, label=0, seed=0, per_s=200):
    """EVT 3.0; x tells the class, the first event is at 5 ms."""
    table = event_files.rows(seconds * per_s, span=seconds * 1_000_000, seed=seed)
    table[:, 0], table[-1, 3] = label, 5_000 + seconds * 1_000_000 - 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(event_files.evt3(table))


def tree(root, number=5, form="{name}/rec{k}.raw", seconds=3):
    for label, name in enumerate(("left", "right")):
        for k in range(number):
            recording(root / form.format(name=name, k=k), seconds, label, 10 * label + k)


def events(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "events", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPO,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout, done.stderr


def sets(root, name="folder"):
    return {part: load(name, part, root) for part in PARTS}


def files_of(recordings):
    return {name.partition("@")[0] for name in recordings.names}


# ---- clips


def test_clips_are_parts_of_recordings_that_stay_in_one_part(tmp_path):
    tree(tmp_path)
    name = with_clips("folder", 500, 250)
    found = sets(tmp_path, name)
    assert {part: len(files_of(r)) for part, r in found.items()} == {"train": 6, "val": 2, "test": 2}
    assert len(set.union(*map(files_of, found.values()))) == 10  # no recording in two parts
    assert {len(r) for r in found.values()} == {6 * 11, 2 * 11}
    r = found["test"]
    whole = formats.read(tmp_path / r.names[0].partition("@")[0])[0]
    for i, (begin, end) in enumerate(((0, 500_000), (250_000, 750_000), (500_000, 1_000_000))):
        clip, inside = r.events[i], whole[(whole["t"] >= begin) & (whole["t"] < end)].copy()
        inside["t"] -= begin
        assert clip.dtype == EVENT and np.array_equal(clip, inside)
        assert r.names[i].endswith(f"@{begin / 1e6:.3f}-{end / 1e6:.3f}s")
    assert all((r.events[i]["x"] == r.labels[i]).all() for i in (0, 15))
    encoder = default_encoder(name, tmp_path)
    assert (encoder.frames, encoder.frame_us) == (12, round(500_000 / 12)) and (r.width, r.height) == event_files.SIZE


def test_settings_say_it_too_and_options_say_it_louder(tmp_path):
    tree(tmp_path)
    (tmp_path / "folder.json").write_text('{"clip_ms": 1000}')
    assert len(load("folder", "test", tmp_path)) == 6
    assert len(load("folder:clip_ms=500", "test", tmp_path)) == 12
    (tmp_path / "folder.json").write_text('{"stride_ms": 1000}')
    with pytest.raises(UserError, match="stride_ms goes with clip_ms"):
        load("folder", "test", tmp_path)
    for name in ("folder:clip_ms=0", "folder:clips", "nmnist:clip_ms=5", "folder:clip_ms=1.2.3"):
        with pytest.raises(UserError, match="expected folder:clip_ms=500"):
            load(name, "test", tmp_path)
    with pytest.raises(UserError, match="--stride-ms goes with --clip-ms"):
        with_clips("folder", None, 5)
    with pytest.raises(UserError, match="--clip-ms cuts the recordings of 'folder', not those of 'nmnist'"):
        with_clips("nmnist", 5)


def test_a_recording_is_decoded_once(tmp_path, monkeypatch):
    tree(tmp_path)
    load("folder:clip_ms=500", "train", tmp_path)
    clips._decoded.cache_clear()
    monkeypatch.setattr(clips, "write", None)  # nothing is decoded any more
    assert len(load("folder:clip_ms=700", "train", tmp_path).events[3]) > 50
    recording(tmp_path / "left/rec0.raw", 4)  # but what has changed is
    with pytest.raises(TypeError):
        clips.decoded(tmp_path / "left/rec0.raw", tmp_path)


def test_blocks_that_overlap_in_time(tmp_path, monkeypatch):
    table = event_files.rows(400)
    table = np.concatenate([table[200:], table[:200]])
    (tmp_path / "a.raw").write_bytes(event_files.evt2(table))
    from events.formats import prophesee

    blocks = prophesee.blocks
    monkeypatch.setattr(prophesee, "blocks", lambda p, b, r, n, _=0: blocks(p, b, r, n, 512))
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out/a.npy", "wb") as f:
        clips.write(f, tmp_path / "a.raw")
    assert np.array_equal(np.load(tmp_path / "out/a.npy"), formats.read(tmp_path / "a.raw")[0])
    with pytest.raises(UserError, match="time goes back from .*python -m events import does"):
        list(formats.Stream(tmp_path / "a.raw").parts(sort=True))


def test_broken_recordings_say_why(tmp_path):
    tree(tmp_path)
    bad = tmp_path / "left/rec0.raw"
    bad.write_bytes(b"no")
    named = [n for part in PARTS for n in load("folder:clip_ms=500", part, tmp_path, skip_bad=True).skipped]
    assert len(named) == 1 and "rec0.raw: its header names none of Prophesee's formats" in named[0]


# ---- sessions


def test_sessions_by_folder_and_by_pattern(tmp_path):
    tree(tmp_path / "a", 6, "{name}/day{k}/rec.raw")
    tree(tmp_path / "b", 6, "{name}/day{k}-rec.raw")
    (tmp_path / "b/folder.json").write_text(json.dumps({"sessions": {f"d{k}": [f"*/day{k}-*"] for k in range(6)}}))
    for root, of in ((tmp_path / "a", lambda n: n.split("/")[1]), (tmp_path / "b", lambda n: n.split("/")[1][:4])):
        days = {part: {of(n) for n in r.names} for part, r in sets(root).items()}
        assert [len(d) for d in days.values()] == [4, 1, 1] and len(set.union(*days.values())) == 6
        assert all(set(r.labels.tolist()) == {0, 1} for r in sets(root).values())


def test_sessions_that_leave_a_class_out(tmp_path):
    for k in range(3):
        recording(tmp_path / f"left/day{k}/a.raw", 1)
    recording(tmp_path / "right/day2/a.raw", 1, 1)
    with pytest.raises(UserError) as e:
        sets(tmp_path)
    assert "all of class 'right' is in sessions that are held out for test and val" in str(e.value)


def test_shared_recordings_are_warned_of(tmp_path, capsys):
    tree(tmp_path / "train")
    tree(tmp_path / "test", 3)
    load("folder", "train", tmp_path)
    assert "part test shares recordings with training: test/left/rec0.raw is the same" in capsys.readouterr().err
    tree(tmp_path / "s/train", 3, "{name}/day{k}/a.raw", 1)
    recording(tmp_path / "s/test/left/day0/b.raw", 2)
    load("folder", "test", tmp_path / "s")
    assert "session 'day0' is in train, too" in capsys.readouterr().err


# ---- tables of labels


def test_table_of_labels(tmp_path):
    for k in range(4):
        recording(tmp_path / f"day{k}.raw", 3, k)
    lines = ["file,start,end,label"]
    for k in range(4):
        lines += [f"day{k}.raw,0,1,walk", f"day{k}.raw,1.5,2,run", f"day{k}.raw,2,9,walk"]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = sets(tmp_path)
    assert found["train"].classes == ("run", "walk") and {p: len(r) for p, r in found.items()} == {
        "train": 6,
        "val": 3,
        "test": 3,
    }
    assert len(set.union(*map(files_of, found.values()))) == 4
    r = found["test"]
    assert sorted(n.partition("@")[2] for n in r.names) == ["0.000-1.000s", "1.500-2.000s", "2.000-3.000s"]
    assert all(e["t"][-1] <= 1_000_000 for e in r.events)
    assert len(load("folder:clip_ms=250", "test", tmp_path)) == 4 + 2 + 4
    (tmp_path / "labels.csv").write_text("\n".join(lines).replace("start,end", "start_us,end_us"))
    with pytest.raises(UserError, match="line 3: a window from '1.5' to '2'"):
        [e for r in sets(tmp_path).values() for e in r.events]


@pytest.mark.parametrize(
    "text, what",
    [
        ("file,begin,end,label\n", "the first line is 'file,begin,end,label', expected file,start,end,label"),
        ("file,start,end,label\na.raw,2,1,x\n", "line 2: a window from '2' to '1'"),
        ("file,start,end,label\nnone.raw,0,1,x\n", "line 2: there is no file 'none.raw'"),
        ("file,start,end,label\n../a.raw,0,1,x\n", "is not below"),
        ("file,start,end,label\na.raw,0,1\n", "3 cells"),
        ("file,start,end,label\na.raw,0,x,x\n", "are not two times"),
        ("file,start,end,label\na.raw,0,1,x\n", "has 1 labels, expected at least two"),
        (
            "file,start,end,label\n" + "".join(f"{n}.raw,2000,2500,{c}\n" for n, c in zip("abcd", "xyxy")),
            "do the times count in other units",
        ),
    ],
)
def test_tables_that_are_wrong(tmp_path, text, what):
    for name in "abcd":
        recording(tmp_path / f"{name}.raw", 1)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=rf"^[^\n]*{what}[^\n]*$"):
        load("folder", "train", tmp_path)


# ---- what is there instead


def packed(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("a", "b")


@pytest.mark.parametrize(
    "make, what",
    [
        (lambda r: packed(r / "set.zip"), "no folders of classes but set.zip, which is packed: unpack it there"),
        (
            lambda r: (packed(r / "left/a.zip"), tree(r / "x")),
            "left holds no recordings .*: it holds a.zip, which is packed",
        ),
        (
            lambda r: [recording(r / f"set/{c}/deep/x/y/a.raw", 1) for c in "ab"],
            "they lie deeper, in .*; move them up, to one folder a class",
        ),
        (
            lambda r: [(r / c).mkdir(parents=True) or (r / c / "a.mp4").write_bytes(b"") for c in "ab"],
            "it holds files that end in .mp4; expected .npy",
        ),
        (
            lambda r: [
                (r / c).mkdir(parents=True, exist_ok=True) or np.savez(r / c / f"{k}.npz", a=np.zeros(3), b=np.zeros(3))
                for c in "ab"
                for k in range(4)
            ],
            "none of the 8 files .*: .*0.npz: has no column 'x' among 'a', 'b'",
        ),
    ],
    ids=range(5),
)
def test_what_was_found_is_named_with_the_step_that_mends_it(tmp_path, make, what):
    make(tmp_path)
    with pytest.raises(UserError, match=rf"^[^\n]*{what}[^\n]*$"):
        load("folder", "train", tmp_path)


# ---- commands


def test_check_shows_length_events_rate_and_unit(tmp_path):
    tree(tmp_path, 3, seconds=1)
    out, _ = events("check", "--data-root", tmp_path, "--clip-ms", 500, "--json")
    facts = json.loads(out)
    part = facts["parts"]["test"]
    assert part["recordings"] == 4 and part["on"] + part["off"] == part["events"] > 300
    assert 480 < part["mean_ms"] <= 500 and 180 < part["events_per_s"] < 240 and facts["sensor"] == [64, 48]
    out, _ = events("check", "--data-root", tmp_path)
    assert "mean length" in out and "a unit of time" in out


def test_info_prints_one_object(tmp_path):
    recording(tmp_path / "a.raw", 1)
    out, _ = events("info", tmp_path / "a.raw", "--json")
    facts = json.loads(out)
    assert {k: facts[k] for k in ("events", "span_us", "first_us", "width", "height", "format")} == {
        "events": 200,
        "span_us": 999_999,
        "first_us": 5_000,
        "width": 64,
        "height": 48,
        "format": "EVT 3.0",
    } and facts["on"] + facts["off"] == 200
    (tmp_path / "b.raw").write_bytes(b"no")
    out, err = events("info", tmp_path / "b.raw", "--json", code=2)
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_import_and_show(tmp_path):
    tree(tmp_path / "a", 3, seconds=1)
    (tmp_path / "a/left/bad.raw").write_bytes(b"no")
    (tmp_path / "a/labels.csv").write_text("file,start,end,label\nleft/rec0.raw,,,x\nright/rec1.raw,0,1,y\n")
    out, _ = events("import", tmp_path / "a", tmp_path / "b", "--json", code=1)
    facts = json.loads(out)
    assert (facts["written"], facts["kept"], facts["events"], len(facts["broken"])) == (6, 0, 1200, 1)
    new = np.load(tmp_path / "b/left/rec0.raw.npy", mmap_mode="r")
    assert np.array_equal(new, formats.read(tmp_path / "a/left/rec0.raw")[0])
    assert json.loads((tmp_path / "b/folder.json").read_text()) == {"width": 64, "height": 48}
    assert "left/rec0.raw.npy,,,x" in (tmp_path / "b/labels.csv").read_text()
    out, _ = events("import", tmp_path / "a", tmp_path / "b", "--json", code=1)
    assert json.loads(out)["kept"] == 6
    out, _ = events("show", tmp_path / "b/left/rec0.raw.npy", "--out", tmp_path / "a.png", "--frames", 3)
    from matplotlib.image import imread

    assert imread(tmp_path / "a.png").shape[:2] == (48 * 2, 3 * 2 + 8) and "3 frames in a row" in out
    out, _ = events("show", tmp_path / "a/right/rec0.raw", "--frames", 2)
    assert "frame 0" in out and "#" in out and "o" in out
    events("import", tmp_path / "a", tmp_path / "a/c", code=2)

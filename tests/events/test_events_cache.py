"""Packed frames must be the frames; what is kept must go when a file or the encoder changes, and must never be half
there.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streams import same

from events import Encoder, Files, Recordings, TokenStreams, cache, load, token_streams
from events import nmnist as nmnist_module
from sim.base import seals
from sim.base.errors import UserError

ROOT = Path(__file__).resolve().parents[2]

ENCODER = Encoder(
    height=34, width=33, pool=3, window=5, stride=4, frames=3, frame_us=100
)  # bits that do not fill the last byte


@pytest.fixture
def recordings(tmp_path):
    r = np.random.default_rng(1)
    for label in range(10):
        folder = tmp_path / "Train" / str(label)
        folder.mkdir(parents=True)
        for number in range(8):
            rows = [
                bytes([x, y, p << 7, 0, t])
                for x, y, p, t in zip(*(r.integers(0, high, 30).tolist() for high in (33, 34, 2, 256)))
            ]
            (folder / f"{number}.bin").write_bytes(b"".join(rows))
    return load("nmnist", "train", tmp_path)


def kept(recordings, ending=".npy"):
    return sorted(p for p in (cache._folder(recordings.root)).glob(f"*{ending}"))


def test_streams_equal_the_encoders(recordings):
    wanted = ENCODER.encode_all(recordings.events)
    for streams in (
        token_streams(recordings, ENCODER),
        token_streams(recordings, ENCODER),
        token_streams(replace(recordings, root=""), ENCODER),
    ):
        assert isinstance(streams, TokenStreams) and len(streams) == len(recordings) == 60
        for index in (slice(0, 7), slice(50, 90), slice(0, 0), np.array([9, 3, 3]), [5]):
            got = streams[index]
            assert got.tokens.dtype == np.uint8 and same(got, wanted[index])
        assert same(streams[4], wanted[[4]]) and same(streams[-1], wanted[[-1]])
        assert np.array_equal(streams.frames(slice(None)), ENCODER.frames_of_all(recordings.events))
        some = streams.only([30, 2, 7]).only([2, 0])
        assert len(some) == 2 and same(some[:], wanted[[7, 30]])
    assert len(kept(recordings)) == 1
    turned = replace(ENCODER, window=6, scan="alternate", places=4, least=2)  # cut otherwise, from the same frames
    assert same(token_streams(recordings, turned)[:], turned.encode_all(recordings.events))
    assert len(kept(recordings)) == 1


def test_files_are_read_once(recordings, monkeypatch):
    before = token_streams(recordings, ENCODER)[:]
    monkeypatch.setattr(nmnist_module, "columns", None)
    assert same(token_streams(recordings, ENCODER)[:], before)
    with pytest.raises(TypeError):  # another encoder, another entry
        token_streams(recordings, replace(ENCODER, frames=2))


def test_a_changed_file_is_read_anew(recordings):
    token_streams(recordings, ENCODER)
    path = recordings.events.paths[5]
    path.write_bytes(bytes([1, 1, 0, 0, 1]))
    streams = token_streams(recordings, ENCODER)
    assert same(streams[5], ENCODER.encode(recordings.events[5])) and streams.frames(5).sum() == 1
    os.utime(path, ns=(1, 1))  # as if touched: size and content are the same
    token_streams(recordings, ENCODER)
    assert len(kept(recordings)) == 3


def test_parts_and_order_are_told_apart(recordings):
    token_streams(recordings, ENCODER)
    turned = replace(
        recordings,
        events=recordings.events.only(range(59, -1, -1)),
        names=recordings.names[::-1],
        labels=recordings.labels[::-1],
    )
    assert same(token_streams(turned, ENCODER)[0], ENCODER.encode(recordings.events[59]))
    part = Files((recordings.events.paths[0],) * 2, lambda path, n: nmnist_module.read(path)[n : n + 1], ((3,), (4,)))
    two = Recordings(part, np.zeros(2, np.int64), ["a", "b"], ("x", "y"), 34, 34, root=recordings.root)
    other = replace(two, events=Files(part.paths, part.read, ((3,), (5,))))
    assert same(token_streams(two, ENCODER)[1], ENCODER.encode(part[1])) and len(part.only([1])) == 1
    assert same(token_streams(other, ENCODER)[1], ENCODER.encode(other.events[1]))


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-1], lambda b: b[:20], lambda b: b"", lambda b: b"\x80\x04" + b, lambda b: b.replace(b"|u1", b"|i1")],
    ids=range(5),
)
def test_a_damaged_entry_is_made_anew(recordings, damage):
    wanted = token_streams(recordings, ENCODER)[:]
    [path] = kept(recordings)
    path.write_bytes(damage(path.read_bytes()))
    assert same(token_streams(recordings, ENCODER)[:], wanted)
    assert len(np.load(kept(recordings)[0])) == 60


def test_nothing_half_done_is_left(recordings):
    recordings.events.paths[30].write_bytes(b"abc")
    with pytest.raises(UserError, match="is truncated"):
        token_streams(recordings, ENCODER)
    assert list(cache._folder(recordings.root).iterdir()) == []


def test_an_encoder_of_another_sensor_names_the_recording(recordings):
    with pytest.raises(UserError, match=r"^Train/\d/\d.bin: event \d+: [xy] = \d+ is outside 0..7"):
        token_streams(recordings, replace(ENCODER, height=8, width=8))


@pytest.mark.parametrize(
    "block",
    [
        lambda folder: (folder / ".cache").write_text("a file where the folder would be"),
        lambda folder: folder.chmod(0o555),
    ],
    ids=["file", "mode"],
)
def test_a_folder_that_cannot_be_written_costs_one_line(recordings, capsys, tmp_path, block):
    block(tmp_path)
    wanted = ENCODER.encode_all(recordings.events)
    assert same(token_streams(recordings, ENCODER)[:], wanted)
    assert load("nmnist", "train", tmp_path, skip_bad=True).skipped == ()
    lines = capsys.readouterr().err.splitlines()
    tmp_path.chmod(0o755)
    assert len(lines) == 1 and lines[0].startswith("warning: ") and "XDG_CACHE_HOME" in lines[0]
    assert not (tmp_path / ".cache").is_dir()


def test_xdg_cache_home(recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    token_streams(recordings, ENCODER)
    assert not (tmp_path / ".cache").exists() and len(list((tmp_path / "elsewhere" / "smolmamba-loihi").iterdir())) == 1


def test_recordings_in_memory_are_packed_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = load("digits", "val")
    encoder = Encoder(height=16, width=16, window=8, stride=4, frames=6, frame_us=50_000)
    assert same(token_streams(digits, encoder)[:20], encoder.encode_all(digits.events[:20]))
    assert list(tmp_path.iterdir()) == []


def test_damaged_json_is_made_anew(recordings):
    load("nmnist", "train", recordings.root, skip_bad=True)
    [path] = kept(recordings, ".json")
    for damaged in ("[[", '["a"]', seals.to_json({"value": []}).replace("[]", '["a"]')):
        path.write_text(damaged)
        assert load("nmnist", "train", recordings.root, skip_bad=True).skipped == ()
        assert path.read_text() == seals.to_json({"value": []})


def test_a_turned_bit_is_made_anew_from_the_recording(recordings, capsys):
    """Every byte of the rows in turn; what is used is right, it is said once, and the file goes."""
    wanted = token_streams(recordings, ENCODER)[:]
    [path] = kept(recordings)
    data, rng = path.read_bytes(), np.random.default_rng(3)
    header = len(data) - len(recordings) * (27 + cache.CHECK)
    for i in rng.choice(len(data) - header, 60, replace=False):
        broken = bytearray(data)
        broken[header + i] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        streams = token_streams(recordings, ENCODER)
        cache._warned.clear()
        assert same(streams[:], wanted) and same(streams[5], wanted[[5]])
        assert not path.exists()
        assert capsys.readouterr().err.count("damaged on the disk") == 1
    assert same(token_streams(recordings, ENCODER)[:], wanted) and path.read_bytes() == data


def test_two_processes_fill_the_cache_once(recordings, tmp_path):
    """The second waits for the first, and reads what it has written."""
    code = (
        "import sys, time; from events import cache, nmnist, load, token_streams, Encoder\n"
        "read = nmnist.read\n"
        f"r = load('nmnist', 'train', sys.argv[1])\n"
        "pack = cache._packer\n"
        "def slow(*a):\n    inner = pack(*a)\n"
        "    return lambda i: (print('read', flush=True), time.sleep(0.05), inner(i))[2]\n"
        "cache._packer = slow\n"
        f"token_streams(r, {ENCODER!r})"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [p.communicate() for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert sorted(out.count("read") for out, _ in said) == [0, 60]
    assert len(kept(recordings)) == 1 and not list(cache._folder(recordings.root).glob(".*"))

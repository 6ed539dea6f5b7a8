"""Every format of `events.formats`: real files against what is known of them and against other readers, files written
from the formats' descriptions with what real ones have in them, and broken ones."""

import struct
import sys
from pathlib import Path

import event_files
import numpy as np
import pytest
from event_files import SIZE, evt_header, rows

from events import formats
from events.formats import ecf, lz4, matlab
from sim.base.errors import UserError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real event files are not here (../shared/data/formats)")


def same(events, table):
    table = np.asarray(table)
    assert len(events) == len(table)
    for name, column in zip("xypt", (*table.T[:3], table[:, 3] - table[0, 3])):
        assert np.array_equal(events[name], column), name


# ---- real files


@real
@pytest.mark.parametrize(
    "name, kind, size, events, on, span, first",
    [
        ("evt2_sample.raw", "EVT 2.0", (640, 480), 539_481, 367_855, 50_000, 1_317_888),
        ("evt3_sample.raw", "EVT 3.0", (1280, 720), 219_596, 115_532, 8_801, 11_718_656),
        ("sample_ncars.dat", "DAT", None, 2_009, 1_350, 99_952, 0),
        ("ncars_pair.dat", "DAT", None, 4_407, 1_671, 99_937, 0),
        ("ncars_pair.es", "ES DVS", (54, 239), 4_407, 1_671, 99_937, 0),
        ("sample.aedat4", "AEDAT 4.0", (320, 240), 111_954, 55_023, 589_917, 1_605_537_493_718_345),
        ("ncaltech101_car.bin", "N-MNIST", None, 113_549, 58_538, 302_977, 27),
        ("ncaltech101_umbrella.bin", "N-MNIST", None, 58_862, 27_901, 304_283, 11),
        ("aedat2_dvs128_walking.aedat", "AEDAT 2.0", (128, 128), 19_182, 7_102, 6_886_550, 41_306_606),
        ("aedat2_dvs128_resaved.aedat", "AEDAT 2.0", (128, 128), 109_910, 0, 18_018_985, 52_965_624),
        ("aedat2_davis240_square.aedat", "AEDAT 2.0", (240, 180), 16_000, 8_000, 4_950_000, 50_000),
        ("davis240_events.txt", "text", None, 120, 40, 791, 3_811),
    ],
)
def test_real_files(name, kind, size, events, on, span, first):
    facts = formats.info(REAL / name)
    assert facts["format"] == kind and (facts["width"], facts["height"]) == (size or (None, None))
    assert (facts["events"], facts["on"], facts["off"]) == (events, on, events - on)
    assert (facts["span_us"], facts["first_us"], facts["sorted"]) == (span, first, True)
    table, found = formats.read(REAL / name)
    assert len(table) == events and table["t"][-1] == span and table["p"].sum() == on and found == size


@real
def test_evt3_against_its_ground_truth():
    """The array's times have an overflow too many at every fall of TIME_LOW, which a whole number of 4096 us takes
    off; all else is equal."""
    truth, events = np.load(REAL / "evt3_sample.npy"), formats.read(REAL / "evt3_sample.raw")[0]
    assert all(np.array_equal(events[k], truth[k]) for k in "xyp")
    more = truth["t"] - truth["t"][0] - events["t"]
    assert (more % 4096 == 0).all() and (np.diff(more) >= 0).all() and more[0] == 0


@real
def test_the_same_recording_in_two_formats():
    """Event Stream counts rows from below, of a sensor that its writer took to end at the last row with an event."""
    dat, es = formats.read(REAL / "ncars_pair.dat")[0], formats.read(REAL / "ncars_pair.es")[0]
    assert all(np.array_equal(dat[k], es[k]) for k in "xpt") and set(dat["y"] - es["y"]) == {1}


@real
@pytest.mark.parametrize("name, kind", [("evt2_sample.raw", "evt2"), ("sample_ncars.dat", "dat")])
def test_real_files_equal_expelliarmus(name, kind):
    theirs = pytest.importorskip("expelliarmus").Wizard(encoding=kind).read(str(REAL / name))
    ours = formats.read(REAL / name)[0]
    assert all(np.array_equal(ours[k], theirs[k]) for k in "xyp")
    assert np.array_equal(ours["t"], theirs["t"] - theirs["t"][0])


@real
def test_real_aedat4_equals_dv_processing():
    dv = pytest.importorskip("dv_processing")
    recording, parts = dv.io.MonoCameraRecording(str(REAL / "sample.aedat4")), []
    while (batch := recording.getNextEventBatch()) is not None:
        parts.append(batch.numpy())
    theirs, ours = np.concatenate(parts), formats.read(REAL / "sample.aedat4")[0]
    assert all(np.array_equal(ours[k], theirs[n]) for k, n in (("x", "x"), ("y", "y"), ("p", "polarity")))
    assert np.array_equal(ours["t"], theirs["timestamp"] - theirs["timestamp"][0])


@real
def test_real_aedat2_words():
    """Bit by bit, with nothing of ours but the end of the header."""
    data = (REAL / "aedat2_dvs128_walking.aedat").read_bytes()
    words = np.frombuffer(data[data.rindex(b"#End Of") if b"#End Of" in data else 4612 :], ">u4").reshape(-1, 2)
    events = formats.read(REAL / "aedat2_dvs128_walking.aedat")[0]
    assert np.array_equal(events["x"], 127 - (words[:, 0] >> 1 & 127).astype(int))
    assert np.array_equal(events["y"], 127 - (words[:, 0] >> 8 & 127).astype(int))
    assert np.array_equal(events["p"], 1 - (words[:, 0] & 1).astype(int))
    # Upright: the walker's head is above the legs, and narrower than the body.
    rows_ = np.bincount(events["y"], minlength=128)
    assert rows_[:12].sum() < rows_[20:60].sum()


# ---- every format gives the same events


WRITERS = {
    "a.raw": event_files.evt3,
    "b.raw": event_files.evt2,
    "c.raw": event_files.evt21,
    "d.raw": lambda t: event_files.evt21(t, legacy=True),
    "e.raw": lambda t: event_files.evt21(t, legacy=True, said=False),
    "f.raw": lambda t: event_files.evt21(t, said=False),
    "a.dat": event_files.dat,
    "b.dat": lambda t: event_files.dat(t, version=1),
    "c.dat": lambda t: event_files.aedat2(t, version=1),
    "a.aedat": event_files.aedat2,
    "b.aedat": lambda t: event_files.aedat2(t, version=1),
    "c.aedat": lambda t: event_files.aedat2(t, "DAVIS240"),
    "d.aedat": lambda t: event_files.aedat2(t, "DAVIS346"),
    "e.aedat": event_files.aedat3,
    "f.aedat": event_files.aedat4,
    "a.aedat4": event_files.aedat4,
    "b.aedat4": lambda t: event_files.aedat4(t, pack=event_files.lz4_plain),
    "a.es": event_files.es,
    "a.bin": event_files.nmnist,
    "a.csv": event_files.text,
    "b.csv": lambda t: event_files.text(t, "typx", by=";"),
    "c.csv": lambda t: event_files.text(t, head=False),
    "a.txt": lambda t: event_files.text(t, "txyp", head=False, by=" "),
    "b.txt": lambda t: b"64 48\n" + event_files.text(t, "txyp", head=False, by="\t"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_all_formats_give_the_same_events(tmp_path, name):
    table = rows()
    if "raw" in name and WRITERS[name] is not event_files.evt3 and name != "b.raw":
        table = np.unique(table[:, [3, 1, 2, 0]], axis=0)[:, [3, 1, 2, 0]]  # EVT 2.1 orders the events of one time so
    (tmp_path / name).write_bytes(WRITERS[name](table))
    events, size = formats.read(tmp_path / name)
    if name in ("c.raw", "d.raw", "e.raw", "f.raw"):
        events = np.sort(events, order=["t", "y", "p", "x"])
    same(events, table)
    facts = formats.info(tmp_path / name)
    assert (facts["events"], facts["first_us"], facts["sorted"]) == (len(table), 5_000, True) and facts["notes"] == []
    streamed = np.concatenate(list(formats.Stream(tmp_path / name).parts(sort=True)))
    assert len(streamed) == len(events) and np.array_equal(streamed["t"], events["t"])


@pytest.mark.parametrize("ending", list(formats.FORMATS))
def test_every_ending_is_read(tmp_path, ending):
    table = rows()
    path = tmp_path / f"a{ending}"
    if not event_files.write(path, table):
        path.write_bytes(b"")
        with pytest.raises(UserError, match=r"needs the package rosbags: pip install 'smolmamba-loihi\[rosbag\]'"):
            formats.read(path)
        pytest.skip("the extra `rosbag` is not installed")
    same(formats.read(path)[0], table)


@pytest.mark.parametrize("layout", ["columns", "prophesee", "mvsec"])
def test_hdf5_layouts(tmp_path, layout):
    table = rows()
    event_files.hdf5(tmp_path / "a.h5", table, layout)
    events, size = formats.read(tmp_path / "a.h5")
    same(events, table)
    assert size == (SIZE if layout == "prophesee" else None)
    assert formats.info(tmp_path / "a.h5")["first_us"] == 5_000


def test_matlab_counts_from_one(tmp_path):
    event_files.mat(tmp_path / "a.mat", rows(), one=True)
    same(formats.read(tmp_path / "a.mat")[0], rows())
    assert "count from 1" in formats.info(tmp_path / "a.mat")["notes"][0]


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_files_equal_scipy(tmp_path, packed):
    from scipy.io import loadmat, savemat

    table = rows()
    x, y, p, t = table.T
    columns = {"x": x.astype(np.uint16), "y": y.astype(np.int8), "pol": p.astype(bool), "t_ms": t / 1000}
    savemat(tmp_path / "a.mat", columns | {"name": "text", "one": 1}, do_compression=packed)
    same(formats.read(tmp_path / "a.mat")[0], table)
    savemat(tmp_path / "b.mat", {"label": 3, "events": table[:, [0, 1, 2, 3]] / [1, 1, 1, 1000]}, do_compression=packed)
    same(formats.read(tmp_path / "b.mat")[0], table)
    savemat(tmp_path / "c.mat", {"s": {"TD": {"x": x}}, "e": np.zeros((0, 3)), "z": 1j, "c": ["a", "bc"]})
    ours, theirs = matlab.read(tmp_path / "c.mat"), loadmat(tmp_path / "c.mat")
    assert np.array_equal(ours["s"]["TD"]["x"], theirs["s"]["TD"][0, 0]["x"][0, 0].reshape(-1)) and ours["e"].shape == (
        0,
        3,
    )


def test_torch_tables_and_what_else_a_pickle_has(tmp_path):
    torch = pytest.importorskip("torch")
    table = rows()
    torch.save(torch.from_numpy(table.astype(np.float32) / [1, 1, 1, 1000]).float(), tmp_path / "a.pt")
    events = formats.read(tmp_path / "a.pt")[0]
    assert np.array_equal(events["x"], table[:, 0]) and np.abs(events["t"] - table[:, 3] + 5000).max() <= 1

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"x": Evil()}, tmp_path / "b.pt")
    with pytest.raises(UserError, match=r"b.pt is not a file of torch.save .* with tensors alone"):
        formats.read(tmp_path / "b.pt")
    assert not (tmp_path / "ran").exists()


# ---- what real files have in them


def raw3(*words):
    return evt_header("EVT3", (1280, 720)) + np.array(words, "<u2").tobytes()


HIGH, LOW, Y, X, BASE, V12, V8 = 0x8000, 0x6000, 0x0000, 0x2000, 0x3000, 0x4000, 0x5000


@pytest.mark.parametrize(
    "words, expected",
    [
        # before the first TIME_HIGH nothing has a time; a row that was said there holds on
        ([Y | 7, LOW | 5, X | 3, HIGH | 2, LOW | 6, X | 4], [(4, 7, 0, 2 << 12 | 6)]),
        # a wrap of TIME_HIGH is 2^24 us
        (
            [HIGH | 4095, LOW | 9, Y | 1, X | 1, HIGH | 0, LOW | 1, X | 2],
            [(1, 1, 0, (1 << 24) - 4087), (2, 1, 0, (1 << 24) + 1)],
        ),
        # TIME_LOW that falls is no overflow, and begins at 0 where TIME_HIGH moves on
        (
            [HIGH | 1, LOW | 4000, Y | 1, X | 1, HIGH | 2, X | 2, LOW | 3, X | 3],
            [(1, 1, 0, 8096), (2, 1, 0, 8192), (3, 1, 0, 8195)],
        ),
        # TIME_HIGH said again changes nothing
        ([HIGH | 1, LOW | 40, Y | 1, HIGH | 1, X | 1], [(1, 1, 0, 4136)]),
        # a vector without VECT_8, and one of three words; the base moves on
        (
            [HIGH | 1, LOW, Y | 1, BASE | 0x800 | 100, V12 | 5, X | 9],
            [(100, 1, 1, 4096), (102, 1, 1, 4096), (9, 1, 0, 4096)],
        ),
        (
            [HIGH | 1, LOW, Y | 1, BASE | 100, V12 | 1, V12 | 1, V8 | 0xF81, V8 | 2],
            [(100, 1, 0, 4096), (112, 1, 0, 4096), (124, 1, 0, 4096), (131, 1, 0, 4096), (133, 1, 0, 4096)],
        ),
        # triggers, counters, continued words, and rows of other events are passed over
        (
            [HIGH | 1, LOW, Y | 1, 0xA001, 0x7123, 0xF456, 0xE014, 0x9999, 0xB1, X | 1, 0x1005, X | 2, Y | 2, X | 3],
            [(1, 0xB1, 0, 4096), (3, 2, 0, 4096)],
        ),
    ],
    ids=range(7),
)
def test_evt3_words(tmp_path, words, expected):
    (tmp_path / "a.raw").write_bytes(raw3(*words))
    columns = list(formats.Stream(tmp_path / "a.raw").columns())
    assert [tuple(map(int, row)) for c in columns for row in zip(c.x, c.y, c.p, c.t)] == expected


def test_evt3_ten_thousand_events_at_100_us(tmp_path):
    table = np.array([[i % 64, i % 48, i % 2, 100 * i] for i in range(10_001)])
    (tmp_path / "a.raw").write_bytes(event_files.evt3(table))
    facts = formats.info(tmp_path / "a.raw")
    assert (facts["events"], facts["span_us"]) == (10_001, 1_000_000)


def test_evt2_before_the_first_time_and_over_the_wrap(tmp_path):
    late = (1 << 34) - 500
    body = event_files.evt2([[1, 1, 1, late], [2, 2, 0, late + 1000]], header=b"")
    early = np.array([1 << 28 | 5 << 22 | 9 << 11 | 9, 10 << 28 | 1, 14 << 28, 15 << 28], "<u4").tobytes()
    (tmp_path / "a.raw").write_bytes(evt_header("EVT2") + early + body + b"\1\2\3")
    events = formats.read(tmp_path / "a.raw")[0]
    assert events.tolist() == [(1, 1, 1, 0), (2, 2, 0, 1000)]
    notes = formats.info(tmp_path / "a.raw")["notes"]
    assert any("before the first TIME_HIGH" in n for n in notes) and any("3 of 4 bytes" in n for n in notes)


@pytest.mark.parametrize("chunk", [16, 40, 1000])
def test_blocks_of_any_size_give_the_same(tmp_path, monkeypatch, chunk):
    table = rows()
    for module in ("prophesee", "aedat2", "eventstream"):
        __import__(f"events.formats.{module}")
    blocks = formats.source.blocks
    small = lambda path, begin, record, notes, _=0: blocks(path, begin, record, notes, max(chunk, record))  # noqa: E731
    for name in ("a.raw", "b.raw", "c.raw", "a.dat", "a.aedat", "c.aedat", "a.es"):
        (tmp_path / name).write_bytes(WRITERS[name](table))
        whole = formats.read(tmp_path / name)[0]
        with monkeypatch.context() as patch:
            for module in ("prophesee", "aedat2", "eventstream"):
                patch.setattr(sys.modules[f"events.formats.{module}"], "blocks", small)
            assert np.array_equal(formats.read(tmp_path / name)[0], whole)


def test_clocks_that_wrap_or_begin_below_zero(tmp_path):
    table = rows(50)
    table[:, 3] += (1 << 32) - 100_000
    for name, write in (("a.dat", event_files.dat), ("a.aedat", event_files.aedat2)):
        (tmp_path / name).write_bytes(write(table))
        same(formats.read(tmp_path / name)[0], table)
    assert formats.info(tmp_path / "a.aedat")["first_us"] < 0  # jAER's times are signed


def test_davis_with_pictures_and_inertial_unit(tmp_path):
    table = rows(60)
    data = event_files.aedat2(table, "DAVIS240")
    begin = len(data) - 60 * 8
    other = struct.pack(">II", 0x80000C00 | 3 << 28, 5_000) + struct.pack(">II", 0x80123456, 5_001)
    outer = struct.pack(">II", 0x400, 5_002)
    (tmp_path / "a.aedat").write_bytes(data[: begin + 80] + other + outer + data[begin + 80 :])
    same(formats.read(tmp_path / "a.aedat")[0], table)
    assert "3 words of pictures" in formats.info(tmp_path / "a.aedat")["notes"][0]


def test_aedat2_that_matlab_saved(tmp_path):
    """No chip is named; a record that begins with `#`; special words; a cut last record."""
    table = rows(40, (128, 128))
    body = event_files.aedat2(table)[-40 * 8 :]
    body = body[:8] + struct.pack(">II", 0x80FF, int(table[0, 3])) + body[8:] + b"abc"
    (tmp_path / "a.aedat").write_bytes(b"#!AER-DAT2.0\r\n# by saveaerdat.m\r\n" + body)
    same(formats.read(tmp_path / "a.aedat")[0], table)
    notes = formats.info(tmp_path / "a.aedat")["notes"]
    assert any("1 special words" in n for n in notes) and any("3 of 8 bytes" in n for n in notes)
    # a DAVIS346's address whose first byte is `#`
    word = struct.pack(">II", 0x23 << 24 | 300 << 12, 1) + struct.pack(">II", 100 << 22 | 1 << 11, 2)
    (tmp_path / "b.aedat").write_bytes(b"#!AER-DAT2.0\r\n" + word)
    assert formats.read(tmp_path / "b.aedat")[0]["p"].tolist() == [0, 1]
    assert formats.read(tmp_path / "b.aedat")[1] == (346, 260)


def test_sensor_of_older_raw_files(tmp_path):
    body = event_files.evt2(rows(), header=b"")
    for line, size in (
        ("plugin_name hal_plugin_imx636_evk4", (1280, 720)),
        ("plugin_name hal_plugin_genx320_cx3", (320, 320)),
        ("system_ID 28", (640, 480)),
        ("geometry 304x240", (304, 240)),
        ("serial 1", None),
    ):
        (tmp_path / "a.raw").write_bytes(f"% evt 2.0\n% {line}\n".encode() + body)
        assert formats.read(tmp_path / "a.raw")[1] == size


def test_lz4_of_a_real_writer():
    """Frames of the lz4 program: runs that overlap themselves, blocks that refer to those before."""
    data = bytes(range(20)) * 3 + b"a" * 1000 + bytes(range(200))
    # two linked blocks: literals 0..19, then a match at 20 of 40; "a" and a run of 999 ones; the rest as literals
    one = bytes([0xFF, 5]) + bytes(range(20)) + struct.pack("<H", 20) + bytes([40 - 19])
    two = bytes([0x1F]) + b"a" + struct.pack("<H", 1) + bytes([255, 255, 255, 999 - 19 - 765])
    two += bytes([0xF0, 200 - 15]) + bytes(range(200))
    frame = b"\x04\x22\x4d\x18" + bytes([0x40, 0x40, 0])
    for block in (one, two):
        frame += struct.pack("<I", len(block)) + block
    assert lz4.unpack(frame + bytes(4)) == data
    for broken in (
        frame,
        frame[:9],
        b"no",
        frame[:-1] + bytes(4),
        frame[:7] + struct.pack("<I", 3) + b"\x0f\1\0" + bytes(4),
    ):
        with pytest.raises(ValueError):
            lz4.unpack(broken)


def pack_ecf(table, way):  # noqa: C901
    """One chunk, from the description: `way` 2 packs y, x, p; 1 packs x, p; 0 none of them."""
    table = np.asarray(table)
    x, y, p, t = table.T.tolist()
    out = struct.pack("<IQ", len(x) << 2 | way, t[0])
    now = t[0]

    def runs(values):
        begin = 0
        for i in range(1, len(values) + 1):
            if i == len(values) or values[i] != values[begin]:
                yield values[begin], i - begin
                begin = i

    for time, n in runs(t):
        step = time - now
        now = time
        if step >= 15:
            while step:
                out += bytes([0xF0 | step & 15])
                step >>= 4
        out += bytes([step << 4 | n]) if n < 15 else bytes([step << 4 | 15]) + struct.pack("<H", n)
    four = lambda v: v + [0] * (-len(v) % 4)  # noqa: E731
    if way == 2:
        v = four([a << 12 | b << 1 | c for a, b, c in zip(y, x, p)])
        for a, b, c, d in zip(*[iter(v)] * 4):
            out += struct.pack("<III", a << 8 | b & 0xFF, (b >> 8) << 16 | c & 0xFFFF, (c >> 16) << 24 | d)
        return out
    for row, n in runs(y):
        out += struct.pack("<H", row << 5 | n) if n < 31 else struct.pack("<HH", row << 5 | 31, n)
    if way == 1:
        v = four([b << 1 | c for b, c in zip(x, p)])
        for a, b, c, d in zip(*[iter(v)] * 4):
            out += struct.pack("<HHH", a << 4 | b & 0xF, (b >> 4) << 8 | c & 0xFF, (c >> 8) << 12 | d)
        return out
    i = 0
    while i < len(x):
        first, mask = x[i], 0
        i += 1
        for j in range(5):
            if i < len(x) and x[i] == first + j + 1:
                mask |= 1 << 4 - j
                i += 1
        out += struct.pack("<H", first << 5 | mask)
    for sign, n in runs(p):
        out += bytes([sign << 7 | n]) if n < 127 else bytes([sign << 7 | 127]) + struct.pack("<H", n)
    return out


@pytest.mark.parametrize("way", [0, 1, 2])
def test_ecf(tmp_path, way):
    h5py = pytest.importorskip("h5py")
    table = rows(403, (1280, 720), 90_000)
    table[40:140, 3] = table[40, 3]
    table[200:340, 1], table[200:340, 2], table[200:340, 0] = 9, 1, np.arange(140)
    x, y, p, t = ecf.unpack(pack_ecf(table, way), "a")
    assert np.array_equal(np.stack([x, y, p, t], 1), table)
    kind = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    with h5py.File(tmp_path / "a.hdf5", "w") as f:
        space, plist = h5py.h5s.create_simple((803,), (h5py.h5s.UNLIMITED,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((403,))
        plist.set_filter(36559, h5py.h5z.FLAG_OPTIONAL, ())
        group = h5py.h5g.create(f.id, b"CD")
        data = h5py.h5d.create(group, b"events", h5py.h5t.py_create(kind), space, plist)
        for at in (0, 403):
            data.write_direct_chunk((at,), pack_ecf(table + [0, 0, 0, at * 1000], way))
    events = formats.read(tmp_path / "a.hdf5")[0]
    same(events, np.concatenate([table, table[:400] + [0, 0, 0, 403_000]]))
    for cut in range(12, 400, 7):
        try:
            ecf.unpack(pack_ecf(table, way)[:cut], "a")
        except UserError as e:
            assert "too short" in str(e)


# ---- units


@pytest.mark.parametrize("unit, scale", [("seconds", 1e-6), ("milliseconds", 1e-3), ("nanoseconds", 1e3)])
def test_times_in_other_units_are_asked_about(tmp_path, unit, scale):
    table = rows(2000, (34, 34), 1_400_000)
    t = table[:, 3] * scale
    t = t if unit == "seconds" else t.astype(np.int64)
    np.savez(tmp_path / "a.npz", **dict(zip("xyp", table.T)), t=t)
    with pytest.raises(
        UserError, match=r"^[^\n]*a.npz: [^\n]* if a unit of its times is a microsecond; say what it is with"
    ):
        formats.read(tmp_path / "a.npz")
    events = formats.read(tmp_path / "a.npz", unit_us=1 / scale)[0]
    assert np.abs(events["t"] - table[:, 3] + table[0, 3]).max() <= (1000 if unit == "milliseconds" else 0)
    with pytest.raises(UserError, match="say what it is"):
        formats.info(tmp_path / "a.npz")


def test_a_plain_table_in_microseconds_is_asked_about(tmp_path):
    table = rows(2000, (34, 34), 1_400_000)
    np.save(tmp_path / "a.npy", table)
    with pytest.raises(UserError, match=r"2,000 events last 1,39\d s, .* if a unit of its times is a millisecond"):
        formats.read(tmp_path / "a.npy")
    same(formats.read(tmp_path / "a.npy", unit_us=1)[0], table)
    np.savez(tmp_path / "b.npz", **dict(zip("xyp", table.T)), t_ns=table[:, 3] * 1000)
    same(formats.read(tmp_path / "b.npz")[0], table)


def test_texts_with_fewer_columns_than_names(tmp_path):
    (tmp_path / "a.csv").write_text("q,x,y,p,t\n1,2,1,5\n")
    with pytest.raises(UserError, match="the first line names 5 columns, the others have fewer"):
        formats.read(tmp_path / "a.csv")


def test_hints(tmp_path):
    table = rows(20)
    np.savez(tmp_path / "a.npz", **dict(zip("xyt", table.T[[0, 1, 3]])), p=table[:, 2] + 3)
    with pytest.raises(
        UserError, match="polarity [34] is outside 0..1; polarities are 0 and 1, or -1 and 1 all through"
    ):
        formats.read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **dict(zip("xpt", table.T[[0, 2, 3]])), y=table[:, 1] + 9000)
    with pytest.raises(UserError, match="no sensor has so many pixels along a side"):
        formats.read(tmp_path / "b.npz")


# ---- broken files


SEEDS = {
    **{name: WRITERS[name] for name in WRITERS if name not in ("c.dat", "f.aedat", "f.raw", "e.raw")},
    ".h5": "columns",
    ".mat": "mat",
    ".pt": "pt",
    ".npz": "npz",
    ".npy": "npy",
}


def seed(folder, name):
    """The bytes of a sound file, and the name for its mutations."""
    if isinstance(SEEDS[name], str):
        path = folder / f"seed{name}"
        event_files.write(path, rows(80))
        return path.read_bytes(), f"a{name}"
    return SEEDS[name](rows(80)), name


def mutated(content, random):
    data = bytearray(content)
    for _ in range(random.integers(1, 6)):
        at = (
            int(random.integers(0, len(data)))
            if random.random() < 0.7
            else int(random.integers(0, min(len(data), 200)))
        )
        way = random.integers(0, 5)
        if way == 0:
            data[at] = int(random.integers(0, 256))
        elif way == 1:
            data[at : at + 4] = bytes(random.choice([0, 255], 4).astype(np.uint8))
        elif way == 2:
            del data[at:]
        elif way == 3:
            data[at : at + 16] = bytes(16)
        else:
            data[at:at] = bytes(random.integers(0, 256, 5).astype(np.uint8))
        if not data:
            break
    return bytes(data)


def fuzz(folder, name, number, seed_):
    """(read, refused) of so many mutations; whatever else happens is raised."""
    content, name = seed(folder, name)
    random, path, counts = np.random.default_rng(seed_), folder / name, [0, 0]
    for _ in range(number):
        path.write_bytes(mutated(content, random))
        try:
            formats.info(path)
            counts[0] += 1
        except UserError as e:
            assert "\n" not in str(e) and name in str(e), str(e)
            counts[1] += 1
    return counts


@pytest.mark.parametrize("name", SEEDS)
def test_broken_files_are_read_or_refused_in_one_line(tmp_path, name):
    read, refused = fuzz(tmp_path, name, 25, 7)
    assert read + refused == 25

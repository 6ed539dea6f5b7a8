"""AEDAT 3.1, and DVS128 Gesture as IBM published it.

Files are written here, from the format's specification; no file of IBM's is at hand.
"""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import aedat3, dvs128, load
from sim.base.errors import UserError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
HEADER = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-08-26 14:03:51"
    b" (TZ+0200)\r\n#!END-HEADER\r\n"
)


def packet(events, overflows=0, kind=1):
    """One packet; events are (x, y, p, t, valid)."""
    body = b"".join(struct.pack("<II", x << 17 | y << 2 | p << 1 | valid, t) for x, y, p, t, valid in events)
    return (
        struct.pack("<hhiiiiii", kind, 1, 8, 4, overflows, len(events), len(events), sum(e[4] for e in events)) + body
    )


def raw(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


events_lists = st.lists(
    st.tuples(
        st.integers(0, 32767), st.integers(0, 32767), st.integers(0, 1), st.integers(0, 2**31 - 1), st.integers(0, 1)
    ),
    max_size=5,
)
packets = st.lists(st.tuples(events_lists, st.integers(0, 3), st.sampled_from([1, 1, 1, 0, 2])), max_size=5)


def expected(made):
    return [
        (x, y, p, overflows << 31 | t)
        for events, overflows, kind in made
        if kind == 1
        for x, y, p, t, valid in events
        if valid
    ]


@given(packets, st.booleans(), st.integers(-1, 2**33), st.integers(0, 2**33))
def test_round_trip(tmp_path_factory, made, ordered, begin, length):
    if ordered:  # as the format has it, so that only the packets about the window are looked at; otherwise all are
        times = iter(sorted(e[3] for events, _, _ in made for e in events))
        made = [([(x, y, p, next(times), valid) for x, y, p, _, valid in events], 0, kind) for events, _, kind in made]
        begin, length = begin >> 2, length >> 2
    path = raw(tmp_path_factory.mktemp("a"), "a.aedat", HEADER + b"".join(packet(*p) for p in made))
    assert list(zip(*(column.tolist() for column in aedat3.read(path)))) == expected(made)
    first = [overflows << 31 | events[0][3] for events, overflows, kind in made if kind == 1 and events]
    if ordered or first != sorted(first):
        cut = list(zip(*(column.tolist() for column in aedat3.read(path, begin, begin + length))))
        assert cut == [event for event in expected(made) if begin <= event[3] < begin + length]


@given(packets, st.data())
def test_truncated_anywhere_is_named_or_ends_with_a_packet(tmp_path_factory, made, data):
    blocks = [packet(*p) for p in made]
    whole = HEADER + b"".join(blocks)
    length = data.draw(st.integers(0, len(whole) - 1)) if blocks else data.draw(st.integers(0, len(HEADER) - 1))
    path = raw(tmp_path_factory.mktemp("a"), "a.aedat", whole[:length])
    ends = [len(HEADER) + sum(map(len, blocks[:i])) for i in range(len(blocks))]
    if length in ends:
        assert len(aedat3.read(path)[0]) == len(expected(made[: ends.index(length)]))
    else:
        with pytest.raises(UserError, match=r"^[^\n]*a\.aedat[^\n]*$"):
            aedat3.read(path)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_is_no_traceback(tmp_path_factory, changes):
    content = bytearray(HEADER + packet([(1, 2, 1, 3, 1)] * 6) + packet([(4, 5, 0, 6, 1)] * 6))
    for at, value in changes:
        content[at] = value
    try:
        columns = aedat3.read(raw(tmp_path_factory.mktemp("a"), "a.aedat", bytes(content)))
    except UserError as e:
        assert "a.aedat" in str(e) and "\n" not in str(e)
    else:
        assert len({len(column) for column in columns}) == 1


@pytest.mark.parametrize(
    "content, what",
    [
        (b"", "is empty"),
        (b"#!AER-DAT2.0\r\n", "is not an AEDAT 3.1 file"),
        (HEADER[:-4], "has no end"),
        (b"#!AER-DAT3.1\r\n" + b"#x\r\n" * 30000, "has no end"),
        (
            HEADER + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 2**31 - 1, 2**31 - 1, 0),
            "holds 17179869176 bytes of events, 0 are there",
        ),
        (HEADER + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 1, 2, 1), "claims 2 events"),
        (HEADER + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 2, -2, 0), "claims -2"),
        (HEADER + struct.pack("<hhiiiiii", 1, 1, 16, 4, 0, 1, 1, 1) + bytes(16), "polarity events of 16 bytes"),
        (HEADER + struct.pack("<hhiiiiii", 2, 1, 0, 4, 0, 1, 1, 1), "of 0 bytes"),
    ],
    ids=range(9),
)
def test_what_is_wrong_is_said(tmp_path, content, what):
    with pytest.raises(UserError, match=rf"^[^\n]*a\.aedat[^\n]*{what}[^\n]*$"):
        aedat3.read(raw(tmp_path, "a.aedat", content))
    with pytest.raises(UserError, match="gone.aedat cannot be read"):
        aedat3.read(tmp_path / "gone.aedat")


def test_a_file_that_changes_is_read_anew(tmp_path):
    path = raw(tmp_path, "a.aedat", HEADER + packet([(1, 2, 1, 3, 1)]))
    assert len(aedat3.read(path)[0]) == 1 and aedat3.index(path).size == (128, 128)
    path.write_bytes(HEADER.replace(b"DVS128", b"other") + packet([(1, 2, 1, 3, 1)] * 4))
    assert len(aedat3.read(path)[0]) == 4 and aedat3.index(path).size is None


def test_equals_tonic(tmp_path):
    """Its words; its `read_dvs_ibm` itself cannot run (tonic 1.7.0)."""
    io = pytest.importorskip("tonic.io")
    r = np.random.default_rng(4)
    rows = np.stack(
        [
            r.integers(0, 128, 3000),
            r.integers(0, 128, 3000),
            r.integers(0, 2, 3000),
            np.sort(r.integers(0, 2**31, 3000)),
            np.ones(3000, int),
        ],
        1,
    )
    path = raw(tmp_path, "a.aedat", HEADER + b"".join(packet(part) for part in np.array_split(rows, 40)))
    version, start, _ = io.read_aedat_header_from_file(str(path))
    words = io.get_aer_events_from_file(str(path), version, start)
    theirs = (
        words["address"] >> 17 & 0x1FFF,
        words["address"] >> 2 & 0x1FFF,
        words["address"] >> 1 & 1,
        words["timeStamp"],
    )
    assert len(words) == 3000 and all(np.array_equal(a, b) for a, b in zip(theirs, aedat3.read(path)))


# ---- DVS128 Gesture


def both_trees(root):
    """The same clips in IBM's layout and in tonic's. Returns {name: label}."""
    r = np.random.default_rng(2)
    labels = {}
    for user in range(1, 10):
        part = "Test" if user > 7 else "Train"
        for light in ("led", "natural"):
            trial, rows, t, blocks = f"user{user:02d}_{light}", [], 2**31 - 400_000, []  # the clock runs over 31 bits
            for label in r.permutation(11)[:3].tolist():
                t += int(r.integers(50_000, 90_000))
                n = 200
                clip = np.stack(
                    [
                        r.integers(0, 128, n),
                        r.integers(0, 128, n),
                        r.integers(0, 2, n),
                        t + np.sort(r.integers(0, 200, n)) * 1000,
                    ],
                    1,
                )
                rows.append(f"{label + 1},{t},{t + 200_000}")
                # A packet's events share one overflow; between the gestures there are events that belong to none, and
                # some that are not valid.
                for high in (0, 1):
                    inside = clip[clip[:, 3] >> 31 == high]
                    if len(inside):
                        blocks.append(
                            packet([(x, y, p, int(t) & 2**31 - 1, 1) for x, y, p, t in inside.tolist()], high)
                        )
                t += 200_000
                blocks += [
                    packet([(1, 1, 1, t & 2**31 - 1, 1), (127, 127, 0, t + 9 & 2**31 - 1, 0)], t >> 31),
                    packet([(9, 9, 1, t & 2**31 - 1, 1)], 0, kind=0),
                ]
                folder = root / "DVSGesture" / f"ibmGesture{part}" / trial
                folder.mkdir(parents=True, exist_ok=True)
                np.save(folder / f"{label}.npy", (clip - [0, 0, 0, rows and t - 200_000]) / [1, 1, 1, 1000])
                labels[f"{trial}/{label}"] = label
            raw(root / "DvsGesture", f"{trial}.aedat", HEADER + b"".join(blocks))
            raw(
                root / "DvsGesture",
                f"{trial}_labels.csv",
                "\r\n".join(["class,startTime_usec,endTime_usec", *rows, ""]).encode(),
            )
            with open(root / "DvsGesture" / f"trials_to_{part.lower()}.txt", "a") as f:
                f.write(f"{trial}.aedat\n")
    return labels


def test_ibms_tree_equals_tonics(tmp_path):
    labels = both_trees(tmp_path)
    seen = []
    for split in ("train", "val", "test"):
        npy = load("dvs128", split, tmp_path)  # both there: tonic's layout
        ibm = load("dvs128", split, tmp_path / "DvsGesture")
        assert all(name.startswith("ibmGesture") for name in npy.names) and (ibm.classes, ibm.height, ibm.width) == (
            npy.classes,
            128,
            128,
        )
        wanted = {name.split("/", 1)[1][:-4]: events for name, events in zip(npy.names, npy.events)}
        assert sorted(ibm.names) == sorted(wanted)
        for name, label, events in zip(ibm.names, ibm.labels, ibm.events):
            assert label == labels[name] and len(events) == 200
            assert all(np.array_equal(events[key], wanted[name][key]) for key in ("x", "y", "p", "t"))
        assert len(ibm.events[2:5]) == 3 and np.array_equal(ibm.events[2:5][0], ibm.events[2])
        seen += ibm.names
    assert len(seen) == len(set(seen)) == 54
    assert [len(load("dvs128", s, tmp_path / "DvsGesture")) for s in ("train", "val", "test")] == [36, 6, 12]


@pytest.mark.skipif(
    not (REAL / "DVSGesture").is_dir(), reason="the five DVS128 clips are not here (../shared/data/DVSGesture)"
)
def test_a_real_clip_in_ibms_format_is_the_clip(tmp_path):
    clip = dvs128.read(REAL / "DVSGesture/ibmGestureTest/user00_sample/0.npy")
    begin = 2**31 - 700_000  # the clock runs over in the middle of the clip
    blocks = []
    for part in np.array_split(clip, 300):
        for high in (0, 1):
            rows = [(x, y, p, t + begin & 2**31 - 1, 1) for x, y, p, t in part.tolist() if t + begin >> 31 == high]
            blocks.append(packet(rows, high))
    path = raw(tmp_path, "user00_sample.aedat", HEADER + b"".join(blocks))
    assert np.array_equal(dvs128.read_window(path, 0, 2**40), clip)
    middle = dvs128.read_window(path, begin + 650_000, begin + 750_000)
    wanted = clip[(clip["t"] >= 650_000) & (clip["t"] < 750_000)]
    assert (
        len(middle) > 1000
        and np.array_equal(middle["t"], wanted["t"] - wanted["t"][0])
        and np.array_equal(middle["x"], wanted["x"])
    )


def test_ibms_tree_below_the_data_folder(tmp_path):
    both_trees(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "DvsGesture").rename(tmp_path / "b" / "DvsGesture")
    recordings = load("dvs128", "val", tmp_path / "b")
    assert {name.split("_")[0] for name in recordings.names} == {"user07"}


def test_windows_that_overlap_and_labels_that_come_again(tmp_path):
    """As in user22_led_labels.csv, where class 9 ends after class 10 has begun; and every trial has one label twice."""
    path = raw(
        tmp_path, "user22_led_labels.csv", b"class,startTime_usec,endTime_usec\n9,100,450\n10,300,500\n10,500,700\n"
    )
    assert dvs128.read_windows(path) == [(8, 100, 300), (9, 300, 500), (9, 500, 700)]
    raw(tmp_path, "user22_led.aedat", HEADER + packet([(t % 128, 0, 1, t, 1) for t in range(0, 800, 10)]))
    raw(tmp_path, "user23_led.aedat", HEADER + packet([(0, 0, 1, 7, 1)]))
    raw(tmp_path, "user23_led_labels.csv", b"class,startTime_usec,endTime_usec\n1,0,10\n")
    raw(tmp_path, "trials_to_train.txt", b"user22_led.aedat\nuser23_led.aedat\n")
    train = load("dvs128", "train", tmp_path)
    assert train.names == ["user22_led/8", "user22_led/9", "user22_led/9-2"] and train.labels.tolist() == [
        8,
        9,
        9,
    ]
    assert [len(e) for e in train.events] == [20, 20, 20] and [e["t"][0] for e in train.events] == [0, 0, 0]


@pytest.mark.parametrize(
    "content, what",
    [
        ("class,start,end\n", "the first line is 'class,start,end'"),
        ("class,startTime_usec,endTime_usec\n12,1,2\n", "line 2: '12,1,2' is not a class of 1 to 11"),
        ("class,startTime_usec,endTime_usec\n0,1,2\n", "line 2"),
        ("class,startTime_usec,endTime_usec\n\n1,5,5\n", "line 3"),
        ("class,startTime_usec,endTime_usec\n1,5\n", "line 2"),
        ("class,startTime_usec,endTime_usec\n1,5,6\n2,5,9\n", "two windows begin at 5 us"),
        ("\xff", ""),
    ],
    ids=range(7),
)
def test_labels_that_cannot_be_read(tmp_path, content, what):
    path = raw(tmp_path, "user01_led_labels.csv", content.encode("latin-1"))
    with pytest.raises(UserError, match=rf"^[^\n]*user01_led_labels\.csv[^\n]*{what}[^\n]*$"):
        dvs128.read_windows(path)


def test_trials_that_are_missing_or_misnamed(tmp_path):
    raw(tmp_path, "trials_to_test.txt", b"user24_led.aedat\n")
    with pytest.raises(UserError, match="user24_led.aedat is missing, though trials_to_test.txt names it"):
        load("dvs128", "test", tmp_path)
    raw(tmp_path, "trials_to_test.txt", b"../user24_led.aedat\n")
    with pytest.raises(UserError, match="is not a trial"):
        load("dvs128", "test", tmp_path)
    raw(tmp_path, "trials_to_test.txt", b"user24_led.aedat\n")
    raw(tmp_path, "user24_led.aedat", HEADER + packet([(200, 0, 0, 5, 1)]))
    with pytest.raises(UserError, match="user24_led_labels.csv cannot be read"):
        load("dvs128", "test", tmp_path)
    raw(tmp_path, "user24_led_labels.csv", b"class,startTime_usec,endTime_usec\n1,0,9\n1,10,20\n")
    clips = load("dvs128", "test", tmp_path).events
    with pytest.raises(UserError, match=r"user24_led.aedat \(0 to 9 us\): x 200 is outside 0..127"):
        clips[0]
    with pytest.raises(UserError, match=r"user24_led.aedat \(10 to 20 us\) holds no events"):
        clips[1]

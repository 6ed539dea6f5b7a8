"""The data sets as others leave them: CIFAR10-DVS as published, SpikingJelly's trees; and what is said of trees that
are nearly right."""

import zipfile

import event_files
import numpy as np
import pytest

from events import load
from sim.base.errors import UserError

TABLE = event_files.rows(40, (34, 34))
CLASSES = ("airplane", "truck")


def save(path, table=TABLE):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, **dict(zip("xypt", table.T)))
    else:
        path.write_bytes({".aedat": event_files.aedat2, ".bin": event_files.nmnist}[path.suffix](table))


def same(events):
    assert all(np.array_equal(events[k], TABLE[:, i]) for i, k in enumerate("xyp"))
    assert np.array_equal(events["t"], TABLE[:, 3] - TABLE[0, 3])


@pytest.mark.parametrize("form", ["CIFAR10DVS/{c}/cifar10_{c}_{k}.aedat", "extract/{c}/cifar10_{c}_{k}.aedat",
                                  "events_np/{c}/cifar10_{c}_{k}.npz", "{c}/cifar10_{c}_{k}.aedat", "zip"])  # fmt: skip
def test_cifar10dvs_as_published_and_in_folders(tmp_path, form):
    for c in CLASSES:
        if form == "zip":
            (tmp_path / "CIFAR10DVS").mkdir(exist_ok=True)
            with zipfile.ZipFile(tmp_path / f"CIFAR10DVS/{c}.zip", "w", zipfile.ZIP_DEFLATED) as z:
                for k in range(20):
                    z.writestr(f"{c}/cifar10_{c}_{k}.aedat", event_files.aedat2(TABLE))
        else:
            for k in range(20):
                save(tmp_path / form.format(c=c, k=k))
    found = {part: load("cifar10dvs", part, tmp_path) for part in ("train", "val", "test")}
    assert [len(r) for r in found.values()] == [32, 4, 4]
    test = found["test"]
    assert [n.rpartition(".")[0] for n in test.names[:2]] == [
        "airplane/cifar10_airplane_18",
        "airplane/cifar10_airplane_19",
    ]
    assert test.labels.tolist() == [0, 0, 9, 9] and (test.width, test.height) == (128, 128)
    same(test.events[0])
    same(found["train"].events[-1])


def test_cifar10dvs_zip_that_is_broken(tmp_path):
    (tmp_path / "airplane.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match="airplane.zip cannot be unpacked"):
        load("cifar10dvs", "train", tmp_path)
    with zipfile.ZipFile(tmp_path / "airplane.zip", "w") as z:
        for k in range(20):
            z.writestr(f"a_{k}.aedat", b"#!AER-DAT2.0\r\n")
    r = load("cifar10dvs", "train", tmp_path)
    with pytest.raises(UserError, match=r"^[^\n]*airplane.zip: a_0.aedat holds no events[^\n]*$"):
        r.events[0]
    assert len(load("cifar10dvs", "train", tmp_path).names) == 16


def test_spikingjelly_trees(tmp_path):
    for part in ("train", "test"):
        for label in range(11):
            for user in (1, 2, 3) if part == "train" else (24,):
                save(tmp_path / f"dvs/events_np/{part}/{label}/user{user:02d}_led_0.npz")
        for label in range(10):
            for k in range(10):
                save(tmp_path / f"mnist/events_np/{part}/{label}/{k:05d}.npz")
                save(tmp_path / f"bins/extract/{part.title()}/{label}/{k:05d}.bin")
                save(tmp_path / f"lower/{part}/{label}/{k:05d}.bin")
    found = {part: load("dvs128", part, tmp_path / "dvs") for part in ("train", "val", "test")}
    assert [len(r) for r in found.values()] == [22, 11, 11]
    assert found["test"].labels.tolist() == list(range(11))
    same(found["val"].events[5])
    for root in ("mnist", "bins", "lower"):
        found = {part: load("nmnist", part, tmp_path / root) for part in ("train", "val", "test")}
        assert [len(r) for r in found.values()] == [90, 10, 100]
        assert found["test"].events[7]["t"][0] == 5_000  # this set's times are those of the files
        assert np.array_equal(found["test"].events[7]["x"], TABLE[:, 0])


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "name, make, what",
    [
        ("nmnist", lambda r: touch(r / "train.zip"), "train.zip is there, packed; unpack it"),
        ("nmnist", lambda r: touch(r / "deep/er/Train/3/x"), r"deep/er/Train is there; name its folder, '.*deep/er'"),
        ("nmnist", lambda r: touch(r / "NMNIST/a"), "it holds NMNIST"),
        ("nmnist", lambda r: touch(r / "a.txt"), "it holds a.txt"),
        ("dvs128", lambda r: touch(r / "dvsgesture/ibmgesturetest/a"), "dvsgesture is there; rename it to D"),
        ("dvs128", lambda r: touch(r / "user01_led.aedat"), "but not trials_to_train.txt and trials_to_test.txt"),
        ("dvs128", lambda r: touch(r / "DvsGesture.tar.gz"), "DvsGesture.tar.gz is there, packed; unpack it"),
        ("cifar10dvs", lambda r: r.mkdir(exist_ok=True), "it is empty"),
        ("cifar10dvs", lambda r: None, "there is no such folder"),
    ],
    ids=range(9),
)
def test_what_is_there_instead(tmp_path, name, make, what):
    make(tmp_path / "data")
    with pytest.raises(UserError, match=rf"^data set '{name}': [^\n]*{what}[^\n]*$|^[^\n]*{what}[^\n]*$"):
        load(name, "train", tmp_path / "data")


def test_the_folder_itself_and_one_user(tmp_path):
    touch(tmp_path / "Train/x")
    with pytest.raises(UserError, match="this is the folder Train itself; name the one above it"):
        load("nmnist", "train", tmp_path / "Train")
    for label in range(3):
        (tmp_path / "d/ibmGestureTrain/user07_led").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"d/ibmGestureTrain/user07_led/{label}.npy", np.zeros((3, 4)))
    with pytest.raises(UserError, match="all recordings for training are of user 7; at least two users are needed"):
        load("dvs128", "train", tmp_path / "d")


def test_rows_above_the_sensor(tmp_path):
    for row, what in (
        (250, "y 250 is above 239"),
        (40, "y 40 is outside 0..33; is this a recording of a 34 x 34 sensor"),
    ):
        (tmp_path / "Train/3").mkdir(parents=True, exist_ok=True)
        for k in range(8):
            (tmp_path / f"Train/3/{k}.bin").write_bytes(bytes([1, row, 0, 0, 9]))
        with pytest.raises(UserError, match=what):
            load("nmnist", "train", tmp_path).events[0]

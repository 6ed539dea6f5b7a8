"""Photographs, as pictures and before a simulated camera. Files are written here."""

import contextlib
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from streams import same

from events import EVENT, Encoder, cache, default_encoder, load, pictures, token_streams
from sim.base.errors import UserError


def colours(n, seed=0, size=32):
    """Soft patterns, uint8 [n, 3, size, size]."""
    r = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    waves = [
        np.sin(2 * np.pi * (r.uniform(0.5, 2, (3, 1, 1)) * x + r.uniform(0.5, 2, (3, 1, 1)) * y + r.random((3, 1, 1))))
        for _ in range(n)
    ]
    return (127.5 + 127 * np.array(waves)).astype(np.uint8)


def cifar10_tree(folder, n=20, first=0):
    folder.mkdir(parents=True)
    for i, name in enumerate(("data_batch_1", "data_batch_2", "test_batch")):
        rgb = colours(n, first + i)
        (folder / f"{name}.bin").write_bytes(b"".join(bytes([k % 10]) + rgb[k].tobytes() for k in range(n)))


def slow_camera(light, path, offset, threshold, step_us):
    """`saccade.see` pixel by pixel, in plain Python: list of (x, y, p, t)."""
    height, width = light.shape

    def at(i, j):
        return int(light[min(max(i, 0), height - 1), min(max(j, 0), width - 1)])

    out = []
    for y in range(height):
        for x in range(width):
            before = reference = None
            for step, (dx, dy) in enumerate(path.tolist()):
                (i, fy), (j, fx) = divmod(256 * y - dy, 256), divmod(256 * x - dx, 256)
                now = (
                    at(i, j) * (256 - fy) * (256 - fx)
                    + at(i, j + 1) * (256 - fy) * fx
                    + at(i + 1, j) * fy * (256 - fx)
                    + at(i + 1, j + 1) * fy * fx
                    + 32768
                ) // 65536
                if step == 0:
                    reference = now + int(offset[y, x])
                else:
                    sign = 1 if now > before else -1
                    while abs(now - reference) >= threshold and (now > reference) == (sign > 0):
                        reference += sign * threshold
                        way = max(abs(reference - before) * step_us - 1, 0) // abs(now - before)
                        out.append((x, y, int(sign > 0), (step - 1) * step_us + way))
                before = now
    return out


def test_the_camera_equals_a_slow_one():
    from events import saccade

    picture = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(np.uint8)
    events = saccade.see(picture, 5)
    offset = np.random.RandomState(5).randint(1 - saccade.THRESHOLD, saccade.THRESHOLD, picture.shape)
    wanted = slow_camera(saccade._LOG[picture], saccade._path(9 * 3 / 32), offset, saccade.THRESHOLD, saccade.STEP_US)
    assert len(wanted) > 300 and sorted(events.tolist()) == sorted(wanted)
    assert (np.diff(events["t"]) >= 0).all() and 0 <= events["t"][0] and events["t"][-1] < 300_000
    assert np.array_equal(events, saccade.see(picture, 5)) and not np.array_equal(events, saccade.see(picture, 6))


def test_a_grey_wall_is_silent_and_an_edge_is_where_it_is():
    from events import saccade

    assert (
        len(saccade.see(np.full((32, 32), 200, np.uint8), 1)) == 0
        and len(saccade.see(np.zeros((8, 8), np.uint8), 1)) == 0
    )
    edge = np.full((32, 32), 20, np.uint8)
    edge[:, 16:] = 220
    events = saccade.see(edge, 1)
    assert 14 <= events["x"].min() and events["x"].max() <= 17
    # Moving right, the dark side comes over the bright one; moving back, it goes.
    assert (events["p"][events["t"] < 200_000] == 0).all() and (events["p"][events["t"] >= 201_000] == 1).all()


@pytest.mark.parametrize("inside", ["cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "cifar10", "."])
def test_cifar10_binary(tmp_path, inside):
    cifar10_tree(tmp_path / "a" / inside)
    parts = {split: load("cifar10:saccade", split, tmp_path / "a") for split in ("train", "val", "test")}
    assert [len(r) for r in parts.values()] == [36, 4, 20] and parts["val"].names == [
        f"data_batch_{b}/{n}" for b in (1, 2) for n in (7, 17)
    ]
    assert len({name for r in parts.values() for name in r.names}) == 60 and parts["test"].labels.tolist() == [
        *range(10),
        *range(10),
    ]
    (first,) = parts["test"].events[3:4]
    assert first["x"].max() < 32 and first["y"].max() < 32 and len(first) > 100
    assert np.array_equal(first, parts["test"].events[3]) and not np.array_equal(first, parts["test"].events[4])


def test_cifar100_takes_the_fine_label(tmp_path):
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    rgb = colours(20)
    for name in ("train", "test"):
        (folder / f"{name}.bin").write_bytes(b"".join(bytes([3, 99 - k]) + rgb[k].tobytes() for k in range(20)))
    parts = [load("cifar100:saccade", split, tmp_path) for split in ("train", "val", "test")]
    assert (
        [len(r) for r in parts] == [18, 2, 20]
        and parts[2].labels.tolist() == list(range(99, 79, -1))
        and parts[2].classes[99] == "worm"
    )
    import zlib

    from events import saccade

    assert np.array_equal(parts[2].events[4], saccade.see(pictures.brightness(rgb[4]), zlib.crc32(b"test/4")))
    assert np.array_equal(load("cifar100", "test", tmp_path).events[4], rgb[4])


@pytest.mark.parametrize(
    "content, what",
    [
        (b"", "is truncated: 0 bytes"),
        (bytes(3072), "is truncated: 3072 bytes"),
        (bytes([10]) + bytes(3072), "picture 0 is of class 10, expected 0 to 9"),
    ],
    ids=range(3),
)
def test_cifar_files_that_are_wrong(tmp_path, content, what):
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    with pytest.raises(UserError, match=rf"^[^\n]*data_batch_1.bin[^\n]*{what}[^\n]*$"):
        load("cifar10", "train", tmp_path)


def test_cifar_file_that_shrinks(tmp_path):
    cifar10_tree(tmp_path / "a")
    recordings = load("cifar10", "test", tmp_path / "a")
    path = tmp_path / "a/test_batch.bin"
    path.write_bytes(path.read_bytes()[: 3073 * 5 - 1])
    with pytest.raises(UserError, match="test_batch.bin is truncated: it ends in picture 4"):
        recordings.events[4]
    path.unlink()
    with pytest.raises(UserError, match="test_batch.bin cannot be read"):
        recordings.events[4]


def test_the_python_version_of_cifar_is_never_opened(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"\x80\x02cos\nsystem\nq\x00.")
    with pytest.raises(UserError, match="the binary version and not the pickled Python one"):
        load("cifar10", "train", tmp_path)


def picture_tree(root, parts, classes, ending="png", size=(32, 32), count=20):
    for part in parts:
        for label, name in enumerate(classes):
            (root / part / name).mkdir(parents=True)
            for i, rgb in enumerate(colours(count, label)):
                Image.fromarray(np.moveaxis(rgb, 0, -1)).resize(size).save(root / part / name / f"{i:04d}.{ending}")


def test_cifar_in_folders_has_the_brightness_of_the_binary_version(tmp_path):
    import zlib

    from events import saccade

    picture_tree(tmp_path / "cifar10", ("train", "test"), ("cat", "dog"))
    assert np.array_equal(load("cifar10", "test", tmp_path).events[20], colours(20, 1)[0])
    parts = {split: load("cifar10:saccade", split, tmp_path) for split in ("train", "val", "test")}
    assert [len(r) for r in parts.values()] == [36, 4, 40] and set(parts["test"].labels.tolist()) == {3, 5}
    assert parts["val"].names == [f"train/{c}/00{n}.png" for c in ("cat", "dog") for n in ("07", "17")]
    assert np.array_equal(
        parts["test"].events[20], saccade.see(pictures.brightness(colours(20, 1)[0]), zlib.crc32(b"dog/0000.png"))
    )


def test_imagenet(tmp_path):
    wnids = ("n01440764", "n02102040")
    picture_tree(tmp_path / "imagenet", ("train", "val"), wnids, "JPEG", (150, 100))
    (tmp_path / "imagenet/train/notes").mkdir()
    assert load("imagenet", "test", tmp_path).events[0].shape == (3, 64, 64)
    parts = {split: load("imagenet:saccade", split, tmp_path) for split in ("train", "val", "test")}
    assert (
        [len(r) for r in parts.values()] == [38, 2, 40]
        and parts["test"].classes == wnids
        and parts["test"].height == 64
    )
    assert (
        parts["val"].names == [f"train/{w}/0007.JPEG" for w in wnids]
        and parts["test"].names[0] == "val/n01440764/0000.JPEG"
    )
    events = parts["test"].events[0]
    assert events["x"].max() < 64 and len(events) > 100


def test_pictures_that_are_wrong_are_named_or_skipped(tmp_path, monkeypatch):
    picture_tree(tmp_path, ("train", "val"), ("n00000001", "n00000002"), "JPEG", count=9)
    names = load("imagenet", "train", tmp_path).names
    whole = (tmp_path / names[3]).read_bytes()
    contents = {0: b"", 1: b"no picture", 2: whole[:200], 3: b"GIF89a" + whole}
    for i, content in contents.items():
        (tmp_path / names[i]).write_bytes(content)
    recordings = load("imagenet", "train", tmp_path)
    for i in contents:
        with pytest.raises(UserError, match=rf"^[^\n]*{names[i]} is not a readable picture[^\n]*$"):
            recordings.events[i]
    sound = load("imagenet", "train", tmp_path, skip_bad=True)
    assert len(sound) == len(names) - 4 and len(sound.skipped) == 4 and len(sound.events[0]) > 0
    monkeypatch.setattr(pictures, "_PICTURE_LIMIT", 1000)
    with pytest.raises(UserError, match="a picture of 32 x 32 pixels; at most 1000"):
        recordings.events[5]


def test_pictures_in_memory_are_bounded(tmp_path, monkeypatch):
    """A PNG as a whole, a JPEG as small as it is decoded, a progressive one as a whole; long files not at all; a chunk
    that claims to be longer than its file takes no memory for it."""
    picture = Image.fromarray(np.full((256, 256, 3), 90, np.uint8))
    for name, options in (("a.png", {}), ("a.jpg", {}), ("p.jpg", {"progressive": True})):
        picture.save(tmp_path / name, **options)
    read = pictures.Photograph(32)
    monkeypatch.setattr(pictures, "_DECODED_LIMIT", 128 * 128)
    assert read(tmp_path / "a.jpg").shape == (3, 32, 32)
    for name in ("a.png", "p.jpg"):
        with pytest.raises(UserError, match=rf"{name}: a picture of 256 x 256 pixels; at most 16384 are read"):
            read(tmp_path / name)
    monkeypatch.undo()
    content = (tmp_path / "a.png").read_bytes()
    at = content.index(b"IDAT") - 4
    (tmp_path / "b.png").write_bytes(content[:at] + b"\x7f" + content[at + 1 :])
    tracemalloc.start()
    with contextlib.suppress(UserError):
        read(tmp_path / "b.png")
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
    monkeypatch.setattr(pictures, "_FILE_LIMIT", 100)
    with pytest.raises(UserError, match=r"a\.png: more than 100 bytes"):
        read(tmp_path / "a.png")


def test_what_the_camera_saw_is_kept(tmp_path, monkeypatch):
    cifar10_tree(tmp_path / "a")
    recordings, encoder = (
        load("cifar10:saccade", "val", tmp_path / "a"),
        Encoder(height=32, width=32, window=8, stride=4, frames=6, frame_us=50_000),
    )
    wanted = encoder.encode_all(recordings.events)
    assert same(token_streams(recordings, encoder)[:], wanted) and wanted.tokens.reshape(4, 6, -1).any(axis=2).all()
    monkeypatch.setattr(pictures, "_see", None)
    assert same(token_streams(recordings, encoder)[:], wanted)
    assert len(list(cache._folder(recordings.root).iterdir())) == 1


def by_hand(picture, encoder, t, n):
    """The window of token `n` of frame `t`, pixel by pixel."""
    rows, cols = encoder.grid
    before, out = (encoder.window - encoder.stride) // 2, []
    top, left = n // cols * encoder.stride - before, n % cols * encoder.stride - before
    for plane in picture.tolist():
        for y in range(top, top + encoder.window):
            for x in range(left, left + encoder.window):
                there = 0 <= y < len(plane) and 0 <= x < len(plane[0])
                out.append(plane[y][x] >> (8 - encoder.message_bits) if there else 0)
    return out


@pytest.mark.parametrize("bits, scan", [(8, "alternate"), (3, "cross"), (1, "forward")])
def test_pixels_as_messages(bits, scan):
    encoder = Encoder(height=9, width=7, window=5, stride=3, frames=3, scan=scan, message_bits=bits)
    picture = colours(1, 3, 9)[0, :, :, :7]
    stream = encoder.encode(picture)
    assert stream.tokens.shape == (1, 27, 75) and stream.tokens.max() > (1 << bits) // 3
    for k, n in enumerate(stream.which[0].tolist()):
        assert n == encoder.orders[k // 9 % len(encoder.orders)][k % 9]
        assert stream.tokens[0, k].tolist() == by_hand(picture, encoder, k // 9, n)


def test_tokens_of_a_picture_are_chosen_by_their_contrast():
    encoder = Encoder(height=8, width=8, window=4, stride=4, frames=2, places=2, message_bits=8)
    picture = np.full((3, 8, 8), 100, np.uint8)
    picture[:, :4, 4:] = 140  # token 1; the mean is 110
    picture[0, 4:, :4] = 190  # token 2: of red the mean is then 132
    stream = encoder.encode(picture)
    score = {1: 16 * (8 + 30 + 30), 2: 16 * (58 + 10 + 10), 0: 16 * (32 + 10 + 10)}
    assert sorted(score, key=score.get)[-2:] == [1, 2] and stream.which[0].tolist() == [1, 2, 1, 2]
    whole = Encoder(height=8, width=8, window=4, stride=4, frames=2, message_bits=8).encode(picture)
    assert np.array_equal(stream.tokens[0, :2], whole.tokens[0, 1:3])
    black = encoder.encode(np.zeros((3, 8, 8), np.uint8))
    assert (black.which == -1).all() and not black.tokens.any()


def test_pictures_are_kept_as_they_are_whatever_is_sent_of_them(tmp_path, monkeypatch):
    cifar10_tree(tmp_path / "a")
    recordings = load("cifar10", "val", tmp_path / "a")
    encoder = Encoder(height=32, width=32, window=8, stride=4, frames=2, message_bits=8)
    wanted = encoder.encode_all(recordings.events)
    streams = token_streams(recordings, encoder)
    assert same(streams[:], wanted) and np.array_equal(streams.pictures([2, 0]), [recordings.events[i] for i in (2, 0)])
    monkeypatch.setattr(pictures.Record, "__call__", None)
    coarse = token_streams(recordings, Encoder(**{**encoder.settings(), "frames": 1, "message_bits": 2}))
    assert np.array_equal(coarse[1].tokens, wanted.tokens[1:2, :64] >> 6)
    assert len(list(cache._folder(recordings.root).iterdir())) == 1


@pytest.mark.parametrize(
    "encoder, recording, what",
    [
        (
            dict(message_bits=8),
            np.zeros((3, 32, 32), np.uint8),
            r"reads pictures, uint8 \(3, 34, 34\), and was given uint8",
        ),
        (dict(message_bits=8), np.zeros(3, EVENT), "and was given events"),
        (dict(), np.zeros((3, 34, 34), np.uint8), "reads events, and was given uint8"),
    ],
)
def test_an_encoder_of_the_other_kind(encoder, recording, what):
    with pytest.raises(UserError, match=what):
        Encoder(**encoder).encode(recording)


@pytest.mark.parametrize(
    "changes", [dict(message_bits=9), dict(message_bits=8, pool=2), dict(message_bits=8, frame_events=1)]
)
def test_an_encoder_that_cannot_be(changes):
    with pytest.raises(UserError, match="message_bits"):
        Encoder(**changes)


def test_names_of_sets_of_photographs():
    assert default_encoder("cifar10:saccade").message_bits == 0 and default_encoder("cifar10").message_bits == 8
    for name in ("digits:saccade", "cifar10:blink"):
        with pytest.raises(UserError, match="cifar10:saccade"):
            default_encoder(name)

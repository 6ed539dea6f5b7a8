"""A bit that has turned is seen, wherever it is."""

import hashlib
import io
import json
import random
import zipfile

import h5py
import numpy as np
import pytest

from sim.base import files, seals


def flipped(content, bit):
    out = bytearray(content)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def test_a_seal_is_the_digest_of_what_stands_before_it(tmp_path):
    whole = seals.sealed(b"content")
    assert whole == b"contentsmolmamba-sha256:" + hashlib.sha256(b"content").hexdigest().encode()
    (tmp_path / "a").write_bytes(whole)
    (tmp_path / "b").write_bytes(b"content")
    (tmp_path / "c").write_bytes(whole[1:])
    assert seals.check(tmp_path / "a", "x") and not seals.check(tmp_path / "b", "x")
    assert seals.check_bytes(whole, "a", "x") and not seals.check_bytes(b"content", "a", "x")
    for check in (lambda: seals.check(tmp_path / "c", "copy it"), lambda: seals.check_bytes(whole[1:], "c", "copy it")):
        with pytest.raises(seals.Damaged, match="c: damaged: .*; copy it$"):
            check()
    assert [seals.is_whole(tmp_path / name) for name in "abc"] == [True, True, False]


def test_every_bit(tmp_path):
    """Of the content: refused. Of the seal: refused, or no seal any more, and then the content is whole."""
    whole = seals.sealed(bytes(range(40)))
    for bit in range(8 * len(whole)):
        try:
            assert not seals.check_bytes(flipped(whole, bit), "a", "x")
            assert 40 <= bit // 8 < 40 + len(seals.MARK)
        except seals.Damaged:
            pass


def test_a_seal_that_is_cut_off(tmp_path):
    whole = seals.sealed(b"content")
    for cut in range(seals._PIECE, seals.LENGTH):
        (tmp_path / "a").write_bytes(whole[: len(b"content") + cut])
        for check in (
            lambda: seals.check(tmp_path / "a", "x"),
            lambda cut=cut: seals.check_bytes(whole[: 7 + cut], "a", "x"),
        ):
            with pytest.raises(seals.Damaged, match="cut off"):
                check()


def test_others_read_sealed_files(tmp_path):
    files.fill(tmp_path / "a.npy", lambda f: np.save(f, np.arange(10)), seal=True)
    assert seals.check(tmp_path / "a.npy", "x")
    assert np.load(tmp_path / "a.npy").tolist() == np.load(tmp_path / "a.npy", mmap_mode="r").tolist() == [*range(10)]
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["x"] = 3
    (tmp_path / "a.h5").write_bytes(seals.sealed((tmp_path / "a.h5").read_bytes()))
    assert h5py.File(tmp_path / "a.h5", "r")["x"][()] == 3
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x", b"1")
    whole = seals.sealed_zip(buffer.getvalue())
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.read("x") == b"1" and len(archive.comment) == seals.LENGTH
    with pytest.raises(ValueError):
        seals.sealed_zip(whole)


def test_json_carries_its_seal():
    value = {"a": 0.1, "b": (1, 2), "c": {"x": "ä"}}
    text = seals.to_json(value)
    assert seals.from_json(text, "p", "x") == {"a": 0.1, "b": [1, 2], "c": {"x": "ä"}}
    assert seals.from_json('{"a": 1}', "p", "x") == {"a": 1}  # of an earlier release
    rng, seen = random.Random(1), 0
    for _ in range(300):
        broken = flipped(text.encode(), rng.randrange(8 * len(text.encode())))
        try:
            found = seals.from_json(broken.decode(), "p", "x")
        except (seals.Damaged, UnicodeDecodeError):
            seen += 1
            continue
        assert {k: found[k] for k in value} == json.loads(json.dumps(value))  # the name of the seal has changed
    assert seen > 250

"""Ways to damage a file: bits, whole numbers, pieces, words of text, members of archives."""

import io
import re
import struct
import zipfile

import numpy as np

EDGES = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)
WORDS = (
    *(b"0", b"-1", b"1", b"3", b"255", b"65536", b"4294967296", b"9223372036854775807", b"1e308", b"nan", b"inf"),
    *(b"9" * 40, b"0x10", b"1.5", b"", b"null", b"true", b"[]", b"{}", b"[[[]]]", b"(", b"'", b'"', b"\x00"),
    *(b"object", b"O", b"<i8", b">f4", b"V16", b"\xff\xfe", b"\x1b[2J", b"[/red]", b"\xe2\x80\xae"),
)


def mutant(seeds: list[bytes], suffix: str, r: np.random.Generator) -> bytes:
    """One of the files, damaged one to three times."""
    data = seeds[int(r.integers(len(seeds)))]
    if suffix in (".npz", ".pt") and r.random() < 0.6:
        data = members(data, r)
        if r.random() < 0.7:
            return data
    for _ in range(int(r.choice([1, 1, 1, 2, 3]))):
        data = WAYS[int(r.integers(len(WAYS)))](data, seeds, r)
    return data


def place(data: bytes, r: np.random.Generator) -> int:
    """Where: often near the beginning, where headers are."""
    n = len(data)
    return (
        int(r.integers(min(n, 256 if r.random() < 0.7 else 2048))) if n and r.random() < 0.6 else int(r.integers(n + 1))
    )


def _put(data, at, piece):
    return data[:at] + piece + data[at + len(piece) :]


def flip(data, seeds, r):
    out = bytearray(data)
    for _ in range(int(r.integers(1, 9)) if out else 0):
        out[min(place(data, r), len(out) - 1)] ^= 1 << int(r.integers(8))
    return bytes(out)


def number(data, seeds, r):
    """A whole number of 1 to 8 bytes that lies at an edge, either way round."""
    size, order = int(r.choice([1, 2, 4, 8])), str(r.choice(["little", "big"]))
    value = (int(r.choice(np.array(EDGES, object))) + int(r.integers(-1, 2))) % (1 << 8 * size)
    at = place(data, r)
    return _put(data, at - at % (size if r.random() < 0.5 else 1), value.to_bytes(size, order))


def nearby(data, seeds, r):
    """A number in place, a little or much larger or smaller."""
    size = int(r.choice([1, 2, 4]))
    at = place(data, r)
    piece = data[at : at + size]
    if len(piece) < size:
        return data
    value = int.from_bytes(piece, "little") + int(r.choice([-64, -8, -2, -1, 1, 2, 8, 64, 4096]))
    return _put(data, at, (value % (1 << 8 * size)).to_bytes(size, "little"))


def cut(data, seeds, r):
    return data[: place(data, r)]


def blank(data, seeds, r):
    at = place(data, r)
    return _put(data, at, bytes([int(r.choice([0, 0, 0, 255]))]) * int(r.choice([1, 4, 8, 64, 512])))[: len(data)]


def remove(data, seeds, r):
    at = place(data, r)
    return data[:at] + data[at + int(r.choice([1, 2, 4, 8, 28, 64, 300])) :]


def again(data, seeds, r):
    at, size = place(data, r), int(r.choice([1, 2, 4, 8, 64, 300]))
    return data[: at + size] + data[at : at + size] * int(r.choice([1, 1, 2, 50])) + data[at + size :]


def insert(data, seeds, r):
    at = place(data, r)
    return data[:at] + r.bytes(int(r.choice([1, 2, 4, 16]))) + data[at:]


def swap(data, seeds, r):
    a, b, size = place(data, r), place(data, r), int(r.choice([2, 4, 8, 32]))
    return _put(_put(data, a, data[b : b + size]), b, data[a : a + size])


def splice(data, seeds, r):
    other = seeds[int(r.integers(len(seeds)))]
    return data[: place(data, r)] + other[place(other, r) :]


def word(data, seeds, r):
    """A word or number of a text becomes another."""
    found = [m for m in re.finditer(rb"[\w.+-]+", data[: 1 << 14])]
    if not found:
        return number(data, seeds, r)
    m = found[int(r.integers(min(len(found), 400)))]
    piece = WORDS[int(r.integers(len(WORDS)))]
    if r.random() < 0.4:  # in the room that is there
        piece = piece[: len(m[0])].ljust(len(m[0]))
    return data[: m.start()] + piece + data[m.end() :]


WAYS = (flip, flip, number, number, nearby, cut, blank, remove, again, insert, swap, splice, word, word)


def members(data: bytes, r: np.random.Generator) -> bytes:
    """An archive whose members are damaged and whose checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [[i.filename, archive.read(i)] for i in archive.infolist()]
    which = int(r.integers(len(files)))
    name, content = files[which]
    kind = r.random()
    if kind < 0.1:
        files[which][0] = str(r.choice(["../x.npy", "/etc/x", "x", "data.pkl", "", "\x1b[2J", files[0][0]]))
    elif kind < 0.15:
        del files[which]
    elif kind < 0.25:
        files.append([name + "x", content])
    elif content[:6] == b"\x93NUMPY" and kind < 0.8:
        files[which][1] = array_header(content, r)
    else:
        files[which][1] = WAYS[int(r.integers(len(WAYS)))](content, [f[1] for f in files], r)
    out = io.BytesIO()
    how = int(
        r.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    )
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name or "x"), content, how)
    return out.getvalue()


def array_header(content: bytes, r: np.random.Generator) -> bytes:
    """A .npy file with another word in its header, whose length is right."""
    size = struct.unpack_from("<H", content, 8)[0]
    header = word(content[10 : 10 + size].rstrip(), [], r)
    header = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    return content[:8] + struct.pack("<H", min(len(header), 65535)) + header + content[10 + size :]

"""Foreign bytes are read in a process apart: what it gives and refuses, and that nothing that a library does there
reaches this one.
"""

import os
import signal
import struct
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from sim import netx
from sim.base import apart, memory
from sim.base.errors import UserError
from sim.compare.random_nets import random_net
from sim.netx import hdf5

MB = 1 << 20


def values(path):
    yield dict(
        a=np.arange(6).reshape(2, 3), b=[1, "ä", None, 2.5, True], c=b"\0x", d=np.float32(1.5), e=np.array(b"text")
    )
    yield np.empty((0, 3), "<u2")
    yield np.zeros((), "?")


def three(path):
    for i in range(3):
        yield [i, os.getpid()]


def refuses(path):
    yield 1
    raise UserError(f"{path}: no")


def loops(path):
    yield 1
    while True:
        pass


def hoards(path):
    yield np.zeros(4 << 30, np.uint8).sum()


def dies(path):
    os.kill(os.getpid(), signal.SIGSEGV)
    yield 1


def errs(path):
    yield 1 // 0


def take(function, path="file", room=MB):
    return list(apart.items(function, path, 100, room))


def test_values_come_back_as_they_were():
    first, empty, scalar = take(values)
    assert first["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and first["b"] == [1, "ä", None, 2.5, True]
    assert first["c"] == b"\0x" and first["d"] == np.float32(1.5) and type(first["d"]) is np.float32
    assert first["e"].shape == () and first["e"][()] == b"text"
    assert empty.shape == (0, 3) and empty.dtype == "<u2" and scalar.shape == () and scalar.dtype == bool
    first["a"][0, 0] = 9  # one's own


def test_one_process_serves_all_calls_and_another_those_at_the_same_time():
    (pid,) = {pid for _, pid in take(three)}
    assert pid != os.getpid() and {p for _, p in take(three)} == {pid}
    a, b = apart.items(three, "a", 1, MB), apart.items(three, "b", 1, MB)
    found = [next(a), next(b), next(b), next(a)]
    assert [i for i, _ in found] == [0, 0, 1, 1] and len({p for _, p in found}) == 2
    a.close()  # in the middle
    assert [i for i, _ in b] == [2]


@pytest.mark.parametrize(
    "function, text", [(refuses, "file: no"), (dies, "file: damaged: its library ended with SIGSEGV")]
)
def test_what_goes_wrong_there_is_one_line_here(function, text):
    with pytest.raises(UserError) as e:
        take(function)
    assert str(e.value).startswith(text) and "\n" not in str(e.value)
    assert len(take(three)) == 3


def test_a_loop_is_ended_by_the_processor_time_that_it_takes(monkeypatch):
    monkeypatch.setattr(apart, "SECONDS", 1)
    with pytest.raises(UserError, match="file: damaged: its library did not come to an end"):
        take(loops)


def test_memory_is_bounded_there():
    with pytest.raises(UserError, match="file: damaged: it asks for more memory than a file of its size can mean"):
        take(hoards)
    assert len(take(three)) == 3  # the same process goes on


def test_an_error_of_ours_is_no_fault_of_the_file():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        take(errs)


def test_a_process_that_is_gone_is_replaced():
    (pid,) = {p for _, p in take(three)}
    os.kill(pid, signal.SIGKILL)
    stat = Path(f"/proc/{pid}/stat")
    while (
        stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    ):  # on a busy machine it takes time
        time.sleep(0.01)
    assert pid not in {p for _, p in take(three)}


def test_threads_have_processes_of_their_own():
    found = []
    threads = [threading.Thread(target=lambda: found.extend(take(values)[0]["a"].ravel())) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(found) == sorted(4 * list(range(6)))


def test_a_fork_of_this_process_has_its_own():
    pid = {p for _, p in take(three)}
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, struct.pack("<q", take(three)[0][1]))
        os._exit(0)
    os.waitpid(child, 0)
    assert struct.unpack("<q", os.read(reader, 8))[0] not in pid
    assert {p for _, p in take(three)} == pid


# --- files


def chunk_tree_loop(path):
    """A file of superblock 0 whose index of chunks has itself as its child."""
    with h5py.File(path, "w", libver="earliest") as f:
        f.create_dataset("layer/0/weight", data=np.arange(4000).reshape(40, 100), chunks=(1, 1))
    data = bytearray(path.read_bytes())
    at, root = 0, None
    while (at := data.find(b"TREE", at)) >= 0:  # type 1: of chunks; the level is the byte after
        if data[at + 4] == 1 and (root is None or data[at + 5] > data[root + 5]):
            root = at
        at += 4
    level, used = data[root + 5], struct.unpack_from("<H", data, root + 6)[0]
    assert level >= 1
    key = 8 + 8 * 3
    for i in range(used):  # each child: the root itself
        struct.pack_into("<Q", data, root + 24 + key + i * (key + 8), root)
    path.write_bytes(data)


def test_flipped_bits_in_files_of_superblock_0_end(tmp_path):
    """Every flip is read or refused within seconds; where HDF5 does not come back its process is ended."""
    sound, path = tmp_path / "sound.net", tmp_path / "a.net"
    with h5py.File(sound, "w", libver="earliest") as f:
        f["layer/0/type"], f["layer/0/shape"] = np.array([b"input"], "S10"), np.array([4])
    data, r = sound.read_bytes(), np.random.default_rng(5)
    for _ in range(60):
        broken = bytearray(data)
        broken[int(r.integers(8, len(data)))] ^= 1 << int(r.integers(8))
        path.write_bytes(broken)
        try:
            netx.load(path)
        except UserError as e:
            assert str(e).startswith(str(path))


def test_a_tree_of_chunks_that_bites_its_tail(tmp_path):
    chunk_tree_loop(tmp_path / "a.net")
    with pytest.raises(UserError, match="damaged"):
        hdf5.load(tmp_path / "a.net")


def test_groups_under_several_names_are_not_walked_again_and_again(tmp_path):
    """Forty names in each of seven levels are 40**7 ways to one dataset."""
    with h5py.File(tmp_path / "a.net", "w") as f:
        inner = f.create_group("x")
        for level in range(7):
            outer = f.create_group(f"g{level}")
            for i in range(40):
                outer[str(i)] = inner
            inner = outer
    with pytest.raises(UserError, match="has several names in the file, expected one"):
        netx.load(tmp_path / "a.net")


def test_groups_count(tmp_path):
    with h5py.File(tmp_path / "a.net", "w") as f:
        for i in range(hdf5.OBJECT_LIMIT // 2 + 1):
            f[f"g{i}/x"] = 0
    with pytest.raises(UserError, match=f"more than {hdf5.OBJECT_LIMIT} groups and datasets"):
        netx.load(tmp_path / "a.net")


def test_arrays_that_claim_what_the_file_does_not_hold(tmp_path):
    path = tmp_path / "a.net"
    with h5py.File(path, "w") as f:  # never written: a few hundred bytes
        f.create_dataset("layer/0/weight", (20_000, 20_000), "i1", chunks=(1000, 1000), compression="gzip")
    size = path.stat().st_size
    with pytest.raises(UserError, match=f"unpack to 381 MiB, a file of {size} bytes holds at most 32"):
        netx.load(path)


def test_reading_a_net_of_ours_costs_little_more(tmp_path):
    """Nothing but the way between two processes: the fork is paid once."""
    path = tmp_path / "a.net"
    netx.write(random_net(1), path)
    netx.load(path)
    size, rounds = path.stat().st_size, 20
    start = time.process_time()
    for _ in range(rounds):
        hdf5.load(path)
    ours = time.process_time() - start
    start = time.process_time()
    for _ in range(rounds):
        next(hdf5._content(str(path), size))
    assert ours < time.process_time() - start  # what this process does is less than before


def test_limits_of_memory(tmp_path, monkeypatch):
    assert memory.unpacked_limit(1000) == (32 << 20) + 32_000
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    memory.require(10**9, "x")
    with pytest.raises(UserError, match="x: takes 2.0 GB of memory, 1.0 GB are free"):
        memory.require(2 * 10**9, "x")
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.require(10**18, "x")


def test_what_is_available_is_less_than_there_is():
    free = memory.available()
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert Path("/proc/meminfo").exists() == (free is not None) and (free is None or 0 < free < whole)


def test_large_files_with_holes(tmp_path):
    path = tmp_path / "a.raw"
    with open(path, "wb") as f:
        f.truncate(5 << 30)
    with pytest.raises(UserError, match="claims 5.4 GB, 0.0 MB of them are on the disk"):
        memory.require_solid(path)
    with open(path, "wb") as f:
        f.write(bytes(2 * MB))
        f.truncate(100 * MB)
    memory.require_solid(path)

"""What comes from elsewhere has limits: no file of a few bytes takes gigabytes or minutes, and whatever a file, a table
or a configuration says, a person reads one printable line.
"""

import io
import json
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import event_files
import h5py
import numpy as np
import pytest

from events import Encoder, formats
from events.formats import torchfile
from sim import netx
from sim.base import npy, tomlfile
from sim.base.command import outcome
from sim.base.console import LONGEST, line
from sim.base.errors import MISTAKE, UserError
from sim.compare.random_nets import random_net
from sim.net import Dense, Input, Net, Readout
from sim.net.nodes import STREAM_LIMIT, TOKENS_LIMIT
from sim.netx import hdf5
from sim.netx.writer import DIGEST, ROOT, digest

HERE = Path(__file__).resolve().parents[1]


def says(call, *arguments):
    """The one line of a mistake."""
    with pytest.raises(UserError) as e:
        call(*arguments)
    assert "\n" not in line(str(e.value))
    return str(e.value)


def sparse(path, size, begin=b""):
    path.write_bytes(begin)
    os.truncate(path, size)
    return path


# --- memory


def peak(code, *arguments):
    """Bytes that Python code takes beyond its imports, in a process of its own. Not `ru_maxrss`, which begins with what
    the process had that it was forked from.
    """
    program = (
        "import sys, numpy as np; from bench.census import highest_kib\n"
        "from sim.base.errors import UserError\nfrom sim import netx, engine\nfrom events import formats\n"
        "before = highest_kib()\n"
        f"try:\n    {code}\nexcept UserError as e:\n    print(e)\n"
        "print(highest_kib() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, cwd=HERE, timeout=120
    )
    assert done.returncode == 0, done.stderr[-500:]
    *text, size = done.stdout.splitlines()
    return int(size) << 10, text


def test_a_net_of_packed_zeros(tmp_path):
    """Its digest is right, its weights are 76 MiB of nothing in some KB."""
    path = tmp_path / "a.net"
    netx.write(random_net(1), path)
    own = {k.removeprefix(ROOT): v for k, v in hdf5.load(path).items() if k.startswith(ROOT) and not k.endswith(DIGEST)}
    own["node/0/synapse/0/weight"] = np.zeros((4000, 20_000), "i1")
    own[DIGEST] = np.array(digest(own), "S")
    hdf5.save(path, {ROOT + k: v for k, v in own.items()})
    assert path.stat().st_size < 250_000
    taken, text = peak("netx.read(sys.argv[1])", path)
    assert taken < 200 << 20 and "unpack to 76 MiB" in text[0]


def test_the_fan_in_of_a_large_layer_takes_no_more_than_its_weights(tmp_path):
    code = "n = 6000; from sim.net import Cuba, Dense; w = np.zeros((n, n), np.int16); "
    code += "z = np.zeros(n, np.int32); Cuba('a', (Dense('tokens', w),), z + 1, z, 1, 1)"
    size = 6000 * 6000 * 2
    assert size < peak(code)[0] < 3.5 * size  # int16 weights, their absolute values, a mask


def test_an_archive_of_packed_zeros(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **dict.fromkeys("xypt", np.zeros(8_000_000, np.int64)))
    assert path.stat().st_size < 2_000_000
    taken, text = peak("formats.read(sys.argv[1])", path)
    assert taken < 100 << 20 and "its members unpack to 256000512 bytes" in text[0]


@pytest.mark.parametrize(
    "name, begin",
    [
        ("a.bin", b""),
        ("a.raw", event_files.evt_header("EVT3")),
        ("a.npy", None),
        ("a.dat", event_files.dat(event_files.rows(3))),
        ("a.es", event_files.es(event_files.rows(3))),
        ("a.aedat", event_files.aedat2(event_files.rows(3))),
        ("a.aedat4", event_files.aedat4(event_files.rows(3))),
        ("a.csv", b"1,2,0,3\n"),
    ],
)
def test_five_gigabytes_of_which_nothing_is_there(tmp_path, name, begin):
    if begin is None:
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, dict(descr="<i8", fortran_order=False, shape=(156_250_000, 4)))
        begin = buffer.getvalue()
    path = sparse(tmp_path / name, 5_000_000_000 + len(begin), begin)
    for read in (formats.read, formats.info):
        assert "of them are on the disk: a copy that was not finished" in says(read, path)


def test_words_without_an_event_end(tmp_path, monkeypatch):
    """Zeros that are there are rows of EVT 3.0, and never an event."""
    from events.formats import prophesee

    monkeypatch.setattr(prophesee, "_SILENT", 1 << 20)
    path = tmp_path / "a.raw"
    path.write_bytes(event_files.evt3(event_files.rows(10)) + bytes(3 << 20))
    assert "no event in 1 MiB of it" in says(formats.read, path)


def test_recordings_larger_than_the_memory(tmp_path, monkeypatch):
    from sim.base import memory

    monkeypatch.setattr(formats, "_STEP", 1000)
    monkeypatch.setattr(memory, "available", lambda: 10_000)
    path = tmp_path / "a.raw"
    path.write_bytes(event_files.evt3(event_files.rows(1000)))
    assert "a recording of more than 1,000 events: takes 0.0 MB of memory" in says(formats.read, path)


def test_five_byte_records_have_a_size(tmp_path):
    path = tmp_path / "a.bin"
    with open(path, "wb") as f:
        for _ in range(14):
            f.write(b"\1" * 5_000_000)
    assert "70000000 bytes, recordings of five-byte records have at most" in says(formats.read, path)


def test_streams_of_a_net_are_bounded():
    weight = Readout("out", (Dense("tokens", np.zeros((2, 4096), np.int16)),))
    assert f"more than {STREAM_LIMIT} values" in says(Net, (weight,), (Input("tokens", 4096),), 1 << 12, 1 << 12)
    assert f"more than {TOKENS_LIMIT}" in says(Net, (weight,), (Input("tokens", 4096),), TOKENS_LIMIT + 1, 1)


def test_the_phase_of_a_large_grid_is_asked_for_first(monkeypatch):
    from sim.base import memory
    from sim.net.tokens import Stream

    monkeypatch.setattr(memory, "available", lambda: 1 << 30)
    stream = Stream(np.zeros((1, 1 << 20, 1), np.uint8), np.zeros((1, 1 << 20), np.int16))
    assert "the phase lines of 4096 tokens over 1048576 steps: takes 8.6 GB" in says(stream.phase, 4096)


def test_configurations_that_no_file_can_hold():
    from train.config import Config

    assert "makes 4,3" in says(Config(stem=(65536, 65536)).make_encoder)
    assert "synapses, a net has at most 1,073,741,824" in says(Config(stem=(65536, 65536)).make_encoder)


# --- one line


def test_encoders_with_an_entry_that_there_is_not():
    assert says(Encoder.of, {"lens": 3}).startswith("encoder: unknown entry 'lens', expected of height, width")
    assert Encoder.of({"frames": 3}).frames == 3


@pytest.mark.parametrize("name", [["digits"], {"a": 1}, None, 3, "\x1b[2J"])
def test_data_sets_of_odd_names(name):
    import events

    assert says(events.load, name, "test").startswith("no data set ")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "9" * 5000,
        "a = " + "[" * 3000 + "]" * 3000,
        "a = 2024-13-45",
        "a = 1979-05-27T25:61:00Z",
        "a = {" * 2000,
        'a = "\x00"',
    ],
)
def test_odd_toml(tmp_path, text):
    (tmp_path / "a.toml").write_text(text)
    assert says(tomlfile.read, tmp_path / "a.toml").startswith(f"{tmp_path / 'a.toml'}: ")


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "9" * 5000,
        "a: " + "[" * 3000,
        "a: 2024-13-45",
        "? [a]\n: 1",
        "&a [*a, *a]",
        "a: !!python/name:os.system",
    ],
)
def test_odd_yaml(tmp_path, text):
    pytest.importorskip("yaml")
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError):
        from deploy.chip.board import load

        load(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    "text, said",
    [
        ("limits: null", "limits is a NoneType, expected a table of limits"),
        ("limits: []", "limits is a list"),
        ("1: 2", "unknown entry '1'"),
        ("extends: " + "x" * 500, "extends "),
        ("extends: [a]", "extends ['a'], which is not one of"),
        ("limits: {1: 2}", "has the unknown entry '1'"),
    ],
)
def test_odd_boards(tmp_path, text, said):
    pytest.importorskip("yaml")
    from deploy.chip.board import load

    (tmp_path / "a.yaml").write_text(text)
    assert said in says(load, str(tmp_path / "a.yaml"))


def test_numbers_of_thousands_of_digits_are_words_to_set():
    from train.__main__ import _changes

    for text in ("9" * 5000, "[" * 100_000):
        assert _changes([f"lr={text}"]) == {"lr": text}


def npy_of(header: str) -> bytes:
    data = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3",  # tokenize.TokenError
        "{'descr': '<i8', 'fortran_order': False, 'shape': ('a',)}",  # TypeError
        "{'descr': ['<i8'], 'fortran_order': False, 'shape': (3, 4)}",
        "{'descr': '<i8', 'fortran_order': 3, 'shape': (3, 4)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 4)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999999999, 4)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (-3, 4)}",
        "[" * 90,
        "__import__('os')",
        "",
    ],
)
def test_headers_of_arrays(tmp_path, header):
    from deploy import arrays

    path = tmp_path / "a.npy"
    path.write_bytes(npy_of(header))
    assert len(says(npy.mapped, path)) < 200
    assert says(formats.read, path).startswith(str(path)) and says(arrays.load, str(path), "x").startswith(str(path))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy_of(header))
    assert says(formats.read, tmp_path / "a.npz").startswith(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("how", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_archives_packed_as_numpy_never_does(tmp_path, how):
    for name, read in (("a.npz", formats.read), ("a.pt", torchfile.read)):
        with zipfile.ZipFile(tmp_path / name, "w", how) as archive:
            archive.writestr("a/data.pkl", b"x" * 1000)
        assert "otherwise packed, than numpy or torch write them" in says(read, tmp_path / name)


def test_names_in_archives_lead_nowhere(tmp_path):
    """Members are read where they are, and none is ever written to the disk."""
    buffer = io.BytesIO()
    np.save(buffer, event_files.structured(event_files.rows(50)))
    path = tmp_path / "inside" / "a.npz"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.npy", buffer.getvalue())
    assert len(formats.read(path)[0]) == 50
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.npz", "inside"]


def test_a_kept_list_of_another_form_is_made_anew(tmp_path, monkeypatch):
    import events
    from events import cache

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, label in (("a", 1), ("b", 2)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            event_files.write(tmp_path / "data" / name / f"{i}.raw", event_files.rows(500, seed=10 * label + i))
    (tmp_path / "data" / "a" / "0.raw").write_bytes(b"no")
    right = events.load("folder", "train", tmp_path / "data", skip_bad=True)
    kept = [p for p in (tmp_path / "cache").rglob("*.json")]
    assert kept
    for wrong in ("null", "3", '{"a": 1}', "[1]", "[[1]]", '[["a", "b"]]', '[[99, "x"]]', "[" * 5000, "9" * 5000):
        for path in kept:
            path.write_text(wrong)
        again = events.load("folder", "train", tmp_path / "data", skip_bad=True)
        assert again.names == right.names and again.skipped == right.skipped, wrong
    assert cache  # imported for its place


# --- names


NAMES = ["[/red]", "[bold red]x", "a\nb", "\x1b[2J\x1b]0;x\x07", "\u202eevil", "x" * 10_000, "\x9b31m", "\ud800"]


@pytest.mark.parametrize("name", NAMES)
def test_names_reach_the_terminal_as_text(name, capsys):
    """In messages, tables, lines and bars: nothing that a terminal obeys, nothing that rich takes for markup."""
    from sim.base.command import _say
    from sim.base.console import add_row, bar, new_table, note, show

    code, lines = outcome(UserError(f"{name}: wrong"))
    assert code == MISTAKE
    _say(lines)
    table = new_table(name, name, "b")
    add_row(table, name, name)
    show(table)
    show(name)
    note(name)
    with bar(name, 2) as update:
        update(1, what=name)
    out, err = capsys.readouterr()
    for text in (out, err):
        assert all(c.isprintable() or c == "\n" for c in text)
    first = err.splitlines()[0]
    assert first.endswith(": wrong") and len(first) < LONGEST + 10
    assert name[:5].encode("unicode_escape", "surrogatepass").decode()[:4] in first or name.isprintable()


def test_names_are_escaped_in_json(capsys):
    from sim.base.console import print_json

    print_json({"name": "".join(NAMES)})
    text = capsys.readouterr().out
    assert text.isascii() and text.count("\n") == 1 and json.loads(text)["name"] == "".join(NAMES)


def test_classes_with_such_names_run_and_show(tmp_path):
    """A net whose classes have them: shown by every command that names classes, exit code 0."""
    from click.testing import CliRunner

    from convert.__main__ import main as convert

    net = random_net(3)
    net = Net(net.nodes, net.inputs, net.tokens, net.frames, net.places, net.orders, classes=("[/red]", "a\nb"))
    netx.write(net, tmp_path / "a.net")
    done = CliRunner().invoke(convert, ["inspect", str(tmp_path / "a.net")])
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output


# --- limits of the process itself hold for its readers


def test_a_limit_on_memory_from_outside_is_kept(tmp_path):
    path = tmp_path / "a.net"
    with h5py.File(path, "w", libver="earliest") as f:
        f["layer/0/type"], f["layer/0/shape"] = np.array([b"input"], "S10"), np.array([4])
    code = (
        "import resource, sys; from sim import netx; from sim.base import apart\n"
        "hard = 8 << 30; resource.setrlimit(resource.RLIMIT_AS, (hard, hard)); netx.load(sys.argv[1])\n"
        "print(resource.getrlimit(resource.RLIMIT_AS)[1] == hard)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=HERE, timeout=120
    )
    assert done.stdout.strip() == "True", done.stderr[-400:]
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_lines_about_recordings_and_streams_are_printable(capsys, tmp_path):
    """A file whose name has control characters, broken and sound: notes, warnings and bars of decisions."""
    from deploy.live.display import bars

    path = tmp_path / "a\x1b[2J\nb.raw"
    path.write_bytes(event_files.evt3(event_files.rows(20)) + b"\1")
    formats.read(path)
    err = capsys.readouterr().err
    assert "the last record is cut" in err and err.count("\n") == 1 and "\x1b" not in err
    assert "\x1b" not in bars([1, 2], 0, ("\x1b[2J", "b")).plain


def test_commands_print_through_one_place():
    """What may have names of others in it is printed by `sim.base.console`; `print` stays where nothing foreign is."""
    import ast

    plain = {"train/studies/ablate.py", "train/studies/curve.py", "train/studies/spikformer_train.py"}
    plain |= {"deploy/report/dossier/recheck.py", "sim/base/console.py", "sim/base/command.py"}
    found = {
        path.relative_to(HERE).as_posix()
        for package in ("sim", "events", "train", "convert", "deploy", "smolmamba")
        for path in (HERE / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert found <= plain, f"use sim.base.console.say: {sorted(found - plain)}"

"""A file is written whole or not at all, and nothing but a file is replaced."""

import ast
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sim.base import console, files
from sim.base.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CODE = ("sim", "events", "train", "convert", "deploy", "smolmamba", "bench")


def refused(path, content=b"new"):
    with pytest.raises(UserError) as found:
        files.write(path, content)
    text = str(found.value)
    assert text.startswith(f"{path}: cannot write (") and "\n" not in text
    return text


def test_writes_text_and_bytes(tmp_path):
    files.write(tmp_path / "a", "ä\n")
    assert (tmp_path / "a").read_bytes() == "ä\n".encode()
    files.write(tmp_path / "a", b"\0\1")
    files.fill(tmp_path / "b", lambda file: file.write(b"2"))
    with files.writing(tmp_path / "c", "w") as file:
        file.write("3")
        assert not (tmp_path / "c").exists()
    assert [(tmp_path / name).read_bytes() for name in "abc"] == [b"\0\1", b"2", b"3"]
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


def test_mode_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, UserError])
def test_nothing_is_left_of_a_block_that_fails(tmp_path, error):
    files.write(tmp_path / "a", b"old")
    with pytest.raises(error), files.writing(tmp_path / "a") as file:
        file.write(b"new")
        raise error("stop")
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def test_error_of_another_file_is_not_taken_for_ours(tmp_path):
    with pytest.raises(FileNotFoundError), files.writing(tmp_path / "a"):
        open(tmp_path / "missing")


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert "No such file" in refused(tmp_path / "none/a")
    assert "Not a directory" in refused(tmp_path / "file/a")
    assert "is a folder" in refused(tmp_path)
    assert "too long" in refused(tmp_path / ("a" * 300))
    refused(str(tmp_path / "a\0b"))
    refused("")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(tmp_path, monkeypatch):
    """Where the disk is full, `write` and `close` of the file fail as those of /dev/full."""
    real = open
    monkeypatch.setattr(
        "builtins.open", lambda path, *a, **k: real("/dev/full" if ".tmp" in str(path) else path, *a, **k)
    )
    assert "No space left" in refused(tmp_path / "a", b"x" * 100_000)
    assert "No space left" in refused(tmp_path / "a", b"x")


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "socket", "link"):
        before = os.stat(tmp_path / name).st_mode
        assert "is a device or a pipe" in refused(tmp_path / name)
        assert os.stat(tmp_path / name).st_mode == before
    server.close()


def test_links_are_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/a")
    for content in (b"1", b"2"):
        files.write(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "there/a").read_bytes() == content
    assert os.listdir(tmp_path / "there") == ["a"]


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    for name in (".123-0123abcd.tmp", ".other.tmp", "a.tmp", ".123-0123abcd"):
        (tmp_path / name).write_bytes(b"")
    files.remove_unfinished(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".123-0123abcd", ".other.tmp", "a.tmp"]


def test_nobody_else_renames():
    """One definition of an atomic write."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in CODE
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.replace", "os.rename", "shutil.move")
    ]
    assert found and all(place.startswith("sim/base/files.py:") for place in found)


def test_foreign_text_is_printed_as_it_is(capsys):
    table = console.new_table("[/red]\x1b[31m", "a", "b")
    console.add_row(table, "[bold]x[/bold]\n", "1")
    console.show(table)
    console.show("[/x] \x07" + "word " * 100)
    out = capsys.readouterr().out
    assert "[/red]\\x1b[31m" in out and "[bold]x[/bold]\\n" in out and out.count("\x1b") == 0
    assert "[/x] \\x07" in out and max(map(len, out.splitlines())) > 500  # lines are not broken
    console.note("[/y]\r")
    assert capsys.readouterr().err == "[/y]\\r\n"


def test_a_bar_leaves_nothing_where_there_is_no_terminal(capsys):
    with console.bar("[/x]", 3) as update:
        update(1)
        update(2, 4, "[/y]")
    assert list(console.track(range(3), "x")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_one_option_for_the_data():
    found = [p for d in CODE for p in (ROOT / d).rglob("*.py") if re.search(r'option\(\s*"--data-root"', p.read_text())]
    assert found == [ROOT / "sim/base/console.py"]


def test_importing_them_is_cheap():
    code = "import sys, sim.base.console, sim.base.files; print({'rich', 'numpy', 'numba'} & set(sys.modules) or 0)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "0\n"

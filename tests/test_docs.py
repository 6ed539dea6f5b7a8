"""What README and docs show is true: every command has the options it is shown with, and every snippet either runs here
or says, in a comment above it, what it needs that is not there.

`<!-- test: slow -->`: it takes more than five seconds. `<!-- test: needs ... -->`: it is not run. Blocks without a mark
run in the fast tests. The blocks of the tutorial run one after the other in one folder.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click
import pytest
from commands import digits_net

import events
import sim

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "models/README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))
TUTORIAL = "docs/tutorial.md"
_BLOCK = re.compile(r"(?:<!-- test: ([^>]*?) -->\n)?^```(sh|python)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    page: str
    number: int
    mark: str
    language: str
    text: str

    def __str__(self):
        return f"{self.page}:{self.number}"


def blocks():
    for page in PAGES:
        text = (ROOT / page).read_text()
        for found in _BLOCK.finditer(text):
            mark, language, body = found.groups()
            yield Block(page, text[: found.start(2)].count("\n") + 1, mark or "", language, body)


BLOCKS = list(blocks())


def lines(block):
    """The commands of a block of shell, in words."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def in_package(words):
    """(package, arguments) of a command of ours, or None."""
    words = list(words)
    if words[0] == "smolmamba":
        return words[1], words[2:]
    if words[0].endswith("python") and words[1] == "-m":
        return words[2], words[3:]
    if words[0] == "torchrun":
        at = words.index("-m")
        return words[at + 1], words[at + 2 :]
    return None


def test_there_are_blocks():
    assert len(BLOCKS) > 30 and {b.language for b in BLOCKS} == {"sh", "python"}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_marks_are_known(block):
    assert block.mark in ("", "slow") or re.fullmatch(r"needs \w.*", block.mark), block.mark


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "sh"], ids=str)
def test_commands_have_their_options(block):
    """Parsed, not run: names of commands and options, and whether they take a value."""
    makefile = (ROOT / "Makefile").read_text()
    for words in lines(block):
        ours = in_package(words)
        if words[0] == "make":
            for target in words[1:]:
                assert "=" in target or re.search(rf"^{target}:", makefile, re.M), words
        elif ours:
            command, arguments = import_module(f"{ours[0]}.__main__").main, ours[1]
            while True:
                context = click.Context(command)
                _, rest, _ = command.make_parser(context).parse_args(list(arguments))
                if not isinstance(command, click.Group) or not rest:
                    break
                command, arguments = command.get_command(context, rest[0]), rest[1:]
                assert command is not None, words
        else:
            assert words[0] in ("pip", "pre-commit", "echo"), f"{block}: who runs {words}?"


@pytest.fixture
def folder(tmp_path):
    """Where a reader of the docs stands: with a net in models/."""
    (tmp_path / "models").mkdir()
    net = digits_net()
    encoder = events.Encoder(**net.encoder)
    golden = encoder.encode_all(events.load("digits", "test").events[:1])
    sim.write(net, tmp_path / "models/digits-tiny.net", golden)
    return tmp_path


def run(block, folder):
    scripts = folder / "scripts"
    scripts.mkdir(exist_ok=True)
    (scripts / "smolmamba").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m smolmamba "$@"\n')
    (scripts / "smolmamba").chmod(0o755)
    path = f"{scripts}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-c"] if block.language == "python" else ["bash", "-euc"]
    done = subprocess.run(
        [*command, block.text],
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=str(ROOT), PATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if not b.mark and b.page != TUTORIAL], ids=str)
def test_snippet(block, folder):
    run(block, folder)


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.mark == "slow" and b.page != TUTORIAL], ids=str)
def test_slow_snippet(block, folder):
    run(block, folder)


@pytest.mark.slow
def test_tutorial(tmp_path):
    steps = [b for b in BLOCKS if b.page == TUTORIAL]
    assert len(steps) > 5
    for block in steps:
        run(block, tmp_path)
    assert (tmp_path / "plan.png").is_file() and (tmp_path / "runs/mine/report.html").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            place = target.split("#")[0]
            assert not place or (ROOT / page).parent.joinpath(place).exists(), f"{page}: {target}"


def test_every_page_is_in_the_site():
    nav = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in nav, page

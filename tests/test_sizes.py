"""Functions stay readable: bodies of 60 lines at most, but for kernels, which numba compiles as a whole."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINES = 60
PACKAGES = ("sim", "events", "train", "convert", "deploy", "bench", "smolmamba")


def body_lines(function):
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def compiled(function):
    return any("njit" in ast.unparse(decorator) for decorator in function.decorator_list)


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_are_short(package):
    long = [
        f"{path.relative_to(ROOT)}: {node.name}, {body_lines(node)} lines"
        for path in (ROOT / package).rglob("*.py")
        if path.name != "kernels.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not compiled(node) and body_lines(node) > LINES
    ]
    assert not long


def test_it_would_be_seen():
    function = ast.parse("def f():\n    'x'\n" + "    y = 1\n" * 61).body[0]
    assert body_lines(function) == 61


def test_every_folder_of_code_is_installed():
    """A folder without `__init__.py`, or that git does not know, lacks in an installation."""
    from setuptools import find_packages

    found = {name.replace(".", "/") for name in find_packages(str(ROOT))}
    kept = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True)
    if kept.returncode:
        pytest.skip("no checkout of git")
    folders = {str(Path(file).parent) for file in kept.stdout.split()}
    assert {f for f in folders if f.split("/")[0] in PACKAGES} <= found
    assert all(f"{f}/__init__.py" in kept.stdout.split() for f in folders if f.split("/")[0] in PACKAGES)

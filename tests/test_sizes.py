"""Functions stay readable: bodies of 60 lines at most, but for kernels, which numba compiles as a whole."""

import ast
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

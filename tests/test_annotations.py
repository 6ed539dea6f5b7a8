"""Signatures say their types: of every function and method without an underscore. What numba and Triton compile is
Python in its form only and left out.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("sim", "events", "train", "convert", "deploy", "smolmamba")
COMPILED = ("njit", "triton.jit", "intrinsic")


def bare(source):
    """Names of public functions with a parameter or a result without a type."""
    return [name for name, function, method in public(ast.parse(source).body) if not annotated(function, method)]


def public(body, owner=""):
    """(name, definition, whether its first parameter is the object or the class) of what has no underscore."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if not any(word in decorator for word in COMPILED for decorator in decorators):
                yield owner + node.name, node, bool(owner) and "staticmethod" not in decorators


def annotated(function, method):
    given = function.args
    parameters = [*given.posonlyargs, *given.args][method:] + given.kwonlyargs
    parameters += [p for p in (given.vararg, given.kwarg) if p is not None]
    return function.returns is not None and all(p.annotation is not None for p in parameters)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_signatures_are_annotated(package):
    files = [path for path in (ROOT / package).rglob("*.py") if path.name not in ("kernels.py", "lanes.py")]
    assert not [f"{path.relative_to(ROOT)}: {name}" for path in files for name in bare(path.read_text())]


def test_it_would_be_seen():
    source = "def a(x): ...\ndef b() -> int: ...\ndef _c(x): ...\n@cached_njit()\ndef d(x): ...\n"
    source += "class E:\n    def f(self) -> int: ...\n    def g(self, x: int): ...\n"
    source += "    @staticmethod\n    def h(x) -> int: ...\n"
    assert bare(source) == ["a", "E.g", "E.h"]

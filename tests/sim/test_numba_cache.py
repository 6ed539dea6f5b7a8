"""Kernels are never run in an old form, and compile wherever they are installed."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.base import numba_cache
from sim.base.numba_cache import PACKAGES, ROOT, digest, folder, sources


def python(code, cwd, **env):
    """What a fresh Python in the folder prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=dict(os.environ, PYTHONPATH=str(cwd), **env), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.fixture
def copy(tmp_path):
    """The packages that have kernels, somewhere else."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def _module(path, node):
    """The file that a `from .. import` of a file of ours names, or None for other packages."""
    if node.level:
        base = path.parents[node.level - 1]
    elif node.module and node.module.split(".")[0] in PACKAGES:
        base = ROOT
    else:
        return None
    base = base.joinpath(*(node.module or "").split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _imported(path, tree):
    """Name -> file, of what a file takes from others of ours."""
    return {
        alias.asname or alias.name: where
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (where := _module(path, node)) is not None
        for alias in node.names
    }


def test_every_name_that_a_kernel_uses_comes_from_a_source():
    """Of the digest: or a change there would not be seen."""
    known, checked = set(sources()), 0
    for path in sources():
        tree = ast.parse(path.read_text())
        imported = _imported(path, tree)
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef) or "njit" not in "".join(
                map(ast.unparse, function.decorator_list)
            ):
                continue
            for name in {n.id for n in ast.walk(function) if isinstance(n, ast.Name)} & set(imported):
                if name not in ("numba", "cached_njit"):
                    assert imported[name] in known, f"{path}: {function.name} uses {name}"
                    checked += 1
    assert checked > 20


def test_all_kernels_are_kept_there():
    """`cache=True` is said in one place."""
    found = [
        p for d in (*PACKAGES, "convert", "deploy") for p in (ROOT / d).rglob("*.py") if "cache=True" in p.read_text()
    ]
    assert found == [ROOT / "sim/base/numba_cache.py"]


def test_digest_follows_every_source_and_nothing_else(copy):
    before = digest.__wrapped__(copy)
    assert before == digest(ROOT)
    (copy / "sim/net/nodes.py").write_text("")
    assert digest.__wrapped__(copy) == before
    for name in ("sim/integer.py", "sim/engine/lanes.py", "events/kernels.py"):
        old = (copy / name).read_text()
        (copy / name).write_text(old + "\n")
        assert digest.__wrapped__(copy) != before
        (copy / name).write_text(old)


def test_numbas_own_setting_is_left_alone(tmp_path):
    code = (
        "import numba; before = numba.config.CACHE_DIR; from sim import chiptime as k; "
        "assert numba.config.CACHE_DIR == before; print(k._add_rows._cache.cache_path)"
    )
    assert python(code, ROOT, NUMBA_CACHE_DIR=str(tmp_path)).startswith(f"{tmp_path}/kernels-{digest()}/")


def test_places_in_turn(monkeypatch, tmp_path):
    """A file where the folder should be stands for one that cannot be written: root can write anywhere else."""
    tried = []

    def chosen():
        found = folder.__wrapped__()
        tried.append(found)
        return found

    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(numba_cache, "__file__", str(tmp_path / "numba_cache.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(numba_cache.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert chosen().parent == tmp_path / "__pycache__"
    shutil.rmtree(tmp_path / "__pycache__")
    (tmp_path / "__pycache__").write_text("")
    assert chosen().parent == tmp_path / "cache" / "smolmamba-loihi"
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    private = chosen().parent
    assert private.parent == tmp_path / "temporary" and private.stat().st_mode & 0o077 == 0
    private.chmod(0o777)  # another could have put anything there
    assert chosen() is None


def test_old_folders_go(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for k in range(10):
        (tmp_path / f"kernels-{k}").mkdir()
        os.utime(tmp_path / f"kernels-{k}", (k, k))
    folder.__wrapped__()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [f"kernels-{digest()}"] + [f"kernels-{k}" for k in range(10 - numba_cache.KEPT, 10)]
    )


def test_without_home_and_with_sources_that_cannot_be_written(copy):
    (copy / "sim/base/__pycache__").write_text("")
    (copy / "temporary").mkdir()
    env = dict(HOME="/dev/null", XDG_CACHE_HOME="", NUMBA_CACHE_DIR="", TMPDIR=str(copy / "temporary"))
    code = (
        "import numpy as np; from sim import chiptime as c; a = np.zeros(1);"
        " c._add_rows(a, np.ones((1, 1)), np.ones(1)); print(a[0], c._add_rows._cache.cache_path)"
    )
    for _ in range(2):  # the second time from what the first has kept, as a child of the simulator does
        value, place = python(code, copy, **env).split()
        assert value == "1.0" and place.startswith(str(copy / "temporary/smolmamba-loihi-"))
    assert list(Path(place).glob("*.nbc"))


@pytest.mark.slow
def test_a_broken_kernel_is_met_in_its_new_form(copy):
    """`wrap64` is taken into the kernels of training, which lie in another file."""
    for name in ("train/test_dynamics.py", "conftest.py"):
        (copy / "tests" / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(ROOT / "tests" / name, copy / "tests" / name)
    shutil.copy(ROOT / "pyproject.toml", copy)

    def wraps():
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/train/test_dynamics.py",
            "-k",
            "wraps",
        ]
        done = subprocess.run(command, cwd=copy, env=dict(os.environ, PYTHONPATH=str(copy)), capture_output=True)
        return done.returncode, done.stdout.decode()

    assert wraps()[0] == 0  # and the cache is warm
    kernels = copy / "sim/engine/kernels.py"
    text = kernels.read_text()
    assert text.count("return x - WRAP") == 1
    kernels.write_text(text.replace("return x - WRAP", "return x"))
    status, text = wraps()
    assert status == 1 and "1 failed" in text


def test_kernels_that_can_only_be_read_are_taken_along(monkeypatch, tmp_path):
    """From sources that were compiled by who installed them, and that this user cannot write to."""
    warm = tmp_path / "__pycache__" / f"{numba_cache._NAME}{digest()}" / "engine_1"
    warm.mkdir(parents=True)
    for name in ("a.nbi", "a.1.nbc"):
        (warm / name).write_text(name)
    real = numba_cache.tempfile.TemporaryFile

    def temporary(dir):
        if Path(dir).is_relative_to(tmp_path / "__pycache__"):
            raise PermissionError
        return real(dir=dir)

    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(numba_cache, "__file__", str(tmp_path / "numba_cache.py"))
    monkeypatch.setattr(numba_cache.tempfile, "TemporaryFile", temporary)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = folder.__wrapped__()
    assert found.parent == tmp_path / "cache" / "smolmamba-loihi"
    assert sorted(p.name for p in (found / "engine_1").iterdir()) == ["a.1.nbc", "a.nbi"]
    (found / "engine_1/a.nbi").write_text("newer")
    assert folder.__wrapped__() == found and (found / "engine_1/a.nbi").read_text() == "newer"

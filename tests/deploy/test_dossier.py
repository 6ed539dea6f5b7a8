"""The dossier: opened elsewhere, its check holds with nothing but what it names; whatever is changed in it is seen."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import chains
import numpy as np
import pytest
from commands import deploy, digits_net, refused

from deploy.report import Asked, gather
from deploy.report.dossier import archive, recheck, samples
from sim import netx
from sim.base.errors import UserError

# A Python in which only what requirements.txt names can be imported, beyond the standard library and the dossier.
ALONE = """#!{python}
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
sys.path[:] = [p for p in sys.path if {root!r} not in p or "site-packages" in p]
import os
sys.path[:0] = [os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
import runpy
_, *arguments = sys.argv
if arguments[0] == "-c":
    sys.argv = ["-c"]
    exec(arguments[1])
else:
    sys.argv = arguments[1:]
    runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
"""
BLOCKED = ("torch", "lava", "matplotlib", "tonic", "sklearn", "networkx", "pandas", "train", "convert", "smolmamba")
LIBRARIES = str(Path(__file__).resolve().parents[2])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("dossier")
    net = digits_net()
    golden = gather.sources.from_dataset(net, None, "val", None, 1).streams(0, 1)
    netx.write(net, path / "a net's.net", golden=golden)
    return path


@pytest.fixture(scope="module")
def opened(place):
    """A dossier without Lava's part, unpacked."""
    original = gather._in_lava
    gather._in_lava = lambda report, net, path, test, asked, say: gather.of_verify(
        report, gather.verify(path, executors=("engine",))
    )
    try:
        archive.dossier(place / "a net's.net", place / "d.zip", Asked())
        archive.dossier(place / "a net's.net", place / "d.tar.gz", Asked())
    finally:
        gather._in_lava = original
    with zipfile.ZipFile(place / "d.zip") as packed:
        packed.extractall(place / "zip")
    return place / "zip/a_net_s-dossier"


def make(folder, *more):
    """`make check` as a reviewer runs it: an empty environment, and a Python with little in it."""
    python = folder.parent / "python"
    python.write_text(ALONE.format(python=sys.executable, blocked=BLOCKED, root=LIBRARIES))
    python.chmod(0o755)
    env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "XDG_CACHE_HOME", "OMP_NUM_THREADS")}
    command = ["make", "check", f"PYTHON={python}", *more]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_make_check_elsewhere(opened, tmp_path):
    """In a folder of its own, without torch, Lava and this checkout."""
    shutil.copytree(opened, tmp_path / "d")
    done = make(tmp_path / "d")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it holds" in done.stdout and "Lava is not installed here" in done.stdout
    assert "as they were written" in done.stdout and "4 layers at every step" in done.stdout
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == sorted(p.name for p in opened.iterdir())
    sums = (opened / "SHA256SUMS").read_text().splitlines()
    there = {p.relative_to(opened).as_posix() for p in opened.rglob("*") if p.is_file()} - {"SHA256SUMS"}
    assert {line.split("  ", 1)[1] for line in sums} == there
    assert not any(part in there for part in ("src/train", "src/convert"))


def test_both_archives_hold_the_same(place, opened):
    with tarfile.open(place / "d.tar.gz") as packed:
        files = {m.name.split("/", 1)[1]: packed.extractfile(m).read() for m in packed.getmembers()}
    there = {p.relative_to(opened).as_posix() for p in opened.rglob("*") if p.is_file()}
    assert files.keys() == {p for p in there if "__pycache__" not in p}  # which a check leaves
    assert files["model.net"] == (place / "a net's.net").read_bytes() == (opened / "model.net").read_bytes()
    assert files["samples.npz"] and files["report.html"].startswith(b"<!doctype html>")
    assert b"@@" not in files["README.md"] + files["Makefile"]


@pytest.mark.parametrize(
    "change, said",
    [
        ("text", "files      DIFFERS: 1 of"),
        ("outputs", "engine     DIFFERS"),
        ("hash", "engine     DIFFERS: 8 samples, 4 layers at every step: first in bank"),
        ("plan", "plan       DIFFERS: plan.neurons: 41, now 40"),
        ("energy", "plan       DIFFERS: plan.energy.cmos-45nm.energy_j_per_sample"),
    ],
)
def test_changes_are_seen(opened, tmp_path, change, said):
    folder = tmp_path / "d"
    shutil.copytree(opened, folder)
    if change == "text":
        (folder / "README.md").write_text("better")
    elif change in ("plan", "energy"):
        content = json.loads((folder / "plan.json").read_text())
        if change == "plan":
            assert content["neurons"] == 46 or content["neurons"] > 0
            said = said.replace("41, now 40", f"{content['neurons'] + 1}, now {content['neurons']}")
            content["neurons"] += 1
        else:
            content["energy"]["cmos-45nm"]["energy_j_per_sample"] *= 1.0001
        (folder / "plan.json").write_text(json.dumps(content))
    else:
        found = samples.read(folder / "samples.npz")
        if change == "outputs":
            found.outputs[0, 0] += 1
        else:
            found.hashes["bank"] = "0" * 64
        with open(folder / "samples.npz", "wb") as file:
            samples.write(found, file)
    lines = []
    assert not recheck.check(folder, lines.append)
    assert any(line.startswith(said) for line in lines), lines


def test_what_is_no_dossier(opened, tmp_path):
    with pytest.raises(UserError, match="facts.json: cannot be read"):
        recheck.check(tmp_path)
    shutil.copytree(opened, tmp_path / "d")
    (tmp_path / "d/samples.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="samples.npz: no record of samples"):
        recheck.check(tmp_path / "d")


def test_nets_of_others(tmp_path, monkeypatch):
    net, r = chains.random_net(1)
    monkeypatch.setattr(netx, "load", lambda path: net)
    (tmp_path / "x.net").write_bytes(b"x")
    np.save(tmp_path / "x.npy", r.integers(-20, 20, (3, 12, *net.layers[0].shape)))
    for asked in (Asked(executors=("engine", "steps")), Asked(input=str(tmp_path / "x.npy"), executors=("engine",))):
        archive.dossier(tmp_path / "x.net", tmp_path / "d.tgz", asked)
        with tarfile.open(tmp_path / "d.tgz") as packed:
            packed.extractall(tmp_path / "out", filter="data")
        monkeypatch.setattr(recheck, "has_lava", lambda: False)
        lines = []
        assert recheck.check(tmp_path / "out/x-dossier", lines.append), lines
        assert "engine = steps" in lines[2]


def test_mistakes(place):
    assert "ends in .zip, .tar.gz or .tgz" in refused(place, "dossier", "a net's.net", "-o", "d.rar")
    assert "no board 'none'" in refused(place, "dossier", "a net's.net", "-o", "d.zip", "--board", "none")


@pytest.mark.slow
def test_with_lava(place, tmp_path):
    """The whole way: the command, and the check with Lava's executors."""
    out = str(tmp_path / "d.zip")
    said = deploy(place, "dossier", "a net's.net", "-o", out, "--golden")[0]
    assert "artifact = engine = fused = stock" in said and said.endswith(f"dossier    {out}\n")
    with zipfile.ZipFile(out) as packed:
        packed.extractall(tmp_path)
    command = ["make", "check", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=tmp_path / "a_net_s-dossier", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "artifact = engine = fused = stock" in done.stdout and "all of it holds" in done.stdout

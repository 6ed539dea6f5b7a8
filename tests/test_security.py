"""What the program itself never does with what comes from elsewhere; `make audit` asks bandit and pip-audit, too."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("sim", "events", "train", "convert", "deploy", "smolmamba")
# Calls that run or build what a file says, and the places where the file is of this program's own making.
FORBIDDEN = (
    "eval",
    "exec",
    "compile",
    "__import__",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "marshal.loads",
)
FORBIDDEN += ("shelve.open", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "joblib.load")
FORBIDDEN += ("shutil.unpack_archive",)
ALLOWED = {
    # The job that the parent process hands its own worker over a pipe: it never lies in a file.
    ("sim/lava/parent.py", "pickle.loads"),
    # Lava's own source, as it is installed, with the lines mended that today's Python does not take.
    ("sim/lava/compat.py", "compile"),
}
UNPACKS = ("extractall", "extract")  # of an archive: names in it may lead anywhere


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def faults(path):
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    for called, node in calls(path):
        options = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if called in FORBIDDEN and (name, called) not in ALLOWED:
            yield f"{name}:{node.lineno}: {called}"
        if called.rpartition(".")[2] in UNPACKS and "." in called:
            yield f"{name}:{node.lineno}: {called}"
        if options.get("shell", "False") != "False":
            yield f"{name}:{node.lineno}: a shell"
        if called == "torch.load" and options.get("weights_only") != "True":
            yield f"{name}:{node.lineno}: torch.load without weights_only"
        if called == "np.load" and options.get("allow_pickle", "False") != "False":
            yield f"{name}:{node.lineno}: np.load with pickles"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_from_a_file_is_run(package):
    assert not [fault for path in (ROOT / package).rglob("*.py") for fault in faults(path)]


def test_it_would_be_seen(tmp_path):
    (tmp_path / "a.py").write_text(
        "eval(x)\npickle.loads(x)\nyaml.load(x)\narchive.extractall(x)\nsubprocess.run(x, shell=True)\n"
        "torch.load(x)\nnp.load(x, allow_pickle=True)\nmodel.eval()\ntorch.load(x, weights_only=True)\nnp.load(x)\n"
    )
    assert [int(fault.split(":")[1]) for fault in faults(tmp_path / "a.py")] == [1, 2, 3, 4, 5, 6, 7]


def test_what_is_allowed_is_there():
    for name, called in ALLOWED:
        assert called in {found for found, _ in calls(ROOT / name)}, f"{name} calls {called} no more: take it out"


def test_readers_of_events_need_no_library_that_may_not_come_back():
    """Prophesee's and AEDAT 4 files are read here: expelliarmus and dv-processing are for tests and cameras."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = text[text.index("dependencies = [") : text.index("[project.optional-dependencies]")]
    assert "expelliarmus" not in needed and "dv-processing" not in needed
    for path in (ROOT / "events").rglob("*.py"):
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        }
        assert "expelliarmus" not in names, path
        assert "dv_processing" not in names or path.name == "__init__.py", path

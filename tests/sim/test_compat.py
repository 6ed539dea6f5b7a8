"""The mends in `sim.lava.compat`: each is still needed, each is enough, and nothing but the mended modules changes.

A test here that fails because a bare import works means: that mend can go.
"""

import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest

from sim.lava import compat

ROOT = Path(__file__).resolve().parents[2]
SIMULATOR = "lava.magma.compiler.var_model"
SLAYER = "lava.lib.dl.slayer"
needs_hash = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 accepts the dataclass as it is")
no_torchvision = pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
no_slayer = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def python(code):
    """Runs `code` in a fresh Python at the root of the repository. Gives (exit status, what it wrote)."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    return done.returncode, done.stdout


def mended(code):
    return python(f"from sim.lava import compat; compat.apply(); {code}")


def source(module):
    release = distribution("lava-dl" if module.startswith("lava.lib.dl") else "lava-nc")
    return Path(release.locate_file(module.replace(".", "/") + ".py")).read_text()


def test_releases_are_the_ones_that_are_mended():
    assert (distribution("lava-nc").version, distribution("lava-dl").version) == ("0.10.0", "0.6.0")


@pytest.mark.parametrize("module", compat.MENDS)
def test_mended_text_stands_once_in_the_module(module):
    mend = compat.MENDS[module]
    assert mend.old != mend.new
    assert source(module).count(mend.old) == 1


@needs_hash
def test_simulator_needs_the_hash_mend():
    status, text = python(f"import {SIMULATOR}")
    assert status == 1
    assert "ValueError: mutable default <class 'lava.magma.compiler.var_model.ByteEncoder'>" in text


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="from Python 3.11 on the dataclass needs its mend")
def test_simulator_is_stock_on_python_3_10():
    assert python(f"import {SIMULATOR}") == (0, "")
    assert mended(f"import {SIMULATOR}; assert type({SIMULATOR}.__loader__) is not compat._Loader") == (0, "")


@no_torchvision
@no_slayer
def test_slayer_needs_the_torchvision_mend():
    status, text = python(f"import {SLAYER}")
    assert status == 1
    assert "ModuleNotFoundError: No module named 'torchvision'" in text


@needs_hash
def test_mend_of_the_simulator_leaves_no_trace():
    # The class ends as unhashable as 3.10 makes it, and a process without the mend still gets Lava's own code (no
    # changed bytecode was cached).
    assert mended(
        f"from {SIMULATOR} import ByteEncoder, CoreEncoder; assert ByteEncoder.__hash__ is None; assert CoreEncoder().x"
        " == ByteEncoder()"
    ) == (0, "")
    assert python(f"import {SIMULATOR}")[0] == 1


@no_torchvision
@no_slayer
def test_slayer_imports_and_torchvision_stays_missing():
    status, text = mended(f"""
import importlib.util, sys
import {SLAYER} as slayer
assert not [name for name in sys.modules if name.split(".")[0] == "torchvision"]
assert importlib.util.find_spec("torchvision") is None
try:
    slayer.obd.bbox.utils.transforms.ToPILImage()
except ImportError as error:
    assert "torchvision.transforms.ToPILImage is needed here" in str(error)
else:
    raise SystemExit("the stand-in was usable")
""")
    assert status == 0, text


def test_applying_twice_adds_one_finder_and_imports_nothing():
    assert python(
        "import sys; from sim.lava import compat; n = len(sys.meta_path); compat.apply(); compat.apply(); assert"
        " len(sys.meta_path) == n + 1; assert not [m for m in sys.modules if m.split('.')[0] in ('lava', 'numpy',"
        " 'torch')]"
    ) == (0, "")


def modules(*folders):
    files = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if path.name != "__main__.py")
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]


@pytest.mark.parametrize(
    "folders, foreign",
    [
        (("events", "sim"), ("torch", "lava.lib.dl", "torchvision", "train", "convert", "deploy")),
        (("deploy",), ("torch", "lava.lib.dl", "torchvision", "train", "convert")),
    ],
    ids=["ground floor", "deploy"],
)
def test_running_a_net_needs_no_torch(folders, foreign):
    names = modules(*folders)
    if not names:
        pytest.skip(f"no modules in {folders}")
    status, text = mended(f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
    got = [m for m in {foreign} if m in sys.modules]
    if got:
        raise SystemExit(f"importing {{name}} imports {{got}}")
""")
    assert status == 0, text


def test_simulator_needs_the_start_method_mend():
    """A lock is enough: what numba's first parallel kernel and every progress bar of tqdm take."""
    code = (
        "import multiprocessing; multiprocessing.Lock(); import"
        " lava.magma.runtime.message_infrastructure.multiprocessing"
    )
    mend = compat.MENDS["lava.magma.runtime.message_infrastructure.multiprocessing"]
    without = (
        "from sim.lava import compat; compat.apply(); del"
        f" compat.MENDS['lava.magma.runtime.message_infrastructure.multiprocessing']; {code}"
    )
    status, text = python(without)
    assert mend.needed() and status == 1 and "RuntimeError: context has already been set" in text
    assert mended(code) == (0, "")


def test_importing_slayer_sets_up_no_gpu():
    """As on a machine that has one: SLAYER would ask for its kind."""
    code = (
        "import torch; torch.cuda.is_available = lambda: True; import train.model.slayer, train.run.loop; assert"
        " torch.cuda.is_available() and not torch.cuda.is_initialized()"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0
    plain = code.replace(
        "import train.model.slayer, train.run.loop",
        "from sim.lava import compat; compat.apply(); from lava.lib.dl import slayer",
    )
    assert subprocess.run([sys.executable, "-c", plain], cwd=ROOT, capture_output=True).returncode != 0

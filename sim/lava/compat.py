"""Mends that the last Lava releases (lava-nc 0.10.0, lava-dl 0.6.0) need to be importable today.

`apply()` must have run before the first `import lava`. It imports nothing itself: it puts a finder in front of Python's
own, which changes the source of the modules in `MENDS` in memory while they are loaded. Lava's files stay as they are,
no bytecode of a changed source is cached, and no stand-in ever enters `sys.modules`: other libraries still see that
torchvision is missing."""

import sys
from collections.abc import Callable
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import find_spec
from typing import NamedTuple


class Mend(NamedTuple):
    """A change to one module: where `needed()`, the text `old` becomes `new` and `end` follows the last line."""

    needed: Callable[[], bool]
    old: str
    new: str
    end: str = ""


class NoTorchvision:
    """Stands where a module of torchvision would. Using it raises ImportError."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        raise ImportError(
            f"torchvision.{self.module}.{name} is needed here, but torchvision is not installed: "
            "pip install -c constraints.txt torchvision"
        )


def _dataclasses_want_hash():
    return sys.version_info >= (3, 11)


def _torchvision_missing():
    return find_spec("torchvision") is None


def _always():
    return True


def _without_torchvision(*modules):
    stand_ins = "; ".join(f"{module} = NoTorchvision('{module}')" for module in modules)
    return Mend(
        _torchvision_missing,
        f"from torchvision import {', '.join(modules)}\n",
        f"from {__name__} import NoTorchvision; {stand_ins}\n",
    )


_DETECTION = "lava.lib.dl.slayer.object_detection"
MENDS = {
    # Since Python 3.11 dataclasses take the default `ByteEncoder()` for a mutable one, because its class has no hash.
    # So it has one until the classes that use it are defined, and none afterwards, as on 3.10.
    "lava.magma.compiler.var_model": Mend(
        _dataclasses_want_hash,
        "@dataclass\nclass ByteEncoder:\n",
        "@dataclass(unsafe_hash=True)\nclass ByteEncoder:\n",
        "\nByteEncoder.__hash__ = None\n",
    ),
    # Lava sets the start method of processes when imported and fails if anything before it has used a process or a lock
    # (numba, tqdm, tonic have).
    "lava.magma.runtime.message_infrastructure.multiprocessing": Mend(
        _always, "mp.set_start_method('fork')\n", "mp.set_start_method('fork', force=True)\n"
    ),
    # `import lava.lib.dl.slayer` imports its object detection too; ours never uses it.
    f"{_DETECTION}.boundingbox.utils": _without_torchvision("ops", "transforms"),
    f"{_DETECTION}.dataset.bdd100k": _without_torchvision("transforms"),
    f"{_DETECTION}.dataset.prophesee_automotive": _without_torchvision("transforms"),
}


class _Loader(SourceFileLoader):
    def get_code(self, fullname):
        # Not `source_to_code`, whose result would be written to Lava's bytecode cache and read back instead of it.
        mend, source = MENDS[fullname], self.get_source(fullname)
        if source is None:
            raise ImportError(f"{fullname}: has no source", name=fullname, path=self.path)
        return compile(source.replace(mend.old, mend.new) + mend.end, self.path, "exec", dont_inherit=True)


class _Finder:
    def find_spec(self, name, path=None, target=None):
        if name not in MENDS or not MENDS[name].needed():
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec


_finder = _Finder()


def apply() -> None:
    """Makes `import lava` and `import lava.lib.dl.slayer` work from here on, in this process and its forks.

    Calling it again changes nothing.
    """
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)

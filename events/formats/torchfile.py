"""Tensors that `torch.save` wrote, without torch and without running anything: the pickle inside is gone through as
data, and only what a tensor or a dictionary, list or tuple of tensors needs is understood."""

import math
import pickletools  # it reads opcodes and runs none  # nosec B403
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sim.base.errors import UserError
from sim.base.npy import BROKEN

from .arrays import require_members
from .source import reason, size_of

_KINDS = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
_MARK = object()
_PLAIN = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "INT", "LONG", "FLOAT")
_SILENT = ("PROTO", "FRAME", "STOP")


def read(path: str | Path) -> Any:
    """The object in a file: arrays in place of tensors.

    Raises:
        UserError: no archive of `torch.save`, or something else in it than plain tensors and containers of them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            require_members(archive, size_of(path))
            names = {info.filename: info for info in archive.infolist()}
            program = next((name for name in names if name.endswith("/data.pkl")), None)
            if program is None:
                raise ValueError("no data.pkl in it")
            if names[program].file_size > 1 << 20:
                raise ValueError("its data.pkl is too large")
            return _run(archive.read(program), _Storages(archive, names, program.removesuffix("data.pkl")))
    except BROKEN as e:
        raise UserError(
            f"{path} is not a file of torch.save (1.6 or later) with tensors alone ({reason(e)}); save x, y, p, t as"
            " tensors, or as .npz"
        ) from None


class _Storages:
    def __init__(self, archive, names, folder):
        self.archive, self.names, self.folder, self.kept = archive, names, folder, {}

    def __call__(self, described):
        what, kind, key, _, count = described
        if what != "storage" or not re.fullmatch(r"\w{1,20}", key):
            raise ValueError("a reference to something else than a tensor's values")
        if key not in self.kept:
            info, dtype = self.names[f"{self.folder}data/{key}"], np.dtype(kind)
            if not 0 <= count * dtype.itemsize <= info.file_size:
                raise ValueError(f"{count} values claimed, {info.file_size} bytes are there")
            with self.archive.open(info) as f:
                self.kept[key] = np.frombuffer(f.read(count * dtype.itemsize), dtype)
        return self.kept[key]


def _tensor(storage, offset, shape, stride, *_):
    """`torch._utils._rebuild_tensor_v2`: a view of a storage; a copy, once it is known to lie within."""
    if len(shape) != len(stride) or min((offset, *shape, *stride), default=0) < 0 or math.prod(shape) > len(storage):
        raise ValueError("a tensor that does not fit its values")
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride))
    if math.prod(shape) and last >= len(storage):
        raise ValueError("a tensor that does not fit its values")
    if not math.prod(shape):
        return np.empty(shape, storage.dtype)
    steps = [s * storage.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False).copy()


def _name(module, name):
    if module == "torch" and name in _KINDS:
        return _KINDS[name]
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
        return _tensor
    if (module, name) == ("collections", "OrderedDict"):
        return dict
    raise ValueError(f"it needs {module}.{name}"[:100])


def _run(program, storages):
    """What the pickle builds, by the few steps that are understood."""
    stack, memo = [], {}

    def taken():
        items = []
        while (item := stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    for step, argument, _ in pickletools.genops(program):
        name = step.name
        if name in _PLAIN:
            stack.append(argument)
        elif name == "GLOBAL":
            stack.append(_name(*str(argument).split(" ", 1)))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "BINPERSID":
            stack.append(storages(stack.pop()))
        elif name in _BUILD:
            _BUILD[name](stack, taken)
        elif name not in _SILENT:
            raise ValueError(f"a step {name} that tensors do not need")
    return stack.pop()


def _setitems(stack, taken):
    items = taken()
    stack[-1].update(zip(items[::2], items[1::2]))


def _reduce(stack, _):
    arguments, function = stack.pop(), stack.pop()
    if function is not dict and function is not _tensor:
        raise ValueError("a call of something else than a tensor's making")
    stack.append({} if function is dict else _tensor(*arguments))


def _setitem(stack, _):
    value, key = stack.pop(), stack.pop()
    stack[-1][key] = value


def _tuple(n):
    def build(stack, _):
        items = tuple(stack[len(stack) - n :])
        del stack[len(stack) - n :]
        stack.append(items)

    return build


_BUILD = {
    "MARK": lambda stack, _: stack.append(_MARK),
    "NEWTRUE": lambda stack, _: stack.append(True),
    "NEWFALSE": lambda stack, _: stack.append(False),
    "NONE": lambda stack, _: stack.append(None),
    "EMPTY_TUPLE": lambda stack, _: stack.append(()),
    "EMPTY_LIST": lambda stack, _: stack.append([]),
    "EMPTY_DICT": lambda stack, _: stack.append({}),
    "TUPLE": lambda stack, taken: stack.append(tuple(taken())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "APPEND": lambda stack, _: stack[-2].append(stack.pop()),
    "APPENDS": lambda stack, taken: (items := taken(), stack[-1].extend(items)),
    "REDUCE": _reduce,
    "SETITEM": _setitem,
    "SETITEMS": _setitems,
}

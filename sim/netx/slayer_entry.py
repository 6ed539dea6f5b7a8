"""The entries of one group `layer/<i>` of a netx file, read with every type, size and range checked."""

from typing import NoReturn

import numpy as np

from ..base.errors import UserError
from ..base.memory import NEURONS_LIMIT
from ..integer import MAX_DELAY


class Entry:
    """One group; every failure names the file, the layer and its type.

    Attributes:
        notes: what was changed while reading, one line each.
    """

    def __init__(self, arrays, index, path):
        self.arrays, self.index, self.path, self.name = arrays, index, path, f"layer/{index}"
        self.notes = []
        self.type = "?"
        self.type = self.text("type")

    def fail(self, text: str) -> NoReturn:
        raise UserError(f"{self.path}: {self.name} ({self.type}): {text}")

    def has(self, key: str) -> bool:
        return key in self.arrays

    def text(self, key: str) -> str:
        value = self.arrays.get(key)
        if value is None or value.dtype.kind != "S" or value.size != 1:
            self.fail(f"{key} is {'missing' if value is None else f'{value.dtype} {value.shape}'}, expected a text")
        return ascii(bytes(value.ravel()[0]).decode("ascii", "replace"))[1:-1][
            :40
        ]  # one printable line, whatever it was

    def integers(self, key: str, default: int | tuple[int, ...] | None = None) -> np.ndarray:
        """The entry as int64, whatever number type it was written in; NaN, infinity and fractions are refused."""
        return self._whole(key, default).astype(np.int64)

    def _whole(self, key, default=None):
        """The entry as it was written, whole numbers of 32 bits."""
        value = self.arrays.get(key, default)
        if value is None:
            self.fail(f"{key} is missing")
        value = np.asarray(value)
        if value.dtype.kind not in "iuf" or value.size == 0:
            self.fail(f"{key} is {value.dtype} {value.shape}, expected integers")
        low, high = value.min(), value.max()
        whole = low >= -(1 << 31) and high <= 1 << 31  # NaN and infinity are not
        if not whole or (value.dtype.kind == "f" and (value != np.floor(value)).any()):
            self.fail(f"{key} has values that are no 32-bit integers")
        return value

    def number(self, key: str, default: int | tuple[int, ...] | None = None) -> int:
        value = self.integers(key, default)
        if value.size != 1:
            self.fail(f"{key} has shape {value.shape}, expected one number")
        return int(value.ravel()[0])

    def pair(self, key: str, default: int | tuple[int, ...]) -> tuple[int, int]:
        value = self.integers(key, default).ravel()
        if value.size not in (1, 2):
            self.fail(f"{key} has {value.size} values, expected one or two")
        return (int(value[0]), int(value[-1]))

    def shape(self) -> tuple[int, ...]:
        shape = tuple(int(x) for x in self.integers("shape").ravel())
        if min(shape) < 1 or int(np.prod(shape, dtype=object)) > NEURONS_LIMIT:
            self.fail(f"shape {shape[:9]} is not positive or too large")
        return shape

    def bias(self) -> np.ndarray:
        return (
            (self.integers("bias") if self.has("bias") and self.type != "input" else np.zeros(1))
            .astype(np.int32)
            .ravel()
        )

    @property
    def complex(self) -> bool:
        """Whether the weights have a real and an imaginary part."""
        return any(key.startswith("weight/") for key in self.arrays)

    def weight(self, key: str, ndim: int) -> np.ndarray:
        if any(k.startswith(f"{key}/") for k in self.arrays):
            self.fail(f"{key}: complex weights are not supported in this layer")
        value = self._whole(key)
        if value.ndim == 5 and ndim == 4 and value.shape[4] == 1:  # SLAYER before 0.3 kept its time axis
            value = value[..., 0]
        if value.ndim != ndim:
            self.fail(f"{key} has shape {value.shape}, expected {ndim} dimensions")
        low, high = int(value.min()), int(value.max())
        if low < -256 or high > 254:
            self.fail(f"{key} spans [{low}, {high}], expected [-256, 254]")
        return value.astype(np.int16)

    def complex_weight(self, ndim: int) -> tuple:
        """(real, imaginary) weights, (None, None) where they are not complex."""
        if not self.complex:
            return None, None
        return tuple(self.weight(f"weight/{part}", ndim) for part in ("real", "imag"))

    def per_channel(self, delay: np.ndarray, n: int) -> np.ndarray:
        """A `delay` of one value or of `n`, as `n`."""
        if delay.size not in (1, n):
            self.fail(f"delay has {delay.size} values, expected 1 or {n}")
        return np.broadcast_to(delay.ravel(), (n,)).copy()

    def delay(self) -> np.ndarray | None:
        """Steps, int32 of any shape, or None; what is longer than a synapse's longest is cut to that, as netx does."""
        if not self.has("delay"):
            return None
        delay = self.integers("delay").astype(np.int32)
        beyond = int((delay > MAX_DELAY).sum())
        if beyond:
            self.notes.append(f"{self.name}: {beyond} delays above {MAX_DELAY} cut to {MAX_DELAY}, as netx does")
        return np.minimum(delay, MAX_DELAY)

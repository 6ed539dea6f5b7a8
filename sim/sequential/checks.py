"""What every layer checks when it is made."""

import numpy as np

from ..base.errors import UserError
from ..integer import INPUT_LIMIT, MAX_DELAY


def require(ok: bool | np.bool_, layer: str, text: str) -> None:
    """Raises `UserError`, naming `layer`, unless `ok`."""
    if not ok:
        raise UserError(f"{layer}: {text}")


def require_fan_in(fan_in: np.ndarray, layer: str) -> None:
    """Sums of |weights| of binary spikes that a current takes with one wrap (`sim.integer`)."""
    require(
        (fan_in <= INPUT_LIMIT).all(),
        layer,
        f"sum of |weights| of a neuron exceeds {INPUT_LIMIT}, the current could wrap twice in a step",
    )


def require_delay(delay: np.ndarray | None, shape: tuple, layer: str) -> None:
    """Steps, 0..62, of the expected shape."""
    if delay is not None:
        require(delay.shape == shape, layer, f"delay has shape {delay.shape}, expected {shape}")
        require(((0 <= delay) & (delay <= MAX_DELAY)).all(), layer, f"delay outside 0..{MAX_DELAY}")


def require_values(value: np.ndarray, name: str, sizes: set, low: int, high: int, layer: str) -> None:
    """A vector with one of `sizes` values, all in low..high."""
    require(
        value.ndim == 1 and value.size in sizes,
        layer,
        f"{name} has shape {value.shape}, expected one or {max(sizes)} values",
    )
    require(((low <= value) & (value <= high)).all(), layer, f"{name} outside {low}..{high}")

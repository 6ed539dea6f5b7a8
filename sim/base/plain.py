"""Results as JSON values."""

from dataclasses import is_dataclass
from typing import Any, TypeAlias, Union

import numpy as np

Json: TypeAlias = Union[None, bool, int, float, str, list["Json"], dict[str, "Json"]]  # noqa: UP007  # names itself


def plain(value: Any) -> Any:
    """Data classes as dictionaries, tuples and arrays as lists, all the way down."""
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

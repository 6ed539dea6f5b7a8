"""What tests of token streams share."""

import numpy as np


def same(a, b) -> bool:
    """Whether two `sim.net.tokens.Stream`s are equal, value by value."""
    return np.array_equal(a.tokens, b.tokens) and np.array_equal(a.which, b.which)

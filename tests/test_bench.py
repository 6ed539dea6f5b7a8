"""The benchmark runs and says what it measured; nothing is timed here."""

import math

from bench.__main__ import kernel


def test_kernel_rows():
    rows = kernel((2, 4, 10), 1)
    assert [r["unit"] for r in rows] == ["ms", "ms"] and rows[0]["ratio"] == 1.0
    assert math.isclose(rows[1]["ratio"], rows[1]["value"] / rows[0]["value"], rel_tol=1e-9)

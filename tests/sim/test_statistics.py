"""Intervals against values from tables, and where there is nothing to make one of."""

import pytest

from sim.base.statistics import mean_interval, paired_interval, wilson


def test_shares():
    assert wilson(8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)  # Newcombe, Statistics in Medicine 17, 1998
    assert wilson(0, 0) == [0.0, 1.0]
    assert wilson(0, 5)[0] == pytest.approx(0, abs=1e-15) and wilson(5, 5)[1] == pytest.approx(1)


def test_differences_of_pairs():
    assert paired_interval([], []) == [-1.0, 1.0]
    assert paired_interval([True, False], [True, False]) == [0.0, 0.0]
    low, high = paired_interval([False] * 100, [True] * 10 + [False] * 90)
    assert (low + high) / 2 == pytest.approx(0.1) and (high - low) / 2 == pytest.approx(1.96 * 0.03)


def test_means_of_few():
    mean, half = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2 and half == pytest.approx(4.3027 / 3**0.5, rel=1e-4)  # Student's t for two degrees of freedom
    assert mean_interval([4.0]) == (4.0, None) and mean_interval([]) == (None, None)

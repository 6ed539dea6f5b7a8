"""Intervals for shares of small test sets, and for means of few runs."""

import math
import statistics
from collections.abc import Sequence

import numpy as np


def wilson(hits: int, n: int, z: float = 1.96) -> list[float]:
    """Wilson's interval of a share (95 % for z = 1.96): [low, high]. Source: E. B. Wilson, JASA 22, 1927."""
    if n == 0:
        return [0.0, 1.0]
    p, d = hits / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / d
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return [max(0.0, middle - half), min(1.0, middle + half)]


def paired_interval(a: np.ndarray, b: np.ndarray, z: float = 1.96) -> list[float]:
    """Interval of the difference of two accuracies on the same samples, mean(b) - mean(a): [low, high], normal
    approximation of the pairs' differences.

    a, b: sequences of bool, one per sample.
    """
    d = [int(y) - int(x) for x, y in zip(a, b)]
    n = len(d)
    if n == 0:
        return [-1.0, 1.0]
    mean = sum(d) / n
    half = z * math.sqrt(max(sum(x * x for x in d) / n - mean * mean, 0) / n)
    return [mean - half, mean + half]


def mean_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """(mean, half width of its 95 % interval by Student's t); None where there are too few values."""
    from scipy.stats import t  # slow to import

    if len(values) < 2:
        return (values[0] if values else None), None
    return (
        statistics.fmean(values),
        float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5,
    )

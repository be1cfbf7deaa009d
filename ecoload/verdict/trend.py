"""Does a series rise? Theil and Sen's slope, Mann and Kendall's test: by order, so an outlier weighs no more
than any other value.

Rules
-----
- The chance is one-sided: how likely so much rising is where the order of the values is chance.
- It is exact, ties included: the far tail decides, and there an approximation is off by the most.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def slope(times: ArrayLike, values: ArrayLike) -> float:
    """The median of the slopes between any two points. At least two points, at different times."""
    at, found = np.asarray(times, np.float64), np.asarray(values, np.float64)
    earlier, later = np.triu_indices(len(at), 1)
    return float(np.median((found[later] - found[earlier]) / (at[later] - at[earlier])))


def chance_of_rising(values: ArrayLike) -> float:
    """The p value of the series' rising: the share of all orders of its values in which no more pairs fall
    than in its own."""
    found = np.asarray(values, np.float64)
    earlier, later = np.triu_indices(len(found), 1)
    falling = int((found[later] < found[earlier]).sum())
    shares, placed = np.ones(1), 0
    for equal in np.unique(found, return_counts=True)[1]:
        ways = _ways(placed, int(equal))
        shares = np.convolve(shares, ways / ways.sum())
        placed += int(equal)
    return float(min(shares[: falling + 1].sum(), 1.0))


@functools.lru_cache(maxsize=4096)
def _ways(before: int, equal: int) -> Floats:
    """In how many ways `equal` greater values can stand among `before` others, by the number of pairs that
    fall (the Gaussian binomial's coefficients)."""
    if not before or not equal:
        return np.ones(1)
    ways = np.zeros(before * equal + 1)
    last_is_greater, last_is_not = _ways(before, equal - 1), _ways(before - 1, equal)
    ways[: len(last_is_greater)] += last_is_greater
    ways[equal:] += last_is_not
    return ways

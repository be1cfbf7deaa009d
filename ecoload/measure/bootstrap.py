"""How sure a figure is: 95 % intervals by block bootstrap.

Rules
-----
- Requests in a row are not independent, so whole stretches of the run are drawn, not requests:
  circular stretches of `ceil(n ** (1/3))` neighbouring blocks, 1,000 times, seeded.
- Below 8 blocks there is no interval: a false one would be worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecoload.measure.blocks import Block, highest_us, lowest_us

RESAMPLES = 1000
FEWEST_BLOCKS = 8
_CHUNK = 100

Interval95 = tuple[float, float]


def percentile_intervals(
    blocks: Sequence[Block], shares: Sequence[float], seed: int
) -> list[Interval95 | None]:
    """For each share the 95 % interval `(low, high)` in µs of that percentile over the `blocks`; None
    where there are too few blocks or no values."""
    filled = any(b.counts.size for b in blocks)
    if len(blocks) < FEWEST_BLOCKS or not filled:
        return [None] * len(shares)
    bins = np.unique(np.concatenate([b.bins for b in blocks])).astype(np.int64)
    matrix = np.zeros((len(blocks), len(bins)))
    for row, block in zip(matrix, blocks, strict=True):
        row[np.searchsorted(bins, block.bins)] = block.counts
    weights = _weights(len(blocks), seed)
    found = np.concatenate(
        [_bins_at(weights[i : i + _CHUNK] @ matrix, shares) for i in range(0, RESAMPLES, _CHUNK)]
    )
    low, high = lowest_us(bins), highest_us(bins)
    return [_interval(column, low, high) for column in found.T]


def error_rate_interval(blocks: Sequence[Block], seed: int) -> Interval95 | None:
    """The 95 % interval of the share of errors; None where there are too few blocks or requests."""
    requests = np.array([b.requests for b in blocks], np.float64)
    errors = np.array([b.errors for b in blocks], np.float64)
    if len(blocks) < FEWEST_BLOCKS or not requests.any():
        return None
    weights = _weights(len(blocks), seed)
    sent = weights @ requests
    rates = (weights @ errors)[sent > 0] / sent[sent > 0]
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high)


def _weights(count: int, seed: int) -> NDArray[np.float64]:
    """How often each block is drawn in each resample: `(RESAMPLES, count)`."""
    length = math.ceil(count ** (1 / 3))
    stretches = math.ceil(count / length)
    starts = np.random.default_rng(seed).integers(count, size=(RESAMPLES, stretches))
    drawn = (starts[:, :, None] + np.arange(length)) % count
    drawn = drawn.reshape(RESAMPLES, -1)[:, :count]
    flat = (drawn + np.arange(RESAMPLES)[:, None] * count).ravel()
    return np.bincount(flat, minlength=RESAMPLES * count).reshape(RESAMPLES, count).astype(np.float64)


def _bins_at(counts: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.int64]:
    """The column of the bin at each share's rank, for each resample; -1 where one drew no value."""
    running = np.cumsum(counts, axis=1)
    totals = running[:, -1]
    columns = []
    for share in shares:
        ranks = np.maximum(np.ceil(share * totals - 1e-6), 1)
        at = (running < ranks[:, None]).sum(axis=1)
        columns.append(np.where(totals > 0, at, -1))
    return np.stack(columns, axis=1)


def _interval(
    columns: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> Interval95 | None:
    drawn = np.sort(columns[columns >= 0])
    if not drawn.size:
        return None
    first = drawn[math.floor(0.025 * (drawn.size - 1))]
    last = drawn[math.ceil(0.975 * (drawn.size - 1))]
    return float(low[first]), float(high[last])

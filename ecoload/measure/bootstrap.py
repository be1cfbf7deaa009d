"""How sure a figure is: 95 % intervals by block bootstrap.

Rules
-----
- Requests in a row are not independent, so whole stretches of the run are drawn, not requests:
  circular stretches of `ceil(n ** (1/3))` neighbouring blocks, 1,000 times, seeded.
- Below 8 blocks there is no interval: a false one would be worse than none.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecoload.measure.blocks import Block, highest_us, lowest_us

RESAMPLES = 1000
FEWEST_BLOCKS = 8
_CHUNK = 100

Interval95 = tuple[float, float]
Floats = NDArray[np.float64]


def percentile_intervals(
    blocks: Sequence[Block], shares: Sequence[float], seed: int
) -> list[Interval95 | None]:
    """For each share the 95 % interval `(low, high)` in µs of that percentile over the `blocks`; None
    where there are too few blocks or no values."""
    drawn = _drawn(blocks, shares, seed)
    if drawn is None:
        return [None] * len(shares)
    found, bins = drawn
    low, high = lowest_us(bins), highest_us(bins)
    return [_interval(column, low, high) for column in found.T]


def percentile_draws(blocks: Sequence[Block], shares: Sequence[float], seed: int) -> Floats | None:
    """Those percentiles in each resample, `(RESAMPLES, len(shares))` in µs, NaN where one drew no value;
    None where there are too few blocks or no values."""
    drawn = _drawn(blocks, shares, seed)
    if drawn is None:
        return None
    found, bins = drawn
    middle = (lowest_us(bins) + highest_us(bins)) / 2
    draws: Floats = np.where(found >= 0, middle[found], np.nan)
    return draws


def error_rate_interval(blocks: Sequence[Block], seed: int) -> Interval95 | None:
    """The 95 % interval of the share of errors; None where there are too few blocks or requests."""
    rates = share_draws([b.errors for b in blocks], [b.requests for b in blocks], seed)
    if rates is None:
        return None
    low, high = np.nanquantile(rates, (0.025, 0.975))
    return float(low), float(high)


def share_draws(part: ArrayLike, whole: ArrayLike, seed: int) -> Floats | None:
    """What share of `whole` the `part` is in each resample, both given for each block; NaN where one drew
    nothing, None where there are too few blocks or there is nothing."""
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    if len(wholes) < FEWEST_BLOCKS or not wholes.any():
        return None
    weights = _weights(len(wholes), seed)
    drawn = weights @ wholes
    shares = np.full(RESAMPLES, np.nan)
    np.divide(weights @ parts, drawn, out=shares, where=drawn > 0)
    return shares


def stretches(count: int) -> int:
    """How many stretches are drawn of so many blocks: how many draws a figure rests on."""
    return math.ceil(count / _stretch(count))


def _drawn(
    blocks: Sequence[Block], shares: Sequence[float], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The place of each percentile's bin in each resample, and the bins."""
    filled = any(b.counts.size for b in blocks)
    if len(blocks) < FEWEST_BLOCKS or not filled:
        return None
    bins = np.unique(np.concatenate([b.bins for b in blocks])).astype(np.int64)
    matrix = np.zeros((len(blocks), len(bins)))
    for row, block in zip(matrix, blocks, strict=True):
        row[np.searchsorted(bins, block.bins)] = block.counts
    weights = _weights(len(blocks), seed)
    found = np.concatenate(
        [_bins_at(weights[i : i + _CHUNK] @ matrix, shares) for i in range(0, RESAMPLES, _CHUNK)]
    )
    return found, bins


def _stretch(count: int) -> int:
    return math.ceil(math.pow(count, 1 / 3))


@functools.lru_cache(maxsize=8)
def _weights(count: int, seed: int) -> Floats:
    """How often each block is drawn in each resample: `(RESAMPLES, count)`."""
    length = _stretch(count)
    starts = np.random.default_rng(seed).integers(count, size=(RESAMPLES, stretches(count)))
    drawn = (starts[:, :, None] + np.arange(length)) % count
    drawn = drawn.reshape(RESAMPLES, -1)[:, :count]
    flat = (drawn + np.arange(RESAMPLES)[:, None] * count).ravel()
    return np.bincount(flat, minlength=RESAMPLES * count).reshape(RESAMPLES, count).astype(np.float64)


def _bins_at(counts: Floats, shares: Sequence[float]) -> NDArray[np.int64]:
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

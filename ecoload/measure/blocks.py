"""The run cut into equal blocks of time, for intervals of chance.

Rules
-----
- At most 240 blocks: when they are full, neighbours merge and the span doubles, so memory does not
  grow with the length of a run.
- A block holds one histogram of `ok` response times, in bins eight times as wide above 1 ms
  (0.4–0.8 %) and the smallest integers that hold its counts: the interval of a percentile needs no
  more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoload.measure.histogram import EMPTY, Sparse, highest_in, lowest_in, rank

Counts = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32] | NDArray[np.uint64]

LIMIT = 240
_FINE = 1024
_SHIFT = 3


@dataclass(frozen=True, slots=True)
class Block:
    """`bins` and `counts` of `ok` response times; how many requests counted, how many were errors."""

    bins: NDArray[np.uint16]
    counts: Counts
    requests: int
    errors: int


class Blocks:
    """A route's blocks. `seconds` a block spans."""

    def __init__(self) -> None:
        self.seconds = 1
        self.blocks: list[Block] = []
        self._open: list[Block] = []

    def add_second(self, response: Sparse, requests: int, errors: int) -> None:
        """One more second, an idle one (`EMPTY`, 0, 0) included."""
        self._open.append(_block(response, requests, errors))
        if len(self._open) < self.seconds:
            return
        if len(self.blocks) == LIMIT:
            pairs = zip(self.blocks[::2], self.blocks[1::2], strict=True)
            self.blocks = [_merge(pair) for pair in pairs]
            self.seconds *= 2
            if len(self._open) < self.seconds:
                return
        self.blocks.append(_merge(self._open))
        self._open = []

    def whole(self) -> tuple[Block, ...]:
        """The blocks that are full, and the last one where it is at least half full."""
        rest = (_merge(self._open),) if 2 * len(self._open) >= self.seconds and self._open else ()
        return (*self.blocks, *rest)


def percentile_us(blocks: Sequence[Block], share: float) -> float | None:
    """That percentile of the `ok` response times in `blocks`: the greatest value of its wide bin; None
    where there are none."""
    filled = [block for block in blocks if block.counts.size]
    if not filled:
        return None
    whole = _merge(filled)
    counts = np.cumsum(whole.counts, dtype=np.int64)
    at = np.searchsorted(counts, rank(share, int(counts[-1])))
    return float(highest_us(whole.bins[at : at + 1].astype(np.int64))[0])


def samples_in(blocks: Iterable[Block]) -> int:
    """How many `ok` response times `blocks` hold."""
    return sum(int(block.counts.sum()) for block in blocks)


def thirds(blocks: Sequence[Block]) -> tuple[Sequence[Block], Sequence[Block]]:
    """The first and the last third, equally long; what is left over is in the middle."""
    length = len(blocks) // 3
    return blocks[:length], blocks[len(blocks) - length :]


def lowest_us(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least µs value of each wide bin."""
    fine = np.where(bins < _FINE, bins, _FINE + ((bins - _FINE) << _SHIFT))
    return lowest_in(fine)


def highest_us(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """The greatest µs value of each wide bin."""
    fine = np.where(bins < _FINE, bins, _FINE + ((bins - _FINE) << _SHIFT) + (1 << _SHIFT) - 1)
    return highest_in(fine)


_NOTHING = Block(EMPTY.indices, np.zeros(0, np.uint32), 0, 0)


def _block(response: Sparse, requests: int, errors: int) -> Block:
    if not response.total:
        return Block(_NOTHING.bins, _NOTHING.counts, requests, errors) if requests else _NOTHING
    bins = response.indices.astype(np.int64)
    wide = np.where(bins < _FINE, bins, _FINE + ((bins - _FINE) >> _SHIFT))
    return _gather(wide, response.counts.astype(np.int64), requests, errors)


def _merge(blocks: Sequence[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    bins = np.concatenate([b.bins for b in blocks]).astype(np.int64)
    counts = np.concatenate([b.counts for b in blocks]).astype(np.int64)
    return _gather(bins, counts, sum(b.requests for b in blocks), sum(b.errors for b in blocks))


def _gather(bins: NDArray[np.int64], counts: NDArray[np.int64], requests: int, errors: int) -> Block:
    if not bins.size:
        return Block(_NOTHING.bins, _NOTHING.counts, requests, errors)
    dense = np.bincount(bins, weights=counts)
    used = np.flatnonzero(dense)
    counted: Counts = dense[used].astype(np.min_scalar_type(int(dense.max())))
    return Block(used.astype(np.uint16), counted, requests, errors)

"""Histograms of microseconds: the only user of hdrhistogram.

Rules
-----
- HDR of three digits from 1 µs to 1 h: a value is known to 0.1 %, and never more than 23,552 bins.
- Binning is one numpy pass over many values; the counts equal the library's own exactly.
- Exact minimum and maximum are kept beside the bins. A value over 1 h is counted at 1 h and as an
  overflow; nothing is dropped silently.
- Histograms merge; percentiles are never averaged. A percentile is the value at rank `ceil(p * n)`:
  the highest value of its bin, at most the exact maximum.
- A `Histogram` grows only as far as its largest value; a `Sparse` holds the bins that are not
  empty, so that an idle second costs nothing.
"""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from hdrh.codec import HdrCookieException, HdrHistogramSettingsException, HdrLengthException
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from ecoload.errors import UsageError

Ints = NDArray[np.int64]

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
DIGITS = 3

_HALF_MAGNITUDE = 10
_HALF = 1 << _HALF_MAGNITUDE
_MASK = 2 * _HALF - 1
BINS = 23 * _HALF
"""Number of bins of a full histogram."""

_PARTS = 1_000_000
_OUTER = 8
"""Bytes before what is compressed in a payload: a cookie and a length."""
_LARGEST = 40 + 9 * BINS
"""Bytes of a payload at most: its head, and nine of each bin."""


@dataclass(frozen=True, slots=True)
class Sparse:
    """The bins that are not empty: `indices` rising (uint16), `counts` (uint32 or int64), and the exact
    minimum and maximum in µs (both 0 when there is nothing)."""

    indices: NDArray[np.uint16]
    counts: NDArray[np.uint32] | Ints
    total: int
    minimum: int
    maximum: int
    overflow: int = 0

    def percentile(self, share: float) -> int:
        """The µs value that a `share` (0 < share ≤ 1) of all values do not exceed; 0 when empty."""
        return self.percentiles((share,))[0]

    def percentiles(self, shares: Sequence[float]) -> tuple[int, ...]:
        """`percentile` of each share, in one pass."""
        if not self.total:
            return (0,) * len(shares)
        places = np.searchsorted(np.cumsum(self.counts), [rank(share, self.total) for share in shares])
        return tuple(min(int(v), self.maximum) for v in highest_in(self.indices[places]))


EMPTY = Sparse(np.zeros(0, np.uint16), np.zeros(0, np.uint32), 0, 0, 0)


class Histogram:
    """Counts of µs values. `total` values in all, `overflow` of them over 1 h."""

    __slots__ = ("counts", "maximum", "minimum", "overflow", "total")

    def __init__(self) -> None:
        self.counts: Ints = np.zeros(0, np.int64)
        self.total = 0
        self.overflow = 0
        self.minimum = 0
        self.maximum = 0

    def add_many(self, values: Ints) -> None:
        """Counts µs values (int64, one dimension); negative ones count as 0."""
        if values.size:
            clipped = np.clip(values, 0, HIGHEST_US)
            over = int(np.count_nonzero(values > HIGHEST_US))
            self.add_bins(bin_of(clipped), int(clipped.min()), int(clipped.max()), over)

    def add_bins(self, bins: Ints, minimum: int, maximum: int, overflow: int = 0) -> None:
        """Counts values whose bins are known already, with their exact extremes in µs."""
        size = self._reach(bin_of_one(maximum), minimum, maximum, len(bins))
        self.overflow += overflow
        self.counts[:size] += np.bincount(bins, minlength=size)[:size]

    def add(self, other: Histogram | Sparse) -> None:
        """Counts all of `other` in."""
        if not other.total:
            return
        size = self._reach(bin_of_one(other.maximum), other.minimum, other.maximum, other.total)
        self.overflow += other.overflow
        if isinstance(other, Histogram):
            self.counts[:size] += other.counts[:size]
        else:
            self.counts[other.indices] += other.counts

    def _reach(self, last: int, minimum: int, maximum: int, added: int) -> int:
        if last >= len(self.counts):
            grown = np.zeros((last // _HALF + 1) * _HALF, np.int64)
            grown[: len(self.counts)] = self.counts
            self.counts = grown
        self.minimum = min(self.minimum, minimum) if self.total else minimum
        self.maximum = max(self.maximum, maximum)
        self.total += added
        return last + 1

    def percentile(self, share: float) -> int:
        """The µs value that a `share` (0 < share ≤ 1) of all values do not exceed; 0 when empty."""
        return self.percentiles((share,))[0]

    def percentiles(self, shares: Sequence[float]) -> tuple[int, ...]:
        """`percentile` of each share, in one pass."""
        return self.sparse().percentiles(shares)

    def mean(self) -> float:
        """Mean in µs, each value taken at the middle of its bin; 0 when empty."""
        if not self.total:
            return 0.0
        used = np.flatnonzero(self.counts)
        return float((lowest_in(used) + highest_in(used)) @ self.counts[used]) / 2 / self.total

    def sparse(self) -> Sparse:
        """A frozen copy of what is not empty."""
        if not self.total:
            return EMPTY
        used = np.flatnonzero(self.counts)
        counts = self.counts[used]
        if int(counts.max()) < 1 << 32:
            counts = counts.astype(np.uint32)
        return Sparse(used.astype(np.uint16), counts, self.total, self.minimum, self.maximum, self.overflow)


def merged(parts: Iterable[Histogram | Sparse]) -> Histogram:
    """One histogram of everything in `parts`."""
    whole = Histogram()
    for part in parts:
        whole.add(part)
    return whole


def rank(share: float, total: int) -> int:
    """`ceil(share * total)`, at least 1, without floating-point surprises."""
    return max(1, -(-round(share * _PARTS) * total // _PARTS))


def bin_of(values: Ints) -> Ints:
    """The bin of each µs value; values must be within 0 … `HIGHEST_US`."""
    # A float's exponent is the place of the highest bit: cheaper than frexp, exact below 2 ** 53.
    exponents = (values | _MASK).astype(np.float64).view(np.int64) >> 52
    buckets = exponents - (1023 + _HALF_MAGNITUDE)
    return (buckets << _HALF_MAGNITUDE) + (values >> buckets)


def bin_of_one(value: int) -> int:
    """The bin of one µs value within 0 … `HIGHEST_US`."""
    bucket = (value | _MASK).bit_length() - (_HALF_MAGNITUDE + 1)
    return (bucket << _HALF_MAGNITUDE) + (value >> bucket)


def lowest_in(bins: Ints | NDArray[np.uint16]) -> Ints:
    """The least µs value of each bin."""
    bins = np.asarray(bins, np.int64)
    buckets = np.maximum((bins >> _HALF_MAGNITUDE) - 1, 0)
    lowest: Ints = (bins - (buckets << _HALF_MAGNITUDE)) << buckets
    return lowest


def highest_in(bins: Ints | NDArray[np.uint16]) -> Ints:
    """The greatest µs value of each bin."""
    bins = np.asarray(bins, np.int64)
    buckets = np.maximum((bins >> _HALF_MAGNITUDE) - 1, 0)
    highest: Ints = lowest_in(bins) + (1 << buckets) - 1
    return highest


class Codec:
    """Encodes histograms as HdrHistogram V2 (compressed, base64). Keeps one buffer: one a thread."""

    def __init__(self) -> None:
        self._library = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        self._counts = np.ctypeslib.as_array(self._library.counts)

    def encode(self, sparse: Sparse) -> str:
        """The payload of one histogram, as it stands in a log line."""
        self._counts[sparse.indices] = sparse.counts
        self._library.total_count = sparse.total
        self._library.max_value = sparse.maximum
        try:
            payload: bytes = self._library.encode()
        finally:
            self._counts[sparse.indices] = 0
        return payload.decode("ascii")


def decode(payload: str, maximum: int | None = None) -> Sparse:
    """The histogram in a V2 payload of the same range and digits. `maximum` is the exact greatest value
    in µs where it is known; else the bin's. Raises UsageError when the payload is not one of ours."""
    try:
        _look_at(payload)
        library = HdrHistogram.decode(payload)
    except (
        HdrCookieException,
        HdrLengthException,
        HdrHistogramSettingsException,
        zlib.error,
        struct.error,
        binascii.Error,
        ValueError,
        IndexError,
        TypeError,
    ) as error:
        raise UsageError(f"not an HdrHistogram V2 payload: {error}") from error
    counts = np.ctypeslib.as_array(library.counts).astype(np.int64)
    used = np.flatnonzero(counts)
    if not used.size:
        return EMPTY
    top = int(highest_in(used[-1:])[0])
    exact = top if maximum is None or bin_of_one(maximum) != used[-1] else maximum
    return Sparse(
        used.astype(np.uint16),
        counts[used],
        int(counts[used].sum()),
        int(lowest_in(used[:1])[0]),
        min(exact, HIGHEST_US),
    )


def _look_at(payload: str) -> None:
    """Refuses a payload before the library makes room for what it claims to hold."""
    unpacked = zlib.decompressobj().decompress(binascii.a2b_base64(payload)[_OUTER:], _LARGEST + 1)
    if len(unpacked) > _LARGEST:
        raise UsageError("the histogram is larger than one of 1 µs … 1 h, 3 digits, can be")
    _, _, _, digits, _, highest, _ = struct.unpack_from(">4i2qd", unpacked)
    if (highest, digits) != (HIGHEST_US, DIGITS):
        raise UsageError("the histogram has another range or precision than 1 µs … 1 h, 3 digits")

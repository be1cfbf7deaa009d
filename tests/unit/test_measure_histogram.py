"""Histograms count as the library does, merge without loss, and know a value to 0.1 %."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from ecoload.errors import UsageError
from ecoload.measure.histogram import (
    BINS,
    DIGITS,
    EMPTY,
    HIGHEST_US,
    LOWEST_US,
    Codec,
    Histogram,
    bin_of,
    bin_of_one,
    decode,
    highest_in,
    lowest_in,
    merged,
    rank,
)

micros = st.integers(0, HIGHEST_US)
many = st.lists(st.one_of(micros, st.integers(0, 100_000)), min_size=1, max_size=200)


def histogram(values: list[int]) -> Histogram:
    found = Histogram()
    found.add_many(np.array(values, np.int64))
    return found


@given(many)
def test_counts_equal_the_librarys_own(values: list[int]) -> None:
    library = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    for value in values:
        assert library.record_value(value)
    ours = histogram(values).counts
    theirs = np.ctypeslib.as_array(library.counts)
    assert len(theirs) == BINS
    assert np.array_equal(ours, theirs[: len(ours)])
    assert not theirs[len(ours) :].any()


@given(micros)
def test_a_bin_holds_its_value_and_the_bounds_are_the_librarys(value: int) -> None:
    library = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    bins = bin_of(np.array([value]))
    assert bins[0] == bin_of_one(value)
    assert lowest_in(bins)[0] == library.get_lowest_equivalent_value(value)
    assert highest_in(bins)[0] == library.get_highest_equivalent_value(value)


@given(many, st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999, 1.0]))
def test_a_percentile_is_the_value_at_its_rank_to_a_thousandth(values: list[int], share: float) -> None:
    exact = sorted(values)[rank(share, len(values)) - 1]
    found = histogram(values).percentile(share)
    assert exact <= found <= exact * 1.001 + 1
    assert found <= max(values)


@given(many, many)
def test_merging_equals_counting_everything_at_once(one: list[int], other: list[int]) -> None:
    together = histogram(one + other)
    parts = (histogram(one), histogram(other).sparse())
    for whole in (merged(parts), merged(reversed(parts))):
        assert np.array_equal(whole.counts, together.counts)
        assert (whole.total, whole.minimum, whole.maximum) == (
            together.total,
            together.minimum,
            together.maximum,
        )


@given(many)
def test_a_payload_reads_back_as_what_was_encoded(values: list[int]) -> None:
    sparse = histogram(values).sparse()
    found = decode(Codec().encode(sparse), sparse.maximum)
    assert np.array_equal(found.indices, sparse.indices)
    assert np.array_equal(found.counts, sparse.counts)
    assert (found.total, found.maximum) == (sparse.total, sparse.maximum)


def test_a_codec_leaves_nothing_behind_for_the_next_histogram() -> None:
    codec = Codec()
    codec.encode(histogram([5, 6, 7_000_000]).sparse())
    assert decode(codec.encode(histogram([1]).sparse())).total == 1
    assert decode(codec.encode(EMPTY)).total == 0


def test_what_is_no_payload_is_refused_and_so_is_another_range() -> None:
    for wrong in ("", "nonsense", "HISTFAAAAAAA", "é"):
        with pytest.raises(UsageError):
            decode(wrong)
    other = HdrHistogram(1, 1000, 2)
    other.record_value(5)
    with pytest.raises(UsageError, match="range or precision"):
        decode(other.encode().decode())


def test_the_mean_is_within_a_thousandth_and_exact_for_small_values() -> None:
    assert histogram([1, 2, 3, 2000]).mean() == 501.5
    values = [123_456, 98_765_432, 3_000_000_000]
    assert math.isclose(histogram(values).mean(), sum(values) / 3, rel_tol=0.001)
    assert Histogram().mean() == 0.0


def test_over_an_hour_is_counted_at_an_hour_and_as_an_overflow() -> None:
    found = histogram([10, HIGHEST_US, HIGHEST_US + 1])
    assert (found.total, found.overflow, found.maximum) == (3, 1, HIGHEST_US)
    assert merged([found, found.sparse()]).overflow == 2
    assert histogram([-5]).maximum == 0


def test_an_empty_histogram_has_no_percentile_to_tell() -> None:
    assert Histogram().percentiles((0.5, 0.99)) == (0, 0)
    assert Histogram().sparse() is EMPTY
    assert merged([EMPTY, Histogram()]).total == 0


def test_ranks_have_no_floating_point_surprises() -> None:
    assert rank(0.07, 100) == 7
    assert rank(0.95, 20) == 19
    assert rank(0.95, 21) == 20
    assert rank(0.999, 1000) == 999
    assert rank(0.5, 1) == 1


def test_a_histogram_grows_only_as_far_as_its_values() -> None:
    assert len(histogram([1_000]).counts) == 1024
    assert len(histogram([10_000]).counts) < BINS / 4
    assert len(histogram([HIGHEST_US]).counts) <= BINS

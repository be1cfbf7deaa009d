"""Intervals of chance: they hold the truth as often as they say, and are not given without ground."""

from __future__ import annotations

import numpy as np
import pytest

from ecoload.measure.blocks import Block, Blocks, highest_us, lowest_us
from ecoload.measure.bootstrap import FEWEST_BLOCKS, error_rate_interval, percentile_intervals
from ecoload.measure.histogram import Histogram, highest_in, lowest_in


def blocks_of(seconds: list[np.ndarray], errors: int = 0) -> tuple[Block, ...]:
    """Blocks of one second each, from µs values."""
    blocks = Blocks()
    for values in seconds:
        histogram = Histogram()
        histogram.add_many(values.astype(np.int64))
        blocks.add_second(histogram.sparse(), len(values) + errors, errors)
    return blocks.whole()


def drawn(seed: int, seconds: int = 60, drift: float = 0.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.lognormal(9 + drift * np.sin(i / 5), 0.5, 100) for i in range(seconds)]


def test_the_interval_holds_the_true_percentile_about_as_often_as_it_says() -> None:
    truth = np.exp(9 + 0.5 * 1.6449)
    intervals = [percentile_intervals(blocks_of(drawn(seed)), [0.95], seed)[0] for seed in range(100)]
    held = sum(one is not None and one[0] <= truth <= one[1] for one in intervals)
    assert 85 <= held <= 100


def test_requests_that_are_not_independent_widen_it() -> None:
    steady = percentile_intervals(blocks_of(drawn(1)), [0.95], 1)[0]
    drifting = percentile_intervals(blocks_of(drawn(1, drift=0.5)), [0.95], 1)[0]
    assert steady is not None
    assert drifting is not None
    assert (drifting[1] - drifting[0]) > 2 * (steady[1] - steady[0])


def test_the_same_seed_gives_the_same_interval_and_another_a_near_one() -> None:
    blocks = blocks_of(drawn(2))
    one, again = (percentile_intervals(blocks, [0.5, 0.99], 7) for _ in range(2))
    assert one == again
    other = percentile_intervals(blocks, [0.5], 8)[0]
    assert one[0] is not None
    assert other == pytest.approx(one[0], rel=0.02)


def test_too_few_blocks_or_no_values_have_no_interval() -> None:
    few = blocks_of(drawn(3, seconds=FEWEST_BLOCKS - 1))
    assert percentile_intervals(few, [0.5, 0.95], 1) == [None, None]
    assert error_rate_interval(few, 1) is None
    enough = blocks_of(drawn(3, seconds=FEWEST_BLOCKS))
    assert percentile_intervals(enough, [0.5], 1)[0] is not None
    nothing = blocks_of([np.zeros(0)] * 20)
    assert percentile_intervals(nothing, [0.5], 1) == [None]
    assert error_rate_interval(nothing, 1) is None


def test_idle_seconds_are_drawn_too_and_do_no_harm() -> None:
    seconds = [values if i % 7 == 0 else np.zeros(0) for i, values in enumerate(drawn(4))]
    interval = percentile_intervals(blocks_of(seconds), [0.95], 1)[0]
    assert interval is not None
    assert interval[0] < np.exp(9 + 0.5 * 1.6449) < interval[1]


def test_one_value_gives_the_bounds_of_its_bin() -> None:
    interval = percentile_intervals(blocks_of([np.full(10, 20_000)] * 20), [0.5], 1)[0]
    assert interval is not None
    assert interval[0] <= 20_000 <= interval[1]
    assert interval[1] / interval[0] < 1.01


def test_the_error_rates_interval_holds_the_rate() -> None:
    blocks = blocks_of([np.full(90, 1000)] * 20, errors=10)
    assert error_rate_interval(blocks, 1) == pytest.approx((0.1, 0.1))
    mixed = blocks_of([np.full(90, 1000)] * 10, errors=10) + blocks_of([np.full(100, 1000)] * 10)
    interval = error_rate_interval(mixed, 1)
    assert interval is not None
    assert interval[0] < 0.05 < interval[1]


def test_wide_bins_cover_the_fine_ones_without_a_gap() -> None:
    wide = np.arange(3000, dtype=np.int64)
    assert np.array_equal(lowest_us(wide)[1:], highest_us(wide)[:-1] + 1)
    fine = np.arange(1024, dtype=np.int64)
    assert np.array_equal(lowest_us(fine), lowest_in(fine))
    assert np.array_equal(highest_us(fine), highest_in(fine))

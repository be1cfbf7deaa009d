"""Chance and difference: equal runs are not accused, unequal ones are found out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ecoload.measure.blocks import Block, Blocks, percentile_us
from ecoload.measure.histogram import Histogram
from ecoload.verdict.difference import (
    FALSE_ALARM,
    chance_of_errors,
    chance_of_percentile,
    stand_out,
    upper_tail,
)

SHARES = (0.5, 0.9, 0.95, 0.99)
TOLERANCE = 0.1


def a_run(rng: np.random.Generator, factor: float = 1.0, error_rate: float = 0.01) -> tuple[Block, ...]:
    """A minute of 40 requests a second. Seconds in a row are alike, as those of a real target, and one in
    thirty is a stall."""
    blocks, level = Blocks(), 0.0
    for _ in range(60):
        level = 0.6 * level + rng.normal(0, 0.05)
        slow = 8 if rng.random() < 1 / 30 else 1
        times = Histogram()
        times.add_many((rng.lognormal(level, 0.5, 40) * 20_000 * factor * slow).astype(np.int64))
        blocks.add_second(times.sparse(), 40, int(rng.binomial(40, error_rate)))
    return blocks.whole()


def accused(before: tuple[Block, ...], after: tuple[Block, ...]) -> bool:
    """Whether any figure of `after` is worse by more than the tolerance and more than chance."""
    found = [(percentile(before, share), percentile(after, share)) for share in SHARES]
    worse = [one * (1 + TOLERANCE) < other for one, other in found]
    chances = [chance_of_percentile(before, after, *pair) for pair in found]
    rates = [sum(b.errors for b in blocks) / sum(b.requests for b in blocks) for blocks in (before, after)]
    worse.append(rates[1] - rates[0] > max(0.001, TOLERANCE * rates[0]))
    chances.append(chance_of_errors(before, after))
    return any(map(bool.__and__, worse, stand_out([1.0 if one is None else one for one in chances])))


def percentile(blocks: tuple[Block, ...], share: float) -> float:
    found = percentile_us(blocks, share)
    assert found is not None
    return found


def test_equal_runs_are_accused_in_fewer_than_two_of_a_hundred_cases() -> None:
    rng = np.random.default_rng(2026)
    runs = [a_run(rng) for _ in range(40)]
    pairs = [(i, j) for i in range(40) for j in range(40) if 0 < (j - i) % 40 <= 5]
    false = sum(accused(runs[i], runs[j]) for i, j in pairs)
    assert len(pairs) == 200
    assert false / len(pairs) < 0.02


@pytest.mark.parametrize(("factor", "error_rate"), [(1.3, 0.01), (1.0, 0.05)])
def test_a_slower_or_failing_run_is_found_out(factor: float, error_rate: float) -> None:
    rng = np.random.default_rng(7)
    found = [accused(a_run(rng), a_run(rng, factor, error_rate)) for _ in range(12)]
    assert sum(found) >= 11


def test_a_faster_run_is_not_accused() -> None:
    rng = np.random.default_rng(8)
    assert not any(accused(a_run(rng, 1.5), a_run(rng)) for _ in range(6))


def test_a_stall_that_one_run_happened_to_see_is_no_regression() -> None:
    calm, stalled = Blocks(), Blocks()
    for second in range(60):
        for blocks, slow in ((calm, False), (stalled, second in (20, 40))):
            times = Histogram()
            times.add_many(np.full(40, 400_000 if slow else 10_000, np.int64))
            blocks.add_second(times.sparse(), 40, 0)
    chance = chance_of_percentile(calm.whole(), stalled.whole(), 10_000, 400_000)
    assert chance is not None
    assert chance > FALSE_ALARM


def test_runs_without_any_error_do_not_differ_and_short_ones_cannot_be_told() -> None:
    quiet = a_run(np.random.default_rng(1), error_rate=0.0)
    assert chance_of_errors(quiet, quiet) == 1.0
    assert chance_of_errors(quiet, quiet[:7]) is None
    assert chance_of_percentile(quiet[:7], quiet, 1, 2) is chance_of_percentile((), (), 1, 2) is None


def test_what_never_varies_and_is_apart_is_no_chance() -> None:
    blocks = {}
    for us in (10_000, 20_000):
        made = Blocks()
        for _ in range(30):
            times = Histogram()
            times.add_many(np.full(40, us, np.int64))
            made.add_second(times.sparse(), 40, 0)
        blocks[us] = made.whole()
    chance = chance_of_percentile(blocks[10_000], blocks[20_000], 10_000, 20_000)
    assert chance is not None
    assert chance < 1e-6


@pytest.mark.parametrize(
    ("t", "freedom", "tail"),
    [(0.0, 5, 0.5), (12.706, 1, 0.025), (2.228, 10, 0.025), (3.055, 12, 0.005), (1.962, 1000, 0.025)],
)
def test_the_tail_of_students_t_is_that_of_the_tables(t: float, freedom: int, tail: float) -> None:
    assert math.isclose(upper_tail(t, freedom), tail, rel_tol=2e-3)


def test_of_many_chances_only_what_stands_out_among_all_is_named() -> None:
    least = FALSE_ALARM / 4
    assert stand_out([least / 2, 0.3, least, 0.6]) == [True, False, True, False]
    assert stand_out([least * 2, 0.3, 0.4, 0.6]) == [False] * 4
    assert stand_out([]) == []

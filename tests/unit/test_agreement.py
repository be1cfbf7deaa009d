"""The difference of two tools over few rounds, and when it says something."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ecoload.verdict.agreement import Agreement, Difference, joint_confidence, paired, shares, student_t

AGREE, DISAGREE, INCONCLUSIVE = Agreement


@pytest.mark.parametrize(
    ("confidence", "freedom", "table"),
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 5, 2.571),
        (0.95, 30, 2.042),
        (0.99, 4, 4.604),
        (0.999, 3, 12.924),
        (0.999, 10, 4.587),
    ],
)
def test_students_t_is_that_of_the_tables(confidence: float, freedom: int, table: float) -> None:
    assert student_t(confidence, freedom) == pytest.approx(table, abs=6e-4)


def test_the_interval_is_students_over_the_differences_of_the_rounds() -> None:
    found = paired([10, 20, 30], [11, 23, 32], 0.999)
    assert found.mean == 2
    assert found.interval == pytest.approx((2 - 4.30265 / math.sqrt(3), 2 + 4.30265 / math.sqrt(3)), abs=1e-4)
    assert found.joint[1] - 2 == pytest.approx(31.599 / math.sqrt(3), abs=1e-3)


def test_what_drifts_from_round_to_round_is_in_no_difference() -> None:
    assert paired([10, 50, 90], [11, 51, 91], 0.99).interval == (1, 1)


def interval(low: float, high: float, joint: tuple[float, float] = (-99, 99)) -> Difference:
    return Difference((low + high) / 2, (low, high), joint, 1.0, 4)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (interval(-0.9, 1.0), AGREE),
        (interval(-1.0, -0.9), AGREE),
        (interval(-0.9, 1.1), INCONCLUSIVE),
        (interval(1.2, 1.4, (1.1, 1.5)), DISAGREE),
        (interval(-1.4, -1.2, (-1.5, -1.1)), DISAGREE),
        (interval(1.2, 1.4, (0.9, 1.7)), INCONCLUSIVE),
        (interval(-9.0, 9.0), INCONCLUSIVE),
    ],
)
def test_the_whole_interval_must_lie_within_or_outside(found: Difference, verdict: Agreement) -> None:
    assert found.agreement(1.0) is verdict


@pytest.mark.parametrize("rounds", [2, 3, 4, 6])
def test_the_interval_holds_the_truth_in_95_of_100_cases(rounds: int) -> None:
    """Rounds that differ a lot from each other, as the target's mood changes, and tools that differ by 3."""
    chance = np.random.default_rng(rounds)
    mood = chance.normal(0, 50, (4000, rounds))
    ours = mood + chance.normal(0, 2, (4000, rounds))
    theirs = mood + 3 + chance.normal(0, 5, (4000, rounds))
    found = [paired(a, b, 0.99) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]
    held = np.mean([one.interval[0] <= 3 <= one.interval[1] for one in found])
    assert held == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("rounds", [2, 3, 5])
def test_equal_tools_are_hardly_ever_told_apart_however_noisy(rounds: int) -> None:
    figures, chance = 30, np.random.default_rng(rounds)
    joint = joint_confidence(figures)
    wrong = 0
    for _ in range(400):
        noise = chance.normal(0, 100, (figures, 2, rounds)).tolist()
        wrong += any(paired(a, b, joint).agreement(1.0) is DISAGREE for a, b in noise)
    assert wrong / 400 <= 0.02, "at most 0.01 is meant; chance may double that in 400"


def test_a_shift_beyond_the_tolerance_is_found_in_four_rounds() -> None:
    chance = np.random.default_rng(1)
    joint, found = joint_confidence(50), 0
    for _ in range(200):
        ours, theirs = chance.normal(12, 0.1, 4).tolist(), chance.normal(17, 0.1, 4).tolist()
        found += paired(ours, theirs, joint).agreement(1.0) is DISAGREE
    assert found == 200


def test_counts_that_are_alike_by_chance_are_off_by_one_all_the_same() -> None:
    assert paired([100, 100], [102, 102], 0.99, step=1).agreement(1.0) is INCONCLUSIVE
    assert paired([100, 100], [103, 103], 0.99, step=1).agreement(1.0) is DISAGREE
    assert paired([100, 100], [101, 101], 0.99, step=1).agreement(1.0) is AGREE


def test_it_says_how_many_rounds_would_tell() -> None:
    noisy = paired([10, 10, 10], [9, 11, 10], 0.99)
    assert noisy.agreement(1.0) is INCONCLUSIVE
    needed = noisy.rounds_needed(1.0)
    assert needed is not None
    assert student_t(0.95, needed - 1) / math.sqrt(needed) <= 1.0
    assert student_t(0.95, needed - 2) / math.sqrt(needed - 1) > 1.0
    assert paired([10, 10, 10], [13, 15, 14], 0.99).rounds_needed(1.0) is None, "it is apart already"


class TestShares:
    def test_the_interval_of_chance_is_newcombes(self) -> None:
        """56 of 70 and 48 of 80: the example that the method was published with."""
        found = shares([(24, 40), (24, 40)], [(28, 35), (28, 35)], 0.99)
        assert found.mean == pytest.approx(0.2)
        assert found.interval == pytest.approx((0.0524, 0.3339), abs=2e-4)

    def test_where_nothing_failed_nothing_differs(self) -> None:
        assert shares([(0, 10), (0, 10)], [(0, 10), (0, 9)], 0.999).agreement(0.005) is AGREE

    def test_few_requests_do_not_tell(self) -> None:
        assert shares([(1, 100), (1, 100)], [(3, 100), (3, 100)], 0.999).agreement(0.005) is INCONCLUSIVE

    def test_many_requests_do(self) -> None:
        ours = [(1_000, 100_000), (1_010, 100_000)]
        assert shares(ours, [(1_020, 100_000), (1_000, 100_000)], 0.999).agreement(0.005) is AGREE
        assert shares(ours, [(3_000, 100_000), (3_010, 100_000)], 0.999).agreement(0.005) is DISAGREE

    def test_what_chance_does_is_known_from_the_requests_however_few_the_rounds(self) -> None:
        assert shares([(0, 540)] * 3, [(25, 540), (31, 540), (27, 540)], 0.9995).agreement(0.005) is DISAGREE

    def test_rounds_that_differ_more_than_chance_does_make_it_wider(self) -> None:
        steady = shares([(10, 1000)] * 4, [(12, 1000)] * 4, 0.99)
        unsteady = shares([(1, 1000), (19, 1000), (1, 1000), (19, 1000)], [(12, 1000)] * 4, 0.99)
        assert unsteady.mean == steady.mean
        assert unsteady.interval[1] > 1.5 * steady.interval[1]

    def test_all_and_nothing(self) -> None:
        assert shares([(0, 500), (0, 500)], [(500, 500), (500, 500)], 0.9999).agreement(0.005) is DISAGREE

"""Do two tools measure the same? Intervals of a difference over few rounds, and what follows from them.

Rules
-----
- The two runs of a round stand beside each other in time, so each round gives one difference, and what
  changes slowly is in none. The interval is Student's over those differences: with 2 to 6 rounds a bootstrap
  over rounds holds the truth in 50 to 86 of 100 cases, not in 95.
- AGREE: the whole 95 % interval lies within the tolerance. All figures must, so nothing need be corrected.
- DISAGREE: the whole of a wider interval lies outside it: Bonferroni's for all figures at once, so that two
  equal tools come out as different in fewer than 1 of 100 cross-checks, however noisy they are.
- Counts come in steps of one. Rounds that are alike by chance are not taken for certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.95
FALSE_DISAGREE = 0.01
"""At most that share of cross-checks of equal tools may say DISAGREE."""
MOST_ROUNDS = 200
"""More are not proposed."""
_NORMAL_95 = 1.959964
UNEVEN = 0.8
"""Rounds whose shares vary more than those of so many out of 1 of even ones are taken as uneven."""

Interval = tuple[float, float]
Counted = tuple[int, int]
"""How many of how many."""


class Agreement(StrEnum):
    AGREE = "AGREE"
    DISAGREE = "DISAGREE"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Difference:
    """Theirs minus ours, over the rounds: the mean, its 95 % interval, the interval that holds for every
    figure at once, and the standard deviation between rounds."""

    mean: float
    interval: Interval
    joint: Interval
    deviation: float
    rounds: int

    def agreement(self, tolerance: float) -> Agreement:
        """What the intervals say about a tolerance either way."""
        if -tolerance <= self.interval[0] and self.interval[1] <= tolerance:
            return Agreement.AGREE
        if self.joint[0] > tolerance or self.joint[1] < -tolerance:
            return Agreement.DISAGREE
        return Agreement.INCONCLUSIVE

    def rounds_needed(self, tolerance: float) -> int | None:
        """With about how many rounds of such noise the figure would AGREE, were the mean to stay; None where
        it would not with any sensible number."""
        room = tolerance - abs(self.mean)
        if room <= 0:
            return None
        for rounds in range(self.rounds + 1, MOST_ROUNDS + 1):
            if student_t(CONFIDENCE, rounds - 1) * self.deviation / math.sqrt(rounds) <= room:
                return rounds
        return None


def joint_confidence(figures: int) -> float:
    """The confidence of each interval where `figures` of them must hold at once."""
    return 1 - FALSE_DISAGREE / max(1, figures)


def paired(ours: Sequence[float], theirs: Sequence[float], joint: float, *, step: float = 0.0) -> Difference:
    """The difference of a figure that was measured by both in each round (two at least). `joint` is the
    confidence of the wider interval, `step` what the figure of one round is a multiple of (0: of nothing)."""
    each = [their - our for our, their in zip(ours, theirs, strict=True)]
    mean, deviation, rounds = fmean(each), stdev(each), len(each)
    half = student_t(CONFIDENCE, rounds - 1) * deviation / math.sqrt(rounds)
    wide = student_t(joint, rounds - 1) * deviation / math.sqrt(rounds) + step
    return Difference(mean, (mean - half, mean + half), (mean - wide, mean + wide), deviation, rounds)


def shares(ours: Sequence[Counted], theirs: Sequence[Counted], joint: float) -> Difference:
    """The difference of two shares, each round `(failed, of)`. The interval is what chance does to so many
    requests (Newcombe's, of Wilson's), in the proportion in which the rounds vary more than that; where they
    clearly do, Student's too, and the wider one counts. Where nothing failed in either, nothing differs."""
    our, their = _summed(ours), _summed(theirs)
    each = paired([_share(*one) for one in ours], [_share(*one) for one in theirs], joint)
    if not our[0] and not their[0]:
        return Difference(0.0, (0.0, 0.0), (0.0, 0.0), 0.0, each.rounds)
    mean = _share(*their) - _share(*our)
    times, uneven = _dispersion([(ours, our), (theirs, their)])
    chance, wide = (_newcombe(our, their, times, confidence) for confidence in (CONFIDENCE, joint))
    deviation = (chance[1] - chance[0]) / 2 / _NORMAL_95 * math.sqrt(each.rounds)
    if not uneven:
        return Difference(mean, chance, wide, deviation, each.rounds)
    return Difference(
        mean,
        _wider(mean, chance, each.interval, each.mean),
        _wider(mean, wide, each.joint, each.mean),
        max(each.deviation, deviation),
        each.rounds,
    )


@cache
def student_t(confidence: float, freedom: int) -> float:
    """The t that a Student-distributed value stays below in amount with this confidence."""
    low, high = 0.0, 1.0
    while _within(high, freedom) < confidence:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """P(|T| <= t): the finite sums for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = total = cosine if odd else 1.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    if not odd:
        return sine * total
    return 2 / math.pi * (angle + (sine * total if freedom > 1 else 0.0))


def _dispersion(sides: Sequence[tuple[Sequence[Counted], Counted]]) -> tuple[float, bool]:
    """How many times as much the rounds vary as chance makes them (Pearson's, 1 at least), and whether they
    do so clearly: beyond what 80 of 100 even ones stay below."""
    square, freedom = 0.0, 0
    for rounds, (failed, of) in sides:
        if 0 < failed < of:
            share = failed / of
            square += sum((x - n * share) ** 2 / (n * share * (1 - share)) for x, n in rounds if n)
            freedom += len(rounds) - 1
    if not freedom:
        return 1.0, False
    # The chi-square's point by Wilson and Hilferty.
    part = 2 / (9 * freedom)
    point = freedom * (1 - part + NormalDist().inv_cdf(UNEVEN) * math.sqrt(part)) ** 3
    return max(1.0, square / freedom), square > point


def _newcombe(ours: Counted, theirs: Counted, times: float, confidence: float) -> Interval:
    """The interval of the difference of two shares, from Wilson's of each (Newcombe's method 10), as if it
    were so many `times` fewer requests."""
    our, their = _share(*ours), _share(*theirs)
    (our_low, our_high), (low, high) = (_wilson(*side, times, confidence) for side in (ours, theirs))
    mean = their - our
    return mean - math.hypot(their - low, our_high - our), mean + math.hypot(high - their, our - our_low)


def _wilson(failed: int, of: int, times: float, confidence: float) -> Interval:
    if not of:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = failed / of, z * z * times / of
    middle = share + spread / 2
    half = math.sqrt(spread) * math.sqrt(share * (1 - share) + spread / 4)
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def _wider(mean: float, one: Interval, other: Interval, other_mean: float) -> Interval:
    """Around `mean`, the farther end of each."""
    return (
        mean - max(mean - one[0], other_mean - other[0]),
        mean + max(one[1] - mean, other[1] - other_mean),
    )


def _summed(counts: Sequence[Counted]) -> Counted:
    return sum(failed for failed, _ in counts), sum(of for _, of in counts)


def _share(failed: int, of: int) -> float:
    return failed / of if of else 0.0

"""Is a difference between two runs more than chance?

Rules
-----
- A percentile is not compared by itself: the runs' times are split at the middle of the two percentiles,
  and the shares above it are compared. So a stall that one run happened not to see weighs as much as it is,
  and a percentile between two modes does not jump.
- A difference must be more than chance twice: by the block bootstrap of both runs, where few stretches to
  draw from make it less sure (Student's t), and as if all requests were independent, since a run in which
  nothing of a kind happened does not vary at all.
- Of many figures some differ much by chance. Holm's rule keeps the chance of a single false one below
  `FALSE_ALARM` over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from ecoload.measure.blocks import Block, highest_us, lowest_us
from ecoload.measure.bootstrap import FEWEST_BLOCKS, Floats, share_draws, stretches

FALSE_ALARM = 0.001
SEEDS = (1, 2)
"""The draws of the two runs have nothing to do with one another."""
MOST_FREEDOM = 1000


def chance_of_percentile(
    before: Sequence[Block], after: Sequence[Block], before_us: float, after_us: float
) -> float | None:
    """The p value (one-sided) of the two values of a percentile being so far apart; None where there are too
    few blocks to tell."""
    if min(len(before), len(after)) < FEWEST_BLOCKS:
        return None
    middle = math.sqrt(max(before_us, 1.0) * max(after_us, 1.0))
    return chance_of_share(_above(before, middle), _above(after, middle))


def chance_of_errors(before: Sequence[Block], after: Sequence[Block]) -> float | None:
    """The p value (one-sided) of the two shares of errors being so far apart; None where there are too few
    blocks to tell."""
    return chance_of_share(
        *((_column(blocks, "errors"), _column(blocks, "requests")) for blocks in (before, after))
    )


def chance_of_share(before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> float | None:
    """The same of two shares, each given as its part and its whole in each block of its run."""
    if min(len(before[1]), len(after[1])) < FEWEST_BLOCKS:
        return None
    sums = [(float(part.sum()), float(whole.sum())) for part, whole in (before, after)]
    if not all(whole for _, whole in sums):
        return None
    apart = abs(sums[1][0] / sums[1][1] - sums[0][0] / sums[0][1])
    if not apart:
        return 1.0
    together = sum(part for part, _ in sums) / sum(whole for _, whole in sums)
    independent = together * (1 - together) * sum(1 / whole for _, whole in sums)
    chance = NormalDist().cdf(-apart / math.sqrt(independent))
    variances = [_variance(*one, seed) for one, seed in zip((before, after), SEEDS, strict=True)]
    if not any(variances):
        return chance
    freedom = _freedom(variances, [_draws(len(whole)) for _, whole in (before, after)])
    return max(chance, upper_tail(apart / math.sqrt(sum(variances)), freedom))


def stand_out(chances: Sequence[float]) -> list[bool]:
    """Which of these p values stand out among all of them (Holm)."""
    found = [False] * len(chances)
    for rank, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        if chances[index] > FALSE_ALARM / (len(chances) - rank):
            break
        found[index] = True
    return found


def upper_tail(t: float, freedom: int) -> float:
    """How likely Student's t with so many degrees of freedom is above `t` (not negative)."""
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    term, total = (math.cos(angle), 0.0) if freedom % 2 else (1.0, 0.0)
    for k in range(1, freedom // 2 + 1):
        total += term
        odd = freedom % 2
        term *= square * (2 * k - 1 + odd) / (2 * k + odd)
    within = math.sin(angle) * total
    if freedom % 2:
        within = (angle + within) * 2 / math.pi
    return max((1 - within) / 2, 0.0)


def _variance(part: Floats, whole: Floats, seed: int) -> float:
    """Of a share, by the bootstrap; with what drawing from few stretches leaves out."""
    draws = share_draws(part, whole, seed)
    assert draws is not None
    count = stretches(len(whole))
    return float(np.nanvar(draws)) * count / (count - 1)


def _draws(blocks: int) -> float:
    """How many draws the variance of a share rests on: overlapping stretches tell half as much again as those
    that do not (Meketon and Schmeiser)."""
    return 1.5 * (stretches(blocks) - 1)


def _freedom(variances: Sequence[float], draws: Sequence[float]) -> int:
    """Welch's degrees of freedom."""
    below = sum(variance**2 / count for variance, count in zip(variances, draws, strict=True))
    return max(1, min(int(sum(variances) ** 2 / below), MOST_FREEDOM))


def _above(blocks: Sequence[Block], us: float) -> tuple[Floats, Floats]:
    """How many times of each block are above `us` (those in its own bin by half), and how many there are."""
    bins = np.concatenate([block.bins for block in blocks]).astype(np.int64)
    counts = np.concatenate([block.counts for block in blocks]).astype(np.float64)
    block = np.repeat(np.arange(len(blocks)), [len(block.bins) for block in blocks])
    part = np.where(lowest_us(bins) > us, 1.0, np.where(highest_us(bins) < us, 0.0, 0.5))
    above: Floats = np.bincount(block, weights=counts * part, minlength=len(blocks)).astype(np.float64)
    whole: Floats = np.bincount(block, weights=counts, minlength=len(blocks)).astype(np.float64)
    return above, whole


def _column(blocks: Sequence[Block], name: str) -> Floats:
    return np.array([getattr(block, name) for block in blocks], np.float64)

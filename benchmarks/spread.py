"""Medians over rounds, ratios within a round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the least and the most of the rounds."""

    median: float
    least: float
    most: float

    def text(self, form: str = ".1f") -> str:
        return f"{self.median:{form}} ({self.least:{form}} to {self.most:{form}})"


def spread(values: Sequence[float]) -> Spread:
    """Raises statistics.StatisticsError without a value."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours by theirs, round by round: what disturbed a round disturbed both."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])

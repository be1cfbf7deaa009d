"""EGRS, the Ecosystem Go-live Readiness Score: 0 to 100, by hand (docs/readiness.md).

Rules
-----
- A part is a phase, or the availability. Its score is the mean of the credits of what it judges; the whole
  is the mean of the parts, each alike.
- What holds gives 1, what holds only under a remedy or by a waiver a half, everything else nothing: what was
  not run or could not be told is not ready.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from ecoload.verdict.suite_result import Cell

CREDIT = {Cell.PASS: 1.0, Cell.MITIGATED: 0.5, Cell.WAIVED: 0.5}
GRADES = ((95.0, "A"), (85.0, "B"), (70.0, "C"), (50.0, "D"))


def part_score(verdicts: Iterable[Cell]) -> float | None:
    """The score of a part, 0 to 1; None where it judges nothing."""
    credits = [CREDIT.get(verdict, 0.0) for verdict in verdicts if verdict is not Cell.NOT_APPLICABLE]
    return fmean(credits) if credits else None


def egrs(parts: Sequence[float | None]) -> float:
    """The score of all parts, 0 to 100 with one decimal."""
    known = [part for part in parts if part is not None]
    return round(100 * fmean(known), 1) if known else 0.0


def grade(score: float) -> str:
    """The letter of a score."""
    return next((letter for least, letter in GRADES if score >= least), "F")

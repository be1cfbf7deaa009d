"""What became of a flow's steps, pass by pass, and how long until something was seen.

Rules
-----
- Times are ns. `took_ns` runs from the end of the step before to the end of the answer that decided.
- A distribution is of the passes in which the step held; it is kept in a histogram of three digits, as every
  other. It cannot be finer than the polling: how fine that was is told beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from ecoload.measure.histogram import Histogram


class StepOutcome(StrEnum):
    """`held`: everything that is asked of the answer holds. `not_reached`: a step before it did not hold."""

    HELD = "held"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The times of the last request of a step, in ns."""

    connect_ns: int = 0
    waiting_ns: int = 0
    receiving_ns: int = 0


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One step of one pass. Where an expectation did not hold, `of` is what it looks at, and `operator`,
    `wanted` and `found` what it was; else `reason` says why."""

    name: str
    outcome: StepOutcome
    reason: str = ""
    of: str = ""
    operator: str = ""
    wanted: Any = None
    found: Any = None
    attempts: int = 0
    begun_ns: int = 0
    took_ns: int = 0
    last: Attempt = Attempt()


@dataclass(slots=True)
class Pass:
    """One time through the flow: its number from 0, the case it is of, and which repetition of it."""

    number: int
    case: str
    repetition: int
    steps: list[StepTaken] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Visible:
    """How long it took, over `count` passes, in ms; `attempts` is the most that one of them asked."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float
    attempts: int


def visible(taken: Iterable[StepTaken]) -> Visible | None:
    """The distribution of the steps that held; None of none."""
    held = [step for step in taken if step.outcome is StepOutcome.HELD]
    if not held:
        return None
    found = Histogram()
    found.add_many(np.array([step.took_ns // 1000 for step in held], np.int64))
    p50, p95, p99 = (value / 1000 for value in found.percentiles((0.5, 0.95, 0.99)))
    return Visible(len(held), p50, p95, p99, found.maximum / 1000, max(step.attempts for step in held))

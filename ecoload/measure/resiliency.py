"""What was seen of a fault and of a breaker beside a load, and the answers of the route that it guards.

Rules
-----
- Times are s from the schedule's zero. A state is known at the moments at which it was asked: between two
  of them it may have been another one, so every time that follows from it is as exact as the polling
  (`resolution_s`).
- Where a target tells since when its state is (`since`), a state that was left and come back to between two
  questions is two spans, though nobody knows what was between them; where it does not, they are one.
- Answers are kept as three numbers each, up to `MOST_ANSWERS`: what came after those is told as missing,
  and judged by nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ecoload.measure.outcome import Outcome

MOST_ANSWERS = 5_000_000
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """`what` is `set`, `renewed` or `withdrawn`, `at_s` when that was sent; `problem` why it was not done."""

    at_s: float
    what: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The breaker's state at a moment: `closed`, `open` or `half_open`; another word of the target as it
    is; empty where it could not be asked. `at_s` is when that was first answered, `until_s` when it was last
    asked and answered so; `since` the target's own mark of this stay in the state, empty where it has
    none."""

    at_s: float
    state: str
    problem: str = ""
    since: str = ""
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch in which a state was seen and no other. One that follows on another of the same state was
    begun anew meanwhile. To `seen_s` the state was surely this one, to `to_s` no other one was seen."""

    state: str
    from_s: float
    to_s: float
    seen_s: float


class Answers:
    """The answers of one route: when each was due, begun and whole, and its outcome."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, Ints]] = []
        self.count = self.missing = 0

    def add(self, outcome: int, payload: bytes, t0_ns: int) -> None:
        """Rows of `due, begin, sent, first, last`, ns of CLOCK_MONOTONIC."""
        rows = np.frombuffer(payload, np.int64).reshape(-1, 5)[:, (0, 1, 4)] - t0_ns
        if self.count + len(rows) > MOST_ANSWERS:
            self.missing += len(rows)
            return
        self.count += len(rows)
        self._parts.append((outcome, rows))

    def table(self) -> Ints:
        """Rows of `due, begin, last, outcome`, in ns from the schedule's zero."""
        found = [
            np.column_stack([rows, np.full(len(rows), outcome, np.int64)]) for outcome, rows in self._parts
        ]
        return np.concatenate(found) if found else np.zeros((0, 4), np.int64)


@dataclass(frozen=True, slots=True)
class ResiliencyFound:
    """Everything that was seen, before anyone judges it. `ended_s` is when the load was over; `doubled` the
    answer to the question about double effects, or the `doubled_problem`."""

    fault: tuple[FaultEvent, ...]
    seen: tuple[Seen, ...]
    polls: int
    resolution_s: float
    answers: Answers = field(default_factory=Answers)
    ended_s: float = 0.0
    doubled: object = None
    doubled_problem: str = ""


def spans(seen: Sequence[Seen], until_s: float) -> list[Span]:
    """The timeline: each state from when it was first seen until another one was, or the same one anew.
    What could not be asked changes nothing."""
    stays = [list(stay) for _, stay in groupby((one for one in seen if one.state), _stay)]
    ends = [*(stay[0].at_s for stay in stays[1:]), until_s]
    return [
        Span(stay[0].state, stay[0].at_s, max(end, stay[0].at_s), max(stay[0].at_s, stay[-1].until_s))
        for stay, end in zip(stays, ends, strict=False)
    ]


def _stay(one: Seen) -> tuple[str, str]:
    return one.state, one.since


def first(fault: Sequence[FaultEvent], what: str) -> float | None:
    """When something was first done to the fault, and went well."""
    return next((one.at_s for one in fault if one.what == what and not one.problem), None)


def p95_ms(response_ns: Ints) -> float | None:
    """Nearest rank; None of none."""
    if not len(response_ns):
        return None
    place = max(0, -(-95 * len(response_ns) // 100) - 1)
    return float(np.sort(response_ns)[place]) / 1e6


OK = int(Outcome.OK)

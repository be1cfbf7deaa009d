"""The slowest requests of a route, with where their time went.

Rules
-----
- Ten a route, over all outcomes that count; found per batch without sorting it.
"""

from __future__ import annotations

import numpy as np

from ecoload.measure.figures import Slow
from ecoload.measure.histogram import Ints
from ecoload.measure.outcome import Outcome

KEPT = 10


class Slowest:
    """Keeps the ten slowest requests it has looked at."""

    def __init__(self, route: str) -> None:
        self._route = route
        self._kept: list[tuple[int, Outcome, tuple[int, ...]]] = []

    def look(self, outcome: Outcome, rows: Ints, response_ns: Ints) -> None:
        """A batch of samples of one outcome with their response times."""
        if len(self._kept) == KEPT and int(response_ns.max()) <= self._kept[-1][0]:
            return
        top = np.arange(len(rows))
        if len(rows) > KEPT:
            top = np.argpartition(response_ns, -KEPT)[-KEPT:]
        found = [(int(response_ns[i]), outcome, tuple(map(int, rows[i]))) for i in top]
        self._kept = sorted(self._kept + found, key=lambda one: one[0], reverse=True)[:KEPT]

    def found(self, t0_ns: int) -> tuple[Slow, ...]:
        """The slowest first."""
        return tuple(self._slow(outcome, row, t0_ns) for _, outcome, row in self._kept)

    def _slow(self, outcome: Outcome, row: tuple[int, ...], t0_ns: int) -> Slow:
        due, begin, sent, first, last = row
        return Slow(
            route=self._route,
            outcome=outcome,
            due_s=(due - t0_ns) / 1e9,
            response_ms=(last - due) / 1e6,
            delay_ms=(begin - due) / 1e6,
            sending_ms=(sent - begin) / 1e6,
            waiting_ms=(first - sent) / 1e6,
            receiving_ms=(last - first) / 1e6,
        )

"""Samples on their way out of a generator.

Rules
-----
- A sample is five integers appended to an array; nothing is binned, encoded or judged here.
- An array keeps its identity for the whole run, so that a step can hold its bound `extend`.
- What the pipe does not take at once waits in memory and is offered again; the generator never
  blocks on the one that measures.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

import orjson

from ecoload.measure.frames import OUTCOME_BITS, SAMPLE_COLUMNS, Frame, encode, sample_key, split_key
from ecoload.measure.outcome import Outcome

Row = tuple[int, int, int, int, int]
EARLY_FLUSH_BYTES = 5 * 8 * 2048


Sink = Callable[[bytes], None]
"""Takes whole frames, in order."""


class Sampler:
    """Collects samples per route and outcome and hands them on as frames."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._samples: dict[int, array[int]] = {}
        self._connections: dict[int, array[int]] = {}
        self._events: dict[int, array[int]] = {}
        self.lateness: array[int] = array("q")

    def rows(self, route: int, outcome: int) -> array[int]:
        """The array of `(due, begin, sent, first, last)` rows, in ns, of a route and outcome."""
        key = sample_key(route, outcome)
        if key not in self._samples:
            self._samples[key] = array("q")
        return self._samples[key]

    def recorder(self, route: int) -> Callable[[int, Row], None]:
        """A function that records a row of a route under an outcome."""
        base = route << OUTCOME_BITS
        samples = self._samples

        def record(outcome: int, row: Row) -> None:
            rows = samples.get(base | outcome)
            if rows is None:
                rows = self.rows(route, outcome)
            rows.extend(row)

        return record

    def connection(self, origin: int, row: tuple[int, int, int, int]) -> None:
        """A connection was made: `(at, blocked_ns, connect_ns, tls_ns)`."""
        self._connections.setdefault(origin, array("q")).extend(row)

    def events(self, scenario: int, kind: int) -> array[int]:
        """The array of rows of a scenario's events (`measure/ledger.py`)."""
        return self._events.setdefault(scenario << 1 | kind, array("q"))

    def flush(self, *, only_if_full: bool = False) -> None:
        """Sends what was collected; with `only_if_full` only arrays that have grown long."""
        least = EARLY_FLUSH_BYTES // 8 if only_if_full else 1
        # What was sent goes before what was answered to it.
        for kind, arrays in (
            (Frame.EVENTS, self._events),
            (Frame.SAMPLES, self._samples),
            (Frame.CONNECTIONS, self._connections),
        ):
            for key, rows in sorted(arrays.items()) if kind is Frame.EVENTS else arrays.items():
                if len(rows) >= least:
                    self._sink(encode(kind, key, rows.tobytes()))
                    del rows[:]
        if len(self.lateness) >= least:
            self._sink(encode(Frame.LATENESS, 0, self.lateness.tobytes()))
            del self.lateness[:]

    def discard(self) -> int:
        """Forgets what was collected: requests of setup and teardown stay out of the figures. How many of
        them were answered."""
        answered = sum(
            len(rows) // len(SAMPLE_COLUMNS)
            for key, rows in self._samples.items()
            if Outcome(split_key(key)[1]).is_answered
        )
        for arrays in (self._samples, self._connections, self._events):
            for rows in arrays.values():
                del rows[:]
        return answered

    def note(self, kind: Frame, content: dict[str, object]) -> None:
        """Sends a JSON frame."""
        self._sink(encode(kind, 0, orjson.dumps(content)))

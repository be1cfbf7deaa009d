"""One second of a run as a value: what the live view, the conditions and the files read.

Rules
-----
- A `Tick` is the generator's counters so far; an `Interval` is what came between two ticks.
- Samples stand in the interval in which they ended. Those due in the warm-up are counted only.
- `unsent` is what each route was owed and never sent (dropped iterations): errors of that route.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from ecoload.errors import WorkerFailed
from ecoload.measure.histogram import EMPTY, Histogram, Sparse, merged
from ecoload.measure.outcome import Outcome

Key = tuple[int, Outcome]
"""`(index of the route, outcome)`."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A generator's counters. `at_ns` and `cpu_ns` are ns of the monotonic clock and of the process's
    CPU; `vus` alive, `vus_active` in an iteration, `vus_max` most so far; `queued` starts waiting for a
    VU now; `beside` answered requests of setup and teardown; `late_starts` begun more than 5 ms late
    though a VU was free; `lag_max_ns` the longest lateness of a callback since the tick before; all else
    counts since the start."""

    at_ns: int
    vus: int = 0
    vus_active: int = 0
    vus_max: int = 0
    iterations: int = 0
    iterations_started: int = 0
    dropped_iterations: int = 0
    dropped_by_load: tuple[int, ...] = ()
    queued: int = 0
    interrupted_iterations: int = 0
    late_starts: int = 0
    cpu_ns: int = 0
    lag_max_ns: int = 0
    open_connections: int = 0
    connections_opened: int = 0
    beside: int = 0

    @classmethod
    def from_json(cls, text: bytes) -> Tick:
        """The tick in a TICK frame; unknown keys are left out. Raises WorkerFailed when it is none."""
        try:
            tree = orjson.loads(text)
            known = {name: tree[name] for name in _NAMES if name in tree}
            known["dropped_by_load"] = tuple(known.get("dropped_by_load", ()))
            return cls(**known)
        except (orjson.JSONDecodeError, TypeError) as error:
            raise WorkerFailed(f"the load generator sent a tick that cannot be read: {error}") from error


_NAMES = tuple(field.name for field in dataclasses.fields(Tick))


@dataclass(frozen=True, slots=True)
class Interval:
    """What came between two ticks. Times in ns from the schedule's zero; histograms of µs; counts of
    this interval only (`tick` has those so far). `cpu_share` of one core, None where not known."""

    start_ns: int
    end_ns: int
    tick: Tick
    responses: Mapping[Key, Sparse]
    services: Mapping[Key, Sparse]
    lateness: Sparse
    unsent: tuple[int, ...]
    iterations: int
    dropped_iterations: int
    interrupted_iterations: int
    late_starts: int
    warm_up_requests: int
    cpu_share: float | None
    warming_up: bool

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    def count(self, route: int | None = None) -> int:
        """Requests of one route, or of all, that ended in this interval and count."""
        return sum(s.total for (r, o), s in self.responses.items() if o.is_counted and route in (None, r))

    def errors(self, route: int | None = None) -> int:
        """Failed requests and what was never sent."""
        failed = sum(s.total for (r, o), s in self.responses.items() if o.is_error and route in (None, r))
        return failed + self.missing(route)

    def missing(self, route: int | None = None) -> int:
        """What was owed and never sent."""
        return sum(self.unsent) if route is None else self.unsent[route]

    def response(self, route: int | None = None) -> Histogram | Sparse:
        """Response times of `ok` requests of one route, or of all merged."""
        return _ok(self.responses, route)

    def service(self, route: int | None = None) -> Histogram | Sparse:
        """Service times of `ok` requests of one route, or of all merged."""
        return _ok(self.services, route)


def _ok(cells: Mapping[Key, Sparse], route: int | None) -> Histogram | Sparse:
    if route is not None:
        return cells.get((route, Outcome.OK), EMPTY)
    return merged(cell for (_, outcome), cell in cells.items() if outcome is Outcome.OK)

"""Takes a generator's frames in and gives an `Interval` a second and the `Figures` at the end.

Rules
-----
- Rows are kept raw until a second closes or 16,384 wait, then binned in one numpy pass.
- Nothing is corrected afterwards: a request's response time runs from when it was due, so a stall
  of the target shows in every request that was due meanwhile.
- Memory does not grow with the run: totals are histograms, the run's course at most 240 blocks.
- Requests due in the warm-up are counted by outcome (the target saw them) and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import orjson

from ecoload.errors import WorkerFailed
from ecoload.measure.blocks import Blocks
from ecoload.measure.figures import (
    CONNECTION_PHASES,
    PHASES,
    Connections,
    Figures,
    RouteFigures,
)
from ecoload.measure.frames import SAMPLE_COLUMNS, Frame, split_key
from ecoload.measure.generator import GeneratorWatch
from ecoload.measure.histogram import EMPTY, HIGHEST_US, Histogram, Ints, Sparse, bin_of
from ecoload.measure.interval import Interval, Key, Tick
from ecoload.measure.outcome import Outcome
from ecoload.measure.slowest import Slowest
from ecoload.plan import Choose, ConstantArrivalRate, OnExhausted, Plan, RampingArrivalRate, Step

_WAITING_ROWS = 16_384


class Recorder:
    """Holds what a run measured so far. `routes` are the names samples stand under, `apps` the names
    of the origins; `first_routes` the first route of each load (who owns its drops), `queue_route` the
    one that owns starts still queued at the end. `take` frames, or call the `add_` methods."""

    def __init__(
        self,
        routes: Sequence[str],
        apps: Sequence[str] = (),
        first_routes: Sequence[int] = (0,),
        queue_route: int = 0,
        warm_up_ns: int = 0,
    ) -> None:
        self.routes = tuple(routes)
        self._apps = tuple(apps)
        self._first_routes = tuple(first_routes)
        self._queue_route = queue_route
        self._warm_up_ns = warm_up_ns
        self._response: dict[Key, Histogram] = {}
        self._service: dict[Key, Histogram] = {}
        self._phases = [{name: Histogram() for name in PHASES} for _ in routes]
        self._connecting = [{name: Histogram() for name in CONNECTION_PHASES} for _ in apps]
        self._blocks = [Blocks() for _ in routes]
        self._slowest = [Slowest(name) for name in routes]
        self._warm: dict[Key, int] = {}
        self._unsent = [0] * len(routes)
        self._lateness = Histogram()
        self._waiting: dict[Key, list[Ints]] = {}
        self._waiting_rows = 0
        self._second: dict[Key, tuple[Histogram, Histogram]] = {}
        self._second_lateness = Histogram()
        self._second_warm = 0
        self._generator = GeneratorWatch()
        self.begin(0)

    @classmethod
    def for_plan(cls, plan: Plan) -> Recorder:
        """A recorder for everything that `plan` will send."""
        return cls(
            route_names(plan),
            [origin.app for origin in plan.origins],
            [_first_route(plan, load.scenario) for load in plan.loads],
            queue_route(plan),
            plan.warm_up_ns,
        )

    def begin(self, t0_ns: int) -> None:
        """The schedule's zero on the monotonic clock, before anything else is added."""
        self._t0 = t0_ns
        self._warm_until = t0_ns + self._warm_up_ns
        self._last = self._baseline = Tick(at_ns=t0_ns)
        self._vus_max = 0

    def take(self, kind: Frame, key: int, payload: bytes) -> Interval | None:
        """One frame; a TICK closes a second and gives its interval. LOG and END are the caller's."""
        if kind is Frame.SAMPLES:
            route, outcome = split_key(key)
            self.add_samples(route, Outcome(outcome), _rows(payload, len(SAMPLE_COLUMNS)))
        elif kind is Frame.LATENESS:
            self.add_lateness(np.frombuffer(payload, np.int64))
        elif kind is Frame.CONNECTIONS:
            self.add_connections(key, _rows(payload, 4))
        elif kind is Frame.TICK:
            return self.close_second(Tick.from_json(payload))
        elif kind is Frame.START:
            self.begin(int(orjson.loads(payload)["t0"]))
        return None

    def add_samples(self, route: int, outcome: Outcome, rows: Ints) -> None:
        """Rows of int64 ns, `(n, 5)`, columns as in `SAMPLE_COLUMNS`. Kept until they are binned: the
        caller must not write to `rows` afterwards."""
        self._waiting.setdefault((route, outcome), []).append(rows)
        self._waiting_rows += len(rows)
        if self._waiting_rows >= _WAITING_ROWS:
            self._bin_waiting()

    def add_connections(self, origin: int, rows: Ints) -> None:
        """Rows of int64 ns, `(n, 4)`: at, blocked, connecting, tls."""
        for column, name in enumerate(CONNECTION_PHASES, start=1):
            self._connecting[origin][name].add_many(_micros(rows[:, column]))

    def add_lateness(self, values: Ints) -> None:
        """How late each iteration started though a VU was free, ns."""
        self._second_lateness.add_many(_micros(values))

    def close_second(self, tick: Tick) -> Interval:
        """Ends the second that `tick` closes."""
        self._bin_waiting()
        last, self._last = self._last, tick
        warming_up = tick.at_ns <= self._warm_until
        if warming_up:
            self._baseline = tick
        unsent = self._count_unsent(last, tick, warming_up)
        lateness = EMPTY if warming_up else self._second_lateness.sparse()
        self._lateness.add(lateness)
        cells, self._second = self._second, {}
        interval = Interval(
            start_ns=last.at_ns - self._t0,
            end_ns=tick.at_ns - self._t0,
            tick=tick,
            responses={key: pair[0].sparse() for key, pair in cells.items()},
            services={key: pair[1].sparse() for key, pair in cells.items()},
            lateness=lateness,
            unsent=unsent,
            iterations=tick.iterations - last.iterations,
            dropped_iterations=tick.dropped_iterations - last.dropped_iterations,
            interrupted_iterations=tick.interrupted_iterations - last.interrupted_iterations,
            late_starts=tick.late_starts - last.late_starts,
            warm_up_requests=self._second_warm,
            cpu_share=self._generator.add_second(last, tick, self._t0, warming_up=warming_up),
            warming_up=warming_up,
        )
        self._second_lateness = Histogram()
        self._second_warm = 0
        self._vus_max = max(self._vus_max, tick.vus_max, tick.vus)
        self._add_totals(interval)
        return interval

    def close(self, now_ns: int) -> Interval | None:
        """Ends a second that no tick will close, because the generator is gone; None if nothing came
        since the last tick."""
        if not (self._waiting or self._second or self._second_lateness.total or self._second_warm):
            return None
        last = self._last
        known = {name: getattr(last, name) for name in Tick.__slots__}
        return self.close_second(Tick(**known | {"at_ns": max(now_ns, last.at_ns)}))

    def figures(self) -> Figures:
        """What was measured up to the last closed second."""
        last, baseline = self._last, self._baseline
        duration_s = (last.at_ns - self._t0) / 1e9
        warm_s = min(self._warm_up_ns / 1e9, duration_s)
        return Figures(
            routes=tuple(self._route_figures()),
            connections=tuple(
                Connections(app, phases[CONNECTION_PHASES[0]].total, phases)
                for app, phases in zip(self._apps, self._connecting, strict=True)
            ),
            generator=self._generator.figures(self._lateness, duration_s - warm_s),
            last=last,
            duration_s=duration_s,
            measured_s=duration_s - warm_s,
            iterations=last.iterations,
            dropped_iterations=last.dropped_iterations - baseline.dropped_iterations,
            late_starts=last.late_starts - baseline.late_starts,
            vus_max=self._vus_max,
            warm_up_requests=sum(n for (_, outcome), n in self._warm.items() if outcome.is_counted),
        )

    def _route_figures(self) -> Iterator[RouteFigures]:
        for index, name in enumerate(self.routes):
            response = {o: cell for (r, o), cell in self._response.items() if r == index}
            whole = {o: cell.total for o, cell in response.items()}
            for (r, o), count in self._warm.items():
                if r == index:
                    whole[o] = whole.get(o, 0) + count
            queued = self._last.queued if index == self._queue_route else 0
            yield RouteFigures(
                route=name,
                whole=whole,
                unsent=self._unsent[index] + queued,
                response=response,
                service={o: cell for (r, o), cell in self._service.items() if r == index},
                phases=self._phases[index],
                blocks=self._blocks[index].whole(),
                slowest=self._slowest[index].found(self._t0),
                block_s=self._blocks[index].seconds,
            )

    def _bin_waiting(self) -> None:
        waiting, self._waiting, self._waiting_rows = self._waiting, {}, 0
        for (route, outcome), pieces in waiting.items():
            rows = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
            if self._warm_up_ns:
                keep = rows[:, 0] >= self._warm_until
                left_out = len(rows) - int(np.count_nonzero(keep))
                if left_out:
                    self._warm[route, outcome] = self._warm.get((route, outcome), 0) + left_out
                    self._second_warm += left_out
                    rows = rows[keep]
            if len(rows):
                self._bin(route, outcome, rows)

    def _bin(self, route: int, outcome: Outcome, rows: Ints) -> None:
        due, begin, sent, first, last = rows.T
        spans = [last - due, last - begin]
        cells = self._second.get((route, outcome))
        if cells is None:
            cells = self._second[route, outcome] = (Histogram(), Histogram())
        targets = list(cells)
        if outcome is Outcome.OK:
            spans += [sent - begin, first - sent, last - first]
            targets += self._phases[route].values()
        if outcome.is_counted:
            self._slowest[route].look(outcome, rows, spans[0])
        values = _micros(np.stack(spans))
        over = np.count_nonzero(values > HIGHEST_US, axis=1)
        np.clip(values, 0, HIGHEST_US, out=values)
        least, most = values.min(axis=1), values.max(axis=1)
        for i, bins in enumerate(bin_of(values)):
            targets[i].add_bins(bins, int(least[i]), int(most[i]), int(over[i]))

    def _count_unsent(self, last: Tick, tick: Tick, warming_up: bool) -> tuple[int, ...]:
        unsent = [0] * len(self.routes)
        if not warming_up:
            before = last.dropped_by_load or (0,) * len(tick.dropped_by_load)
            for load, (old, new) in enumerate(zip(before, tick.dropped_by_load, strict=True)):
                unsent[self._first_routes[load]] += new - old
        for route, count in enumerate(unsent):
            self._unsent[route] += count
        return tuple(unsent)

    def _add_totals(self, interval: Interval) -> None:
        for total, seconds in ((self._response, interval.responses), (self._service, interval.services)):
            for key, cell in seconds.items():
                total.setdefault(key, Histogram()).add(cell)
        if not interval.warming_up:
            for route, blocks in enumerate(self._blocks):
                ok: Sparse = interval.responses.get((route, Outcome.OK), EMPTY)
                owed = interval.count(route) + interval.missing(route)
                blocks.add_second(ok, owed, interval.errors(route))


def route_names(plan: Plan) -> tuple[str, ...]:
    """The published name of each route: its own, or `app:name` where two apps share one."""
    names = [route.name for route in plan.routes]
    return tuple(
        route.name if names.count(route.name) == 1 else f"{route.app}:{route.name}" for route in plan.routes
    )


def queue_route(plan: Plan) -> int:
    """The route that starts still queued at the end are errors of: the first of the first load that
    queues (0 where none does)."""
    for load in plan.loads:
        match load.executor:
            case ConstantArrivalRate(on_exhausted=OnExhausted.QUEUE):
                return _first_route(plan, load.scenario)
            case RampingArrivalRate(on_exhausted=OnExhausted.QUEUE):
                return _first_route(plan, load.scenario)
    return 0


def _first_route(plan: Plan, scenario: int) -> int:
    """The route of a scenario's first request; 0 for a Python scenario, which does not tell."""
    return _first_step(plan.scenarios[scenario].steps)


def _first_step(steps: Sequence[Step | Choose]) -> int:
    for step in steps:
        return step.route if isinstance(step, Step) else _first_step(step.branches[0].steps)
    return 0


def _micros(nanoseconds: Ints) -> Ints:
    micros: Ints = (nanoseconds + 500) // 1000
    return micros


def _rows(payload: bytes, columns: int) -> Ints:
    try:
        return np.frombuffer(payload, np.int64).reshape(-1, columns)
    except ValueError as error:
        raise WorkerFailed(f"the load generator sent rows that cannot be read: {error}") from error

"""When things start: schedules as values, made without a clock or a network.

Rules
-----
- A schedule is a pure function of a plan's executor and a seed. Offsets are integer nanoseconds from
  the start of the load; a person who asks twice gets the same answer.
- Closed model: steps `(offset_ns, vus)`. VU k starts when the line reaches k and stops when it has
  fallen to k-1, as in k6. Only the last of several changes at one instant counts.
- With pacing, VUs that start together do not iterate together: the one at place k (from 0) of those
  alive has its first iteration `first_start_ns` after its start. Without pacing it starts at once.
- Open model: a start is due when the area under the rate line reaches its number. Areas are rational
  numbers, so nothing drifts, and fractions carry over from stage to stage. Offsets are generated one
  by one and never held.
- After `end_ns` nothing starts; at `end_ns + graceful_stop_ns` whatever still runs is interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import ceil, floor, lcm, log, sqrt
from random import Random
from typing import Any

from ecoload.guard.peaks import regular_duration_ns
from ecoload.plan import (
    Arrivals,
    ConstantArrivalRate,
    ConstantVUs,
    Executor,
    PerVUIterations,
    Plan,
    RampingArrivalRate,
    RampingVUs,
    SharedIterations,
    Stage,
)

_SECOND = 1_000_000_000
_DEFAULT_GRACE = 30 * _SECOND
_GOLDEN = 0x9E3779B97F4A7C15  # 0.6180339887… in units of 2^-64
LONGEST_LIST = 10_000
"""A timetable with more starts than this is printed as segments."""


@dataclass(frozen=True, slots=True)
class ClosedSchedule:
    """How many VUs live from each offset on; the first step stands at 0, the number before it is 0.

    A VU that a step takes away has `graceful_ramp_down_ns` to finish its iteration; one that still
    runs at `end_ns` has `graceful_stop_ns`, and that end caps every grace.
    """

    steps: tuple[tuple[int, int], ...]
    end_ns: int
    graceful_ramp_down_ns: int = 0
    graceful_stop_ns: int = _DEFAULT_GRACE


@dataclass(frozen=True, slots=True)
class IterationSchedule:
    """A number of iterations: together (`shared`) or for each VU. What is left at
    `max_duration_ns` is dropped."""

    vus: int
    iterations: int
    shared: bool
    max_duration_ns: int
    graceful_stop_ns: int = _DEFAULT_GRACE

    @property
    def end_ns(self) -> int:
        return self.max_duration_ns


@dataclass(frozen=True, slots=True)
class RateLine:
    """A straight piece of the rate line, longer than 0. Rates are starts per nanosecond."""

    from_ns: int
    to_ns: int
    rate_from: Fraction
    rate_to: Fraction

    @property
    def area(self) -> Fraction:
        """Starts under this piece, fractions included."""
        return (self.rate_from + self.rate_to) / 2 * (self.to_ns - self.from_ns)


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a long timetable: rates in starts per second, `starts` how many fall into it."""

    from_ns: int
    to_ns: int
    rate_from: float
    rate_to: float
    starts: int


@dataclass(frozen=True, slots=True)
class OpenSchedule:
    """Starts by a rate line. Uniform starts are due when the area reaches `first`, `first` + 1, …:
    0 for a constant rate (tick i at i periods, each before the end), 1 for a ramping one (the last
    may fall on the end itself). Poisson starts are due when it reaches the sums of seeded unit
    exponentials."""

    lines: tuple[RateLine, ...]
    end_ns: int
    arrivals: Arrivals = Arrivals.UNIFORM
    first: int = 1
    seed: int = 0
    graceful_stop_ns: int = _DEFAULT_GRACE

    def starts(self) -> Iterator[int]:
        """The due offsets in ns, in order; a new, equal iterator each time."""
        return self._uniform() if self.arrivals is Arrivals.UNIFORM else self._poisson()

    def count(self) -> int:
        """How many starts there are. Poisson: by generating them."""
        if self.arrivals is Arrivals.UNIFORM:
            return sum(until - number for _, _, number, until in self._numbered())
        return sum(1 for _ in self.starts())

    def segments(self) -> tuple[Segment, ...]:
        """The schedule by straight pieces of the rate line. Poisson: by generating the starts."""
        if self.arrivals is Arrivals.UNIFORM:
            counts = [until - number for _, _, number, until in self._numbered()]
        else:
            counts = self._counted()
        return tuple(
            Segment(line.from_ns, line.to_ns, _per_second(line.rate_from), _per_second(line.rate_to), count)
            for line, count in zip(self.lines, counts, strict=True)
        )

    def _numbered(self) -> Iterator[tuple[RateLine, Fraction, int, int]]:
        """Each line, the area before it, and its range of start numbers."""
        before = Fraction(0)
        for line in self.lines:
            after = before + line.area
            if self.first:
                yield line, before, floor(before) + 1, floor(after) + 1
            else:
                yield line, before, ceil(before), ceil(after)
            before = after

    def _uniform(self) -> Iterator[int]:
        for line, before, number, until in self._numbered():
            if number == until:
                continue
            if line.rate_from == line.rate_to:
                yield from _evenly(line, before, number, until)
                continue
            at = _time_of_area(line)
            # Distances are taken from the end with the lower rate: no digits are lost there.
            if line.rate_from < line.rate_to:
                nearest = float(number - before)
                for i in range(until - number):
                    yield line.from_ns + int(at(nearest + i))
            else:
                nearest = float(before + line.area - (until - 1))
                for i in range(until - number - 1, -1, -1):
                    yield line.to_ns - int(at(nearest + i))

    def _poisson(self) -> Iterator[int]:
        draw = Random(self.seed).random
        area = -log(1.0 - draw())
        before = 0.0
        for line in self.lines:
            after = before + float(line.area)
            at = _time_of_area(line)
            falling = line.rate_from > line.rate_to
            while area < after:
                yield line.to_ns - int(at(after - area)) if falling else line.from_ns + int(at(area - before))
                area -= log(1.0 - draw())
            before = after

    def _counted(self) -> list[int]:
        counts = [0] * len(self.lines)
        index = 0
        for offset in self.starts():
            while offset > self.lines[index].to_ns:
                index += 1
            counts[index] += 1
        return counts


Schedule = ClosedSchedule | IterationSchedule | OpenSchedule


def make_schedule(executor: Executor, seed: int, graceful_stop_ns: int = _DEFAULT_GRACE) -> Schedule:
    """The schedule of one executor. `seed` decides Poisson arrivals and nothing else."""
    end_ns = regular_duration_ns(executor)
    match executor:
        case ConstantVUs():
            return ClosedSchedule(((0, executor.vus),), end_ns, 0, graceful_stop_ns)
        case RampingVUs():
            steps = _vu_steps(executor.start_vus, executor.stages)
            return ClosedSchedule(steps, end_ns, executor.graceful_ramp_down_ns, graceful_stop_ns)
        case SharedIterations() | PerVUIterations():
            shared = isinstance(executor, SharedIterations)
            return IterationSchedule(executor.vus, executor.iterations, shared, end_ns, graceful_stop_ns)
        case ConstantArrivalRate():
            lines = _rate_lines(
                executor.rate, (Stage(executor.duration_ns, executor.rate),), executor.time_unit_ns
            )
            return OpenSchedule(lines, end_ns, executor.arrivals, 0, seed, graceful_stop_ns)
        case RampingArrivalRate():
            lines = _rate_lines(executor.start_rate, executor.stages, executor.time_unit_ns)
            return OpenSchedule(lines, end_ns, executor.arrivals, 1, seed, graceful_stop_ns)


def schedule_of(plan: Plan, load: int) -> Schedule:
    """The schedule of the plan's load with that index; loads draw from seeds of their own."""
    part = plan.loads[load]
    return make_schedule(part.executor, plan.seed + (load << 32), part.graceful_stop_ns)


def first_start_ns(place: int, pacing_ns: int, since_ns: int = 0) -> int:
    """From a paced VU's start to its first iteration: until the load's time, modulo the pacing, is
    pacing x frac(place x 0.6180339887…), rounded down. `since_ns` is when in the load the VU is started.

    The golden ratio spreads any number of VUs nearly evenly, without knowing how many will come: of n, no
    two neighbours are further apart than about twice an even share. Counted in the load's time it does so
    however the VUs come: a line that starts one each 0.63 s would fall into step with a wait from each start.
    """
    phase_ns = (place * _GOLDEN & (1 << 64) - 1) * pacing_ns >> 64
    return (phase_ns - since_ns) % pacing_ns if pacing_ns else 0


def timetable(plan: Plan) -> dict[str, Any]:
    """The plan's schedules as JSON values: one load flat, several as `{"loads": [{"name", "start_ms",
    …}]}`. Offsets are ms from the start of their load; a single load that starts late says so in
    `start_ms`. A number of ms is whole where it can be."""
    tables = []
    for index, load in enumerate(plan.loads):
        table = _table(schedule_of(plan, index))
        if len(plan.loads) > 1:
            table = {"name": load.name, "start_ms": _ms(load.start_time_ns), **table}
        elif load.start_time_ns:
            table["start_ms"] = _ms(load.start_time_ns)
        tables.append(table)
    return tables[0] if len(tables) == 1 else {"loads": tables}


def _table(schedule: Schedule) -> dict[str, Any]:
    match schedule:
        case ClosedSchedule():
            steps = [[_ms(offset), vus] for offset, vus in schedule.steps]
            return {"model": "closed", "steps": steps, "end_ms": _ms(schedule.end_ns)}
        case IterationSchedule():
            return {
                "model": "closed",
                "steps": [[0, schedule.vus]],
                "iterations": schedule.iterations,
                "shared": schedule.shared,
            }
        case OpenSchedule():
            starts = [_ms(offset) for offset in islice(schedule.starts(), LONGEST_LIST + 1)]
            if len(starts) <= LONGEST_LIST:
                return {"model": "open", "starts_ms": starts}
            return {"model": "open", "segments": [_segment_table(s) for s in schedule.segments()]}


def _segment_table(segment: Segment) -> dict[str, Any]:
    return {
        "from_ms": _ms(segment.from_ns),
        "to_ms": _ms(segment.to_ns),
        "rate_from": segment.rate_from,
        "rate_to": segment.rate_to,
        "starts": segment.starts,
    }


def _per_second(rate: Fraction) -> float:
    return float(rate * _SECOND)


def _ms(ns: int) -> int | float:
    whole, rest = divmod(ns, 1_000_000)
    return ns / 1_000_000 if rest else whole


def _vu_steps(start_vus: int, stages: tuple[Stage, ...]) -> tuple[tuple[int, int], ...]:
    """k6's raw execution steps. Of several at one offset the last stands; none repeats its number."""
    at: dict[int, int] = {0: start_vus}
    vus, end = start_vus, 0
    for stage in stages:
        target, duration = int(stage.target), stage.duration_ns
        end += duration
        if duration == 0:
            at[end] = target
        elif target > vus:
            for k in range(vus + 1, target + 1):
                at[end - duration * (target - k) // (target - vus)] = k
        else:
            for k in range(vus - 1, target - 1, -1):
                at[end - duration * (k - target) // (vus - target)] = k
        vus = target
    steps: list[tuple[int, int]] = []
    for offset, number in at.items():
        if not steps or steps[-1][1] != number:
            steps.append((offset, number))
    return tuple(steps)


def _rate_lines(start_rate: float, stages: tuple[Stage, ...], time_unit_ns: int) -> tuple[RateLine, ...]:
    # The decimal that was written, not its nearest binary fraction: 0.1 means a tenth.
    rate, end = Fraction(str(start_rate)) / time_unit_ns, 0
    lines = []
    for stage in stages:
        target = Fraction(str(stage.target)) / time_unit_ns
        if stage.duration_ns:
            lines.append(RateLine(end, end + stage.duration_ns, rate, target))
        end += stage.duration_ns
        rate = target
    return tuple(lines)


def _evenly(line: RateLine, before: Fraction, number: int, until: int) -> Iterator[int]:
    """Offsets on a flat line, exact: from_ns + (n - before) / rate, rounded down."""
    gap = 1 / line.rate_from
    first = line.from_ns + (number - before) * gap
    # Over one common denominator each offset is one addition and one division of integers.
    scale = lcm(first.denominator, gap.denominator)
    position, step = int(first * scale), int(gap * scale)
    return (p // scale for p in range(position, position + step * (until - number), step))


def _time_of_area(line: RateLine) -> Callable[[float], float]:
    """For a line: the time in ns, from its end with the lower rate, that holds a given area.

    The root of `low * t + slope * t² / 2 = area`, in the form that cancels no digits: the error of a
    double is then far below a nanosecond over hours.
    """
    low, high = sorted((float(line.rate_from), float(line.rate_to)))
    duration = line.to_ns - line.from_ns
    if low == high:
        return lambda area: area / low
    square, steepness = low * low, 2 * (high - low) / duration

    def time(area: float) -> float:
        if area <= 0:
            return 0.0
        return min(2 * area / (low + sqrt(square + steepness * area)), duration)

    return time

"""The course of a run (`series.csv`) as columns for charts, thinned where it is long.

Rules
-----
- A point of a thinned course is a figure that was measured in one of its seconds: the highest, and
  for a rate the lowest, since a peak of latency and a gap in the load are what a reader looks for.
- A second without a figure is a gap, not 0; so are the seconds before a route's first row.
- A run ends within a second: a rate of less than half of one is a gap, or every run would seem to fail
  at its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ecoload.measure.series import ALL
from ecoload.report.forms import number

MOST_POINTS = 1200
MOST_VALUES = 32_000
"""Over all columns of all routes: keeps the page below 250 kB."""

Column = list[float | None]

_COLUMNS = ("p50_ms", "p95_ms", "p99_ms", "service_p95_ms", "rps", "errors")
_OF_THE_RUN = ("vus", "vus_active", "iterations_started", "dropped_iterations", "queued")
_RATES = frozenset({"rps", "iterations_started"})


@dataclass(frozen=True, slots=True)
class Courses:
    """`at_s` the end of each point's last second; `columns` by route (`*`: all) and name, each as long
    as `at_s`; `thinned` how many seconds stand behind one point."""

    at_s: list[float]
    columns: dict[str, dict[str, Column]]
    thinned: int


def courses(seconds: Iterable[Mapping[str, str]], planned: Callable[[float], float] | None = None) -> Courses:
    """The rows of a series as columns. `planned` gives the planned starts a second at a time."""
    by_route: dict[str, dict[str, Mapping[str, str]]] = {}
    for second in seconds:
        by_route.setdefault(second["route"], {})[second["elapsed_s"]] = second
    if len(by_route) == 2 and ALL in by_route:
        by_route = {ALL: by_route[ALL]}
    ends = list(by_route.get(ALL, {}))
    width = len(_COLUMNS) * len(by_route) + len(_OF_THE_RUN) + 2
    points = max(2, min(MOST_POINTS, MOST_VALUES // width))
    thinned = max(1, math.ceil(len(ends) / points))
    times = [number(end) or 0.0 for end in ends]
    short = len(times) > 1 and times[-1] - times[-2] < 0.5

    def column(rows: Mapping[str, Mapping[str, str]], name: str) -> Column:
        values = [number(rows.get(end, {}).get(name)) for end in ends]
        if short and name in _RATES:
            values[-1] = None
        return _thin(values, thinned, lowest=name in _RATES)

    columns = {
        route: {name: column(rows, name) for name in (*_COLUMNS, *(_OF_THE_RUN if route == ALL else ()))}
        for route, rows in by_route.items()
    }
    if planned is not None and ends:
        # The middle of a second, so that a jump at a full second falls on the right side of it.
        line: Column = [planned(at_s - 0.5) for at_s in times]
        columns[ALL]["planned"] = _thin(line, thinned, lowest=True)
    last = [times[min(start + thinned, len(times)) - 1] for start in range(0, len(times), thinned)]
    return Courses([round(at_s, 2) for at_s in last], columns, thinned)


def _thin(values: Column, size: int, lowest: bool = False) -> Column:
    pick = min if lowest else max
    thin: Column = []
    for start in range(0, len(values), size):
        known = [value for value in values[start : start + size] if value is not None]
        thin.append(_short(pick(known)) if known else None)
    return thin


def _short(value: float) -> float:
    """Four digits: one more than the histograms hold."""
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() else short

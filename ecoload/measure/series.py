"""`series.csv`: the course of a run, one row a second for all (`*`) and one for each route.

Rules
-----
- Counts are of that second; `vus`, `queued` and connections are as they stand at its end.
- A route has rows from the first second on in which it was asked or owed something.
- Columns that belong to the run (VUs, iterations, the generator) are filled in the `*` row only.
- A figure that nothing was measured for is empty, not 0.
- Flushed each second. A torn last row is left out when the file is read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from ecoload.errors import UsageError
from ecoload.measure.appending import Appender
from ecoload.measure.interval import Interval

ALL = "*"

COLUMNS = (
    "elapsed_s",
    "route",
    "requests",
    "errors",
    "unsent",
    "rps",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
    "service_p95_ms",
    "vus",
    "vus_active",
    "vus_max",
    "iterations",
    "iterations_started",
    "dropped_iterations",
    "interrupted_iterations",
    "queued",
    "late_starts",
    "late_start_p99_ms",
    "cpu_share",
    "lag_max_ms",
    "open_connections",
    "connections_opened",
    "warm_up_requests",
    "warming_up",
    "end",
)
"""`elapsed_s` is the end of the second. `end` is always `.`: a row without it is torn."""


class SeriesWriter:
    """Appends to a series. `routes` in the order of their indices."""

    def __init__(self, path: Path, routes: Sequence[str]) -> None:
        self._routes = tuple(routes)
        self._seen: set[int] = set()
        self._started = 0
        self._opened = 0
        self._file = Appender(path)
        self._append([COLUMNS])

    def write(self, interval: Interval) -> None:
        """Appends one second. Raises OutputFailed when it cannot be written."""
        self._seen.update(route for route, _ in interval.responses)
        self._seen.update(route for route, count in enumerate(interval.unsent) if count)
        each = [self._row(interval, route) for route in sorted(self._seen)]
        self._append([self._row(interval, None), *each])

    def close(self) -> None:
        self._file.close()

    def _append(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.append(text.getvalue())

    def _row(self, interval: Interval, route: int | None) -> list[object]:
        response, service = interval.response(route), interval.service(route)
        requests = interval.count(route)
        seconds = interval.seconds
        row: list[object] = [
            f"{round(interval.end_ns / 1e6) / 1000:.3f}",
            ALL if route is None else self._routes[route],
            requests,
            interval.errors(route),
            interval.missing(route),
            f"{requests / seconds:.2f}" if seconds > 0 else "",
        ]
        if response.total:
            row += [_ms(us) for us in response.percentiles((0.5, 0.95, 0.99))]
            row += [_ms(response.maximum), _ms(service.percentile(0.95))]
        else:
            row += [""] * 5
        row += self._run_cells(interval) if route is None else [""] * (len(COLUMNS) - len(row) - 1)
        return [*row, "."]

    def _run_cells(self, interval: Interval) -> list[object]:
        tick = interval.tick
        started, self._started = self._started, tick.iterations_started
        opened, self._opened = self._opened, tick.connections_opened
        lateness = interval.lateness
        return [
            tick.vus,
            tick.vus_active,
            tick.vus_max,
            interval.iterations,
            tick.iterations_started - started,
            interval.dropped_iterations,
            interval.interrupted_iterations,
            tick.queued,
            interval.late_starts,
            _ms(lateness.percentile(0.99)) if lateness.total else "",
            "" if interval.cpu_share is None else f"{interval.cpu_share:.4f}",
            f"{tick.lag_max_ns / 1e6:.3f}",
            tick.open_connections,
            tick.connections_opened - opened,
            interval.warm_up_requests,
            int(interval.warming_up),
        ]


def read_series(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a series by column. A torn last row is left out; raises UsageError for a file that
    is not a series or is not there."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise UsageError(f"{path}: not a series.csv of this version")
            for row in reader:
                if row["end"] == ".":
                    yield row
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a series.csv of this version: {error}") from error


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.3f}"

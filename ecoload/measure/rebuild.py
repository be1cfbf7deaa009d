"""Figures of a run whose process was killed, from the files it wrote each second.

Rules
-----
- Percentiles come from `latency.hlog`, counts from it and `series.csv`: the same figures as the run
  itself would have given up to its last full second.
- What those files do not hold (phases of requests, the slowest requests, the warm-up's outcomes)
  stays empty; so does the lateness of starts, whose P99 cannot be had from those of the seconds.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ecoload.measure.blocks import Blocks
from ecoload.measure.figures import Figures, GeneratorFigures, RouteFigures
from ecoload.measure.generator import HOT_CPU_SHARE
from ecoload.measure.histogram import EMPTY, Histogram, Sparse
from ecoload.measure.hlog import log_started_at, read_log
from ecoload.measure.interval import Tick
from ecoload.measure.memory import MemorySample, read_memory
from ecoload.measure.outcome import Outcome
from ecoload.measure.plan_file import read_plan
from ecoload.measure.recorder import queue_route, route_names
from ecoload.measure.series import ALL, read_series
from ecoload.plan import Plan

Rows = list[dict[str, str]]

_IDLE = {"requests": "0", "unsent": "0", "errors": "0"}


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A killed run: its plan, what its files hold, and when its schedule's zero was (ISO 8601, UTC)."""

    plan: Plan
    figures: Figures
    memory: tuple[MemorySample, ...]
    started_at: str


def rebuild(folder: Path) -> Rebuilt:
    """The figures of the run in `folder` (`plan.json`, `latency.hlog`, `series.csv`, and `memory.csv` where
    there is one). Raises UsageError when another is missing, or one is broken before its last line."""
    plan = read_plan(folder / "plan.json")
    rows: dict[str, Rows] = defaultdict(list)
    for row in read_series(folder / "series.csv"):
        rows[row["route"]].append(row)
    cells = _Cells(folder / "latency.hlog")
    whole = rows[ALL]
    last = _last_tick(whole)
    duration_s = float(whole[-1]["elapsed_s"]) if whole else 0.0
    judged = [row for row in whole if row["warming_up"] == "0"]
    queueing = queue_route(plan)
    routes = [
        _route(name, whole, rows[name], cells, last.queued if index == queueing else 0)
        for index, name in enumerate(route_names(plan))
    ]
    measured_s = max(duration_s - plan.warm_up_ns / 1e9, 0.0)
    figures = Figures(
        routes=tuple(routes),
        connections=(),
        generator=_generator(judged, measured_s),
        last=last,
        duration_s=duration_s,
        measured_s=measured_s,
        iterations=last.iterations,
        dropped_iterations=_sum(judged, "dropped_iterations"),
        late_starts=_sum(judged, "late_starts"),
        vus_max=last.vus_max,
        warm_up_requests=_sum(whole, "warm_up_requests"),
        rebuilt=True,
    )
    zero = datetime.fromtimestamp(log_started_at(folder / "latency.hlog"), UTC)
    return Rebuilt(plan, figures, read_memory(folder / "memory.csv"), zero.isoformat(timespec="milliseconds"))


class _Cells:
    """The log's histograms: totals, and each second's `ok` and counts."""

    def __init__(self, path: Path) -> None:
        self.totals: dict[tuple[str, str], dict[Outcome, Histogram]] = defaultdict(dict)
        self.ok: dict[tuple[str, str], Sparse] = {}
        for entry in read_log(path):
            total = self.totals[entry.route, entry.kind].setdefault(entry.outcome, Histogram())
            total.add(entry.histogram)
            if entry.kind == "response" and entry.outcome is Outcome.OK:
                end = f"{entry.start_s + entry.length_s:.3f}"
                self.ok[entry.route, end] = entry.histogram


def _route(name: str, seconds: Rows, rows: Rows, cells: _Cells, queued: int) -> RouteFigures:
    blocks = Blocks()
    own = {row["elapsed_s"]: row for row in rows}
    for end in (row["elapsed_s"] for row in seconds if row["warming_up"] == "0"):
        row = own.get(end, _IDLE)
        owed = int(row["requests"]) + int(row["unsent"])
        blocks.add_second(cells.ok.get((name, end), EMPTY), owed, int(row["errors"]))
    response = cells.totals[name, "response"]
    return RouteFigures(
        route=name,
        whole={outcome: cell.total for outcome, cell in response.items()},
        unsent=_sum(rows, "unsent") + queued,
        response=response,
        service=cells.totals[name, "service"],
        phases={},
        blocks=blocks.whole(),
        slowest=(),
        block_s=blocks.seconds,
    )


def _last_tick(rows: Rows) -> Tick:
    if not rows:
        return Tick(at_ns=0)
    return Tick(
        at_ns=round(float(rows[-1]["elapsed_s"]) * 1e9),
        vus=int(rows[-1]["vus"]),
        vus_max=max(int(row["vus_max"]) for row in rows),
        iterations=_sum(rows, "iterations"),
        iterations_started=_sum(rows, "iterations_started"),
        dropped_iterations=_sum(rows, "dropped_iterations"),
        queued=int(rows[-1]["queued"]),
        interrupted_iterations=_sum(rows, "interrupted_iterations"),
        late_starts=_sum(rows, "late_starts"),
        connections_opened=_sum(rows, "connections_opened"),
    )


def _generator(rows: Rows, measured_s: float) -> GeneratorFigures:
    shares = [float(row["cpu_share"]) for row in rows if row["cpu_share"]]
    lags = [float(row["lag_max_ms"]) for row in rows]
    return GeneratorFigures(
        lateness=Histogram(),
        lateness_p99_us=0,
        cpu_share=sum(shares) / len(shares) if shares else None,
        seconds=len(shares),
        hot_seconds=sum(share > HOT_CPU_SHARE for share in shares),
        lag_share=sum(lags) / 1000 / measured_s if measured_s > 0 else 0.0,
        lag_max_ns=round(max(lags, default=0.0) * 1e6),
    )


def _sum(rows: Rows, column: str) -> int:
    return sum(int(row[column]) for row in rows)

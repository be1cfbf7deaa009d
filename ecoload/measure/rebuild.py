"""Figures of a run from the files it wrote each second: of one whose process was killed, or of any, for
intervals of chance.

Rules
-----
- Percentiles come from `latency.hlog`, counts from it and `series.csv`: the same figures as the run
  itself would have given up to its last full second.
- What those files do not hold (phases of requests, the slowest requests, the warm-up's outcomes)
  stays empty; so does the lateness of starts, whose P99 cannot be had from those of the seconds.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ecoload.errors import UsageError
from ecoload.measure.blocks import Block, Blocks
from ecoload.measure.figures import Figures, GeneratorFigures, RouteFigures
from ecoload.measure.generator import HOT_CPU_SHARE
from ecoload.measure.histogram import EMPTY, Histogram, Sparse, merged
from ecoload.measure.hlog import Kind, log_started_at, read_log
from ecoload.measure.interval import Tick
from ecoload.measure.memory import MemorySample, read_memory
from ecoload.measure.outcome import Outcome
from ecoload.measure.plan_file import read_plan
from ecoload.measure.recorder import queue_route, route_names
from ecoload.measure.series import ALL, read_series
from ecoload.measure.strict import check_plain
from ecoload.plan import Plan

Rows = list[dict[str, str]]

MOST_BYTES = 1 << 30
"""Of each file that is read."""
_FILES = ("plan.json", "latency.hlog", "series.csv", "memory.csv")
_KINDS: tuple[Kind, ...] = ("response", "service")
_COUNT, _NUMBER = re.compile("[0-9]{1,15}"), re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_COUNTS = ("requests", "errors", "unsent")
_COUNTS_OF_ALL = (
    *("vus", "vus_max", "iterations", "iterations_started", "dropped_iterations", "interrupted_iterations"),
    *("queued", "late_starts", "connections_opened", "warm_up_requests", "warming_up"),
)
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
    for name in _FILES:
        if (folder / name).exists():
            check_plain(folder / name, MOST_BYTES)
    plan = read_plan(folder / "plan.json")
    rows = _rows(folder)
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


@dataclass(frozen=True, slots=True)
class Kept:
    """What the files hold of one route, or of all together, by kind of time: the `ok` requests' times, and
    the blocks of the measured time with them."""

    times: Mapping[Kind, Histogram]
    blocks: Mapping[Kind, tuple[Block, ...]]


def read_kept(folder: Path) -> dict[str, Kept]:
    """By route, and for all of them under `*`. Raises UsageError where `latency.hlog` or `series.csv` is
    missing, or broken before its last line."""
    rows = _rows(folder)
    cells = _Cells(folder / "latency.hlog")
    cells.add_up()
    return {name: _kept(name, rows, cells) for name in rows}


def _kept(name: str, rows: Mapping[str, Rows], cells: _Cells) -> Kept:
    times = {kind: cells.totals[name, kind].get(Outcome.OK, Histogram()) for kind in _KINDS}
    blocks = {kind: _blocks(name, kind, rows[ALL], rows[name], cells) for kind in _KINDS}
    return Kept(times, {kind: found.whole() for kind, found in blocks.items()})


class _Cells:
    """The log's histograms: totals, and each second's `ok`."""

    def __init__(self, path: Path) -> None:
        self.totals: dict[tuple[str, Kind], dict[Outcome, Histogram]] = defaultdict(dict)
        self.ok: dict[tuple[str, Kind, str], Sparse] = {}
        for entry in read_log(path):
            total = self.totals[entry.route, entry.kind].setdefault(entry.outcome, Histogram())
            total.add(entry.histogram)
            if entry.outcome is Outcome.OK:
                end = f"{entry.start_s + entry.length_s:.3f}"
                self.ok[entry.route, entry.kind, end] = entry.histogram

    def add_up(self) -> None:
        """Puts what is `ok` of all routes together under `*`."""
        together: dict[tuple[Kind, str], list[Sparse]] = defaultdict(list)
        for (_, kind, end), histogram in self.ok.items():
            together[kind, end].append(histogram)
        for (kind, end), parts in together.items():
            self.ok[ALL, kind, end] = merged(parts).sparse()
        for kind in _KINDS:
            parts = [found for (name, of, _), found in self.ok.items() if of == kind and name == ALL]
            self.totals[ALL, kind][Outcome.OK] = merged(parts)


def _rows(folder: Path) -> dict[str, Rows]:
    """The rows of the series by route. Raises UsageError where a count in them is none."""
    path = folder / "series.csv"
    rows: dict[str, Rows] = defaultdict(list)
    for number, row in enumerate(read_series(path), start=2):
        wrong = next(_wrong(row), None)
        if wrong is not None:
            raise UsageError(f"{path}:{number}: not a row of this series: {wrong} is {row[wrong][:60]!r}")
        rows[row["route"]].append(row)
    return rows


def _wrong(row: Mapping[str, str]) -> Iterator[str]:
    """The columns in which no number stands where one must."""
    of_all = row["route"] == ALL
    counts = (*_COUNTS, *_COUNTS_OF_ALL) if of_all else _COUNTS
    numbers = (
        "elapsed_s",
        *(("lag_max_ms",) if of_all else ()),
        *(("cpu_share",) if row["cpu_share"] else ()),
    )
    yield from (name for name in counts if not _COUNT.fullmatch(row[name]))
    yield from (name for name in numbers if not _NUMBER.fullmatch(row[name]))


def _blocks(name: str, kind: Kind, seconds: Rows, rows: Rows, cells: _Cells) -> Blocks:
    blocks = Blocks()
    own = {row["elapsed_s"]: row for row in rows}
    for end in (row["elapsed_s"] for row in seconds if row["warming_up"] == "0"):
        row = own.get(end, _IDLE)
        owed = int(row["requests"]) + int(row["unsent"])
        blocks.add_second(cells.ok.get((name, kind, end), EMPTY), owed, int(row["errors"]))
    return blocks


def _route(name: str, seconds: Rows, rows: Rows, cells: _Cells, queued: int) -> RouteFigures:
    blocks = _blocks(name, "response", seconds, rows, cells)
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

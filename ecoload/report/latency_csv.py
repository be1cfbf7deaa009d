"""`APP/latency_PROFILE.csv`: what each run of an app under a profile measured, for a spreadsheet.

Rules
-----
- RFC 4180, UTF-8; a figure that is not there is an empty field, never 0.
- One row for each run and route, all runs of the cell; `counts` is `yes` in the rows of the one whose verdict
  counts, the last.
- No text is read as a formula: one that begins like one stands behind an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ecoload.report.forms import clean

Tree = Mapping[str, Any]

PERCENTILES = ("p50", "p90", "p95", "p99", "p999", "max", "mean")
COLUMNS = (
    *("phase", "app", "route", "run", "counts", "validity"),
    *("requests", "unsent", "errors", "error_rate", "rps"),
    *(f"response_{key}_ms" for key in PERCENTILES),
    *(f"service_{key}_ms" for key in PERCENTILES),
    *("run_id", "target_version"),
)
_FORMULA = "=+-@＝＋－＠"


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One run of a cell: `kind` is `first`, `warmed` or `retest`, `result` its `run.json`."""

    phase: str
    kind: str
    counts: bool
    result: Tree


def latency_csv(app: str, runs: Iterable[MeasuredRun]) -> str:
    """The routes of `app` as these runs measured them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(row for run in runs for row in _rows(app, run))
    return text.getvalue()


def harmless(text: Any) -> str:
    """A text that no spreadsheet takes for a formula."""
    cleaned = clean(text)
    return f"'{cleaned}" if cleaned.lstrip()[:1] in _FORMULA and cleaned.strip() else cleaned


def _rows(app: str, run: MeasuredRun) -> Iterator[list[object]]:
    result = run.result
    every_app = result.get("app") == "all"
    for route in result.get("routes") or ():
        if every_app and route.get("app") != app:
            continue
        figures = [route.get(key) for key in ("requests", "unsent", "errors", "error_rate", "rps")]
        for kind in ("response_ms", "service_ms"):
            times = route.get(kind)
            figures += [times.get(key) if isinstance(times, Mapping) else None for key in PERCENTILES]
        yield [
            harmless(run.phase),
            harmless(route.get("app") or app),
            harmless(route.get("route")),
            harmless(run.kind),
            "yes" if run.counts else "no",
            harmless((result.get("validity") or {}).get("status") or ""),
            *(figure if isinstance(figure, int | float) else "" for figure in figures),
            harmless(result.get("run_id") or ""),
            harmless(result.get("target_version") or ""),
        ]

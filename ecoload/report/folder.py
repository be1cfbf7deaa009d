"""Writes what a run's folder holds once its result is known.

Rules
-----
- `run.json` is written last and moved into place: where it is, the rest is.
- The reports are drawn from the files of the folder; one that is not there, or was cut off by a full
  disk, is left out of them: the verdict is never lost for the want of a chart.
- A disk that does not take it is an OutputFailed that says so; what is there already stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from ecoload.errors import OutputFailed, UsageError
from ecoload.measure.plan_file import read_plan
from ecoload.measure.series import read_series
from ecoload.report.html import report_html
from ecoload.report.junit import junit_xml
from ecoload.report.markdown import summary_markdown
from ecoload.report.planned import planned_rate


def write_reports(folder: Path, result: Mapping[str, Any], *, junit: Path | None = None) -> None:
    """Writes `summary.md`, `report.html` and `run.json`, and JUnit XML where it is asked for.

    `result` is the tree of `run.json`. Raises OutputFailed when the disk refuses.
    """
    page = report_html(result, _seconds(folder), _planned(folder))
    try:
        replace(folder / "summary.md", summary_markdown(result).encode())
        replace(folder / "report.html", page.encode())
        if junit is not None:
            replace(junit, junit_xml(result).encode())
        replace(
            folder / "run.json", orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
    except OSError as error:
        raise OutputFailed(
            f"{error.filename or folder}: {error.strerror}; free some space or choose another --out, "
            f"then `ecoload report {folder}`"
        ) from error


def replace(path: Path, content: bytes) -> None:
    """Writes a file beside its place and moves it there: never half of it, and no older one lost."""
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _seconds(folder: Path) -> list[dict[str, str]]:
    try:
        return list(read_series(folder / "series.csv"))
    except UsageError:
        return []


def _planned(folder: Path) -> Callable[[float], float] | None:
    try:
        return planned_rate(read_plan(folder / "plan.json"))
    except UsageError:
        return None

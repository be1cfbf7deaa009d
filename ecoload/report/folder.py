"""Writes what a run's folder holds once its result is known.

Rules
-----
- `run.json` is written last and moved into place: where it is, the rest is.
- A disk that does not take it is an OutputFailed that says so; what is there already stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from ecoload.errors import OutputFailed
from ecoload.report.html import report_html
from ecoload.report.junit import junit_xml
from ecoload.report.markdown import summary_markdown


def write_reports(folder: Path, result: Mapping[str, Any], *, junit: Path | None = None) -> None:
    """Writes `summary.md`, `report.html` and `run.json`, and JUnit XML where it is asked for."""
    try:
        (folder / "summary.md").write_text(summary_markdown(result), encoding="utf-8")
        (folder / "report.html").write_text(report_html(result, folder / "series.csv"), encoding="utf-8")
        if junit is not None:
            junit.write_text(junit_xml(result), encoding="utf-8")
        fresh = folder / "run.json.new"
        fresh.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        fresh.replace(folder / "run.json")
    except OSError as error:
        raise OutputFailed(
            f"{error.filename or folder}: {error.strerror}; free some space, then `ecoload report {folder}`"
        ) from error

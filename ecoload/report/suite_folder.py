"""Writes every report of a suite, and the bundle of it all last.

Rules
-----
- Each file is moved into place whole; what the suite does not have any more (an app, a profile) is taken
  away, by our own file names only.
- A run's folder that is not there costs its rows in the CSV files; the bundle asks for it.
- A disk that does not take a report is an OutputFailed that says so; `suite.json` is not touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from ecoload.errors import OutputFailed, UsageError
from ecoload.report import suite_rows as rows
from ecoload.report.browser import texts_of
from ecoload.report.bundle import APP_REPORTS, BROWSER_REPORTS, PROOFS, write_bundle
from ecoload.report.folder import replace
from ecoload.report.latency_csv import MeasuredRun, latency_csv
from ecoload.report.suite_html import suite_html
from ecoload.report.suite_markdown import slo_matrix, slo_verdict, suite_summary
from ecoload.report.suite_names import is_name, is_run_folder
from ecoload.report.suite_rows import Tree

BUNDLE = "ecosystem_perf_artifacts.zip"


def write_suite_reports(result: Tree, suite_folder: Path, reports_folder: Path) -> tuple[Path, ...]:
    """Writes the reports of a suite (`suite.json` as a tree) and gives their paths, the summary first, the
    bundle last. Raises OutputFailed where the disk refuses, UsageError where the folder is not whole."""
    texts = _texts(result, suite_folder, reports_folder)
    browser = _browser(result, suite_folder, reports_folder.parent / "playwright")
    try:
        for path, content in ({path: text.encode() for path, text in texts.items()} | browser).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, content)
        _remove_stale(reports_folder, {*texts, *browser})
    except OSError as error:
        raise OutputFailed(
            f"{error.filename or reports_folder}: {error.strerror}; the result itself is in {suite_folder}, "
            "and a resume writes the reports again"
        ) from error
    bundle = reports_folder / BUNDLE
    write_bundle(bundle, suite_folder, reports_folder)
    return (*texts, *browser, bundle)


def _texts(result: Tree, suite: Path, reports: Path) -> dict[Path, str]:
    run = str(suite)
    to_suite = Path(os.path.relpath(suite, reports)).as_posix()
    texts = {
        reports / "ecosystem_perf_summary.md": suite_summary(result, run),
        reports / "ecosystem_perf_summary.html": suite_html(result, run, to_suite),
        reports / "ecosystem_slo_matrix.md": slo_matrix(result),
    }
    for app in rows.apps(result):
        if not is_name(app):
            raise UsageError(f"suite.json: {app!r} is no app's name")
        texts[reports / app / "slo_verdict.md"] = slo_verdict(result, app, run)
        for profile, runs in _by_profile(result, app, suite).items():
            texts[reports / app / f"latency_{profile}.csv"] = latency_csv(app, runs)
    return texts | {reports / name: text for name, text in _proofs(result, suite).items()}


def _browser(result: Tree, suite: Path, place: Path) -> dict[Path, bytes]:
    """The page and the results of the browser flows, of the runs that count, below `place`."""
    found: list[tuple[Tree, Path]] = []
    for phase in rows.phases(result):
        for cell in phase.get("cells") or ():
            folder = str((list(cell.get("runs") or ()) or [{}])[-1].get("folder"))
            tree = _json(suite / folder / "e2e.json") if is_run_folder(folder) else None
            if tree is not None:
                found.append((tree, suite / folder))
    app = str(found[0][0].get("app")) if found else ""
    if not is_name(app):
        return {}
    return {place / name: content for name, content in texts_of(app, found).items()}


def _proofs(result: Tree, suite: Path) -> dict[str, str]:
    """What the proofs of the runs that count show, by the names of their copies. Of several lineages of an
    app the one with the worst verdict counts, then the one of most events."""
    found: dict[str, str] = {}
    lineages: dict[str, tuple[tuple[bool, int], Path]] = {}
    for phase in rows.phases(result):
        for cell in phase.get("cells") or ():
            runs: list[Tree] = list(cell.get("runs") or ())
            folder = str(runs[-1].get("folder")) if runs else ""
            app, flow = str(cell.get("app")), str(cell.get("flow") or "")
            if not is_run_folder(folder) or not is_name(app):
                continue
            if is_name(flow) and (page := _text(suite / folder / "summary.md")):
                found[f"{flow}_flow.md"] = page
            for kind in ("md", "html"):
                if page := _text(suite / folder / f"resiliency_report.{kind}"):
                    found[f"{app}_resiliency_report.{kind}"] = page
            proof = _json(suite / folder / "lineage_proof.json")
            if proof is not None and is_name(name := f"{app}_{proof.get('route')}"):
                counts = proof.get("counts") or {}
                rank = (proof.get("verdict") != "PASS", int(counts.get("acknowledged") or 0))
                if name not in lineages or rank > lineages[name][0]:
                    lineages[name] = (rank, suite / folder)
    for name, (_, place) in lineages.items():
        for kind in ("json", "md"):
            found[f"{name}_lineage_proof.{kind}"] = _text(place / f"lineage_proof.{kind}")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _by_profile(result: Tree, app: str, suite: Path) -> dict[str, list[MeasuredRun]]:
    """The runs of an app by profile; health, which has none, by its own name."""
    found: dict[str, list[MeasuredRun]] = {}
    for phase in rows.phases(result):
        profile = str(phase.get("profile") or phase.get("name"))
        if not is_name(profile):
            raise UsageError(f"suite.json: {profile!r} is no profile's name")
        runs = [*_runs(phase, app, suite)]
        if runs:
            found.setdefault(profile, []).extend(runs)
    return found


def _runs(phase: Tree, app: str, suite: Path) -> Iterator[MeasuredRun]:
    cells = rows.cells_of(phase, app)
    # A flow is no load: there are no latencies of routes in it.
    runs: list[Tree] = [run for cell in cells if not cell.get("flow") for run in cell.get("runs") or ()]
    for run in runs:
        folder = str(run.get("folder"))
        result = _json(suite / folder / "run.json") if is_run_folder(folder) else None
        if result is not None:
            yield MeasuredRun(str(phase.get("name")), str(run.get("kind")), run is runs[-1], result)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def _remove_stale(reports: Path, written: set[Path]) -> None:
    """Takes away our own reports of apps, profiles and proofs that the suite does not have."""
    browser = reports.parent / "playwright"
    for path in browser.iterdir() if browser.is_dir() else ():
        if BROWSER_REPORTS.fullmatch(path.name) and path not in written and path.is_file():
            path.unlink()
    for path in reports.iterdir():
        if PROOFS.fullmatch(path.name) and path not in written and path.is_file():
            path.unlink()
    for folder in reports.iterdir():
        if folder.is_symlink() or not folder.is_dir():
            continue
        stale = [
            path for path in folder.iterdir() if APP_REPORTS.fullmatch(path.name) and path not in written
        ]
        for path in stale:
            path.unlink()
        if stale and not any(folder.iterdir()):
            folder.rmdir()

"""Results of whole suites, and the folders they leave, for the tests of the suite's reports.

Rules
-----
- Built from the dataclasses of `verdict/suite_result.py`, so that a sample is what a suite really says.
- Eight apps, seven phases; every sample is the healthy one with something changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from ecoload.plan import ProtocolHeader
from ecoload.verdict.suite_result import (
    Approvals,
    Cell,
    CellResult,
    Failure,
    IssueResult,
    IssueState,
    Item,
    Measured,
    PhaseResult,
    Readiness,
    RunNote,
    SuiteResult,
    SuiteStatus,
    Uptime,
    WaiverNote,
)
from tests.unit.report_samples import BREAKOUT, passing

NASTY = f"=cmd|'/c calc'!A1 {BREAKOUT} ](javascript:alert(1)) ```\n# heading\r\n| a | b |"
"""A text that tries to leave every form at once; it begins like a formula."""

APPS = tuple(f"a{number}" for number in range(1, 9))
PHASES = ("health", "smoke", "baseline", "ramp", "spike", "soak", "burst")
ROUTES = {
    "a1": ("authorize", "token"),
    "a2": ("ingest", "read_event"),
    "a3": ("preflight", "orchestration_run"),
    "a4": ("chat_completions",),
    "a5": ("home", "telemetry", "payment_config"),
    "a6": ("register", "billing"),
    "a7": ("home", "browse", "states", "majors", "sitemap"),
    "a8": ("overview", "finance_tile", "growth_tile", "outcomes_tile"),
}
LIMITS = {"sitemap": 500.0, "ingest": 125.0}


def healthy() -> SuiteResult:
    """Everything passes: READY."""
    return SuiteResult(
        suite_id="20261125T201500-suite-ab12",
        status=SuiteStatus.READY,
        rehearsal=(),
        conditions=(),
        halted="",
        interrupted=False,
        exit_code=0,
        started_at="2026-11-25T20:15:00.123+00:00",
        ended_at="2026-11-26T00:01:12.456+00:00",
        duration_s=13_572.3,
        duration_scale=1.0,
        seed=7,
        tool_version="0.1.0",
        spec_hash="5f" * 32,
        execution_hash="c0" * 32,
        protocol=ProtocolHeader(
            assigned_app="A8",
            version="5869fbddc331b4ea40e8ea51de0687196b9f092b",
            mode="staging",
        ),
        apps=APPS,
        versions={app: f"2.4.{at}" for at, app in enumerate(APPS)},
        readiness=Readiness(98.4, 100.0, 1.6, "A", "first measurement"),
        phases=tuple(_phase(name) for name in PHASES),
        known_issues=(_issue(IssueState.FIXED, 92.4, None),),
        availability=tuple(
            Uptime(app, 13_500, 13_498, 13_498 / 13_500, Cell.PASS, "99.985 % ≥ 99.9 %") for app in APPS
        ),
        approvals=Approvals(
            {"spike": ("it can reach 100 VUs, and more than 60 need an approval",)},
            "Ada Lovelace, 2026-11-25",
        ),
        failures=(),
    )


def mitigated() -> SuiteResult:
    """A8's overview passes only warm, and is waived beyond that: CONDITIONAL."""
    result = healthy()
    waiver = WaiverNote("Grace Hopper", "the cache is ordered", "2026-12-31", valid=True)
    return replace(
        _with_overview(result, Cell.MITIGATED, ("1,085 ms", "31.2 ms"), (1085.0, 31.2)),
        status=SuiteStatus.CONDITIONAL,
        exit_code=8,
        conditions=("A8-PERF-001 passes only under its remedy",),
        readiness=Readiness(91.0, 99.2, 8.2, "A", "ecosystem_perf_artifacts-october.zip"),
        known_issues=(_issue(IssueState.MITIGATED, 1085.0, 31.2, waiver),),
    )


def not_ready(failures: int = 2) -> SuiteResult:
    """A8's overview still fails, A2 lost data, an app was not up: NOT_READY."""
    result = _with_overview(healthy(), Cell.FAIL, ("1,085 ms", "954 ms"), (1085.0, 954.0))
    result = _changed(
        result, "ramp", "a6", verdict=Cell.INCONCLUSIVE, reasons=("billing: 12 samples, 59 are needed",)
    )
    found = [
        Failure(
            "baseline", "a8", "overview", "P95 ≤ 150 ms", "954 ms", "954 ms > 150 ms",
            "put a caching layer before the aggregated dashboard data", "baseline/a8.warmed/diagnostics.md",
        ),
        Failure("burst", "a2", "persistence", "nothing lost", "12 lost", "12 of 8,500 are lost", ""),
    ]  # fmt: skip
    more = [
        Failure("ramp", "a7", f"route_{at}", "P95 ≤ 150 ms", "201 ms", "201 ms > 150 ms", "", "")
        for at in range(failures - 2)
    ]
    down = Uptime("a3", 13_500, 13_400, 13_400 / 13_500, Cell.FAIL, "99.259 % < 99.9 %")
    return replace(
        result,
        status=SuiteStatus.NOT_READY,
        exit_code=99,
        readiness=Readiness(88.1, 71.3, -16.8, "D", "first measurement"),
        known_issues=(_issue(IssueState.STILL_FAILING, 1085.0, 954.0),),
        availability=(*result.availability[:2], down, *result.availability[3:]),
        failures=tuple([*found, *more][:failures]),
    )


def rehearsal() -> SuiteResult:
    """Short, and not every phase: shown, never READY."""
    result = healthy()
    return replace(
        result,
        status=SuiteStatus.CONDITIONAL,
        rehearsal=("durations × 0.01", "only the phases health, smoke, baseline"),
        duration_scale=0.01,
        duration_s=88.0,
        readiness=Readiness(None, 97.0, None, "A", ""),
        phases=result.phases[:3],
        approvals=Approvals(),
        known_issues=(_issue(IssueState.NOT_MEASURED, None, None),),
    )


def awaiting() -> SuiteResult:
    """The spike waits for a human."""
    result = healthy()
    why = "it can reach 100 VUs, and more than 60 need an approval"
    for app in APPS:
        result = _changed(
            result, "spike", app, verdict=Cell.AWAITING_APPROVAL, reasons=(why,), runs=(), items=()
        )
    return replace(
        result,
        status=SuiteStatus.CONDITIONAL,
        exit_code=3,
        conditions=("spike was not run for want of an approval",),
        approvals=Approvals({"spike": (why,)}, "", ("spike",)),
    )


def halted() -> SuiteResult:
    """A health endpoint was too slow: nothing else was sent."""
    result = healthy()
    items = tuple(
        replace(item, verdict=Cell.FAIL, last=_slow(), first=_slow()) if _is_slow(item) else item
        for item in result.phases[0].cells[0].items
    )
    result = _changed(
        result, "health", "all", verdict=Cell.FAIL, items=items, reasons=("a3 health: 413 ms > 150 ms",)
    )
    rest = tuple(
        replace(
            phase,
            verdict=Cell.NOT_RUN,
            score_first=None,
            score_last=None,
            cells=tuple(CellResult(cell.app, Cell.NOT_RUN, ()) for cell in phase.cells),
        )
        for phase in result.phases[1:]
    )
    return replace(
        result,
        status=SuiteStatus.NOT_READY,
        exit_code=4,
        halted="health: a3 health P95 413 ms > 150 ms",
        phases=(result.phases[0], *rest),
        readiness=Readiness(3.1, 3.1, 0.0, "F", "first measurement"),
        known_issues=(_issue(IssueState.NOT_MEASURED, None, None),),
        failures=(
            Failure("health", "all", "a3 health", "P95 ≤ 150 ms", "413 ms", "413 ms > 150 ms", "", ""),
        ),
    )


def hostile() -> dict[str, Any]:
    """A failing result in which every text that is none of ours is `NASTY`."""
    return dict(_poisoned(awaiting_failures().to_json()))


def awaiting_failures() -> SuiteResult:
    """Something of everything: what fails, what waits, a waiver, a rehearsal."""
    result, waiting = not_ready(), awaiting()
    return replace(
        result,
        rehearsal=("durations × 0.01",),
        conditions=waiting.conditions,
        phases=tuple(
            late if late.verdict is Cell.AWAITING_APPROVAL else phase
            for phase, late in zip(result.phases, waiting.phases, strict=True)
        ),
        approvals=waiting.approvals,
        known_issues=mitigated().known_issues,
    )


def every() -> list[SuiteResult]:
    return [healthy(), mitigated(), not_ready(), rehearsal(), awaiting(), halted(), awaiting_failures()]


def items_of(tree: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(phase, item)` of a tree."""
    for phase in tree["phases"]:
        for cell in phase["cells"]:
            for item in cell["items"]:
                yield phase["name"], item


def write_suite_folder(folder: Path, result: SuiteResult) -> dict[str, Any]:
    """A suite's folder as it is left, without the courses being real. Gives the tree of `suite.json`."""
    tree: dict[str, Any] = orjson.loads(orjson.dumps(result.to_json()))
    files = {
        "suite.json": orjson.dumps(tree),
        "protocol.json": b'{"schema": "ecoload.protocol/1"}',
        "availability.csv": b"at_s,app,ok,ms\r\n1,a1,1,2.1\r\n",
        "approval.json": b"{}",
        "workspace/targets.yaml": b"apps: {}\n",
        "workspace/data.jsonl": b'{"feeder": "events"}\n',
        "workspace/scenarios/a2.yaml": b"app: a2\n",
        "workspace/scenarios/parts/form.bin": bytes(range(256)),
    }
    for phase in result.phases:
        for cell in phase.cells:
            for run in cell.runs:
                files |= {
                    f"{run.folder}/run.json": orjson.dumps(_run(phase, cell, run)),
                    f"{run.folder}/plan.json": b"{}",
                    f"{run.folder}/latency.hlog": b"#[Histogram log format version 1.3]\n" * 40,
                    f"{run.folder}/series.csv": b"elapsed_s\n",
                    f"{run.folder}/summary.md": b"# run\n",
                    f"{run.folder}/report.html": b"<!doctype html>",
                    f"{run.folder}/metrics_before.txt": b"up 1\n",
                }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tree


# --- pieces ---------------------------------------------------------------------------------------


def _phase(name: str) -> PhaseResult:
    if name == "health":
        cells: tuple[CellResult, ...] = (_health(),)
    else:
        apps = ("a2",) if name == "burst" else APPS
        cells = tuple(_cell(name, app) for app in apps)
    gate = "halt" if name in ("health", "smoke") else "pass" if name == "baseline" else "none"
    profile = None if name == "health" else name
    return PhaseResult(name, profile, gate, name == "burst", Cell.PASS, 1.0, 1.0, cells)


def _health() -> CellResult:
    items = [
        _level(app, f"{app} {route}", "p95_ms", 150.0, 3.2) for app in APPS for route in ("health", "healthz")
    ]
    runs = (RunNote("first", "health/all", "PASS", "VALID", 6.1),)
    return CellResult("all", Cell.PASS, (), runs, tuple(items))


def _cell(phase: str, app: str) -> CellResult:
    items = []
    for at, route in enumerate(ROUTES[app]):
        if app != "a4" and phase != "smoke":
            items.append(_level(app, route, "p95_ms", LIMITS.get(route, 150.0), 21.4 + 7 * at))
        items.append(_level(app, route, "error_rate", 0.01, 0.0))
    if app == "a2":
        kept = Measured("PASS", "18,000 of 18,000 kept", 0.0, "all are kept")
        items.append(Item("persistence", app, "persistence", "nothing lost", kept, kept, Cell.PASS))
    runs = (RunNote("first", f"{phase}/{app}", "PASS", "VALID", 900.4, "2.4.1"),)
    return CellResult(app, Cell.PASS, (), runs, tuple(items))


def _level(app: str, of: str, level: str, limit: float, value: float) -> Item:
    in_ms = level.endswith("_ms")
    was = Measured("PASS", f"{value:g} ms" if in_ms else f"{value:g} %", value)
    must_be = f"P95 ≤ {limit:g} ms" if in_ms else f"errors ≤ {limit * 100:g} %"
    return Item("level", app, of, must_be, was, was, Cell.PASS, level=level, limit=limit)


def _issue(
    state: IssueState, cold: float | None, warm: float | None, waiver: WaiverNote | None = None
) -> IssueResult:
    return IssueResult(
        id="A8-PERF-001",
        app="a8",
        route="overview",
        level="p95_ms",
        limit=150.0,
        summary="the executive overview aggregates on every request",
        remedy="a caching layer for aggregated dashboard data",
        state=state,
        cold=cold,
        warm=warm,
        waiver=waiver,
    )


def _with_overview(
    result: SuiteResult, verdict: Cell, was: tuple[str, str], values: tuple[float, float]
) -> SuiteResult:
    """A8's overview in the baseline, cold and warm."""
    words = ("FAIL", "PASS" if verdict is Cell.MITIGATED else "FAIL")
    first, last = (Measured(word, text, value) for word, text, value in zip(words, was, values, strict=True))
    cell = next(cell for cell in result.phases[2].cells if cell.app == "a8")
    items = tuple(
        replace(item, first=first, last=last, verdict=verdict, issue="A8-PERF-001")
        if (item.of, item.level) == ("overview", "p95_ms")
        else item
        for item in cell.items
    )
    runs = (
        replace(cell.runs[0], verdict="FAIL"),
        RunNote("warmed", "baseline/a8.warmed", words[1], "VALID", 900.2, "2.4.7"),
    )
    reasons = (f"overview P95: {was[0]} cold, {was[1]} warm",)
    return _changed(result, "baseline", "a8", verdict=verdict, items=items, runs=runs, reasons=reasons)


def _changed(result: SuiteResult, phase: str, app: str, **changes: Any) -> SuiteResult:
    """The result with one cell changed; the phase has the verdict of the cell then."""
    phases = tuple(
        replace(
            one,
            verdict=changes["verdict"],
            cells=tuple(replace(cell, **changes) if cell.app == app else cell for cell in one.cells),
        )
        if one.name == phase
        else one
        for one in result.phases
    )
    return replace(result, phases=phases)


def _is_slow(item: Item) -> bool:
    return item.of == "a3 health"


def _slow() -> Measured:
    return Measured("FAIL", "413 ms", 413.0, "413 ms > 150 ms")


_OURS = frozenset(
    {"READY", "CONDITIONAL", "NOT_READY", "VALID"}
    | {str(word) for kind in (Cell, IssueState) for word in kind}
)


def _poisoned(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key if key in _KEYS else NASTY: _poisoned(item) if key != "schema" else item
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_poisoned(item) for item in value]
    return NASTY if isinstance(value, str) and value and value not in _OURS else value


def _keys(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


_KEYS = {"schema"}.union(
    *map(_keys, (SuiteResult, PhaseResult, CellResult, RunNote, Item, Measured, Failure)),
    *map(_keys, (IssueResult, WaiverNote, Uptime, Approvals, Readiness, ProtocolHeader)),
)


def _run(phase: PhaseResult, cell: CellResult, run: RunNote) -> dict[str, Any]:
    """A `run.json` whose routes are the cell's."""
    result = passing() | {
        "app": cell.app,
        "profile": phase.name,
        "run_id": run.folder,
        "verdict": run.verdict,
    }
    result = passing()
    named = {"app": cell.app, "profile": phase.name, "run_id": run.folder, "verdict": run.verdict}
    names = [(item.app, item.of) for item in cell.items if item.kind == "level"]
    routes = [dict(result["routes"][0], route=of, app=app) for app, of in dict.fromkeys(names)]
    return result | named | {"routes": routes, "persistence": None}

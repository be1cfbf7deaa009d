"""Small outlines, runs and facts of suites for tests: only what decides is stated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ecoload.plan import ProtocolHeader
from ecoload.plan.suite import Gate, KnownIssue, Outline, PhaseOutline, Remedy, Waiver
from ecoload.verdict.cells import OneRun
from ecoload.verdict.suite import SuiteFacts

ISSUE = KnownIssue("A8-PERF-001", "a8", "overview", "p95_ms", "slow", "add a cache", warm="/warm", every_ns=1)
WAIVER = Waiver("the owner", "shipping anyway", "2026-12-31")
STARTED = "2026-11-25T10:00:00.000+00:00"


def phase(name: str, *apps: str, gate: Gate = Gate.NONE, optional: bool = False) -> PhaseOutline:
    return PhaseOutline(name, None if name == "health" else name, gate, optional, 1, apps)


def outline(*phases: PhaseOutline, **changes: Any) -> Outline:
    made = Outline(
        tool_version="1",
        protocol=ProtocolHeader(),
        apps=("a2", "a8"),
        phases=phases,
        known_issues=(ISSUE,),
        remedies=(Remedy("a2", "ingest", "index the table"),),
        uptime=0.999,
        seed=1,
        duration_scale=1.0,
        rehearsal=(),
        spec_hash="5" * 64,
        execution_hash="e" * 64,
    )
    return replace(made, **changes)


def level(
    verdict: str, value: float = 100.0, limit: float = 150.0, name: str = "p95_ms", required: bool = True
) -> dict[str, Any]:
    return {
        "level": name,
        "limit": limit,
        "value": value,
        "interval": None,
        "verdict": verdict,
        "reason": f"{value} against {limit}",
        "required": required,
    }


def run(app: str, routes: Mapping[str, Sequence[dict[str, Any]]], **changes: Any) -> dict[str, Any]:
    """A `run.json` whose routes have these levels; its verdict is the worst that decides."""
    verdicts = {one["verdict"] for levels in routes.values() for one in levels if one["required"]}
    whole = next((v for v in ("FAIL", "INCONCLUSIVE", "PASS") if v in verdicts), "INCONCLUSIVE")
    tree = {
        "app": app,
        "status": "finished",
        "verdict": whole,
        "verdict_reasons": [],
        "validity": {"status": "VALID", "reasons": []},
        "duration_s": 10.0,
        "target_version": f"{app}-1.0",
        "routes": [
            {"route": name, "app": app, "slo": {"levels": list(levels), "verdict": whole}}
            for name, levels in routes.items()
        ],
    }
    return tree | changes


def one(kind: str, result: dict[str, Any] | None, folder: str = "baseline/a8", error: str = "") -> OneRun:
    return OneRun(kind, folder, result, error)


def overview(verdict: str, value: float = 1085.0, **other: str) -> dict[str, Any]:
    """A8's run: the overview with this verdict, and further routes with theirs."""
    routes = {name: [level(word)] for name, word in other.items()}
    return run("a8", {"overview": [level(verdict, value)], **routes})


def facts(runs: Mapping[tuple[str, str], Sequence[OneRun]], **changes: Any) -> SuiteFacts:
    made = SuiteFacts("suite", STARTED, STARTED, 100.0, runs)
    return replace(made, **changes)


BASE_ASKED: dict[str, Any] = {
    "phases": ("baseline",),
    "apps": (),
    "parallel": None,
    "seed": 1,
    "duration_scale": 1.0,
    "base_urls": {"a8": "https://a8.example"},
    "transport": "http1",
    "pacing": "timer",
}


def flow(name: str, app: str, **steps: str) -> dict[str, Any]:
    """A `flow.json` whose steps have these verdicts."""
    whole = next((v for v in ("FAIL", "INCONCLUSIVE", "PASS") if v in steps.values()), "INCONCLUSIVE")
    proofs = [
        {"name": step, "expected": "holds", "found": word, "verdict": word, "reason": f"{step} is {word}"}
        for step, word in steps.items()
    ]
    return run(app, {}) | {"flow": name, "verdict": whole, "proofs": proofs}

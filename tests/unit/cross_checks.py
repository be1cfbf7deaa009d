"""Runs of two tools, and results of cross-checks, for the tests of what compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ecoload.measure.cross_check import RouteRun, Tool, ToolRun
from ecoload.plan import ConstantVUs, Executor, Load, Plan
from ecoload.verdict.agreement import Agreement
from ecoload.verdict.cross_check import CrossCheckFacts, judge_cross_check
from ecoload.verdict.cross_check_result import CrossCheckResult, FigureResult
from tests.unit.measuring import a_plan

SECOND = 1_000_000_000
NOISE = (0.02, -0.03, 0.01, 0.03, -0.02, 0.0)
"""ms by which a round's latencies differ from the round before."""


def paced(executor: Executor | None = None, pacing_ns: int = SECOND, **changes: Any) -> Plan:
    """A plan of one load: 10 VUs for 10 s, an iteration a second each, unless changed."""
    load = Load("steady", 0, "constant", executor or ConstantVUs(10, 10 * SECOND), pacing_ns=pacing_ns)
    return replace(a_plan(), loads=(load,), **changes)


def route_of(plan: Plan) -> str:
    return plan.routes[0].name


def run(tool: Tool, number: int, plan: Plan, **changes: Any) -> ToolRun:
    """A run of a plan of one route that goes well; `add_ms` makes each request so much longer."""
    moved = changes.pop("add_ms", 0.0) + NOISE[number % len(NOISE)] * (1 if tool is Tool.K6 else -1)
    requests, errors = changes.pop("requests", 100), changes.pop("errors", 0)
    own: dict[str, Any] = {
        "tool": tool,
        "round": number,
        "folder": f"round_{number}_{tool.value}",
        "run_id": f"run-{number}-{tool.value}",
        "started_at": "2026-11-26T01:44:05.919+00:00",
        "duration_s": 10.0,
        "requests": requests,
        "iterations": requests,
        "dropped_iterations": 0,
        "interrupted_iterations": 0 if tool is Tool.ECOLOAD else None,
        "failed_checks": 0,
        "vus_max": 10,
        "routes": (
            RouteRun(
                *(route_of(plan), requests, errors),
                *(12.0 + moved, 24.0 + moved, 30.0 + moved, 44.0 + moved, 14.0 + moved),
            ),
        ),
        "validity": "VALID" if tool is Tool.ECOLOAD else None,
    }
    return ToolRun(**{**own, **changes})


def runs(
    plan: Plan, rounds: int = 4, *, ours: dict[str, Any] | None = None, theirs: dict[str, Any] | None = None
) -> tuple[ToolRun, ...]:
    """All runs of a cross-check; `ours` and `theirs` change those of a tool."""
    return tuple(
        run(tool, number, plan, **((ours if tool is Tool.ECOLOAD else theirs) or {}))
        for number in range(1, rounds + 1)
        for tool in Tool
    )


def judged(plan: Plan, made: Sequence[ToolRun], **changes: Any) -> CrossCheckResult:
    facts = CrossCheckFacts(
        cross_check_id="20261126T014405-a2-steady-cross-check-7529",
        plan=plan,
        rounds=max((one.round for one in made), default=4),
        runs=tuple(made),
        started_at="2026-11-26T01:44:05.919+00:00",
        duration_s=80.0,
        k6_version="v1.8.1 (go1.26.8, linux/amd64)",
    )
    return judge_cross_check(replace(facts, **changes))


def figure(result: CrossCheckResult, name: str, route: str = "") -> FigureResult:
    (found,) = [one for one in result.figures if (one.route, one.figure) == (route, name)]
    return found


def apart(result: CrossCheckResult) -> set[str]:
    """What disagrees."""
    return {one.figure for one in result.figures if one.verdict is Agreement.DISAGREE}

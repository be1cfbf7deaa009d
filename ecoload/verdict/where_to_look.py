"""Where two tools disagree: which part of which one to look at, by the pattern of the differences.

Rules
-----
- A hint names what was seen before it says what it may mean. It is never a verdict.
- Where the server counted too, it says which of the two tools is off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from ecoload.measure.cross_check import SHARES, Tool, ToolRun
from ecoload.measure.result import ValidityStatus
from ecoload.plan import Plan
from ecoload.verdict.agreement import Agreement
from ecoload.verdict.cross_check_result import FigureResult

ABOUT_SAME = 0.3
"""Differences that vary by no more than this share of their mean are one shift."""
SPARE_CONNECTIONS = 1.2
"""More connections than this for each VU are not kept ones."""
HOT_CORES = 0.8


def where_to_look(plan: Plan, figures: Sequence[FigureResult], runs: Sequence[ToolRun]) -> Iterator[str]:
    """The hints; none where nothing disagrees."""
    apart = [one for one in figures if one.verdict is Agreement.DISAGREE]
    if not apart:
        return
    for route in dict.fromkeys(one.route for one in apart if one.figure in SHARES):
        yield _latency(route, [one for one in figures if one.route == route])
    if any(one.figure in SHARES or one.figure == "in flight" for one in apart):
        yield from _generators(runs)
        yield from _connections(plan, runs)
    if any(one.figure in ("iterations", "requests", "rate", "server saw", "in flight") for one in apart):
        yield from _counts(plan, figures)
    if any(one.figure == "dropped" for one in apart):
        yield (
            "iterations were dropped: the target is too slow for the VUs of the plan, or a generator for the "
            "rate. A burst queues in ecoload and drops in k6: they are alike only where nothing is dropped"
        )
    if any(one.figure in ("error rate", "failed checks") for one in apart):
        yield (
            "the error rates differ: look at the expected statuses and checks of that route, at redirects "
            "(each hop is a request) and at timeouts; run.json has ecoload's outcomes, k6.log what k6 says"
        )
    yield from _witnesses(apart)


def _latency(route: str, figures: Sequence[FigureResult]) -> str:
    shown = {one.figure: one for one in figures if one.figure in SHARES}
    shifts = [shown[name].difference or 0.0 for name in SHARES if name in shown]
    apart = [name for name in SHARES if name in shown and shown[name].verdict is Agreement.DISAGREE]
    slower = "k6" if fmean(shifts) > 0 else "ecoload"
    if max(shifts) - min(shifts) <= max(1.0, ABOUT_SAME * abs(fmean(shifts))):
        return (
            f"{route}: with {slower} every request takes about {abs(fmean(shifts)):.1f} ms longer, fast or "
            "slow: look at the transport, at a proxy or another address, and at connections that are not kept"
        )
    names = ", ".join(name.upper() for name in apart)
    if "p50" not in apart:
        return (
            f"{route}: only slow requests differ ({names}), longer with {slower}: look for a saturated "
            "generator (its CPU, late starts) or a target that is warm for one of them only"
        )
    return (
        f"{route}: the difference grows with the latency ({names}), longer with {slower}: look at whether "
        "both put the same load on the target: the model, VUs, think time, the size of the answers"
    )


def _generators(runs: Sequence[ToolRun]) -> Iterator[str]:
    doubtful = [
        f"round {run.round}: {'; '.join(run.validity_reasons)}"
        for run in runs
        if run.validity == ValidityStatus.SUSPECT.value
    ]
    if doubtful:
        yield f"ecoload says of itself that it is SUSPECT: {doubtful[0]}"
    for tool in Tool:
        shares = [run.cpu_share for run in runs if run.tool is tool and run.cpu_share is not None]
        if shares and max(shares) > HOT_CORES:
            yield (
                f"{tool.value} used up to {max(shares):.0%} of a core: where cores are short, requests wait "
                "for it"
            )


def _connections(plan: Plan, runs: Sequence[ToolRun]) -> Iterator[str]:
    for run in runs:
        most = SPARE_CONNECTIONS * max(1, run.vus_max) * max(1, len(plan.origins))
        if run.connections is not None and run.connections > most:
            yield (
                f"{run.tool.value} opened {run.connections} connections for {run.vus_max} VUs: the target, "
                "or what stands before it, does not keep them"
            )
            return


def _counts(plan: Plan, figures: Sequence[FigureResult]) -> Iterator[str]:
    shown = {one.figure: one for one in figures if not one.route}
    dropped = shown.get("dropped")
    if dropped is not None and (dropped.ecoload or dropped.k6):
        yield (
            f"dropped iterations: ecoload {dropped.ecoload:.0f}, k6 {dropped.k6:.0f} a round: what is "
            "dropped is not counted"
        )
    words = ", ".join(f"{load.name} ({load.executor_name}{_pacing(load.pacing_ns)})" for load in plan.loads)
    yield f"the counts differ: look at think time and pacing, and at the model of {words}"


def _pacing(pacing_ns: int) -> str:
    return f", pacing {pacing_ns / 1e9:g} s" if pacing_ns else ", no pacing"


def _witnesses(apart: Sequence[FigureResult]) -> Iterator[str]:
    for one in apart:
        if one.figure == "seen, not counted":
            ours, theirs = abs(one.ecoload or 0), abs(one.k6 or 0)
            tool = "ecoload" if ours > theirs else "k6"
            yield (
                f"the server's own count is nearer to the other tool's: {tool} is off by "
                f"{max(ours, theirs):.0f} requests a round"
            )
        elif one.figure == "acknowledged, lost":
            tool = "ecoload" if abs(one.ecoload or 0) > abs(one.k6 or 0) else "k6"
            yield f"the server holds another number of writes than {tool} had acknowledged"

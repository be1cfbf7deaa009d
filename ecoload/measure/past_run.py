"""A run that is over, as its folder holds it, for whoever lays runs side by side.

Rules
-----
- `run.json` may come from anywhere: what is read of it is read strictly, and what else
  stands in it left alone.
- The blocks of time come from `latency.hlog` and `series.csv`. Where those are not there, or do not hold what
  `run.json` says, there are none, and `no_blocks` says why: figures stay figures, without an interval.
- What is not known is None, a text empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecoload.errors import UsageError
from ecoload.measure.plan_file import read_plan
from ecoload.measure.rebuild import MOST_BYTES, Kept, read_kept
from ecoload.measure.result import Latency
from ecoload.measure.series import ALL
from ecoload.measure.strict import Strict, check_plain
from ecoload.plan import to_tree

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PastLatency:
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class PastRoute:
    """`samples` times are behind its percentiles; `unsent` is None where drops stand in no route; `verdict`
    is that of its service levels."""

    route: str
    requests: int | None
    error_rate: float | None
    rps: float | None
    response_ms: PastLatency
    service_ms: PastLatency
    unsent: int | None = None
    samples: int | None = None
    verdict: str = ""
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class PastValidity:
    status: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PastRun:
    """`loads` are those of its plan as a tree; `whole` all routes together, where the blocks are there."""

    run_id: str
    app: str
    profile: str
    status: str
    verdict: str
    validity: PastValidity
    started_at: str
    tool_version: str
    target_version: str
    spec_hash: str
    execution_hash: str
    requests: int
    error_rate: float | None
    rps: float | None
    iterations: int
    dropped_iterations: int
    routes: tuple[PastRoute, ...]
    stop_reason: str = ""
    model: str | None = None
    duration_scale: float | None = None
    measured_s: float | None = None
    vus_max: int | None = None
    whole: Kept | None = None
    loads: Any = None
    no_blocks: str = ""


def past_run(result: Mapping[str, Any], folder: Path) -> PastRun:
    """The run in `folder`, whose result (`run.json` as a tree) is `result`. Raises UsageError with everything
    that is wrong in it."""
    strict = Strict(more=True)
    routes = strict.listed(result.get("routes"), "routes")
    tree = {**result, "routes": [_flat(route) for route in routes]}
    run: PastRun = strict.of(PastRun, {key: tree[key] for key in tree if key not in _OURS}, "")
    _look_for_doubles(run, strict)
    if strict.problems:
        more = len(strict.problems) - _SHOWN
        shown = [*strict.problems[:_SHOWN], *([f"… and {more} more"] if more > 0 else [])]
        raise UsageError("\n".join([f"{folder / 'run.json'}: not the result of a run:", *shown]))
    return replace(_with_blocks(run, folder), loads=_loads(folder / "plan.json"))


_OURS = frozenset({"whole", "loads", "no_blocks"})


def _flat(route: Any) -> Any:
    """A route of `run.json` with what it holds deeper, or does not say outright."""
    if not isinstance(route, dict):
        return route
    outcomes, levels = route.get("outcomes"), route.get("slo")
    counted = [route.get(name) for name in ("requests", "errors")]
    samples = outcomes.get("ok", 0) if isinstance(outcomes, dict) and outcomes else None
    if samples is None and type(counted[0]) is int:
        samples = max(counted[0] - counted[1], 0) if type(counted[1]) is int else counted[0]
    verdict = levels.get("verdict", "") if isinstance(levels, dict) else ""
    return {key: route[key] for key in route if key != "kept"} | {"samples": samples, "verdict": verdict}


def _look_for_doubles(run: PastRun, strict: Strict) -> None:
    names = [route.route for route in run.routes]
    for index, name in enumerate(names):
        if name in names[:index]:
            strict.wrong(f"routes[{index}].route", f"{name[:60]!r} is there twice")


def _with_blocks(run: PastRun, folder: Path) -> PastRun:
    paths = [folder / name for name in ("latency.hlog", "series.csv")]
    try:
        for path in paths:
            check_plain(path, MOST_BYTES)
        kept = read_kept(folder)
    except OSError:
        return replace(run, no_blocks="it has no histograms of each second")
    except UsageError as error:
        return replace(run, no_blocks=str(error))
    for route in run.routes:
        found = kept.get(route.route)
        held = 0 if found is None else found.times["response"].total
        if held != (route.samples or 0):
            reason = f"latency.hlog holds {held:,} times of {route.route}, run.json {route.samples or 0:,}"
            return replace(run, no_blocks=reason)
    routes = tuple(replace(route, kept=kept.get(route.route)) for route in run.routes)
    return replace(run, routes=routes, whole=kept.get(ALL))


def _loads(path: Path) -> Any:
    """The loads of the plan, where it can be read."""
    try:
        check_plain(path, MOST_BYTES)
        return to_tree(read_plan(path).loads)
    except (OSError, UsageError):
        return None


def latency_of(kept: Kept | None, kind: str) -> PastLatency:
    """The percentiles of what a run's files hold."""
    if kept is None:
        return PastLatency()
    found = Latency.of(kept.times["response" if kind == "response" else "service"])
    return PastLatency(found.p50, found.p90, found.p95, found.p99)

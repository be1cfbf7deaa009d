"""Are two runs of the same thing? What keeps them apart is said all at once.

Rules
-----
- An obstacle makes them no comparison: another app, profile or scale of durations, an INVALID measurement, no
  route in common.
- A warning is what a difference may come from other than the target: another load, a run that was cut short,
  a measurement in doubt.
- Other words in the files (`spec_hash`) are a note: people compare before and after a change.
- What one of them does not know is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ecoload.measure.past_run import PastRun
from ecoload.measure.result import Status, ValidityStatus

NAMES = ("the reference", "the second run")


@dataclass(frozen=True, slots=True)
class Comparable:
    obstacles: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def comparable(before: PastRun, after: PastRun) -> Comparable:
    """What keeps these two runs apart."""
    return Comparable(
        tuple(_obstacles(before, after)), tuple(_warnings(before, after)), tuple(_notes(before, after))
    )


def _obstacles(before: PastRun, after: PastRun) -> Iterator[str]:
    yield from _unlike(
        before, after, {"app": "app", "profile": "profile", "duration_scale": "duration scale"}
    )
    for name, run in zip(NAMES, (before, after), strict=True):
        if run.validity.status == ValidityStatus.INVALID:
            yield f"{name} is INVALID: {'; '.join(run.validity.reasons) or 'it does not say why'}"
    if not {route.route for route in before.routes} & {route.route for route in after.routes}:
        yield "they have no route in common"


def _warnings(before: PastRun, after: PastRun) -> Iterator[str]:
    if before.loads is not None and after.loads is not None and before.loads != after.loads:
        yield f"the load is another: {_load(before)} against {_load(after)}"
    yield from _unlike(before, after, {"model": "model of load"})
    for name, run in zip(NAMES, (before, after), strict=True):
        if run.status and run.status != Status.FINISHED:
            yield f"{name} was {run.status}" + (f": {run.stop_reason}" if run.stop_reason else "")
        if run.validity.status == ValidityStatus.SUSPECT:
            yield f"{name} is SUSPECT: {'; '.join(run.validity.reasons) or 'it does not say why'}"
    for one, other, name in ((before, after, NAMES[0]), (after, before, NAMES[1])):
        there = {route.route for route in other.routes}
        alone = [route.route for route in one.routes if route.route not in there]
        if alone:
            yield f"only in {name}, and not compared: {', '.join(alone)}"


def _notes(before: PastRun, after: PastRun) -> Iterator[str]:
    if before.run_id and before.run_id == after.run_id:
        yield "both are the same run"
    if before.spec_hash and after.spec_hash and before.spec_hash != after.spec_hash:
        yield "the files that the plan was made of have changed (spec_hash)"
    elif before.execution_hash and after.execution_hash and before.execution_hash != after.execution_hash:
        yield "the files are the same, and what was sent is not (execution_hash): hosts, seed or tool"
    yield from _unlike(before, after, {"target_version": "version of the app", "tool_version": "tool"})
    for name, run in zip(NAMES, (before, after), strict=True):
        if run.no_blocks:
            yield f"{name} gives no intervals: {run.no_blocks}"


def _unlike(before: PastRun, after: PastRun, names: dict[str, str]) -> Iterator[str]:
    for field, name in names.items():
        one, other = getattr(before, field), getattr(after, field)
        if one not in (None, "") and other not in (None, "") and one != other:
            yield f"another {name}: {_shown(one)} against {_shown(other)}"


def _load(run: PastRun) -> str:
    rate = "" if run.rps is None else f", {run.rps:,.1f} requests/s"
    length = "" if run.measured_s is None else f" in {run.measured_s:,.0f} s"
    vus = "" if run.vus_max is None else f", {run.vus_max:,} VUs at most"
    return f"{run.iterations:,} iterations{length}{rate}{vus}"


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

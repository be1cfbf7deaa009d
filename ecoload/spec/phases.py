"""The shape of the protocol in `targets.yaml`: phases, gates, known issues and waivers.

Rules
-----
- Phases are carried out in the order in which they stand. A phase runs one profile for its apps, asks the
  health routes of all of them at once, or carries out flows, of the backend or in a browser; these are never
  scaled.
- A known issue names one level of one route. Its retest says how the remedy is put in place for a moment;
  its waiver who lets the protocol go on past it, why, and until when.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from ecoload.plan.suite import Gate, KnownIssue, Waiver
from ecoload.spec.shape import Duration, Model, Name, PositiveDuration, VUs

LEAST_HEALTH_REQUESTS = 60
"""With fewer there is no P95 to gate on."""

LEAST_WARMING_NS = 1_000_000_000

Word = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]


def _day(value: Any) -> str:
    try:
        if isinstance(value, str) and len(value) == 10:
            return datetime.date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise ValueError(f"expected a day such as 2026-12-31, got {value!r}")


Day = Annotated[str, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class HealthShape(Model):
    """How the health routes are asked: each so often a second, so many times."""

    requests: Annotated[int, Field(ge=LEAST_HEALTH_REQUESTS, le=100_000)] = LEAST_HEALTH_REQUESTS
    rate: Annotated[float, Field(gt=0, le=1000)] = 10.0
    timeout: PositiveDuration = 10_000_000_000


class PhaseShape(Model):
    """One phase of the protocol."""

    name: Name
    """what the phase is called"""
    profile: Name | None = None
    """The profile that its apps run."""
    health: HealthShape | None = None
    """Ask the health routes of all apps at once, in place of a profile."""
    flows: Literal["all"] | Annotated[list[Name], Field(min_length=1)] | None = None
    """Carry out these flows of scenarios/flows, or all of them, in place of a profile."""
    browser: Literal["all"] | Annotated[list[Name], Field(min_length=1)] | None = None
    """Carry out these flows of scenarios/browser, or all of them, in place of a profile."""
    apps: Annotated[list[Name], Field(min_length=1)] | None = None
    """All that have a scenario, where not stated."""
    gate: Literal["halt", "pass", "none"] = "none"
    """`halt`: a FAIL ends the protocol. `pass`: later phases wait until all of it passes."""
    parallel: VUs = 1
    """How many apps at a time."""
    optional: bool = False
    """Leaving it out makes no rehearsal."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if [self.profile, self.health, self.flows, self.browser].count(None) != 3:
            kinds = "profile: NAME, health: {requests: 60, rate: 10}, flows: all and browser: all"
            raise ValueError(f"expected one of {kinds}")
        return self

    @property
    def gate_value(self) -> Gate:
        return Gate(self.gate)


class WaiverShape(Model):
    """Who lets the protocol go on past a known issue."""

    by: Word
    """the name of who takes it upon themselves"""
    reason: Word
    """why the protocol may go on"""
    until: Day
    """the last day on which it may, such as 2026-12-31 (UTC)"""


def _no_load(every_ns: int) -> int:
    if 0 < every_ns < LEAST_WARMING_NS:
        raise ValueError("expected at least 1s: more often would be load, and nothing counts it")
    return every_ns


class RetestShape(Model):
    """How the remedy is put in place for a retest."""

    get: Annotated[str, Field(pattern=r"^/([^/]|$)")]
    """the path to get before the retest, such as /overview/warm"""
    every: Annotated[Duration, AfterValidator(_no_load)] = 0
    """And again so often while it runs, where it wears off."""


class KnownIssueShape(Model):
    """A failing that is tracked by name."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
    """the name it is tracked by, such as A8-PERF-001"""
    app: Name
    """the app"""
    route: Name
    """the route of it"""
    level: Literal["p50_ms", "p90_ms", "p95_ms", "p99_ms", "error_rate"] = "p95_ms"
    """The level that it misses."""
    summary: Word
    """what is wrong, in a sentence"""
    remedy: Word
    """what is to be done about it"""
    retest: RetestShape | None = None
    waiver: WaiverShape | None = None

    def value(self) -> KnownIssue:
        waiver = Waiver(self.waiver.by, self.waiver.reason, self.waiver.until) if self.waiver else None
        return KnownIssue(
            id=self.id,
            app=self.app,
            route=self.route,
            level=self.level,
            summary=self.summary,
            remedy=self.remedy,
            warm=self.retest.get if self.retest else None,
            every_ns=self.retest.every if self.retest else 0,
            waiver=waiver,
        )

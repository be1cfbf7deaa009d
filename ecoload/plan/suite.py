"""The suite's plan: every run of the protocol, in order, as one frozen value with one hash.

Rules
-----
- It holds each run's plan whole, and beside it the same plan under the remedy of a known issue, where there
  is one: whatever may be sent is in it, so that one approval covers it.
- Its hash is over the hashes of its runs and all that decides when and whether they are sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import orjson

from ecoload.plan import Plan, Probe, ProtocolHeader, to_tree


class Gate(StrEnum):
    """What a phase that does not pass does to those after it: HALT ends the protocol (exit 4); PASS
    holds up every later phase until all of it passes; NONE nothing."""

    HALT = "halt"
    PASS = "pass"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Waiver:
    """Lets the protocol go on past a known issue up to and including the day `until` (ISO, UTC)."""

    by: str
    reason: str
    until: str


@dataclass(frozen=True, slots=True)
class KnownIssue:
    """A failing of one level of one route that is known by name. `remedy` is what to do about it;
    `warm` (path of a GET, a template) what puts the remedy in place for a retest, every `every_ns`
    (0: once)."""

    id: str
    app: str
    route: str
    level: str
    summary: str
    remedy: str
    warm: str | None = None
    every_ns: int = 0
    waiver: Waiver | None = None


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do where a route fails without being a known issue; shown beside the failure."""

    app: str
    route: str
    text: str


@dataclass(frozen=True, slots=True)
class AppRun:
    """One run of a phase. `app` is `all` for the health phase, whose plan asks every app at once; for a flow
    the one whose verdict it is. `warmed` is the same plan under the remedies of the app's known issues."""

    app: str
    plan: Plan
    warmed: Plan | None = None

    @property
    def name(self) -> str:
        """What it is called in its phase: by its flow, else by its app."""
        return self.plan.flow_name or self.app


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase: its runs in order, `parallel` of them at a time. `profile` is None for health and flows.
    `not_applicable` are the apps that declare nothing of what the phase proves."""

    name: str
    profile: str | None
    gate: Gate
    runs: tuple[AppRun, ...]
    parallel: int = 1
    optional: bool = False
    not_applicable: tuple[str, ...] = ()

    @property
    def batches(self) -> tuple[tuple[AppRun, ...], ...]:
        """The runs that go on at the same time, batch after batch."""
        return tuple(self.runs[i : i + self.parallel] for i in range(0, len(self.runs), self.parallel))


@dataclass(frozen=True, slots=True)
class Watched:
    """An app whose availability is probed for as long as the suite runs."""

    app: str
    probe: Probe


@dataclass(frozen=True, slots=True)
class PhaseOutline:
    """A phase without its plans; `apps` in the order of its runs, and their `flows` where it carries out
    flows."""

    name: str
    profile: str | None
    gate: Gate
    optional: bool
    parallel: int
    apps: tuple[str, ...]
    flows: tuple[str, ...] = ()
    not_applicable: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[tuple[str, str, str], ...]:
        """`(name, app, flow)` of each run; its folder is called by its name."""
        flows = self.flows or ("",) * len(self.apps)
        return tuple((flow or app, app, flow) for app, flow in zip(self.apps, flows, strict=True))


@dataclass(frozen=True, slots=True)
class Outline:
    """What a suite was asked to be: all that its result is judged by beside the runs themselves. It is
    what `protocol.json` holds, so that a result can be formed again from the suite's folder alone."""

    tool_version: str
    protocol: ProtocolHeader
    apps: tuple[str, ...]
    phases: tuple[PhaseOutline, ...]
    known_issues: tuple[KnownIssue, ...]
    remedies: tuple[Remedy, ...]
    uptime: float
    seed: int
    duration_scale: float
    rehearsal: tuple[str, ...]
    spec_hash: str
    execution_hash: str


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """The whole protocol. `rehearsal` says why it is one (nothing: it is the real thing)."""

    tool_version: str
    protocol: ProtocolHeader
    apps: tuple[str, ...]
    phases: tuple[Phase, ...]
    known_issues: tuple[KnownIssue, ...]
    remedies: tuple[Remedy, ...]
    watched: tuple[Watched, ...]
    uptime: float
    seed: int
    duration_scale: float
    rehearsal: tuple[str, ...] = ()

    @property
    def runs(self) -> Iterator[tuple[Phase, AppRun]]:
        return ((phase, run) for phase in self.phases for run in phase.runs)

    def outline(self) -> Outline:
        """The suite without its plans."""
        return Outline(
            tool_version=self.tool_version,
            protocol=self.protocol,
            apps=self.apps,
            phases=tuple(
                PhaseOutline(
                    phase.name,
                    phase.profile,
                    phase.gate,
                    phase.optional,
                    phase.parallel,
                    tuple(run.app for run in phase.runs),
                    tuple(run.plan.flow_name for run in phase.runs if run.plan.flow_name),
                    phase.not_applicable,
                )
                for phase in self.phases
            ),
            known_issues=self.known_issues,
            remedies=self.remedies,
            uptime=self.uptime,
            seed=self.seed,
            duration_scale=self.duration_scale,
            rehearsal=self.rehearsal,
            spec_hash=self.spec_hash,
            execution_hash=self.execution_hash,
        )

    @property
    def execution_hash(self) -> str:
        """SHA-256 over everything that decides what is sent, in what order and when."""
        return _hash(self, lambda plan: plan.execution_hash, sent=True)

    @property
    def spec_hash(self) -> str:
        """SHA-256 over what people wrote of it, unresolved."""
        return _hash(self, lambda plan: plan.spec_hash, sent=False)


def _hash(suite: SuitePlan, of: Callable[[Plan], str], *, sent: bool) -> str:
    content = {
        "protocol": to_tree(suite.protocol),
        "apps": suite.apps,
        "phases": [
            {
                "name": phase.name,
                "gate": phase.gate,
                "optional": phase.optional,
                "runs": [[r.name, of(r.plan), of(r.warmed) if r.warmed else None] for r in phase.runs],
            }
            | ({"parallel": phase.parallel} if sent else {})
            for phase in suite.phases
        ],
        "known_issues": to_tree(suite.known_issues),
        "watched": to_tree(suite.watched) if sent else [watched.app for watched in suite.watched],
        "uptime": suite.uptime,
    }
    if sent:
        # In a rehearsal, what cannot be told holds up nothing.
        content["rehearsal"] = bool(suite.rehearsal)
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

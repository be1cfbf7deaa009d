"""A suite's result as a value: exactly what `suite.json` holds (schema `ecoload.suite/1`).

Rules
-----
- Each dataclass field is a key of the JSON object, in this order.
- `first` is the first measurement, without any remedy; `last` the one that counts: after a remedy or a
  retest where there was one. What was not measured is null.
- It is a pure function of what the suite's folder holds (`verdict/suite.py`), so anybody can form it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ecoload.measure.result import plain
from ecoload.plan import ProtocolHeader, to_tree

SCHEMA = "ecoload.suite/1"


class SuiteStatus(StrEnum):
    READY = "READY"
    CONDITIONAL = "CONDITIONAL"
    NOT_READY = "NOT_READY"


class Cell(StrEnum):
    """What became of one app in one phase, of one thing that was judged, or of a whole phase."""

    PASS = "PASS"
    MITIGATED = "MITIGATED"  # passes only under the remedy of a known issue
    WAIVED = "WAIVED"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    NO_BROWSER = "NO_BROWSER"
    NOT_RUN = "NOT_RUN"
    NOT_APPLICABLE = "NOT_APPLICABLE"


class IssueState(StrEnum):
    FIXED = "FIXED"
    MITIGATED = "MITIGATED"
    STILL_FAILING = "STILL_FAILING"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_MEASURED = "NOT_MEASURED"


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing as one run measured it. `value` in the unit of `limit`; `was` and `reason` for people."""

    verdict: str
    was: str
    value: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was judged and decides: a level of a route, a threshold, a proof, persistence,
    drift, or the run itself (`kind` `run`: why it proves nothing). `issue` is the known issue it is."""

    kind: str
    app: str
    of: str
    must_be: str
    first: Measured
    last: Measured
    verdict: Cell
    issue: str = ""
    level: str = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class RunNote:
    """One run of a cell: `kind` is `first`, `warmed` (under a remedy) or `retest`; `folder` from the
    suite's own."""

    kind: str
    folder: str
    verdict: str
    validity: str
    duration_s: float
    target_version: str = ""


@dataclass(frozen=True, slots=True)
class CellResult:
    """One app in one phase, or one flow of it. `items` are empty where it was not run."""

    app: str
    verdict: Cell
    reasons: tuple[str, ...]
    runs: tuple[RunNote, ...] = ()
    items: tuple[Item, ...] = ()
    flow: str = ""

    @property
    def name(self) -> str:
        """What its runs are called in their phase."""
        return self.flow or self.app


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """`score` is the share of what it judges that passes (0 to 1), first and last."""

    name: str
    profile: str | None
    gate: str
    optional: bool
    verdict: Cell
    score_first: float | None
    score_last: float | None
    cells: tuple[CellResult, ...]


@dataclass(frozen=True, slots=True)
class WaiverNote:
    by: str
    reason: str
    until: str
    valid: bool


@dataclass(frozen=True, slots=True)
class IssueResult:
    """A known issue: `cold` without the remedy, `warm` with it, in the unit of `limit`."""

    id: str
    app: str
    route: str
    level: str
    limit: float | None
    summary: str
    remedy: str
    state: IssueState
    cold: float | None
    warm: float | None
    waiver: WaiverNote | None


@dataclass(frozen=True, slots=True)
class Uptime:
    """The availability probe of one app, once a second while the suite ran."""

    app: str
    probes: int
    answered: int
    uptime: float | None
    verdict: Cell
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A FAIL that counts, for whoever mends it."""

    phase: str
    app: str
    of: str
    must_be: str
    was: str
    reason: str
    remedy: str
    diagnostics: str = ""


@dataclass(frozen=True, slots=True)
class Approvals:
    """Phases that need a human's approval with the reasons, who gave it, and which still wait."""

    needed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    given: str = ""
    awaiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """The Ecosystem Go-live Readiness Score (docs/readiness.md), 0 to 100 with one decimal. `previous` is
    what `before` was read from: a bundle, or `first measurement`."""

    before: float | None
    after: float
    delta: float | None
    grade: str
    previous: str


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """Everything `suite.json` says. `halted` is why it ended at a gate; `conditions` why the status is
    not READY though nothing failed; `exit_code` what the command ends with."""

    suite_id: str
    status: SuiteStatus
    rehearsal: tuple[str, ...]
    conditions: tuple[str, ...]
    halted: str
    interrupted: bool
    exit_code: int
    started_at: str
    ended_at: str
    duration_s: float
    duration_scale: float
    seed: int
    tool_version: str
    spec_hash: str
    execution_hash: str
    protocol: ProtocolHeader
    apps: tuple[str, ...]
    versions: Mapping[str, str]
    readiness: Readiness
    phases: tuple[PhaseResult, ...]
    known_issues: tuple[IssueResult, ...]
    availability: tuple[Uptime, ...]
    approvals: Approvals
    failures: tuple[Failure, ...]

    def to_json(self) -> dict[str, Any]:
        """The tree of `suite.json`: plain values only."""
        tree: dict[str, Any] = plain(to_tree(self))
        return {"schema": SCHEMA} | tree

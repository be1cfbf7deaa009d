"""Two runs side by side, as a value: exactly what `compare --json` says (schema `ecoload.compare/1`).

Rules
-----
- Each dataclass field is a key of the JSON object, in this order; docs/schema/compare.schema.json is the
  published form and changes with this module.
- Figures whose name ends in `_ms` are in ms, rates are shares of 1 or a second. What is not known is null.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ecoload.measure.bootstrap import Interval95
from ecoload.measure.result import plain
from ecoload.plan import to_tree

SCHEMA = "ecoload.compare/1"
MAY_BE_CHANCE = "beyond the tolerance, and it may be chance"
"""The reason of a NO_DIFFERENCE that looks like one."""


class Finding(StrEnum):
    REGRESSION = "REGRESSION"
    IMPROVEMENT = "IMPROVEMENT"
    NO_DIFFERENCE = "NO_DIFFERENCE"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Change:
    """One figure. `relative` is to what was before; `interval` (95 %) is of `relative`, for the error rate of
    `difference`. `finding` is None for what is only shown; one that does not decide counts for nothing."""

    figure: str
    before: float | None
    after: float | None
    difference: float | None
    relative: float | None
    interval: Interval95 | None = None
    finding: Finding | None = None
    reason: str = ""
    decides: bool = True


@dataclass(frozen=True, slots=True)
class RouteChange:
    """One route that both sent to. `verdicts` are those of its service levels before and after, empty where
    none is declared."""

    route: str
    finding: Finding
    verdicts: tuple[str, str]
    figures: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs; `folder` as it was given."""

    folder: str
    run_id: str
    app: str
    profile: str
    started_at: str
    tool_version: str
    target_version: str
    duration_scale: float | None
    measured_s: float | None
    spec_hash: str
    execution_hash: str
    status: str
    verdict: str
    validity: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`obstacles` are why the two are no runs of the same thing; `warnings` must be known before the figures
    are read, `notes` may. `judged_on` is the kind of time that percentiles are judged on: `response` or
    `service`."""

    verdict: Finding
    reasons: tuple[str, ...]
    obstacles: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    tolerance: float
    judged_on: str
    reference: Side
    compared: Side
    whole: tuple[Change, ...]
    routes: tuple[RouteChange, ...]

    def to_json(self) -> dict[str, Any]:
        """The tree of `ecoload.compare/1`: plain values only."""
        tree: dict[str, Any] = plain(to_tree(self))
        return {"schema": SCHEMA} | tree


def worst(findings: Iterable[Finding]) -> Finding:
    """A regression before what cannot be told, before an improvement; nothing judged is INCONCLUSIVE."""
    found = set(findings)
    order = (Finding.REGRESSION, Finding.INCONCLUSIVE, Finding.IMPROVEMENT, Finding.NO_DIFFERENCE)
    return next((finding for finding in order if finding in found), Finding.INCONCLUSIVE)

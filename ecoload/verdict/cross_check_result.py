"""A cross-check's result as a value: exactly what `cross_check.json` holds (schema `ecoload.cross_check/1`).

Rules
-----
- Each dataclass field is a key of the JSON object, in this order; docs/schema/cross_check.schema.json is the
  published form.
- Figures of a tool are means over the rounds; differences are k6's figure minus ecoload's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ecoload.measure.cross_check import ToolRun
from ecoload.measure.result import plain
from ecoload.plan import ProtocolHeader, to_tree
from ecoload.verdict.agreement import Agreement, Interval

SCHEMA = "ecoload.cross_check/1"


class CheckStatus(StrEnum):
    """How a cross-check ended: all rounds made; stopped, since a run told nothing; by Ctrl-C."""

    FINISHED = "finished"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far apart figures may be. Shares are of the mean of both tools; where two are given, the larger one
    counts. `error_rate` is a difference of two shares of 1."""

    percentile_share: float = 0.05
    percentile_ms: float = 1.0
    count_share: float = 0.01
    count: float = 1.0
    error_rate: float = 0.005
    in_flight_share: float = 0.05


@dataclass(frozen=True, slots=True)
class FigureResult:
    """One figure of one route (empty: of the whole run) by both tools. `verdict` None: it is shown and not
    compared, `reason` says why. `interval` is the 95 % one, `joint` the one that holds for all figures at
    once; `rounds_needed` how many would tell, as far as that can be said."""

    route: str
    figure: str
    unit: str
    ecoload: float | None
    k6: float | None
    difference: float | None
    interval: Interval | None
    joint: Interval | None
    tolerance: float | None
    verdict: Agreement | None
    reason: str = ""
    rounds_needed: int | None = None


@dataclass(frozen=True, slots=True)
class CrossCheckResult:
    """Everything `cross_check.json` says. `answered`: something came back from the target."""

    cross_check_id: str
    app: str
    profile: str
    verdict: Agreement
    reasons: tuple[str, ...]
    where_to_look: tuple[str, ...]
    status: CheckStatus
    stop_reason: str
    answered: bool
    rounds: int
    rounds_compared: int
    model: str
    counts_compared: bool
    started_at: str
    duration_s: float
    duration_scale: float
    seed: int
    tool_version: str
    k6_version: str
    spec_hash: str
    execution_hash: str
    protocol: ProtocolHeader
    tolerances: Tolerances
    confidence: float
    false_disagree: float
    figures: tuple[FigureResult, ...]
    runs: tuple[ToolRun, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """What the command ends with (docs/exit-codes.md)."""
        if self.status is CheckStatus.INTERRUPTED:
            return 130
        if not self.answered:
            return 6
        return {Agreement.AGREE: 0, Agreement.DISAGREE: 99, Agreement.INCONCLUSIVE: 5}[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """The tree of `cross_check.json`: plain values only."""
        tree: dict[str, Any] = plain(to_tree(self))
        return {"schema": SCHEMA} | tree

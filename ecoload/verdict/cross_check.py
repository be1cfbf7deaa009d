"""From the runs of two tools to AGREE, DISAGREE or INCONCLUSIVE, figure by figure and as a whole.

Rules
-----
- Only rounds that both tools went through are compared, three at least: two may be alike by chance.
- What only one tool measured is INCONCLUSIVE, never left out. What neither measured is shown.
- DISAGREE where one figure disagrees, AGREE where all that are compared agree, latencies of every route that
  was asked among them. A measurement of ours that is
  INVALID proves nothing, nor does a cross-check that was not finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from ecoload.measure.cross_check import SHARES, Tool, ToolRun
from ecoload.measure.result import ValidityStatus
from ecoload.plan import Plan
from ecoload.verdict.agreement import (
    CONFIDENCE,
    FALSE_DISAGREE,
    Agreement,
    Difference,
    joint_confidence,
    paired,
    shares,
)
from ecoload.verdict.compared import Compared, Pair, Values, compared, counts_are_planned
from ecoload.verdict.cross_check_result import CheckStatus, CrossCheckResult, FigureResult, Tolerances
from ecoload.verdict.judge import model_of
from ecoload.verdict.where_to_look import where_to_look

FEWEST_ROUNDS = 3
MOST_REASONS = 5
DISTURBED = 0.1
"""From this share of all cores on, others are told of where it is too noisy to say."""


@dataclass(frozen=True, slots=True)
class CrossCheckFacts:
    """What a cross-check brought: the plan as it was sent, the rounds asked for, the runs made so far."""

    cross_check_id: str
    plan: Plan
    rounds: int
    runs: tuple[ToolRun, ...]
    started_at: str
    duration_s: float
    k6_version: str
    status: CheckStatus = CheckStatus.FINISHED
    stop_reason: str = ""
    answered: bool = True
    notes: tuple[str, ...] = ()
    tolerances: Tolerances = field(default_factory=Tolerances)


def judge_cross_check(facts: CrossCheckFacts) -> CrossCheckResult:
    """The result of a cross-check, whatever it came to."""
    plan, pairs = facts.plan, rounds_of(facts.runs)
    found = [*compared(plan, pairs, facts.tolerances)] if pairs else []
    joint = joint_confidence(sum(one.is_judged for one in found))
    figures = tuple(_judged(one, joint) for one in found)
    verdict, reasons = _verdict(facts, figures, len(pairs))
    return CrossCheckResult(
        cross_check_id=facts.cross_check_id,
        app=plan.app,
        profile=plan.profile,
        verdict=verdict,
        reasons=tuple(reasons),
        where_to_look=tuple(where_to_look(plan, figures, facts.runs)),
        status=facts.status,
        stop_reason=facts.stop_reason,
        answered=facts.answered,
        rounds=facts.rounds,
        rounds_compared=len(pairs),
        model=model_of(plan),
        counts_compared=counts_are_planned(plan),
        started_at=facts.started_at,
        duration_s=round(facts.duration_s, 3),
        duration_scale=plan.duration_scale,
        seed=plan.seed,
        tool_version=plan.tool_version,
        k6_version=facts.k6_version,
        spec_hash=plan.spec_hash,
        execution_hash=plan.execution_hash,
        protocol=plan.protocol,
        tolerances=facts.tolerances,
        confidence=CONFIDENCE,
        false_disagree=FALSE_DISAGREE,
        figures=figures,
        runs=facts.runs,
        notes=facts.notes,
    )


def rounds_of(runs: Sequence[ToolRun]) -> list[Pair]:
    """The rounds that both tools went through, in order."""
    ours = {run.round: run for run in runs if run.tool is Tool.ECOLOAD}
    theirs = {run.round: run for run in runs if run.tool is Tool.K6}
    return [(ours[number], theirs[number]) for number in sorted(ours.keys() & theirs.keys())]


# --- a figure -------------------------------------------------------------------------------------


def _judged(one: Compared, joint: float) -> FigureResult:
    shown = _shown(one)
    if one.is_unknown:
        return replace(shown, reason="not told")
    if one.why_not:
        return shown
    if not one.is_known or shown.tolerance is None:
        return replace(shown, verdict=Agreement.INCONCLUSIVE, reason="not measured by both in every round")
    if len(one.ours) < FEWEST_ROUNDS:
        return replace(
            shown, verdict=Agreement.INCONCLUSIVE, reason=f"fewer than {FEWEST_ROUNDS} rounds tell nothing"
        )
    found = _difference(one, joint)
    verdict = found.agreement(shown.tolerance)
    unsure = verdict is Agreement.INCONCLUSIVE
    return replace(
        shown,
        difference=found.mean,
        interval=found.interval,
        joint=found.joint,
        verdict=verdict,
        reason=_why_unsure(found, shown.tolerance) if unsure else "",
        rounds_needed=found.rounds_needed(shown.tolerance) if unsure else None,
    )


def _shown(one: Compared) -> FigureResult:
    ours, theirs = _mean(one.ours), _mean(one.theirs)
    both = ours is not None and theirs is not None
    return FigureResult(
        route=one.route,
        figure=one.figure,
        unit=one.unit,
        ecoload=ours,
        k6=theirs,
        difference=theirs - ours if ours is not None and theirs is not None else None,
        interval=None,
        joint=None,
        tolerance=one.limit(fmean((ours or 0.0, theirs or 0.0))) if both else None,
        verdict=None,
        reason=one.why_not,
    )


def _difference(one: Compared, joint: float) -> Difference:
    if one.counts is not None:
        return shares(*one.counts, joint)
    ours, theirs = ([float(value or 0) for value in side] for side in (one.ours, one.theirs))
    return paired(ours, theirs, joint, step=one.step)


def _why_unsure(found: Difference, tolerance: float) -> str:
    low, high = found.interval
    if low > tolerance or high < -tolerance:
        return "apart, but in so few rounds that may be chance"
    return "too noisy to say" if abs(found.mean) <= tolerance else "apart, and too noisy to say"


def _mean(values: Values) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


# --- the whole ------------------------------------------------------------------------------------


def _verdict(
    facts: CrossCheckFacts, figures: Sequence[FigureResult], rounds: int
) -> tuple[Agreement, Sequence[str]]:
    invalid = [*_invalid(facts.runs)]
    if facts.status is not CheckStatus.FINISHED or not facts.answered:
        said = f"after {rounds} of {facts.rounds} rounds: {facts.stop_reason or 'nothing answered'}"
        return Agreement.INCONCLUSIVE, [said, *invalid]
    if invalid:
        return Agreement.INCONCLUSIVE, invalid
    by = {word: [one for one in figures if one.verdict is word] for word in Agreement}
    if apart := by[Agreement.DISAGREE]:
        return Agreement.DISAGREE, _listed([f"{_name(one)}: {_apart(one)}" for one in apart])
    if unsure := by[Agreement.INCONCLUSIVE]:
        reasons = _listed([f"{_name(one)}: {one.reason}" for one in unsure])
        return Agreement.INCONCLUSIVE, [*reasons, *_proposed(unsure), *_disturbed(facts.runs)]
    if silent := _listed([*_without_latency(figures)]):
        return Agreement.INCONCLUSIVE, silent
    if not any(one.route for one in by[Agreement.AGREE]):
        return Agreement.INCONCLUSIVE, ["nothing could be compared: no route was asked"]
    return Agreement.AGREE, []


def _without_latency(figures: Sequence[FigureResult]) -> Iterator[str]:
    """Tools whose every request failed alike have not shown that they measure the same."""
    for route in dict.fromkeys(one.route for one in figures if one.route):
        latencies = [one for one in figures if one.route == route and one.figure in SHARES]
        if not any(one.verdict for one in latencies):
            yield f"{route}: nothing was ok in either tool, so no latency is compared"


def _invalid(runs: Sequence[ToolRun]) -> Iterator[str]:
    for run in runs:
        if run.validity == ValidityStatus.INVALID.value:
            why = "; ".join(run.validity_reasons)
            yield f"round {run.round}: ecoload's own measurement is INVALID: {why}"


def _proposed(unsure: Sequence[FigureResult]) -> Iterator[str]:
    known = [one.rounds_needed for one in unsure if one.rounds_needed is not None]
    if len(known) == len(unsure):
        yield f"about {max(known)} rounds of such noise would tell; longer ones have less of it"


def _disturbed(runs: Sequence[ToolRun]) -> Iterator[str]:
    shares = [(run.others_cpu_share, run) for run in runs if run.others_cpu_share is not None]
    share, worst = max(shares, key=lambda one: one[0], default=(0.0, None))
    if worst is not None and share > DISTURBED:
        yield (
            f"other processes used up to {share:.0%} of this machine's cores (round {worst.round}, "
            f"{worst.tool.value}): in quiet it may be told"
        )


def _name(one: FigureResult) -> str:
    return f"{one.route} {one.figure}".strip()


def _apart(one: FigureResult) -> str:
    """The difference in words; of a share in percentage points."""
    factor, unit = (100, " percentage points") if one.unit == "share" else (1, f" {one.unit}".rstrip())
    ours, theirs, limit = ((value or 0) * factor for value in (one.ecoload, one.k6, one.tolerance))
    return f"ecoload {ours:.4g}, k6 {theirs:.4g}{unit} ({theirs - ours:+.3g}); at most {limit:.3g} agrees"


def _listed(reasons: list[str]) -> list[str]:
    more = len(reasons) - MOST_REASONS
    return reasons if more <= 0 else [*reasons[:MOST_REASONS], f"and {more} more"]

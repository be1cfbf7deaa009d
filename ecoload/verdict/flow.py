"""A flow, judged: each step over all its passes.

Rules
-----
- A step is PASS where it held in every pass, FAIL where it did not hold in one that reached it; the reason
  names the case, what was looked at, what it must be and what it was.
- What was interrupted or never reached is INCONCLUSIVE: it proves nothing, and what failed before it is told
  there.
- A flow is as good as its worst step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import orjson

from ecoload.measure.flow import Pass, StepOutcome, StepTaken, visible
from ecoload.measure.result import Verdict
from ecoload.plan import FlowStep, Plan
from ecoload.verdict.slo import worst

MOST_SHOWN = 300
MOST_REASONS = 3
"""Of one step; how many more there are is said."""
HOLDS = "holds"

_WORDS = {"eq": "", "ne": "not ", "all": "", "each": "each "}


def judge_flow(plan: Plan, passes: Sequence[Pass]) -> tuple[Verdict, list[str], list[dict[str, Any]]]:
    """The verdict, why it is no PASS, and each step as a proof (a part of `flow.json`)."""
    assert plan.flow is not None, "the plan of a flow"
    proofs = [_proof(plan, index, step, passes) for index, step in enumerate(plan.flow.steps)]
    verdict = worst(Verdict(proof["verdict"]) for proof in proofs)
    reasons = [f"{proof['name']}: {proof['reason']}" for proof in proofs if proof["verdict"] == verdict]
    return verdict, reasons if verdict is not Verdict.PASS else [], proofs


def told(step: StepTaken) -> str:
    """Why a step did not hold, in words."""
    if not step.of:
        return step.reason
    what = f"{step.of} {'is not there' if step.found is None else f'is {shown(step.found)}'}"
    operator = _WORDS.get(step.operator, f"{step.operator} ")
    must = f"it must be {operator}{shown(step.wanted)}" if step.operator != "exists" else "it must be there"
    return f"{what}; {must}" + (f" ({step.reason})" if step.reason else "")


def shown(value: Any) -> str:
    """A value as JSON, shortened."""
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def _proof(plan: Plan, index: int, step: FlowStep, passes: Sequence[Pass]) -> dict[str, Any]:
    made = plan.scenarios[0].steps[index]
    taken = [(one, one.steps[index]) for one in passes if index < len(one.steps)]
    verdict, reason = _judged(taken, len(passes))
    seen = visible(one for _, one in taken) if step.eventually else None
    held = sum(one.outcome is StepOutcome.HELD for _, one in taken)
    return {
        "name": step.name,
        "app": plan.routes[made.route].app,  # type: ignore[union-attr]  # a flow takes no choice
        "route": plan.routes[made.route].name,  # type: ignore[union-attr]
        "expected": HOLDS,
        "found": f"held in {held} of {len(passes)}",
        "verdict": verdict.value,
        "reason": reason,
        "passes": len(passes),
        "held": held,
        "within_s": step.eventually.within_ns / 1e9 if step.eventually else None,
        "visible_ms": None if seen is None else dataclasses.asdict(seen),
    }


def _judged(taken: Sequence[tuple[Pass, StepTaken]], passes: int) -> tuple[Verdict, str]:
    by = {outcome: [(one, step) for one, step in taken if step.outcome is outcome] for outcome in StepOutcome}
    if failed := by[StepOutcome.FAILED]:
        reasons = list(dict.fromkeys(f"{_where(one)}{told(step)}" for one, step in failed))
        more = f"; and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
        return Verdict.FAIL, "; ".join(reasons[:MOST_REASONS]) + more
    if len(by[StepOutcome.HELD]) == passes:
        return Verdict.PASS, ""
    cut = by[StepOutcome.INTERRUPTED] or by[StepOutcome.NOT_REACHED]
    return Verdict.INCONCLUSIVE, cut[0][1].reason if cut else "interrupted"


def _where(one: Pass) -> str:
    return f"case {one.case!r}: " if one.case else ""

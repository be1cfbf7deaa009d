"""A browser flow, judged: each step, and each web vital that has a limit.

Rules
-----
- A step is PASS where it held, and in its time where it has a limit; FAIL where it did not. What was cut off
  or never reached is INCONCLUSIVE: what failed before it is told there.
- A web vital is judged where its limit is given and the page has one: not every page is interacted with
  (INP). Where there is no first byte, paint or layout to measure, nothing is proved.
- The flow itself is a FAIL where Playwright did not call it passed, whatever its steps say: what the browser
  was not allowed to ask, and what is wrong with the spec, stand in no step.
- A flow is as good as its worst part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ecoload.measure.browser import METRICS, PASSED, BrowserSeen, StepSeen
from ecoload.measure.flow import StepOutcome
from ecoload.measure.result import Verdict
from ecoload.plan import BrowserStep, Plan
from ecoload.verdict.flow import HOLDS
from ecoload.verdict.slo import worst

NO_BROWSER = "no_browser"
"""The status of a flow that could not be begun, since nothing here can carry it out."""
MOST_SHOWN = 400
_LABELS = {"lcp_ms": "LCP", "cls": "CLS", "inp_ms": "INP", "ttfb_ms": "TTFB"}


def judge_browser(
    plan: Plan, seen: BrowserSeen, *, interrupted: bool, trouble: str = ""
) -> tuple[Verdict, list[str], list[dict[str, Any]]]:
    """The verdict, why it is no PASS, and each part as a proof (a part of `e2e.json`). `trouble` is why
    Playwright did not get to the end, where it did not."""
    assert plan.browser is not None, "the plan of a browser flow"
    proofs = [_step(plan, step, one) for step, one in zip(plan.browser.steps, seen.steps, strict=True)]
    proofs += _vitals(plan, seen)
    if (whole := _whole(plan, seen, proofs, interrupted, trouble)) is not None:
        proofs.append(whole)
    verdict = worst(Verdict(proof["verdict"]) for proof in proofs)
    reasons = [f"{proof['name']}: {proof['reason']}" for proof in proofs if proof["verdict"] == verdict]
    return verdict, reasons if verdict is not Verdict.PASS else [], proofs


def label(metric: str) -> str:
    """What a web vital is called."""
    return _LABELS[metric]


def shown(metric: str, value: float) -> str:
    """A web vital in its unit."""
    return f"{value:.0f} ms" if metric.endswith("_ms") else f"{value:.3g}"


def _step(plan: Plan, step: BrowserStep, one: StepSeen) -> dict[str, Any]:
    within_ms = None if step.within_ns is None else step.within_ns / 1e6
    verdict, reason = Verdict.INCONCLUSIVE, short(one.reason)
    if one.outcome is StepOutcome.FAILED:
        verdict = Verdict.FAIL
    elif one.outcome is StepOutcome.HELD:
        verdict, reason = Verdict.PASS, ""
        if within_ms is not None and one.seen_ms is not None and one.seen_ms > within_ms:
            verdict = Verdict.FAIL
            reason = f"it was seen after {one.seen_ms / 1000:.1f} s; it must be within {within_ms / 1000:g} s"
    return {
        "name": step.name,
        "app": plan.app,
        "expected": HOLDS,
        "found": one.outcome.value,
        "verdict": verdict.value,
        "reason": reason,
        "took_ms": round(one.took_ms, 1),
        "within_s": None if within_ms is None else within_ms / 1000,
        "seen_ms": None if one.seen_ms is None else round(one.seen_ms, 1),
    }


def _vitals(plan: Plan, seen: BrowserSeen) -> Iterator[dict[str, Any]]:
    assert plan.browser is not None
    limits = plan.browser.vitals
    for page in seen.vitals if limits is not None else ():
        for metric in METRICS:
            limit, value = getattr(limits, metric), page.values[metric]
            if limit is None or (value is None and metric == "inp_ms"):
                continue
            verdict, reason = Verdict.INCONCLUSIVE, "the page told none"
            if value is not None:
                verdict = Verdict.PASS if value <= limit else Verdict.FAIL
                sign = "≤" if verdict is Verdict.PASS else ">"
                reason = f"{shown(metric, value)} {sign} {shown(metric, limit)}"
            yield {
                "name": f"{label(metric)} of {page.page}",
                "app": plan.app,
                "expected": f"at most {shown(metric, limit)}",
                "found": "not measured" if value is None else shown(metric, value),
                "verdict": verdict.value,
                "reason": reason if verdict is not Verdict.PASS else "",
                "page": page.page,
                "metric": metric,
                "value": value,
                "limit": limit,
            }
    if limits is not None and not seen.vitals:
        yield _proof(plan, "web vitals", "measured", "no page", Verdict.INCONCLUSIVE, "no page was measured")


def _whole(
    plan: Plan, seen: BrowserSeen, proofs: list[dict[str, Any]], interrupted: bool, trouble: str
) -> dict[str, Any] | None:
    """The flow as a whole, where its parts do not tell why it is no PASS."""
    if interrupted:
        return _proof(plan, "the flow", "carried out", "interrupted", Verdict.INCONCLUSIVE, "interrupted")
    if seen.status == seen.over == PASSED and not trouble:
        return None
    if any(proof["verdict"] == Verdict.FAIL for proof in proofs) and not trouble:
        return None
    reason = trouble or short(next(iter(seen.errors), "")) or "Playwright carried out no such test"
    found = seen.status if seen.status != PASSED else seen.over
    return _proof(plan, "the flow", "carried out", found or "not", Verdict.FAIL, reason)


def _proof(plan: Plan, name: str, expected: str, found: str, verdict: Verdict, reason: str) -> dict[str, Any]:
    return {
        "name": name,
        "app": plan.app,
        "expected": expected,
        "found": found,
        "verdict": verdict.value,
        "reason": reason,
    }


def short(text: str) -> str:
    """What Playwright says, as one line."""
    lines = (line.strip() for line in text.splitlines())
    line = " · ".join(
        line for line in lines if line and not line.startswith(("at ", "- waiting", "Call log"))
    )
    line = line.removeprefix("Error: ")
    return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN - 1]}…"

"""A fault and a breaker, judged: each oracle a proof, and the figures that the report shows.

Rules
-----
- Times follow from when the fault was set and withdrawn, as the target confirmed it, and from when a state
  was first seen. What cannot be told (no fault was set, the breaker was not asked, the load ended too
  early) is INCONCLUSIVE.
- Open is from when `open` is first seen until `closed` is: a half-open breaker still refuses.
- Let through is an answer `ok` to a request that was begun after one answer that said `open` and was whole
  before the last question that was answered so: such a request was asked of a dependency that must not be
  asked. Between two spans of `open` there was a probe, which may go well.
- The error budget is what fails of the guarded route over the whole run, by the outcomes that count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ecoload.measure.outcome import Outcome
from ecoload.measure.resiliency import OK, Ints, ResiliencyFound, Span, first, p95_ms, spans
from ecoload.measure.result import ProofResult, Verdict
from ecoload.plan import Plan, Scalar

LEAST_ANSWERS = 59
"""With fewer there is no P95."""


@dataclass(frozen=True, slots=True)
class Course:
    """What the timeline comes to; None where it did not come to it. Times in s from the load's beginning,
    latencies in ms, counts of the guarded route."""

    spans: tuple[Span, ...]
    set_s: float | None
    withdrawn_s: float | None
    opened_s: float | None
    closed_s: float | None
    closed_early_s: float | None
    requests: int
    errors: int
    while_open: int
    fallbacks: int
    let_through: int
    p95_before_ms: float | None
    p95_open_ms: float | None
    p95_after_ms: float | None

    @property
    def error_share(self) -> float | None:
        return self.errors / self.requests if self.requests else None


def course_of(found: ResiliencyFound) -> Course:
    """The figures of what was seen."""
    timeline = spans(found.seen, found.ended_s)
    set_s, withdrawn_s = first(found.fault, "set"), first(found.fault, "withdrawn")
    opened = next(
        (one.from_s for one in timeline if one.state == "open" and one.from_s >= (set_s or 0)), None
    )
    if set_s is None:
        opened = None
    closings = [
        one.from_s for one in timeline if one.state == "closed" and opened is not None and one.from_s > opened
    ]
    early = next((at for at in closings if withdrawn_s is None or at < withdrawn_s), None)
    closed = next((at for at in closings if withdrawn_s is not None and at >= withdrawn_s), None)
    table = found.answers.table()
    outcome = table[:, 3]
    counted = np.isin(outcome, [int(one) for one in Outcome if one.is_counted])
    errors = np.isin(outcome, [int(one) for one in Outcome if one.is_error])
    open_rows = np.zeros(len(table), bool)
    through = np.zeros(len(table), bool)
    for one in timeline:
        if one.state == "open":
            open_rows |= _within(table, one.from_s, one.to_s)
            through |= _within(table, one.from_s, one.seen_s) & (outcome == OK)
    response = table[:, 2] - table[:, 0]
    ok = outcome == OK
    before = ok & (table[:, 2] <= (set_s if set_s is not None else found.ended_s) * 1e9)
    after = ok & (table[:, 1] >= (closed if closed is not None else np.inf) * 1e9)
    return Course(
        tuple(timeline),
        set_s,
        withdrawn_s,
        opened,
        closed,
        early,
        int(counted.sum()),
        int(errors.sum()),
        int((open_rows & counted).sum()),
        int((open_rows & errors).sum()),
        int(through.sum()),
        p95_ms(response[before]),
        p95_ms(response[open_rows & counted]),
        p95_ms(response[after]),
    )


def judge_resiliency(plan: Plan, found: ResiliencyFound | None) -> tuple[ProofResult, ...]:
    """A proof for each oracle that the plan has; none where nothing was injected."""
    if plan.resiliency is None or found is None:
        return ()
    return tuple(_judged(plan, found, course_of(found)))


def _judged(plan: Plan, found: ResiliencyFound, course: Course) -> Iterator[ProofResult]:
    assert plan.resiliency is not None, "the plan of a fault"
    oracles, app = plan.resiliency.oracles, plan.app
    route = f"{app}: {plan.routes[plan.resiliency.route].name}"
    breaker = f"{app}: the breaker"

    def proof(
        name: str, question: str, expected: Scalar, value: Scalar, verdict: Verdict, reason: str
    ) -> ProofResult:
        return ProofResult(name, question, expected, value, 0.0, 0.0, verdict, reason)

    withdrawn = _withdrawn(found)
    yield proof("the fault is withdrawn", f"{app}: the fault", True, withdrawn[0], *withdrawn[1:])
    if oracles.opens_within_ns is not None:
        most = oracles.opens_within_ns / 1e9
        took = _minus(course.opened_s, course.set_s)
        yield proof(
            "the breaker opens", breaker, f"within {most:g} s", _s(took), *_opens(found, course, took, most)
        )
    if oracles.stays_open:
        early = _s(course.closed_early_s)
        yield proof("the breaker stays open", breaker, "until it is withdrawn", early, *_stays(course))
    if oracles.closes_within_ns is not None:
        most = oracles.closes_within_ns / 1e9
        took = _minus(course.closed_s, course.withdrawn_s)
        yield proof(
            "the breaker closes", breaker, f"within {most:g} s", _s(took), *_closes(found, course, took, most)
        )
    if oracles.p95_open_ms is not None:
        yield proof("P95 while open", route, f"at most {oracles.p95_open_ms:g} ms", _ms(course.p95_open_ms),
                    *_latency(course, oracles.p95_open_ms))  # fmt: skip
    if oracles.let_through is not None:
        yield proof("let through while open", route, oracles.let_through, course.let_through,
                    *_through(course, oracles.let_through))  # fmt: skip
    if oracles.error_budget is not None:
        yield proof("error budget", route, f"at most {oracles.error_budget:.4g}", _share(course.error_share),
                    *_budget(found, course, oracles.error_budget))  # fmt: skip
    if oracles.double_effects is not None:
        doubled = found.doubled if isinstance(found.doubled, int | str | float | bool) else None
        yield proof("double effects", f"{app}: {oracles.double_effects.json}", 0, doubled, *_doubled(found))


def _withdrawn(found: ResiliencyFound) -> tuple[Scalar, Verdict, str]:
    done = [one for one in found.fault if one.what == "withdrawn"]
    if first(found.fault, "set") is None:
        problems = [one.problem for one in found.fault if one.problem]
        why = f"the fault could not be set: {problems[-1]}" if problems else "no fault was set"
        if not done:
            return None, Verdict.INCONCLUSIVE, why
    if done and not done[-1].problem:
        return True, Verdict.PASS, f"withdrawn after {done[-1].at_s:.1f} s, and the target confirmed it"
    why = f": {done[-1].problem}" if done else ""
    return False, Verdict.FAIL, f"its withdrawal was not confirmed{why}; look whether it is still set"


def _opens(found: ResiliencyFound, course: Course, took: float | None, most: float) -> tuple[Verdict, str]:
    if course.set_s is None:
        return Verdict.INCONCLUSIVE, "no fault was set"
    if not course.spans:
        return Verdict.INCONCLUSIVE, f"the breaker could not be asked: {_problem(found)}"
    if took is not None:
        return _limit(took <= most, f"opened {took:.1f} s after the fault was set, at most {most:g} s")
    until = min(found.ended_s, course.withdrawn_s if course.withdrawn_s is not None else found.ended_s)
    lasted = until - course.set_s
    if lasted < most:
        return Verdict.INCONCLUSIVE, f"the fault lasted {lasted:.1f} s, too short to tell {most:g} s"
    return Verdict.FAIL, f"the breaker never opened in {lasted:.1f} s of the fault"


def _stays(course: Course) -> tuple[Verdict, str]:
    if course.opened_s is None:
        return Verdict.INCONCLUSIVE, "it was not seen to open"
    if course.closed_early_s is not None:
        early = course.closed_early_s - course.opened_s
        return Verdict.FAIL, f"closed {early:.1f} s after it opened, while the fault was set"
    return Verdict.PASS, "never closed while the fault was set"


def _closes(found: ResiliencyFound, course: Course, took: float | None, most: float) -> tuple[Verdict, str]:
    if course.opened_s is None:
        return Verdict.INCONCLUSIVE, "it was not seen to open"
    if course.withdrawn_s is None:
        return Verdict.INCONCLUSIVE, "the fault was not withdrawn"
    if course.closed_early_s is not None and took is None:
        return Verdict.INCONCLUSIVE, "it had closed before the fault was withdrawn"
    if took is not None:
        return _limit(took <= most, f"closed {took:.1f} s after the fault was withdrawn, at most {most:g} s")
    lasted = found.ended_s - course.withdrawn_s
    state = course.spans[-1].state.replace("_", "-") if course.spans else "not known"
    if lasted < most:
        return Verdict.INCONCLUSIVE, f"the load ended {lasted:.1f} s after that, too early to tell {most:g} s"
    return (
        Verdict.FAIL,
        f"the breaker never closed: still {state} {lasted:.1f} s after the fault was withdrawn",
    )


def _latency(course: Course, most: float) -> tuple[Verdict, str]:
    if course.opened_s is None or course.p95_open_ms is None:
        return Verdict.INCONCLUSIVE, "it was not seen to open"
    if course.while_open < LEAST_ANSWERS:
        return (
            Verdict.INCONCLUSIVE,
            f"{course.while_open} answers while open, {LEAST_ANSWERS} are needed for a P95",
        )
    return _limit(course.p95_open_ms <= most, f"{course.p95_open_ms:.1f} ms of {course.while_open} answers")


def _through(course: Course, most: int) -> tuple[Verdict, str]:
    if course.opened_s is None:
        return Verdict.INCONCLUSIVE, "it was not seen to open"
    said = (
        f"{course.let_through} of {course.while_open} requests while open were answered as if all were well"
    )
    return _limit(course.let_through <= most, said)


def _budget(found: ResiliencyFound, course: Course, most: float) -> tuple[Verdict, str]:
    if course.error_share is None or found.answers.missing:
        return Verdict.INCONCLUSIVE, "not all answers are known"
    said = f"{course.errors} of {course.requests} requests failed, {course.error_share * 100:.1f} %"
    return _limit(course.error_share <= most, f"{said}; the budget is {most * 100:g} %")


def _doubled(found: ResiliencyFound) -> tuple[Verdict, str]:
    if found.doubled_problem:
        return Verdict.INCONCLUSIVE, f"could not be asked: {found.doubled_problem}"
    if isinstance(found.doubled, bool) or not isinstance(found.doubled, int):
        return Verdict.INCONCLUSIVE, "the answer is no count"
    if found.doubled:
        return Verdict.FAIL, f"{found.doubled} keys had more than one effect"
    return Verdict.PASS, "no key had more than one effect"


def _limit(holds: bool, reason: str) -> tuple[Verdict, str]:
    return (Verdict.PASS if holds else Verdict.FAIL), reason


def _within(table: Ints, from_s: float, to_s: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return (table[:, 1] >= from_s * 1e9) & (table[:, 2] <= to_s * 1e9)


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _problem(found: ResiliencyFound) -> str:
    return next((one.problem for one in reversed(found.seen) if one.problem), "it was not asked")


def _s(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"


def _ms(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} ms"


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 4)

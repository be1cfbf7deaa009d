"""Conditions: over the whole run, over windows without a break, never without a sample."""

from __future__ import annotations

from typing import Any

import pytest

from ecoload.measure.recorder import Recorder
from ecoload.measure.result import Validity, ValidityStatus, Verdict
from ecoload.plan import Condition, Plan
from ecoload.verdict.conditions import ConditionWatch, Fired, judge_thresholds, judge_watched
from tests.unit.measuring import SECOND, a_plan, figures_of, second_of

PASS, FAIL, INCONCLUSIVE = Verdict
VALID = Validity(ValidityStatus.VALID)


def condition(
    metric: str, sign: str, value: float, for_s: int = 0, after_s: int = 0, route: str | None = None
) -> Condition:
    return Condition(
        f"{metric} {sign} {value}",
        metric,
        sign,
        value,
        route,
        for_s * SECOND,
        after_s * SECOND,  # type: ignore[arg-type]
    )


def watched(one: Condition, seconds: list[Any], plan: Plan | None = None, **counters: Any) -> list[float]:
    """When `one` fired; each of `seconds` is the response times of a second, or `(times, errors)`."""
    plan = plan or a_plan(abort_when=(one,))
    recorder, watch = Recorder.for_plan(plan), ConditionWatch(plan)
    for end, second in enumerate(seconds, start=1):
        times, errors = second if isinstance(second, tuple) else (second, 0)
        watch.observe(second_of(recorder, end, times, errors=errors, **counters))
    return [fired.at_s for fired in watch.fired]


FAST, SLOW, NONE = [10.0] * 20, [500.0] * 20, list[float]()


@pytest.mark.parametrize(
    ("seconds", "fired"),
    [
        ([SLOW] * 3, [3.0]),
        ([SLOW] * 9, [3.0]),
        ([SLOW] * 2, []),
        ([SLOW, SLOW, FAST, SLOW, SLOW], []),
        ([FAST, SLOW, SLOW, SLOW], [4.0]),
        ([NONE] * 9, []),
        ([SLOW, NONE, SLOW], [3.0]),
        ([SLOW, SLOW, NONE, FAST], []),
        ([SLOW * 50, FAST, FAST], []),
    ],
)
def test_a_window_is_true_without_a_break(seconds: list[list[float]], fired: list[float]) -> None:
    assert watched(condition("p95", ">", 300, for_s=3), seconds) == fired


def test_nothing_is_looked_at_before_after() -> None:
    assert watched(condition("p95", ">", 300, for_s=2, after_s=3), [SLOW] * 5) == [5.0]
    assert watched(condition("p95", ">", 300, after_s=3), [SLOW] * 5) == [3.0]
    assert watched(condition("p95", ">", 300, for_s=2, after_s=3), [SLOW, SLOW, SLOW, FAST, FAST]) == []


def test_without_for_the_run_so_far_decides() -> None:
    assert watched(condition("error_rate", ">", 0.3), [(FAST, 0), (FAST, 10), (FAST, 30)]) == [3.0]
    assert watched(condition("error_rate", ">", 0.3), [(FAST, 0), (FAST, 10), (FAST, 10)]) == []
    assert watched(condition("max", ">", 300), [FAST, FAST, SLOW]) == [3.0]


def test_no_sample_never_fires_but_no_request_is_a_rate() -> None:
    for metric in ("p50", "p90", "p95", "p99", "max", "mean", "error_rate"):
        assert watched(condition(metric, ">=", 0), [NONE] * 3) == []
        assert watched(condition(metric, ">=", 0), [NONE, (FAST, 1)]) == [2.0]
    assert watched(condition("rps", "<", 5, for_s=2), [NONE] * 3) == [2.0]
    assert watched(condition("rps", "<", 5, for_s=2), [FAST] * 3) == []


def test_drops_are_counted_where_they_belong() -> None:
    drops = {"dropped_iterations": 7, "dropped_by_load": (7,)}
    assert watched(condition("dropped_iterations", ">", 5), [FAST], **drops) == [1.0]
    assert watched(condition("dropped_iterations", ">", 5, for_s=2), [FAST] * 3, **drops) == []
    assert watched(condition("dropped_iterations", ">", 5, route="count"), [FAST], **drops) == []
    assert watched(condition("error_rate", ">", 0.2), [FAST], **drops) == [1.0]


def test_a_condition_on_a_route_sees_that_route_only() -> None:
    assert watched(condition("p95", ">", 300, route="ingest"), [SLOW]) == [1.0]
    assert watched(condition("p95", ">", 300, route="count"), [SLOW]) == []


def test_the_warm_up_is_not_looked_at() -> None:
    one = condition("error_rate", ">", 0.5, for_s=1)
    plan = a_plan(abort_when=(one,), warm_up_ns=2 * SECOND)
    assert watched(one, [(NONE, 9), (NONE, 9)], plan) == []
    assert watched(one, [(NONE, 9), (NONE, 9), (NONE, 9)], plan) == [3.0]


def test_ticks_that_come_a_little_early_do_not_cost_a_second() -> None:
    plan = a_plan(abort_when=(condition("p95", ">", 300, for_s=3),))
    recorder, watch = Recorder.for_plan(plan), ConditionWatch(plan)
    for end in (1.01, 2.0, 2.999):
        watch.observe(second_of(recorder, end, SLOW))
    assert len(watch.fired) == 1


def test_what_fired_says_whether_it_aborts_and_why() -> None:
    one = condition("error_rate", ">", 0.1)
    plan = a_plan(abort_when=(one,), fail_when=(condition("p95", ">", 300),))
    recorder, watch = Recorder.for_plan(plan), ConditionWatch(plan)
    assert watch.observe(second_of(recorder, 1, FAST)) == ()
    (aborting,) = watch.observe(second_of(recorder, 2, FAST, errors=20))
    assert (aborting.aborts, aborting.reason) == (True, "error_rate > 0.1 (33.33% at 2 s)")
    (failing,) = watch.observe(second_of(recorder, 3, SLOW * 50))
    assert failing.aborts is False
    assert watch.fired == (aborting, failing)


@pytest.mark.parametrize(
    ("metric", "sign", "value", "verdict"),
    [
        ("p95", "<", 300, PASS),
        ("p95", "<", 5, FAIL),
        ("p50", "<=", 10.007, PASS),
        ("max", "==", 10, PASS),
        ("max", "!=", 10, FAIL),
        ("mean", ">=", 9, PASS),
        ("error_rate", "<", 0.2, PASS),
        ("error_rate", ">", 0.2, FAIL),
        ("rps", ">", 111, PASS),
        ("rps", ">", 113, FAIL),
        ("dropped_iterations", "==", 0, PASS),
    ],
)
def test_thresholds_over_the_whole_run(metric: str, sign: str, value: float, verdict: Verdict) -> None:
    figures = figures_of([10.0] * 100, errors=12)
    plan = a_plan(thresholds=(condition(metric, sign, value),))
    (found,) = judge_thresholds(plan, figures, VALID)
    assert found.verdict is verdict
    assert found.kind == "threshold"


def test_a_threshold_without_enough_samples_is_inconclusive() -> None:
    plan = a_plan(thresholds=(condition("p99", "<", 300), condition("p95", "<", 300)))
    assert [one.verdict for one in judge_thresholds(plan, figures_of(FAST), VALID)] == [INCONCLUSIVE, PASS]
    assert [one.verdict for one in judge_thresholds(plan, figures_of(NONE), VALID)] == [INCONCLUSIVE] * 2


def test_what_was_watched_is_judged_by_whether_it_fired() -> None:
    abort, fail = condition("p95", ">", 300), condition("p50", ">", 300)
    plan = a_plan(abort_when=(abort,), fail_when=(fail,))
    fired = (Fired(abort, True, 4.0, 512.0),)
    found = {one.kind: one for one in judge_watched(plan, fired, VALID)}
    assert (found["abort_when"].verdict, found["abort_when"].value) == (FAIL, 512.0)
    assert found["fail_when"].verdict is PASS
    suspect = Validity(ValidityStatus.SUSPECT, ("late",))
    again = {one.kind: one.verdict for one in judge_watched(plan, fired, suspect)}
    assert again == {"abort_when": FAIL, "fail_when": INCONCLUSIVE}

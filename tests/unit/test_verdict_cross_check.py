"""AGREE, DISAGREE or INCONCLUSIVE, and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ecoload.measure.cross_check import Tool, ToolRun
from ecoload.plan import ConstantArrivalRate, PerVUIterations, Plan, SharedIterations
from ecoload.verdict.agreement import Agreement
from ecoload.verdict.cross_check_result import CheckStatus, CrossCheckResult
from tests.unit.cross_checks import SECOND, apart, figure, judged, paced, route_of, run, runs

PLAN = paced()
ROUTE = route_of(PLAN)


def compared(plan: Plan = PLAN, rounds: int = 4, **changes: Any) -> CrossCheckResult:
    return judged(plan, runs(plan, rounds, **changes))


def said(result: CrossCheckResult) -> str:
    return "\n".join(result.where_to_look)


def test_tools_that_measure_the_same_agree() -> None:
    found = compared()
    assert (found.verdict, found.exit_code) == (Agreement.AGREE, 0)
    assert (found.reasons, found.where_to_look) == ((), ())
    names = [one.figure for one in found.figures if one.route == ROUTE]
    assert names == ["requests", "rate", "error rate", "p50", "p90", "p95", "p99"]
    p95 = figure(found, "p95", ROUTE)
    assert p95.tolerance == pytest.approx(1.5, abs=0.01), "5 % of 30 ms"
    assert figure(found, "p50", ROUTE).tolerance == 1.0, "5 % of 12 ms is less than 1 ms"
    assert figure(found, "rate", ROUTE).ecoload == 10.0, "by the plan's length"


def test_a_transport_that_adds_5_ms_is_found() -> None:
    found = compared(ours={"add_ms": 5.0})
    assert (found.verdict, found.exit_code) == (Agreement.DISAGREE, 99)
    assert apart(found) == {"p50", "p90", "p95", "p99"}
    assert found.reasons[0].startswith(f"{ROUTE} p50: ecoload 17")
    assert "with ecoload every request takes about 5.0 ms longer" in said(found)


def test_one_that_is_as_much_faster_is_found_too() -> None:
    found = compared(ours={"add_ms": -5.0})
    assert found.verdict is Agreement.DISAGREE
    assert "with k6 every request takes about 5.0 ms longer" in said(found)


def with_slow_end(one: ToolRun, **changes: float) -> ToolRun:
    return replace(one, routes=(replace(one.routes[0], **changes),))


def test_a_slow_end_points_to_a_saturated_generator() -> None:
    made = [
        replace(with_slow_end(one, p99=90.0 + one.round / 10), cpu_share=1.7) if one.tool is Tool.K6 else one
        for one in runs(PLAN)
    ]
    made[0] = replace(made[0], validity="SUSPECT", validity_reasons=("starts were late: p99 9.0 ms",))
    found = judged(PLAN, made)
    assert apart(found) == {"p99"}
    assert "only slow requests differ (P99), longer with k6" in said(found)
    assert "starts were late" in said(found)
    assert "k6 used up to 170% of a core" in said(found)


def test_what_grows_with_the_latency_points_to_the_load() -> None:
    made = [
        with_slow_end(one, p50=18.0 + one.round / 50, p90=36.0, p95=45.0, p99=66.0)
        if one.tool is Tool.K6
        else one
        for one in runs(PLAN)
    ]
    assert "the difference grows with the latency" in said(judged(PLAN, made))


def test_connections_that_are_not_kept_are_told() -> None:
    found = compared(ours={"add_ms": 5.0, "connections": 100})
    assert "ecoload opened 100 connections for 10 VUs" in said(found)
    assert "connections for" not in said(compared(ours={"add_ms": 5.0, "connections": 10}))


def test_counts_must_be_within_1_percent() -> None:
    assert compared(theirs={"requests": 99}).verdict is Agreement.AGREE
    found = compared(theirs={"requests": 96})
    assert apart(found) == {"iterations", "requests", "rate"}
    assert "think time and pacing" in said(found)
    assert "steady (constant, pacing 1 s)" in said(found)


def test_in_an_unpaced_closed_plan_what_is_in_flight_is_compared() -> None:
    plan = paced(pacing_ns=0)
    # 10 VUs: with 14 ms each 714 a second, with 15 ms 667.
    ours, theirs = {"requests": 7140}, {"requests": 6667, "add_ms": 1.0}
    found = judged(plan, runs(plan, ours=ours, theirs=theirs))
    assert not found.counts_compared
    assert {one.figure for one in found.figures if one.verdict is None} >= {"iterations", "requests", "rate"}
    flying = figure(found, "in flight", ROUTE)
    assert (flying.verdict, flying.ecoload) == (Agreement.AGREE, pytest.approx(10.0, abs=0.05))
    busy = judged(plan, runs(plan, ours=ours, theirs={"requests": 5000}))
    assert apart(busy) == {"in flight"}


@pytest.mark.parametrize(
    "plan",
    [
        paced(ConstantArrivalRate(10, 10 * SECOND, 10, 10), pacing_ns=0),
        paced(PerVUIterations(10, 10), pacing_ns=0),
        paced(),
    ],
)
def test_where_the_plan_says_how_many_counts_are_compared(plan: Plan) -> None:
    found = compared(plan)
    assert found.counts_compared
    assert figure(found, "requests", ROUTE).verdict is Agreement.AGREE


def test_a_number_of_iterations_says_nothing_of_their_rate() -> None:
    """4 % longer by a latency that is 4 % longer: within the tolerance of a latency, not of a rate."""
    plan = paced(SharedIterations(10, 1000, 60 * SECOND), pacing_ns=0)
    ours, theirs = {"requests": 1000, "duration_s": 14.0}, {"requests": 1000, "duration_s": 14.56}
    found = judged(plan, runs(plan, ours=ours, theirs={**theirs, "add_ms": 0.56}))
    assert figure(found, "requests", ROUTE).verdict is Agreement.AGREE
    assert figure(found, "rate", ROUTE).verdict is None
    assert figure(found, "in flight", ROUTE).verdict is Agreement.AGREE
    assert found.verdict is Agreement.AGREE
    idle = judged(plan, runs(plan, ours=ours, theirs={**theirs, "duration_s": 20.0}))
    assert apart(idle) == {"in flight"}


def test_the_error_rate_is_compared_as_a_share_of_chance() -> None:
    clean = compared(ours={"requests": 5_000}, theirs={"requests": 5_000})
    assert figure(clean, "error rate", ROUTE).interval == (0.0, 0.0)
    found = compared(ours={"requests": 5_000, "errors": 50}, theirs={"requests": 5_000, "errors": 250})
    assert apart(found) == {"error rate"}
    assert "percentage points" in found.reasons[0]
    assert "expected statuses and checks" in said(found)
    few = compared(ours={"errors": 1}, theirs={"errors": 2})
    assert figure(few, "error rate", ROUTE).verdict is Agreement.INCONCLUSIVE


def test_what_is_dropped_is_held_against_all_iterations() -> None:
    assert compared(ours={"dropped_iterations": 1}).verdict is Agreement.AGREE
    found = compared(ours={"dropped_iterations": 30}, theirs={"requests": 70})
    assert "dropped" in apart(found)
    assert "A burst queues in ecoload and drops in k6" in said(found)


def test_failed_checks_that_only_one_tool_sees_are_told() -> None:
    many = {"requests": 5_000}
    found = compared(ours=many, theirs={**many, "failed_checks": 400})
    assert apart(found) == {"failed checks"}
    both = compared(ours={"failed_checks": 40, "errors": 40}, theirs={"failed_checks": 80, "errors": 40})
    assert figure(both, "failed checks").verdict is None, "k6 counts another thing"


def test_a_status_that_fails_a_check_in_k6_and_is_an_error_of_its_own_here_does_not_set_them_apart() -> None:
    failing = {"requests": 20_000, "errors": 1_000}
    found = compared(ours=failing, theirs={**failing, "failed_checks": 1_000})
    assert (found.verdict, figure(found, "failed checks").verdict) == (Agreement.AGREE, None)


class TestTheServerAsAWitness:
    SEEN: Mapping[str, int] = {"server_count": 102, "acknowledged": 100, "persisted": 100}

    def test_what_setup_asked_is_the_same_for_both(self) -> None:
        found = compared(ours={**self.SEEN}, theirs={**self.SEEN})
        assert found.verdict is Agreement.AGREE
        assert figure(found, "seen, not counted").ecoload == 2
        assert figure(found, "acknowledged, lost").k6 == 0

    def test_it_says_which_tool_is_off(self) -> None:
        found = compared(ours={**self.SEEN}, theirs={**self.SEEN, "server_count": 140})
        assert apart(found) == {"server saw", "seen, not counted"}
        assert "k6 is off by 40 requests a round" in said(found)

    def test_writes_that_are_lost_by_one_tool_only_disagree(self) -> None:
        found = compared(ours={**self.SEEN, "persisted": 80}, theirs={**self.SEEN})
        assert apart(found) == {"persisted", "acknowledged, lost"}
        assert "than ecoload had acknowledged" in said(found)

    def test_where_it_tells_nothing_it_is_not_compared(self) -> None:
        assert figure(compared(), "server saw").verdict is None


def test_rounds_that_differ_too_much_say_nothing() -> None:
    made = [
        run(one.tool, one.round, PLAN, add_ms=(-1) ** one.round * 4.0) if one.tool is Tool.K6 else one
        for one in runs(PLAN)
    ]
    found = judged(PLAN, made)
    assert (found.verdict, found.exit_code) == (Agreement.INCONCLUSIVE, 5)
    assert f"{ROUTE} p50: too noisy to say" in found.reasons
    assert "rounds of such noise would tell" in found.reasons[-1]
    made[2] = replace(made[2], others_cpu_share=0.6)
    assert (
        "other processes used up to 60% of this machine's cores (round 2, ecoload)"
        in (judged(PLAN, made).reasons[-1])
    )


def test_a_route_that_one_tool_never_asked_is_not_left_out() -> None:
    made = [replace(one, routes=()) if one.tool is Tool.K6 else one for one in runs(PLAN)]
    found = judged(PLAN, made)
    assert found.verdict is Agreement.DISAGREE
    assert figure(found, "requests", ROUTE).k6 == 0
    assert figure(found, "p95", ROUTE).verdict is Agreement.INCONCLUSIVE


def test_percentiles_that_neither_has_are_not_compared() -> None:
    made = [with_nothing_ok(one) for one in runs(PLAN, ours={"errors": 100}, theirs={"errors": 100})]
    found = judged(PLAN, made)
    assert figure(found, "p95", ROUTE).verdict is None
    assert figure(found, "error rate", ROUTE).ecoload == 1.0


def test_tools_whose_every_request_fails_have_not_been_shown_to_agree() -> None:
    """Far more of them than chance could tell apart."""
    failing = {"requests": 20_000, "errors": 20_000}
    theirs = {**failing, "failed_checks": 20_000}  # k6 looks at the status in a check, too
    made = [with_nothing_ok(one) for one in runs(PLAN, ours=failing, theirs=theirs)]
    found = judged(PLAN, made)
    assert figure(found, "error rate", ROUTE).verdict is Agreement.AGREE
    assert (found.verdict, found.exit_code) == (Agreement.INCONCLUSIVE, 5)
    assert found.reasons == (f"{ROUTE}: nothing was ok in either tool, so no latency is compared",)


def test_a_plan_that_sends_nothing_proves_nothing() -> None:
    made = [with_nothing_ok(one) for one in runs(PLAN, ours={"requests": 0}, theirs={"requests": 0})]
    assert judged(PLAN, made).verdict is Agreement.INCONCLUSIVE


@pytest.mark.parametrize("tool", Tool)
def test_an_error_rate_that_only_one_tool_tells_is_not_left_out(tool: Tool) -> None:
    def untold(one: ToolRun) -> ToolRun:
        return replace(one, routes=(replace(one.routes[0], errors=None),)) if one.tool is tool else one

    found = judged(PLAN, [untold(one) for one in runs(PLAN)])
    assert figure(found, "error rate", ROUTE).verdict is Agreement.INCONCLUSIVE
    assert found.verdict is Agreement.INCONCLUSIVE


def test_steps_that_fail_before_they_are_sent_are_no_more_than_all_of_them() -> None:
    found = compared(theirs={"requests": 10, "errors": 30})
    assert figure(found, "error rate", ROUTE).k6 == 1.0


def with_nothing_ok(one: ToolRun) -> ToolRun:
    none = {"p50": None, "p90": None, "p95": None, "p99": None, "mean": None}
    return replace(one, routes=(replace(one.routes[0], **none),))  # type: ignore[arg-type]


def test_an_invalid_measurement_of_ours_proves_nothing() -> None:
    bad = {"validity": "INVALID", "validity_reasons": ("the generator ran out of ports",)}
    for more in ({}, {"add_ms": 5.0}):
        found = compared(ours={**bad, **more})
        assert (found.verdict, found.exit_code) == (Agreement.INCONCLUSIVE, 5)
        assert (
            "round 1: ecoload's own measurement is INVALID: the generator ran out of ports" in found.reasons
        )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status": CheckStatus.INTERRUPTED, "stop_reason": "Ctrl-C"}, 130),
        ({"status": CheckStatus.STOPPED, "stop_reason": "round 3: the run was aborted"}, 5),
        ({"status": CheckStatus.STOPPED, "answered": False, "stop_reason": "nothing answered"}, 6),
    ],
)
def test_a_partial_result_is_no_verdict(changes: dict[str, Any], code: int) -> None:
    found = judged(PLAN, runs(PLAN, 2), rounds=4, **changes)
    assert (found.verdict, found.exit_code) == (Agreement.INCONCLUSIVE, code)
    assert found.reasons[0].startswith("after 2 of 4 rounds: ")
    assert found.rounds_compared == 2


def test_two_rounds_tell_nothing() -> None:
    found = compared(rounds=2, ours={"add_ms": 5.0})
    assert found.verdict is Agreement.INCONCLUSIVE
    assert figure(found, "p50", ROUTE).reason == "fewer than 3 rounds tell nothing"


def test_without_a_whole_round_there_is_no_figure() -> None:
    found = judged(PLAN, runs(PLAN, 1)[:1], rounds=4, status=CheckStatus.INTERRUPTED, stop_reason="Ctrl-C")
    assert (found.figures, found.exit_code) == ((), 130)

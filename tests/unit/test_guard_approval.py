"""The most a plan can ask for, and which plans a human must approve."""

from __future__ import annotations

import dataclasses

import pytest

from ecoload.guard.approval import reasons_for_approval
from ecoload.guard.peaks import peak_rate, peak_request_rate, peak_vus, regular_duration_ns, total_duration_ns
from ecoload.guard.reach import used_origins
from ecoload.plan import (
    Branch,
    Breaker,
    Choose,
    ClientCredentials,
    ConstantArrivalRate,
    ConstantVUs,
    Executor,
    Fault,
    Flow,
    FlowStep,
    Lineage,
    Load,
    Metrics,
    Oracles,
    Persistence,
    PerVUIterations,
    Plan,
    Probe,
    Proof,
    RampingArrivalRate,
    RampingVUs,
    Resiliency,
    Route,
    Scenario,
    SharedIterations,
    Stage,
    Station,
    Step,
    Warm,
)
from tests.unit.guard_plans import A2, A8, HOME, LIVE, ROUTES, S, ingest, load, plan, tile

SPIKE = RampingVUs(5, (Stage(120 * S, 5), Stage(60 * S, 100), Stage(240 * S, 100), Stage(180 * S, 5)))


def loaded(*loads: Load) -> Plan:
    return plan(loads=loads)


# --- Peaks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("executor", "vus", "duration"),
    [
        (ConstantVUs(20, 9 * S), 20, 9 * S),
        (SPIKE, 100, 600 * S),
        (RampingVUs(50, (Stage(S, 0),)), 50, S),
        (SharedIterations(7, 100, 8 * S), 7, 8 * S),
        (PerVUIterations(7, 100, 8 * S), 7, 8 * S),
        (ConstantArrivalRate(100, 120 * S, 10, 60), 60, 120 * S),
        (RampingArrivalRate(100, (Stage(S, 5), Stage(S, 50)), 10, 61), 61, 2 * S),
    ],
)
def test_an_executor_has_a_most_of_vus_and_a_duration(executor: Executor, vus: int, duration: int) -> None:
    assert peak_vus(loaded(load(executor))) == vus
    assert regular_duration_ns(executor) == duration


def test_loads_that_overlap_are_added_and_loads_in_turn_are_not() -> None:
    vus = ConstantVUs(20, 10 * S)
    assert peak_vus(loaded(load(vus), load(vus, start=9 * S))) == 40
    assert peak_vus(loaded(load(vus), load(vus, start=10 * S))) == 20
    # Its grace is time in which its VUs live …
    assert peak_vus(loaded(load(vus, grace=S), load(vus, start=10 * S))) == 40
    # … and start nothing.
    assert peak_rate(loaded(load(vus, grace=S), load(vus, start=10 * S))) == 20


def test_a_later_overlap_can_be_the_highest() -> None:
    loads = [
        load(ConstantVUs(n, 10 * S), start=start)
        for n, start in ((30, 0), (5, 10 * S), (26, 15 * S), (4, 19 * S))
    ]
    assert peak_vus(loaded(*loads)) == 35


def test_the_rate_is_the_highest_of_starts_in_a_second() -> None:
    assert peak_rate(loaded(load(ConstantVUs(20, S), pacing=S // 2))) == 40
    assert peak_rate(loaded(load(ConstantArrivalRate(600, S, 1, 1, 60 * S)))) == 10
    assert peak_rate(loaded(load(RampingArrivalRate(3, (Stage(S, 50), Stage(S, 5)), 1, 1)))) == 50
    assert peak_rate(loaded(load(RampingArrivalRate(80, (Stage(S, 5),), 1, 1)))) == 80


def test_a_closed_model_without_pacing_has_no_upper_rate() -> None:
    assert peak_rate(loaded(load(ConstantVUs(1, S), pacing=0))) is None
    assert peak_rate(loaded(load(ConstantArrivalRate(1, S, 1, 1)), load(ConstantVUs(1, S), pacing=0))) is None


def test_an_origins_rate_counts_every_step_that_goes_there() -> None:
    both = plan(ingest(), ingest(), tile(), loads=(load(ConstantVUs(10, S)),))
    assert [peak_request_rate(both, origin) for origin in range(3)] == [20, 10, 0]


def test_of_branches_the_dearest_counts() -> None:
    choose = Choose((Branch(9, (ingest(),)), Branch(1, (ingest(), ingest(), ingest()))))
    made = plan(scenarios=(Scenario("s", steps=(ingest(), choose)),), loads=(load(ConstantVUs(10, S)),))
    assert peak_request_rate(made, 0) == 40


def test_only_loads_that_go_to_an_origin_can_unbind_its_rate() -> None:
    scenarios = (Scenario("one", steps=(ingest(),)), Scenario("two", steps=(tile(),)))
    loads = (load(ConstantVUs(10, S)), load(ConstantVUs(10, S), pacing=0, scenario=1))
    made = plan(scenarios=scenarios, loads=loads)
    assert peak_request_rate(made, 0) == 10
    assert peak_request_rate(made, 1) is None


def test_the_total_is_the_last_end_with_and_without_grace() -> None:
    made = loaded(
        load(ConstantVUs(1, 10 * S), grace=30 * S), load(ConstantVUs(1, 10 * S), start=20 * S, grace=S)
    )
    assert total_duration_ns(made, grace=False) == 30 * S
    assert total_duration_ns(made, grace=True) == 40 * S
    assert total_duration_ns(loaded(), grace=True) == peak_vus(loaded()) == 0


# --- Reach ----------------------------------------------------------------------------------------


def test_used_origins_are_those_of_steps_and_probes() -> None:
    assert used_origins(plan(ingest())) == {0}
    assert used_origins(plan(ingest(), tile())) == {0, 1}
    assert used_origins(plan(scenarios=(Scenario("s", setup=(tile(),), teardown=(ingest(),)),))) == {0, 1}
    probe = Probe(2, "/", "$")
    assert used_origins(plan(version_from=probe)) == {0, 2}
    assert used_origins(plan(request_count=probe)) == {0, 2}
    assert used_origins(plan(persistence=Persistence(0, probe))) == {0, 2}
    assert used_origins(plan(proofs=(Proof("p", probe, 1),))) == {0, 2}
    assert used_origins(plan(metrics=Metrics(1, "/metrics"), warm=(Warm(2, "/warm"),))) == {0, 1, 2}


def test_a_scenario_that_no_load_runs_uses_nothing() -> None:
    scenarios = (Scenario("one", steps=(ingest(),)), Scenario("two", steps=(tile(),)))
    assert used_origins(plan(scenarios=scenarios)) == {0}


def test_a_python_scenario_may_reach_everything_any_number_of_times() -> None:
    made = plan(scenarios=(Scenario("s", module="s.py"),))
    assert used_origins(made) == {0, 1, 2}
    assert peak_request_rate(made, 1) is None


# --- Approval -------------------------------------------------------------------------------------


def test_a_small_plan_against_staging_needs_no_approval() -> None:
    assert reasons_for_approval(plan(loads=(load(ConstantVUs(60, S)),))) == ()


def test_more_vus_than_the_limit_need_an_approval() -> None:
    made = plan(loads=(load(ConstantVUs(61, S)),))
    assert reasons_for_approval(made) == ("it can reach 61 VUs, and more than 60 need an approval",)
    assert reasons_for_approval(dataclasses.replace(made, approval_over_vus=61)) == ()


def test_the_spike_always_asks_and_the_burst_does_not() -> None:
    assert reasons_for_approval(loaded(load(SPIKE)))
    assert reasons_for_approval(loaded(load(ConstantArrivalRate(100, 120 * S, 20, 60)))) == ()
    assert reasons_for_approval(loaded(load(ConstantArrivalRate(100, 120 * S, 20, 61))))


def test_what_stands_at_the_address_of_a_production_app_is_production() -> None:
    alias = dataclasses.replace(A2, host="LIVE.example")
    made = plan(ingest(), origins=(alias, A8, LIVE))
    assert reasons_for_approval(made) == ("a2 (https://LIVE.example) is production",)
    other_port = dataclasses.replace(alias, port=8443)
    assert reasons_for_approval(plan(ingest(), origins=(other_port, A8, LIVE))) == ()


def test_loads_at_the_same_time_ask_together() -> None:
    one = ConstantVUs(40, 10 * S)
    assert reasons_for_approval(loaded(load(one), load(one)))
    assert reasons_for_approval(loaded(load(one), load(one, start=10 * S))) == ()


def test_more_requests_than_the_target_allows_need_an_approval() -> None:
    limited = (dataclasses.replace(A2, max_rps=200), A8, LIVE)
    burst = (load(ConstantArrivalRate(100, S, 20, 60)),)
    assert reasons_for_approval(plan(ingest(), ingest(), origins=limited, loads=burst)) == ()
    assert reasons_for_approval(plan(ingest(), ingest(), ingest(), origins=limited, loads=burst)) == (
        "it can send 300 requests a second to a2, whose max_rps is 200",
    )


def test_a_rate_without_a_bound_asks_where_the_target_has_one() -> None:
    unpaced = (load(ConstantVUs(1, S), pacing=0),)
    limited = (dataclasses.replace(A2, max_rps=200), A8, LIVE)
    assert reasons_for_approval(plan(loads=unpaced)) == ()
    (reason,) = reasons_for_approval(plan(origins=limited, loads=unpaced))
    assert "nothing bounds its rate to a2" in reason


def test_a_production_target_needs_an_approval_where_it_is_used() -> None:
    assert reasons_for_approval(plan(ingest())) == ()
    assert reasons_for_approval(plan(ingest(), tile(route=HOME, origin=2, path="/"))) == (
        "live (https://live.example) is production",
    )


def test_an_injected_fault_needs_an_approval_wherever_it_stands() -> None:
    routes = (*ROUTES, Route("a8", "faults", "POST", "/__faults", "fault"))
    fault = Step(len(ROUTES), 1, "POST", "/__faults")
    reason = ("it can send a8.faults, which injects a fault",)
    assert reasons_for_approval(plan(ingest(), routes=routes)) == (), "declared, and not sent"
    assert reasons_for_approval(plan(ingest(), fault, routes=routes)) == reason
    choose = Choose((Branch(9, (ingest(),)), Branch(1, (fault,))))
    for scenario in (
        Scenario("s", steps=(ingest(),), setup=(fault,)),
        Scenario("s", steps=(ingest(),), teardown=(fault,)),
        Scenario("s", steps=(choose,)),
        Scenario("s", module="s.py"),
    ):
        assert reason[0] in reasons_for_approval(plan(scenarios=(scenario,), routes=routes))
    idle = (Scenario("one", steps=(ingest(),)), Scenario("two", steps=(fault,)))
    assert reasons_for_approval(plan(scenarios=idle, routes=routes)) == (), "no load runs it"


def test_a_fault_beside_the_load_and_one_in_a_flow_need_an_approval_too() -> None:
    routes = (*ROUTES, Route("a8", "faults", "POST", "/__faults", "fault"))
    fault = Step(len(ROUTES), 1, "POST", "/__faults")
    reason = ("it can send a8.faults, which injects a fault",)
    watched = Resiliency(0, Fault(fault, fault, S, S, S), Breaker(Probe(1, "/breaker", "$.state")), Oracles())
    assert reasons_for_approval(plan(routes=routes, resiliency=watched)) == reason
    steps = (FlowStep("ingest"), FlowStep("fault"))
    made = plan(ingest(), fault, routes=routes, loads=(), flow=Flow("f", "", steps))
    assert reasons_for_approval(made) == reason
    assert reasons_for_approval(dataclasses.replace(made, flow=None)) == ()


def test_whatever_a_flow_or_a_proof_asks_counts_as_used() -> None:
    steps = (FlowStep("ingest"), FlowStep("home"))
    flow = plan(ingest(), tile(route=HOME, origin=2, path="/"), loads=(), flow=Flow("f", "", steps))
    assert reasons_for_approval(flow) == ("live (https://live.example) is production",)
    station = Station("live", 2, "/", "$", "$", "$.next")
    followed = plan(lineage=Lineage(0, "event_id", (station,)))
    assert reasons_for_approval(followed) == ("live (https://live.example) is production",)
    tokens = (("a8", ClientCredentials(2, "/token", "me", "KEY")),)
    assert reasons_for_approval(plan(other_auths=tokens)) == ("live (https://live.example) is production",)


def test_the_app_that_tokens_come_from_counts_as_used() -> None:
    live = ClientCredentials(2, "/token", "me", "KEY")
    assert reasons_for_approval(plan(auth=live)) == ("live (https://live.example) is production",)
    assert reasons_for_approval(plan(auth=dataclasses.replace(live, origin=1))) == ()
    # It is asked, not loaded: it is not locked, and no redirect of the load leads there.
    assert used_origins(plan(auth=live)) == {0}


def test_every_reason_is_told() -> None:
    made = plan(
        tile(route=HOME, origin=2, path="/"),
        origins=(A2, A8, dataclasses.replace(LIVE, max_rps=10)),
        loads=(load(ConstantVUs(100, S)),),
    )
    assert len(reasons_for_approval(made)) == 3

"""Service levels and conditions as k6's thresholds: what decides, what only shows, what k6 cannot judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecoload.export.k6.thresholds import Thresholds, number, thresholds
from ecoload.plan import ConstantArrivalRate, Load, OnExhausted, Plan, ServiceLevel
from ecoload.spec.conditions import parse_condition
from tests.unit import guard_plans
from tests.unit.guard_plans import INGEST, S, ingest, tile


def plan(slo: ServiceLevel, **changes: Any) -> Plan:
    """One route, ingest, with these levels."""
    routes = tuple(
        replace(route, slo=slo) if index == INGEST else route
        for index, route in enumerate(guard_plans.ROUTES)
    )
    return guard_plans.plan(routes=routes, **changes)


def judged(made: Plan) -> Thresholds:
    return thresholds(made, made.loads)


def conditions(*texts: str) -> Any:
    return tuple(map(parse_condition, texts))


def test_each_level_is_a_threshold_and_what_has_no_sample_does_not_pass() -> None:
    slo = ServiceLevel(p50_ms=20.5, p95_ms=125, p99_ms=300, error_rate=0.01, timeouts=0, failed_checks=2)
    assert judged(plan(slo)).items == {
        "http_reqs{name:ingest}": ["count>0"],
        "http_req_duration{name:ingest,expected_response:true}": ["p(50)<=20.5", "p(95)<=125", "p(99)<=300"],
        "errors{name:ingest}": ["rate<=0.01"],
        "timeouts{name:ingest}": ["count<=0"],
        "failed_checks{name:ingest}": ["count<=2"],
    }


@pytest.mark.parametrize("rate", [None, 1.0])
def test_where_no_error_rate_tells_an_expected_response_is_asked_for(rate: float | None) -> None:
    found = judged(plan(ServiceLevel(p95_ms=125, error_rate=rate))).items
    assert found["http_reqs{name:ingest,expected_response:true}"] == ["count>0"]


def test_a_level_that_does_not_decide_is_no_threshold_and_its_figures_are_there() -> None:
    slo = ServiceLevel(p95_ms=125, error_rate=0.01)
    assert judged(plan(slo, decides=("error_rate",))).items == {
        "http_reqs{name:ingest}": ["count>0"],
        "http_req_duration{name:ingest,expected_response:true}": ["max>=0"],
        "errors{name:ingest}": ["rate<=0.01"],
    }


def test_a_route_without_a_level_has_its_figures() -> None:
    assert judged(plan(ServiceLevel(p95_stretch_ms=100))).items == {
        "http_reqs{name:ingest}": ["count>=0"],
        "http_req_duration{name:ingest,expected_response:true}": ["max>=0"],
        "errors{name:ingest}": ["rate>=0"],
    }


def test_only_routes_that_the_loads_send_have_thresholds() -> None:
    made = guard_plans.plan(ingest(), tile())
    found = judged(replace(made, scenarios=(replace(made.scenarios[0], setup=(tile(),), steps=(ingest(),)),)))
    assert not [metric for metric in found.items if "tile" in metric]


def test_drift_is_not_judged_unless_it_does_not_decide_anyway() -> None:
    slo = ServiceLevel(p95_drift=0.1, error_rate=0.01)
    assert judged(plan(slo)).not_judged == ("p95_drift of ingest",)
    assert judged(plan(slo, decides=("error_rate",))).not_judged == ()


@pytest.mark.parametrize(
    ("text", "metric", "expression"),
    [
        ("p95 < 300ms", "http_req_duration{expected_response:true}", "p(95)<300"),
        ("ingest: max <= 2s", "http_req_duration{name:ingest,expected_response:true}", "max<=2000"),
        ("mean < 50ms", "http_req_duration{expected_response:true}", "avg<50"),
        ("error_rate < 1%", "errors", "rate<0.01"),
        ("ingest: error_rate <= 2.5%", "errors{name:ingest}", "rate<=0.025"),
        ("dropped_iterations == 0", "dropped_iterations", "count==0"),
    ],
)
def test_what_must_hold_over_the_whole_run_is_a_threshold(text: str, metric: str, expression: str) -> None:
    found = judged(plan(ServiceLevel(), thresholds=conditions(text)))
    assert found.items[metric] == [expression]
    assert found.not_judged == ()
    if metric.startswith("http_req_duration"):
        assert found.items[metric.replace("http_req_duration", "http_reqs")] == ["count>0"]


def test_a_condition_that_aborts_aborts_k6_too() -> None:
    found = judged(plan(ServiceLevel(), abort_when=conditions("error_rate > 10% after 5s", "p99 >= 1s")))
    assert found.items["errors"] == [
        {"threshold": "rate<=0.1", "abortOnFail": True, "delayAbortEval": "5000ms"}
    ]
    assert found.items["http_req_duration{expected_response:true}"] == [
        {"threshold": "p(99)<1000", "abortOnFail": True}
    ]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("thresholds", "rps > 90"),
        ("thresholds", "ingest: dropped_iterations < 5"),
        ("fail_when", "p95 > 300ms"),
        ("fail_when", "error_rate > 1% for 10s"),
        ("abort_when", "error_rate > 10% for 10s"),
        ("abort_when", "p50 < 1ms"),  # before the first sample k6 has 0
    ],
)
def test_what_k6_would_judge_otherwise_is_told_and_not_judged(kind: str, text: str) -> None:
    plain = judged(plan(ServiceLevel()))
    found = judged(plan(ServiceLevel(), **{kind: conditions(text)}))
    assert found.items == plain.items
    assert found.not_judged == (f"{kind}: {text}",)


def burst(name: str, on_exhausted: OnExhausted) -> Load:
    return Load(name, 0, "burst", ConstantArrivalRate(10, S, 2, 2, on_exhausted=on_exhausted))


def test_a_load_that_queues_must_drop_nothing() -> None:
    queues, drops = burst("queues", OnExhausted.QUEUE), burst("drops", OnExhausted.DROP)
    alone = judged(plan(ServiceLevel(), loads=(queues,)))
    assert alone.items["dropped_iterations"] == ["count==0"]
    beside = judged(plan(ServiceLevel(), loads=(queues, drops)))
    assert beside.items["dropped_iterations{scenario:queues}"] == ["count==0"]
    assert not [
        metric for metric in judged(plan(ServiceLevel(), loads=(drops,))).items if "dropped" in metric
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(150.0, "150"), (0.01, "0.01"), (0.00001, "0.00001"), (1e6, "1000000"), (0.1 + 0.2, "0.3")],
)
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert number(value) == text

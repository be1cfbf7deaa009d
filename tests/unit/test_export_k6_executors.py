"""A load as a scenario of k6: all options stated, rates exact, and what k6 cannot say refused."""

from __future__ import annotations

from typing import Any

import pytest

from ecoload.export.k6.executors import never_drops, scenario_options
from ecoload.export.k6.js import CannotExport, literal
from ecoload.export.k6.pacing import pacing_of
from ecoload.plan import (
    Arrivals,
    ConstantArrivalRate,
    ConstantVUs,
    Executor,
    Load,
    OnExhausted,
    PerVUIterations,
    Plan,
    ProtocolHeader,
    RampingArrivalRate,
    RampingVUs,
    SharedIterations,
    Stage,
)

SECOND = 1_000_000_000


def plan_of(*executors: Executor, **load: Any) -> Plan:
    """A plan with a load for each executor: `load_1`, `load_2`, …"""
    loads = (Load(f"load_{n}", 0, "test", executor, **load) for n, executor in enumerate(executors, 1))
    return Plan(
        tool_version="test", protocol=ProtocolHeader(), app="app", profile="test", seed=1, duration_scale=1.0,
        origins=(), routes=(), scenarios=(), loads=tuple(loads),
    )  # fmt: skip


def exported(executor: Executor, **load: Any) -> dict[str, Any]:
    return scenario_options(plan_of(executor, **load), 0, "main")


def script(executor: Executor, **load: Any) -> str:
    return literal(exported(executor, **load))


def test_constant_vus() -> None:
    assert (
        script(ConstantVUs(20, 900 * SECOND))
        == """{
  executor: "constant-vus",
  exec: "main",
  vus: 20,
  duration: scaled(900, 1),
  gracefulStop: scaled(30),
}"""
    )


def test_ramping_vus_with_a_jump_and_a_part_of_a_second() -> None:
    stages = (Stage(0, 5.0), Stage(2_500_000_000, 1.0))
    assert (
        script(RampingVUs(0, stages, 0), graceful_stop_ns=0, start_time_ns=1_000_001)
        == """{
  executor: "ramping-vus",
  exec: "main",
  startTime: scaled(0.001000001),
  startVUs: 0,
  stages: [
    { duration: scaled(0), target: 5 },
    { duration: scaled(2.5), target: 1 },
  ],
  gracefulRampDown: scaled(0),
  gracefulStop: scaled(0),
}"""
    )


@pytest.mark.parametrize(
    ("executor", "name"),
    [(SharedIterations(5, 100), "shared-iterations"), (PerVUIterations(5, 100), "per-vu-iterations")],
)
def test_iterations(executor: Executor, name: str) -> None:
    assert (
        script(executor)
        == f"""{{
  executor: "{name}",
  exec: "main",
  vus: 5,
  iterations: 100,
  maxDuration: scaled(600, 1),
  gracefulStop: scaled(30),
}}"""
    )


def test_a_constant_rate_that_drops() -> None:
    executor = ConstantArrivalRate(100, 120 * SECOND, 10, 60)
    assert (
        script(executor)
        == """{
  executor: "constant-arrival-rate",
  exec: "main",
  rate: 100,
  timeUnit: "1s",
  duration: scaled(120, 1),
  preAllocatedVUs: 10,
  maxVUs: 60,
  gracefulStop: scaled(30),
}"""
    )
    assert not never_drops(plan_of(executor).loads[0])


@pytest.mark.parametrize(
    "executor",
    [
        ConstantArrivalRate(100, 120 * SECOND, 10, 60, on_exhausted=OnExhausted.QUEUE),
        RampingArrivalRate(0, (Stage(SECOND, 10),), 10, 60, on_exhausted=OnExhausted.QUEUE),
    ],
)
def test_a_rate_that_queues_has_all_its_vus_at_once_and_must_not_drop(executor: Executor) -> None:
    options = exported(executor)
    assert (options["preAllocatedVUs"], options["maxVUs"]) == (60, 60)
    assert never_drops(plan_of(executor).loads[0])


@pytest.mark.parametrize(
    ("rate", "unit_ns", "expected"),
    [
        (7.0, SECOND, (7, "1s")),
        (0.5, SECOND, (1, "2s")),
        (2.5, SECOND, (5, "2s")),
        (0.1, SECOND, (1, "10s")),  # the decimal that was written, not 3602879701896397 / 2**55
        (33.333, SECOND, (33333, "16m40s")),
        (0.5, 60 * SECOND, (1, "2m")),
        (1.0, 86_400 * SECOND, (1, "1d")),
        (1e7, SECOND, (10_000_000, "1s")),
    ],
)
def test_a_rate_becomes_a_whole_one_in_a_longer_time_unit(
    rate: float, unit_ns: int, expected: tuple[int, str]
) -> None:
    options = exported(ConstantArrivalRate(rate, 10 * SECOND, 1, 1, unit_ns))
    assert (options["rate"], options["timeUnit"]) == expected


def test_all_targets_of_a_load_share_one_time_unit() -> None:
    options = exported(RampingArrivalRate(0.5, (Stage(SECOND, 0.2), Stage(0, 3), Stage(SECOND, 0)), 1, 1))
    targets = [stage["target"] for stage in options["stages"]]
    assert (options["startRate"], targets, options["timeUnit"]) == (5, [2, 30, 0], "10s")


@pytest.mark.parametrize(
    ("executor", "reason"),
    [
        (ConstantVUs(1, SECOND - 1), "k6 takes a duration of at least 1s, not 999ms999us999ns"),
        (ConstantArrivalRate(1, SECOND // 2, 1, 1), "k6 takes a duration of at least 1s, not 500ms"),
        (PerVUIterations(1, 1, SECOND // 2), "k6 takes a max_duration of at least 1s, not 500ms"),
        (SharedIterations(1, 1, SECOND // 2), "k6 takes a max_duration of at least 1s, not 500ms"),
        (RampingVUs(0, (Stage(SECOND, 0),)), "k6 takes no ramp that stays at 0 VUs"),
        (RampingVUs(0, (Stage(1, 1), Stage(1, 2.5))), "stage 2: k6 knows whole VUs only, and this is 2.5"),
        (ConstantArrivalRate(1, SECOND, 1, 1, arrivals=Arrivals.POISSON), "take `arrivals: uniform`"),
        (RampingArrivalRate(1, (Stage(1, 2),), 1, 1, arrivals=Arrivals.POISSON), "take `arrivals: uniform`"),
        (ConstantArrivalRate(1e-11, SECOND, 1, 1), "write rates with fewer decimals"),
    ],
)  # fmt: skip
def test_what_k6_cannot_say_is_refused(executor: Executor, reason: str) -> None:
    with pytest.raises(CannotExport) as refused:
        exported(executor)
    assert str(refused.value).startswith("load load_1")
    assert reason in str(refused.value)


def test_lengths_that_k6_takes_are_not_refused() -> None:
    assert exported(ConstantVUs(1, SECOND), start_time_ns=1, graceful_stop_ns=1)
    assert exported(RampingVUs(0, (Stage(1, 1), Stage(0, 2), Stage(SECOND // 3, 0)), 1))


def test_all_reasons_of_a_load_are_told_at_once() -> None:
    with pytest.raises(CannotExport) as refused:
        exported(RampingVUs(0, (Stage(SECOND, 1.5), Stage(SECOND, 2), Stage(SECOND, 2.5))))
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == [
        "load load_1, stage 1", "load load_1, stage 3",
    ]  # fmt: skip
    with pytest.raises(CannotExport) as refused:
        exported(ConstantArrivalRate(1, 1, 1, 1, arrivals=Arrivals.POISSON))
    assert len(str(refused.value).splitlines()) == 2


def test_pacing_in_seconds_of_the_loads_that_have_one() -> None:
    paced = plan_of(ConstantVUs(1, SECOND), ConstantVUs(1, SECOND), pacing_ns=SECOND)
    assert pacing_of(paced) == {"load_1": 1, "load_2": 1}
    assert pacing_of(plan_of(ConstantVUs(1, SECOND), pacing_ns=250_000_000)) == {"load_1": 0.25}
    assert pacing_of(plan_of(ConstantVUs(1, SECOND))) == {}

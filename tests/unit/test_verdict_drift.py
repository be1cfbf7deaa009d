"""The drift verdict: what gets worse is found, what does not is not accused; and the trend test behind it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecoload.measure.figures import Figures
from ecoload.measure.memory import MemorySample
from ecoload.measure.outcome import Outcome
from ecoload.measure.recorder import Recorder
from ecoload.measure.result import DriftResult, Validity, ValidityStatus, Verdict
from ecoload.plan import ConstantVUs, Load, Plan, Scenario
from ecoload.verdict.drift import CHANCE, judge_drift
from ecoload.verdict.trend import chance_of_rising, slope
from tests.unit.measuring import SECOND, a_plan, rows, tick

PASS, FAIL, INCONCLUSIVE = Verdict
VALID = Validity(ValidityStatus.VALID)
SIGMA = math.log(30 / 12) / 1.6449
"""Of A2's ingest: median 12 ms, P95 30 ms."""
MIB = 2**20
VUS = 20

Shape = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From the share of the time that is over to what is added."""


def flat(at: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0 * at


def ramp(by: float, since: float = 0.0, until: float = 1.0) -> Shape:
    return lambda at: by * np.clip((at - since) / (until - since), 0, 1)


def step(by: float, at_share: float) -> Shape:
    return lambda at: by * (at >= at_share)


def teeth(height: float, count: float) -> Shape:
    return lambda at: height * (at * count % 1)


def soak(**changes: Any) -> Plan:
    load = Load("soak", 0, "soak", ConstantVUs(VUS, 180 * SECOND))
    plan = a_plan(loads=(load,))
    (scenario,) = plan.scenarios
    only = dataclasses.replace(scenario, steps=scenario.steps[:1])
    return dataclasses.replace(plan, scenarios=(only,), **changes)


def course(
    added_ms: Shape = flat, errors: Shape = flat, seconds: int = 180, seed: int = 1, per_second: int = VUS
) -> Figures:
    """A run of log-normal latencies, `per_second` of them, to which a shape is added."""
    random = np.random.default_rng(seed)
    recorder = Recorder(["ingest", "count"])
    for second in range(seconds):
        at = np.array((second + 0.5) / seconds)
        ms = 12 * np.exp(SIGMA * random.standard_normal(per_second)) + added_ms(at)
        failed = random.random(per_second) < errors(at)
        due = second * SECOND
        recorder.add_samples(0, Outcome.OK, rows(due, (ms[~failed] * 1e6).astype(np.int64)))
        recorder.add_samples(0, Outcome.HTTP_ERROR, rows(due, np.full(failed.sum(), 1_000_000)))
        recorder.close_second(tick(second + 1))
    return recorder.figures()


def of_route(
    figures: Figures, metric: str = "p95_ms", validity: Validity = VALID, **changes: Any
) -> DriftResult:
    (found,) = (one for one in judge_drift(soak(**changes), figures, (), validity) if one.metric == metric)
    return found


def memory(added_mib: Shape, noise_mib: float = 0.5, samples: int = 120, seconds: float = 180) -> DriftResult:
    at = np.linspace(0, 1, samples)
    mib = 40 + added_mib(at) + noise_mib * np.random.default_rng(1).random(samples)
    told = [MemorySample(float(a * seconds), float(m * MIB)) for a, m in zip(at, mib, strict=True)]
    return judge_drift(soak(), course(), told, VALID)[-1]


# --- Latency --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [ramp(60), ramp(60, since=0.5), step(15, 0.5), step(25, 0.4), lambda at: 40 * at**2],
    ids=["20 ms a minute", "from the middle on", "a step", "an early step", "faster and faster"],
)
def test_a_latency_that_grows_is_found(shape: Shape) -> None:
    found = of_route(course(shape))
    assert found.verdict is FAIL, found
    assert found.first is not None and found.last is not None and found.p_value is not None
    assert found.last > found.first
    assert found.p_value <= CHANCE
    assert found.change == pytest.approx(found.last / found.first - 1, rel=1e-4)


def test_a_leak_of_20_ms_a_minute_is_told_as_what_it_is() -> None:
    found = of_route(course(ramp(60)))
    assert found.slope_per_min == pytest.approx(20, rel=0.2)
    assert "ms a minute (p = " in found.reason


@pytest.mark.parametrize(
    "shape",
    [flat, ramp(-8), step(-8, 0.5), step(40, 0.97), lambda at: 30 * (abs(at - 0.5) < 0.1), teeth(20, 12)],
    ids=["noise", "better", "a step down", "a moment at the end", "a bad time in the middle", "sawtooth"],
)
def test_a_latency_that_does_not_keep_growing_is_not_accused(shape: Shape) -> None:
    found = of_route(course(shape))
    assert found.verdict is PASS, found


def test_what_does_not_matter_is_not_accused_however_sure_it_is() -> None:
    slight = of_route(course(ramp(2), per_second=400))
    assert slight.p_value is not None and slight.p_value <= CHANCE, "it is no chance"
    assert slight.verdict is PASS, "but less than 10 %"
    small = Recorder(["ingest", "count"])
    for second in range(180):
        small.add_samples(0, Outcome.OK, rows([second * SECOND] * 20, round(1e6 * (1 + second / 60))))
        small.close_second(tick(second + 1))
    tripled = of_route(small.figures())
    assert tripled.change is not None and tripled.change > 1
    assert tripled.verdict is PASS, "less than 5 ms"


@pytest.mark.parametrize("seconds", [20, 60, 180])
def test_healthy_soaks_are_not_accused(seconds: int) -> None:
    for seed in range(12):
        figures = course(errors=lambda at: 0 * at + 0.004, seconds=seconds, seed=seed)
        found = judge_drift(soak(), figures, (), VALID)
        assert [one.verdict for one in found] == [PASS, PASS], (seed, found)


# --- Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [
        (flat, PASS),
        (ramp(0.1), FAIL),
        (step(0.05, 0.5), FAIL),
        (lambda at: 0.1 - 0.1 * at, PASS),
        (ramp(0.004), PASS),
    ],
    ids=["none", "more and more", "a step", "fewer and fewer", "less than matters"],
)
def test_errors_that_grow_are_found(shape: Shape, verdict: Verdict) -> None:
    found = of_route(course(errors=shape, per_second=100), "error_rate")
    assert found.verdict is verdict, found
    assert found.first is not None and found.last is not None
    assert found.change == pytest.approx(found.last - found.first, abs=1e-5)


def test_a_route_that_ends_in_errors_only_is_found_by_them() -> None:
    figures = course(errors=step(1.0, 0.6))
    assert of_route(figures).verdict is INCONCLUSIVE
    assert of_route(figures, "error_rate").verdict is FAIL


# --- Memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [
        (ramp(180), FAIL),
        (lambda at: ramp(180)(at) + teeth(60, 20)(at), FAIL),
        (lambda at: 200 * at**2, FAIL),
        (flat, PASS),
        (ramp(-30), PASS),
        (ramp(60, until=0.3), PASS),
        (lambda at: 60 * (1 - np.exp(-at * 6)), PASS),
        (step(60, 0.4), PASS),
        (teeth(60, 20), PASS),
        (teeth(60, 4.5), PASS),
        (ramp(12), PASS),
    ],
    ids=[
        "60 MiB a minute", "a leak that is collected from", "faster and faster", "noise", "given back",
        "a warm-up", "a slow warm-up", "a cache that is filled once", "a garbage collector", "a lazy one",
        "less than matters",
    ],
)  # fmt: skip
def test_memory_that_keeps_growing_is_found(shape: Shape, verdict: Verdict) -> None:
    found = memory(shape)
    assert (found.of, found.metric) == ("a2", "resident_bytes")
    assert found.verdict is verdict, found


def test_growth_that_has_ended_is_told() -> None:
    assert memory(ramp(60, until=0.3)).reason.endswith("not in the second half")
    found = memory(ramp(180))
    assert found.slope_per_min == pytest.approx(60 * MIB, rel=0.02)


def test_without_samples_of_memory_nothing_is_said_of_it() -> None:
    assert [one.metric for one in judge_drift(soak(), course(), (), VALID)] == ["p95_ms", "error_rate"]
    few = memory(ramp(180), samples=9)
    assert (few.verdict, few.reason) == (INCONCLUSIVE, "9 samples of memory, 10 are needed")
    assert memory(ramp(180), samples=10).verdict is FAIL


# --- What is looked at ----------------------------------------------------------------------------


def test_only_a_soak_is_judged_and_only_what_it_sends() -> None:
    plan = soak()
    (load,) = plan.loads
    constant = dataclasses.replace(load, executor_name="constant")
    assert judge_drift(dataclasses.replace(plan, loads=(constant,)), course(ramp(60)), (), VALID) == ()
    assert {one.of for one in judge_drift(plan, course(), (), VALID)} == {"ingest"}
    in_python = dataclasses.replace(plan, scenarios=(Scenario("a2", module="a2.py"),))
    assert {one.of for one in judge_drift(in_python, course(), (), VALID)} == {"ingest"}


def test_what_is_outside_of_the_soaks_time_is_not_looked_at() -> None:
    late = course(lambda at: 100.0 * (at > 2 / 3))
    assert of_route(late).verdict is FAIL
    shorter = Load("soak", 0, "soak", ConstantVUs(VUS, 120 * SECOND))
    assert of_route(late, loads=(shorter,)).verdict is PASS
    early = course(lambda at: -10.0 * (at < 1 / 3))
    assert of_route(early).verdict is FAIL
    begins = Load("soak", 0, "soak", ConstantVUs(VUS, 120 * SECOND), start_time_ns=60 * SECOND)
    assert of_route(early, loads=(begins,)).verdict is PASS


def test_the_warm_up_is_not_looked_at() -> None:
    recorder = Recorder(["ingest", "count"], warm_up_ns=60 * SECOND)
    for second in range(180):
        ms = 10 if second < 60 else 30
        recorder.add_samples(0, Outcome.OK, rows([second * SECOND] * 20, ms * 1_000_000))
        recorder.close_second(tick(second + 1))
    found = of_route(recorder.figures(), warm_up_ns=60 * SECOND)
    assert (found.verdict, found.change) == (PASS, 0)


@pytest.mark.parametrize(("seconds", "per_second"), [(7, 100), (60, 2), (0, 0)])
def test_too_few_samples_are_inconclusive(seconds: int, per_second: int) -> None:
    found = judge_drift(soak(), course(ramp(60), seconds=seconds, per_second=per_second), (), VALID)
    assert {(one.verdict, one.p_value) for one in found} == {(INCONCLUSIVE, None)}
    assert all("needed" in one.reason for one in found)


def test_a_doubtful_measurement_decides_as_everywhere() -> None:
    suspect = Validity(ValidityStatus.SUSPECT, ("late",))
    invalid = Validity(ValidityStatus.INVALID, ("broken",))
    good, bad = course(), course(ramp(60))
    assert [of_route(good, validity=v).verdict for v in (VALID, suspect, invalid)] == [
        PASS,
        INCONCLUSIVE,
        INCONCLUSIVE,
    ]
    assert [of_route(bad, validity=v).verdict for v in (VALID, suspect, invalid)] == [
        FAIL,
        FAIL,
        INCONCLUSIVE,
    ]
    assert "the measurement is SUSPECT" in of_route(good, validity=suspect).reason


def test_an_hour_in_blocks_of_16_seconds_is_judged_by_its_minutes() -> None:
    hour = Load("soak", 0, "soak", ConstantVUs(VUS, 3600 * SECOND))
    figures = course(ramp(60), seconds=3600, per_second=5)
    assert figures.routes[0].block_s == 16
    found = of_route(figures, loads=(hour,))
    assert found.verdict is FAIL
    assert found.slope_per_min == pytest.approx(1.0, rel=0.1)


# --- The trend test -------------------------------------------------------------------------------


def test_a_slope_is_the_median_of_all_pairs() -> None:
    assert slope([0, 1, 2, 3], [1, 3, 5, 7]) == 2
    assert slope([0, 1, 2, 3, 4], [0, 1, 2, 3, 1000]) == 1, "an outlier weighs as any other"
    assert slope([0, 2, 4], [3, 2, 1]) == -0.5


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
@example([0, 1, 2, 3, 4, 5, 6])
@example([6, 5, 4, 3, 2, 1, 0])
@example([0, 0, 1, 1, 1, 2, 2])
def test_a_chance_is_the_share_of_all_orders_that_rise_as_much(values: list[int]) -> None:
    orders = list(itertools.permutations(values))
    rises = [sum((b > a) - (b < a) for a, b in itertools.combinations(order, 2)) for order in orders]
    as_much = sum(rise >= rises[0] for rise in rises) / len(rises)
    assert chance_of_rising(values) == pytest.approx(as_much)


def test_the_largest_rise_of_40_is_no_chance_and_its_reverse_is() -> None:
    assert chance_of_rising(range(40)) == pytest.approx(1 / math.factorial(40))
    assert chance_of_rising(range(40, 0, -1)) == pytest.approx(1)


def test_values_that_are_all_the_same_do_not_rise() -> None:
    assert chance_of_rising([3.0] * 20) == 1


def test_ties_do_not_hide_errors_that_begin_late() -> None:
    assert chance_of_rising([0.0] * 20 + [0.01 * i for i in range(1, 21)]) < CHANCE
    assert chance_of_rising([0.0] * 36 + [0.01] * 4) == pytest.approx(1 / math.comb(40, 4))
    assert chance_of_rising([0.0] * 39 + [0.01]) == pytest.approx(1 / 40)

"""A run of either tool in the form in which both are compared."""

from __future__ import annotations

import numpy as np
import pytest

from ecoload.measure.cross_check import SHARES, Tool, Witness, interpolated_us, of_ecoload, of_k6
from ecoload.measure.histogram import Histogram
from ecoload.measure.k6_summary import K6Latency, K6Route, K6Summary
from ecoload.measure.others import busy_ticks
from ecoload.measure.result import Status
from ecoload.verdict.judge import RunFacts, judge
from tests.unit.measuring import a_plan, figures_of


def test_what_others_use_is_all_that_runs() -> None:
    stat = "cpu  100 20 30 9000 500 1 2 3 40 50\ncpu0 1 2 3\n"
    assert busy_ticks(stat) == 100 + 20 + 30 + 1 + 2 + 3, "not idle, not waiting for a disk, guests once"
    with pytest.raises(ValueError, match="invalid literal"):
        busy_ticks("cpu  none")


@pytest.mark.parametrize("count", [1, 2, 3, 27, 100, 540])
def test_percentiles_are_interpolated_as_k6_does(count: int) -> None:
    values = np.random.default_rng(count).integers(100, 2_000, count)
    histogram = Histogram()
    histogram.add_many(values)
    found = interpolated_us(histogram, tuple(SHARES.values()))
    assert found == pytest.approx(np.quantile(values, tuple(SHARES.values())))


def test_large_values_are_known_as_well_as_the_histogram_knows_them() -> None:
    values = np.random.default_rng(1).lognormal(11, 0.5, 1000).astype(np.int64)
    histogram = Histogram()
    histogram.add_many(values)
    found = interpolated_us(histogram, (0.5, 0.99))
    assert found == pytest.approx(np.quantile(values, (0.5, 0.99)), rel=1e-3)


def test_where_there_is_no_value_there_is_no_percentile() -> None:
    assert interpolated_us(Histogram(), (0.5, 0.99)) == [None, None]


def test_a_run_of_ours_tells_service_times_and_failed_requests() -> None:
    plan = a_plan()
    figures = figures_of([10.0, 20.0, 30.0], errors=1, seconds=10, iterations=40, dropped_iterations=4)
    facts = RunFacts("r1", "2026-11-26T01:44:05.919+00:00", Status.FINISHED)
    result = judge(plan, figures, facts)
    found = of_ecoload(result, figures, 2, "round_2_ecoload", Witness(41, 29), plan.routes[0].name)
    assert (found.tool, found.round, found.run_id, found.folder) == (Tool.ECOLOAD, 2, "r1", "round_2_ecoload")
    route = found.routes[0]
    assert (route.route, route.requests, route.p50) == (plan.routes[0].name, 40, pytest.approx(20, abs=0.02))
    assert route.errors == 10, "what was dropped is no failed request"
    assert (found.server_count, found.persisted, found.acknowledged) == (41, 29, 30)


def test_a_run_of_k6_tells_what_its_summary_does() -> None:
    latency = K6Latency(12.0, 24.0, 30.0, 44.0, 50.0, 14.0)
    summary = K6Summary(
        *("a2.js", "a2", "baseline", "5f" * 32, "r2", "2026-11-26T01:44:05.919Z", 10.0, 1.0),
        *(100, 100, 3, 10, 200, 1),
        routes=(K6Route("ingest", 100, 2, 0.02, 10.0, 0, latency),),
        thresholds=(),
    )
    found = of_k6(summary, 1, "round_1_k6", Witness(100, 98), "ingest", 0.4)
    assert (found.requests, found.dropped_iterations, found.failed_checks) == (100, 3, 1)
    assert (found.acknowledged, found.persisted, found.cpu_share) == (98, 98, 0.4)
    route = found.route("ingest")
    assert route is not None
    assert (route.errors, route.p99, route.mean) == (2, 44.0, 14.0)
    assert found.route("other") is None
    assert of_k6(summary, 1, "f", Witness()).acknowledged is None

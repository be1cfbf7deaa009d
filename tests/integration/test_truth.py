"""Measured against a server that knows its own latency: what ecoload says is what happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecoload.measure.result import ValidityStatus
from ecoload.plan import Arrivals, ConstantArrivalRate, OnExhausted
from tests.integration.driving import SECOND, Silent, gets, plan_of, run
from tests.servers.latency import Fixed, LatencyServer, LogNormal, Stall

pytestmark = pytest.mark.alone


def open_rate(rate: float, seconds: float, arrivals: Arrivals = Arrivals.UNIFORM) -> ConstantArrivalRate:
    return ConstantArrivalRate(
        rate, int(seconds * SECOND), 200, 200, arrivals=arrivals, on_exhausted=OnExhausted.QUEUE
    )


@pytest.mark.parametrize("law", [Fixed(10.0), LogNormal(20.0, 0.5)], ids=["fixed 10 ms", "log-normal"])
@pytest.mark.parametrize("arrivals", [*Arrivals])
def test_percentiles_are_the_servers_own_within_2_percent_or_1_ms(
    tmp_path: Path, law: Fixed | LogNormal, arrivals: Arrivals
) -> None:
    with LatencyServer(law) as server:
        plan = plan_of(server.url, gets(["/"]), open_rate(400, 2.5, arrivals))
        result = run(plan, tmp_path).result
        truth = np.array(server.truth().latencies_ms())
    assert result.requests == len(truth) == result.planned.starts
    # On a machine that others use, answers are read as late as starts are made: the run says how late.
    assert result.generator.late_start_p99_ms is not None
    noise = 2 * result.generator.late_start_p99_ms
    found = result.routes[0].service_ms
    for share, service in ((50, found.p50), (95, found.p95), (99, found.p99)):
        true = float(np.percentile(truth, share, method="inverted_cdf"))
        assert service == pytest.approx(true, abs=max(1.0, 0.02 * true) + noise), share


def test_a_stall_of_a_second_stands_in_the_response_time_of_all_that_was_due(tmp_path: Path) -> None:
    with LatencyServer(Stall(1.0, start_s=2.0)) as server:
        executor = ConstantArrivalRate(200, 5 * SECOND, 20, 20, on_exhausted=OnExhausted.QUEUE)
        result = run(plan_of(server.url, gets(["/"]), executor), tmp_path).result
    response, service = result.routes[0].response_ms, result.routes[0].service_ms
    assert result.requests == 1000
    assert result.dropped_iterations == 0
    # 200 starts were due in the stall; 20 VUs were held by it, the others waited to be sent.
    assert response.max == pytest.approx(1000, abs=60)
    assert response.p90 == pytest.approx(500, abs=60)
    assert service.p90 is not None
    assert service.p90 < 50


def test_a_slow_target_is_not_the_generators_fault(tmp_path: Path) -> None:
    with LatencyServer(Fixed(300.0)) as server:
        executor = ConstantArrivalRate(50, 3 * SECOND, 5, 5, on_exhausted=OnExhausted.DROP)
        result = run(plan_of(server.url, gets(["/"]), executor), tmp_path).result
    assert result.dropped_iterations > 50
    assert result.validity.status is not ValidityStatus.INVALID
    assert result.routes[0].errors == result.dropped_iterations


def test_every_second_is_in_the_series_and_adds_up(tmp_path: Path) -> None:
    view = Silent()
    with LatencyServer(Fixed(5.0)) as server:
        result = run(plan_of(server.url, gets(["/"]), open_rate(100, 3)), tmp_path, view).result
    assert sum(interval.count() for interval in view.intervals) == result.requests == 300
    assert [round(interval.end_ns / SECOND) for interval in view.intervals][:3] == [1, 2, 3]


def test_what_is_due_in_the_warm_up_stays_out_of_the_figures(tmp_path: Path) -> None:
    with LatencyServer(Stall(1.0, start_s=0.0, length_s=0.5)) as server:
        plan = plan_of(server.url, gets(["/"]), open_rate(100, 3), warm_up_ns=SECOND)
        result = run(plan, tmp_path).result
    assert result.requests == 200
    assert result.warm_up_requests == 100
    assert result.routes[0].response_ms.max is not None
    assert result.routes[0].response_ms.max < 400

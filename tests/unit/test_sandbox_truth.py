"""What the sandbox knows of itself: the requests it answered, and the latencies it draws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.common.behaviour import LatencyModel, LogNormal
from ecoload.sandbox.common.truth import MAX_RUNS, Distribution, Truth


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_percentiles_are_the_values_at_their_ranks_to_1_part_in_1000(values: list[int]) -> None:
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    ordered = sorted(values)
    summary = distribution.summary()
    for percent in (50, 90, 95, 99):
        true = ordered[-(-percent * len(values) // 100) - 1]
        assert true * 0.999 - 1e-6 <= summary[f"p{percent}"] * 1000 <= true + 1e-6
    assert summary["max"] == max(values) / 1000
    assert summary["mean"] == pytest.approx(sum(values) / len(values) / 1000, abs=1e-4)


def test_an_empty_distribution_says_nothing() -> None:
    assert Distribution().summary() == {}


def test_a_run_has_its_own_requests_and_all_runs_have_all() -> None:
    truth = Truth()
    truth.record("one", "ingest", "202", 12_000, 11_000)
    truth.record("one", "ingest", "503", 5_000, 5_000)
    truth.record("two", "tile", "200", 8_000, 8_000)
    document = truth.document("one")
    assert document["requests"] == 2
    assert list(document["by_route"]) == ["ingest"]
    assert document["by_route"]["ingest"]["status"] == {"202": 1, "503": 1}
    assert document["by_route"]["ingest"]["latency_ms"]["max"] == 12.0
    assert document["by_route"]["ingest"]["model_ms"]["max"] == 11.0
    assert truth.document(None)["requests"] == 3
    assert truth.document("never seen") == {"run_id": "never seen", "requests": 0, "by_route": {}}


def test_the_oldest_run_is_forgotten_and_its_share_of_all_is_not() -> None:
    truth = Truth()
    for number in range(MAX_RUNS + 1):
        truth.record(str(number), "ingest", "202", 1, 1)
    assert truth.document("0")["requests"] == 0
    assert truth.document("1")["requests"] == 1
    assert truth.document(None)["requests"] == MAX_RUNS + 1


def test_the_model_has_the_median_and_the_p95_it_was_given() -> None:
    model = LatencyModel(1, "a2", {"ingest": LogNormal(12, 30)})
    draws = sorted(model.draw_us("ingest") for _ in range(20_000))
    assert draws[10_000] == pytest.approx(12_000, rel=0.03)
    assert draws[19_000] == pytest.approx(30_000, rel=0.03)


def test_the_same_seed_draws_the_same_whatever_other_routes_do_and_another_seed_does_not() -> None:
    laws = {"ingest": LogNormal(12, 30), "count": LogNormal(3, 7)}
    model, same, other = (LatencyModel(seed, "a2", laws) for seed in (1, 1, 2))
    first, second, third = [], [], []
    for _ in range(20):
        first.append(model.draw_us("ingest"))
        same.draw_us("count")
        second.append(same.draw_us("ingest"))
        third.append(other.draw_us("ingest"))
    assert first == second
    assert first != third


def test_a_route_without_a_law_has_no_latency_of_its_own() -> None:
    assert LatencyModel(1, "a2", {}).draw_us("anything") == 0

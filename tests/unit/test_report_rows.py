"""The rows that every form of report shows: read from the result, never worked out."""

from __future__ import annotations

import pytest

from ecoload.report.rows import facts, headline, judged, measured, not_ok, reasons, route_verdict
from tests.unit.report_samples import failing, invalid, passing, soaked


def test_levels_come_first_then_persistence_then_proofs_then_conditions() -> None:
    kinds = [row.kind for row in judged(passing())]
    assert kinds == ["level", "level", "level", "persistence", "proof", "threshold", "abort_when"]


def test_a_result_without_proofs_and_drift_is_shown_as_well() -> None:
    older = {key: value for key, value in passing().items() if key not in ("proofs", "drift")}
    assert not {"proof", "drift"} & {row.kind for row in judged(older)}


def test_a_drift_shows_where_it_came_from_and_where_it_went() -> None:
    rows = [row for row in judged(soaked()) if row.kind == "drift"]
    assert [(row.verdict, row.of, row.must_be, row.was) for row in rows] == [
        ("FAIL", "ingest", "no drift of P95", "29.8 ms → 92.1 ms"),
        ("PASS", "ingest", "no drift of errors", "0 % → 0 %"),
        ("FAIL", "a2", "no drift of memory", "40.0 MiB → 132.0 MiB"),
        ("INCONCLUSIVE", "event_tile", "no drift of P95", "–"),
    ]
    assert rows[0].reason == "29.8 ms to 92.1 ms, 20.8 ms a minute (p = 1e-08)"


def test_a_proof_shows_what_it_had_to_be_and_was() -> None:
    result = passing()
    row = next(row for row in judged(result) if row.kind == "proof")
    assert (row.of, row.must_be, row.was) == ("proof telemetry", "true within 1m 00s", "true")
    assert row.reason == "a2: GET /status?run_id=… $.seen is true after 2.5 s"
    result["proofs"][0] |= {"expected": "live", "within_s": 0.0, "took_s": None, "found": None}
    row = next(row for row in judged(result) if row.kind == "proof")
    assert (row.must_be, row.was) == ('"live"', "–")


def test_a_level_shows_its_limit_its_value_and_its_interval() -> None:
    row = judged(passing())[0]
    assert (row.must_be, row.was, row.interval) == ("P95 ≤ 125 ms", "89.2 ms", "87.1 – 91.4 ms")


@pytest.mark.parametrize(
    ("level", "limit", "value", "must_be", "was"),
    [
        ("p95_stretch_ms", 120.0, 89.24, "P95 stretch ≤ 120 ms", "89.2 ms"),
        ("error_rate", 0.01, 0.0425, "errors ≤ 1 %", "4.25 %"),
        ("timeouts", 0, 12, "timeouts ≤ 0", "12"),
        ("failed_checks", 3, None, "failed checks ≤ 3", "–"),
        ("p95_drift", 0.1, -0.1234, "P95 drift ≤ ±10 %", "-12 %"),
        ("p95_drift", 0.1, 0.0312, "P95 drift ≤ ±10 %", "+3.1 %"),
    ],
)
def test_each_level_is_shown_in_its_unit(
    level: str, limit: float, value: float | None, must_be: str, was: str
) -> None:
    result = passing()
    result["routes"][0]["slo"]["levels"] = [
        {"level": level, "limit": limit, "value": value, "interval": None, "verdict": "PASS", "reason": ""}
    ]
    row = judged(result)[0]
    assert (row.must_be, row.was, row.interval) == (must_be, was, "")


def test_a_stretch_level_decides_nothing() -> None:
    stretch = judged(passing())[1]
    assert (stretch.verdict, stretch.required) == ("FAIL", False)
    assert headline(passing()) == "Everything that was asked of the target holds."


def test_the_verdict_is_taken_from_the_result_even_where_the_figures_look_otherwise() -> None:
    result = passing()
    result["routes"][0]["slo"]["levels"][0] |= {"value": 9999.0, "verdict": "PASS"}
    assert judged(result)[0].verdict == "PASS"


def test_a_failing_run_says_how_many_verdicts_failed() -> None:
    assert headline(failing()) == "3 of 6 verdicts are FAIL."


def test_an_invalid_run_says_nothing_about_its_target() -> None:
    assert "say nothing about the target" in headline(invalid())


def test_what_is_undecided_only_for_the_measurements_sake_is_one_reason() -> None:
    assert reasons(invalid()) == ["INVALID: the rate was off by 23 % (77.0/s of 100.0/s)"]
    assert reasons(failing()) == failing()["verdict_reasons"]
    assert reasons(passing()) == []


def test_outcomes_that_are_not_ok_stand_with_the_most_frequent_first() -> None:
    assert list(not_ok(failing())) == [
        ("ingest", "timeout 280 · http_error 95 · never sent 23 · reset 2"),
    ]
    assert list(not_ok(passing())) == []


def test_what_was_not_done_is_notable_only_where_it_is_something() -> None:
    assert [fact.notable for fact in facts(passing()) if fact.label == "Not done"] == [False]
    assert [fact.notable for fact in facts(failing()) if fact.label == "Not done"] == [True]


def test_a_route_without_levels_has_no_verdict() -> None:
    assert [route_verdict(route) for route in passing()["routes"]] == ["PASS", "–"]


def test_how_it_was_measured_names_the_model_the_hashes_and_the_machine() -> None:
    found = dict(measured(passing()))
    assert found["Model of load"].startswith("open: ")
    assert found["Plan (execution hash)"] == "c0" * 32
    assert found["Files (spec hash)"] == "5f" * 32
    assert found["Generator: cores"] == "2"
    assert dict(measured(passing() | {"model": "closed"}))["Model of load"].startswith("closed: ")


def test_an_empty_result_can_be_shown() -> None:
    assert judged({}) == []
    assert measured({}) == []
    assert [fact.label for fact in facts({})] == ["Done", "Not done"]

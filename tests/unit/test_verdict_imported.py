"""A k6 summary as the result of a run: nothing made up, nothing certified."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import orjson

from ecoload.measure.k6_summary import K6Summary, K6Threshold, read_summary
from ecoload.measure.result import RunResult, ValidityStatus, Verdict
from ecoload.verdict.imported import ImportFacts, imported_run
from tests.unit.schemas import problems, published

PASS, FAIL, INCONCLUSIVE = Verdict
DATA = Path(__file__).parent / "data" / "k6"


def summary(name: str = "tagged.data.json", *thresholds: K6Threshold) -> K6Summary:
    found = read_summary((DATA / name).read_bytes())
    return dataclasses.replace(found, thresholds=thresholds) if thresholds else found


def imported(found: K6Summary) -> RunResult:
    return imported_run(found, ImportFacts("k6-1", "a2", "baseline", "summary.json"))


def holds(metric: str = "http_req_failed", expression: str = "rate<0.01", *, ok: bool = True) -> K6Threshold:
    return K6Threshold(metric, expression, ok, 80)


def test_what_k6_tells_stands_there_and_what_it_does_not_is_null() -> None:
    result = imported(summary())
    read = next(route for route in result.routes if route.route == "read")
    assert (read.app, read.requests, read.errors, read.error_rate) == ("a2", 40, 6, 0.15)
    assert (read.service_ms.p95, read.service_ms.p999) == (5.383016899999996, None)
    assert (read.response_ms.p95, read.unsent, dict(read.outcomes)) == (None, None, {})
    assert (result.requests, result.errors, result.iterations, result.vus_max) == (80, 11, 40, 5)
    assert result.rps == 39.978
    nothing = (result.seed, result.model, result.late_starts, result.queued_at_end, result.generator)
    assert nothing == (None,) * 5
    assert (result.tool_version, result.execution_hash) == ("k6", "")


def test_it_is_suspect_since_k6_does_not_certify_itself() -> None:
    validity = imported(summary()).validity
    assert validity.status is ValidityStatus.SUSPECT
    assert "does not certify" in validity.reasons[0]


def test_a_threshold_that_failed_is_a_fail() -> None:
    result = imported(summary())
    assert result.verdict is FAIL
    assert result.verdict_reasons == ("checks: rate==1: k6 says that it does not hold",)


def test_thresholds_that_hold_pass_and_the_run_is_inconclusive_as_every_one_in_doubt() -> None:
    result = imported(summary("tagged.data.json", holds()))
    assert [threshold.verdict for threshold in result.thresholds] == [PASS]
    assert result.verdict is INCONCLUSIVE
    assert result.verdict_reasons == ("every threshold of k6's holds",)


def test_a_threshold_over_no_sample_proves_nothing() -> None:
    empty = K6Threshold("http_req_duration{name:never}", "p(95)<150", True, 0)
    [threshold] = imported(summary("tagged.data.json", empty)).thresholds
    assert threshold.verdict is INCONCLUSIVE


def test_a_threshold_that_cannot_fail_is_not_judged() -> None:
    always = holds("http_req_duration{name:read}", "max>=0")
    result = imported(summary("tagged.data.json", always))
    assert (result.thresholds, result.verdict) == ((), INCONCLUSIVE)
    assert "no threshold" in result.verdict_reasons[0]


def test_where_the_whole_has_no_errors_of_its_own_those_of_the_routes_are_added() -> None:
    found = dataclasses.replace(summary(), errors=None, error_rate=None)
    asked = tuple(route for route in found.routes if route.errors is not None)
    result = imported(dataclasses.replace(found, routes=asked))
    assert (result.errors, result.error_rate) == (11, 0.1375)
    assert imported(found).errors is None, "one of its routes does not say"


def test_every_import_fits_the_published_schema() -> None:
    schema = published("run.schema.json")
    for name in ("tagged.data.json", "tagged.export.json", "untagged.export.json"):
        tree = orjson.loads(orjson.dumps(imported(summary(name)).to_json()))
        assert problems(schema, tree, "run") == []

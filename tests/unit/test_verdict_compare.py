"""Two runs side by side: regressions are named, equal runs are not accused, strangers are not compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import orjson
import pytest

from ecoload.measure.past_run import PastLatency, PastRun
from ecoload.verdict.compare import compare
from ecoload.verdict.comparison import Change, Comparison, Finding
from tests.unit.measuring import SECOND, a_plan
from tests.unit.past_runs import a_run, read, steady
from tests.unit.schemas import problems, published

REGRESSION, IMPROVEMENT, NO_DIFFERENCE, INCONCLUSIVE = Finding


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Half a minute of a route each: twice the same, slower, and with errors."""
    root = tmp_path_factory.mktemp("runs")
    return {
        "base": a_run(root / "base"),
        "again": a_run(root / "again", seed=2),
        "slow": a_run(root / "slow", steady(30.0), seed=3),
        "failing": a_run(root / "failing", seed=4, errors=2),
        "short": a_run(root / "short", steady(40.0), seed=5, seconds=7),
        "few": a_run(root / "few", steady(20.0, requests=2), seed=6, seconds=25),
    }


def bare(run: PastRun) -> PastRun:
    """The run without its blocks of time: cheap to compare with itself."""
    routes = tuple(dataclasses.replace(route, kept=None) for route in run.routes)
    return dataclasses.replace(run, routes=routes, whole=None)


def found(before: PastRun, after: PastRun, tolerance: float = 0.1) -> Comparison:
    return compare(before, after, ("before", "after"), tolerance)


def figure(comparison: Comparison, name: str) -> Change:
    [route] = comparison.routes
    [change] = [one for one in route.figures if one.figure == name]
    return change


def test_a_slower_run_is_a_regression_with_its_interval(folders: dict[str, Path]) -> None:
    comparison = found(read(folders["base"]), read(folders["slow"]))
    assert comparison.verdict is REGRESSION
    assert comparison.judged_on == "response"
    p95 = figure(comparison, "response_p95_ms")
    assert p95.finding is REGRESSION
    assert p95.relative == pytest.approx(0.5, abs=0.15)
    assert p95.interval is not None
    assert p95.interval[0] < (p95.relative or 0) < p95.interval[1]
    assert p95.interval[0] > 0.2
    assert any(reason.startswith("ingest response_p95_ms: worse") for reason in comparison.reasons)


def test_the_same_the_other_way_is_an_improvement(folders: dict[str, Path]) -> None:
    comparison = found(read(folders["slow"]), read(folders["base"]))
    assert comparison.verdict is IMPROVEMENT
    assert figure(comparison, "response_p50_ms").finding is IMPROVEMENT


def test_an_equal_run_is_not_accused(folders: dict[str, Path]) -> None:
    comparison = found(read(folders["base"]), read(folders["again"]))
    assert (comparison.verdict, comparison.reasons) == (NO_DIFFERENCE, ())
    assert (comparison.obstacles, comparison.warnings, comparison.notes) == ((), (), ())


def test_within_the_tolerance_nothing_is_named_however_sure_it_is(folders: dict[str, Path]) -> None:
    comparison = found(read(folders["base"]), read(folders["slow"]), tolerance=0.8)
    assert comparison.verdict is NO_DIFFERENCE
    assert figure(comparison, "response_p50_ms").reason == "within the tolerance"


def test_from_nothing_to_something_is_beyond_every_tolerance(folders: dict[str, Path]) -> None:
    """Such as an imported summary in which everything took 0 ms."""
    after = bare(read(folders["base"]))
    nothing = PastLatency(0.0, 0.0, 0.0, 0.0)
    routes = tuple(dataclasses.replace(route, response_ms=nothing) for route in after.routes)
    before = dataclasses.replace(after, routes=routes)
    comparison = found(before, after)
    assert figure(comparison, "response_p95_ms").finding is INCONCLUSIVE
    assert comparison.verdict is INCONCLUSIVE


def test_errors_that_came_are_a_regression_and_those_that_went_an_improvement(
    folders: dict[str, Path],
) -> None:
    base, failing = read(folders["base"]), read(folders["failing"])
    rate = figure(found(base, failing), "error_rate")
    assert rate.finding is REGRESSION
    assert rate.difference == pytest.approx(2 / 32)
    assert rate.interval is not None
    assert rate.interval[0] > 0
    assert figure(found(failing, base), "error_rate").finding is IMPROVEMENT


def test_a_run_too_short_for_an_interval_is_not_judged_beyond_the_tolerance(folders: dict[str, Path]) -> None:
    comparison = found(read(folders["base"]), read(folders["short"]))
    assert comparison.verdict is INCONCLUSIVE
    assert "too short" in figure(comparison, "response_p95_ms").reason
    assert figure(comparison, "response_p95_ms").interval is None


def test_a_p99_of_too_few_samples_decides_nothing_and_a_p95_does(folders: dict[str, Path]) -> None:
    comparison = found(read(folders["few"]), read(folders["few"]))
    p95, p99 = (figure(comparison, f"response_{name}_ms") for name in ("p95", "p99"))
    assert (p95.finding, p95.decides, p95.reason) == (INCONCLUSIVE, True, "50 samples, 59 are needed")
    assert (p99.finding, p99.decides) == (INCONCLUSIVE, False)
    assert comparison.verdict is INCONCLUSIVE
    enough = dataclasses.replace(bare(read(folders["few"])).routes[0], samples=100)
    run = dataclasses.replace(bare(read(folders["few"])), routes=(enough,))
    assert found(run, run).verdict is NO_DIFFERENCE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"app": "a3"}, "another app: a2 against a3"),
        ({"profile": "soak"}, "another profile: burst against soak"),
        ({"duration_scale": 0.5}, "another duration scale: 1 against 0.5"),
        ({"validity": {"status": "INVALID", "reasons": ["late"]}}, "the second run is INVALID: late"),
        ({"routes": []}, "no route in common"),
    ],
)
def test_runs_of_other_things_are_not_compared_and_that_is_said(
    folders: dict[str, Path], changes: dict[str, Any], said: str
) -> None:
    comparison = found(bare(read(folders["base"])), bare(read(folders["slow"], **changes)))
    assert comparison.verdict is INCONCLUSIVE
    assert any(said in obstacle for obstacle in comparison.obstacles)
    assert comparison.reasons == comparison.obstacles


def test_everything_that_keeps_them_apart_is_said_at_once(folders: dict[str, Path]) -> None:
    other = read(folders["slow"], app="a3", profile="soak", duration_scale=2)
    assert len(found(bare(read(folders["base"])), bare(other)).obstacles) == 3


def test_another_wording_is_a_note_and_what_may_explain_a_difference_a_warning(
    folders: dict[str, Path],
) -> None:
    changes = {
        "spec_hash": "cd" * 32,
        "target_version": "2.0",
        "status": "aborted",
        "stop_reason": "abort_when p95 > 1s",
        "validity": {"status": "SUSPECT", "reasons": ["starts were late"]},
    }
    before = read(folders["base"], target_version="1.9")
    comparison = found(bare(before), bare(read(folders["base"], **changes)))
    assert comparison.verdict is NO_DIFFERENCE
    assert any("spec_hash" in note for note in comparison.notes)
    assert any("1.9 against 2.0" in note for note in comparison.notes)
    assert comparison.warnings == (
        "the second run was aborted: abort_when p95 > 1s",
        "the second run is SUSPECT: starts were late",
    )


def test_another_load_is_a_warning(folders: dict[str, Path], tmp_path: Path) -> None:
    plan = a_plan(persistence=None)
    load = dataclasses.replace(plan.loads[0], start_time_ns=SECOND)
    other = a_run(tmp_path / "other", plan=dataclasses.replace(plan, loads=(load,)))
    comparison = found(bare(read(folders["base"])), bare(read(other)))
    assert comparison.verdict is NO_DIFFERENCE
    assert any("the load is another" in warning for warning in comparison.warnings)


def test_a_route_that_only_one_of_them_has_is_said_and_one_that_none_asked_is_left_out(
    folders: dict[str, Path],
) -> None:
    tree = orjson.loads((folders["base"] / "run.json").read_bytes())
    more = [*tree["routes"], tree["routes"][0] | {"route": "new", "outcomes": {}, "requests": 0, "errors": 0}]
    before, after = bare(read(folders["base"])), bare(read(folders["base"], routes=more))
    comparison = found(before, after)
    assert "only in the second run, and not compared: new" in comparison.warnings
    assert [route.route for route in found(after, after).routes] == ["ingest"]


def test_against_k6_service_times_are_compared_and_chance_is_not_made_up(folders: dict[str, Path]) -> None:
    before = bare(read(folders["base"]))
    route = before.routes[0]
    same = dataclasses.replace(route, response_ms=type(route.response_ms)(), unsent=None, kept=None)
    k6 = dataclasses.replace(before, routes=(same,), whole=None, tool_version="k6", run_id="k")
    comparison = found(before, k6)
    assert comparison.judged_on == "service"
    assert comparison.verdict is NO_DIFFERENCE
    slower = dataclasses.replace(route.service_ms, p95=(route.service_ms.p95 or 0) * 2)
    comparison = found(
        before, dataclasses.replace(k6, routes=(dataclasses.replace(same, service_ms=slower),))
    )
    assert comparison.verdict is INCONCLUSIVE
    assert "no histograms" in figure(comparison, "service_p95_ms").reason
    assert figure(comparison, "response_p95_ms").finding is None
    faster = dataclasses.replace(route.service_ms, p95=(route.service_ms.p95 or 0) * 0.75)
    comparison = found(
        before, dataclasses.replace(k6, routes=(dataclasses.replace(same, service_ms=faster),))
    )
    p95 = figure(comparison, "service_p95_ms")
    assert (p95.finding, p95.decides, comparison.verdict) == (INCONCLUSIVE, False, NO_DIFFERENCE)


def test_drops_that_stand_in_no_error_rate_are_not_passed_over(folders: dict[str, Path]) -> None:
    before = bare(read(folders["base"]))
    routes = (dataclasses.replace(before.routes[0], unsent=None),)
    dropping = dataclasses.replace(before, routes=routes, dropped_iterations=300)
    comparison = found(before, dropping)
    assert comparison.verdict is INCONCLUSIVE
    [reason] = comparison.reasons
    assert reason.startswith("the whole dropped_iterations")


def test_what_is_published_fits_its_schema(folders: dict[str, Path]) -> None:
    schema = published("compare.schema.json")
    for before, after in (("base", "slow"), ("few", "short"), ("base", "failing")):
        tree = orjson.loads(orjson.dumps(found(read(folders[before]), read(folders[after])).to_json()))
        assert problems(schema, tree, "comparison") == []
        assert tree["schema"] == "ecoload.compare/1"
    assert problems(schema, tree | {"verdict": "FAIL"}, "comparison")
    assert problems(schema, {key: tree[key] for key in tree if key != "routes"}, "comparison")

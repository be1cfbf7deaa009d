"""Service levels and the proof of persistence: who passes, who fails, and what cannot be told."""

from __future__ import annotations

import dataclasses

import pytest

from ecoload.measure.figures import RouteFigures
from ecoload.measure.outcome import Outcome
from ecoload.measure.recorder import Recorder
from ecoload.measure.result import Validity, ValidityStatus, Verdict
from ecoload.plan import ServiceLevel
from ecoload.verdict.persistence import judge_persistence
from ecoload.verdict.slo import believed, judge_route, samples_needed, tightest_ms, worst
from tests.unit.measuring import SECOND, figures_of, rows, second_of, tick

PASS, FAIL, INCONCLUSIVE = Verdict
MS = 1_000_000
VALID = Validity(ValidityStatus.VALID)
SUSPECT = Validity(ValidityStatus.SUSPECT, ("late",))
INVALID = Validity(ValidityStatus.INVALID, ("broken",))


def route_of(samples: int, ms: float = 10.0, errors: int = 0) -> RouteFigures:
    return figures_of([ms] * samples, errors=errors, seconds=1).routes[0]


def verdict_of(slo: ServiceLevel, route: RouteFigures, validity: Validity = VALID) -> Verdict:
    levels = judge_route(slo, route, validity, 1)
    assert levels is not None
    return levels.verdict


def test_a_level_passes_at_its_limit_and_fails_beyond() -> None:
    route = route_of(100)
    value = route.ok_response.percentile(0.95) / 1000
    assert verdict_of(ServiceLevel(p95_ms=value), route) is PASS
    assert verdict_of(ServiceLevel(p95_ms=value - 0.001), route) is FAIL


def test_the_samples_that_a_percentile_takes() -> None:
    assert [samples_needed(share) for share in (0.5, 0.9, 0.95, 0.99)] == [5, 29, 59, 299]


@pytest.mark.parametrize(("level", "needed"), [("p95_ms", 59), ("p99_ms", 299)])
def test_too_few_samples_are_inconclusive_either_way(level: str, needed: int) -> None:
    for limit, enough in ((100.0, PASS), (1.0, FAIL)):
        slo = dataclasses.replace(ServiceLevel(), **{level: limit})
        assert verdict_of(slo, route_of(needed - 1)) is INCONCLUSIVE
        assert verdict_of(slo, route_of(needed)) is enough


def test_no_sample_and_no_request_are_inconclusive() -> None:
    levels = judge_route(ServiceLevel(p95_ms=1.0, error_rate=0.5), route_of(0), VALID, 1)
    assert levels is not None
    assert [(level.value, level.verdict) for level in levels.levels] == [(None, INCONCLUSIVE)] * 2


def test_errors_are_judged_by_their_rate_and_kept_out_of_the_percentiles() -> None:
    route = route_of(90, ms=10, errors=10)
    assert route.error_rate == 0.1
    assert verdict_of(ServiceLevel(error_rate=0.1), route) is PASS
    assert verdict_of(ServiceLevel(error_rate=0.099), route) is FAIL
    only_errors = route_of(0, errors=100)
    levels = judge_route(ServiceLevel(p95_ms=100.0, error_rate=0.01), only_errors, VALID, 1)
    assert levels is not None
    assert [level.verdict for level in levels.levels] == [INCONCLUSIVE, FAIL]
    assert levels.verdict is FAIL


def test_what_was_owed_and_never_sent_is_in_the_error_rate() -> None:
    dropping = figures_of([1] * 98, seconds=1, dropped_by_load=(1,), queued=1).routes[0]
    assert dropping.error_rate == 0.02
    assert verdict_of(ServiceLevel(error_rate=0.01), dropping) is FAIL
    levels = judge_route(ServiceLevel(error_rate=0.01), dropping, VALID, 1)
    assert levels is not None
    assert levels.levels[0].reason.endswith("; 2 of 2 errors were never sent")
    never_sent = figures_of(seconds=1, dropped_by_load=(5,)).routes[0]
    assert verdict_of(ServiceLevel(error_rate=0.01), never_sent) is FAIL


def test_a_doubtful_measurement_never_passes() -> None:
    route = route_of(100)
    good, bad = ServiceLevel(p95_ms=100.0), ServiceLevel(p95_ms=1.0)
    assert [verdict_of(good, route, v) for v in (VALID, SUSPECT, INVALID)] == [
        PASS,
        INCONCLUSIVE,
        INCONCLUSIVE,
    ]
    assert [verdict_of(bad, route, v) for v in (VALID, SUSPECT, INVALID)] == [FAIL, FAIL, INCONCLUSIVE]
    assert believed(INCONCLUSIVE, VALID) is INCONCLUSIVE


def test_a_stretch_level_is_shown_and_never_decides() -> None:
    slo = ServiceLevel(p95_ms=100.0, p95_stretch_ms=1.0)
    levels = judge_route(slo, route_of(100), VALID, 1)
    assert levels is not None
    assert {level.level: level.verdict for level in levels.levels} == {"p95_ms": PASS, "p95_stretch_ms": FAIL}
    assert levels.verdict is PASS
    assert tightest_ms([slo]) == 100.0


def test_levels_that_do_not_decide_are_judged_and_shown() -> None:
    slo = ServiceLevel(p95_ms=1.0, p95_stretch_ms=0.5, error_rate=0.01, timeouts=0)
    levels = judge_route(slo, route_of(100), VALID, 1, ("error_rate", "timeouts", "p95_stretch_ms"))
    assert levels is not None
    assert {level.level: (level.verdict, level.required) for level in levels.levels} == {
        "p95_ms": (FAIL, False),
        "p95_stretch_ms": (FAIL, False),
        "error_rate": (PASS, True),
        "timeouts": (PASS, True),
    }
    assert levels.verdict is PASS
    failing = judge_route(slo, route_of(90, errors=10), VALID, 1, ("error_rate",))
    assert failing is not None and failing.verdict is FAIL
    nothing = judge_route(slo, route_of(100), VALID, 1, ("p99_ms",))
    assert nothing is not None and nothing.verdict is INCONCLUSIVE


def test_lateness_is_held_against_levels_that_decide() -> None:
    slos = [ServiceLevel(p95_ms=100.0, p99_ms=150.0)]
    assert tightest_ms(slos, ("p99_ms",)) == 150.0
    assert tightest_ms(slos, ("error_rate",)) is None


def test_a_route_without_levels_is_not_judged() -> None:
    assert judge_route(ServiceLevel(), route_of(100), VALID, 1) is None
    assert tightest_ms([ServiceLevel(error_rate=0.1)]) is None


def test_a_level_tells_its_interval_and_when_its_limit_lies_within() -> None:
    route = figures_of([*range(1, 101)], seconds=20).routes[0]
    levels = judge_route(ServiceLevel(p95_ms=95.1, p50_ms=90.0), route, VALID, 1)
    assert levels is not None
    by_name = {level.level: level for level in levels.levels}
    interval = by_name["p95_ms"].interval
    assert interval is not None
    assert interval[0] <= 95.1 <= interval[1]
    assert "interval of chance" in by_name["p95_ms"].reason
    assert "interval of chance" not in by_name["p50_ms"].reason


def test_the_worst_verdict_decides_and_nothing_judged_is_inconclusive() -> None:
    assert worst([PASS, FAIL, INCONCLUSIVE]) is FAIL
    assert worst([PASS, INCONCLUSIVE]) is INCONCLUSIVE
    assert worst([PASS, PASS]) is PASS
    assert worst([]) is INCONCLUSIVE


def outcomes_of(ok: int = 100, warm_up_s: int = 0, **counts: int) -> RouteFigures:
    """A second with so many of each outcome, after a warm-up in which all of them timed out."""
    recorder = Recorder(["ingest"], warm_up_ns=warm_up_s * SECOND)
    for second in range(warm_up_s):
        recorder.add_samples(0, Outcome.TIMEOUT, rows([second * SECOND] * 50, MS))
        recorder.close_second(tick(second + 1))
    for name, count in {"ok": ok, **counts}.items():
        recorder.add_samples(0, Outcome[name.upper()], rows([warm_up_s * SECOND] * count, MS))
    recorder.close_second(tick(warm_up_s + 1))
    return recorder.figures().routes[0]


@pytest.mark.parametrize(
    ("level", "counts", "found"),
    [
        ("timeouts", {}, 0),
        ("timeouts", {"timeout": 2}, 2),
        ("timeouts", {"http_error": 9, "check_failed": 9, "reset": 9}, 0),
        ("failed_checks", {"check_failed": 2}, 2),
        ("failed_checks", {"check_failed": 1, "capture_failed": 2}, 3),
        ("failed_checks", {"timeout": 9, "http_error": 9}, 0),
    ],
)
def test_counts_pass_up_to_their_limit(level: str, counts: dict[str, int], found: int) -> None:
    route = outcomes_of(warm_up_s=2, **counts)
    for limit in range(5):
        slo = dataclasses.replace(ServiceLevel(), **{level: limit})
        (judged,) = judge_route(slo, route, VALID, 1).levels  # type: ignore[union-attr]
        assert (judged.level, judged.value) == (level, found)
        assert judged.verdict is (PASS if found <= limit else FAIL)


def test_counts_of_no_request_or_of_a_doubtful_measurement_do_not_pass() -> None:
    slo = ServiceLevel(timeouts=0, failed_checks=0)
    assert verdict_of(slo, outcomes_of(ok=0)) is INCONCLUSIVE
    assert verdict_of(slo, outcomes_of(), SUSPECT) is INCONCLUSIVE
    assert verdict_of(slo, outcomes_of(timeout=1), SUSPECT) is FAIL
    assert verdict_of(slo, outcomes_of(timeout=1), INVALID) is INCONCLUSIVE


def course_of(*thirds: tuple[float, int], seconds: int = 10) -> RouteFigures:
    """A route of so many seconds a third, each second of it with so many samples of so many ms."""
    recorder = Recorder(["ingest"])
    for number, (ms, samples) in enumerate(thirds):
        for second in range(seconds):
            second_of(recorder, number * seconds + second + 1, [ms] * samples)
    return recorder.figures().routes[0]


@pytest.mark.parametrize(
    ("last_ms", "verdict"), [(100, PASS), (108, PASS), (92, PASS), (112, FAIL), (88, FAIL)]
)
def test_a_p95_may_drift_as_far_as_its_limit_either_way(last_ms: float, verdict: Verdict) -> None:
    route = course_of((100, 10), (500, 10), (last_ms, 10))
    (level,) = judge_route(ServiceLevel(p95_drift=0.1), route, VALID, 1).levels  # type: ignore[union-attr]
    assert level.verdict is verdict
    assert level.value == pytest.approx(last_ms / 100 - 1, abs=0.01)
    assert level.reason.startswith("from 100.")


@pytest.mark.parametrize(
    "course", [((10, 5), (10, 9), (10, 9)), ((10, 9), (10, 9), (10, 5)), ((10, 9), (10, 9), (10, 0)), ()]
)
def test_a_drift_of_too_few_samples_in_a_third_cannot_be_told(course: tuple[tuple[float, int], ...]) -> None:
    (level,) = judge_route(ServiceLevel(p95_drift=0.1), course_of(*course), VALID, 1).levels  # type: ignore[union-attr]
    assert (level.verdict, level.value) == (INCONCLUSIVE, None)
    assert "59 are needed" in level.reason
    enough = course_of((10, 6), (10, 0), (10, 6))
    assert verdict_of(ServiceLevel(p95_drift=0.1), enough) is PASS


@pytest.mark.parametrize(
    ("each_second", "rise", "verdict"),
    [(10, 1.15, INCONCLUSIVE), (100, 1.15, FAIL), (10, 1.5, FAIL), (10, 1.05, PASS), (100, 0.85, FAIL)],
)
def test_a_drift_that_chance_may_be_is_no_fail(each_second: int, rise: float, verdict: Verdict) -> None:
    recorder = Recorder(["ingest"])
    for second in range(30):
        scale = rise if second >= 20 else 1.0
        # 1 to 100 ms, evenly: each second has its share of them.
        values = [scale * (1 + (i * 10 + second % 10) % 100) for i in range(each_second)]
        second_of(recorder, second + 1, values)
    route = recorder.figures().routes[0]
    (level,) = judge_route(ServiceLevel(p95_drift=0.1), route, VALID, 1).levels  # type: ignore[union-attr]
    assert level.verdict is verdict, level.reason
    assert level.interval is not None
    assert level.interval[0] < level.value < level.interval[1]  # type: ignore[operator]
    assert ("it may be chance" in level.reason) is (verdict is INCONCLUSIVE)


def written(**whole: int) -> RouteFigures:
    counts = {Outcome[name.upper()]: count for name, count in whole.items()}
    return RouteFigures("ingest", counts, 0, {}, {}, {}, (), ())


@pytest.mark.parametrize(
    ("whole", "persisted", "verdict", "lost"),
    [
        ({"ok": 100}, 100, PASS, 0),
        ({"ok": 100}, 99, FAIL, 1),
        ({"ok": 100}, 0, FAIL, 100),
        ({"ok": 100}, 101, INCONCLUSIVE, 0),
        ({"ok": 100}, None, INCONCLUSIVE, None),
        ({"ok": 100, "timeout": 2}, 102, PASS, 0),
        ({"ok": 100, "timeout": 2}, 101, INCONCLUSIVE, 0),
        ({"ok": 100, "timeout": 2}, 100, INCONCLUSIVE, 0),
        ({"ok": 100, "timeout": 2}, 99, FAIL, 1),
        ({"ok": 100, "timeout": 2}, 103, INCONCLUSIVE, 0),
        ({"ok": 100, "refused": 9, "dns": 1, "guard_refused": 1}, 100, PASS, 0),
        ({"ok": 100, "cancelled": 1}, 100, INCONCLUSIVE, 0),
        ({"refused": 5}, 0, INCONCLUSIVE, 0),
        ({}, 0, INCONCLUSIVE, 0),
    ],
)
def test_persistence_passes_only_by_proof(
    whole: dict[str, int], persisted: int | None, verdict: Verdict, lost: int | None
) -> None:
    found = judge_persistence(written(**whole), persisted)
    assert (found.verdict, found.lost) == (verdict, lost)
    assert found.acknowledged == whole.get("ok", 0)
    assert found.reason


def test_a_count_that_could_not_be_read_says_why() -> None:
    assert judge_persistence(written(ok=1), None, "404 from /v1/count").reason == "404 from /v1/count"

"""A run certifies itself: each doubt, and its absence, with a reason a person understands."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ecoload.measure.figures import Figures
from ecoload.measure.outcome import Outcome
from ecoload.measure.recorder import Recorder
from ecoload.measure.result import ValidityStatus
from ecoload.measure.validity import Circumstances, judge_validity
from tests.unit.measuring import figures_of, rows, second_of, tick

VALID, SUSPECT, INVALID = ValidityStatus


def judged(figures: Figures, **around: Any) -> tuple[ValidityStatus, str]:
    validity = judge_validity(figures, Circumstances(**around))
    return validity.status, "; ".join(validity.reasons)


def with_generator(**changes: Any) -> Figures:
    figures = figures_of([1, 2])
    return dataclasses.replace(figures, generator=dataclasses.replace(figures.generator, **changes))


def test_a_quiet_run_is_valid() -> None:
    assert judged(figures_of([1, 2])) == (VALID, "")


@pytest.mark.parametrize(
    ("started", "status"),
    [
        (1000, VALID),
        (990, VALID),
        (989, SUSPECT),
        (900, SUSPECT),
        (899, INVALID),
        (1011, SUSPECT),
        (0, INVALID),
    ],
)
def test_starts_that_the_generator_did_not_make(started: int, status: ValidityStatus) -> None:
    figures = figures_of([1], iterations_started=started)
    assert judged(figures, planned_starts=1000)[0] is status
    assert judged(figures)[0] is VALID


def test_drops_and_queueing_are_the_targets_doing() -> None:
    slow = figures_of([1], iterations_started=500, dropped_iterations=300, dropped_by_load=(300,), queued=200)
    assert judged(slow, planned_starts=1000)[0] is VALID


@pytest.mark.parametrize(
    ("late_us", "tightest_ms", "status"),
    [
        (5_000, None, VALID),
        (5_001, None, SUSPECT),
        (5_001, 500.0, SUSPECT),
        (2_000, 20.0, VALID),
        (2_001, 20.0, SUSPECT),
        (2_001, 125.0, VALID),
    ],
)
def test_late_starts(late_us: int, tightest_ms: float | None, status: ValidityStatus) -> None:
    figures = with_generator(lateness_p99_us=late_us)
    assert judged(figures, tightest_level_ms=tightest_ms)[0] is status


def test_it_is_the_p99_of_lateness_that_counts() -> None:
    for late, status in ((10, VALID), (11, SUSPECT)):
        recorder = Recorder(["a"])
        recorder.add_lateness(np.array([100] * (1000 - late) + [9_000_000] * late, np.int64))
        recorder.close_second(tick(1))
        assert judged(recorder.figures())[0] is status


@pytest.mark.parametrize(
    ("hot", "seconds", "status"),
    [(1, 5, VALID), (2, 5, SUSPECT), (5, 100, VALID), (6, 100, SUSPECT)],
)
def test_a_generator_at_its_limit(hot: int, seconds: int, status: ValidityStatus) -> None:
    figures = with_generator(hot_seconds=hot, seconds=seconds)
    assert judged(figures)[0] is status
    assert judged(figures, spinning=True)[0] is VALID


def test_in_an_unpaced_closed_model_the_generator_was_the_limit() -> None:
    hot = with_generator(hot_seconds=50, seconds=100)
    assert "not the target, was the limit" in judged(hot, closed_unpaced=True)[1]
    assert "was the limit" not in judged(hot)[1]


def test_a_loop_that_was_held_up() -> None:
    assert judged(with_generator(lag_share=0.01))[0] is VALID
    status, reason = judged(with_generator(lag_share=0.02, lag_max_ns=400_000_000))
    assert status is SUSPECT
    assert "2.0%" in reason
    assert "400 ms" in reason


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_the_generators_own_outcomes_make_a_run_invalid(outcome: Outcome) -> None:
    recorder = Recorder(["a"])
    recorder.add_samples(0, outcome, rows([0], [1]))
    recorder.close_second(tick(1))
    expected = INVALID if outcome in (Outcome.PORT_EXHAUSTED, Outcome.FD_EXHAUSTED) else VALID
    assert judged(recorder.figures())[0] is expected


def test_the_targets_own_count_must_fit() -> None:
    recorder = Recorder(["a"])
    for outcome, count in ((Outcome.OK, 10), (Outcome.TIMEOUT, 3), (Outcome.REFUSED, 5)):
        recorder.add_samples(0, outcome, rows([0] * count, [1] * count))
    recorder.close_second(tick(1))
    figures = recorder.figures()
    verdicts = {seen: judged(figures, server_count=seen)[0] for seen in (9, 10, 13, 14)}
    assert verdicts == {9: INVALID, 10: VALID, 13: VALID, 14: INVALID}
    assert judged(figures, server_count=None)[0] is VALID


def test_the_targets_own_count_has_what_setup_and_teardown_asked() -> None:
    recorder = Recorder(["a"])
    recorder.add_samples(0, Outcome.OK, rows([0] * 10, [1] * 10))
    recorder.close_second(dataclasses.replace(tick(1), beside=2))
    verdicts = {seen: judged(recorder.figures(), server_count=seen)[0] for seen in (10, 11, 12, 13)}
    assert verdicts == {10: INVALID, 11: INVALID, 12: VALID, 13: INVALID}


def test_a_lost_generator_is_invalid_and_a_rebuilt_run_suspect_at_best() -> None:
    status, reason = judged(figures_of([1]), lost_worker="killed by signal 9")
    assert status is INVALID
    assert "signal 9" in reason
    assert judged(dataclasses.replace(figures_of([1]), rebuilt=True))[0] is SUSPECT


def test_the_worst_decides_and_every_reason_is_told_worst_first() -> None:
    figures = with_generator(lateness_p99_us=9_000, lag_share=0.5)
    validity = judge_validity(figures, Circumstances(lost_worker="gone"))
    assert validity.status is INVALID
    assert len(validity.reasons) == 3
    assert "gone" in validity.reasons[0]


def test_a_warm_up_still_counts_against_the_targets_count() -> None:
    recorder = Recorder(["a"], warm_up_ns=2_000_000_000)
    for second in (1, 2, 3):
        second_of(recorder, second, [1] * 10)
    assert judged(recorder.figures(), server_count=30)[0] is VALID
    assert judged(recorder.figures(), server_count=10)[0] is INVALID

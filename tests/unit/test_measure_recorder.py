"""The recorder: from rows to seconds and figures, nothing lost, nothing corrected."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from ecoload.errors import WorkerFailed
from ecoload.measure.blocks import LIMIT
from ecoload.measure.frames import Frame, sample_key
from ecoload.measure.interval import Tick
from ecoload.measure.outcome import Outcome
from ecoload.measure.recorder import Recorder
from tests.unit.measuring import SECOND, a_plan, figures_of, rows, second_of, tick


def test_a_stall_of_the_target_shows_in_every_request_that_was_due_meanwhile() -> None:
    recorder = Recorder(["all"])
    due = np.arange(20_000, dtype=np.int64) * 1_000_000
    stall_from, stall_to = 10 * SECOND, 11 * SECOND
    answered = np.where((due >= stall_from) & (due < stall_to), stall_to, due) + 1_000_000
    response = answered - due
    for second in range(20):
        inside = (due >= second * SECOND) & (due < (second + 1) * SECOND)
        recorder.add_samples(0, Outcome.OK, rows(due[inside], response[inside]))
        recorder.close_second(tick(second + 1))
    found = recorder.figures().routes[0].ok_response
    exact = np.sort(response)
    for share in (0.5, 0.95, 0.99, 0.999):
        truth_us = exact[int(np.ceil(share * len(exact))) - 1] / 1000
        assert found.percentile(share) == pytest.approx(truth_us, rel=0.001)
    assert found.percentile(0.99) == pytest.approx(801_000, rel=0.01)
    assert found.maximum == 1_001_000


def test_the_five_times_of_a_row_become_response_service_and_phases() -> None:
    recorder = Recorder(["all"])
    row = np.array([[0, 5, 7, 17, 20]], np.int64) * 1_000_000
    recorder.add_samples(0, Outcome.OK, row)
    recorder.close_second(tick(1))
    route = recorder.figures().routes[0]
    assert route.ok_response.maximum == 20_000
    assert route.ok_service.maximum == 15_000
    assert {name: phase.maximum for name, phase in route.phases.items()} == {
        "sending": 2_000,
        "waiting": 10_000,
        "receiving": 3_000,
    }


def test_nanoseconds_are_rounded_to_the_nearest_microsecond() -> None:
    recorder = Recorder(["all"])
    recorder.add_samples(0, Outcome.OK, rows([0, 0], [1_499, 1_500]))
    assert list(recorder.close_second(tick(1)).responses[0, Outcome.OK].indices) == [1, 2]


def test_outcomes_stand_apart_and_only_the_targets_are_errors() -> None:
    recorder = Recorder(["all"])
    for outcome in Outcome:
        recorder.add_samples(0, outcome, rows([0], [1_000_000]))
    interval = recorder.close_second(tick(1))
    route = recorder.figures().routes[0]
    assert route.outcomes == dict.fromkeys(Outcome, 1)
    assert interval.count() == route.requests == 15
    assert interval.errors() == route.errors == 14
    assert route.all_response().total == 15
    assert route.ok_response.total == 1


def test_a_dropped_iteration_is_an_error_of_its_loads_first_route() -> None:
    recorder = Recorder(["a", "b"], first_routes=(1, 0))
    second_of(recorder, 1, [1, 1], dropped_iterations=2, dropped_by_load=(2, 0))
    interval = second_of(recorder, 2, [1], dropped_iterations=5, dropped_by_load=(4, 1))
    assert interval.unsent == (1, 2)
    assert (interval.errors(), interval.dropped_iterations) == (3, 3)
    first, second = recorder.figures().routes
    assert (first.unsent, first.errors, first.error_rate) == (1, 1, 0.25)
    assert (second.unsent, second.errors, second.error_rate) == (4, 4, 1.0)
    assert recorder.figures().dropped_iterations == 5


def test_what_is_still_queued_at_the_end_is_an_error_and_earlier_queues_are_not() -> None:
    recorder = Recorder(["a", "b"], queue_route=1)
    second_of(recorder, 1, [1], queued=50)
    second_of(recorder, 2, [1], queued=3)
    assert [route.unsent for route in recorder.figures().routes] == [0, 3]


def test_the_warm_up_is_counted_by_outcome_and_kept_out_of_the_figures() -> None:
    recorder = Recorder(["all"], warm_up_ns=2 * SECOND)
    recorder.begin(100 * SECOND)
    for second in range(4):
        at = (100 + second) * SECOND
        recorder.add_samples(0, Outcome.OK, rows([at, at], [900_000_000 if second < 2 else 5_000_000]))
        recorder.add_lateness(np.array([50_000_000 if second < 2 else 1_000], np.int64))
        dropped = (second + 1) * 10
        interval = recorder.close_second(
            Tick(
                at_ns=at + SECOND,
                dropped_iterations=dropped,
                dropped_by_load=(dropped,),
                late_starts=second + 1,
                iterations=10 * (second + 1),
            )
        )
        assert interval.warming_up == (second < 2)
        assert interval.count() == (0 if second < 2 else 2)
    found = recorder.figures()
    assert (found.requests, found.warm_up_requests, found.whole(Outcome.OK)) == (4, 4, 8)
    assert found.routes[0].ok_response.maximum == 5_000
    assert (found.dropped_iterations, found.routes[0].unsent) == (20, 20)
    assert (found.late_starts, found.generator.lateness_p99_us) == (2, 1)
    assert (found.duration_s, found.measured_s) == (4.0, 2.0)
    assert found.iterations == 40


def test_a_request_due_in_the_warm_up_and_answered_after_it_is_left_out() -> None:
    recorder = Recorder(["all"], warm_up_ns=SECOND)
    recorder.close_second(tick(1))
    recorder.add_samples(0, Outcome.OK, rows([SECOND - 1, SECOND], [SECOND, SECOND]))
    interval = recorder.close_second(tick(2))
    assert (interval.count(), interval.warm_up_requests) == (1, 1)


def test_frames_and_methods_lead_to_the_same_figures() -> None:
    framed, called = Recorder(["a", "b"], ["x"]), Recorder(["a", "b"], ["x"])
    sample = rows([SECOND, SECOND], [2_000_000, 3_000_000])
    connection = np.array([[SECOND, 1_000, 2_000, 3_000]], np.int64)
    late = np.array([7_000], np.int64)
    assert framed.take(Frame.START, 0, b'{"t0": 1000000000}') is None
    framed.take(Frame.SAMPLES, sample_key(1, Outcome.TIMEOUT), sample.tobytes())
    framed.take(Frame.CONNECTIONS, 0, connection.tobytes())
    framed.take(Frame.LATENESS, 0, late.tobytes())
    framed.take(Frame.LOG, 0, b"{}")
    counters = {"at_ns": 2 * SECOND, "vus": 3, "vus_max": 4, "dropped_by_load": [0], "later_key": 1}
    one = framed.take(Frame.TICK, 0, json.dumps(counters).encode())
    called.begin(SECOND)
    called.add_samples(1, Outcome.TIMEOUT, sample)
    called.add_connections(0, connection)
    called.add_lateness(late)
    other = called.close_second(Tick(at_ns=2 * SECOND, vus=3, vus_max=4, dropped_by_load=(0,)))
    assert one is not None
    assert one.tick == other.tick
    assert (one.start_ns, one.end_ns) == (other.start_ns, other.end_ns) == (0, SECOND)
    for recorder in (framed, called):
        found = recorder.figures()
        assert found.routes[1].outcomes == {Outcome.TIMEOUT: 2}
        assert found.connections[0].opened == 1
        assert found.connections[0].phases["tls"].maximum == 3
        assert found.generator.lateness_p99_us == 7
        assert found.vus_max == 4


def test_broken_frames_are_the_generators_failure() -> None:
    recorder = Recorder(["a"])
    with pytest.raises(WorkerFailed):
        recorder.take(Frame.SAMPLES, 0, b"12345")
    for text in (b"{", b"[]", b"{}"):
        with pytest.raises(WorkerFailed):
            recorder.take(Frame.TICK, 0, text)


def test_what_came_after_the_last_tick_of_a_dead_generator_is_not_lost() -> None:
    recorder = Recorder(["a"])
    second_of(recorder, 1, [1, 2], iterations=2)
    assert recorder.close(2 * SECOND) is None
    recorder.add_samples(0, Outcome.OK, rows([SECOND], [1_000_000]))
    interval = recorder.close(2 * SECOND)
    assert interval is not None
    assert (interval.count(), interval.iterations, interval.end_ns) == (1, 0, 2 * SECOND)
    assert recorder.figures().requests == 3


def test_the_ten_slowest_are_kept_with_where_their_time_went() -> None:
    recorder = Recorder(["a", "b"])
    recorder.add_samples(0, Outcome.OK, rows(np.arange(100), np.arange(1, 101) * 1_000_000))
    recorder.add_samples(1, Outcome.TIMEOUT, np.array([[0, 10, 20, 950, 1000]], np.int64) * 1_000_000)
    recorder.add_samples(1, Outcome.CANCELLED, rows([0], [9_000_000_000]))
    recorder.close_second(tick(1))
    recorder.add_samples(0, Outcome.OK, rows([SECOND], [500_000_000]))
    recorder.close_second(tick(2))
    first, second = (route.slowest for route in recorder.figures().routes)
    assert [round(slow.response_ms) for slow in first] == [500, *range(100, 91, -1)]
    assert first[0].due_s == 1.0
    (slow,) = second
    assert slow.outcome is Outcome.TIMEOUT
    assert (slow.delay_ms, slow.sending_ms, slow.waiting_ms, slow.receiving_ms) == (10, 10, 930, 50)


def test_the_generators_own_seconds_are_told_without_the_first() -> None:
    recorder = Recorder(["a"])
    shares = []
    for second, cpu in enumerate((800, 1_000, 1_950, 2_000), start=1):
        lag = 20_000_000 if second == 3 else 0
        shares.append(recorder.close_second(tick(second, cpu_ns=cpu * 1_000_000, lag_max_ns=lag)).cpu_share)
    assert shares == [None, 0.2, 0.95, 0.05]
    found = recorder.figures().generator
    assert found.cpu_share == pytest.approx(0.4)
    assert (found.seconds, found.hot_seconds, found.lag_max_ns) == (3, 1, 20_000_000)
    assert found.lag_share == pytest.approx(0.005)


def test_a_plans_recorder_knows_its_names_and_who_owns_a_drop() -> None:
    recorder = Recorder.for_plan(a_plan())
    assert recorder.routes == ("ingest", "count")
    found = figures_of([1], seconds=1, dropped_by_load=(3,), queued=2)
    assert [route.unsent for route in found.routes] == [5, 0]
    assert [one.app for one in found.connections] == ["a2"]


def test_blocks_stay_few_and_lose_nothing_however_long_the_run() -> None:
    recorder = Recorder(["a"])
    for second in range(1, 4 * LIMIT + 8):
        second_of(recorder, second, [1, 5, second % 50], errors=1)
    blocks = recorder.figures().routes[0].blocks
    assert LIMIT // 2 <= len(blocks) <= LIMIT + 1
    spans = {block.requests // 4 for block in blocks[:-1]}
    assert len(spans) == 1
    assert all(int(block.counts.sum()) == block.requests - block.errors for block in blocks)


def test_memory_is_flat_over_a_million_samples() -> None:
    recorder = Recorder(["a"])
    rng = np.random.default_rng(1)

    def run(first: int, last: int) -> None:
        for second in range(first, last):
            spans = (rng.lognormal(2.3, 0.5, 10_000) * 1e6).astype(np.int64)
            recorder.add_samples(0, Outcome.OK, rows(second * SECOND, spans))
            recorder.close_second(tick(second + 1))

    tracemalloc.start()
    run(0, 10)
    before, _ = tracemalloc.get_traced_memory()
    run(10, 110)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1_000_000

"""Executors on a manual clock: who starts when, who goes on, who stops, and what is never lost."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoload.engine.clock import NEVER
from ecoload.engine.schedule import OpenSchedule, first_start_ns, make_schedule
from ecoload.measure.outcome import Outcome
from ecoload.plan import (
    Arrivals,
    Capture,
    ConstantArrivalRate,
    ConstantVUs,
    Executor,
    Load,
    OnExhausted,
    PerVUIterations,
    RampingArrivalRate,
    RampingVUs,
    Ref,
    SharedIterations,
    Stage,
    Think,
)
from tests.unit.support import MS, NO_REPLY, SLOT, Reply, Request, Run, S, get, make_plan, run_plan

TEN = Reply(delay_ns=10 * MS)
UNSENDABLE = get(headers=(("X-A", Ref(("x",))),))
"""A step that ends its iteration without a wait: its header would break the request."""
NO_WAIT: dict[str, Any] = {"lets": (("x", "\r\n"),)}


def run(executor: Executor, script: Any = TEN, events: Any = (), **load: Any) -> Run:
    done = run_plan(make_plan(executor=executor, load=load), script, events)
    done.assert_accounted()
    return done


def slow(ms: int) -> Reply:
    return Reply(delay_ns=ms * MS)


def starts_of(done: Run, vu: int) -> list[int]:
    return [request.at for request in done.requests if request.vu == vu]


def held_up(worker: Any) -> None:
    """The loop is held for 30 ms: what was due meanwhile starts late, though a VU was free."""
    worker.clock._now += 30 * MS


def open_model(rate: float = 10, seconds: float = 1, vus: int = 1, most: int = 0, **more: Any) -> Executor:
    return ConstantArrivalRate(rate, int(seconds * S), vus, most or vus, **more)


# --- Closed model: how many VUs -------------------------------------------------------------------


def test_constant_vus_start_together_and_each_goes_on_as_soon_as_it_is_free() -> None:
    done = run(ConstantVUs(3, S))
    for vu in (1, 2, 3):
        assert starts_of(done, vu) == [10 * MS * n for n in range(100)]
    assert done.last["iterations"] == 300
    assert done.end["status"] == "finished"


def test_in_a_closed_model_a_request_is_due_when_its_vu_is_free() -> None:
    done = run(ConstantVUs(1, S), slow(300))
    assert [(s.due, s.last) for s in done.samples[:3]] == [
        (0, 300 * MS), (300 * MS, 600 * MS), (600 * MS, 900 * MS)
    ]  # fmt: skip


def test_a_ramp_up_adds_vus_one_by_one() -> None:
    done = run(RampingVUs(0, (Stage(S, 4), Stage(S, 4))))
    assert [starts_of(done, vu)[0] for vu in (1, 2, 3, 4)] == [250 * MS, 500 * MS, 750 * MS, S]
    assert done.last["vus_max"] == 4


def test_a_ramp_down_takes_first_who_started_last() -> None:
    done = run(RampingVUs(4, (Stage(S, 0),)))
    # An answer that comes at the very moment still counts; nothing starts from there on.
    assert [starts_of(done, vu)[-1] for vu in (1, 2, 3, 4)] == [990 * MS, 740 * MS, 490 * MS, 240 * MS]
    assert done.transport.released == [4, 3, 2, 1]
    assert done.last["interrupted_iterations"] == 0


def test_a_vu_that_must_go_finishes_its_iteration_within_its_grace() -> None:
    stages = (Stage(S, 2), Stage(0, 1), Stage(S, 1))
    done = run(RampingVUs(2, stages, graceful_ramp_down_ns=300 * MS), slow(300), graceful_stop_ns=S)
    assert starts_of(done, 2) == [0, 300 * MS, 600 * MS, 900 * MS]
    assert done.last["interrupted_iterations"] == 0
    assert set(done.outcomes()) == {"ok"}


def test_a_vu_that_is_not_done_within_its_grace_is_interrupted_and_its_request_cancelled() -> None:
    stages = (Stage(S, 2), Stage(0, 1), Stage(S, 1))
    done = run(RampingVUs(2, stages, graceful_ramp_down_ns=100 * MS), slow(300), graceful_stop_ns=S)
    (cancelled,) = [s for s in done.samples if s.outcome is Outcome.CANCELLED]
    assert (cancelled.begin, cancelled.last) == (900 * MS, 1100 * MS)
    assert done.last["interrupted_iterations"] == 1


def test_a_vu_raised_again_within_its_grace_goes_on_with_its_iteration() -> None:
    stages = (Stage(S, 2), Stage(0, 1), Stage(100 * MS, 1), Stage(0, 2), Stage(S, 2))
    done = run(RampingVUs(2, stages, graceful_ramp_down_ns=150 * MS), slow(300), graceful_stop_ns=S)
    assert done.last["vus_max"] == 2
    assert starts_of(done, 2)[:5] == [0, 300 * MS, 600 * MS, 900 * MS, 1200 * MS]
    assert done.last["interrupted_iterations"] == 0


def test_a_vu_raised_and_lowered_again_has_its_whole_grace_again() -> None:
    stages = (
        Stage(S, 2), Stage(0, 1), Stage(200 * MS, 1), Stage(0, 2), Stage(200 * MS, 2), Stage(0, 1),
        Stage(2 * S, 1),
    )  # fmt: skip
    done = run(RampingVUs(2, stages, graceful_ramp_down_ns=500 * MS), slow(3000))
    # Lowered at 1.0 s and, raised in between, at 1.4 s.
    assert min(s.last for s in done.samples) == 1900 * MS


def test_a_vu_raised_again_after_its_grace_is_another_one() -> None:
    stages = (Stage(S, 2), Stage(0, 1), Stage(S, 1), Stage(0, 2), Stage(S, 2))
    done = run(RampingVUs(2, stages, graceful_ramp_down_ns=0))
    assert starts_of(done, 2)[-1] == 990 * MS
    assert starts_of(done, 3)[0] == 2 * S


def test_many_vus_at_once_all_start_at_the_same_instant() -> None:
    done = run(ConstantVUs(1000, 100 * MS))
    assert [request.at for request in done.requests[:1000]] == [0] * 1000
    assert done.last["vus_max"] == 1000


# --- Closed model: the end ------------------------------------------------------------------------


def test_at_the_regular_end_what_runs_has_its_grace() -> None:
    done = run(ConstantVUs(2, S), slow(300), graceful_stop_ns=200 * MS)
    assert [s.last for s in done.samples][-2:] == [1200 * MS] * 2
    assert set(done.outcomes()) == {"ok"}
    assert done.last["at_ns"] - done.ticks[0]["at_ns"] == 200 * MS


def test_what_runs_when_the_grace_is_over_is_interrupted() -> None:
    done = run(ConstantVUs(2, S), slow(300), graceful_stop_ns=100 * MS)
    assert done.outcomes().count("cancelled") == 2
    assert done.last["interrupted_iterations"] == 2
    assert done.last["iterations"] == 6


def test_an_iteration_interrupted_while_it_thinks_has_no_request_to_cancel() -> None:
    thinking = get(think=Think(5 * S, 5 * S))
    done = run_plan(make_plan(thinking, executor=ConstantVUs(2, S)), TEN)
    done.assert_accounted()
    assert done.outcomes() == ["ok", "ok"]
    assert (done.last["interrupted_iterations"], done.last["iterations"]) == (2, 0)


def test_a_stuck_target_does_not_hold_the_end() -> None:
    done = run(ConstantVUs(2, S), NO_REPLY)
    assert done.outcomes() == ["cancelled", "cancelled"]
    assert [s.last for s in done.samples] == [S, S]


# --- Closed model: pacing -------------------------------------------------------------------------


def test_pacing_makes_iterations_due_exactly_one_pacing_apart() -> None:
    done = run(ConstantVUs(2, S), pacing_ns=100 * MS)
    # The second VU begins 61.8 ms behind the first, and stays there.
    assert [s.due for s in done.samples] == [100 * MS * (n // 2) + 61_803_398 * (n % 2) for n in range(20)]
    assert all(0 <= s.begin - s.due <= SLOT for s in done.samples)
    assert done.last["late_starts"] == 0
    assert done.last["iterations"] == 20


def test_where_the_target_is_slower_than_the_pacing_the_next_is_due_when_the_vu_is_free() -> None:
    script = lambda request: slow(250 if request.at < 100 * MS else 10)  # noqa: E731
    done = run(ConstantVUs(1, 600 * MS), script, pacing_ns=100 * MS)
    assert [s.due for s in done.samples] == [0, 250 * MS, 350 * MS, 450 * MS, 550 * MS]


def test_a_vu_that_waits_for_its_pacing_at_the_end_starts_nothing_more() -> None:
    done = run(ConstantVUs(3, 250 * MS), pacing_ns=100 * MS, graceful_stop_ns=10 * S)
    # They began at 0, 61.8 and 23.6 ms.
    assert [len(starts_of(done, vu)) for vu in (1, 2, 3)] == [3, 2, 3]
    assert done.last["iterations_started"] == done.last["iterations"] == 8
    assert done.last["at_ns"] == done.ticks[0]["at_ns"]


def test_a_vu_that_waits_for_its_pacing_when_it_must_go_is_gone_at_once() -> None:
    stages = (Stage(200 * MS, 2), Stage(0, 1), Stage(S, 1))
    done = run(RampingVUs(2, stages), pacing_ns=100 * MS)
    assert len(starts_of(done, 2)) == 2
    assert done.transport.released[0] == 2


# --- Closed model: where a paced VU begins --------------------------------------------------------

PACED: dict[str, Executor] = {
    "constant": ConstantVUs(20, 2 * S),
    "ramping": RampingVUs(20, (Stage(2 * S, 20),)),
    "shared": SharedIterations(20, 40, 10 * S),
    "per-vu": PerVUIterations(20, 2, 10 * S),
}
BEGIN = [first_start_ns(place, S) for place in range(20)]


@pytest.mark.parametrize("executor", PACED.values(), ids=PACED)
def test_paced_vus_begin_each_at_its_own_moment_within_the_pacing(executor: Executor) -> None:
    done = run(executor, pacing_ns=S)
    assert [s.due for s in done.samples] == sorted(BEGIN) + [S + due for due in sorted(BEGIN)]
    for place, due in enumerate(BEGIN):
        assert all(0 <= at - n * S - due <= SLOT for n, at in enumerate(starts_of(done, place + 1)))
    assert done.starts[0] == 0
    assert len(done.lateness) == 40


@pytest.mark.parametrize("executor", PACED.values(), ids=PACED)
def test_without_pacing_vus_begin_together_as_in_k6(executor: Executor) -> None:
    done = run(executor)
    assert done.starts[:20] == [0] * 20
    assert done.lateness == []


def test_a_paced_vus_first_request_is_measured_from_when_it_was_due() -> None:
    # The second VU is due at 61.8 ms, and the loop is held up from 50 to 80 ms.
    done = run(ConstantVUs(2, 100 * MS), TEN, [(50 * MS, held_up)], pacing_ns=100 * MS)
    late = done.samples[-1]
    assert (late.due, late.begin, late.last) == (61_803_398, 80 * MS, 90 * MS)
    assert done.lateness == [0, 80 * MS - 61_803_398]
    assert done.last["late_starts"] == 1


@pytest.mark.parametrize("executor", PACED.values(), ids=PACED)
def test_paced_vus_that_are_made_late_are_due_as_if_they_had_not_been(executor: Executor) -> None:
    # The loop is held up from 5 ms before the load begins until 25 ms after.
    done = run(executor, TEN, [(-5 * MS, held_up)], pacing_ns=S)
    assert [s.due for s in done.samples[:20]] == sorted(BEGIN)
    assert max(done.lateness) == 25 * MS
    assert done.last["late_starts"] == 1
    assert done.last["iterations"] == 40


def test_twenty_vus_paced_to_a_second_make_18000_iterations_in_a_quarter_of_an_hour() -> None:
    done = run(ConstantVUs(20, 900 * S), pacing_ns=S)
    assert done.last["iterations"] == 18_000
    assert {vu: len(starts_of(done, vu)) for vu in range(1, 21)} == dict.fromkeys(range(1, 21), 900)
    assert max(done.starts) < 900 * S


def test_a_last_start_is_made_though_the_loop_is_held_up_over_the_end() -> None:
    # Due 5.6 ms before the end: the ninth VU's tenth.
    events = [(990 * MS, held_up)]
    done = run(ConstantVUs(9, S), TEN, events, pacing_ns=100 * MS, graceful_stop_ns=S)
    assert done.last["iterations"] == 90
    assert max(done.lateness) == 1020 * MS - (900 * MS + first_start_ns(8, 100 * MS))


def test_a_vu_of_a_paced_ramp_begins_at_its_moment_behind_the_step_that_starts_it() -> None:
    done = run(RampingVUs(1, (Stage(2 * S, 3), Stage(S, 3))), pacing_ns=300 * MS)
    begun = [starts_of(done, vu)[0] for vu in (1, 2, 3)]
    due = [0, S + first_start_ns(1, 300 * MS, S), 2 * S + first_start_ns(2, 300 * MS, 2 * S)]
    assert all(0 <= at - planned <= SLOT for at, planned in zip(begun, due, strict=True))


def test_a_vu_that_must_go_before_its_first_iteration_simply_goes() -> None:
    stages = (Stage(50 * MS, 2), Stage(0, 1), Stage(S, 1))
    done = run(RampingVUs(2, stages), pacing_ns=100 * MS)
    assert starts_of(done, 2) == []
    assert done.transport.released[0] == 2
    assert done.last["interrupted_iterations"] == 0


def test_a_place_that_is_taken_again_begins_at_the_same_moment_behind_its_new_start() -> None:
    # Down at 50 ms, before the second VU has begun, and up again at 100 ms: the third VU has its place.
    stages = (Stage(50 * MS, 2), Stage(0, 1), Stage(50 * MS, 1), Stage(0, 2), Stage(S, 2))
    done = run(RampingVUs(2, stages), pacing_ns=100 * MS)
    assert starts_of(done, 2) == []
    assert 0 <= starts_of(done, 3)[0] - 161_803_398 <= SLOT


def test_a_vu_raised_again_within_its_grace_keeps_its_moment() -> None:
    # Lowered and raised while its iteration of 61.8 to 91.8 ms runs.
    stages = (Stage(70 * MS, 2), Stage(0, 1), Stage(10 * MS, 1), Stage(0, 2), Stage(S, 2))
    done = run(RampingVUs(2, stages), slow(30), pacing_ns=100 * MS)
    assert done.last["vus_max"] == 2
    assert all(0 <= at - 61_803_398 - n * 100 * MS <= SLOT for n, at in enumerate(starts_of(done, 2)))


def test_vus_set_by_hand_begin_each_at_its_moment_from_then_on() -> None:
    done = run(ConstantVUs(1, S), TEN, [(500 * MS, lambda w: w.set_vus(4))], pacing_ns=100 * MS)
    for place in (1, 2, 3):
        begun = starts_of(done, place + 1)[0]
        assert 0 <= begun - 500 * MS - first_start_ns(place, 100 * MS) <= SLOT


@pytest.mark.parametrize("executor", PACED.values(), ids=PACED)
@pytest.mark.parametrize("end", ["stop", "abort"])
def test_an_end_before_its_first_iteration_leaves_a_paced_vu_nothing_to_do(
    executor: Executor, end: str
) -> None:
    done = run(executor, TEN, [(400 * MS, lambda w: getattr(w, end)("x"))], pacing_ns=S, graceful_stop_ns=S)
    assert len(done.requests) == sum(due < 400 * MS for due in BEGIN)
    assert max(done.starts) < 400 * MS
    assert len(done.transport.released) == 20
    if isinstance(executor, SharedIterations | PerVUIterations):
        assert done.last["iterations_started"] + done.last["dropped_iterations"] == 40


def test_with_more_paced_vus_than_shared_iterations_the_rest_never_start() -> None:
    done = run(SharedIterations(5, 2), pacing_ns=S)
    assert [s.due for s in done.samples] == BEGIN[:2]


def test_two_paced_loads_have_places_of_their_own() -> None:
    plan = make_plan(
        loads=(
            Load("one", 0, "word", ConstantVUs(2, S), graceful_stop_ns=0, pacing_ns=S),
            Load("two", 0, "word", ConstantVUs(2, S), S, graceful_stop_ns=0, pacing_ns=S),
        )
    )
    assert [s.due for s in run_plan(plan, TEN).samples] == [0, BEGIN[1], S, S + BEGIN[1]]


@settings(max_examples=60)
@given(
    st.integers(1, 60), st.integers(20, 400).map(lambda ms: ms * MS + 7), st.integers(1, 5),
    st.integers(0, S), st.booleans(),
)  # fmt: skip
def test_a_target_that_keeps_up_gets_every_paced_iteration_when_it_was_due(
    vus: int, pacing: int, times: int, start: int, numbered: bool
) -> None:
    length = times * pacing
    executor = PerVUIterations(vus, times, length) if numbered else ConstantVUs(vus, length)
    done = run(executor, TEN, pacing_ns=pacing, start_time_ns=start, graceful_stop_ns=S)
    due = [start + n * pacing + first_start_ns(k, pacing) for n in range(times) for k in range(vus)]
    assert [s.due for s in done.samples] == sorted(due)
    assert max(s.begin - s.due for s in done.samples) <= SLOT
    assert done.last["dropped_iterations"] == done.last["late_starts"] == 0


def test_an_iteration_without_a_wait_does_not_starve_the_loop() -> None:
    done = run_plan(make_plan(UNSENDABLE, executor=ConstantVUs(1, S), scenario=NO_WAIT))
    done.assert_accounted()
    assert set(done.outcomes()) == {"guard_refused"}
    assert done.requests == []
    assert done.last["iterations"] == S // SLOT + 1


# --- Open model -----------------------------------------------------------------------------------


def test_an_open_model_starts_when_it_is_due_whatever_the_target_does() -> None:
    done = run(open_model(vus=10), slow(5000), graceful_stop_ns=10 * S)
    assert done.starts == [100 * MS * n for n in range(10)]
    assert done.lateness == [0] * 10
    assert done.last["dropped_iterations"] == 0


def test_a_ramping_rate_starts_when_the_area_under_its_line_is_full() -> None:
    executor = RampingArrivalRate(0, (Stage(2 * S, 8),), 10, 10)
    schedule = make_schedule(executor, seed=1)
    assert isinstance(schedule, OpenSchedule)
    done = run(executor)
    # n = 2 t²: the eighth falls on the end, and still starts.
    assert done.starts == list(schedule.starts())
    assert len(done.starts) == 8


def test_a_start_that_must_queue_is_measured_from_when_it_was_due() -> None:
    done = run(open_model(on_exhausted=OnExhausted.QUEUE), slow(250), graceful_stop_ns=S)
    assert [(s.due, s.begin) for s in done.samples] == [
        (0, 0), (100 * MS, 250 * MS), (200 * MS, 500 * MS), (300 * MS, 750 * MS), (400 * MS, S)
    ]  # fmt: skip
    assert [s.response for s in done.samples] == [250 * MS + 150 * MS * n for n in range(5)]


def test_waiting_in_the_queue_is_no_lateness_of_the_generator() -> None:
    done = run(open_model(on_exhausted=OnExhausted.QUEUE), slow(250), graceful_stop_ns=S)
    assert done.lateness == [0]
    assert done.last["late_starts"] == 0


def test_what_is_queued_at_the_end_counts_as_dropped() -> None:
    done = run(open_model(on_exhausted=OnExhausted.QUEUE), slow(250), graceful_stop_ns=S)
    assert (done.last["iterations"], done.last["dropped_iterations"]) == (5, 5)


def test_a_load_that_queues_takes_all_the_vus_it_may_before_it_does() -> None:
    done = run(open_model(most=3, on_exhausted=OnExhausted.QUEUE), slow(250), graceful_stop_ns=S)
    assert [s.begin - s.due for s in done.samples] == [0] * 10
    assert done.last["vus_max"] == 3
    assert done.last["dropped_iterations"] == 0


def test_the_queue_is_told_while_it_lasts() -> None:
    done = run(open_model(seconds=3, on_exhausted=OnExhausted.QUEUE), NO_REPLY)
    assert [tick["queued"] for tick in done.ticks[:2]] == [10, 20]
    assert done.last["dropped_iterations"] == 29


def test_a_start_taken_from_the_queue_but_not_begun_at_the_end_counts_as_dropped() -> None:
    # The first iteration waits for its answer until just before the end; the second ends without a
    # wait, so that the third is out of the queue but sleeps until the next slot when the end comes.
    step = get(headers=(("X-A", Ref(("x",))),), captures=(Capture("x", "header", "y"),))
    plan = make_plan(
        step, executor=open_model(rate=100, seconds=0.05, on_exhausted=OnExhausted.QUEUE),
        load={"graceful_stop_ns": S},
    )  # fmt: skip
    done = run_plan(plan, Reply(headers=((b"y", b"\0"),), delay_ns=49_900_000))
    done.assert_accounted()
    assert (done.last["iterations"], done.last["dropped_iterations"]) == (2, 3)


def test_where_starts_are_dropped_each_drop_is_counted_and_adds_a_vu_up_to_the_most() -> None:
    done = run(open_model(most=3), slow(5000), graceful_stop_ns=10 * S)
    # Each drop makes one VU for the next start; from the third on there is none to add.
    assert done.starts == [0, 200 * MS, 400 * MS]
    assert done.last["dropped_iterations"] == 7
    assert done.last["dropped_by_load"] == [7]
    assert done.last["vus_max"] == 3


def test_without_room_for_more_vus_every_start_that_finds_none_is_dropped() -> None:
    done = run(open_model(), slow(250), graceful_stop_ns=S)
    assert done.starts == [0, 300 * MS, 600 * MS, 900 * MS]
    assert done.last["dropped_iterations"] == 6
    assert done.last["vus_max"] == 1


def test_a_free_vu_that_is_started_late_is_a_late_start() -> None:
    done = run(open_model(vus=10), TEN, [(95 * MS, held_up)])
    assert sorted(done.lateness) == [0] * 9 + [25 * MS]
    assert done.last["late_starts"] == 1
    (late,) = [s for s in done.samples if s.begin != s.due]
    assert (late.due, late.begin) == (100 * MS, 125 * MS)


def test_poisson_arrivals_follow_from_the_seed() -> None:
    def starts(seed: int) -> list[int]:
        executor = open_model(rate=100, vus=50, arrivals=Arrivals.POISSON)
        return run_plan(make_plan(executor=executor, seed=seed), TEN).starts

    assert starts(1) == starts(1)
    assert starts(1) != starts(2)


# --- A number of iterations -----------------------------------------------------------------------


def test_shared_iterations_go_to_whoever_is_free() -> None:
    script = lambda request: slow(100 if request.vu == 1 else 10)  # noqa: E731
    done = run(SharedIterations(2, 10), script)
    assert (len(starts_of(done, 1)), len(starts_of(done, 2))) == (1, 9)
    assert done.last["iterations"] == 10
    assert max(s.last for s in done.samples) == 100 * MS


def test_with_more_vus_than_shared_iterations_the_rest_never_start() -> None:
    done = run(SharedIterations(5, 2))
    assert done.last["iterations"] == 2
    assert len(done.transport.released) == 5


def test_per_vu_iterations_are_the_same_for_every_vu() -> None:
    script = lambda request: slow(100 if request.vu == 1 else 10)  # noqa: E731
    done = run(PerVUIterations(2, 5), script)
    assert (len(starts_of(done, 1)), len(starts_of(done, 2))) == (5, 5)
    assert done.samples[-1].last == 500 * MS


@pytest.mark.parametrize(
    ("executor", "dropped"),
    [(SharedIterations(2, 10, 250 * MS), 4), (PerVUIterations(2, 5, 250 * MS), 4)],
    ids=["shared", "per-vu"],
)
def test_what_is_not_begun_at_the_longest_duration_is_dropped(executor: Executor, dropped: int) -> None:
    done = run(executor, slow(100), graceful_stop_ns=S)
    assert (done.last["iterations"], done.last["dropped_iterations"]) == (6, dropped)


@pytest.mark.parametrize(
    "executor", [SharedIterations(1, 4, 250 * MS), PerVUIterations(1, 4, 250 * MS)], ids=["shared", "per-vu"]
)
def test_an_iteration_that_waits_for_its_pacing_at_the_longest_duration_is_dropped(
    executor: Executor,
) -> None:
    done = run(executor, pacing_ns=200 * MS)
    assert (done.last["iterations"], done.last["dropped_iterations"]) == (2, 2)


def test_pacing_holds_for_numbered_iterations_too() -> None:
    done = run(PerVUIterations(1, 4), pacing_ns=200 * MS)
    assert [s.due for s in done.samples] == [0, 200 * MS, 400 * MS, 600 * MS]


def test_numbered_iterations_without_a_wait_all_happen() -> None:
    done = run_plan(make_plan(UNSENDABLE, executor=SharedIterations(2, 50), scenario=NO_WAIT))
    done.assert_accounted()
    assert done.outcomes() == ["guard_refused"] * 50


# --- Several loads, control -----------------------------------------------------------------------


def test_a_load_starts_at_its_offset_and_all_must_end_before_the_run_does() -> None:
    plan = make_plan(
        loads=(
            Load("first", 0, "word", ConstantVUs(1, 100 * MS), graceful_stop_ns=0),
            Load("second", 0, "word", ConstantVUs(1, 100 * MS), 300 * MS, graceful_stop_ns=0),
            Load("third", 0, "word", open_model(rate=20, seconds=0.1), 500 * MS, graceful_stop_ns=0),
        )
    )
    done = run_plan(plan, TEN)
    done.assert_accounted()
    by_vu = {vu: starts_of(done, vu)[0] for vu in {request.vu for request in done.requests}}
    assert sorted(by_vu.values()) == [0, 300 * MS, 500 * MS]
    assert done.last["iterations"] == 10 + 10 + 2
    assert done.end["status"] == "finished"


ALL_MODELS = [
    ConstantVUs(2, 10 * S),
    RampingVUs(2, (Stage(10 * S, 4),)),
    SharedIterations(2, 1000),
    PerVUIterations(2, 500),
    open_model(seconds=10, vus=3),
    open_model(seconds=10, rate=100, vus=1, on_exhausted=OnExhausted.QUEUE),
]
WORDS = ["constant", "ramping", "shared", "per-vu", "rate", "queue"]


@pytest.mark.parametrize("executor", ALL_MODELS, ids=WORDS)
def test_stop_lets_run_what_runs_and_starts_nothing(executor: Executor) -> None:
    done = run(executor, slow(300), [(450 * MS, lambda w: w.stop("enough"))], graceful_stop_ns=S)
    assert max(done.starts) <= 450 * MS
    assert set(done.outcomes()) == {"ok"}
    assert (done.end["status"], done.end["reason"]) == ("stopped", "enough")


@pytest.mark.parametrize("executor", ALL_MODELS, ids=WORDS)
def test_abort_interrupts_what_runs_at_once(executor: Executor) -> None:
    done = run(executor, slow(300), [(450 * MS, lambda w: w.abort("it hurts"))], graceful_stop_ns=S)
    assert max(s.last for s in done.samples) == 450 * MS
    assert "cancelled" in done.outcomes()
    assert (done.end["status"], done.end["reason"]) == ("aborted", "it hurts")


@pytest.mark.parametrize("executor", ALL_MODELS, ids=WORDS)
def test_abort_during_the_grace_of_a_stop_ends_the_grace(executor: Executor) -> None:
    events = [(450 * MS, lambda w: w.stop()), (500 * MS, lambda w: w.abort("second Ctrl-C"))]
    done = run(executor, slow(300), events, graceful_stop_ns=S)
    assert max(s.last for s in done.samples) == 500 * MS
    assert done.end["status"] == "aborted"


@pytest.mark.parametrize("executor", ALL_MODELS, ids=WORDS)
@pytest.mark.parametrize("end", ["stop", "abort"])
def test_a_load_that_is_ended_before_its_start_never_starts(executor: Executor, end: str) -> None:
    done = run(executor, TEN, [(450 * MS, lambda w: getattr(w, end)("no more"))], start_time_ns=S)
    assert done.requests == []
    assert done.last["iterations_started"] == 0


def test_the_time_of_the_stop_is_told() -> None:
    done = run(ConstantVUs(1, S), slow(300), [(450 * MS, lambda w: w.stop())], graceful_stop_ns=S)
    assert done.end["stopped_at_ns"] == done.last["at_ns"] - 150 * MS


def test_a_stop_behind_the_regular_end_is_a_regular_end_no_more_but_cuts_nothing() -> None:
    done = run(ConstantVUs(1, S), slow(300), [(1100 * MS, lambda w: w.stop("late"))], graceful_stop_ns=S)
    assert set(done.outcomes()) == {"ok"}
    assert done.end["status"] == "stopped"


def test_set_vus_holds_a_closed_load_against_its_schedule() -> None:
    stages = (Stage(S, 1), Stage(0, 8), Stage(S, 8))
    done = run(RampingVUs(1, stages), TEN, [(500 * MS, lambda w: w.set_vus(3))])
    assert done.last["vus_max"] == 3
    assert starts_of(done, 3)[0] == 500 * MS


def test_set_vus_lowers_gracefully() -> None:
    done = run(RampingVUs(3, (Stage(S, 3),), 100 * MS), slow(300), [(700 * MS, lambda w: w.set_vus(1))])
    assert sorted(s.last for s in done.samples if s.outcome is Outcome.CANCELLED) == [800 * MS] * 2 + [S]


def test_set_vus_behind_the_end_starts_nobody() -> None:
    done = run(ConstantVUs(1, S), slow(300), [(1100 * MS, lambda w: w.set_vus(5))], graceful_stop_ns=S)
    assert max(done.starts) == 900 * MS
    assert done.last["vus_max"] == 1


def test_set_vus_behind_the_end_takes_nobody_its_grace() -> None:
    done = run(ConstantVUs(2, S), slow(300), [(1100 * MS, lambda w: w.set_vus(0))], graceful_stop_ns=S)
    assert set(done.outcomes()) == {"ok"}


def test_set_vus_before_any_load_has_begun_is_no_fault() -> None:
    plan = make_plan(executor=ConstantVUs(1, S), scenario={"setup": (get(),)})
    assert run_plan(plan, TEN, [(-95 * MS, lambda w: w.set_vus(5))]).last["vus_max"] == 1


def test_set_vus_does_not_touch_an_open_load() -> None:
    done = run(open_model(), TEN, [(100 * MS, lambda w: w.set_vus(5))])
    assert done.last["vus_max"] == 1


# --- Whatever happens -----------------------------------------------------------------------------

durations = st.integers(1, 400).map(lambda ms: ms * MS)
executors = st.one_of(
    st.builds(ConstantVUs, st.integers(1, 40), durations),
    st.builds(
        RampingVUs, st.integers(0, 9),
        st.lists(st.builds(Stage, durations | st.just(0), st.integers(0, 9)), min_size=1).map(tuple),
        durations | st.just(0),
    ),
    st.builds(SharedIterations, st.integers(1, 9), st.integers(1, 50), durations),
    st.builds(PerVUIterations, st.integers(1, 9), st.integers(1, 20), durations),
    st.builds(
        ConstantArrivalRate, st.integers(1, 500), durations, st.integers(1, 4), st.just(6),
        arrivals=st.sampled_from(Arrivals), on_exhausted=st.sampled_from(OnExhausted),
    ),
)  # fmt: skip
acts = st.lists(
    st.tuples(
        st.integers(0, 500).map(lambda ms: ms * MS),
        st.sampled_from(
            [lambda w: w.stop(), lambda w: w.abort("x"), lambda w: w.set_vus(0), lambda w: w.set_vus(12)]
        ),
    ),
    max_size=3,
)


@settings(max_examples=60)
@given(
    executors, acts, st.lists(st.integers(3, 150), min_size=1, max_size=8), durations | st.just(0),
    st.sampled_from([0, 20 * MS, 100 * MS]), st.booleans(),
)  # fmt: skip
def test_every_start_and_every_request_is_accounted_for(
    executor: Executor, events: Any, delays: list[int], grace: int, pacing: int, refused: bool
) -> None:
    turn = iter(range(1 << 60))

    def script(_: Request) -> Reply:
        return Reply(delay_ns=delays[next(turn) % len(delays)] * MS + 1)

    step = get(headers=(("X-A", Ref(("x",))),), captures=(Capture("x", "header", "y"),)) if refused else get()
    closed = not isinstance(executor, ConstantArrivalRate)
    plan = make_plan(
        step,
        executor=executor,
        load={"graceful_stop_ns": grace, "pacing_ns": pacing if closed else 0, "start_time_ns": 50 * MS},
    )
    done = run_plan(
        plan, lambda request: _with(script(request), (b"y", b"\n" if request.at % 3 else b"a")), events
    )
    done.assert_accounted()
    assert not done.logs
    last = done.last
    assert len(done.samples) == last["iterations_started"]
    assert done.outcomes().count("cancelled") == last["interrupted_iterations"]
    assert len(done.requests) == len(done.samples) - done.outcomes().count("guard_refused")
    if not events and isinstance(executor, SharedIterations):
        assert last["iterations_started"] + last["dropped_iterations"] == executor.iterations
    if not events and isinstance(executor, PerVUIterations):
        assert last["iterations_started"] + last["dropped_iterations"] == executor.iterations * executor.vus
    if not events and isinstance(executor, ConstantArrivalRate) and executor.arrivals is Arrivals.UNIFORM:
        due = -(-int(executor.rate) * executor.duration_ns // S)
        assert last["iterations_started"] + last["dropped_iterations"] == due
    assert all(before["at_ns"] <= after["at_ns"] for before, after in pairwise(done.ticks))
    assert max((r.at for r in done.requests), default=0) < NEVER


def _with(reply: Reply, header: tuple[bytes, bytes]) -> Reply:
    reply.headers = (header,)
    return reply

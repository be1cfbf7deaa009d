"""Time as an argument: who is called when, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.engine.clock import BURST, NEVER, SLOT_BITS
from tests.unit.support import MS, SLOT, ManualClock, S

offsets = st.lists(st.integers(0, 50 * MS), max_size=200)


@given(offsets)
def test_exact_calls_come_at_their_time_in_order_and_are_told_it(delays: list[int]) -> None:
    clock = ManualClock(S)
    told: list[tuple[int, int, int]] = []
    for index, delay in enumerate(delays):
        clock.at(S + delay, lambda due, i=index: told.append((due, i, clock.now())))  # type: ignore[misc]
    clock.advance_to(2 * S)
    in_order = sorted((delay, index) for index, delay in enumerate(delays))
    assert told == [(S + delay, index, S + delay) for delay, index in in_order]
    assert clock.next_due == NEVER


@given(offsets)
def test_a_pause_on_the_wheel_is_never_short_and_at_most_a_slot_long(delays: list[int]) -> None:
    clock = ManualClock(S + 12_345)
    late: list[int] = []
    for delay in delays:
        due = clock.now() + delay
        clock.later(due, lambda _, due=due: late.append(clock.now() - due))  # type: ignore[misc]
    clock.advance_to(2 * S)
    assert len(late) == len(delays)
    assert all(0 < lateness <= SLOT for lateness in late)


def test_calls_of_one_slot_of_the_wheel_come_in_the_order_they_were_made() -> None:
    clock, told = ManualClock(S), []
    for name in "abc":
        clock.later(S + MS, lambda given, name=name: told.append((name, given)))  # type: ignore[misc]
    clock.advance_to(2 * S)
    assert told == [("a", None), ("b", None), ("c", None)]


def test_a_burst_is_cut_after_64_calls_and_goes_on_at_the_same_time() -> None:
    clock, told = ManualClock(S), []
    for index in range(2 * BURST + 1):
        clock.at(S, lambda _, index=index: told.append(index))  # type: ignore[misc]
    clock.fire()
    assert told == list(range(BURST))
    assert clock.next_due == S
    clock.advance_to(S)
    assert told == list(range(2 * BURST + 1))


def test_a_call_that_makes_another_for_now_does_not_hold_the_loop_for_ever() -> None:
    clock, count = ManualClock(S), [0]

    def again(due: int) -> None:
        count[0] += 1
        clock.at(due, again)

    clock.at(S, again)
    clock.fire()
    assert count == [BURST]


def test_the_wheel_turns_although_exact_calls_are_always_due() -> None:
    clock = ManualClock(S)
    slept: list[None] = []

    def again(due: int) -> None:
        clock.at(due, again)

    clock.at(S, again)
    clock.later(S - SLOT, slept.append)
    clock.fire()
    assert slept == [None]


def test_the_next_due_time_is_that_of_the_earliest_call_of_either_kind() -> None:
    clock = ManualClock(S)
    assert clock.next_due == NEVER
    clock.at(S + 9 * MS, lambda _: None)
    assert clock.next_due == S + 9 * MS
    clock.later(S + 3 * MS, lambda _: None)
    assert clock.next_due == ((S + 3 * MS >> SLOT_BITS) + 1) << SLOT_BITS
    clock.at(S + 1, lambda _: None)
    assert clock.next_due == S + 1
    clock.at(S + 5 * MS, lambda _: None)
    assert clock.next_due == S + 1


def test_while_calls_are_carried_out_the_alarm_is_set_once() -> None:
    class Watched(ManualClock):
        armed: list[int] = []  # noqa: RUF012

        def _arm(self, due: int) -> None:
            self.armed.append(due)

    clock = Watched(S)

    def three(due: int) -> None:
        for i in (3, 2, 1):
            clock.at(due + i * MS, lambda _: None)

    clock.at(S, three)
    clock.fire()
    assert clock.armed == [S, S + MS]


def test_a_sleeper_whose_life_has_ended_meanwhile_wakes_nobody_and_disturbs_nobody() -> None:
    def life() -> Iterator[None]:
        yield

    clock = ManualClock(S)
    told: list[None] = []
    over = life()
    clock.later(S, lambda _: next(over))
    next(over)
    clock.later(S, told.append)
    clock.advance_to(2 * S)
    assert told == [None]


def test_an_error_in_a_call_is_not_hidden_and_the_others_stay_due() -> None:
    clock = ManualClock(S)
    told: list[int] = []
    clock.at(S, lambda _: 1 // 0)
    clock.at(S + 1, told.append)
    with pytest.raises(ZeroDivisionError):
        clock.fire()
    assert clock.next_due == S + 1
    clock.advance_to(2 * S)
    assert told == [S + 1]


@given(st.lists(st.integers(1, 40 * MS), min_size=2, max_size=60))
def test_time_only_goes_forward(delays: list[int]) -> None:
    clock, seen = ManualClock(S), []
    for delay in delays:
        clock.at(S + delay, lambda _: seen.append(clock.now()))
        clock.later(S + delay, lambda _: seen.append(clock.now()))
    clock.advance_to(2 * S)
    assert all(before <= after for before, after in pairwise(seen))

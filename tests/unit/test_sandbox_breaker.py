"""The circuit breaker of the sandbox, under a clock that is moved by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ecoload.sandbox.a3.breaker import MAX_TRANSITIONS, Breaker, Limits

OPEN_MS = Limits().open_ms
WINDOW_MS = Limits().window_ms


class Clock:
    """Time stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def admitted(breaker: Breaker) -> int:
    ticket = breaker.admit()
    assert ticket is not None
    return ticket


def go(breaker: Breaker, *outcomes: bool) -> None:
    """Calls one after the other, each well (True) or failing."""
    for well in outcomes:
        breaker.settle(admitted(breaker), None if well else "no answer")


def opened(breaker: Breaker) -> Breaker:
    go(breaker, *[False] * 5)
    assert breaker.state == "open"
    return breaker


def half_opened(breaker: Breaker, clock: Clock) -> Breaker:
    opened(breaker)
    clock.now_ms += OPEN_MS
    assert breaker.state == "half_open"
    return breaker


def ways(breaker: Breaker) -> list[tuple[str, str]]:
    return [(step["from"], step["to"]) for step in breaker.document()["transitions"]]


def test_a_new_breaker_is_closed_and_has_nothing_to_tell(breaker: Breaker, clock: Clock) -> None:
    assert breaker.document() == {
        "state": "closed",
        "since_ms": clock.now_ms,
        "failures": 0,
        "opened_count": 0,
        "calls_refused": 0,
        "next_attempt_ms": None,
        "transitions": [],
    }
    assert breaker.retry_after_ms == 0


def test_four_failures_in_a_row_are_borne_and_the_fifth_opens(breaker: Breaker) -> None:
    go(breaker, *[False] * 4)
    assert breaker.state == "closed"
    go(breaker, False)
    assert breaker.state == "open"


def test_one_success_among_them_starts_the_row_again(breaker: Breaker) -> None:
    go(breaker, *[False] * 4, True, *[False] * 4)
    assert breaker.state == "closed"


@pytest.mark.parametrize(("twentieth_well", "state"), [(True, "closed"), (False, "open")])
def test_a_failure_that_makes_it_half_of_the_last_twenty_opens(
    breaker: Breaker, twentieth_well: bool, state: str
) -> None:
    go(breaker, *[True, False] * 9, True)
    assert breaker.state == "closed"
    go(breaker, twentieth_well)
    assert breaker.state == state


def test_a_share_of_fewer_than_twenty_calls_says_nothing(breaker: Breaker) -> None:
    go(breaker, *[False, False, False, False, True] * 3)
    assert (breaker.state, breaker.document()["failures"]) == ("closed", 12)


def test_what_is_older_than_the_window_is_forgotten(breaker: Breaker, clock: Clock) -> None:
    go(breaker, *[False] * 4)
    clock.now_ms += WINDOW_MS + 1
    assert breaker.document()["failures"] == 0
    go(breaker, *[False] * 4)
    assert breaker.state == "closed"
    clock.now_ms += WINDOW_MS
    go(breaker, False)
    assert breaker.state == "open"


def test_an_open_breaker_refuses_every_call_until_its_time_is_over(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    since = clock.now_ms
    clock.now_ms += OPEN_MS - 1
    assert [breaker.admit() for _ in range(3)] == [None] * 3
    assert breaker.retry_after_ms == 1
    document = breaker.document()
    assert (document["calls_refused"], document["opened_count"]) == (3, 1)
    assert document["next_attempt_ms"] == since + OPEN_MS
    clock.now_ms += 1
    assert breaker.admit() is not None


def test_the_breaker_became_half_open_when_it_was_time_and_not_when_somebody_looked(
    breaker: Breaker, clock: Clock
) -> None:
    opened(breaker)
    since = clock.now_ms
    clock.now_ms += 10 * OPEN_MS
    document = breaker.document()
    assert (document["state"], document["since_ms"]) == ("half_open", since + OPEN_MS)
    assert document["transitions"][-1]["at"] == since + OPEN_MS


def test_half_open_lets_one_probe_through_at_a_time(breaker: Breaker, clock: Clock) -> None:
    half_opened(breaker, clock)
    probe = admitted(breaker)
    assert [breaker.admit() for _ in range(19)] == [None] * 19
    breaker.settle(probe)
    assert breaker.state == "half_open"
    assert breaker.admit() is not None


def test_two_probes_that_go_well_close_it(breaker: Breaker, clock: Clock) -> None:
    half_opened(breaker, clock)
    go(breaker, True, True)
    assert breaker.state == "closed"
    assert ways(breaker) == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    # What was before is forgotten: it takes five failures again.
    go(breaker, *[False] * 4)
    assert breaker.state == "closed"


@pytest.mark.parametrize("before", [[], [True]])
def test_a_probe_that_fails_opens_it_for_the_whole_time_again(
    breaker: Breaker, clock: Clock, before: list[bool]
) -> None:
    half_opened(breaker, clock)
    clock.now_ms += 700
    go(breaker, *before, False)
    assert breaker.state == "open"
    assert breaker.retry_after_ms == OPEN_MS
    assert breaker.document()["opened_count"] == 2
    clock.now_ms += OPEN_MS
    go(breaker, True)
    assert breaker.state == "half_open"


def test_a_probe_that_was_not_made_leaves_its_place_to_another(breaker: Breaker, clock: Clock) -> None:
    half_opened(breaker, clock)
    breaker.give_back(admitted(breaker))
    assert breaker.state == "half_open"
    assert breaker.admit() is not None


def test_giving_back_what_is_settled_takes_nobodys_place(breaker: Breaker, clock: Clock) -> None:
    half_opened(breaker, clock)
    first = admitted(breaker)
    breaker.settle(first)
    second = admitted(breaker)
    breaker.give_back(first)
    assert breaker.admit() is None
    breaker.settle(second)
    assert breaker.state == "closed"


def test_a_straggler_says_nothing_about_now(breaker: Breaker, clock: Clock) -> None:
    stragglers = [admitted(breaker) for _ in range(8)]
    half_opened(breaker, clock)
    breaker.settle(stragglers[0])
    breaker.settle(stragglers[1])
    assert breaker.state == "half_open"
    probe = admitted(breaker)
    breaker.settle(stragglers[2], "too late")
    assert breaker.state == "half_open"
    assert breaker.admit() is None
    breaker.settle(probe)
    go(breaker, True)
    for straggler in stragglers[3:]:
        breaker.settle(straggler, "much too late")
    assert (breaker.state, breaker.document()["failures"]) == ("closed", 0)


def test_transitions_tell_when_and_why_and_the_last_hundred_are_kept(breaker: Breaker, clock: Clock) -> None:
    half_opened(breaker, clock)
    first: dict[str, Any] = breaker.document()["transitions"][0]
    assert first == {
        "at": clock.now_ms - OPEN_MS,
        "from": "closed",
        "to": "open",
        "reason": "5 failures in a row; the last: no answer",
    }
    for _ in range(MAX_TRANSITIONS):
        go(breaker, False)
        clock.now_ms += OPEN_MS
    document = breaker.document()
    assert len(document["transitions"]) == MAX_TRANSITIONS
    assert document["opened_count"] == MAX_TRANSITIONS + 1


def test_a_breaker_that_never_opens_bears_every_failure_until_it_is_mended(breaker: Breaker) -> None:
    breaker.never_opens = True
    go(breaker, *[False] * 50)
    assert (breaker.state, ways(breaker)) == ("closed", [])
    breaker.never_opens = False
    assert opened(breaker)


def test_a_breaker_that_never_closes_takes_good_probes_for_bad_ones(breaker: Breaker, clock: Clock) -> None:
    half_opened(breaker, clock)
    breaker.never_closes = True
    go(breaker, True)
    assert breaker.state == "open"
    breaker.never_closes = False
    clock.now_ms += OPEN_MS
    go(breaker, True, True)
    assert breaker.state == "closed"


class AnyCalls(RuleBasedStateMachine):
    """Calls that begin and end in whatever order, while time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock)
        self.out: list[int] = []
        self.probe: int | None = None

    @rule(ms=st.sampled_from([0, 1, 100, OPEN_MS - 1, OPEN_MS, WINDOW_MS]))
    def time_goes_on(self, ms: int) -> None:
        self.clock.now_ms += ms

    @rule()
    def a_call_begins(self) -> None:
        state, refused = self.breaker.state, self.breaker.document()["calls_refused"]
        ticket = self.breaker.admit()
        assert self.breaker.document()["calls_refused"] == refused + (ticket is None)
        if state == "closed":
            assert ticket is not None
        elif state == "open":
            assert ticket is None
        else:
            assert (ticket is None) == (self.probe is not None)
            self.probe = self.probe or ticket
        if ticket is not None:
            self.out.append(ticket)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), how=st.sampled_from(["well", "failed", "given back"]))
    def a_call_ends(self, data: st.DataObject, how: str) -> None:
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if how == "given back":
            self.breaker.give_back(ticket)
        else:
            self.breaker.settle(ticket, None if how == "well" else "no answer")
        if ticket == self.probe:
            self.probe = None

    @precondition(lambda self: len(self.out) >= 5)
    @rule()
    def all_calls_fail(self) -> None:
        for ticket in self.out:
            self.breaker.settle(ticket, "no answer")
        self.out, self.probe = [], None

    @invariant()
    def it_is_in_one_of_three_states_and_came_there_by_a_legal_way(self) -> None:
        document = self.breaker.document()
        if document["state"] != "half_open":
            self.probe = None
        assert document["state"] in ("closed", "open", "half_open")
        assert set(ways(self.breaker)) <= {
            ("closed", "open"),
            ("open", "half_open"),
            ("half_open", "open"),
            ("half_open", "closed"),
        }
        steps = document["transitions"]
        for before, after in pairwise(steps):
            assert before["to"] == after["from"]
            assert before["at"] <= after["at"]
        assert (steps[-1]["to"] if steps else "closed") == document["state"]
        assert (document["next_attempt_ms"] is not None) == (document["state"] == "open")


TestAnyCalls = AnyCalls.TestCase
TestAnyCalls.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)

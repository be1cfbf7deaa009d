"""Which runs A3 of the sandbox takes, whom it knows, and what it makes of A4's answers."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.a3.app import MAX_GOAL, parse_order
from ecoload.sandbox.a3.breaker import Breaker, Limits
from ecoload.sandbox.a3.scholarships import (
    MATCHES,
    MATCHING,
    SCHOLARSHIPS_SCHEMA,
    SEED_ROW,
    scholarships,
    student_of,
)
from ecoload.sandbox.a3.upstream import Upstream
from ecoload.sandbox.common.peers import PeerFailed, Peers
from ecoload.sandbox.common.problems import Problem

GOOD: dict[str, Any] = {"namespace": "perf_test", "student_id": "student-1", "goal": "Pay for the first year"}


def test_the_order_of_keys_makes_no_other_run_and_a_value_does() -> None:
    backwards = dict(reversed(GOOD.items()))
    same, turned, other = (parse_order(document)[0] for document in (GOOD, backwards, GOOD | {"goal": "x"}))
    assert same is not None and turned is not None and other is not None
    assert same.digest == turned.digest
    assert same.digest != other.digest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"namespace": "production"}, "namespace"),
        ({"namespace": None}, "namespace"),
        ({"student_id": ""}, "student_id"),
        ({"student_id": 7}, "student_id"),
        ({"student_id": "a b"}, "student_id"),
        ({"goal": None}, "goal"),
        ({"goal": "  \n"}, "goal"),
        ({"goal": "x" * (MAX_GOAL + 1)}, "goal"),
        ({"goal": ["x"]}, "goal"),
        ({"priority": 1}, "priority"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(change: dict[str, Any], named: str) -> None:
    order, wrong = parse_order(GOOD | change)
    assert order is None
    assert [reason.partition(":")[0] for reason in wrong] == [named]


def test_everything_wrong_is_said_at_once() -> None:
    assert len(parse_order({"more": 1})[1]) == 4


def test_the_same_id_is_the_same_student_and_others_differ() -> None:
    assert student_of("s-1") == student_of("s-1")
    students = [student_of(f"s-{number}") for number in range(200)]
    assert len(set(students)) > 150
    assert {len(student.missing) for student in students} == {0, 1, 2, 3, 4}
    assert all(200 <= student.gpa_hundredths <= 400 for student in students)


def test_the_same_seed_has_the_same_scholarships_and_another_others() -> None:
    assert scholarships(1) == scholarships(1)
    assert scholarships(1) != scholarships(2)
    assert len({row[0] for row in scholarships(1)}) == len(scholarships(1))


@given(st.integers(0, 50), st.text("abc0123456789", min_size=1, max_size=12))
def test_every_student_has_matches_that_fit_the_dearest_first(seed: int, student_id: str) -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(SCHOLARSHIPS_SCHEMA)
    database.executemany(SEED_ROW, scholarships(seed))
    student = student_of(student_id)
    found = database.execute(MATCHING, (student.state, student.major, student.gpa_hundredths)).fetchall()
    database.close()
    assert len(found) == MATCHES
    by_id = {row[0]: row for row in scholarships(seed)}
    for scholarship_id, title, amount_cents in found:
        _, _, state, major, least_gpa, _ = by_id[scholarship_id]
        assert state in (None, student.state)
        assert major in (None, student.major)
        assert least_gpa <= student.gpa_hundredths
        assert (by_id[scholarship_id][1], by_id[scholarship_id][5]) == (title, amount_cents)
    assert [row[2] for row in found] == sorted((row[2] for row in found), reverse=True)


GOOD_ANSWER = 200, {"choices": [{"message": {"content": "A good place to start"}}]}


class Script:
    """A4 as A3 sees it: the next of a list of answers, or of failures, for each call."""

    def __init__(self, *answers: tuple[int, Any] | BaseException) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def call(self, app: str, method: str, path: str, **_: Any) -> tuple[int, Any]:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def asking(script: Script, now_ms: list[int]) -> tuple[Upstream, Breaker]:
    breaker = Breaker(lambda: now_ms[0])
    upstream = Upstream(breaker, random.Random(1))
    upstream.peers = cast("Peers", script)
    return upstream, breaker


def summary(upstream: Upstream) -> str:
    return asyncio.run(upstream.summary("goal", [{"title": "Maple Award"}], None, "lineage"))


def refused(upstream: Upstream) -> dict[str, str]:
    """The headers of the 503 that a summary ends in."""
    with pytest.raises(Problem) as problem:
        summary(upstream)
    assert problem.value.status == 503
    return problem.value.headers


def test_a_good_answer_is_the_summary() -> None:
    upstream, breaker = asking(Script(GOOD_ANSWER), [0])
    assert summary(upstream) == "A good place to start"
    assert breaker.document()["failures"] == 0


@pytest.mark.parametrize(
    "answer",
    [
        (500, None),
        (503, {"status": 503}),
        (200, None),
        (200, {"choices": []}),
        (200, {"choices": [{"message": None}]}),
        PeerFailed("a4", "no answer"),
        PeerFailed("a4", "is not part of this sandbox"),
    ],
)
def test_what_is_no_completion_is_a_failure(answer: tuple[int, Any] | PeerFailed) -> None:
    upstream, breaker = asking(Script(answer), [0])
    assert refused(upstream) == {"Retry-After": "1"}
    assert breaker.document()["failures"] == 1


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_an_answer_below_500_is_no_failure_and_starts_a_row_again(status: int) -> None:
    upstream, breaker = asking(Script(*[(500, None)] * 4, (status, None), *[(500, None)] * 4), [0])
    for _ in range(9):
        refused(upstream)
    assert (breaker.state, breaker.document()["failures"]) == ("closed", 8)


@pytest.mark.parametrize("nothing", [PeerFailed("a1", "no answer"), asyncio.CancelledError()])
def test_what_says_nothing_about_a4_leaves_the_breaker_and_the_probes_place_alone(
    nothing: BaseException,
) -> None:
    now_ms = [0]
    script = Script(*[(500, None)] * 5, nothing, GOOD_ANSWER, GOOD_ANSWER)
    upstream, breaker = asking(script, now_ms)
    for _ in range(5):
        refused(upstream)
    assert refused(upstream) == {"Retry-After": "5", "X-Breaker": "open"}
    assert script.asked == 5
    now_ms[0] += Limits().open_ms
    with pytest.raises((Problem, asyncio.CancelledError)):
        summary(upstream)
    assert breaker.state == "half_open"
    assert [summary(upstream), summary(upstream)] == ["A good place to start"] * 2
    assert breaker.state == "closed"


def test_while_a_probe_is_out_the_others_are_refused_as_half_open() -> None:
    now_ms = [0]
    upstream, breaker = asking(Script(*[(500, None)] * 5), now_ms)
    for _ in range(5):
        refused(upstream)
    now_ms[0] += Limits().open_ms
    assert breaker.admit() is not None
    assert refused(upstream) == {"Retry-After": "1", "X-Breaker": "half_open"}


def test_the_share_that_is_to_fail_fails_unsent() -> None:
    script = Script(GOOD_ANSWER)
    upstream, breaker = asking(script, [0])
    upstream.failing_share = 1.0
    refused(upstream)
    assert (script.asked, breaker.document()["failures"]) == (0, 1)
    upstream.failing_share = 0.0
    assert summary(upstream)

"""Proofs: asked until they hold or their time is over, and judged by the very answer."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ecoload.engine.probe import ProbeFailed
from ecoload.engine.proofs import answer_to
from ecoload.measure.asked import ProofAnswer
from ecoload.measure.result import Verdict
from ecoload.plan import Plan, Probe, Proof, Ref, Scalar, Text
from ecoload.verdict.proofs import judge_proofs
from tests.unit.measuring import a_plan

PASS, FAIL, INCONCLUSIVE = Verdict
S = 1_000_000_000
PROBE = Probe(0, Text(("/status?run_id=", Ref(("run", "id")))), "$.seen")


def proof(expected: Scalar = True, within_s: float = 0) -> Proof:
    return Proof("telemetry", PROBE, expected, round(within_s * S))


class Target:
    """Answers one after the other, the last one for ever; each takes `takes_s`. Time is moved by waiting."""

    def __init__(self, *answers: Any, takes_s: float = 0.0, patience: int = 1000) -> None:
        self.answers, self.takes_s, self.patience = list(answers), takes_s, patience
        self.now = 100.0
        self.asked: list[float] = []

    def ask(self) -> Any:
        self.asked.append(self.now - 100)
        self.now += self.takes_s
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        self.patience -= 1
        return self.patience < 0

    def answer(self, proof: Proof) -> ProofAnswer:
        return answer_to(proof, self.ask, lambda: self.now, self.wait)


def judged(answer: ProofAnswer, asked: Proof, **changes: Any) -> tuple[Verdict, str]:
    (result,) = judge_proofs(a_plan(proofs=(asked,), **changes), [answer], "was not asked")
    return result.verdict, result.reason


# --- What is the same -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, False, 0, 1, -3, 0.0, 1.0, 2.5, "", "true", "1"])
def test_an_answer_holds_where_it_is_the_expected_one_and_of_its_type(value: Scalar) -> None:
    others: list[Any] = [None, True, False, 0, 1, -3, 0.0, 1.0, 2.5, "", "true", "1", [], [1], {}, {"a": 1}]
    holding = [other for other in others if proof(value).holds(other)]
    assert [(type(one), one) for one in holding] == [(type(value), value)]


# --- How often it is asked ------------------------------------------------------------------------


def test_without_a_time_it_is_asked_once() -> None:
    target = Target(False, True)
    answer = target.answer(proof())
    assert (target.asked, answer.holds, answer.found, answer.cut_short) == ([0.0], False, False, False)


def test_it_is_asked_every_half_second_until_it_holds() -> None:
    target = Target(None, False, ProbeFailed("down"), True, False)
    answer = target.answer(proof(within_s=60))
    assert target.asked == [0.0, 0.5, 1.0, 1.5]
    assert (answer.holds, answer.found, answer.problem, answer.took_s) == (True, True, "", 1.5)


def test_it_is_asked_a_last_time_when_its_time_is_over() -> None:
    target = Target(False, takes_s=0.3)
    answer = target.answer(proof(within_s=2))
    assert target.asked == pytest.approx([0.0, 0.8, 1.6, 2.0])
    assert (answer.holds, answer.took_s, answer.cut_short) == (False, 2.3, False)


def test_whoever_is_interrupted_waits_no_longer() -> None:
    target = Target(False, patience=1)
    answer = target.answer(proof(within_s=60))
    assert (target.asked, answer.cut_short) == ([0.0, 0.5], True)
    assert judged(answer, proof(within_s=60)) == (
        INCONCLUSIVE,
        "is false, not true after 0.5 s, when the run was interrupted",
    )
    assert Target(True, patience=0).answer(proof(within_s=60)).cut_short is False


def test_what_is_no_scalar_is_kept_as_the_beginning_of_its_json() -> None:
    assert Target({"a": [1, 2]}).answer(proof()).found == '{"a":[1,2]}'
    assert Target("x" * 300).answer(proof()).found == "x" * 200
    assert Target("x" * 300).answer(proof("x" * 300)).holds


# --- What it comes to -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        (True, PASS, "is true"),
        (False, FAIL, "is false, not true"),
        (None, FAIL, "is null, not true"),
        (1, FAIL, "is 1, not true"),
        ("true", FAIL, 'is "true", not true'),
        (ProbeFailed("a2: GET /status answered 500"), INCONCLUSIVE,
         "could not be asked: a2: GET /status answered 500"),
    ],
)  # fmt: skip
def test_another_answer_fails_and_none_is_inconclusive(found: Any, verdict: Verdict, reason: str) -> None:
    assert judged(Target(found).answer(proof()), proof()) == (verdict, reason)


def test_a_result_says_what_was_asked_and_for_how_long() -> None:
    asked = proof(within_s=1)
    plan = a_plan(proofs=(asked,))
    (result,) = judge_proofs(plan, [Target(False).answer(asked)], "")
    assert result.question == "a2: GET /status?run_id=… $.seen"
    assert (result.expected, result.found, result.within_s, result.took_s) == (True, False, 1.0, 1.0)
    assert result.reason == "is false, not true after 1.0 s"


def test_what_was_not_asked_is_inconclusive() -> None:
    plan: Plan = a_plan(proofs=(proof(), dataclasses.replace(proof(), name="other")))
    results = judge_proofs(plan, [ProofAnswer("other", True, True, 0.1)], "was not asked")
    assert [(one.name, one.verdict, one.reason, one.took_s) for one in results] == [
        ("telemetry", INCONCLUSIVE, "was not asked", None),
        ("other", PASS, "is true", 0.1),
    ]

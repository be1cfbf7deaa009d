"""A flow carried out under a clock that is moved by hand and answers that are written here, and judged."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from ecoload.engine.flow import FlowRunner
from ecoload.engine.hiding import HIDDEN, without_secrets
from ecoload.engine.probe import ProbeFailed, Reply
from ecoload.measure.flow import Pass, StepOutcome, visible
from ecoload.measure.result import Verdict
from ecoload.plan import (
    Array,
    Capture,
    Case,
    Check,
    Eventually,
    Expect,
    Flow,
    FlowStep,
    Object,
    Plan,
    Ref,
    Scenario,
    Step,
    Value,
)
from ecoload.report.flow import flow_html, flow_markdown
from ecoload.verdict.flow import judge_flow
from tests.unit.guard_plans import A2, A8, INGEST, LIVE, TILE, json_body, plan

MS = 1_000_000
S = 1_000_000_000
Answer = tuple[int, Any] | Exception


class World:
    """Time that passes only by waiting (and 1 ms a request), and a target that answers what `answer` says."""

    def __init__(self, answer: Callable[[bytes, int], Answer]) -> None:
        self.now_ns = 0
        self.sent: list[bytes] = []
        self.waits: list[float] = []
        self.over_after = 10**9
        self._answer = answer
        self._lock = threading.Lock()

    def clock(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_ns += round(seconds * S)
        return len(self.waits) > self.over_after

    def send(self, step: Step, data: bytes) -> Reply:
        begun = self.now_ns
        self.sent.append(data)
        self.now_ns += MS
        found = self._answer(data, self.now_ns)
        if isinstance(found, Exception):
            raise found
        status, body = found
        return Reply(status, (), orjson.dumps(body), begun, begun, self.now_ns, self.now_ns)


def order(**changes: Any) -> Step:
    step = Step(
        INGEST,
        0,
        "POST",
        "/v1/events",
        body=json_body(("namespace", "perf_test"), ("cents", Ref(("data", "cents")))),
        check=Check(status=(202,)),
        captures=(Capture("number", "json", "$.number"),),
    )
    return dataclasses.replace(step, **changes)


def board(*json: tuple[str, Expect]) -> Step:
    query = (("number", Ref(("number",))),)
    return Step(TILE, 1, "GET", "/tiles/orders", query, check=Check(json=json))


CENTS: Value = Ref(("data", "cents"))
SEEN = board(("$.rows[*].cents", Expect("all", Array((CENTS,)))))
WITHIN = Eventually(60 * S)


def flow(*steps: Step, eventually: Eventually | None = WITHIN, **changes: Any) -> Plan:
    steps = steps or (order(), SEEN)
    told = tuple(FlowStep(f"step {i}", eventually if i else None) for i in range(len(steps)))
    cases = (Case("one", (("cents", 3000),)),)
    made = Flow("f", "about", told, **{"cases": cases, **changes})
    return plan(origins=(A2, A8, LIVE), scenarios=(Scenario("f", steps=steps),), loads=(), flow=made)


def carry_out(made: Plan, world: World) -> list[Pass]:
    runner = FlowRunner(made, "run", Path(), {}, {}, world.send, world.clock, world.wait)
    return runner.run(lambda *_: None)


def target(*rows: Any, after_ns: int = 0) -> Callable[[bytes, int], Answer]:
    """Takes orders, and shows these rows `after_ns` on."""

    def answer(data: bytes, now_ns: int) -> Answer:
        if data.startswith(b"POST"):
            return 202, {"number": 7}
        return 200, {"rows": [{"cents": cents} for cents in rows] if now_ns >= after_ns else []}

    return answer


def judged(made: Plan, world: World) -> tuple[Verdict, list[str], list[dict[str, Any]]]:
    return judge_flow(made, carry_out(made, world))


def test_what_one_step_captures_the_next_one_sends() -> None:
    world = World(target(3000))
    (one,) = carry_out(flow(), world)
    assert [step.outcome for step in one.steps] == [StepOutcome.HELD, StepOutcome.HELD]
    assert world.sent[0].endswith(b'{"namespace":"perf_test","cents":3000}')
    assert world.sent[1].startswith(b"GET /api/tiles/orders?number=7 HTTP/1.1\r\n")
    assert all(b"X-Ecoload-Run: run\r\n" in sent and b"Probe" not in sent for sent in world.sent)
    assert world.waits == []


def test_it_is_asked_again_ever_more_slowly_until_it_holds_and_how_long_it_took_is_known() -> None:
    world = World(target(3000, after_ns=5 * S))
    made = flow()
    verdict, reasons, proofs = judged(made, world)
    assert (verdict, reasons) == (Verdict.PASS, [])
    assert world.waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    seen = proofs[1]["visible_ms"]
    # From the end of the step before: six pauses, seven requests of 1 ms.
    assert (seen["count"], seen["max"], seen["attempts"]) == (1, 5107.0, 7)
    assert (proofs[0]["visible_ms"], proofs[1]["within_s"]) == (None, 60.0)


def test_what_is_not_seen_in_time_fails_and_says_what_was_there_instead() -> None:
    verdict, reasons, proofs = judged(flow(), World(target(2999)))
    assert verdict is Verdict.FAIL
    (reason,) = reasons
    assert reason.startswith("step 1: case 'one': $.rows[*].cents is [2999]; it must be [3000] (after 60.")
    assert [proof["verdict"] for proof in proofs] == ["PASS", "FAIL"]


def test_what_holds_only_after_its_time_fails_though_nobody_had_asked_before() -> None:
    def slow(data: bytes, now_ns: int) -> Answer:
        world.now_ns += 61 * S if data.startswith(b"GET") else 0
        return target(3000)(data, now_ns)

    world = World(slow)
    verdict, reasons, _ = judged(flow(), world)
    assert (verdict, reasons) == (Verdict.FAIL, ["step 1: case 'one': held only after 61.0 s"])


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ((3000.0,), "[3000.0]"),  # an amount in cents is no float
        ((3000, 3000), "[3000,3000]"),  # once, not twice
        ((), "[]"),
        (("3000",), '["3000"]'),
        ((True,), "[true]"),
    ],
)
def test_amounts_are_compared_exactly(rows: tuple[Any, ...], found: str) -> None:
    verdict, reasons, _ = judged(flow(eventually=None), World(target(*rows)))
    assert (verdict, reasons) == (
        Verdict.FAIL,
        [f"step 1: case 'one': $.rows[*].cents is {found}; it must be [3000]"],
    )


def test_order_counts() -> None:
    wanted = Expect("all", Array((1, 2)))
    for rows, verdict in (((1, 2), Verdict.PASS), ((2, 1), Verdict.FAIL)):
        made = flow(order(), board(("$.rows[*].cents", wanted)), eventually=None)
        assert judged(made, World(target(*rows)))[0] is verdict


def test_a_nested_amount_is_no_float_either() -> None:
    wanted = Expect("eq", Object((("cents", 3000),)))
    made = flow(order(), board(("$.rows[0]", wanted)), eventually=None)
    assert judged(made, World(target(3000)))[0] is Verdict.PASS
    assert judged(made, World(target(3000.0)))[0] is Verdict.FAIL


def test_a_step_that_fails_ends_its_pass_and_what_comes_after_is_named_as_not_reached() -> None:
    world = World(lambda data, _: (503, {}) if data.startswith(b"POST") else (200, {}))
    verdict, reasons, proofs = judged(flow(), world)
    assert (verdict, reasons) == (Verdict.FAIL, ["step 0: case 'one': status is 503; it must be [202]"])
    assert (proofs[1]["verdict"], proofs[1]["reason"]) == ("INCONCLUSIVE", "not reached: step 0 failed")
    assert len(world.sent) == 1


def test_no_answer_is_a_failure_but_where_it_is_asked_again() -> None:
    def refuses(until_ns: int, first: bytes) -> Callable[[bytes, int], Answer]:
        def answer(data: bytes, now_ns: int) -> Answer:
            refused = data.startswith(first) and now_ns < until_ns
            return ProbeFailed("connection refused") if refused else target(3000)(data, now_ns)

        return answer

    assert judged(flow(), World(refuses(2 * S, b"GET")))[0] is Verdict.PASS
    verdict, reasons, _ = judged(flow(), World(refuses(2 * S, b"POST")))
    assert (verdict, reasons) == (Verdict.FAIL, ["step 0: case 'one': connection refused"])


def test_a_value_that_could_not_be_captured_is_named() -> None:
    world = World(lambda data, _: (202, {}))
    assert judged(flow(), world)[1] == ["step 0: case 'one': json $.number is not there; it must be there"]


def test_every_case_is_carried_out_as_often_as_is_asked_with_ids_of_its_own() -> None:
    cases = (Case("one", (("cents", 1),)), Case("two", (("cents", 2),)))
    world = World(lambda data, _: (202, {"number": 1}))
    passes = carry_out(flow(order(), cases=cases, repeat=2), world)
    assert [(one.number, one.case, one.repetition) for one in passes] == [
        (0, "one", 0), (1, "one", 1), (2, "two", 0), (3, "two", 1)
    ]  # fmt: skip
    assert [sent[-2:] for sent in world.sent] == [b"1}", b"1}", b"2}", b"2}"]


def test_one_pass_that_fails_fails_the_step_and_names_its_case() -> None:
    cases = (Case("right", (("cents", 3000),)), Case("wrong", (("cents", 1),)))
    verdict, reasons, proofs = judged(flow(cases=cases, eventually=None), World(target(3000)))
    assert verdict is Verdict.FAIL
    assert reasons == ["step 1: case 'wrong': $.rows[*].cents is [3000]; it must be [1]"]
    assert (proofs[1]["held"], proofs[1]["passes"]) == (1, 2)


def test_an_interrupted_flow_proves_nothing_and_fails_nothing() -> None:
    world = World(target())
    world.over_after = 2
    verdict, _, proofs = judged(flow(), world)
    assert verdict is Verdict.INCONCLUSIVE
    assert [(proof["verdict"], proof["reason"]) for proof in proofs] == [
        ("PASS", ""),
        ("INCONCLUSIVE", "interrupted"),
    ]


def test_requests_to_an_app_stay_below_its_most_a_second() -> None:
    world = World(lambda data, _: (202, {"number": 1}))
    slow = dataclasses.replace(
        flow(order(), repeat=3), origins=(dataclasses.replace(A2, max_rps=2), A8, LIVE)
    )
    carry_out(slow, world)
    assert world.now_ns >= S
    assert len(world.sent) == 3


def test_a_distribution_is_of_those_that_held() -> None:
    world = World(target(3000, after_ns=S))
    passes = carry_out(flow(repeat=3), world)
    seen = visible(one.steps[1] for one in passes)
    assert seen is not None
    assert seen.count == 3
    assert seen.max > 1000 > seen.p50
    assert visible([]) is None


def test_secrets_are_hidden_as_they_stand_in_a_url_and_in_json_too() -> None:
    secret = 'a/b "c"'
    for spelling in (secret, "a%2Fb%20%22c%22", 'a/b \\"c\\"'):
        assert without_secrets(f"before {spelling} after", [secret]) == f"before {HIDDEN} after"
    assert without_secrets("abc", ["abc"]) == "abc", "too short to be told from other text"


def test_nothing_of_a_target_is_read_as_markup_in_a_report() -> None:
    hostile = "<script>alert(1)</script> | [x](http://evil) \x1b[31m"
    _, _, proofs = judged(flow(eventually=None), World(target(hostile)))
    result = {
        "flow": hostile,
        "about": hostile,
        "verdict": "FAIL",
        "verdict_reasons": [hostile],
        "proofs": proofs,
    }
    html, markdown = flow_html(result), flow_markdown(result)
    assert "<script>alert" not in html
    assert "\x1b" not in html + markdown
    assert "<script>" not in markdown
    assert "[x](http" not in markdown

"""A fault beside a load: kept set, always withdrawn; a breaker that is watched; and each oracle, both
ways."""

from __future__ import annotations

import csv
import dataclasses
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.engine.fault import PATIENCE_S, BreakerWatch, FaultKeeper
from ecoload.engine.probe import ProbeFailed
from ecoload.errors import SpecError, UsageError
from ecoload.guard.approval import reasons_for_approval
from ecoload.guard.rules import check_plan
from ecoload.measure.outcome import Outcome
from ecoload.measure.resiliency import Answers, FaultEvent, ResiliencyFound, Seen, first, p95_ms, spans
from ecoload.measure.result import Verdict
from ecoload.plan import Breaker, Fault, Oracles, Plan, Probe, Resiliency, Step
from ecoload.report.resiliency import resiliency_html, resiliency_markdown
from ecoload.spec.workspace import Workspace, load_workspace, make_plan
from ecoload.verdict.resiliency import course_of, judge_resiliency
from tests.unit.guard_plans import INGEST, plan

S = 1_000_000_000
MS = 1_000_000
STEP = Step(INGEST, 0, "POST", "/v1/events")
FAULT = Fault(STEP, STEP, 10 * S, 20 * S, 6 * S)


class World:
    """Time that passes by waiting alone, and a target that answers what it is told."""

    def __init__(self, *answers: int | Exception) -> None:
        self.now_s = 100.0
        self.over_at_s = 10_000.0
        self.sent: list[tuple[float, bool]] = []
        self._answers = list(answers)

    def clock(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.now_s = min(self.now_s + seconds, max(self.over_at_s, self.now_s))
        return self.now_s >= self.over_at_s

    def pause(self, seconds: float) -> None:
        self.now_s += seconds

    def send(self, wanted: bool) -> int:
        self.sent.append((round(self.now_s - 100, 3), wanted))
        found = self._answers.pop(0) if self._answers else 200
        if isinstance(found, Exception):
            raise found
        return found


def kept(world: World, fault: Fault = FAULT) -> FaultKeeper:
    """A fault kept through a load, which then ends."""
    keeper = FaultKeeper(fault, world.send, world.clock)
    keeper.run(100.0, world.wait)
    keeper.withdraw(world.pause)
    return keeper


# --- the fault ----------------------------------------------------------------------------------------


def test_a_fault_is_set_at_its_time_renewed_while_it_is_wanted_and_withdrawn() -> None:
    world = World()
    keeper = kept(world)
    assert world.sent == [(10 + 2 * n, True) for n in range(10)] + [(30, False)]
    assert [one.what for one in keeper.events] == ["set", *["renewed"] * 9, "withdrawn"]


def test_a_fault_that_cannot_expire_is_set_once_and_withdrawn() -> None:
    world = World()
    kept(world, dataclasses.replace(FAULT, ttl_ns=0))
    assert world.sent == [(10, True), (30, False)]


@pytest.mark.parametrize("over_s", [10.0, 10.5, 15.0, 29.9])
def test_a_load_that_ends_early_withdraws_the_fault_at_once(over_s: float) -> None:
    world = World()
    world.over_at_s = 100 + over_s
    kept(world)
    if over_s == 10.0:
        assert world.sent == [], "never set"
    else:
        assert world.sent[-1] == (pytest.approx(over_s), False)
        assert [wanted for _, wanted in world.sent].count(False) == 1


def test_a_fault_that_may_have_been_set_is_withdrawn_though_nobody_confirmed_it() -> None:
    world = World(*[ProbeFailed("timed out")] * 3)
    keeper = kept(world)
    assert [wanted for _, wanted in world.sent] == [True, True, True, False]
    assert first(keeper.events, "set") is None
    assert keeper.events[0].problem == "timed out"


def test_a_withdrawal_that_fails_is_tried_again_until_it_is_done_and_not_for_ever() -> None:
    world = World(*[200] * 10, 503, ProbeFailed("reset"), 200)
    keeper = kept(world)
    assert [one.problem for one in keeper.events if one.what == "withdrawn"] == ["answered 503", "reset", ""]
    world = World(*[200] * 10, *[503] * 1000)
    keeper = kept(world)
    tries = [at for at, wanted in world.sent if not wanted]
    assert tries[-1] - tries[0] < 3 * PATIENCE_S
    assert first(keeper.events, "withdrawn") is None


def test_a_renewal_that_fails_is_told_and_the_next_one_is_made() -> None:
    world = World(200, 503)
    keeper = kept(world)
    assert [one.problem for one in keeper.events[:3]] == ["", "answered 503", ""]


# --- the breaker --------------------------------------------------------------------------------------


def test_a_breaker_is_asked_again_and_again_and_its_changes_are_kept(tmp_path: Path) -> None:
    world = World()
    world.over_at_s = 102.05
    words = iter(["zu", "zu", "auf", ProbeFailed("refused"), "auf", "halb", *["zu"] * 100])

    def ask() -> list[object]:
        found = next(words)
        if isinstance(found, Exception):
            raise found
        return [found]

    breaker = Breaker(Probe(0, "/breaker", "$.state"), "zu", "auf", "halb", 100 * MS)
    file = tmp_path / "breaker.csv"
    file.write_text("")
    watch = BreakerWatch(breaker, ask, file, world.clock)
    watch.run(100.0, world.wait)
    assert [(round(one.at_s, 1), one.state, one.problem) for one in watch.seen] == [
        (0.0, "closed", ""), (0.2, "open", ""), (0.3, "", "refused"), (0.4, "open", ""),
        (0.5, "half_open", ""), (0.6, "closed", ""),
    ]  # fmt: skip
    assert [round(one.until_s, 1) for one in watch.seen] == [0.1, 0.2, 0.3, 0.4, 0.5, 2.0]
    assert watch.polls == 21
    assert len(file.read_text().splitlines()) == 6
    assert [(one.state, round(one.from_s, 1), round(one.to_s, 1)) for one in spans(watch.seen, 2.0)] == [
        ("closed", 0.0, 0.2), ("open", 0.2, 0.5), ("half_open", 0.5, 0.6), ("closed", 0.6, 2.0)
    ]  # fmt: skip


def test_a_state_that_was_left_and_come_back_to_between_two_questions_is_seen_by_its_mark(
    tmp_path: Path,
) -> None:
    world = World()
    world.over_at_s = 100.45
    hostile = '"5",\n=1+1'
    answers = iter([["open", 5], ["open", 5], ["open", 7], [5, 7], ["open", hostile]])
    breaker, file = Breaker(Probe(0, "/breaker", "$.state"), since="$.since"), tmp_path / "breaker.csv"
    file.write_text("")
    watch = BreakerWatch(breaker, lambda: next(answers), file, world.clock)
    watch.run(100.0, world.wait)
    assert [(one.state, one.since, one.problem) for one in watch.seen] == [
        ("open", "5", ""), ("open", "7", ""), ("", "", "its state is no text"), ("open", hostile, ""),
    ]  # fmt: skip
    found = spans(watch.seen, 1.0)
    assert [(round(one.from_s, 1), round(one.to_s, 1), round(one.seen_s, 1)) for one in found] == [
        (0.0, 0.2, 0.1), (0.2, 0.4, 0.2), (0.4, 1.0, 0.4),
    ]  # fmt: skip
    with file.open(newline="") as rows:
        assert list(csv.reader(rows))[-1] == ["0.400", "open", hostile, ""]


_STATES = st.sampled_from(["closed", "open", "half_open", ""])


@given(st.lists(st.tuples(st.floats(0.01, 5), _STATES, st.sampled_from(["", "1", "2"])), max_size=30))
def test_spans_follow_on_one_another_and_no_two_are_of_one_stay(steps: list[tuple[float, str, str]]) -> None:
    at, seen = 0.0, []
    for step, state, since in steps:
        seen.append(Seen(at, state, "", since, at + step / 2))
        at += step
    found = spans(seen, at)
    told = [(one.state, one.since) for one in seen if one.state]
    assert [one.state for one in found] == [stay[0] for stay, _ in groupby(told)]
    assert all(one.to_s == other.from_s for one, other in pairwise(found))
    assert all(one.from_s <= one.seen_s <= one.to_s for one in found)
    assert not found or found[-1].to_s == at


# --- the oracles --------------------------------------------------------------------------------------

EVERY = Oracles(5 * S, 10 * S, True, 150.0, 0.6, 0, Probe(0, "/effects", "$.doubled"))


def saw(*changes: tuple[float, str], since: str = "") -> tuple[Seen, ...]:
    """A state from so many s on, asked every 100 ms until the next one."""
    ends = [*(at for at, _ in changes[1:]), 50.0]
    return tuple(
        Seen(at, state, "", since, end - 0.1) for (at, state), end in zip(changes, ends, strict=True)
    )


GOOD = saw((0.0, "closed"), (11.0, "open"), (16.0, "half_open"), (16.1, "open"), (31.0, "half_open"),
           (32.0, "closed"))  # fmt: skip
EVENTS = (FaultEvent(10.0, "set"), FaultEvent(12.0, "renewed"), FaultEvent(30.0, "withdrawn"))


def answers(*rows: tuple[float, float, Outcome]) -> Answers:
    """Answers begun at so many s, which took so many ms."""
    found = Answers()
    for begun_s, took_ms, outcome in rows:
        begun = round(begun_s * S)
        row = np.array([begun, begun, begun, begun + 1, begun + round(took_ms * MS)], np.int64)
        found.add(outcome, row.tobytes(), 0)
    return found


def usual() -> list[tuple[float, float, Outcome]]:
    """Ten a second for 50 s: ok in 100 ms, and while it is open refused in 20."""
    rows = []
    for n in range(500):
        at = n / 10 + 0.01
        broken = 10 <= at < 31
        rows.append((at, 20.0 if broken else 100.0, Outcome.HTTP_ERROR if broken else Outcome.OK))
    return rows


def found(**changes: Any) -> ResiliencyFound:
    made = ResiliencyFound(EVENTS, GOOD, 500, 0.1, answers(*usual()), 50.0, 0)
    return dataclasses.replace(made, **changes)


def made(oracles: Oracles = EVERY) -> Plan:
    watched = Resiliency(INGEST, FAULT, Breaker(Probe(0, "/breaker", "$.state")), oracles)
    return plan(resiliency=watched)


def verdicts(seen: ResiliencyFound) -> dict[str, Verdict]:
    return {one.name: one.verdict for one in judge_resiliency(made(), seen)}


def bad(seen: ResiliencyFound, verdict: Verdict = Verdict.FAIL) -> dict[str, str]:
    return {one.name: one.reason for one in judge_resiliency(made(), seen) if one.verdict is verdict}


def test_a_breaker_that_does_what_it_must_passes_every_oracle() -> None:
    assert set(verdicts(found()).values()) == {Verdict.PASS}
    assert len(verdicts(found())) == 8
    course = course_of(found())
    assert (course.set_s, course.opened_s, course.withdrawn_s, course.closed_s) == (10.0, 11.0, 30.0, 32.0)
    assert (course.requests, course.errors, course.let_through) == (500, 210, 0)
    assert (course.p95_before_ms, course.p95_open_ms, course.p95_after_ms) == (100.0, 20.0, 100.0)


def test_one_that_never_opens_is_named() -> None:
    assert bad(found(seen=saw((0.0, "closed"))))["the breaker opens"] == (
        "the breaker never opened in 20.0 s of the fault"
    )


def test_one_that_opens_too_late_is_named() -> None:
    late = saw((0.0, "closed"), (17.0, "open"), (31.0, "closed"))
    assert bad(found(seen=late)) == {"the breaker opens": "opened 7.0 s after the fault was set, at most 5 s"}


def test_one_that_never_closes_is_named() -> None:
    stuck = (*GOOD[:5], *saw((31.5, "open")))
    broken = [(at, 20.0, Outcome.HTTP_ERROR) if at > 31 else (at, took, out) for at, took, out in usual()]
    said = bad(found(seen=stuck, answers=answers(*broken)))
    assert said.pop("error budget").startswith("400 of 500 requests failed")
    assert said == {
        "the breaker closes": "the breaker never closed: still open 20.0 s after the fault was withdrawn"
    }


def test_one_that_closes_too_late_or_too_early_is_named() -> None:
    late = (*GOOD[:4], *saw((41.0, "closed")))
    assert bad(found(seen=late))["the breaker closes"] == (
        "closed 11.0 s after the fault was withdrawn, at most 10 s"
    )
    early = saw((0.0, "closed"), (11.0, "open"), (20.0, "closed"), (21.0, "open"), (31.0, "closed"))
    assert bad(found(seen=early)) == {
        "the breaker stays open": "closed 9.0 s after it opened, while the fault was set"
    }


def test_what_is_let_through_slow_or_too_much_while_it_is_open_is_named() -> None:
    through = [*usual(), (20.0, 50.0, Outcome.OK)]
    assert list(bad(found(answers=answers(*through)))) == ["let through while open"]
    edge = [*usual(), (10.95, 100.0, Outcome.OK), (30.85, 100.0, Outcome.OK)]
    assert bad(found(answers=answers(*edge))) == {}, (
        "before the first question and after the last it is not known"
    )
    slow = [(at, 400.0 if outcome is not Outcome.OK else took, outcome) for at, took, outcome in usual()]
    assert list(bad(found(answers=answers(*slow)))) == ["P95 while open"]
    failing = [(at, took, Outcome.HTTP_ERROR) for at, took, _ in usual()[:310]] + usual()[310:]
    assert bad(found(answers=answers(*failing)))["error budget"] == (
        "310 of 500 requests failed, 62.0 %; the budget is 60 %"
    )


def test_a_probe_between_two_questions_is_not_let_through_where_the_breaker_tells_since_when() -> None:
    probe = [*usual(), (20.02, 60.0, Outcome.OK)]
    assert list(bad(found(answers=answers(*probe)))) == ["let through while open"], "it tells of no break"
    first, *rest = GOOD
    opened, again = dataclasses.replace(rest[0], until_s=20.0), saw((20.1, "open"), since="2")[0]
    marked = (first, opened, dataclasses.replace(again, until_s=30.9), *GOOD[4:])
    assert bad(found(seen=marked, answers=answers(*probe))) == {}
    later = [*probe, (20.12, 60.0, Outcome.OK)]
    assert list(bad(found(seen=marked, answers=answers(*later)))) == ["let through while open"]
    assert course_of(found(seen=marked)).opened_s == 11.0
    words = resiliency_markdown(made(), "run", found(seen=marked), course_of(found(seen=marked)), ())
    assert "| 11.0 | 20.1 | open |" in words
    assert "| 20.1 | 31.0 | open, anew |" in words


def test_a_key_with_two_effects_is_named() -> None:
    assert bad(found(doubled=3)) == {"double effects": "3 keys had more than one effect"}
    for changes in ({"doubled": None}, {"doubled": True}, {"doubled_problem": "answered 503"}):
        assert list(bad(found(**changes), Verdict.INCONCLUSIVE)) == ["double effects"]


def test_a_fault_that_is_not_withdrawn_fails_and_says_so() -> None:
    events = (*EVENTS[:2], FaultEvent(30.0, "withdrawn", "answered 503"))
    assert bad(found(fault=events))["the fault is withdrawn"] == (
        "its withdrawal was not confirmed: answered 503; look whether it is still set"
    )


def test_what_cannot_be_told_passes_nothing() -> None:
    nothing = found(fault=(FaultEvent(10.0, "set", "refused"),), seen=(), answers=Answers())
    words = verdicts(nothing)
    assert words.pop("the fault is withdrawn") is Verdict.INCONCLUSIVE
    assert words.pop("double effects") is Verdict.PASS
    assert set(words.values()) == {Verdict.INCONCLUSIVE}
    short = found(fault=(FaultEvent(10.0, "set"), FaultEvent(12.0, "withdrawn")), seen=saw((0.0, "closed")))
    assert "too short to tell 5 s" in bad(short, Verdict.INCONCLUSIVE)["the breaker opens"]
    early = found(ended_s=33.0, seen=GOOD[:5])
    assert "too early to tell 10 s" in bad(early, Verdict.INCONCLUSIVE)["the breaker closes"]
    few = found(answers=answers(*usual()[:130]))
    assert list(bad(few, Verdict.INCONCLUSIVE)) == ["P95 while open"]


def test_oracles_that_are_not_declared_are_not_judged() -> None:
    (only,) = judge_resiliency(made(Oracles()), found())
    assert only.name == "the fault is withdrawn"
    assert judge_resiliency(plan(), None) == ()


def test_a_p95_is_the_nearest_rank() -> None:
    assert p95_ms(np.array([n * MS for n in range(1, 101)], np.int64)) == 95.0
    assert p95_ms(np.array([7 * MS], np.int64)) == 7.0
    assert p95_ms(np.zeros(0, np.int64)) is None


def test_a_report_shows_the_course_and_nothing_of_a_target_is_read_as_markup() -> None:
    hostile = "<script>alert(1)</script>"
    seen = found(seen=(*GOOD, Seen(40.0, hostile)))
    course, proofs = course_of(seen), judge_resiliency(made(), seen)
    html = resiliency_html(made(), "run", seen, course, proofs)
    assert "<script" not in html
    assert 'role="img" aria-label="The breaker: closed from 0.0 to 11.0 s; open from' in html
    assert "style=" not in html
    words = resiliency_markdown(made(), "run", seen, course, proofs)
    assert "| 11.0 | 16.0 | open |" in words
    assert "| <script" not in words


# --- what people write --------------------------------------------------------------------------------

TARGETS = """\
protocol: {namespace: perf_test}
profiles:
  calm: {executor: constant, vus: 1, duration: 100s}
  storm: {executor: constant, vus: 1, duration: 50s, pacing: 1s, fault: {at: 10s, for: 20s}}
phases:
  - {name: storm, profile: storm}
apps:
  shop:
    base_url: https://shop.example
    environment: staging
    secrets: {KEY: {env: KEY}}
    routes:
      order: {get: /orders, effect: none}
      faults: {post: /faults, effect: fault}
    resiliency:
      route: order
      fault:
        inject: {route: faults, headers: {X-Key: "${secret.KEY}"}, json: {share: 1}}
        withdraw: {route: faults, json: {}}
        ttl: 6s
      breaker: {get: /breaker, json: $.state, closed: CLOSED, open: OPEN, half_open: HALF}
      oracles: {opens_within: 5s, double_effects: {get: "/effects?run=${run.id}", json: $.n}}
  proxy:
    base_url: https://proxy.example
    environment: staging
    routes:
      add_toxic: {post: "/proxies/{proxy}/toxics", effect: fault}
      remove_toxic: {delete: "/proxies/{proxy}/toxics/{toxic}", effect: fault}
"""
TOXIPROXY = """\
      fault:
        app: proxy
        inject:
          route: add_toxic
          path: {proxy: upstream}
          json: {name: down, type: timeout, attributes: {timeout: 0}}
        withdraw: {route: remove_toxic, path: {proxy: upstream, toxic: down}}
        expires: never
"""


def write(root: Path, targets: str = TARGETS) -> Workspace:
    (root / "scenarios").mkdir(parents=True)
    (root / "targets.yaml").write_text(targets)
    for app in ("shop", "proxy"):
        steps = "  - route: order\n" if app == "shop" else "  - {route: add_toxic, path: {proxy: x}}\n"
        (root / "scenarios" / f"{app}.yaml").write_text(f"app: {app}\nsteps:\n{steps}")
    return load_workspace(root / "targets.yaml", environ={})


def toxic() -> str:
    before, rest = TARGETS.split("      fault:\n", 1)
    return before + TOXIPROXY + "      breaker:" + rest.split("      breaker:", 1)[1]


def test_a_profile_with_a_fault_is_the_plan_of_one_and_is_never_scaled(tmp_path: Path) -> None:
    workspace = write(tmp_path)
    made_plan = make_plan(workspace, "shop", "storm", duration_scale=0.01)
    check_plan(made_plan)
    assert made_plan.resiliency is not None
    fault = made_plan.resiliency.fault
    assert (fault.at_ns, fault.for_ns, fault.ttl_ns) == (10 * S, 20 * S, 6 * S)
    assert made_plan.loads[0].executor.duration_ns == 50 * S  # type: ignore[union-attr]
    assert made_plan.duration_scale == 1.0
    assert dict(made_plan.secrets) == {"KEY": "env:KEY"}
    assert made_plan.resiliency.breaker.open == "OPEN"
    assert reasons_for_approval(made_plan) == ("it can send shop.faults, which injects a fault",)
    assert make_plan(workspace, "shop", "calm").resiliency is None


def test_the_api_of_a_proxy_can_be_the_fault_and_that_it_cannot_expire_is_approved_too(
    tmp_path: Path,
) -> None:
    made_plan = make_plan(write(tmp_path, toxic()), "shop", "storm")
    check_plan(made_plan)
    assert made_plan.resiliency is not None
    fault = made_plan.resiliency.fault
    assert (fault.inject.method, fault.inject.path) == ("POST", "/proxies/upstream/toxics")
    assert (fault.withdraw.method, fault.withdraw.path) == ("DELETE", "/proxies/upstream/toxics/down")
    assert made_plan.origins[fault.inject.origin].app == "proxy"
    assert reasons_for_approval(made_plan)[-1] == (
        "the fault at proxy cannot expire: if ecoload is killed, somebody must withdraw it"
    )


def test_an_app_that_declares_none_cannot_run_such_a_profile_and_has_no_part_in_its_phase(
    tmp_path: Path,
) -> None:
    from ecoload.spec.suite_planning import make_suite

    workspace = write(tmp_path)
    assert workspace.profiles_of("proxy") == ("calm",)
    with pytest.raises(UsageError, match="storm injects a fault, and proxy declares no resiliency"):
        make_plan(workspace, "proxy", "storm")
    (phase,) = make_suite(workspace).phases
    assert ([run.app for run in phase.runs], phase.not_applicable) == (["shop"], ("proxy",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("        ttl: 6s\n", ""), "expected one of ttl: 5s and expires: never"),
        (("        ttl: 6s\n", "        ttl: 6s\n        expires: never\n"), "expected one of ttl"),
        (("ttl: 6s", "ttl: 100ms"), "expected at least 1s"),
        (("route: order\n", "route: odrer\n"), "unknown route 'odrer'"),
        (("inject: {route: faults,", "inject: {route: order,"), "injects no fault"),
        (("${secret.KEY}", "${secret.KEX}"), "KEX"),
        (("${secret.KEY}", "${vu}"), "means nothing outside an iteration"),
        (("open: OPEN", "open: CLOSED"), "three different words"),
        (("opens_within: 5s", "open_within: 5s"), "open_within"),
        (("ttl: 6s", "ttl: 6s\n        app: shp"), "unknown app 'shp'"),
        (("fault: {at: 10s, for: 20s}", "fault: {at: 10s}"), "for"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in TARGETS
    with pytest.raises(SpecError) as caught:
        write(tmp_path, TARGETS.replace(*change, 1))
    assert said in str(caught.value)

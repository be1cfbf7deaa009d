"""One run judged as a whole, and the JSON that is published of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from ecoload.measure.asked import ProofAnswer
from ecoload.measure.figures import Figures
from ecoload.measure.memory import MemorySample
from ecoload.measure.outcome import Outcome
from ecoload.measure.recorder import Recorder
from ecoload.measure.result import Planned, RunResult, Status, ValidityStatus, Verdict
from ecoload.plan import Condition, ConstantVUs, Load, Plan, Probe, Proof, Scenario, ServiceLevel
from ecoload.verdict.conditions import Fired
from ecoload.verdict.judge import RunFacts, judge, model_of
from tests.unit.measuring import SECOND, a_plan, figures_of, rows, tick
from tests.unit.schemas import problems, published

SCHEMA = published("run.schema.json")
PASS, FAIL, INCONCLUSIVE = Verdict


def facts(**changes: Any) -> RunFacts:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "started_at": "2026-11-23T20:00:00Z",
        "status": Status.FINISHED,
        "persisted": 1000,
    }
    return RunFacts(**values | changes)


def judged(figures: Figures | None = None, plan: Plan | None = None, **changes: Any) -> RunResult:
    return judge(plan or a_plan(), figures or figures_of([10.0] * 100), facts(**changes))


def test_a_good_run_passes_and_gives_no_reason() -> None:
    result = judged(planned=Planned(0, 120.0))
    assert (result.verdict, result.verdict_reasons, result.validity.status) == (
        PASS,
        (),
        ValidityStatus.VALID,
    )
    ingest, count = result.routes
    assert (ingest.route, ingest.requests, ingest.errors, ingest.rps) == ("ingest", 1000, 0, 100.0)
    assert ingest.slo is not None
    assert ingest.slo.verdict is PASS
    assert count.slo is None
    assert result.persistence is not None
    assert (result.persistence.acknowledged, result.persistence.persisted) == (1000, 1000)
    assert result.model == "open"


def test_a_slow_target_fails() -> None:
    result = judged(figures_of([200.0] * 100))
    assert result.verdict is FAIL
    assert result.verdict_reasons == ("ingest p95_ms: 200 ms > 125 ms",)


def test_a_target_that_cannot_keep_up_fails_by_what_was_never_sent() -> None:
    figures = figures_of([10.0] * 100, dropped_iterations=500, dropped_by_load=(500,))
    result = judged(figures)
    assert (result.verdict, result.dropped_iterations, result.errors) == (FAIL, 500, 500)
    assert result.validity.status is ValidityStatus.VALID


def test_a_slow_generator_is_invalid_whatever_the_levels_say() -> None:
    for ms in (10.0, 900.0):
        figures = figures_of([ms] * 100, iterations_started=100)
        result = judged(figures, planned=Planned(1000, 10.0))
        assert result.validity.status is ValidityStatus.INVALID
        assert result.verdict is INCONCLUSIVE
        assert any("INVALID" in reason for reason in result.verdict_reasons)


def test_a_stopped_run_is_held_against_what_was_due_until_then() -> None:
    figures = figures_of([10.0] * 100, iterations_started=1000)
    planned = Planned(12_000, 120.0)
    early = judged(figures, planned=planned, starts_due=1000, status=Status.STOPPED, stop_reason="by hand")
    assert early.validity.status is ValidityStatus.VALID
    assert early.verdict is INCONCLUSIVE
    assert "by hand" in str(early.verdict_reasons)
    assert judged(figures, planned=planned).validity.status is ValidityStatus.INVALID


def test_a_killed_run_is_not_held_against_starts_that_nobody_counted() -> None:
    killed = dataclasses.replace(figures_of([10.0] * 100, iterations_started=1000), rebuilt=True)
    result = judged(killed, planned=Planned(12_000, 120.0), status=Status.KILLED, persisted=None)
    assert (result.validity.status, result.verdict) == (ValidityStatus.SUSPECT, INCONCLUSIVE)
    assert "killed" in str(result.persistence)


def test_beside_closed_loads_the_counted_starts_tell_nothing() -> None:
    closed = Load("c", 0, "constant", ConstantVUs(5, SECOND))
    mixed = a_plan(loads=(closed, *a_plan().loads))
    figures = figures_of([10.0] * 100, iterations_started=5000)
    assert judged(figures, mixed, planned=Planned(1000, 10.0)).validity.status is ValidityStatus.VALID
    assert judged(figures, planned=Planned(1000, 10.0)).validity.status is ValidityStatus.INVALID


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.FINISHED])
def test_a_run_that_did_not_end_by_its_plan_never_passes_and_may_fail(status: Status) -> None:
    assert judged(status=status).verdict is INCONCLUSIVE
    assert judged(figures_of([900.0] * 100), status=status).verdict is FAIL


def test_a_condition_that_fired_fails_the_run() -> None:
    plan = a_plan()
    (condition,) = plan.abort_when
    hit = Fired(condition, True, 12.0, 0.5)
    result = judged(plan=plan, status=Status.ABORTED, stop_reason=hit.reason, fired=(hit,))
    assert result.verdict is FAIL
    assert result.thresholds[0].kind == "abort_when"


def test_a_lost_write_fails_even_an_invalid_run() -> None:
    assert judged(persisted=999).verdict is FAIL
    broken = judged(persisted=999, lost_worker="killed")
    assert (broken.validity.status, broken.verdict) == (ValidityStatus.INVALID, FAIL)
    assert judged(persisted=None, persistence_problem="timeout").verdict is INCONCLUSIVE


def test_a_proof_decides_whatever_the_measurement_was() -> None:
    plan = a_plan(proofs=(Proof("seen", Probe(0, "/seen", "$.n"), 0),))
    holds, fails = ProofAnswer("seen", True, 0, 0.1), ProofAnswer("seen", False, 3, 0.1)
    good = judged(plan=plan, proofs=(holds,))
    assert (good.verdict, good.proofs[0].verdict) == (PASS, PASS)
    bad = judged(plan=plan, proofs=(fails,))
    assert (bad.verdict, bad.verdict_reasons) == (FAIL, ("proof seen: is 3, not 0",))
    broken = judged(plan=plan, proofs=(fails,), lost_worker="killed")
    assert (broken.validity.status, broken.verdict) == (ValidityStatus.INVALID, FAIL)
    assert judged(plan=plan).verdict is INCONCLUSIVE
    killed = judged(plan=plan, status=Status.KILLED, persisted=None)
    assert killed.proofs[0].reason == "the run was killed before it was asked"


def leaking(seconds: int = 60) -> tuple[Plan, Figures]:
    """A soak that becomes slower, though within its level."""
    plan = a_plan(loads=(Load("s", 0, "soak", ConstantVUs(5, seconds * SECOND), pacing_ns=SECOND),))
    recorder = Recorder.for_plan(plan)
    for second in range(seconds):
        recorder.add_samples(0, Outcome.OK, rows([second * SECOND] * 20, (20 + second) * 1_000_000))
        recorder.close_second(tick(second + 1))
    return plan, recorder.figures()


def test_a_drift_of_a_soak_fails_the_run() -> None:
    plan, figures = leaking()
    memory = tuple(MemorySample(second, 5e7 + 1e7 * second) for second in range(60))
    result = judged(figures, plan, persisted=1200, memory=memory)
    found = {(one.of, one.metric): one.verdict for one in result.drift}
    assert found["ingest", "p95_ms"] is found["a2", "resident_bytes"] is FAIL
    assert result.verdict is FAIL
    assert any(reason.startswith("drift of ingest p95_ms: ") for reason in result.verdict_reasons)
    constant = dataclasses.replace(plan.loads[0], executor_name="constant")
    other = judged(figures, dataclasses.replace(plan, loads=(constant,)), persisted=1200, memory=memory)
    assert (other.drift, other.verdict) == ((), PASS)


def test_without_persistence_or_levels_there_is_nothing_to_pass() -> None:
    bare = a_plan(persistence=None, abort_when=())
    bare = dataclasses.replace(
        bare, routes=tuple(dataclasses.replace(route, slo=ServiceLevel()) for route in bare.routes)
    )
    result = judged(plan=bare)
    assert (result.verdict, result.persistence) == (INCONCLUSIVE, None)
    assert "no service level" in str(result.verdict_reasons)


def test_only_what_decides_under_the_profile_decides_the_run() -> None:
    slow = figures_of([200.0] * 100)
    assert judged(slow).verdict is FAIL
    result = judged(slow, a_plan(decides=("error_rate",)))
    assert (result.verdict, result.verdict_reasons) == (PASS, ())
    slo = result.routes[0].slo
    assert slo is not None
    assert [(one.level, one.verdict, one.required) for one in slo.levels] == [
        ("p95_ms", FAIL, False),
        ("error_rate", PASS, True),
    ]


def test_no_sample_is_inconclusive() -> None:
    assert judged(figures_of()).verdict is INCONCLUSIVE


def test_only_routes_that_the_scenarios_send_to_are_judged() -> None:
    plan = a_plan(persistence=None)
    levelled = dataclasses.replace(plan.routes[1], slo=ServiceLevel(p95_ms=10))
    plan = dataclasses.replace(plan, routes=(plan.routes[0], levelled))
    assert judged(plan=plan).verdict is INCONCLUSIVE
    (scenario,) = plan.scenarios
    first_only = dataclasses.replace(scenario, steps=scenario.steps[:1])
    assert judged(plan=dataclasses.replace(plan, scenarios=(first_only,))).verdict is PASS
    in_python = dataclasses.replace(plan, scenarios=(Scenario("a2", module="a2.py"),))
    assert judged(plan=in_python).verdict is PASS


def test_models_have_their_names_and_a_closed_one_its_note() -> None:
    closed = Load("c", 0, "constant", ConstantVUs(5, SECOND))
    plan = a_plan()
    assert model_of(plan) == "open"
    assert model_of(a_plan(loads=(closed,))) == "closed"
    assert model_of(a_plan(loads=(closed, *plan.loads))) == "mixed"
    assert judged().notes == ()
    assert "closed model" in judged(plan=a_plan(loads=(closed,))).notes[0]


def rich_result() -> RunResult:
    """A result in which every list holds something."""
    plan = a_plan(
        thresholds=(Condition("p95 < 300ms", "p95", "<", 300.0),),
        fail_when=(Condition("p50 > 1ms", "p50", ">", 1.0),),
        proofs=(
            Proof("seen", Probe(0, "/seen", "$.n"), 1.5, SECOND),
            Proof("unseen", Probe(0, "/seen", "$.x"), None),
        ),
    )
    recorder = Recorder.for_plan(plan)
    for second in range(1, 12):
        for outcome in Outcome:
            recorder.add_samples(0, outcome, rows([second * SECOND] * 40, [second * 1_000_000]))
        recorder.close_second(tick(second, cpu_ns=second * 10**8, vus=3, vus_max=4))
    hit = Fired(plan.fail_when[0], False, 1.0, 2.0)
    return judge(
        plan,
        recorder.figures(),
        facts(fired=(hit,), proofs=(ProofAnswer("seen", False, "x", 1.2),), notes=("a note",)),
    )


@pytest.mark.parametrize(
    "result",
    [
        judged(),
        judged(figures_of()),
        judged(lost_worker="x"),
        rich_result(),
        judged(*reversed(leaking())),
        judged(*reversed(leaking(5)), memory=(MemorySample(1, 2),)),
    ],
)
def test_what_is_published_fits_the_published_schema(result: RunResult) -> None:
    tree = orjson.loads(orjson.dumps(result.to_json()))
    assert list(problems(SCHEMA, tree, "run")) == []
    assert tree["schema"] == "ecoload.run/1"


def test_the_schema_refuses_what_is_not_a_result() -> None:
    tree = judged().to_json()
    assert list(problems(SCHEMA, tree | {"another": 1}, "run"))
    assert list(problems(SCHEMA, tree | {"verdict": "MAYBE"}, "run"))
    assert list(problems(SCHEMA, tree | {"iterations": "many"}, "run"))
    assert list(problems(SCHEMA, {k: v for k, v in tree.items() if k != "validity"}, "run"))


def test_the_json_has_the_words_that_the_design_names() -> None:
    tree = rich_result().to_json()
    route = tree["routes"][0]
    assert set(route["outcomes"]) == {outcome.label for outcome in Outcome}
    assert set(route["response_ms"]) == {"p50", "p90", "p95", "p99", "p999", "max", "mean"}
    assert set(route["phases_ms"]) == {"sending", "waiting", "receiving"}
    assert tree["validity"]["status"] == "INVALID"
    assert {"acknowledged", "persisted", "lost"} <= set(tree["persistence"])
    assert tree["spec_hash"] == "ab" * 32
    assert len(tree["execution_hash"]) == 64
    assert len(tree["slowest"]) == 10
    assert tree["slowest"][0]["response_ms"] == 11.0
    assert tree["protocol"]["assigned_app"] == "A8"

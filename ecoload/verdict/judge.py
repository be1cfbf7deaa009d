"""One run, judged: plan, figures and facts in, the RunResult out.

Rules
-----
- A route is told of and judged where the scenarios send to it; its level without a sample is
  INCONCLUSIVE.
- The run FAILs by a level, a threshold, a condition that fired, a drift, a proof, or a proved loss; it
  passes only when it ended by its plan, the measurement is VALID and something was judged.
- An INVALID measurement decides nothing but a proof and a proved loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ecoload.measure.asked import ProofAnswer
from ecoload.measure.figures import CONNECTION_PHASES, PHASES, Figures, RouteFigures, Slow
from ecoload.measure.histogram import Histogram
from ecoload.measure.memory import MemorySample
from ecoload.measure.reconcile import LineageFound
from ecoload.measure.recorder import route_names
from ecoload.measure.resiliency import ResiliencyFound
from ecoload.measure.result import (
    ConnectionResult,
    DriftResult,
    GeneratorResult,
    Latency,
    PersistenceResult,
    Planned,
    ProofResult,
    RouteLevels,
    RouteResult,
    RunResult,
    SlowRequest,
    Status,
    ThresholdResult,
    Validity,
    ValidityStatus,
    Verdict,
)
from ecoload.measure.validity import Circumstances, judge_validity
from ecoload.plan import ConstantArrivalRate, Plan, RampingArrivalRate
from ecoload.verdict.conditions import Fired, judge_thresholds, judge_watched
from ecoload.verdict.drift import judge_drift
from ecoload.verdict.lineage import judge_lineage
from ecoload.verdict.persistence import judge_persistence
from ecoload.verdict.proofs import judge_proofs
from ecoload.verdict.resiliency import judge_resiliency
from ecoload.verdict.routes import routes_sent
from ecoload.verdict.slo import judge_route, tightest_ms, worst

SLOWEST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What neither the plan nor the figures tell. `started_at` is ISO 8601 in UTC; `starts_due` the
    open models' starts due until the load ended, where it did not end by its plan (None: not known);
    `persisted`, `server_count` and `proofs` what the target says, None or not there where it does not;
    `memory` its resident memory; `lost_worker` why a generator is gone."""

    run_id: str
    started_at: str
    status: Status
    stop_reason: str = ""
    planned: Planned = field(default_factory=Planned)
    starts_due: int | None = None
    target_version: str = ""
    persisted: int | None = None
    persistence_problem: str = ""
    server_count: int | None = None
    lost_worker: str = ""
    proofs: tuple[ProofAnswer, ...] = ()
    lineage: LineageFound | None = None
    resiliency: ResiliencyFound | None = None
    memory: tuple[MemorySample, ...] = ()
    fired: tuple[Fired, ...] = ()
    machine: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def judge(plan: Plan, figures: Figures, facts: RunFacts) -> RunResult:
    """The result of one run."""
    judged = routes_sent(plan, figures, plan.loads)
    validity = judge_validity(figures, _circumstances(plan, facts, judged))
    levels = [
        judge_route(route.slo, found, validity, plan.seed, plan.decides) if index in judged else None
        for index, (route, found) in enumerate(zip(plan.routes, figures.routes, strict=True))
    ]
    thresholds = (
        *judge_thresholds(plan, figures, validity),
        *judge_watched(plan, facts.fired, validity),
    )
    persistence = _persistence(plan, figures, facts)
    proofs = (
        *judge_proofs(plan, facts.proofs, _unasked(facts)),
        *judge_lineage(facts.lineage),
        *judge_resiliency(plan, facts.resiliency),
    )
    drift = judge_drift(plan, figures, facts.memory, validity)
    verdict, reasons = _verdict(plan, facts, validity, levels, thresholds, persistence, proofs, drift)
    owed = figures.requests + figures.unsent
    return RunResult(
        run_id=facts.run_id,
        app=plan.app,
        profile=plan.profile,
        status=facts.status,
        stop_reason=facts.stop_reason,
        verdict=verdict,
        verdict_reasons=tuple(reasons),
        validity=validity,
        model=model_of(plan),
        seed=plan.seed,
        started_at=facts.started_at,
        duration_s=round(figures.duration_s, 3),
        measured_s=round(figures.measured_s, 3),
        duration_scale=plan.duration_scale,
        tool_version=plan.tool_version,
        target_version=facts.target_version,
        spec_hash=plan.spec_hash,
        execution_hash=plan.execution_hash,
        protocol=plan.protocol,
        planned=facts.planned,
        requests=figures.requests,
        errors=figures.errors,
        error_rate=figures.errors / owed if owed else None,
        rps=_rate(figures.requests, figures.measured_s),
        iterations=figures.iterations,
        dropped_iterations=figures.dropped_iterations,
        queued_at_end=figures.last.queued,
        interrupted_iterations=figures.last.interrupted_iterations,
        late_starts=figures.late_starts,
        vus_max=figures.vus_max,
        warm_up_requests=figures.warm_up_requests,
        persistence=persistence,
        proofs=proofs,
        drift=drift,
        routes=tuple(
            _route(route.app, found, level, figures.measured_s)
            for index, (route, found, level) in enumerate(
                zip(plan.routes, figures.routes, levels, strict=True)
            )
            if index in judged or found.whole or found.unsent
        ),
        thresholds=thresholds,
        connections=tuple(
            ConnectionResult(one.app, one.opened, _phases(one.phases, CONNECTION_PHASES))
            for one in figures.connections
        ),
        generator=_generator(figures, facts),
        slowest=_slowest(figures),
        notes=(*facts.notes, *_notes(plan, figures)),
    )


def model_of(plan: Plan) -> str:
    """`open` (arrivals), `closed` (VUs) or `mixed`."""
    kinds = {isinstance(load.executor, ConstantArrivalRate | RampingArrivalRate) for load in plan.loads}
    if len(kinds) > 1:
        return "mixed"
    return "open" if True in kinds else "closed"


def _circumstances(plan: Plan, facts: RunFacts, judged: set[int]) -> Circumstances:
    due = facts.planned.starts if facts.status is Status.FINISHED else facts.starts_due
    return Circumstances(
        # The generator counts the starts of all loads together: beside closed ones they tell nothing.
        planned_starts=due if model_of(plan) == "open" else None,
        tightest_level_ms=tightest_ms((plan.routes[index].slo for index in judged), plan.decides),
        closed_unpaced=model_of(plan) == "closed" and not any(load.pacing_ns for load in plan.loads),
        spinning=plan.pacing_mode == "spin",
        server_count=facts.server_count,
        lost_worker=facts.lost_worker,
    )


def _persistence(plan: Plan, figures: Figures, facts: RunFacts) -> PersistenceResult | None:
    if plan.persistence is None:
        return None
    problem = facts.persistence_problem
    if facts.status is Status.KILLED:
        problem = problem or "the run was killed before the target's count was read"
    return judge_persistence(figures.routes[plan.persistence.route], facts.persisted, problem)


def _unasked(facts: RunFacts) -> str:
    return "the run was killed before it was asked" if facts.status is Status.KILLED else "was not asked"


def _verdict(
    plan: Plan,
    facts: RunFacts,
    validity: Validity,
    levels: Sequence[RouteLevels | None],
    thresholds: Sequence[ThresholdResult],
    persistence: PersistenceResult | None,
    proofs: Sequence[ProofResult],
    drift: Sequence[DriftResult],
) -> tuple[Verdict, list[str]]:
    found: list[tuple[Verdict, str]] = []
    for name, route in zip(route_names(plan), levels, strict=True):
        required = [level for level in route.levels if level.required] if route else []
        found += [(level.verdict, f"{name} {level.level}: {level.reason}") for level in required]
    found += [(one.verdict, f"{one.kind} {one.source}: {one.reason}") for one in thresholds]
    if persistence is not None:
        found.append((persistence.verdict, f"persistence: {persistence.reason}"))
    found += [(proof.verdict, f"proof {proof.name}: {proof.reason}") for proof in proofs]
    found += [(one.verdict, f"drift of {one.of} {one.metric}: {one.reason}") for one in drift]
    if not found:
        found.append((Verdict.INCONCLUSIVE, "no service level, threshold or proof is declared"))
    if facts.status is not Status.FINISHED:
        why = f": {facts.stop_reason}" if facts.stop_reason else ""
        found.append((Verdict.INCONCLUSIVE, f"the run did not end by its plan ({facts.status}{why})"))
    if validity.status is not ValidityStatus.VALID:
        found += [(Verdict.INCONCLUSIVE, f"{validity.status}: {reason}") for reason in validity.reasons]
    verdict = worst(one for one, _ in found)
    return verdict, [reason for one, reason in found if one is verdict and verdict is not Verdict.PASS]


def _route(app: str, found: RouteFigures, levels: RouteLevels | None, measured_s: float) -> RouteResult:
    return RouteResult(
        route=found.route,
        app=app,
        requests=found.requests,
        unsent=found.unsent,
        errors=found.errors,
        error_rate=found.error_rate,
        rps=_rate(found.requests, measured_s),
        outcomes={outcome.label: count for outcome, count in found.outcomes.items()},
        response_ms=Latency.of(found.ok_response),
        service_ms=Latency.of(found.ok_service),
        all_response_ms=Latency.of(found.all_response()),
        phases_ms=_phases(found.phases, PHASES),
        slo=levels,
    )


def _phases(phases: Mapping[str, Histogram], names: Sequence[str]) -> dict[str, Latency]:
    return {name: Latency.of(phases.get(name) or Histogram()) for name in names}


def _generator(figures: Figures, facts: RunFacts) -> GeneratorResult:
    found = figures.generator
    known = found.lateness.total or found.lateness_p99_us
    return GeneratorResult(
        cpu_share=None if found.cpu_share is None else round(found.cpu_share, 4),
        lag_share=round(found.lag_share, 5),
        lag_max_ms=found.lag_max_ns / 1e6,
        late_start_p99_ms=found.lateness_p99_us / 1000 if known else None,
        machine=facts.machine,
    )


def _slowest(figures: Figures) -> tuple[SlowRequest, ...]:
    found = sorted(
        (slow for route in figures.routes for slow in route.slowest),
        key=lambda slow: slow.response_ms,
        reverse=True,
    )
    return tuple(map(_slow, found[:SLOWEST_SHOWN]))


def _slow(slow: Slow) -> SlowRequest:
    return SlowRequest(
        route=slow.route,
        outcome=slow.outcome.label,
        due_s=round(slow.due_s, 6),
        response_ms=slow.response_ms,
        delay_ms=slow.delay_ms,
        sending_ms=slow.sending_ms,
        waiting_ms=slow.waiting_ms,
        receiving_ms=slow.receiving_ms,
    )


def _notes(plan: Plan, figures: Figures) -> Iterator[str]:
    if model_of(plan) != "open":
        yield (
            "closed model: a request is due when its VU is free and its pacing is over, so a slow target "
            "also slows the load"
        )
    overflow = sum(cell.overflow for route in figures.routes for cell in route.response.values())
    if overflow:
        yield f"{overflow} response times were over 1 h and are counted at 1 h"


def _rate(requests: int, seconds: float) -> float | None:
    return round(requests / seconds, 3) if seconds > 0 else None

"""A suite, judged: its outline, the results of its runs and a few facts in, the SuiteResult out.

Rules
-----
- Pure: the same folder gives the same result, on any machine, at any time. The day that waivers are held
  against is the day on which the suite began.
- A gate is passed by PASS, MITIGATED and WAIVED; in a rehearsal by INCONCLUSIVE too.
- READY needs everything run and held. A FAIL that is neither mitigated nor waived, whatever could not be
  told, and whatever was not run though nothing before it waits for an approval, is NOT_READY; a rehearsal is
  CONDITIONAL at best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from ecoload.plan.suite import Gate, KnownIssue, Outline, PhaseOutline
from ecoload.verdict.cells import WORST_FIRST, OneRun, credited, judge_cell, worst_cell
from ecoload.verdict.known_issues import state_of, waiver_of
from ecoload.verdict.readiness import egrs, grade, part_score
from ecoload.verdict.suite_result import (
    Approvals,
    Cell,
    CellResult,
    Failure,
    IssueResult,
    IssueState,
    Item,
    PhaseResult,
    Readiness,
    SuiteResult,
    SuiteStatus,
    Uptime,
)

FIRST = "first measurement"
"""What the score before is read from, where no earlier bundle is given."""
LEAST_PROBES = 1000
"""With fewer nothing can be said of 99.9 %."""

PASSES = frozenset({Cell.PASS, Cell.MITIGATED, Cell.WAIVED, Cell.NOT_APPLICABLE})


@dataclass(frozen=True, slots=True)
class SuiteFacts:
    """What neither the outline nor the runs tell. `runs` by `(phase, app)`, in the order they were made;
    `gated` the phases that need an approval, `awaiting` those of them without; `uptime` probes sent and
    answered by app; `previous` an earlier score and what it was read from."""

    suite_id: str
    started_at: str
    ended_at: str
    duration_s: float
    runs: Mapping[tuple[str, str], Sequence[OneRun]]
    interrupted: bool = False
    gated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    awaiting: frozenset[str] = frozenset()
    approved_by: str = ""
    uptime: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    previous: tuple[float, str] | None = None


def judge_suite(outline: Outline, facts: SuiteFacts) -> SuiteResult:
    """The result of a suite, whole or as far as it has come."""
    phases = tuple(judge_phases(outline, facts))
    uptime = tuple(_uptime(outline, facts))
    issues = tuple(_issue(issue, phases, _today(facts)) for issue in outline.known_issues)
    halted = _halted(outline, phases)
    verdicts = [phase.verdict for phase in phases] + [one.verdict for one in uptime]
    conditions = (
        *_conditions(outline, phases, issues, facts),
        *_untold(outline, phases, uptime, facts, halted),
    )
    failed = Cell.FAIL in verdicts
    unsure = not outline.rehearsal and Cell.INCONCLUSIVE in verdicts
    unfinished = facts.interrupted or bool(_not_run(outline, phases, facts))
    status = SuiteStatus.READY
    if failed or halted or unsure or unfinished:
        status = SuiteStatus.NOT_READY
    elif conditions or outline.rehearsal:
        status = SuiteStatus.CONDITIONAL
    return SuiteResult(
        suite_id=facts.suite_id,
        status=status,
        rehearsal=outline.rehearsal,
        conditions=conditions,
        halted=halted,
        interrupted=facts.interrupted,
        exit_code=_exit_code(outline, facts, phases, failed, bool(halted), unsure, bool(conditions)),
        started_at=facts.started_at,
        ended_at=facts.ended_at,
        duration_s=round(facts.duration_s, 3),
        duration_scale=outline.duration_scale,
        seed=outline.seed,
        tool_version=outline.tool_version,
        spec_hash=outline.spec_hash,
        execution_hash=outline.execution_hash,
        protocol=outline.protocol,
        apps=outline.apps,
        versions=_versions(phases),
        readiness=_readiness(phases, uptime, facts.previous),
        phases=phases,
        known_issues=issues,
        availability=uptime,
        approvals=Approvals(dict(facts.gated), facts.approved_by, tuple(sorted(facts.awaiting))),
        failures=tuple(_failures(outline, phases, uptime)),
    )


def judge_phases(outline: Outline, facts: SuiteFacts) -> Iterator[PhaseResult]:
    """Each phase as far as it has come."""
    for phase in outline.phases:
        none = (CellResult(app, Cell.NOT_APPLICABLE, ()) for app in phase.not_applicable)
        cells = (*(_cell(outline, phase, run, facts) for run in phase.runs), *none)
        verdicts = [cell.verdict for cell in cells]
        yield PhaseResult(
            name=phase.name,
            profile=phase.profile,
            gate=phase.gate.value,
            optional=phase.optional,
            verdict=worst_cell(verdicts),
            score_first=part_score(credited(cells, first=True)),
            score_last=part_score(credited(cells, first=False)),
            cells=cells,
        )


def passes_gate(verdict: Cell, *, rehearsal: bool) -> bool:
    """Whether what comes after a gate may go on."""
    return verdict in PASSES or (rehearsal and verdict is Cell.INCONCLUSIVE)


def _cell(outline: Outline, phase: PhaseOutline, run: tuple[str, str, str], facts: SuiteFacts) -> CellResult:
    name, app, flow = run
    runs = facts.runs.get((phase.name, name), ())
    if not runs and phase.name in facts.awaiting:
        return CellResult(app, Cell.AWAITING_APPROVAL, facts.gated.get(phase.name, ()), flow=flow)
    return replace(judge_cell(app, runs, outline.known_issues, _today(facts)), flow=flow)


# --- the whole ------------------------------------------------------------------------------------


def _issue(issue: KnownIssue, phases: Sequence[PhaseResult], today: date) -> IssueResult:
    """By the first phase that could tell; a later one in which it does not simply pass tells against it."""
    found = [(cell, item) for phase in phases for cell in phase.cells for item in cell.items
             if item.issue == issue.id]  # fmt: skip
    unsure = ("INCONCLUSIVE", Cell.INCONCLUSIVE)
    told = [one for one in found if (one[1].first.verdict, one[1].verdict) != unsure] or found[:1]
    cold = warm = limit = verdict = None
    if told:
        cell, item = worst = min(told, key=lambda one: WORST_FIRST.index(one[1].verdict))
        verdict, limit = item.verdict, item.limit
        # A phase that stood under the remedy from its start has no cold figure of its own.
        plain = (one for one in (worst, *told) if any(run.kind != "warmed" for run in one[0].runs))
        cold = next((other.first.value for _, other in plain), None)
        alone = all(run.kind == "warmed" for run in cell.runs)
        if verdict is not Cell.PASS and cell.runs[-1].kind == "warmed" and (alone or item.first != item.last):
            warm = item.last.value
    return IssueResult(
        id=issue.id,
        app=issue.app,
        route=issue.route,
        level=issue.level,
        limit=limit,
        summary=issue.summary,
        remedy=issue.remedy,
        state=state_of(verdict),
        cold=cold,
        warm=warm,
        waiver=waiver_of(issue, today),
    )


def _conditions(
    outline: Outline, phases: Sequence[PhaseResult], issues: Sequence[IssueResult], facts: SuiteFacts
) -> Iterator[str]:
    for issue in issues:
        if issue.state is IssueState.MITIGATED:
            yield f"{issue.id} passes only under its remedy: {issue.remedy}"
        elif issue.waiver is not None and issue.waiver.valid and issue.state is IssueState.STILL_FAILING:
            given = issue.waiver
            yield f"{issue.id} is waived by {given.by} until {given.until}: {given.reason}"
        elif issue.state is IssueState.INCONCLUSIVE and outline.rehearsal and _cold_fails(issue, phases):
            yield f"{issue.id} fails, and its retest could not tell"
    for phase in phases:
        if phase.name in facts.awaiting:
            yield f"{phase.name} was not run: it needs an approval"
        without = [cell for cell in phase.cells if cell.verdict is Cell.NO_BROWSER]
        if without:
            names, why = ", ".join(cell.name for cell in without), without[0].reasons[0]
            yield f"{phase.name} was not run ({names}): {why}"


def _cold_fails(issue: IssueResult, phases: Sequence[PhaseResult]) -> bool:
    items = (item for phase in phases for cell in phase.cells for item in cell.items)
    return any(item.issue == issue.id and item.first.verdict == "FAIL" for item in items)


def _halted(outline: Outline, phases: Sequence[PhaseResult]) -> str:
    """Why the protocol ended at a gate that halts; nothing where it did not."""
    for outlined, phase in zip(outline.phases, phases, strict=True):
        begun = any(cell.runs for cell in phase.cells)
        done = all(cell.runs for cell in phase.cells if cell.verdict is not Cell.NOT_APPLICABLE)
        if outlined.gate is not Gate.HALT or not begun:
            continue
        if phase.verdict is Cell.FAIL or (
            done and not passes_gate(phase.verdict, rehearsal=bool(outline.rehearsal))
        ):
            reasons = "; ".join(reason for cell in phase.cells for reason in cell.reasons[:3])
            return f"{phase.name} is {phase.verdict}: {reasons}"
    return ""


def _not_run(outline: Outline, phases: Sequence[PhaseResult], facts: SuiteFacts) -> tuple[str, ...]:
    """The phases of which something was not run, though no gate before them waits for an approval."""
    found = []
    for outlined, phase in zip(outline.phases, phases, strict=True):
        found += [phase.name] if any(cell.verdict is Cell.NOT_RUN for cell in phase.cells) else []
        if phase.name in facts.awaiting and outlined.gate is not Gate.NONE:
            break
    return tuple(found)


def _untold(
    outline: Outline, phases: Sequence[PhaseResult], uptime: Sequence[Uptime], facts: SuiteFacts, halted: str
) -> Iterator[str]:
    """What keeps a suite that is no rehearsal from READY beside what failed or halted it."""
    if outline.rehearsal:
        return
    for phase in phases:
        unsure = [cell for cell in phase.cells if cell.verdict is Cell.INCONCLUSIVE]
        if unsure and not halted.startswith(f"{phase.name} is "):
            apps, why = ", ".join(cell.name for cell in unsure), next(iter(unsure[0].reasons), "")
            yield f"{phase.name} could not be told of {apps}: {why}"
    for reason in dict.fromkeys(one.reason for one in uptime if one.verdict is Cell.INCONCLUSIVE):
        apps = ", ".join(one.app for one in uptime if one.reason == reason)
        yield f"the uptime of {apps} could not be told: {reason}"
    names = () if facts.interrupted else _not_run(outline, phases, facts)
    if names:
        yield f"not run, for what stands before: {', '.join(names)}"


def _exit_code(
    outline: Outline,
    facts: SuiteFacts,
    phases: Sequence[PhaseResult],
    failed: bool,
    halted: bool,
    unsure: bool,
    conditional: bool,
) -> int:
    """The first of docs/exit-codes.md that applies."""
    unfinished = bool(_not_run(outline, phases, facts))
    nothing_ran = not any(cell.runs for phase in phases for cell in phase.cells)
    if facts.awaiting and nothing_ran and not unfinished:
        return 3
    if facts.interrupted:
        return 130
    if halted:
        return 4
    if failed:
        return 99
    if unsure or unfinished:
        return 5
    return 8 if conditional else 0


def _uptime(outline: Outline, facts: SuiteFacts) -> Iterator[Uptime]:
    for app in outline.apps:
        if app not in facts.uptime:
            continue
        probes, answered = facts.uptime[app]
        share = answered / probes if probes else None
        if share is None or probes < LEAST_PROBES:
            verdict, reason = Cell.INCONCLUSIVE, f"{probes} probes, {LEAST_PROBES} are needed"
        else:
            verdict = Cell.PASS if share >= outline.uptime else Cell.FAIL
            sign = "≥" if verdict is Cell.PASS else "<"
            reason = f"{share * 100:.3f} % {sign} {outline.uptime * 100:g} %"
        yield Uptime(app, probes, answered, share, verdict, reason)


def _readiness(
    phases: Sequence[PhaseResult], uptime: Sequence[Uptime], previous: tuple[float, str] | None
) -> Readiness:
    up = part_score(one.verdict for one in uptime)
    after = egrs([*(phase.score_last for phase in phases), up])
    before, source = egrs([*(phase.score_first for phase in phases), up]), FIRST
    if previous is not None:
        before, source = previous
    return Readiness(before, after, round(after - before, 1), grade(after), source)


def _versions(phases: Sequence[PhaseResult]) -> dict[str, str]:
    return {
        cell.app: run.target_version
        for phase in phases
        for cell in phase.cells
        for run in cell.runs
        if run.target_version
    }


def _failures(outline: Outline, phases: Sequence[PhaseResult], uptime: Sequence[Uptime]) -> Iterator[Failure]:
    for phase in phases:
        for cell in phase.cells:
            if cell.verdict is Cell.FAIL and not cell.items:
                reason = "; ".join(cell.reasons)
                yield Failure(
                    phase.name, cell.app, cell.flow or "the run", "can be carried out", "not", reason, ""
                )
            for item in cell.items:
                if item.verdict is Cell.FAIL:
                    failing = next((run for run in reversed(cell.runs) if run.verdict == "FAIL"), None)
                    yield Failure(
                        phase=phase.name,
                        app=item.app,
                        of=item.of,
                        must_be=item.must_be,
                        was=item.last.was,
                        reason=item.last.reason,
                        remedy=_remedy(outline, item),
                        diagnostics=f"{failing.folder}/{_page(cell)}" if failing else "",
                    )
    for one in uptime:
        if one.verdict is Cell.FAIL:
            limit = f"uptime ≥ {outline.uptime * 100:g} %"
            yield Failure("availability", one.app, "health", limit, one.reason, one.reason, "")


def _page(cell: CellResult) -> str:
    """The page that tells most of a failing."""
    return "summary.md" if cell.flow else "diagnostics.md"


def _remedy(outline: Outline, item: Item) -> str:
    for issue in outline.known_issues:
        if issue.id == item.issue:
            return issue.remedy
    return next((r.text for r in outline.remedies if (r.app, r.route) == (item.app, item.of)), "")


def _today(facts: SuiteFacts) -> date:
    return date.fromisoformat(facts.started_at[:10])

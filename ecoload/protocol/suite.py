"""The protocol, carried out: phase after phase, gate after gate, each run where the folder says it belongs.

Rules
-----
- What stands in the folder is done; everything else is still to do. So a resume is the same call again.
- A gate that halts ends the protocol; one that must pass holds up every later phase. A phase that waits for
  an approval is left out, and the rest goes on.
- Where a run fails at a known issue, it is made again under the remedy, that app alone. Once the remedy has
  shown itself, the app's later runs stand under it too.
- Runs side by side are threads that measure; each has a generator process of its own. Signals and what is
  read from the folder are the main thread's. Their targets are locked together: two apps may share a host.
- An app that cannot even be asked for a token is a FAIL of its cell; an error of our own ends the suite, and
  it can be resumed.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ecoload.engine.interrupts import Interrupts
from ecoload.errors import ApprovalNeeded, GuardRefused, OutputFailed, TokenFailed, WorkerFailed
from ecoload.guard.asking import Asked
from ecoload.guard.grants import Grant
from ecoload.guard.hosts import resolve
from ecoload.guard.lock import locked
from ecoload.guard.rules import check_plan, check_watched
from ecoload.plan import Plan
from ecoload.plan.suite import AppRun, Gate, Outline, Phase, SuitePlan
from ecoload.protocol.browser import carry_out_browser
from ecoload.protocol.flows import carry_out_flow
from ecoload.protocol.suite_folder import DIAGNOSTICS, WORKSPACE, SuiteFolder, attempt_of
from ecoload.report.browser import write_browser_reports
from ecoload.report.diagnostics import diagnostics_markdown
from ecoload.report.flow import SilentFlow, write_flow_reports
from ecoload.report.folder import write_reports
from ecoload.run import Finished, Request, View, carry_out
from ecoload.spec.suite_planning import ALL_APPS
from ecoload.verdict.suite import SuiteFacts, judge_phases, passes_gate
from ecoload.verdict.suite_result import Cell, CellResult, PhaseResult

JOIN_S = 0.2


class SuiteView(Protocol):
    """Whoever watches a suite; see `report/suite_live.py`."""

    def phase(self, phase: Phase, why_not: str = "") -> None:
        """A phase begins, or is left out for a reason."""

    def run_view(self, phase: Phase, run: AppRun, *, alone: bool) -> View:
        """What watches one of its runs; `alone` where no other goes on beside it."""

    def progress(self, phase: Phase, run: AppRun, text: str) -> None:
        """What a run does just now."""

    def begun(self, phase: Phase, apps: Sequence[str], note: str = "") -> None:
        """These runs of a phase go on now, for a reason if it is not the first time."""

    def ended(self, phase: Phase, app: str, result: Mapping[str, Any] | None, error: str, kind: str) -> None:
        """A run is over."""

    def judged(self, phase: PhaseResult) -> None:
        """A phase is over."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a suite is carried out: what is to be sent (hosts pinned, guards agreed), where it is written,
    the secrets of each plan by its app, the phases that may not be run for want of an approval, and the
    grant of the suite, which is that of its runs too; `root` is the workspace, whose tools are used. `retest`
    is the app whose runs that did not pass are made again."""

    suite: SuitePlan
    folder: SuiteFolder
    root: Path
    secrets: Mapping[str, Mapping[str, str]] = field(repr=False)
    awaiting: Mapping[str, Sequence[str]] = field(default_factory=dict)
    grant: Grant | None = None
    retest: str = ""


def pinned(suite: SuitePlan, *, sandbox_is_up: bool = True) -> SuitePlan:
    """The suite with every plan checked by the guard and its hosts resolved, each name once. Raises
    GuardRefused, with everything that is refused."""
    known: dict[tuple[Any, ...], Any] = {}

    def look_up(*place: Any, **how: Any) -> Any:
        if place not in known:
            known[place] = list(socket.getaddrinfo(*place, **how))
        return known[place]

    refusals: list[str] = []

    def prepared(plan: Plan) -> Plan:
        try:
            check_plan(plan)
            return resolve(plan, look_up, sandbox_is_up=sandbox_is_up)
        except GuardRefused as error:
            refusals.extend(f"{plan.app}: {line}" for line in str(error).splitlines())
            return plan

    def run(one: AppRun) -> AppRun:
        return AppRun(one.app, prepared(one.plan), prepared(one.warmed) if one.warmed else None)

    phases = tuple(
        dataclasses.replace(phase, runs=tuple(run(one) for one in phase.runs)) for phase in suite.phases
    )
    try:
        check_watched(phases[0].runs[0].plan, suite.watched)
    except GuardRefused as error:
        refusals += str(error).splitlines()
    if refusals:
        raise GuardRefused("\n".join(dict.fromkeys(refusals)))
    return dataclasses.replace(suite, phases=phases)


def conduct(how: Conduct, view: SuiteView, heard: Interrupts) -> None:
    """Carries out what the folder does not hold yet. Raises EcoloadError for a failure of our own."""
    _Conductor(how, view, heard).go()


class _Conductor:
    def __init__(self, how: Conduct, view: SuiteView, heard: Interrupts) -> None:
        self._how, self._view, self._heard = how, view, heard
        self._outline: Outline = how.suite.outline()

    def go(self) -> None:
        held_up = ""
        for phase in self._how.suite.phases:
            if self._heard.presses:
                return
            if phase.name in self._how.awaiting:
                self._view.phase(phase, "it needs an approval")
            elif held_up:
                self._view.phase(phase, held_up)
                continue
            else:
                self._view.phase(phase)
                self._phase(phase)
            if self._heard.presses:
                return
            result = self._judged(phase)
            self._view.judged(result)
            if phase.gate is Gate.NONE:
                continue
            if not passes_gate(result.verdict, rehearsal=bool(self._outline.rehearsal)):
                held_up = f"{phase.name} is {result.verdict.value.replace('_', ' ').lower()}"
                if phase.gate is Gate.HALT and result.verdict is not Cell.AWAITING_APPROVAL:
                    held_up = f"halted: {held_up}"

    def _phase(self, phase: Phase) -> None:
        for batch in phase.batches:
            cells = self._cells(phase)
            todo = [run for run in batch if self._is_due(run, cells[run.name])]
            if todo:
                self._carry_out(phase, todo)
            for run in batch:
                if self._heard.presses:
                    return
                self._remedy(phase, run)

    # --- what is to be done -----------------------------------------------------------------------

    def _is_due(self, run: AppRun, cell: CellResult) -> bool:
        if not cell.runs or not self._how.retest or cell.verdict is Cell.PASS:
            # What could not be begun for want of a browser is tried again: there may be one by now.
            return not cell.runs or cell.verdict is Cell.NO_BROWSER
        if run.app != ALL_APPS:
            return run.app == self._how.retest
        # The run that asks every app is made again for what did not pass of this one, or of the run itself.
        bad = {item.app for item in cell.items if item.verdict is not Cell.PASS}
        return not cell.items or not bad.isdisjoint((self._how.retest, ALL_APPS))

    def _remedy(self, phase: Phase, run: AppRun) -> None:
        """Makes a run again under the remedy, where a known issue is among what failed and the remedy
        has not been tried since."""
        cell = self._cells(phase)[run.name]
        tried = bool(cell.runs) and cell.runs[-1].kind == "warmed"
        known = [i.issue for i in cell.items if i.issue and i.last.verdict == "FAIL"]
        if run.warmed is not None and known and not tried:
            self._view.begun(phase, [run.name], f"again, after the remedy of {', '.join(known)}")
            with self._locked([run]):
                self._one(phase, run, warmed=True, attempt=attempt_of(cell.runs[-1].folder), alone=True)

    def _under_remedy(self, phase: Phase, run: AppRun) -> bool:
        """Whether an earlier phase has shown that the app passes only so."""
        if run.warmed is None:
            return False
        for result in judge_phases(self._outline, self._facts()):
            if result.name == phase.name:
                return False
            for cell in result.cells:
                if cell.name == run.name and any(one.kind == "warmed" for one in cell.runs):
                    return any(item.issue and item.verdict is not Cell.PASS for item in cell.items)
        return False

    # --- doing it ---------------------------------------------------------------------------------

    def _carry_out(self, phase: Phase, runs: Sequence[AppRun]) -> None:
        """Runs of one batch, side by side."""
        cells = self._cells(phase)
        self._view.begun(phase, [run.name for run in runs])
        alone = len(runs) == 1
        warmed = {run.name: self._under_remedy(phase, run) for run in runs}

        def one(run: AppRun) -> None:
            before = [attempt_of(made.folder) for made in cells[run.name].runs]
            attempt = max(before, default=-1) + 1
            self._one(phase, run, warmed=warmed[run.name], attempt=attempt, alone=alone)

        with self._locked(runs):
            if alone:
                one(runs[0])
                return
            with ThreadPoolExecutor(len(runs), thread_name_prefix=phase.name) as pool:
                going = [pool.submit(one, run) for run in runs]
                while wait(going, JOIN_S).not_done:
                    # Signals are handled between two waits.
                    pass
            for ended in going:
                ended.result()

    def _locked(self, runs: Sequence[AppRun]) -> AbstractContextManager[None]:
        """The targets of these runs; flows are no load and hold nobody up."""
        loads = [run.plan for run in runs if not run.plan.flow_name]
        return locked(loads, str(self._how.folder.path)) if loads else nullcontext()

    def _one(self, phase: Phase, run: AppRun, *, warmed: bool, attempt: int, alone: bool) -> None:
        plan = run.warmed if warmed and run.warmed is not None else run.plan
        kind = "warmed" if warmed else "retest" if attempt else "first"
        place = self._how.folder.place(phase.name, run.name, attempt=attempt, warmed=warmed)
        secrets = self._how.secrets.get(run.name, {})
        # What plans name is read from the suite's own copy, which nobody edits meanwhile.
        workspace = self._how.folder.path / WORKSPACE
        request = Request(
            plan, workspace, place.parent, secrets, permit=self._permit, folder=place, held=True
        )
        try:
            if plan.flow is not None:
                flow = carry_out_flow(request, SilentFlow(), self._heard)
                write_flow_reports(flow.folder, flow.result)
                result: Mapping[str, Any] = flow.result
            elif plan.browser is not None:
                shown = _BrowserProgress(self._view, phase, run)
                browser = carry_out_browser(request, self._how.root, shown, self._heard)
                write_browser_reports(browser.folder, browser.result)
                result = browser.result
            else:
                view = self._view.run_view(phase, run, alone=alone)
                result = self._written(carry_out(request, view, self._heard), run)
        except TokenFailed as error:
            self._how.folder.failed(place, str(error))
            self._view.ended(phase, run.name, None, str(error), kind)
            return
        self._view.ended(phase, run.name, result, "", kind)

    def _permit(self, asked: Asked, _: str, __: Path) -> Grant:
        """Every run that needs an approval stands under the suite's."""
        if self._how.grant is None:
            raise ApprovalNeeded(f"a human must approve {asked.title}", asked.reasons)
        return self._how.grant

    def _written(self, finished: Finished, run: AppRun) -> Mapping[str, Any]:
        """The reports of a run that is over; whatever it could not write or broke on ends the suite."""
        result = finished.result.to_json()
        if finished.written_problem:
            raise OutputFailed(finished.written_problem)
        if finished.broken:
            raise WorkerFailed(f"{run.name}: the load generator broke: {'; '.join(result['notes'])}")
        if result["verdict"] == "FAIL":
            text = diagnostics_markdown(result, finished.folder, self._outline)
            try:
                (finished.folder / DIAGNOSTICS).write_text(text, encoding="utf-8")
            except OSError as error:
                raise OutputFailed(f"{finished.folder / DIAGNOSTICS}: {error.strerror}") from error
        write_reports(finished.folder, result)
        return result

    # --- what is known so far ---------------------------------------------------------------------

    def _facts(self) -> SuiteFacts:
        _, _, started_at = self._how.folder.read()
        gated = {name: tuple(reasons) for name, reasons in self._how.awaiting.items()}
        return SuiteFacts(
            suite_id=self._how.folder.suite_id,
            started_at=started_at,
            ended_at="",
            duration_s=0.0,
            runs=self._how.folder.runs(),
            gated=gated,
            awaiting=frozenset(gated),
        )

    def _judged(self, phase: Phase) -> PhaseResult:
        return next(r for r in judge_phases(self._outline, self._facts()) if r.name == phase.name)

    def _cells(self, phase: Phase) -> dict[str, CellResult]:
        return {cell.name: cell for cell in self._judged(phase).cells}


@dataclass(frozen=True, slots=True)
class _BrowserProgress:
    """A browser flow as a suite shows it: the step that goes on."""

    view: SuiteView
    phase: Phase
    run: AppRun

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None: ...

    def event(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "step":
            self.view.progress(self.phase, self.run, str(event.get("name")))

    def end(self) -> None: ...

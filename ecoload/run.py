"""One run, from a plan to a verdict: guard, generator, measurement, proofs, result, files.

Rules
-----
- Nothing is sent before every guard has agreed and the run's folder can be written; nothing of the load
  before there is a token, where the plan wants one.
- What is approved is the plan as it will be sent, its hosts resolved. A use of an approval is taken last of
  all guards, so that a target that is locked or a limit that is too low costs none.
- What a generator says is written down every second; what follows from it is worked out at the end.
- The first Ctrl-C ends the load gracefully and everything is still judged and written; the second
  ends it at once.
- A disk that fills up ends the load; the figures are still returned to whoever asked.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import orjson

from ecoload.engine.beside import Beside
from ecoload.engine.errands import Errands
from ecoload.engine.fault import FaultBeside
from ecoload.engine.fleet import Generator, raise_file_limit
from ecoload.engine.interrupts import Interrupts, interrupts
from ecoload.engine.lineage import follow_up
from ecoload.engine.schedule import OpenSchedule, schedule_of
from ecoload.engine.tokens import Tokens, tokens_of
from ecoload.engine.worker import Job
from ecoload.errors import ApprovalNeeded, OutputFailed, UsageError, WorkerFailed
from ecoload.guard.asking import Asked, asked_of, keep
from ecoload.guard.grants import Grant, unsigned
from ecoload.guard.hosts import resolve
from ecoload.guard.lock import locked
from ecoload.guard.peaks import total_duration_ns
from ecoload.guard.rules import check_plan
from ecoload.measure.frames import Frame, split_key
from ecoload.measure.hlog import LogWriter
from ecoload.measure.interval import Interval
from ecoload.measure.ledger import FILE as LEDGER
from ecoload.measure.ledger import LedgerWriter, read_ledger
from ecoload.measure.memory import Memory
from ecoload.measure.outcome import Outcome
from ecoload.measure.rebuild import rebuild
from ecoload.measure.reconcile import LineageFound
from ecoload.measure.recorder import Recorder, route_names
from ecoload.measure.result import Planned, RunResult, Status, ValidityStatus, Verdict
from ecoload.measure.series import SeriesWriter
from ecoload.measure.strict import read_plain
from ecoload.plan import Plan, to_tree
from ecoload.report.imported import SUMMARY
from ecoload.report.lineage import write_proof
from ecoload.report.resiliency import write_resiliency
from ecoload.verdict.conditions import ConditionWatch
from ecoload.verdict.judge import RunFacts, judge

MOST_BYTES = 64 << 20
"""Of a run.json that is read."""
LOOK_S = 0.25
"""How often signals are looked at while no frame comes."""
ANSWERED = (Outcome.OK, Outcome.HTTP_ERROR, Outcome.CHECK_FAILED, Outcome.CAPTURE_FAILED, Outcome.DECODE)


class View(Protocol):
    """Whoever watches a run; see `report/terminal.py`."""

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None: ...

    def second(self, interval: Interval) -> None: ...

    def end(self) -> None: ...


Permit = Callable[[Asked, str, Path], Grant]
"""Gives a run (what is asked, its id, its folder) its grant; raises ApprovalNeeded, GuardRefused."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a run is asked to be. `approved_by` is the name of who approved it (embedded sandbox only);
    `permit` is asked where that does not serve; `secrets` the values of the plan's references."""

    plan: Plan
    workspace: Path
    out: Path
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    approved_by: str = ""
    permit: Permit | None = None
    folder: Path | None = None
    """Where the run is written; a new folder below `out` where not stated."""
    held: bool = False
    """Whether whoever starts it holds the lock on its targets."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is over. `answered`: something came back from the target; `broken`: the generator met an
    error of its own; `written_problem`: why the results are not all on the disk."""

    result: RunResult
    folder: Path
    answered: bool
    broken: bool = False
    written_problem: str = ""


def prepare(plan: Plan) -> Plan:
    """The plan as it will be sent: checked, its hosts resolved. Raises GuardRefused."""
    check_plan(plan)
    return resolve(plan)


def run_once(request: Request, view: View) -> Finished:
    """Carries out one plan. The result is in the run's folder below `request.out` too."""
    return carry_out(replace(request, plan=prepare(request.plan)), view)


def carry_out(request: Request, view: View, heard: Interrupts | None = None) -> Finished:
    """Carries out a plan that is prepared. Whoever has taken the signals over says so by `heard`."""
    plan, started = request.plan, datetime.now(UTC)
    run_id = f"{started:%Y%m%dT%H%M%S}-{plan.app}-{plan.profile}-{os.urandom(2).hex()}"
    folder = begun(request.folder or request.out / run_id, plan)
    with ExitStack() as stack:
        if not request.held:
            stack.enter_context(locked(plan, str(folder)))
        raise_file_limit(plan)
        grant = granted(request, plan, run_id, folder)
        tokens = stack.enter_context(tokens_of(plan, run_id, request.secrets))
        station_tokens = {
            app: stack.enter_context(tokens_of(plan, run_id, request.secrets, app))
            for app, _ in plan.other_auths
        } | {plan.app: tokens}
        beside = Beside(plan, run_id, tokens, request.secrets.values())
        version = beside.version()
        _keep(folder / "metrics_before.txt", beside)
        beside.warm()
        memory = Memory(folder / "memory.csv")
        stack.callback(memory.close)
        errands = beside.errands(memory.add)
        notes = [] if grant is None else [grant.note]
        job = Job(plan, run_id, request.workspace.absolute(), dict(request.secrets), tokens.current)
        view.begin(plan, run_id, folder)
        stack.callback(view.end)
        current = {app: partial(getattr, one, "current") for app, one in station_tokens.items()}
        fault = FaultBeside(plan, run_id, request.secrets, current, folder) if plan.resiliency else None
        course = _Course(plan, run_id, folder, view, errands, fault)
        taking = interrupts() if heard is None else nullcontext(heard)
        with taking as taken:
            with (
                closing(fault) if fault is not None else nullcontext(),
                Generator(job) as generator,
                closing(errands),
                taken.reach(generator) as presses,
            ):
                course.follow(generator, presses, tokens)
            _keep(folder / "metrics_after.txt", beside)
            persisted, problem = beside.persisted()
            server_count = beside.request_count()
            proofs = beside.proofs(lambda seconds: _waited(seconds, presses))
            lineage = followed(plan, run_id, folder, current, partial(_waited, presses=presses))
            resiliency = fault.found(course.stopped_ns / 1e9) if fault is not None else None
            try:
                if lineage is not None:
                    write_proof(folder, plan, run_id, lineage)
                if resiliency is not None:
                    write_resiliency(folder, plan, run_id, resiliency)
            except OutputFailed as error:
                # What was found out is judged all the same.
                course.disk_problem = course.disk_problem or str(error)
        if any(answer.cut_short for answer in proofs):
            course.status, course.reason = Status.INTERRUPTED, "Ctrl-C while a proof was waited for"
        facts = RunFacts(
            run_id=run_id,
            started_at=course.started_at or started.isoformat(timespec="milliseconds"),
            status=course.status,
            stop_reason=course.reason,
            planned=_planned(plan),
            starts_due=_starts_due(plan, course),
            target_version=version,
            persisted=persisted,
            persistence_problem=problem,
            server_count=server_count,
            proofs=proofs,
            lineage=lineage,
            resiliency=resiliency,
            memory=tuple(memory.samples),
            lost_worker=course.lost,
            fired=course.watch.fired,
            machine=machine(),
            notes=tuple(filter(None, [*notes, *course.notes, *beside.notes, *errands.notes, tokens.note])),
        )
    figures = course.recorder.figures()
    answered = any(figures.whole(outcome) for outcome in ANSWERED)
    return Finished(judge(plan, figures, facts), folder, answered, course.broken, course.disk_problem)


def granted(request: Request, plan: Plan, run_id: str, folder: Path) -> Grant | None:
    """The grant of a run that needs one, kept in its folder."""
    asked = asked_of(plan)
    if not asked.reasons:
        return None
    if request.approved_by and asked.embedded:
        grant = unsigned(plan.execution_hash, request.approved_by, run_id, datetime.now(UTC))
    elif request.permit is not None:
        grant = request.permit(asked, run_id, folder)
    else:
        listed = "\n".join(f"- {reason}" for reason in asked.reasons)
        raise ApprovalNeeded(f"a human must approve plan {plan.execution_hash}:\n{listed}", asked.reasons)
    keep(grant, folder)
    return grant


def followed(
    plan: Plan,
    run_id: str,
    folder: Path,
    tokens: Mapping[str, Callable[[], str]],
    wait: Callable[[float], bool],
) -> LineageFound | None:
    """The lineage of a run's events, read back from every station; None where the plan follows none, or the
    run never began."""
    if plan.lineage is None or not (folder / LEDGER).exists():
        return None
    return follow_up(plan, run_id, read_ledger(folder), tokens, wait)


def exit_code(finished: Finished) -> int:
    """What a run outside a suite ends with (docs/exit-codes.md)."""
    result = finished.result
    if finished.written_problem:
        return OutputFailed.exit_code
    if finished.broken:
        return WorkerFailed.exit_code
    if result.status is Status.INTERRUPTED:
        return 130
    if not finished.answered:
        return 6
    if result.validity.status is ValidityStatus.INVALID or result.verdict is Verdict.INCONCLUSIVE:
        return 5
    return 99 if result.verdict is Verdict.FAIL else 0


def resolve_secrets(plan: Plan, environ: Mapping[str, str], workspace: Path) -> dict[str, str]:
    """The values behind the plan's references. Raises UsageError naming every one that is missing."""
    values, missing = {}, []
    for name, reference in plan.secrets:
        kind, _, place = reference.partition(":")
        if kind == "env":
            value = environ.get(place)
        else:
            try:
                value = (workspace / place).read_text(encoding="utf-8").strip()
            except OSError:
                value = None
        if not value:
            missing.append(f"secret {name}: nothing at {reference}")
        else:
            values[name] = value
    if missing:
        raise UsageError("\n".join(missing))
    return values


def machine() -> dict[str, str]:
    """What made the load, for whoever compares runs."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
    }


class _Course:
    """A run while it goes: every frame measured, every second written, watched and shown."""

    def __init__(
        self,
        plan: Plan,
        run_id: str,
        folder: Path,
        view: View,
        errands: Errands,
        fault: FaultBeside | None = None,
    ) -> None:
        self.recorder = Recorder.for_plan(plan)
        self.watch = ConditionWatch(plan)
        self.status, self.reason = Status.FINISHED, ""
        self.lost = self.disk_problem = self.started_at = ""
        self.broken = False
        self.stopped_ns = 0
        self._t0_ns = self._last_ns = 0
        self.notes: list[str] = []
        self._plan, self._folder, self._view, self._errands = plan, folder, view, errands
        self._run_id, self._fault = run_id, fault
        self._log: LogWriter | None = None
        self._series: SeriesWriter | None = None
        self._ledger: LedgerWriter | None = None

    def follow(self, generator: Generator, presses: list[int], tokens: Tokens) -> None:
        """Reads the generator's frames until the last one, and hands it fresh tokens."""
        for frame in generator.frames(LOOK_S):
            if len(presses) > 1:
                break
            if (token := tokens.fresh()) is not None:
                generator.set_token(token)
            if frame is not None:
                self._take(generator, *frame)
        if presses:
            self.status, self.reason = Status.INTERRUPTED, "Ctrl-C"
        if generator.lost and len(presses) < 2:
            code = generator.process.wait()
            if self._log is None:
                raise WorkerFailed(
                    f"the load generator ended with {code} before it began; its error stands above"
                )
            self.status = Status.FAILED
            self.lost = self.reason = f"its process ended with {code} in the middle of the run"
        self.stopped_ns = self.stopped_ns or self._last_ns
        if (interval := self.recorder.close(time.monotonic_ns())) is not None:
            self._second(generator, interval)
        if self._ledger is not None and not self.lost and len(presses) < 2:
            with suppress(OutputFailed):
                self._ledger.end()
        for writer in (self._log, self._series, self._ledger):
            if writer is not None:
                with suppress(OutputFailed):
                    writer.close()

    def _take(self, generator: Generator, kind: Frame, key: int, payload: bytes) -> None:
        if kind is Frame.LOG:
            log = orjson.loads(payload)
            self.notes.append(str(log["message"]))
            self.broken = self.broken or log["level"] == "error"
        elif kind is Frame.END:
            end = orjson.loads(payload)
            self.status, self.reason = Status(end["status"]), end["reason"]
            if end["stopped_at_ns"]:
                self.stopped_ns = end["stopped_at_ns"] - self._t0_ns
        elif kind is Frame.EVENTS:
            if self._ledger is not None:
                with self._disk(generator):
                    self._ledger.add(key, payload)
        else:
            interval = self.recorder.take(kind, key, payload)
            if kind is Frame.SAMPLES and self._fault is not None:
                self._fault.take(*split_key(key), payload)
            if kind is Frame.START:
                self._t0_ns = int(orjson.loads(payload)["t0"])
                self._errands.start(self._t0_ns / 1e9)
                if self._fault is not None:
                    self._fault.start(self._t0_ns / 1e9)
                with self._disk(generator):
                    self._open()
            if interval is not None:
                self._second(generator, interval)

    def _open(self) -> None:
        zero = datetime.now(UTC).timestamp() + (self._t0_ns - time.monotonic_ns()) / 1e9
        self.started_at = datetime.fromtimestamp(zero, UTC).isoformat(timespec="milliseconds")
        names = route_names(self._plan)
        self._log = LogWriter(self._folder / "latency.hlog", names, zero)
        self._series = SeriesWriter(self._folder / "series.csv", names)
        if self._plan.lineage is not None:
            self._ledger = LedgerWriter(
                self._folder, self._run_id, self._t0_ns, datetime.fromtimestamp(zero, UTC)
            )

    @contextmanager
    def _disk(self, generator: Generator) -> Iterator[None]:
        """A disk that does not take the results ends the load; it does not end the judging."""
        try:
            yield
        except OutputFailed as error:
            self.disk_problem = str(error)
            generator.stop(f"the results cannot be written: {error}")

    def _second(self, generator: Generator, interval: Interval) -> None:
        self._last_ns = interval.end_ns
        if self._log is not None and self._series is not None and not self.disk_problem:
            with self._disk(generator):
                self._log.write(interval)
                self._series.write(interval)
        for fired in self.watch.observe(interval):
            if fired.aborts:
                generator.abort(f"abort_when {fired.reason}")
        self._view.second(interval)


def _waited(seconds: float, presses: list[int]) -> bool:
    """Waits, unless the run was interrupted: then True."""
    if not presses:
        time.sleep(seconds)
    return bool(presses)


def begun(folder: Path, plan: Plan) -> Path:
    """Makes the folder of a run, with its plan in it. Raises OutputFailed."""
    try:
        folder.mkdir(parents=True)
        (folder / "plan.json").write_bytes(orjson.dumps(to_tree(plan), option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise OutputFailed(f"{folder} cannot be written: {error.strerror}; choose another --out") from error
    return folder


def _keep(path: Path, beside: Beside) -> None:
    """The target's metrics of this moment, where it tells them."""
    metrics = beside.metrics()
    if metrics is None:
        return
    try:
        path.write_bytes(metrics)
    except OSError as error:
        beside.notes.append(f"{path.name} could not be written: {error.strerror}")


def _planned(plan: Plan) -> Planned:
    open_schedules = [s for s in _schedules(plan) if isinstance(s, OpenSchedule)]
    starts = sum(s.count() for s in open_schedules) if open_schedules else None
    return Planned(starts, total_duration_ns(plan, grace=False) / 1e9)


def _starts_due(plan: Plan, course: _Course) -> int | None:
    """Starts of the open models that were due until the run's end, where it ended early."""
    if course.status is Status.FINISHED:
        return None
    due, any_open = 0, False
    for load, schedule in zip(plan.loads, _schedules(plan), strict=True):
        if isinstance(schedule, OpenSchedule):
            any_open = True
            for start in schedule.starts():
                if start + load.start_time_ns > course.stopped_ns:
                    break
                due += 1
    return due if any_open else None


def _schedules(plan: Plan) -> Iterator[object]:
    for index in range(len(plan.loads)):
        yield schedule_of(plan, index)


def judged_again(folder: Path) -> dict[str, Any]:
    """The result of a run's folder: its own where the run came to its end, else what its files hold.

    Raises UsageError where the folder is not a run's.
    """
    own = next(
        (folder / name for name in ("run.json", "flow.json", "e2e.json") if (folder / name).exists()), None
    )
    if own is not None:
        try:
            result = orjson.loads(read_plain(own, MOST_BYTES))
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{own}: cannot be read: {error}") from error
        if not isinstance(result, dict):
            raise UsageError(f"{own}: it holds no result")
        return result
    if (folder / SUMMARY).exists():
        raise UsageError(f"{folder}: an import that was cut off; `ecoload import k6-summary` again")
    found = rebuild(folder)
    facts = RunFacts(
        run_id=folder.name,
        started_at=found.started_at,
        status=Status.KILLED,
        stop_reason="the process was killed; rebuilt from what it wrote each second",
        planned=_planned(found.plan),
        memory=found.memory,
    )
    return judge(found.plan, found.figures, facts).to_json()

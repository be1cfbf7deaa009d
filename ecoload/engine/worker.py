"""One generator of load: a plan's executors, VUs and transport, on one event loop.

Rules
-----
- It never measures, judges, encodes or touches a disk: its core is for load.
- The garbage collector is off while load runs: with ten thousand VUs alive one collection stops
  everything for 50-200 ms. What a run makes is freed by counting references. It stays on for aiohttp and
  Python scenarios.
- An error of our own ends the run as failed and is reported with its traceback, never swallowed.
"""

from __future__ import annotations

import gc
import resource
import traceback
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecoload.engine.executor import ClosedExecutor, Executor, IterationExecutor, OpenExecutor
from ecoload.engine.program import VU, Program, Transport, compile_scenario
from ecoload.engine.request import Bearer, Tracer
from ecoload.engine.sampler import Sampler
from ecoload.engine.schedule import ClosedSchedule, IterationSchedule, schedule_of
from ecoload.engine.task_driver import TaskProgram, TaskVU, load_program
from ecoload.engine.values import Scope
from ecoload.errors import WorkerFailed
from ecoload.guard.rules import RedirectRules
from ecoload.measure.frames import Frame
from ecoload.measure.outcome import Outcome
from ecoload.plan import Feeder, Plan
from ecoload.spec.feeders import read_data

LEAD_NS = 100_000_000
"""From the START frame to the schedule's zero: time for the first arrivals to be on the clock."""
FLUSH_NS = 100_000_000
LOG_CHARACTERS = 4_000
"""The most that is told of one error in a scenario's code: its end, where the error stands."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a generator is given. Secrets travel here, by pipe, and nowhere else; `token` is the first
    one of the plan's `auth`."""

    plan: Plan
    run_id: str
    workspace: Path
    secrets: dict[str, str] = field(repr=False)
    token: str = field(default="", repr=False)


class Worker:
    """Runs a plan's loads on an event loop; the `Control` seam is `stop`, `abort`, `set_vus` and
    `set_token`.

    `transport_for(worker)` makes the transport, so that tests can script it; `clock` may be manual.
    """

    def __init__(
        self,
        job: Job,
        clock: Any,
        sink: Callable[[bytes], None],
        transport_for: Callable[[Worker], Transport],
        when_done: Callable[[], None],
    ) -> None:
        self.job = job
        self.plan = job.plan
        self.clock = clock
        self.sampler = Sampler(sink)
        self.lateness: array[int] = self.sampler.lateness
        self.rules = RedirectRules(job.plan)
        self.status, self.reason = "finished", ""
        self._when_done = when_done
        self._numbers = 0
        self._bearer = Bearer(job.token)
        self.transport: Any = transport_for(self)
        self._programs = self._compile()
        self._vus_max = 0
        self._lag_ns = 0
        self._ended = self._load_over = False
        self._stopped_at_ns = 0
        self._executors: list[Executor] = []
        self._beside = 0
        self._t0 = 0

    # --- the run --------------------------------------------------------------------------------

    def start(self) -> None:
        """Runs the setups, one after the other, then the loads."""
        self._once("setup", self._begin_loads)

    def stop(self, reason: str = "stopped by hand") -> None:
        """Ends gracefully: nothing starts, what runs has its grace."""
        self._end("stopped", reason, None)

    def abort(self, reason: str) -> None:
        """Ends at once: what runs is interrupted."""
        self._end("aborted", reason, 0)

    def fail(self, error: BaseException) -> None:
        """An error of our own: the run has failed."""
        text = "".join(traceback.format_exception(error))
        self.sampler.note(Frame.LOG, {"level": "error", "message": text})
        self._end("failed", f"{type(error).__name__}: {error}", 0)

    def scenario_failed(self, scenario: str, error: BaseException) -> None:
        """An exception left a Python scenario: the run has failed. The first one is told."""
        if self.status == "failed":
            return
        trace = error.__traceback__ and error.__traceback__.tb_next
        text = "".join(traceback.format_exception(type(error), error, trace))[-LOG_CHARACTERS:]
        self.sampler.note(Frame.LOG, {"level": "error", "message": f"scenario {scenario}:\n{text}"})
        reason = f"scenario {scenario} raised {type(error).__name__}: {error}"
        self._end("failed", reason[:LOG_CHARACTERS], 0)

    def set_vus(self, vus: int, load: int = 0) -> None:
        """Holds a closed load at `vus` from now on, whatever its schedule says."""
        for executor in self._executors[load : load + 1]:  # none of them during setup
            if isinstance(executor, ClosedExecutor):
                executor.set_vus(vus)

    def set_token(self, token: str) -> None:
        """What is rendered from now on carries this token."""
        self._bearer.value = token.encode("ascii")

    def _end(self, status: str, reason: str, grace_ns: int | None) -> None:
        if self._ended:
            return
        self._stopped_at_ns = self._stopped_at_ns or self.clock.now()
        if self.status == "finished" or status in ("failed", "aborted"):
            self.status, self.reason = status, reason
        if not self._executors or (status == "failed" and self._load_over):
            self._finish()
        for executor in self._executors:
            if grace_ns == 0 and executor.over:
                executor.cut_short()
            else:
                executor.stop(grace_ns=grace_ns)

    # --- what executors need ----------------------------------------------------------------------

    def new_vu(self, executor: Executor) -> VU:
        self._numbers += 1
        program = self._programs[executor.load.scenario]
        vu = self._vu(self._numbers, program, executor)
        alive = sum(len(e.vus) for e in self._executors) + 1
        self._vus_max = max(self._vus_max, alive)
        return vu

    def interrupt(self, vu: VU) -> None:
        answer = self.transport.cancel(vu)
        step = vu.in_flight
        if step is not None:
            now = self.clock.now()
            begin = answer.begin if answer is not None else now
            step.record(Outcome.CANCELLED, (begin, begin, begin, now, now))
        vu.close()

    def retire(self, vu: VU) -> None:
        vu.due = 0  # a wheel that still holds the VU wakes it for nothing
        self.transport.release(vu)

    def executor_done(self) -> None:
        if all(executor.finished for executor in self._executors) and not self._ended:
            self.sampler.flush()
            self._load_over = True
            self._once("teardown", self._finish)

    # --- inside -----------------------------------------------------------------------------------

    def _vu(self, number: int, program: Program, executor: Executor | None) -> VU:
        if isinstance(program, TaskProgram):
            return TaskVU(number, program, self, len(self.plan.origins), executor)
        vu = VU(number, program, self, len(self.plan.origins), executor)
        vu.values[: len(program.initial)] = program.initial
        vu.values[0] = number
        return vu

    def _compile(self) -> list[Program]:
        plan, job = self.plan, self.job
        tracer = Tracer()
        common = {
            "User-Agent": plan.http.user_agent or f"ecoload/{plan.tool_version}",
            "X-Ecoload-Run": job.run_id,
        }
        protocol = {
            name: getattr(plan.protocol, name)
            for name in ("name", "assigned_app", "version", "mode", "namespace")
        }
        programs = []
        for scenario in plan.scenarios:
            scope = Scope(
                seed=plan.seed, run_id=job.run_id, protocol=protocol, env=dict(plan.env), secrets=job.secrets
            )
            records = None
            if scenario.feeder is not None:
                feeder = next(f for f in plan.feeders if f.name == scenario.feeder)
                records = read_feeder(job.workspace, feeder)
            ready = compile_scenario if scenario.module is None else load_program
            programs.append(
                ready(
                    plan, scenario, scope, self.sampler, records, job.workspace, tracer, common, self._bearer
                )
            )
        return programs

    def _once(self, part: str, then: Callable[[], None]) -> None:
        """Runs every program's setup or teardown, in order; samples are sent beside the load's."""
        waiting = [program for program in self._programs if getattr(program, part)]

        def following() -> None:
            if not waiting:
                then()
                return
            program = waiting.pop(0)
            vu = self._vu(0, program, None)
            life = vu.run_once(getattr(program, part), self.clock.now())

            def resume(answer: Any) -> None:
                if self._ended:
                    return
                try:
                    life.send(answer)
                except StopIteration as end:
                    self.transport.release(vu)
                    program.initial = list(vu.values)
                    self._beside += self.sampler.discard()
                    if not end.value:
                        self.status, self.reason = "failed", f"the {part} of a scenario did not succeed"
                    if self.status == "failed" and part == "setup":
                        self._finish()
                    else:
                        following()

            vu.resume = resume
            resume(None)

        following()

    def _begin_loads(self) -> None:
        self._t0 = t0 = self.clock.now() + LEAD_NS
        self.sampler.note(Frame.START, {"t0": t0})
        self._executors = [self._executor(index, t0) for index in range(len(self.plan.loads))]
        gc.collect()
        gc.freeze()
        if not self._makes_cycles():
            gc.disable()
        for executor in self._executors:
            executor.begin()
        self._next_tick = t0 + 1_000_000_000
        self._next_flush = t0
        self.clock.at(self._next_flush, self._flush)

    def _makes_cycles(self) -> bool:
        """Others' code runs in this process, and nobody knows what it leaves behind."""
        plan = self.plan
        return plan.transport != "http1" or plan.proxy is not None or any(s.module for s in plan.scenarios)

    def _executor(self, index: int, t0: int) -> Executor:
        load = self.plan.loads[index]
        schedule = schedule_of(self.plan, index)
        t0 += load.start_time_ns
        if isinstance(schedule, ClosedSchedule):
            return ClosedExecutor(load, self, t0, schedule)
        if isinstance(schedule, IterationSchedule):
            return IterationExecutor(load, self, t0, schedule)
        return OpenExecutor(load, self, t0, schedule)

    def _flush(self, due: int) -> None:
        if self._ended:
            return
        self._lag_ns = max(self._lag_ns, self.clock.now() - due)
        if due >= self._next_tick:
            self._tick()
            self._next_tick += 1_000_000_000
        else:
            self.sampler.flush(only_if_full=True)
        self.clock.at(due + FLUSH_NS, self._flush)

    def _tick(self) -> None:
        if self._load_over:
            self._beside += self.sampler.discard()
        else:
            self.sampler.flush()
        executors = self._executors
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.sampler.note(
            Frame.TICK,
            {
                "at_ns": self.clock.now(),
                "vus": sum(len(e.vus) for e in executors),
                "vus_active": sum(e.active for e in executors),
                "vus_max": self._vus_max,
                "iterations": sum(e.iterations for e in executors),
                "iterations_started": sum(e.started for e in executors),
                "dropped_iterations": sum(e.dropped for e in executors),
                "dropped_by_load": [e.dropped for e in executors],
                "queued": sum(e.queued for e in executors),
                "interrupted_iterations": sum(e.interrupted for e in executors),
                "late_starts": sum(e.late_starts for e in executors),
                "cpu_ns": int((usage.ru_utime + usage.ru_stime) * 1e9),
                "lag_max_ns": self._lag_ns,
                "open_connections": self.transport.open_connections,
                "connections_opened": self.transport.opened,
                "beside": self._beside,
            },
        )
        self._lag_ns = 0

    def _finish(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._tick()
        end = {"status": self.status, "reason": self.reason, "stopped_at_ns": self._stopped_at_ns}
        self.sampler.note(Frame.END, end)
        gc.enable()
        gc.unfreeze()
        self._when_done()


def read_feeder(workspace: Path, feeder: Feeder) -> Sequence[dict[str, Any]]:
    """The records of a feeder, in the file's order. Raises WorkerFailed where they are not the plan's."""
    data = read_data(workspace)
    if data.sha256 != feeder.sha256:
        raise WorkerFailed(f"{feeder.file} has changed since the plan was made; make the plan again")
    return data.of(feeder.name)

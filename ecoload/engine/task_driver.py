"""Python scenarios: a VU whose iterations run as asyncio tasks, where any await is legal.

Rules
-----
- To executors and transports it is a VU like any other: resumed with a due time it begins an iteration,
  resumed with an answer it goes on. The scenario sees a `ScenarioVU` and nothing else.
- Samples are due as in YAML: an iteration's first request when the iteration was, a later one when the
  step before had ended plus `vu.sleep`. Time a scenario spends awaiting anything else is its own: the
  request after it is due when it is asked for, less what the iteration was late by, if it is the first.
- A VU has one connection to an origin, so its requests go out one after the other, however they are
  awaited. A request whose await is cancelled is `cancelled`.
- An exception that leaves `iteration`, `setup` or `teardown` is the scenario's fault: the iteration
  counts as interrupted, the first traceback is told, and the run has failed.
- What is run is what was planned: the module's hash is checked before it is loaded.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from ecoload.engine.answers import Answer, Judge, decode_body
from ecoload.engine.calls import Ask, Calls
from ecoload.engine.program import VU, CompiledStep, Driver, Host, Program, Steps, compile_step, perform
from ecoload.engine.request import Bearer, Tracer, compile_request
from ecoload.engine.sampler import Sampler
from ecoload.engine.scenario_api import Response, ScenarioVU
from ecoload.engine.values import Scope, Values
from ecoload.errors import UsageError
from ecoload.measure.outcome import Outcome
from ecoload.plan import Plan, Scenario, Step

Part = Callable[[ScenarioVU], Coroutine[Any, Any, object]]


@dataclass(slots=True, kw_only=True)
class TaskProgram(Program):
    """A Python scenario, ready to run. `setup` and `teardown` hold one function or none."""

    name: str
    iteration: Part
    calls: Calls
    run_id: str
    namespace: str
    max_body: int


class TaskHost(Host, Protocol):
    """What a task-driven VU needs of the one that runs it (see worker.py)."""

    def fail(self, error: BaseException) -> None:
        """An error of our own."""

    def scenario_failed(self, scenario: str, error: BaseException) -> None:
        """An exception left a scenario's code."""


class TaskVU(VU):
    """A VU whose iterations are tasks; the surface of `program.VU`."""

    __slots__ = (
        "_behind", "_closed", "_failed", "_front", "_host", "_lock", "_mark", "_task", "_uuids", "_waiter",
        "record",
    )  # fmt: skip
    program: TaskProgram

    def __init__(
        self, number: int, program: TaskProgram, host: TaskHost, origins: int, executor: Driver | None
    ) -> None:
        super().__init__(number, program, host, origins, None)
        self.executor = executor
        self.resume = self._resume
        self.record: Mapping[str, Any] = {}
        self._host = host
        self._front = ScenarioVU(self)
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[Any] | None = None
        self._closed = self._failed = False
        self._mark = self._behind = self._uuids = 0

    # --- what executors and transports do -----------------------------------------------------------

    def _resume(self, value: Any) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(value)
        elif not self._closed and (due := value or self.due):
            self._begin(due)

    def close(self) -> None:
        """Ends the iteration: its await is cancelled, and it can ask for nothing more."""
        self._closed = True
        self._waiter = self.in_flight = None
        if self._task is not None:
            self._task.cancel()

    def run_once(self, steps: Steps, due: int) -> Generator[None, Any, bool]:
        """Runs setup or teardown; True where nothing was raised."""
        (part,) = steps
        self._start(self._once(part), due)  # type: ignore[arg-type]
        answered = self._resume
        while self._task is not None:
            answer = yield
            if self._task is not None:
                answered(answer)
        return not self._failed

    # --- an iteration -------------------------------------------------------------------------------

    def _begin(self, due: int) -> None:
        assert self.executor is not None
        program = self.program
        self.executor.begun(self, due)
        if program.records:
            self.record = program.records[program.cursor % len(program.records)]
            program.cursor += 1
        self.iterations += 1
        self._start(self._iterate(self.executor), due)

    def _start(self, life: Coroutine[Any, Any, None], due: int) -> None:
        self._uuids = 0
        self._behind = max(0, self.host.clock.now() - due)
        self._mark = due
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(life)
        # After the task's first step, which is already on the loop.
        loop.call_soon(self._forget)

    async def _iterate(self, executor: Driver) -> None:
        if not await self._run(self.program.iteration):
            return
        try:
            waiter = self._waiter
            self._give_up()
            if waiter is not None:
                waiter.cancel()
            self.cookies = None
            due = executor.done(self, True)
            if due:
                self._begin(due)
        except Exception as error:
            self._host.fail(error)

    async def _once(self, part: Part) -> None:
        self._failed = not await self._run(part)
        self._task = None
        self.resume(None)

    async def _run(self, part: Part) -> bool:
        try:
            await part(self._front)
        except GeneratorExit:
            raise
        except BaseException as error:
            if not self._closed:
                self._host.scenario_failed(self.program.name, error)
            return False
        return not self._closed

    # --- what the scenario asks for -------------------------------------------------------------------

    async def ask(self, ask: Ask) -> Response:
        step, values = self.program.calls.step(ask)
        async with self._lock:
            await self._unless_closed()
            due, self._behind = self._due(), 0
            self.values = [self.number, self._front.iteration, self.record, *values]
            answer, outcome = await self._perform(step, due)
            self._remember(answer.last)
        decoded = decode_body(answer.headers, answer.body, self.program.max_body)
        return Response(answer, outcome, b"" if isinstance(decoded, Outcome) else decoded)

    async def think(self, length_ns: int) -> None:
        await self._unless_closed()
        due = self._due() + length_ns
        if due > self.host.clock.now():
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.host.clock.later(due, lambda _: None if over.done() else over.set_result(None))
            await over
        else:
            await asyncio.sleep(0)
        self._remember(due)

    def make_uuid(self) -> str:
        self._uuids += 1
        program = self.program
        place = f"{program.seed}:{program.run_id}:{self.number}:{self.iterations}:{self._uuids}"
        h = hashlib.sha256(place.encode()).hexdigest()
        # RFC 9562, version 8: the bits are ours to define.
        return f"{h[:8]}-{h[8:12]}-8{h[12:15]}-{8 + int(h[15], 16) % 4:x}{h[16:19]}-{h[19:31]}"

    async def _perform(self, step: CompiledStep, due: int) -> tuple[Answer, int]:
        """Drives one step as the direct driver does, an await for each of its waits."""
        steps = perform(self, step, due)
        try:
            next(steps)
            while True:
                self._waiter = asyncio.get_running_loop().create_future()
                steps.send(await self._waiter)
        except StopIteration as end:
            result: tuple[Answer, int] = end.value
            return result
        except asyncio.CancelledError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """The scenario no longer waits for its request (a time limit of its own, a cancelled task)."""
        step, self.in_flight, self._waiter = self.in_flight, None, None
        if step is None:
            return
        answer = self.host.transport.cancel(self)
        now = self.host.clock.now()
        begin = answer.begin if answer is not None else now
        step.record(Outcome.CANCELLED, (begin, begin, begin, now, now))

    async def _unless_closed(self) -> None:
        if self._closed:
            # A turn of the loop, so that code which swallows its cancellation cannot stop everything.
            await asyncio.sleep(0)
            raise asyncio.CancelledError

    # --- when the next request is due -------------------------------------------------------------------

    def _due(self) -> int:
        return self._mark or self.host.clock.now() - self._behind

    def _remember(self, at: int) -> None:
        """What follows is due at `at`, if it follows at once."""
        self._mark = at
        asyncio.get_running_loop().call_soon(self._forget)

    def _forget(self) -> None:
        self._mark = 0


def load_program(
    plan: Plan,
    scenario: Scenario,
    scope: Scope,
    sampler: Sampler,
    records: Sequence[dict[str, Any]] | None,
    workspace: Path,
    tracer: Tracer,
    common: dict[str, str],
    bearer: Bearer,
) -> TaskProgram:
    """Loads a Python scenario. Raises UsageError where its module is not what was planned, cannot be
    imported or has no `async def iteration(vu)`."""
    module = _module(scenario, workspace)
    parts = {name: _part(scenario, module, name) for name in ("setup", "iteration", "teardown")}
    places = iter(range(1, 1 << 62))

    def compiled(step: Step) -> CompiledStep:
        render = compile_request(plan, step, scope, workspace, tracer, common, bearer)
        made = compile_step(plan, step, scope, sampler, render, next(places))
        made.want_body = True
        made.judge = _decoding(made.judge, plan.http.max_body_bytes)
        return made

    iteration = parts["iteration"]
    if iteration is None:
        raise UsageError(f"{scenario.module}: expected `async def iteration(vu)`")
    return TaskProgram(
        lets=(),
        steps=(),
        setup=_steps(parts["setup"]),
        teardown=_steps(parts["teardown"]),
        size=scope.size,
        straight=None,
        records=records,
        name=scenario.name,
        iteration=iteration,
        calls=Calls(plan, scenario, scope, compiled),
        run_id=scope.run_id,
        namespace=plan.protocol.namespace,
        seed=plan.seed,
        max_body=plan.http.max_body_bytes,
    )


def _decoding(judge: Judge | None, most: int) -> Judge:
    """The scenario may read any body, so every body must be one that can be read."""

    def decoding(answer: Answer, values: Values) -> int:
        outcome = judge(answer, values) if judge is not None else Outcome.OK
        if not outcome and answer.is_coded:
            decoded = decode_body(answer.headers, answer.body, most)
            return decoded if isinstance(decoded, Outcome) else Outcome.OK
        return outcome

    return decoding


def _steps(part: Part | None) -> Any:
    return () if part is None else (part,)


def _module(scenario: Scenario, workspace: Path) -> ModuleType:
    assert scenario.module is not None
    path = workspace / scenario.module
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{scenario.module} cannot be read: {error.strerror}") from error
    if scenario.module_sha256 not in (None, hashlib.sha256(source).hexdigest()):
        raise UsageError(f"{scenario.module} has changed since the plan was made; plan again")
    spec = importlib.util.spec_from_file_location(f"scenarios.{path.stem}", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    try:
        # What was hashed, not what the file holds by now.
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the user's own scenario
    except Exception as error:
        raise UsageError(f"{scenario.module} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _part(scenario: Scenario, module: ModuleType, name: str) -> Part | None:
    part: Part | None = getattr(module, name, None)
    if part is not None and not asyncio.iscoroutinefunction(part):
        raise UsageError(f"{scenario.module}: {name} must be `async def {name}(vu)`")
    return part


__all__ = ["ScenarioVU", "TaskProgram", "TaskVU", "load_program"]

"""A backend flow, carried out: its steps in order, once for each case and repetition.

Rules
-----
- A request means what it means in a load: rendered, checked and captured by the same code. It carries no
  `X-Ecoload-Probe`: a flow sees what a user sees.
- A step that does not hold ends its pass; what comes after it is not reached, and said to be so.
- A step with `eventually` is asked at once, and again after 100 ms, twice as long each time up to 2 s, until
  it holds or its time is over. There, an answer that does not come is one that does not hold yet; elsewhere
  it is the step's failure.
- A step's time counts from the end of the one before it: from the moment of the acknowledgement.
- Clock, sending and waiting are handed in. `max_rps` of an app is kept by waiting.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecoload.engine.answers import Finding, compile_inspection
from ecoload.engine.probe import ProbeFailed, Reply
from ecoload.engine.request import Bearer, Tracer, compile_request
from ecoload.engine.values import FIRST_FREE, Scope, Unsafe, Values
from ecoload.measure.flow import Attempt, Pass, StepOutcome, StepTaken
from ecoload.measure.outcome import Outcome
from ecoload.plan import Case, Eventually, Flow, FlowStep, Plan, Step

Send = Callable[[Step, bytes], Reply]
"""Sends the bytes of a step's request; raises ProbeFailed where there is no answer."""
Wait = Callable[[float], bool]
"""Waits so many s; True says that nobody waits any longer."""
Tell = Callable[[Pass, StepTaken, bytes, Reply | None], None]
"""Hears of each step that is over: its pass, what became of it, its last request and answer."""


class FlowRunner:
    """One flow of a plan. `tokens` gives an app's token of the moment; `clock` ns of CLOCK_MONOTONIC. Raises
    WorkerFailed where a file that a body is made of is another one than was planned."""

    def __init__(
        self,
        plan: Plan,
        run_id: str,
        workspace: Path,
        secrets: Mapping[str, str],
        tokens: Mapping[str, Callable[[], str]],
        send: Send,
        clock: Callable[[], int],
        wait: Wait,
    ) -> None:
        assert plan.flow is not None, "the plan of a flow"
        self._flow: Flow = plan.flow
        self._plan, self._tokens, self._send, self._clock, self._wait = plan, tokens, send, clock, wait
        protocol = dataclasses.asdict(plan.protocol)
        self._scope = scope = Scope(
            seed=plan.seed, run_id=run_id, protocol=protocol, env=dict(plan.env), secrets=secrets
        )
        common = {"User-Agent": f"ecoload/{plan.tool_version}", "X-Ecoload-Run": run_id}
        tracer, scenario = Tracer(), plan.scenarios[0]
        self._lets = [(scope.slot(name), scope.getter(value)) for name, value in scenario.lets]
        self._steps = []
        for told, step in zip(self._flow.steps, scenario.steps, strict=True):
            assert isinstance(step, Step), "a flow takes no choice"
            app, bearer = plan.origins[step.origin].app, Bearer("")
            render = compile_request(plan, step, scope, workspace, tracer, common, bearer)
            inspect = compile_inspection(step.check, step.captures, scope, plan.http.max_body_bytes)
            self._steps.append(_Compiled(told, step, app, bearer, render, inspect))
        self._pace = _Pace(plan, clock, wait)

    def run(self, tell: Tell) -> list[Pass]:
        """Every pass, in the order of the cases. `tell` is called by several threads, one step at a time."""
        lock, passes = threading.Lock(), list(self._passes())

        def told(*what: Any) -> None:
            with lock:
                tell(*what)

        with ThreadPoolExecutor(self._flow.parallel, thread_name_prefix="flow") as pool:
            for _ in pool.map(lambda one: self._carry_out(one[0], one[1], told), passes):
                pass
        return [one for one, _ in passes]

    def _passes(self) -> Iterator[tuple[Pass, Case]]:
        repeat = self._flow.repeat
        for index, case in enumerate(self._flow.cases):
            for repetition in range(repeat):
                yield Pass(index * repeat + repetition, case.name, repetition), case

    def _carry_out(self, one: Pass, case: Case, tell: Tell) -> None:
        values: Values = [1, one.number, dict(case.values), *[None] * (self._scope.size - FIRST_FREE)]
        for slot, get in self._lets:
            values[slot] = get(values)
        before_ns, ended = self._clock(), ""
        for step in self._steps:
            if ended:
                taken, request, reply = StepTaken(step.told.name, StepOutcome.NOT_REACHED, ended), b"", None
            else:
                taken, request, reply = self._step(step, values, before_ns)
                before_ns = self._clock()
            one.steps.append(taken)
            tell(one, taken, request, reply)
            if not ended and taken.outcome is not StepOutcome.HELD:
                ended = f"not reached: {taken.name} {taken.outcome.value}"

    def _step(self, step: _Compiled, values: Values, before_ns: int) -> tuple[StepTaken, bytes, Reply | None]:
        """What became of a step, and the last request and answer of it."""
        begun, attempts = self._clock(), 0
        eventually = step.told.eventually
        pause_ns = eventually.first_ns if eventually else 0
        while True:
            attempts += 1
            finding, problem, request, reply = self._ask(step, values)
            now = self._clock()
            taken = self._taken(step, finding, problem, attempts, reply, begun, before_ns)
            left_ns = eventually.within_ns - (now - before_ns) if eventually else 0
            if taken.outcome is StepOutcome.HELD:
                if eventually and now - before_ns > eventually.within_ns:
                    late = f"held only after {(now - before_ns) / 1e9:.1f} s"
                    taken = dataclasses.replace(taken, outcome=StepOutcome.FAILED, reason=late)
                return taken, request, reply
            if eventually is None or left_ns <= 0:
                return _after(taken, eventually, now - before_ns), request, reply
            if self._wait(min(pause_ns, left_ns) / 1e9):
                cut = dataclasses.replace(taken, outcome=StepOutcome.INTERRUPTED, reason="interrupted")
                return cut, request, reply
            pause_ns = min(2 * pause_ns, eventually.most_ns)

    def _ask(self, step: _Compiled, values: Values) -> tuple[Finding | None, str, bytes, Reply | None]:
        if self._pace.wait_for(step.step.origin):
            return None, "interrupted", b"", None
        step.bearer.value = self._tokens[step.app]().encode() if step.app in self._tokens else b""
        try:
            request = step.render(values)
        except Unsafe as error:
            return None, str(error), b"", None
        try:
            reply = self._send(step.step, request)
        except ProbeFailed as error:
            return None, str(error), request, None
        return step.inspect(_Answer(reply), values), "", request, reply

    def _taken(
        self,
        step: _Compiled,
        finding: Finding | None,
        problem: str,
        attempts: int,
        reply: Reply | None,
        begun: int,
        before_ns: int,
    ) -> StepTaken:
        now = reply.last if reply is not None else self._clock()
        attempt = Attempt(
            connect_ns=reply.connected - reply.begun if reply else 0,
            waiting_ns=reply.first - reply.connected if reply else 0,
            receiving_ns=reply.last - reply.first if reply else 0,
        )
        name = step.told.name
        common: dict[str, Any] = {
            "attempts": attempts,
            "begun_ns": begun,
            "took_ns": now - before_ns,
            "last": attempt,
        }
        if finding is None:
            interrupted = problem == "interrupted"
            outcome = StepOutcome.INTERRUPTED if interrupted else StepOutcome.FAILED
            return StepTaken(name, outcome, problem, **common)
        if finding.outcome is Outcome.OK:
            return StepTaken(name, StepOutcome.HELD, **common)
        reason = "" if finding.operator else f"its body is {finding.outcome.label.replace('_', ' ')}"
        return StepTaken(
            name, StepOutcome.FAILED, reason, of=finding.of if finding.operator else "",
            operator=finding.operator, wanted=finding.wanted, found=finding.found, **common,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Compiled:
    told: FlowStep
    step: Step
    app: str
    bearer: Bearer
    render: Callable[[Values], bytes]
    inspect: Callable[[Any, Values], Finding]


class _Answer:
    """A reply as the judging of answers sees it."""

    has_cookies = False

    def __init__(self, reply: Reply) -> None:
        self.outcome, self.status, self.headers, self.body = (
            Outcome.OK,
            reply.status,
            reply.headers,
            reply.body,
        )
        self.begin, self.sent, self.first, self.last = (
            reply.connected,
            reply.connected,
            reply.first,
            reply.last,
        )
        self.is_coded = any(name.lower() == b"content-encoding" for name, _ in reply.headers)


class _Pace:
    """Keeps requests to each origin at least 1 / max_rps apart."""

    def __init__(self, plan: Plan, clock: Callable[[], int], wait: Wait) -> None:
        self._gaps = [round(1e9 / o.max_rps) if o.max_rps else 0 for o in plan.origins]
        self._next = [0] * len(plan.origins)
        self._clock, self._wait, self._lock = clock, wait, threading.Lock()

    def wait_for(self, origin: int) -> bool:
        """Waits until a request may go there; True says that nobody waits any longer."""
        with self._lock:
            now = self._clock()
            due = max(now, self._next[origin])
            self._next[origin] = due + self._gaps[origin]
        return due > now and self._wait((due - now) / 1e9)


def _after(taken: StepTaken, eventually: Eventually | None, took_ns: int) -> StepTaken:
    if eventually is None:
        return taken
    said = f"after {took_ns / 1e9:.1f} s, asked {taken.attempts} times"
    return dataclasses.replace(taken, reason=f"{taken.reason}, {said}" if taken.reason else said)

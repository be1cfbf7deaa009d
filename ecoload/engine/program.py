"""A scenario compiled to fast calls, and the VU that runs it.

Rules
-----
- A VU is a plain generator. It yields when it waits; whoever ends the wait resumes it directly
  (`coro.send`), in the same callback: no future, no task, no second trip through the loop.
- An iteration's first request is due when the iteration was; a later one when the step before had
  ended plus think time. Every sample carries that time.
- A step whose captures could not be taken ends the iteration: what follows cannot be rendered. Any
  other failure does not, as in k6.
- A redirect's hops are samples of their step. A hop goes only where the guard's rules allow.
- Cookies live for one iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from ecoload.engine.answers import Answer, Judge, NoAnswer, compile_judge, header, needs_body
from ecoload.engine.clock import Clock
from ecoload.engine.cookies import CookieJar
from ecoload.engine.request import Bearer, Render, Tracer, compile_request
from ecoload.engine.sampler import Row, Sampler
from ecoload.engine.values import ITERATION, RECORD, Getter, Scope, Unsafe, Values, mix
from ecoload.engine.values import VU as VU_SLOT
from ecoload.guard.rules import RedirectRules
from ecoload.measure.frames import ANSWERED, SENT
from ecoload.measure.outcome import Outcome
from ecoload.plan import Choose, Plan, Scenario, Step

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Transport(Protocol):
    """One rendered request in; the VU is resumed with an `Answer`. Never raises for the network.

    A transport that keeps connections leaves them in `VU.connections`, by origin; while one of them is
    not `closed`, a VU calls its `exchange(data, step)` itself.
    """

    @property
    def open_connections(self) -> int: ...

    @property
    def opened(self) -> int:
        """Connections opened so far."""

    def send(self, vu: VU, step: CompiledStep, origin: int, data: bytes) -> None: ...

    def cancel(self, vu: VU) -> Answer | None:
        """Gives up the request in flight; the answer so far, or None where none was in flight."""

    def release(self, vu: VU) -> None:
        """The VU is gone: closes what it held."""


@dataclass(slots=True)
class CompiledStep:
    origin: int
    route: int
    method: str
    is_head: bool
    render: Render
    expected: frozenset[int]
    final: frozenset[int]
    """The expected statuses that are not followed as redirects."""
    judge: Judge | None
    captures: bool
    think: tuple[int, int] | None
    timeout_ns: int
    redirects: int
    want_body: bool
    record: Callable[[int, Row], None]
    record_ok: Callable[[Row], None]
    place: int
    secrets: tuple[bytes, ...] = ()
    """What must not follow a redirect to another origin."""


@dataclass(slots=True)
class CompiledChoose:
    weights: tuple[float, ...]
    branches: tuple[tuple[CompiledStep | CompiledChoose, ...], ...]
    place: int


Steps = Sequence[CompiledStep | CompiledChoose]


@dataclass(slots=True)
class Program:
    """A scenario, ready to run."""

    lets: tuple[tuple[int, Getter], ...]
    steps: Steps
    setup: Steps
    teardown: Steps
    size: int
    straight: Sequence[CompiledStep] | None
    """The steps, where no step of the iteration is a choice."""
    records: Sequence[dict[str, Any]] | None
    seed: int
    cursor: int = 0
    """The next record: each iteration of the scenario takes one, round and round."""
    initial: Values = field(default_factory=list)
    """What the setup captured: the values every VU starts with."""


class Host(Protocol):
    """What a VU needs of the one that runs it (see executor.py)."""

    clock: Clock
    transport: Transport
    sampler: Sampler
    rules: RedirectRules


class Driver(Protocol):
    """What a VU needs of its executor (see executor.py)."""

    def begun(self, vu: VU, due: int) -> None:
        """An iteration begins: counts it, and how late it is."""

    def done(self, vu: VU, waited: bool) -> int:
        """An iteration is over. The due time of the next, to go on at once, or 0 to wait."""


class VU:
    """A virtual user: its values, its connections, its cookies, and the generator that is its life."""

    __slots__ = (
        "connections", "cookies", "due", "executor", "generator", "host", "in_flight", "iterations",
        "number", "program", "resume", "seed", "state", "values",
    )  # fmt: skip

    def __init__(
        self, number: int, program: Program, host: Host, origins: int, executor: Driver | None
    ) -> None:
        self.number = number
        self.program = program
        self.host = host
        self.executor = executor
        self.connections: list[Any] = [None] * origins
        self.cookies: CookieJar | None = None
        self.values: Values = [None] * program.size
        self.values[VU_SLOT] = number
        self.values[ITERATION] = 0
        self.seed = mix(program.seed, 0, number)
        self.iterations = 0
        self.due = 0
        self.state = 0
        self.in_flight: CompiledStep | None = None
        self.generator: Generator[None, Any, None]
        self.resume: Callable[[Any], object]
        if executor is not None:
            # A life: parked, waiting for `resume(due)`.
            self.generator = _live(self)
            self.resume = self.generator.send
            next(self.generator)

    def run_once(self, steps: Steps, due: int) -> Generator[None, Any, bool]:
        """Runs steps beside the load (setup, teardown); True where all went well."""
        return _run(self, steps, due)

    def close(self) -> None:
        """Ends the life where it stands."""
        self.generator.close()


def compile_scenario(
    plan: Plan,
    scenario: Scenario,
    scope: Scope,
    sampler: Sampler,
    records: Sequence[dict[str, Any]] | None,
    workspace: Path,
    tracer: Tracer,
    common: dict[str, str],
    bearer: Bearer,
) -> Program:
    """Compiles a YAML scenario. `records` are the feeder's; `common` the headers of every request, `bearer`
    the token of those that want one."""
    places = iter(range(1, 1 << 30))

    def compile_steps(steps: Sequence[Step | Choose]) -> Steps:
        return tuple(compile_choose(s) if isinstance(s, Choose) else compile_one(s) for s in steps)

    def compile_choose(choose: Choose) -> CompiledChoose:
        total, weights, so_far = sum(b.weight for b in choose.branches), [], 0.0
        for branch in choose.branches:
            so_far += branch.weight / total
            weights.append(so_far)
        branches = tuple(tuple(compile_steps(b.steps)) for b in choose.branches)
        return CompiledChoose(tuple(weights), branches, next(places))

    def compile_one(step: Step) -> CompiledStep:
        render = compile_request(plan, step, scope, workspace, tracer, common, bearer)
        made = compile_step(plan, step, scope, sampler, render, next(places))
        if plan.lineage is not None and step.route == plan.lineage.route:
            follow(made, plan.scenarios.index(scenario), sampler)
        return made

    # First, so that the ids of a run can be computed without its steps (event_ids.py).
    lets = tuple((scope.slot(name), scope.getter(value)) for name, value in scenario.lets)
    setup = compile_steps(scenario.setup)
    steps = compile_steps(scenario.steps)
    teardown = compile_steps(scenario.teardown)
    plain = [step for step in steps if isinstance(step, CompiledStep)]
    straight = plain if len(plain) == len(steps) else None
    return Program(lets, steps, setup, teardown, scope.size, straight, records, plan.seed)


def compile_step(
    plan: Plan, step: Step, scope: Scope, sampler: Sampler, render: Render, place: int
) -> CompiledStep:
    """One step around its rendering; `place` tells it from all others of its scenario."""
    expected = frozenset(step.check.status or range(200, 400))
    return CompiledStep(
        origin=step.origin,
        route=step.route,
        method=step.method,
        is_head=step.method == "HEAD",
        render=render,
        expected=expected,
        final=expected - _REDIRECTS if step.redirects else expected,
        judge=compile_judge(step.check, step.captures, scope, plan.http.max_body_bytes),
        captures=bool(step.captures),
        think=(step.think.least_ns, step.think.most_ns) if step.think else None,
        timeout_ns=step.timeout_ns,
        redirects=step.redirects,
        want_body=needs_body(step.check, step.captures),
        record=sampler.recorder(step.route),
        record_ok=sampler.rows(step.route, Outcome.OK).extend,
        place=place,
        secrets=scope.secrets,
    )


def follow(step: CompiledStep, scenario: int, sampler: Sampler) -> None:
    """Has a step note each event that it sends and what was answered to it. It costs the other steps nothing:
    sending passes by its rendering, and every answer but a redirect by its judge."""
    render, judge, expected = step.render, step.judge, step.expected
    sent = sampler.events(scenario, SENT).extend
    answered = sampler.events(scenario, ANSWERED).extend

    def rendering(values: Values) -> bytes:
        data = render(values)
        sent((values[VU_SLOT], values[ITERATION]))
        return data

    def judging(answer: Answer, values: Values) -> int:
        if answer.status not in expected:
            outcome: int = _unexpected(answer.status)
        else:
            outcome = judge(answer, values) if judge is not None else Outcome.OK
        answered((values[VU_SLOT], values[ITERATION], outcome, answer.last))
        return outcome

    step.render, step.judge = rendering, judging
    every = frozenset(range(100, 600))
    step.expected, step.final = every, every - _REDIRECTS if step.redirects else every


def _live(vu: VU) -> Generator[None, Any, None]:
    """The life of a VU: parked, an iteration, parked … The hot path of the engine."""
    host, program, values = vu.host, vu.program, vu.values
    connections, send, now = vu.connections, host.transport.send, host.clock.now
    lets, straight, records = program.lets, program.straight, program.records
    assert vu.executor is not None
    begun, done = vu.executor.begun, vu.executor.done
    while True:
        # The wheel resumes with None; whoever parked the VU there has left the time in `due`.
        due: int = (yield) or vu.due
        waited = True
        while due:
            begun(vu, due)
            if records is not None:
                values[RECORD] = records[program.cursor % len(records)]
                program.cursor += 1
            values[ITERATION] = vu.iterations
            vu.iterations += 1
            waited = False
            for slot, get in lets:
                values[slot] = get(values)
            for step in straight or _choose(vu, program.steps):
                try:
                    data = step.render(values)
                except Unsafe:
                    step.record(Outcome.GUARD_REFUSED, (due, due, due, due, due))
                    break
                if vu.cookies is not None:
                    data = _with_cookies(vu, step.origin, data)
                vu.in_flight = step
                connection = connections[step.origin]
                if connection is None or connection.closed:
                    send(vu, step, step.origin, data)
                else:
                    connection.exchange(data, step)
                answer = yield
                vu.in_flight = None
                waited = True
                outcome, last = answer.outcome, answer.last
                if not outcome:
                    status = answer.status
                    if status in step.final:
                        if step.judge is not None:
                            outcome = step.judge(answer, values)
                        if answer.has_cookies:
                            _keep_cookies(vu, step.origin, data, answer)
                    elif step.redirects and status in _REDIRECTS:
                        answer, outcome, due = yield from _follow(vu, step, data, answer, due)
                        last = answer.last
                    else:
                        outcome = _unexpected(status)
                        if answer.has_cookies:
                            _keep_cookies(vu, step.origin, data, answer)
                if outcome:
                    step.record(outcome, (due, answer.begin, answer.sent, answer.first, last))
                    if step.captures:
                        break
                else:
                    step.record_ok((due, answer.begin, answer.sent, answer.first, last))
                due = last
                if step.think is not None:
                    least, most = step.think
                    due += _uniform(vu, step.place, least, most)
                    if due > now():
                        host.clock.later(due, vu.resume)
                        yield
            vu.cookies = None
            due = done(vu, waited)


def _run(vu: VU, steps: Steps, due: int) -> Generator[None, Any, bool]:
    """The same steps once, nothing parked, nothing counted as an iteration."""
    for step in _choose(vu, steps):
        answer, outcome = yield from perform(vu, step, due)
        if outcome:
            return False
        due = answer.last
    return True


def perform(vu: VU, step: CompiledStep, due: int) -> Generator[None, Any, tuple[Answer, int]]:
    """One step, its redirects followed and everything recorded: the last answer and its outcome."""
    values = vu.values
    try:
        data = step.render(values)
    except Unsafe:
        step.record(Outcome.GUARD_REFUSED, (due, due, due, due, due))
        return NoAnswer(Outcome.GUARD_REFUSED, due, due), Outcome.GUARD_REFUSED
    if vu.cookies is not None:
        data = _with_cookies(vu, step.origin, data)
    vu.in_flight = step
    vu.host.transport.send(vu, step, step.origin, data)
    answer = yield
    vu.in_flight = None
    outcome = answer.outcome
    if not outcome:
        if step.redirects and answer.status in _REDIRECTS:
            answer, outcome, due = yield from _follow(vu, step, data, answer, due)
        else:
            if answer.status not in step.expected:
                outcome = _unexpected(answer.status)
            elif step.judge is not None:
                outcome = step.judge(answer, values)
            if answer.has_cookies:
                _keep_cookies(vu, step.origin, data, answer)
    step.record(outcome, (due, answer.begin, answer.sent, answer.first, answer.last))
    return answer, outcome


def _unexpected(status: int) -> Outcome:
    return Outcome.HTTP_ERROR if status >= 400 else Outcome.CHECK_FAILED


def _choose(vu: VU, steps: Steps) -> Generator[CompiledStep, None, None]:
    for step in steps:
        if isinstance(step, CompiledStep):
            yield step
            continue
        point = mix(vu.seed, vu.values[ITERATION], step.place) / 2**64
        for limit, branch in zip(step.weights, step.branches, strict=True):
            if point < limit:
                yield from _choose(vu, branch)
                break


def _uniform(vu: VU, place: int, least: int, most: int) -> int:
    if least == most:
        return least
    return least + mix(vu.seed, vu.values[ITERATION], place) % (most - least + 1)


def _follow(
    vu: VU, step: CompiledStep, data: bytes, answer: Any, due: int
) -> Generator[None, Any, tuple[Any, int, int]]:
    """Follows redirects; records each hop but the last. `(last answer, its outcome, its due)`."""
    host = vu.host
    origin, method = step.origin, step.method
    if answer.has_cookies:
        _keep_cookies(vu, origin, data, answer)
    for _ in range(step.redirects):
        location = header(answer.headers, b"location")
        if location is None:
            # A 3xx that points nowhere is an answer like any other.
            break
        try:
            url = urljoin(host.rules.url(origin, _target(data)), location.decode("latin-1"))
        except ValueError:
            return answer, Outcome.MALFORMED, due
        step.record(Outcome.OK, (due, answer.begin, answer.sent, answer.first, answer.last))
        due = answer.last
        if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
            method = "HEAD" if method == "HEAD" else "GET"
        there = host.rules.allowed(origin, method, url, step.route)
        if there is None:
            return NoAnswer(Outcome.GUARD_REFUSED, due, due), Outcome.GUARD_REFUSED, due
        same = there == origin
        data = _redirected(
            host.rules, data, method, url, () if same else step.secrets, same=same, origin=there
        )
        if not same and any(secret in data for secret in step.secrets):
            # It stands in the body or in the URL.
            return NoAnswer(Outcome.GUARD_REFUSED, due, due), Outcome.GUARD_REFUSED, due
        origin = there
        if vu.cookies is not None:
            data = _with_cookies(vu, origin, data)
        vu.in_flight = step
        host.transport.send(vu, step, origin, data)
        answer = yield
        vu.in_flight = None
        if answer.outcome:
            return answer, answer.outcome, due
        if answer.has_cookies:
            _keep_cookies(vu, origin, data, answer)
        if answer.status not in _REDIRECTS:
            break
    else:
        return answer, Outcome.REDIRECT_LIMIT, due
    if answer.status not in step.expected:
        return answer, _unexpected(answer.status), due
    return answer, step.judge(answer, vu.values) if step.judge else Outcome.OK, due


def _target(data: bytes) -> str:
    return data.split(b" ", 2)[1].decode("ascii", "replace")


_BODY_HEADERS = (b"content-type:", b"content-length:", b"content-encoding:", b"transfer-encoding:")
_CREDENTIALS = (b"authorization:", b"cookie:", b"proxy-authorization:")


def _redirected(
    rules: RedirectRules,
    data: bytes,
    method: str,
    url: str,
    secrets: tuple[bytes, ...],
    *,
    same: bool,
    origin: int,
) -> bytes:
    """The request for a hop: the body goes where the method changed, credentials go off-origin, and so does
    every header that holds one of the `secrets`."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    dropped: tuple[bytes, ...] = (b"host:", b"cookie:")
    if method != first.split(b" ", 1)[0].decode():
        dropped += _BODY_HEADERS
        body = b""
    if not same:
        dropped += _CREDENTIALS
    kept = [line for line in lines if not line.lower().startswith(dropped)]
    kept = [line for line in kept if not any(secret in line for secret in secrets)]
    start = [f"{method} ".encode() + target.encode("ascii", "replace") + b" HTTP/1.1"]
    start.append(f"Host: {rules.authority(origin)}".encode())
    return b"\r\n".join(start + kept) + b"\r\n\r\n" + body


def _with_cookies(vu: VU, origin: int, data: bytes) -> bytes:
    assert vu.cookies is not None
    value = vu.cookies.header(vu.host.rules.url(origin, _target(data)))
    if not value:
        return data
    end = data.index(b"\r\n") + 2
    return data[:end] + b"Cookie: " + value + b"\r\n" + data[end:]


def _keep_cookies(vu: VU, origin: int, data: bytes, answer: Any) -> None:
    if vu.cookies is None:
        vu.cookies = CookieJar()
    vu.cookies.store(vu.host.rules.url(origin, _target(data)), answer.headers)


__all__ = [
    "RECORD", "VU", "CompiledStep", "Host", "Program", "Transport", "compile_scenario", "compile_step",
    "perform",
]  # fmt: skip

"""Carries out one backend flow: guard, tokens, steps, evidence, verdict.

Rules
-----
- It takes no lock: a flow is not load.
- `evidence.jsonl` has a line for each step that was asked, written when the step is over, so that a kill
  loses the step that was going on: the request as it was sent, the digest of the answer, the times. No secret
  and no token stands in it, nor in anything else that is written.
- The first Ctrl-C ends the waiting of every pass; what was done is judged and written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from ecoload.engine.flow import FlowRunner
from ecoload.engine.hiding import without_secrets
from ecoload.engine.interrupts import Interrupts, interrupts
from ecoload.engine.probe import Reply, deliver
from ecoload.engine.tokens import Tokens, tokens_of
from ecoload.errors import OutputFailed
from ecoload.measure.flow import Pass, StepOutcome, StepTaken
from ecoload.measure.result import Status, Verdict
from ecoload.plan import Plan, Step
from ecoload.run import Request, begun, granted
from ecoload.verdict.flow import judge_flow, told

SCHEMA = "ecoload.flow/1"
EVIDENCE, RESULT = "evidence.jsonl", "flow.json"
MOST_BODY = 65_536
"""Of a request's body that is kept."""
_FIRST = frozenset({"authorization", "cookie"})


class FlowView(Protocol):
    """Whoever watches a flow; see `report/flow_terminal.py`."""

    def begin(self, plan: Plan, run_id: str, folder: Path) -> None: ...

    def step(self, one: Pass, taken: StepTaken) -> None:
        """A step of a pass is over."""

    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FlowFinished:
    """A flow that is over: its result (`flow.json` as a tree), its folder, and whether anything answered."""

    result: dict[str, Any]
    folder: Path
    answered: bool


def carry_out_flow(request: Request, view: FlowView, heard: Interrupts | None = None) -> FlowFinished:
    """Carries out a flow that is prepared (`run.prepare`). Raises TokenFailed where there is no token,
    ApprovalNeeded and GuardRefused before anything is sent, OutputFailed where the disk refuses."""
    plan, started = request.plan, datetime.now(UTC)
    run_id = f"{started:%Y%m%dT%H%M%S}-flow-{plan.profile}-{os.urandom(2).hex()}"
    folder = begun(request.folder or request.out / run_id, plan)
    with ExitStack() as stack:
        grant = granted(request, plan, run_id, folder)
        tokens = {
            app: stack.enter_context(tokens_of(plan, run_id, request.secrets, app)) for app in plan.auths
        }
        taken = stack.enter_context(interrupts() if heard is None else nullcontext(heard))
        waiting = _Waiting()
        presses = stack.enter_context(taken.reach(waiting))
        view.begin(plan, run_id, folder)
        stack.callback(view.end)
        evidence = stack.enter_context(_Evidence(folder / EVIDENCE, plan, request.secrets, tokens))
        ask: Mapping[str, Callable[[], str]] = {app: _current(one) for app, one in tokens.items()}

        def send(step: Step, data: bytes) -> Reply:
            method, target = _line(data)
            timeout_s = step.timeout_ns / 1e9
            return deliver(plan.origins[step.origin], method, target, data, timeout_s)

        def tell(one: Pass, step: StepTaken, sent: bytes, reply: Reply | None) -> None:
            evidence.write(one, step, sent, reply)
            view.step(one, step)

        runner = FlowRunner(
            plan, run_id, request.workspace.absolute(), request.secrets, ask, send, time.monotonic_ns, waiting
        )
        passes = runner.run(tell)
        interrupted = bool(presses)
        notes = [grant.note] if grant is not None else []
        notes += [one.note for one in tokens.values() if one.note]
        result = _result(plan, run_id, started, passes, interrupted, notes)
        clean: dict[str, Any] = orjson.loads(evidence.without_secrets(orjson.dumps(result).decode()))
        return FlowFinished(clean, folder, evidence.answered)


def exit_code(finished: FlowFinished) -> int:
    """What a flow outside a suite ends with (docs/exit-codes.md)."""
    result = finished.result
    if result["status"] == Status.INTERRUPTED:
        return 130
    if not finished.answered:
        return 6
    return {Verdict.PASS: 0, Verdict.FAIL: 99}.get(Verdict(result["verdict"]), 5)


class _Waiting:
    """Waits, until somebody presses Ctrl-C."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def __call__(self, seconds: float) -> bool:
        return self._over.wait(seconds)

    def stop(self, reason: str) -> None:
        self._over.set()

    abort = stop


class _Evidence:
    """`evidence.jsonl`."""

    def __init__(
        self, path: Path, plan: Plan, secrets: Mapping[str, str], tokens: Mapping[str, Tokens]
    ) -> None:
        self._path, self._plan, self._secrets, self._tokens = path, plan, secrets, tokens
        self._zero_ns, self._zero = time.monotonic_ns(), datetime.now(UTC).timestamp()
        self._by_name = dict(zip((s.name for s in _steps(plan)), plan.scenarios[0].steps, strict=True))
        self.answered = False

    def __enter__(self) -> _Evidence:
        try:
            self._file = self._path.open("w", encoding="utf-8")
        except OSError as error:
            raise OutputFailed(f"{self._path}: {error.strerror}; choose another --out") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def without_secrets(self, text: str) -> str:
        tokens = [token for one in self._tokens.values() for token in one.all]
        return without_secrets(text, [*self._secrets.values(), *tokens])

    def write(self, one: Pass, taken: StepTaken, sent: bytes, reply: Reply | None) -> None:
        """Adds a step that was asked. Raises OutputFailed."""
        self.answered = self.answered or reply is not None
        if taken.outcome is StepOutcome.NOT_REACHED:
            return
        step = self._by_name[taken.name]
        assert isinstance(step, Step), "a flow takes no choice"
        line = {
            "pass": one.number,
            "case": one.case,
            "repetition": one.repetition,
            "step": taken.name,
            "outcome": taken.outcome.value,
            "reason": told(taken) if taken.outcome is not StepOutcome.HELD else "",
            "attempts": taken.attempts,
            "at": self._at(taken.begun_ns),
            "took_ms": taken.took_ns / 1e6,
            "request": _request(self._plan, step, sent),
            "response": None if reply is None else _response(reply),
            "last_ms": {
                name.removesuffix("_ns"): ns / 1e6 for name, ns in dataclasses.asdict(taken.last).items()
            },
        }
        text = self.without_secrets(orjson.dumps(line, default=str).decode())
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputFailed(f"{self._path}: {error.strerror}; free some space") from error

    def _at(self, ns: int) -> str:
        moment = datetime.fromtimestamp(self._zero + (ns - self._zero_ns) / 1e9, UTC)
        return moment.isoformat(timespec="milliseconds")


def _steps(plan: Plan) -> tuple[Any, ...]:
    assert plan.flow is not None, "the plan of a flow"
    return plan.flow.steps


def _current(tokens: Tokens) -> Callable[[], str]:
    return lambda: tokens.current


def _line(data: bytes) -> tuple[str, str]:
    method, target, _ = data.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)
    return method, target


def _request(plan: Plan, step: Step, sent: bytes) -> dict[str, Any] | None:
    """What was sent, but for what proves who sent it."""
    if not sent:
        return None
    head, _, body = sent.partition(b"\r\n\r\n")
    method, target = _line(sent)
    origin = plan.origins[step.origin]
    headers = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        headers[name] = "(hidden)" if name.lower() in _FIRST else value
    return {
        "method": method,
        "url": f"{origin.scheme}://{origin.authority}{target}",
        "headers": headers,
        "body": body[:MOST_BODY].decode("utf-8", "replace"),
        "body_bytes": len(body),
    }


def _response(reply: Reply) -> dict[str, Any]:
    """The digest of an answer: what it was, not what is in it."""
    kind = next((v for n, v in reply.headers if n.lower() == b"content-type"), b"")
    return {
        "status": reply.status,
        "content_type": kind.decode("latin-1"),
        "bytes": len(reply.body),
        "sha256": hashlib.sha256(reply.body).hexdigest(),
    }


def _result(
    plan: Plan, run_id: str, started: datetime, passes: list[Pass], interrupted: bool, notes: list[str]
) -> dict[str, Any]:
    assert plan.flow is not None, "the plan of a flow"
    verdict, reasons, proofs = judge_flow(plan, passes)
    status = Status.INTERRUPTED if interrupted else Status.FINISHED
    return {
        "schema": SCHEMA,
        "tool_version": plan.tool_version,
        "protocol": dataclasses.asdict(plan.protocol),
        "kind": "flow",
        "app": plan.app,
        "flow": plan.flow.name,
        "about": plan.flow.about,
        "profile": plan.profile,
        "run_id": run_id,
        "seed": plan.seed,
        "started_at": started.isoformat(timespec="milliseconds"),
        "duration_s": round((datetime.now(UTC) - started).total_seconds(), 3),
        "status": status.value,
        "verdict": verdict.value,
        "verdict_reasons": ["interrupted", *reasons] if interrupted else reasons,
        "validity": {"status": "VALID", "reasons": []},
        "target_version": "",
        "passes": len(passes),
        "cases": [case.name for case in plan.flow.cases],
        "proofs": proofs,
        "notes": notes,
        "spec_hash": plan.spec_hash,
        "execution_hash": plan.execution_hash,
    }

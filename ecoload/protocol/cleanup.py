"""Deletes the test data of the apps that say how, each by one request in the protocol's namespace.

Rules
-----
- Everything is checked before anything is sent: a production app refuses the whole cleanup, and so does a
  load run on one of the targets. Read-only apps are not asked, nor is the embedded sandbox, whose data ends
  with the command that started it.
- The apps are cleaned in the reverse order of the file: one that still has something to tell to another is
  cleaned before it. An app that fails does not keep the others from being cleaned.
- Of an answer its status and a short JSON are shown, and nothing of it where it holds what was secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ecoload.engine.hiding import holds_secret
from ecoload.engine.once import carry_out, render
from ecoload.engine.probe import ProbeFailed
from ecoload.engine.tokens import tokens_of
from ecoload.errors import GuardRefused, TokenFailed, UsageError
from ecoload.guard.cleanup import check_cleanup
from ecoload.guard.hosts import resolve
from ecoload.guard.lock import locked
from ecoload.plan import Origin, Plan, Step
from ecoload.report.forms import clean as clean_text
from ecoload.run import resolve_secrets
from ecoload.spec.template import nearest
from ecoload.spec.workspace import Workspace, make_cleanup

MOST_SHOWN = 160
"""Characters of an answer."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An app that is not asked, and why."""

    app: str
    reason: str

    def __str__(self) -> str:
        return f"{self.app}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What an app answered. `status` is None where it did not; then `told` is the reason."""

    app: str
    status: int | None
    told: str

    @property
    def failed(self) -> bool:
        return self.status is None or not 200 <= self.status < 300

    def __str__(self) -> str:
        if self.status is None:
            return f"{self.app}: failed: {self.told}"
        return f"{self.app}: {'failed: ' if self.failed else ''}{self.status} {self.told}".rstrip()


def cleanups(
    workspace: Workspace, apps: Sequence[str] = (), base_urls: Mapping[str, str] | None = None
) -> tuple[list[Plan], list[Skipped]]:
    """The plan of each app to be cleaned (all apps, or those named), in the order they are sent, after every
    guard has agreed; and the apps that are not asked.

    Raises UsageError, GuardRefused.
    """
    targets = workspace.targets.apps
    for name in apps:
        if name not in targets:
            raise UsageError(f"unknown app {name!r}{nearest(name, targets)}")
    plans, skipped = [], []
    for name in reversed([name for name in targets if not apps or name in apps]):
        if targets[name].writes is None:
            skipped.append(Skipped(name, "read-only, so it is not asked"))
        elif targets[name].cleanup is None:
            skipped.append(Skipped(name, "declares no cleanup: in the targets file"))
        elif _origin(plan := make_cleanup(workspace, name, base_urls=base_urls)).embedded:
            skipped.append(Skipped(name, "is the embedded sandbox, whose data ends with its command"))
        else:
            plans.append(plan)
    _check(plans)
    return plans, skipped


def described(plan: Plan) -> str:
    """What would be sent for an app, without anything being sent or any secret being read."""
    step, origin = _step(plan), _origin(plan)
    hidden = {name: "SECRET" for name, _ in plan.secrets}
    try:
        request = render(plan, step, "RUN", hidden, "TOKEN")
    except ProbeFailed as error:
        return f"{error}, so it cannot be sent"
    parts = [f"{plan.app}: {request.method} {origin.scheme}://{origin.authority}{request.target}"]
    if request.body:
        parts.append(f"body {request.body.decode()}")
    if plan.auth is not None and plan.routes[step.route].bearer:
        parts.append(f"a token of {plan.origins[plan.auth.origin].app}")
    return ", ".join([*parts, *(f"header {name}" for name, _ in step.headers)])


def clean(plans: Sequence[Plan], workspace: Workspace, environ: Mapping[str, str]) -> Iterator[Cleaned]:
    """Sends the cleanups one after the other; what each app answered, as it does.

    Raises UsageError and TargetLocked before anything is sent.
    """
    secrets = [resolve_secrets(plan, environ, workspace.root) for plan in plans]
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-cleanup-{os.urandom(2).hex()}"
    with locked(plans, f"ecoload cleanup {run_id}"):
        for plan, values in zip(plans, secrets, strict=True):
            yield _cleaned(resolve(plan), run_id, values)


def exit_code(results: Sequence[Cleaned]) -> int:
    """99 where an app failed, 6 where none answered at all (docs/exit-codes.md)."""
    if results and all(result.status is None for result in results):
        return 6
    return 99 if any(result.failed for result in results) else 0


def _cleaned(plan: Plan, run_id: str, secrets: Mapping[str, str]) -> Cleaned:
    try:
        with tokens_of(plan, run_id, secrets) as tokens:
            token = tokens.current
            status, body = carry_out(plan, _step(plan), run_id, secrets, token)
    except (ProbeFailed, TokenFailed) as error:
        return Cleaned(plan.app, None, str(error))
    return Cleaned(plan.app, status, summary(body, [token, *secrets.values()]))


def summary(body: bytes, secret: Sequence[str]) -> str:
    """An answer in short, in plain ASCII; nothing of one that is not JSON or holds one of the secrets."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "(no JSON)" if body.strip() else ""
    if holds_secret(document, secret):
        return "(not shown: the answer holds a secret)"
    short = clean_text(json.dumps(document, separators=(",", ":")))
    return short if len(short) <= MOST_SHOWN else f"{short[: MOST_SHOWN - 3]}..."


def _step(plan: Plan) -> Step:
    (step,) = plan.scenarios[0].steps
    assert isinstance(step, Step)
    return step


def _origin(plan: Plan) -> Origin:
    return plan.origins[_step(plan).origin]


def _check(plans: Sequence[Plan]) -> None:
    """Raises UsageError where a token cannot be had, GuardRefused with every refusal."""
    refusals = []
    for plan in plans:
        issuer = plan.origins[plan.auth.origin] if plan.auth is not None else None
        if issuer is not None and issuer.embedded:
            raise UsageError(
                f"{plan.app} has its tokens from {issuer.app}, which is the embedded sandbox and not up; "
                f"give --base-url {issuer.app}=URL"
            )
        try:
            check_cleanup(plan)
        except GuardRefused as error:
            refusals.append(str(error))
    if refusals:
        raise GuardRefused("\n".join(refusals))

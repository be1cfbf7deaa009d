"""One step of a plan, sent once beside the load: a cleanup.

Rules
-----
- It is rendered as the load's requests are, namespace check included, and goes to the addresses that the
  guard has pinned, by no proxy. Redirects are not followed.
- It says that it is none of the load (`X-Ecoload-Probe`), as probes do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ecoload.engine.probe import ProbeFailed, deliver
from ecoload.engine.request import Bearer, Tracer, compile_request
from ecoload.engine.values import Scope, Unsafe
from ecoload.plan import Plan, Step


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request as it goes out: its method and target, its body, all of its bytes."""

    method: str
    target: str
    body: bytes
    data: bytes


def render(plan: Plan, step: Step, run_id: str, secrets: Mapping[str, str], token: str) -> Rendered:
    """The request of a step that needs no VU and no file. Raises ProbeFailed for a value that is not safe."""
    protocol = dataclasses.asdict(plan.protocol)
    scope = Scope(seed=plan.seed, run_id=run_id, protocol=protocol, env=dict(plan.env), secrets=secrets)
    common = {
        "User-Agent": f"ecoload/{plan.tool_version}",
        "X-Ecoload-Run": run_id,
        "X-Ecoload-Probe": "1",
    }
    try:
        make = compile_request(plan, step, scope, Path(), Tracer(), common, Bearer(token))
        data = make([0, 0, *[None] * (scope.size - 2)])  # VU 0 in its iteration 0, which no load has
    except Unsafe as error:
        raise ProbeFailed(f"{plan.app}: {error}") from error
    head, _, body = data.partition(b"\r\n\r\n")
    method, target, _ = head.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)
    return Rendered(method, target, body, data)


def carry_out(
    plan: Plan, step: Step, run_id: str, secrets: Mapping[str, str], token: str
) -> tuple[int, bytes]:
    """Status and body of the answer. Raises ProbeFailed where there is none."""
    request = render(plan, step, run_id, secrets, token)
    reply = deliver(plan.origins[step.origin], request.method, request.target, request.data)
    return reply.status, reply.body

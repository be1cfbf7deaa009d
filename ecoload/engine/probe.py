"""A declared question to an app beside the load: read-back, counts, its version, its metrics.

Rules
-----
- A probe is a GET of the plan, to the addresses that the guard has pinned, and is never a sample; it
  says so in a header (`X-Ecoload-Probe`), so that a target can leave it out of its own counts.
- It carries the run's token where the plan has one. An answer that holds the token is not read.
- An answer that is not what was declared is a `ProbeFailed` with the reason; nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import http.client
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ecoload.engine.answers import find_json
from ecoload.engine.tls import client_context
from ecoload.engine.values import Scope, Unsafe, for_path, for_query
from ecoload.plan import Metrics, Origin, Plan, Probe, StringTemplate, Text, Warm
from ecoload.spec.functions import as_text

TIMEOUT_S = 30.0
MOST_BYTES = 16_777_216


class ProbeFailed(Exception):
    """The question was not answered as declared; the message says why."""


def ask(plan: Plan, probe: Probe, run_id: str, token: str = "") -> Any:
    """The value at the probe's JSON path, null too. Raises ProbeFailed."""
    return ask_all(plan, probe, (probe.json,), run_id, token)[0]


def ask_all(plan: Plan, probe: Probe, paths: Sequence[str], run_id: str, token: str = "") -> list[Any]:
    """The values at several JSON paths of one answer. Raises ProbeFailed, also where one is missing."""
    said, status, body = get(plan, probe, run_id, token)
    if status != 200:
        raise ProbeFailed(f"{said} answered {status}")
    if token and token.encode() in body:
        raise ProbeFailed(f"{said} answered with the token that it was sent")
    try:
        document = orjson.loads(body)
        return [find_json(path)(document) for path in paths]
    except orjson.JSONDecodeError as error:
        raise ProbeFailed(f"{said} did not answer JSON: {error}") from error
    except LookupError as missing:
        raise ProbeFailed(f"{said} has nothing at {missing.args[0]}") from None


def get(
    plan: Plan,
    asked: Probe | Metrics | Warm,
    run_id: str,
    token: str = "",
    timeout_s: float = TIMEOUT_S,
) -> tuple[str, int, bytes]:
    """What was asked, for messages; the status and the body. Raises ProbeFailed where there is no answer."""
    origin = plan.origins[asked.origin]
    target = origin.base_path + _target(plan, asked.path, run_id)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = exchange(plan, origin, run_id, "GET", target, headers, timeout_s=timeout_s)
    return f"{origin.app}: GET {target}", *answer


def exchange(
    plan: Plan,
    origin: Origin,
    run_id: str,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, bytes]:
    """Status and body of a request beside the load. Raises ProbeFailed where there is no answer."""
    own = {
        "Host": origin.authority,
        "User-Agent": f"ecoload/{plan.tool_version}",
        "X-Ecoload-Run": run_id,
        "X-Ecoload-Probe": "1",
    }
    if body is not None:
        own["Content-Length"] = str(len(body))

    def send(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in {**own, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse()

    reply = _answered(origin, f"{method} {target}", send, timeout_s)
    return reply.status, reply.body


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer beside the load. Times are ns of CLOCK_MONOTONIC: when it was begun, when its connection was
    open, its head was there, and it was whole."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    begun: int
    connected: int
    first: int
    last: int


def deliver(origin: Origin, method: str, target: str, data: bytes, timeout_s: float = TIMEOUT_S) -> Reply:
    """The answer to a request that is rendered already: `data` is all of it. Raises ProbeFailed."""

    def send(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        connection.connect()
        connection.sock.sendall(data)
        response = http.client.HTTPResponse(connection.sock, method=method)
        response.begin()
        return response

    return _answered(origin, f"{method} {target}", send, timeout_s)


def _answered(
    origin: Origin,
    said: str,
    send: Callable[[http.client.HTTPConnection], http.client.HTTPResponse],
    timeout_s: float,
) -> Reply:
    if not origin.addresses:
        raise ProbeFailed(f"{origin.app}: the name {origin.host} has no address")
    connection, begun = _Pinned(origin, timeout_s), time.monotonic_ns()
    try:
        with send(connection) as response:
            first, body = time.monotonic_ns(), response.read(MOST_BYTES)
            headers = tuple((k.encode("latin-1"), v.encode("latin-1")) for k, v in response.getheaders())
            return Reply(
                response.status, headers, body, begun, connection.connected_ns, first, time.monotonic_ns()
            )
    except OSError as error:
        raise ProbeFailed(f"{origin.app}: {said} failed: {error}") from error
    except http.client.HTTPException as error:
        # Its text may be the answer's, and that may hold what was sent.
        kind = type(error).__name__
        raise ProbeFailed(f"{origin.app}: {said} was not answered in HTTP ({kind})") from None
    finally:
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to the address the guard has checked, whatever the name says by now."""

    def __init__(self, origin: Origin, timeout_s: float) -> None:
        super().__init__(origin.addresses[0], origin.port, timeout=timeout_s)
        self._origin, self._timeout_s = origin, timeout_s
        self.connected_ns = 0

    def connect(self) -> None:
        self.sock = socket.create_connection((self.host, self.port), self._timeout_s)
        if self._origin.scheme == "https":
            context = client_context(self._origin)
            self.sock = context.wrap_socket(self.sock, server_hostname=self._origin.host)
        self.connected_ns = time.monotonic_ns()


def _target(plan: Plan, path: StringTemplate, run_id: str) -> str:
    protocol = dataclasses.asdict(plan.protocol)
    scope = Scope(seed=plan.seed, run_id=run_id, protocol=protocol, env=dict(plan.env), secrets={})
    parts = path.parts if isinstance(path, Text) else (path,)
    text = ""
    try:
        for part in parts:
            if isinstance(part, str):
                text += part
            else:
                escape = for_query if "?" in text else for_path
                text += escape(as_text(scope.getter(part)([]))).decode()
    except Unsafe as error:
        raise ProbeFailed(str(error)) from error
    return text

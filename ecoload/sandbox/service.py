"""What every app of the sandbox has in common: health, truth, faults, problems and latency.

Rules
-----
- Every answer but a good one is an RFC 9457 problem; no traceback ever leaves the process.
- A request takes at least what the model drew for it. What the truth records is what it took: from
  the request parsed to the response handed over.
- `/__truth` and `/__faults` stand outside of all that: never delayed, failed or counted. A request with
  `X-Ecoload-Probe: 1` is neither counted nor failed.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import orjson
from aiohttp import web

from ecoload.sandbox.behaviour import Faults, LatencyModel, LogNormal, parse_faults
from ecoload.sandbox.store import StoreFailed
from ecoload.sandbox.truth import Truth

VERSION = "1.0.0"
"""The version the apps give of themselves."""

RUN_HEADER = "X-Ecoload-Run"
PROBE_HEADER = "X-Ecoload-Probe"
ADMIN_HEADER = "X-Sandbox-Admin"
MAX_BODY_BYTES = 64 * 1024

_CONTROL = frozenset({"truth", "faults", "internal"})
_HEALTH = frozenset({"health", "healthz"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """What the sandbox tells an app at its start. `folder` is the app's own."""

    app: str
    seed: int
    folder: Path
    admin_token: str
    internal_token: str


class App(Protocol):
    """One app: its routes (named; a name is what the truth lists) and its life."""

    laws: Mapping[str, LogNormal]
    read_only: bool
    faults: Faults

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes beside the common ones."""

    async def checks(self) -> dict[str, Any]:
        """What health says of the parts; raises StoreFailed."""

    async def connect(self, peers: Mapping[str, str]) -> None:
        """Learns the base URLs of all apps."""

    async def close(self) -> None:
        """Settles and closes everything."""


class Problem(Exception):
    """An answer that is not a good one. `errors` lists each thing wrong."""

    def __init__(self, status: int, detail: str, errors: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)


def application(app: App, config: Config) -> web.Application:
    """The app with everything common around it, ready to be served."""
    common = _Common(app, config)
    served = web.Application(middlewares=[common.around], client_max_size=MAX_BODY_BYTES)
    served.add_routes(app.routes())
    served.add_routes(
        [
            web.get("/health", common.health, name="health"),
            web.get("/healthz", common.health, name="healthz"),
            web.get("/__truth", common.show_truth, name="truth"),
            web.post("/__faults", common.set_faults, name="faults"),
        ]
    )
    return served


def answer(document: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


async def json_body(request: web.Request) -> Any:
    """The body as JSON; a Problem when it is none, too large or of another type."""
    if request.content_type not in ("application/json", "application/octet-stream"):  # the latter: not stated
        raise Problem(415, "the content type must be application/json")
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error}") from None


def token_given(request: web.Request, header: str, token: str) -> bool:
    """Whether `header` carries `token`, compared in constant time."""
    return hmac.compare_digest(
        request.headers.get(header, "").encode(errors="surrogateescape"), token.encode()
    )


def query_int(request: web.Request, name: str, default: int, most: int) -> int:
    """A number of the query from 0 to `most`, or a Problem."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise Problem(400, f"{name} must be a whole number from 0 to {most}")
    return int(text)


class _Common:
    def __init__(self, app: App, config: Config) -> None:
        self._app = app
        self._config = config
        self._model = LatencyModel(
            config.seed, config.app, {"health": LogNormal(1, 2), "healthz": LogNormal(1, 2), **app.laws}
        )
        self._chance = random.Random(f"{config.seed}/{config.app}/faults")
        self._truth = Truth()

    async def health(self, request: web.Request) -> web.Response:
        checks = await self._app.checks()
        return answer({"status": "ok", "app": self._config.app, "version": VERSION, "checks": checks})

    async def show_truth(self, request: web.Request) -> web.Response:
        return answer(self._truth.document(request.query.get("run_id")))

    async def set_faults(self, request: web.Request) -> web.Response:
        if not token_given(request, ADMIN_HEADER, self._config.admin_token):
            raise Problem(403, f"{ADMIN_HEADER} must carry the sandbox's token")
        faults, wrong = parse_faults(await json_body(request))
        if wrong:
            raise Problem(422, "the faults are not valid", wrong)
        self._app.faults = faults
        return answer(asdict(faults))

    @web.middleware
    async def around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started_ns = time.perf_counter_ns()
        route = request.match_info.route.name or "unmatched"
        if route in _CONTROL:
            return await self._answer(request, handler)
        run_id = request.headers.get(RUN_HEADER)
        probe = request.headers.get(PROBE_HEADER) == "1"
        model_us = self._model.draw_us(route)
        faults = self._app.faults
        fault = None if probe or route in _HEALTH else faults.draw(self._chance)
        if fault is None:
            response = await self._answer(request, handler)
        else:
            response = _problem(Problem(503, "a fault is switched on"))
        due_ns = started_ns + model_us * 1000
        if not probe and route not in _HEALTH:
            due_ns += round(faults.added_latency_ms * 1e6)
        await _until(due_ns)
        if fault == "reset":
            _reset(request)
        else:
            await _hand_over(request, response)
        if run_id is not None and not probe:
            taken_us = (time.perf_counter_ns() - started_ns) // 1000
            status = "reset" if fault == "reset" else str(response.status)
            self._truth.record(run_id[:200], route, status, taken_us, model_us)
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route.name
        try:
            if self._app.read_only and request.method not in ("GET", "HEAD") and route not in _CONTROL:
                raise Problem(405, f"{self._config.app} is read-only: {request.method} is not allowed")
            return await handler(request)
        except Problem as problem:
            return _problem(problem)
        except web.HTTPException as error:
            response = _problem(Problem(error.status, f"{request.method} {request.path}: {error.reason}"))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except StoreFailed as error:
            _log.error("store: %s", error)
            return _problem(Problem(503, "the database is not available"))
        except ConnectionError:
            raise  # the caller has gone: there is nobody to answer
        except Exception:
            _log.exception("%s %s", request.method, request.path)
            return _problem(Problem(500, "an error inside the app; its log has the rest"))


def _problem(problem: Problem) -> web.Response:
    document = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        document["errors"] = problem.errors
    response = web.Response(
        body=orjson.dumps(document), status=problem.status, content_type="application/problem+json"
    )
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "GET, HEAD"
    return response


async def _until(due_ns: int) -> None:
    """Never early, at most about 1 ms late: uvloop's timers are whole ms, rounded to either side."""
    while (left_ns := due_ns - time.perf_counter_ns()) > 0:
        await asyncio.sleep(max(left_ns, 500_000) / 1e9)


async def _hand_over(request: web.Request, response: web.StreamResponse) -> None:
    """Writes the response now rather than after the middleware, so that the truth includes it."""
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        pass  # the caller has gone; the request was answered all the same


def _reset(request: web.Request) -> None:
    """Ends the connection by RST, with no byte of an answer."""
    transport = request.transport
    if transport is None:
        return
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()

"""What every app of the sandbox has in common: health, identity, truth, metrics, faults, latency.

Rules
-----
- Every answer but a good one is an RFC 9457 problem; no traceback ever leaves the process.
- A request takes at least what the model drew for it. What the truth records is what it took: from
  the request parsed to the response handed over.
- The control routes stand outside of all that: never delayed, failed or counted. A request with
  `X-Ecoload-Probe: 1` is neither counted nor failed.
- Where there is an A1, a protected route wants a token of it with the app's scope; without one there
  is no identity to trust, and everybody may.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from ecoload.sandbox.common.behaviour import Faults, LatencyModel, LogNormal, until
from ecoload.sandbox.common.metrics import CONTENT_TYPE, Metrics
from ecoload.sandbox.common.peers import PeerFailed, Peers
from ecoload.sandbox.common.problems import (
    ADMIN_HEADER,
    INTERNAL_HEADER,
    PROBE_HEADER,
    RUN_HEADER,
    Problem,
    answer,
    is_name,
    json_body,
    problem_answer,
    query_namespace,
    token_given,
)
from ecoload.sandbox.common.store import StoreFailed
from ecoload.sandbox.common.switches import Switches
from ecoload.sandbox.common.tokens import ScopeMissing, TokenRefused
from ecoload.sandbox.common.truth import Truth

VERSION = "1.0.0"
"""The version the apps give of themselves."""

MAX_BODY_BYTES = 64 * 1024
MAX_BATCH_BYTES = 16 * 2**20

_CONTROL = frozenset({"truth", "faults", "fault_state", "metrics", "internal", "internal_cleanup"})
_HEALTH = frozenset({"health", "healthz"})
_CLEANUP = "test_data"

DRAWN_US = web.RequestKey("drawn_us", int)
"""What the model drew for a request."""
CLAIMS = web.RequestKey("claims", dict)
"""What the token of a request on a protected route says; not there without an A1."""

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


class App:
    """One app: its routes (named; a name is what truth and laws know) and its life."""

    laws: Mapping[str, LogNormal] = {}
    read_only = False
    protected: frozenset[str] = frozenset()
    """Routes that want a token of A1."""
    special_faults: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    """Apps that must be alive for this one to be ready."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.switches = Switches(random.Random(f"{config.seed}/{config.app}/faults"), self.special_faults)
        self.metrics = Metrics()

    @property
    def faults(self) -> Faults:
        """What is switched on now."""
        return self.switches.faults

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes beside the common ones."""
        return ()

    async def checks(self) -> dict[str, Any]:
        """What readiness says of the app's own parts; raises StoreFailed or Problem."""
        return {}

    async def connect(self, peers: Peers) -> None:
        """Learns of the other apps, once, before anything is asked of it."""

    async def close(self) -> None:
        """Settles and closes everything."""

    async def clean_up(self, run_id: str | None) -> dict[str, int] | None:
        """Deletes test data, of one run or all; how many rows by table. None: the app keeps none."""
        return None


class Service:
    """An app with everything common around it. `web` is ready to be served after `connect`."""

    def __init__(self, app: App, config: Config) -> None:
        self._app = app
        self._config = config
        self._model = LatencyModel(
            config.seed, config.app, {"health": LogNormal(1, 2), "healthz": LogNormal(1, 2), **app.laws}
        )
        self._truth = Truth()
        self._peers: Peers | None = None
        self._protected = app.protected | {_CLEANUP}
        self.web = web.Application(middlewares=[self._around], client_max_size=MAX_BODY_BYTES)
        self.web.add_routes(app.routes())
        self.web.add_routes(
            [
                web.get("/health", self._health, name="health"),
                web.get("/healthz", self._healthz, name="healthz"),
                web.get("/metrics", self._show_metrics, name="metrics"),
                web.get("/__truth", self._show_truth, name="truth"),
                web.get("/__faults", self._show_faults, name="fault_state"),
                web.post("/__faults", self._set_faults, name="faults"),
            ]
        )
        if type(app).clean_up is not App.clean_up:
            self.web.add_routes([web.delete("/test-data", self._clean_up, name=_CLEANUP)])

    async def connect(self, urls: Mapping[str, str]) -> None:
        """All addresses are known: the app learns of its peers."""
        self._peers = Peers(self._config.app, urls, self._config.internal_token)
        await self._app.connect(self._peers)
        try:  # what can be had beforehand does not slow the first request down
            await self._peers.authorization()
            if self._peers.verifier is not None:
                await self._peers.verifier.keys()
        except PeerFailed as error:
            _log.warning("%s", error)

    async def close(self) -> None:
        """Ends the app."""
        self._app.switches.close()
        await self._app.close()
        if self._peers is not None:
            await self._peers.close()

    # --- what everybody can ask ---------------------------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        return answer({"status": "ok", "app": self._config.app, "version": VERSION})

    async def _healthz(self, request: web.Request) -> web.Response:
        checks, wrong = await self._app.checks(), []
        for peer, found in zip(
            self._app.needs, await asyncio.gather(*map(self._ready, self._app.needs)), strict=True
        ):
            checks[peer] = found
            if found != "ok":
                wrong.append(found)
        if self._app.protected and self._peers is not None and self._peers.verifier is not None:
            try:
                await self._peers.verifier.keys()
                checks["identity"] = "ok"
            except PeerFailed as error:
                wrong.append(str(error))
        if wrong:
            raise Problem(503, f"{self._config.app} is not ready", wrong)
        return answer({"status": "ok", "app": self._config.app, "version": VERSION, "checks": checks})

    async def _ready(self, peer: str) -> str:
        if self._peers is None:
            return f"{peer}: not known yet"
        try:
            return await self._peers.check(peer)
        except PeerFailed as error:
            return str(error)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._app.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _show_truth(self, request: web.Request) -> web.Response:
        return answer(self._truth.document(request.query.get("run_id")))

    async def _clean_up(self, request: web.Request) -> web.Response:
        query_namespace(request)
        run_id = request.query.get("run_id")
        if run_id is not None and not is_name(run_id):
            raise Problem(422, "run_id is not one")
        return answer({"deleted": await self._app.clean_up(run_id)})

    # --- faults -----------------------------------------------------------------------------------

    async def _show_faults(self, request: web.Request) -> web.Response:
        self._admin_only(request)
        return answer(self._app.switches.document())

    async def _set_faults(self, request: web.Request) -> web.Response:
        self._admin_only(request)
        self._app.switches.set(await json_body(request))
        return answer(self._app.switches.document())

    def _admin_only(self, request: web.Request) -> None:
        if not token_given(request, ADMIN_HEADER, self._config.admin_token):
            raise Problem(403, f"{ADMIN_HEADER} must carry the sandbox's token")

    # --- around every request -------------------------------------------------------------------------

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started_ns = time.perf_counter_ns()
        route = request.match_info.route.name or "unmatched"
        if route in _CONTROL:
            return await self._answer(request, handler)
        run_id = request.headers.get(RUN_HEADER)
        probe = request.headers.get(PROBE_HEADER) == "1"
        request[DRAWN_US] = self._model.draw_us(route)  # a handler may know better, and say so here
        spared = probe or route in _HEALTH
        fault = None if spared else self._app.switches.draw()
        begun_ns = started_ns
        if not spared:
            begun_ns += round(self._app.switches.added_ms() * 1e6)
            await until(begun_ns)
        if fault is None:
            response = await self._answer(request, handler)
        else:
            response = problem_answer(Problem(503, "a fault is switched on"))
        await until(begun_ns + request[DRAWN_US] * 1000)
        if fault == "reset":
            _reset(request)
        else:
            await _hand_over(request, response)
        taken_us = (time.perf_counter_ns() - started_ns) // 1000
        status = "reset" if fault == "reset" else str(response.status)
        self._app.metrics.count(route, status, taken_us / 1e6)
        if run_id is not None and not probe:
            self._truth.record(run_id[:200], route, status, taken_us, request[DRAWN_US])
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route.name
        try:
            if self._app.read_only and request.method not in ("GET", "HEAD") and route not in _CONTROL:
                raise Problem(
                    405,
                    f"{self._config.app} is read-only: {request.method} is not allowed",
                    headers={"Allow": "GET, HEAD"},
                )
            if route in self._protected and self._peers is not None and self._peers.verifier is not None:
                request[CLAIMS] = await self._identified(request)
            return await handler(request)
        except Problem as problem:
            return problem_answer(problem)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return problem_answer(
                Problem(error.status, f"{request.method} {request.path}: {error.reason}", headers=allow)
            )
        except StoreFailed as error:
            _log.error("store: %s", error)
            return problem_answer(Problem(503, "the database is not available"))
        except PeerFailed as error:
            _log.warning("%s", error)
            return problem_answer(Problem(503, f"another app does not answer: {error}"))
        except ConnectionError:
            raise  # the caller has gone: there is nobody to answer
        except Exception:
            _log.exception("%s %s", request.method, request.path)
            return problem_answer(Problem(500, "an error inside the app; its log has the rest"))

    async def _identified(self, request: web.Request) -> dict[str, Any]:
        assert self._peers is not None and self._peers.verifier is not None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Problem(401, "a token of A1 is needed", headers={"WWW-Authenticate": "Bearer"})
        try:
            return await self._peers.verifier.claims(token.strip(), scope=self._config.app)
        except ScopeMissing as refused:
            wanted = f'Bearer error="insufficient_scope", scope="{self._config.app}"'
            raise Problem(403, str(refused), headers={"WWW-Authenticate": wanted}) from None
        except TokenRefused as refused:
            wanted = 'Bearer error="invalid_token"'
            raise Problem(401, str(refused), headers={"WWW-Authenticate": wanted}) from None


class ProblemHandler(web.RequestHandler):
    """A connection whose very bytes are no HTTP gets a problem too."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The problem that ends the connection."""
        if isinstance(exc, ConnectionError):
            raise exc  # the caller has gone: there is nobody to answer
        if status >= 500:
            _log.error("a connection failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun; it cannot become a problem")
        detail = "the request cannot be read as HTTP" if status < 500 else "an error inside the app"
        response = problem_answer(Problem(status, detail))
        response.force_close()
        return response


async def internal_batch(request: web.Request, token: str) -> list[dict[str, Any]]:
    """The events that another app of the sandbox sends in one body; 405 for anybody else."""
    if not token_given(request, INTERNAL_HEADER, token):
        raise Problem(405, f"{request.method} is not allowed here", headers={"Allow": ""})
    whole = request.clone(client_max_size=MAX_BATCH_BYTES)
    try:
        events = orjson.loads(await whole.read())["events"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise Problem(400, "expected an object with events") from None
    if not (isinstance(events, list) and all(isinstance(event, dict) for event in events)):
        raise Problem(422, "events must be a list of objects")
    return events


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

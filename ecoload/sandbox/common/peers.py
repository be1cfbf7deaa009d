"""How an app of the sandbox speaks to the others.

Rules
-----
- A call has an answer or raises PeerFailed; an answer of any status is an answer.
- Calls carry a client-credentials token of A1 where there is an A1: fetched once, shared by all calls
  that wait for it, and renewed before it expires.
- A run and a lineage travel with a call, so that what it causes can be followed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from ecoload.sandbox.common.problems import LINEAGE_HEADER, PROBE_HEADER, RUN_HEADER
from ecoload.sandbox.common.tokens import Verifier, client_secret

IDENTITY = "a1"
RENEW_BEFORE_S = 30.0
MOST_CONNECTIONS = 128


class PeerFailed(Exception):
    """A peer gave no answer, or not one that can be used."""

    def __init__(self, app: str, reason: str, status: int | None = None) -> None:
        super().__init__(f"{app}: {reason}")
        self.app = app
        self.reason = reason
        self.status = status


class Peers:
    """The apps by name; `urls` has this one too. `verifier` is None where there is no A1."""

    def __init__(self, app: str, urls: Mapping[str, str], internal_token: str) -> None:
        self.urls = dict(urls)
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS))
        self._app = app
        self._secret = client_secret(internal_token, app)
        self._token = ""
        self._renew_at_s = 0.0
        self._renewing = asyncio.Lock()
        issuer = self.urls.get(IDENTITY)
        self.verifier = Verifier(issuer, self._jwks) if issuer is not None else None

    async def call(
        self,
        app: str,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
        run_id: str | None = None,
        lineage_id: str | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON document (None where there is none) of `app`'s answer. Raises PeerFailed."""
        url = self.urls.get(app)
        if url is None:
            raise PeerFailed(app, "is not part of this sandbox")
        sent = dict(headers or {})
        if app != IDENTITY:
            sent |= await self.authorization()
        if run_id is not None:
            sent[RUN_HEADER] = run_id
        if lineage_id is not None:
            sent[LINEAGE_HEADER] = lineage_id
        body: Any = form
        if json is not None:
            body, sent["Content-Type"] = orjson.dumps(json), "application/json"
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self.session.request(
                method, url + path, data=body, headers=sent, timeout=timeout, allow_redirects=False
            ) as response:
                raw = await response.read()
                return response.status, orjson.loads(raw) if "json" in response.content_type else None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PeerFailed(app, f"{method} {path}: {str(error) or type(error).__name__}") from error
        except orjson.JSONDecodeError as error:
            raise PeerFailed(app, f"{method} {path}: the answer is not JSON") from error

    async def authorization(self) -> dict[str, str]:
        """The headers that say who is calling; empty without an A1. Raises PeerFailed."""
        if IDENTITY not in self.urls or self._app == IDENTITY:
            return {}
        if time.monotonic() >= self._renew_at_s:
            async with self._renewing:
                if time.monotonic() >= self._renew_at_s:
                    await self._renew()
        return {"Authorization": f"Bearer {self._token}"}

    async def check(self, app: str) -> str:
        """`ok` when a peer is alive. Raises PeerFailed."""
        status, _ = await self.call(app, "GET", "/health", headers={PROBE_HEADER: "1"}, timeout_s=1.0)
        if status != 200:
            raise PeerFailed(app, f"its health is {status}", status)
        return "ok"

    async def close(self) -> None:
        """Closes the connections."""
        await self.session.close()

    async def _renew(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._app,
            "client_secret": self._secret,
            "scope": " ".join(sorted(self.urls)),
        }
        status, document = await self.call(IDENTITY, "POST", "/oidc/token", form=form)
        if status != 200:
            raise PeerFailed(IDENTITY, f"no token for {self._app}: {status}", status)
        self._token = document["access_token"]
        self._renew_at_s = time.monotonic() + document["expires_in"] - RENEW_BEFORE_S

    async def _jwks(self) -> dict[str, Any]:
        status, document = await self.call(IDENTITY, "GET", "/oidc/jwks")
        if status != 200 or not isinstance(document, dict):
            raise PeerFailed(IDENTITY, f"its keys cannot be had: {status}", status)
        return document

"""A1, identity: an OpenID Connect provider with synthetic people.

Rules
-----
- Tokens are signed with one kept key (RS256). Its issuer is the address of this start: after a restart
  at another address accounts and refresh tokens still hold, and tokens issued before do not.
- Passwords, codes, tokens and what people type are never logged.
- There is no session here: each request for a code signs somebody in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web

from ecoload.sandbox.a1 import accounts as a1_accounts
from ecoload.sandbox.a1 import grants as a1_grants
from ecoload.sandbox.a1.accounts import Passwords
from ecoload.sandbox.a1.browser import Browser
from ecoload.sandbox.a1.clients import PERSON_SCOPES, SERVICE_SCOPES, Clients
from ecoload.sandbox.a1.oauth import now_ms
from ecoload.sandbox.a1.request import PROMPTS
from ecoload.sandbox.a1.token import ACCESS_TYPE, TokenEndpoint
from ecoload.sandbox.common.behaviour import LogNormal
from ecoload.sandbox.common.pages import asset_routes
from ecoload.sandbox.common.peers import Peers
from ecoload.sandbox.common.problems import Problem, answer
from ecoload.sandbox.common.service import App, Config
from ecoload.sandbox.common.store import Store, StoreFailed
from ecoload.sandbox.common.tokens import AUDIENCE, Signer, TokenRefused, client_secret, verified

STUDENTS = "students"
SWEEP_S = 30.0

_log = logging.getLogger(__name__)


class IdentityProvider(App):
    """The app; its state is `a1.db` and `key.pem` in its folder."""

    laws: Mapping[str, LogNormal] = {
        "discovery": LogNormal(3, 8),
        "jwks": LogNormal(3, 8),
        "auth": LogNormal(15, 40),
        "login": LogNormal(35, 80),
        "register": LogNormal(35, 80),
        "token": LogNormal(18, 45),
        "userinfo": LogNormal(8, 20),
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._signer = Signer(config.folder / "key.pem")
        self._store = Store(config.folder / "a1.db", a1_accounts.SCHEMA + a1_grants.SCHEMA)
        self._clients = Clients(config.internal_token)
        self._passwords = Passwords()
        self._browser = Browser(self._store, self._clients, self._signer, self._passwords)
        self._tokens = TokenEndpoint(self._store, self._clients, self._signer)
        self._sweeping: asyncio.Task[None] | None = None

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/.well-known/openid-configuration", self._discovery, name="discovery"),
            web.get("/oidc/jwks", self._jwks, name="jwks"),
            web.get("/oidc/auth", self._browser.auth, name="auth"),
            web.post("/oidc/auth", self._browser.auth, name="auth"),
            web.post("/oidc/login", self._browser.login, name="login"),
            web.post("/oidc/register", self._browser.register, name="register"),
            web.post("/oidc/token", self._tokens.token, name="token"),
            web.get("/oidc/userinfo", self._userinfo, name="userinfo"),
            web.post("/oidc/userinfo", self._userinfo, name="userinfo"),
            *asset_routes(),
        ]

    async def checks(self) -> dict[str, Any]:
        await self._store.read("SELECT 1 FROM accounts LIMIT 1")
        return {"database": "ok"}

    async def connect(self, peers: Peers) -> None:
        self._signer.issuer = peers.urls["a1"]
        password = await self._passwords.hashed(client_secret(self.config.internal_token, STUDENTS))
        await self._store.write(lambda database: a1_accounts.seed(database, password, now_ms()))
        self._clients.connect(peers.urls)
        self._sweeping = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        self._passwords.close()
        await self._store.close()

    async def clean_up(self, run_id: str | None) -> dict[str, int] | None:
        found: dict[str, int] = await self._store.write(lambda database: a1_grants.clean_up(database, run_id))
        return found

    async def _discovery(self, request: web.Request) -> web.Response:
        await self._clients.known.wait()
        return answer(discovery(self._signer.issuer))

    async def _jwks(self, request: web.Request) -> web.Response:
        return answer(self._signer.jwks())

    async def _userinfo(self, request: web.Request) -> web.Response:
        await self._clients.known.wait()
        claims = self._of_bearer(request.headers.get("Authorization", ""))
        scopes = str(claims.get("scope", "")).split(" ")
        if "openid" not in scopes:
            wanted = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="openid"'}
            raise Problem(403, "the token is not one of a person", headers=wanted)
        rows = await self._store.read(
            "SELECT a.email, a.name FROM grants g JOIN accounts a ON a.sub = g.sub"
            " WHERE g.id = ? AND NOT g.revoked",
            (claims.get("grant"),),
        )
        if not rows:
            raise _not_trusted("the token is revoked")
        email, name = rows[0]
        document: dict[str, Any] = {"sub": claims["sub"]}
        if "email" in scopes:
            document |= {"email": email, "email_verified": True}
        if "profile" in scopes:
            document["name"] = name
        response = answer(document)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _of_bearer(self, authorization: str) -> dict[str, Any]:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Problem(401, "an access token is needed", headers={"WWW-Authenticate": "Bearer"})
        try:
            return verified(
                token.strip(),
                self._signer.keys,
                issuer=self._signer.issuer,
                audience=AUDIENCE,
                typ=ACCESS_TYPE,
            )
        except TokenRefused as refused:
            raise _not_trusted(str(refused)) from None

    async def _sweep(self) -> None:
        while True:
            with suppress(StoreFailed):  # the next time will do; readiness says what is wrong
                await self._store.write(lambda database: a1_grants.sweep(database, now_ms()))
            await asyncio.sleep(SWEEP_S)


def discovery(issuer: str) -> dict[str, Any]:
    """What OpenID Connect Discovery tells of the provider."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oidc/auth",
        "token_endpoint": f"{issuer}/oidc/token",
        "userinfo_endpoint": f"{issuer}/oidc/userinfo",
        "jwks_uri": f"{issuer}/oidc/jwks",
        "scopes_supported": [*PERSON_SCOPES, *SERVICE_SCOPES],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": list(PROMPTS),
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash"]
        + ["email", "email_verified", "name"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
    }


def _not_trusted(reason: str) -> Problem:
    return Problem(401, reason, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})

"""A1's token endpoint: a code, a refresh token or a client's secret becomes tokens.

Rules
-----
- Everything that is wrong has the form of RFC 6749, 5.2, which is what clients of it understand, and
  not that of a problem.
- An access token of a person names its grant, so that A1 refuses it once that is revoked; the other
  apps trust it until it expires.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ecoload.sandbox.a1.clients import Client, Clients, granted_scope
from ecoload.sandbox.a1.grants import Grant, Refused, exchange_code, exchange_refresh
from ecoload.sandbox.a1.oauth import OAuthError, base64url, new_secret, now_ms
from ecoload.sandbox.a1.request import VERIFIER
from ecoload.sandbox.common.problems import Problem, answer, form_body
from ecoload.sandbox.common.store import Store
from ecoload.sandbox.common.tokens import AUDIENCE, Signer

TOKEN_LIFE_S = 300
ACCESS_TYPE = "at+jwt"

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenEndpoint:
    """Issues tokens of `signer` for grants in `store`."""

    def __init__(self, store: Store, clients: Clients, signer: Signer) -> None:
        self._store = store
        self._clients = clients
        self._signer = signer

    async def token(self, request: web.Request) -> web.Response:
        """`POST /oidc/token`."""
        try:
            response = answer(await self._tokens(request))
        except OAuthError as error:
            response = _error_answer(error)
        response.headers.update(_NO_STORE)
        return response

    async def _tokens(self, request: web.Request) -> dict[str, Any]:
        try:
            form = await form_body(request)
        except Problem as problem:
            raise OAuthError("invalid_request", problem.detail) from None
        client = await self._clients.authenticated(request.headers.get("Authorization"), form)
        grant_type = _field(form, "grant_type")
        if grant_type not in ("authorization_code", "refresh_token", "client_credentials"):
            raise OAuthError("unsupported_grant_type", "there is no such grant_type here")
        if (grant_type == "client_credentials") != (client.secret is not None):
            raise OAuthError("unauthorized_client", f"the client may not use {grant_type}")
        if grant_type == "client_credentials":
            scope = granted_scope(form.get("scope"), client.scopes)
            return self._access(client.client_id, client.client_id, scope)
        return await self._of_person(client, grant_type, form)

    async def _of_person(self, client: Client, grant_type: str, form: Mapping[str, str]) -> dict[str, Any]:
        refresh_token, now = new_secret(), now_ms()
        if grant_type == "authorization_code":
            code, redirect_uri = _field(form, "code"), _field(form, "redirect_uri")
            verifier = _field(form, "code_verifier")
            if not VERIFIER.fullmatch(verifier):
                raise OAuthError("invalid_request", "code_verifier is not one")
            found: Grant | Refused = await self._store.write(
                lambda database: exchange_code(
                    database, code, client.client_id, redirect_uri, verifier, refresh_token, now
                )
            )
        else:
            token = _field(form, "refresh_token")
            found = await self._store.write(
                lambda database: exchange_refresh(
                    database, token, client.client_id, form.get("scope"), refresh_token, now
                )
            )
        if isinstance(found, Refused):
            raise OAuthError(found.error, found.description)
        document = self._access(found.sub, found.client_id, found.scope, {"grant": found.grant_id})
        document["refresh_token"] = refresh_token
        if "openid" in found.scope.split(" "):
            document["id_token"] = self._id_token(found, document["access_token"])
        return document

    def _access(
        self, sub: str, client_id: str, scope: str, more: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        claims = {"sub": sub, "aud": AUDIENCE, "client_id": client_id, "scope": scope, **(more or {})}
        return {
            "access_token": self._signer.sign(claims, ACCESS_TYPE, TOKEN_LIFE_S),
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFE_S,
            "scope": scope,
        }

    def _id_token(self, grant: Grant, access_token: str) -> str:
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = {
            "sub": grant.sub,
            "aud": grant.client_id,
            "auth_time": grant.signed_in_at // 1000,
            "at_hash": base64url(half),
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        return self._signer.sign(claims, life_s=TOKEN_LIFE_S)


def _field(form: Mapping[str, str], name: str) -> str:
    if not form.get(name):
        raise OAuthError("invalid_request", f"{name} is missing")
    return form[name]


def _error_answer(error: OAuthError) -> web.Response:
    unproven = error.error == "invalid_client"
    response = answer(
        {"error": error.error, "error_description": error.description}, status=401 if unproven else 400
    )
    if unproven:
        response.headers["WWW-Authenticate"] = 'Basic realm="a1"'
    return response

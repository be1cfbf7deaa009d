"""The clients that A1 knows, and how one proves to be itself.

Rules
-----
- A client has a secret and asks in its own name (client credentials), or has none and asks for a person
  (authorization code with PKCE, and refresh). No client does both.
- Redirect URIs are compared whole. One registered for a loopback address without a port stands for any
  port (RFC 8252, 7.3), since a native client cannot know its port beforehand.
- The addresses of the sandbox come last: until then, whoever asks waits.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from ecoload.sandbox.a1.oauth import OAuthError, same
from ecoload.sandbox.common.tokens import client_secret

LOAD_CLIENT = "ecoload"
SERVICES = ("a2", "a3", "a4", "a5", "a6", "a7", "a8")
SERVICE_SCOPES = ("a1", *SERVICES)
PERSON_SCOPES = ("openid", "profile", "email")

LOOPBACK_CALLBACK = "http://127.0.0.1/callback"

_LOOPBACK = re.compile(r"(http://127\.0\.0\.1):([0-9]{1,5})(/[!-~]*)")


@dataclass(frozen=True, slots=True)
class Client:
    """A client; `secret` is None for a public one."""

    client_id: str
    scopes: tuple[str, ...]
    secret: str | None = field(default=None, repr=False)
    redirect_uri: str | None = None

    def redirects_to(self, uri: str) -> bool:
        """Whether `uri` is the one registered."""
        if self.redirect_uri is None:
            return False
        return uri == self.redirect_uri or _without_port(uri) == self.redirect_uri


class Clients:
    """All clients. `known` is set once the addresses of the other apps are there."""

    def __init__(self, internal_token: str) -> None:
        self.known = asyncio.Event()
        self._clients = {
            name: Client(name, SERVICE_SCOPES, client_secret(internal_token, name))
            for name in (LOAD_CLIENT, *SERVICES)
        }
        self._clients["perf"] = Client("perf", PERSON_SCOPES, redirect_uri=LOOPBACK_CALLBACK)

    def connect(self, urls: Mapping[str, str]) -> None:
        """The addresses are known: so is where the student pilot takes its people back."""
        if "a5" in urls:
            self._clients["student-pilot"] = Client(
                "student-pilot", PERSON_SCOPES, redirect_uri=f"{urls['a5']}/callback"
            )
        self.known.set()

    async def get(self, client_id: str) -> Client | None:
        """The client of that name."""
        await self.known.wait()
        return self._clients.get(client_id)

    async def authenticated(self, authorization: str | None, form: Mapping[str, str]) -> Client:
        """Who asks the token endpoint: by client_secret_basic, client_secret_post, or a public client by
        its name. Raises OAuthError."""
        if authorization is None:
            client_id, secret = form.get("client_id", ""), form.get("client_secret")
        else:
            client_id, secret = _of_basic(authorization)
            if "client_secret" in form or form.get("client_id", client_id) != client_id:
                raise OAuthError("invalid_request", "one way of client authentication at a time")
        client = await self.get(client_id)
        expected = client.secret if client is not None else None
        if client is None or (secret is None) != (expected is None):
            raise OAuthError("invalid_client", "the client is unknown, or did not authenticate as it must")
        if secret is not None and expected is not None and not same(secret, expected):
            raise OAuthError("invalid_client", "the client is unknown, or did not authenticate as it must")
        return client


def granted_scope(asked: str | None, allowed: tuple[str, ...]) -> str:
    """The scope of a token: all that is allowed when nothing is asked. Raises OAuthError."""
    names = asked.split(" ") if asked else allowed
    if unknown := [name for name in names if name not in allowed]:
        raise OAuthError("invalid_scope", f"{len(unknown)} of the scopes are not for this client")
    return " ".join(dict.fromkeys(names))


def _without_port(uri: str) -> str | None:
    found = _LOOPBACK.fullmatch(uri)
    return found[1] + found[3] if found and int(found[2]) <= 65535 else None


def _of_basic(authorization: str) -> tuple[str, str]:
    """Name and secret of a Basic header; both are form-encoded in it (RFC 6749, 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:
        text = ""
    name, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_client", "the Authorization header is not Basic with a name and a secret")
    return unquote_plus(name), unquote_plus(secret)

"""A1's part that people see: the pages to sign in and to register, and the way back to the client.

Rules
-----
- Nothing is ever sent to a redirect URI before client and URI are known to belong together; until then
  what is wrong is a page.
- A form carries the id of its sign-in, which ends at its first success, and counts only together with
  the cookie of the browser that began it: neither a forged post nor a stolen id signs anybody in.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson
from aiohttp import web

from ecoload.sandbox.a1 import accounts, grants
from ecoload.sandbox.a1.clients import Clients
from ecoload.sandbox.a1.oauth import OAuthError, digest, new_secret, now_ms
from ecoload.sandbox.a1.request import AuthRequest, is_state, parse_auth_request
from ecoload.sandbox.common.pages import page
from ecoload.sandbox.common.problems import form_body, run_of
from ecoload.sandbox.common.store import Store
from ecoload.sandbox.common.tokens import Signer

COOKIE = "a1_browser"
TAKEN = {"email": "there is an account with this address already"}

_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that a form came back for."""

    secret: str
    wanted: AuthRequest


class Browser:
    """Signs people in, and makes accounts."""

    def __init__(self, store: Store, clients: Clients, signer: Signer, passwords: accounts.Passwords) -> None:
        self._store = store
        self._clients = clients
        self._signer = signer
        self._passwords = passwords

    async def auth(self, request: web.Request) -> web.Response:
        """`GET` or `POST /oidc/auth`."""
        fields, repeated = await _parameters(request)
        client = await self._clients.get(fields.get("client_id", ""))
        redirect_uri = fields.get("redirect_uri", "")
        if client is None or "client_id" in repeated:
            return _error_page("The application that sent you here is not known.")
        if not client.redirects_to(redirect_uri) or "redirect_uri" in repeated:
            return _error_page("The address to return to is not one of the application's.")
        try:
            wanted = parse_auth_request(fields, repeated)
        except OAuthError as error:
            told = {"error": error.error, "error_description": error.description}
            state = None if "state" in repeated else fields.get("state")
            return self._back(redirect_uri, told, state, status=302)
        secret, browser, run_id, now = (
            new_secret(),
            _browser(request) or new_secret(),
            run_of(request),
            now_ms(),
        )
        await self._store.write(lambda database: grants.begin(database, secret, browser, wanted, run_id, now))
        shown = _register_page if wanted.create else _login_page
        response = shown(SignIn(secret, wanted))
        response.set_cookie(
            COOKIE, browser, path="/oidc", httponly=True, samesite="Lax", max_age=grants.SIGN_IN_MS // 1000
        )
        return response

    async def login(self, request: web.Request) -> web.Response:
        """`POST /oidc/login`: the form of the page to sign in."""
        form = await form_body(request)
        sign_in = await self._begun(request, form)
        if sign_in is None:
            return _gone()
        email = accounts.normal_email(form.get("email", ""))
        rows = await self._store.read("SELECT sub, password FROM accounts WHERE email = ?", (email,))
        sub, kept = rows[0] if rows else ("", None)
        if not await self._passwords.match(form.get("password", ""), kept):
            return _login_page(sign_in, 403, email, "The email address or the password is not right.")
        code, run_id, now = new_secret(), run_of(request), now_ms()
        finished = await self._store.write(
            lambda database: grants.finish(database, sign_in.secret, sign_in.wanted, sub, code, run_id, now)
        )
        return self._to_client(sign_in, code) if finished else _gone()

    async def register(self, request: web.Request) -> web.Response:
        """`POST /oidc/register`: the form of the page to register; whoever registered is signed in."""
        form = await form_body(request)
        sign_in = await self._begun(request, form)
        if sign_in is None:
            return _gone()
        person, wrong = accounts.parse_registration(form)
        if person is None:
            return _register_page(sign_in, 422, form, wrong)
        password = await self._passwords.hashed(person.password)
        code, run_id, now = new_secret(), run_of(request), now_ms()

        def keep(database: sqlite3.Connection) -> bool | None:
            """None: the address is taken."""
            if not grants.is_open(database, sign_in.secret, now):
                return False
            sub = accounts.add(database, person, password, run_id, now)
            if sub is None:
                return None
            return grants.finish(database, sign_in.secret, sign_in.wanted, sub, code, run_id, now)

        finished = await self._store.write(keep)
        if finished is None:
            return _register_page(sign_in, 409, form, TAKEN)
        return self._to_client(sign_in, code) if finished else _gone()

    async def _begun(self, request: web.Request, form: Mapping[str, str]) -> SignIn | None:
        """The sign-in that a form names, if this browser began it."""
        secret, browser = form.get("sign_in", ""), _browser(request) or ""
        rows = await self._store.read(
            "SELECT request FROM sign_ins WHERE digest = ? AND browser = ? AND expires_at > ?",
            (digest(secret), digest(browser), now_ms()),
        )
        return SignIn(secret, AuthRequest(**orjson.loads(rows[0][0]))) if rows else None

    def _to_client(self, sign_in: SignIn, code: str) -> web.Response:
        """After a post, 303: the browser goes on by GET and does not post the password again."""
        wanted = sign_in.wanted
        return self._back(wanted.redirect_uri, {"code": code}, wanted.state, status=303)

    def _back(self, uri: str, fields: dict[str, str], state: str | None, *, status: int) -> web.Response:
        if state is not None and is_state(state):
            fields = fields | {"state": state}
        query = urlencode(fields | {"iss": self._signer.issuer})
        headers = {
            "Location": f"{uri}?{query}",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        }
        return web.Response(status=status, headers=headers)


async def _parameters(request: web.Request) -> tuple[dict[str, str], set[str]]:
    """The parameters, and the names of those that stand there twice."""
    if request.method == "POST":
        return await form_body(request), set()
    query = request.query
    return dict(query), {name for name in query if len(query.getall(name)) > 1}


def _browser(request: web.Request) -> str | None:
    value = request.cookies.get(COOKIE, "")
    return value if _COOKIE_VALUE.fullmatch(value) else None


def _login_page(
    sign_in: SignIn, status: int = 200, email: str | None = None, wrong: str = ""
) -> web.Response:
    return page(
        "a1_login.html",
        status,
        sign_in=sign_in.secret,
        client=sign_in.wanted.client_id,
        other=sign_in.wanted.query(create=True),
        email=sign_in.wanted.login_hint if email is None else email,
        wrong=wrong,
    )


def _register_page(
    sign_in: SignIn,
    status: int = 200,
    form: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    form = form or {}
    return page(
        "a1_register.html",
        status,
        sign_in=sign_in.secret,
        client=sign_in.wanted.client_id,
        other=sign_in.wanted.query(create=False),
        email=form.get("email", sign_in.wanted.login_hint),
        name=form.get("name", ""),
        wrong=wrong or {},
        password_rule=accounts.PASSWORD_RULE,
        domain_rule=accounts.DOMAIN_RULE,
    )


def _error_page(reason: str) -> web.Response:
    return page("a1_error.html", 400, reason=reason)


def _gone() -> web.Response:
    return _error_page(
        "This sign-in has ended, or began in another browser. Go back to the application and begin again."
    )

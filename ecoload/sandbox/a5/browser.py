"""What A5's pages and forms have in common: the browser's cookie, tokens in forms, problems as pages.

Rules
-----
- A browser is known by a random cookie of its own; a form carries a token made of it, so that no other
  site can send a form in a person's name. Cookies are HttpOnly and SameSite=Lax, and carry this app's
  name: all apps of the sandbox share one host.
- A problem is shown as a page to who accepts HTML, and stays a JSON problem for everybody else.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from aiohttp import web

from ecoload.sandbox.common.pages import page
from ecoload.sandbox.common.peers import PeerFailed
from ecoload.sandbox.common.problems import Problem, is_name

BROWSER_COOKIE = "a5_browser"
FORM_TOKEN = "form_token"
BROWSER_LIFE_S = 86_400

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Forms:
    """Makes and checks the tokens of forms; `secret` is the app's own."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def token(self, browser: str) -> str:
        """What a form of this browser carries."""
        return hmac.new(self._secret, b"form/" + browser.encode(), hashlib.sha256).hexdigest()

    def check(self, request: web.Request, fields: Mapping[str, str]) -> str:
        """The browser a form came from; a Problem when it is not one of its own."""
        browser = request.cookies.get(BROWSER_COOKIE, "")
        given = fields.get(FORM_TOKEN, "").encode()
        if not is_name(browser) or not hmac.compare_digest(given, self.token(browser).encode()):
            raise Problem(403, "the form did not come from a page of this app; load the page again")
        return browser


def browser_of(request: web.Request) -> str:
    """The browser's own random name, or a new one."""
    given = request.cookies.get(BROWSER_COOKIE)
    return given if given is not None and is_name(given) else secrets.token_urlsafe(24)


def remember(response: web.StreamResponse, cookie: str, value: str, life_s: int) -> None:
    """Sets one of the app's cookies."""
    response.set_cookie(cookie, value, max_age=life_s, path="/", httponly=True, samesite="Lax")


def see_other(path: str) -> web.Response:
    """303: where to go on with a GET."""
    return web.Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def wants_html(request: web.Request) -> bool:
    """Whether it is a browser that asks."""
    return "text/html" in request.headers.get("Accept", "")


def for_browsers(handler: Handler) -> Handler:
    """The handler with its problems shown as pages, to who wants pages."""

    async def shown(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            found = problem
        except PeerFailed as error:
            found = Problem(503, f"another app does not answer: {error}")
        except web.HTTPException as error:
            found = Problem(error.status, error.reason)
        if not wants_html(request):
            raise found
        response = page(
            "a5_error.html",
            found.status,
            here="",
            person=None,
            code=found.status,
            title=HTTPStatus(found.status).phrase,
            detail=found.detail,
            errors=found.errors,
        )
        response.headers.update(found.headers)
        return response

    return shown

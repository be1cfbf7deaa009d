"""A5's sign-in by A1: authorization code with PKCE, state and nonce, and the sessions it ends in.

Rules
-----
- A sign-in begun is a row, bound to the browser that began it, taken once and gone after `PENDING_S`.
- Who has signed in is what A1's ID token says after every check: signature, type, issuer, audience,
  time, nonce. Anything else ends in a problem, and no session.
- Session and state are stored as hashes: who reads the database cannot take a session over.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ecoload.sandbox.a5.browser import BROWSER_COOKIE, BROWSER_LIFE_S, browser_of, remember, see_other
from ecoload.sandbox.a5.crm import Crm, Person
from ecoload.sandbox.common.emitter import Emitter
from ecoload.sandbox.common.peers import PeerFailed, Peers
from ecoload.sandbox.common.problems import Problem, lineage_of, run_of
from ecoload.sandbox.common.store import Store
from ecoload.sandbox.common.tokens import TokenRefused

IDENTITY = "a1"
CLIENT_ID = "student-pilot"
SCOPE = "openid profile email"
SESSION_COOKIE = "a5_session"
SESSION_S = 8 * 3600
PENDING_S = 600
MOST_PENDING = 10_000
MOST_CODE = 2048

SCHEMA = """
CREATE TABLE IF NOT EXISTS logins (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    state BLOB NOT NULL UNIQUE,
    browser BLOB NOT NULL,
    nonce TEXT NOT NULL,
    verifier TEXT NOT NULL,
    name TEXT,
    lineage_id TEXT NOT NULL,
    run_id TEXT,
    expires_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS logins_by_end ON logins (expires_at);
CREATE TABLE IF NOT EXISTS sessions (
    token BLOB PRIMARY KEY,
    sub TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    run_id TEXT,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_end ON sessions (expires_at);
"""


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that was begun."""

    nonce: str
    verifier: str
    name: str | None
    lineage_id: str
    run_id: str | None


class Login:
    """Begins and ends sign-ins. `silent` says whether this signup leaves no record: a fault."""

    def __init__(self, store: Store, crm: Crm, emitter: Emitter, silent: Callable[[], bool]) -> None:
        self._store = store
        self._crm = crm
        self._emitter = emitter
        self._silent = silent
        self._peers: Peers | None = None

    def start(self, peers: Peers) -> None:
        """The addresses are known."""
        self._peers = peers

    async def begin(
        self, request: web.Request, name: str | None = None, email: str | None = None
    ) -> web.Response:
        """Sends the browser to A1; with a name and an email it is to register there."""
        peers = self._identity()
        browser = browser_of(request)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        row = (_hash(state), _hash(browser), nonce, verifier, name, lineage_of(request), run_of(request))
        await self._store.write(lambda database: _keep_login(database, row, _now_ms()))
        asked = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": self._redirect_uri(peers),
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        if email is not None:
            asked |= {"prompt": "create", "login_hint": email}
        response = see_other(f"{peers.urls[IDENTITY]}/oidc/auth?{urlencode(asked)}")
        remember(response, BROWSER_COOKIE, browser, BROWSER_LIFE_S)
        return response

    async def finish(self, request: web.Request) -> web.Response:
        """A1 sent the browser back: a session, and a record of who is new here."""
        peers = self._identity()
        pending = await self._take(request)
        if request.query.get("iss") != peers.urls[IDENTITY]:  # RFC 9207
            raise Problem(400, "the answer does not come from A1")
        if "error" in request.query:
            raise Problem(400, "A1 did not sign you in", [request.query["error"][:200]])
        person = await self._person(peers, request.query.get("code", ""), pending)
        session, silent = secrets.token_urlsafe(32), self._silent()

        def keep(database: sqlite3.Connection) -> None:
            _keep_session(database, session, person, pending.run_id, _now_ms())
            if not silent:
                self._crm.keep(database, person, lineage_id=pending.lineage_id, run_id=pending.run_id)

        await self._store.write(keep)
        self._emitter.wake()
        response = see_other("/dashboard")
        remember(response, SESSION_COOKIE, session, SESSION_S)
        return response

    async def who(self, request: web.Request) -> Person | None:
        """Who is signed in in this browser."""
        session = request.cookies.get(SESSION_COOKIE)
        if session is None:
            return None
        rows = await self._store.read(
            "SELECT sub, name, email FROM sessions WHERE token = ? AND expires_at > ?",
            (_hash(session), _now_ms()),
        )
        return Person(*rows[0]) if rows else None

    async def end(self, request: web.Request) -> web.Response:
        """Signs the browser out."""
        token = _hash(request.cookies.get(SESSION_COOKIE, ""))
        await self._store.write(
            lambda database: database.execute("DELETE FROM sessions WHERE token = ?", (token,))
        )
        response = see_other("/")
        response.del_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="Lax")
        return response

    async def _take(self, request: web.Request) -> Pending:
        """The sign-in this browser began, which is over by being taken."""
        state, browser = _hash(request.query.get("state", "")), _hash(request.cookies.get(BROWSER_COOKIE, ""))
        rows = await self._store.write(
            lambda database: database.execute(
                "DELETE FROM logins WHERE state = ? AND browser = ? AND expires_at > ?"
                " RETURNING nonce, verifier, name, lineage_id, run_id",
                (state, browser, _now_ms()),
            ).fetchall()
        )
        if not rows:
            raise Problem(
                400,
                "this sign-in is not known here: it was used before, it took too long, or it began in another"
                " browser",
            )
        return Pending(*rows[0])

    async def _person(self, peers: Peers, code: str, pending: Pending) -> Person:
        """Who A1 says it is, for the code it gave."""
        if not 0 < len(code) <= MOST_CODE:
            raise Problem(400, "A1 gave no code")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri(peers),
            "client_id": CLIENT_ID,
            "code_verifier": pending.verifier,
        }
        tokens = await self._ask(peers, pending, "POST", "/oidc/token", form=form)
        try:
            assert peers.verifier is not None
            claims = await peers.verifier.claims(str(tokens.get("id_token")), audience=CLIENT_ID, typ="JWT")
        except TokenRefused as refused:
            raise Problem(400, f"the identity A1 gave is refused: {refused}") from None
        bearer = {"Authorization": f"Bearer {tokens.get('access_token')}"}
        about = await self._ask(peers, pending, "GET", "/oidc/userinfo", headers=bearer)
        return person_of(claims, about, pending)

    async def _ask(
        self,
        peers: Peers,
        pending: Pending,
        method: str,
        path: str,
        *,
        form: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """A1's good answer; its refusal is the browser's mistake, its failure is A1's."""
        status, document = await peers.call(
            IDENTITY,
            method,
            path,
            form=form,
            headers=headers,
            run_id=pending.run_id,
            lineage_id=pending.lineage_id,
        )
        if status >= 500:
            raise PeerFailed(IDENTITY, f"{path} answered {status}", status)
        if status != 200 or not isinstance(document, dict):
            raise Problem(400, f"A1 did not accept this sign-in: {path} answered {status}")
        return document

    def _identity(self) -> Peers:
        if self._peers is None or IDENTITY not in self._peers.urls:
            raise Problem(503, "there is no identity provider (a1) in this sandbox, so nobody can sign in")
        return self._peers

    def _redirect_uri(self, peers: Peers) -> str:
        return f"{peers.urls['a5']}/callback"


def challenge(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def person_of(claims: dict[str, Any], about: dict[str, Any], pending: Pending) -> Person:
    """Who verified claims and A1's `about` speak of, if both speak of the same and answer this very
    sign-in; else a Problem."""
    if not hmac.compare_digest(str(claims.get("nonce")).encode(), pending.nonce.encode()):
        raise Problem(400, "the identity A1 gave belongs to another sign-in")
    sub, email = claims.get("sub"), about.get("email")
    if not isinstance(sub, str) or not sub or about.get("sub") != sub or not isinstance(email, str):
        raise Problem(400, "the identity A1 gave does not say who it is")
    return Person(sub, pending.name or str(about.get("name") or email), email)


def _keep_login(database: sqlite3.Connection, row: tuple[Any, ...], now_ms: int) -> None:
    """A sign-in begun; those that took too long go, and the oldest of too many."""
    database.execute(
        "INSERT INTO logins (state, browser, nonce, verifier, name, lineage_id, run_id, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, now_ms + PENDING_S * 1000),
    )
    database.execute(
        "DELETE FROM logins WHERE number <= (SELECT MAX(number) FROM logins) - ?", (MOST_PENDING,)
    )
    database.execute("DELETE FROM logins WHERE expires_at <= ?", (now_ms,))


def _keep_session(
    database: sqlite3.Connection, session: str, person: Person, run_id: str | None, now_ms: int
) -> None:
    database.execute("DELETE FROM sessions WHERE expires_at <= ?", (now_ms,))
    database.execute(
        "INSERT INTO sessions (token, sub, name, email, run_id, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        (_hash(session), person.sub, person.name, person.email, run_id, now_ms + SESSION_S * 1000),
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

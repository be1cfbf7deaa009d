"""What A1 has begun or granted: sign-ins under way, grants, and the codes and refresh tokens of a grant.

Rules
-----
- These run inside the writer's transaction, one after the other, so that whatever is good for one use
  is used once, whoever else comes at the same moment. They return what is wrong and never raise: the
  transaction is others' too.
- A code or refresh token that comes a second time revokes its grant and with it all that came of it.
- What has expired is kept a while, so that a late second use is still noticed, and then swept.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

import orjson

from ecoload.sandbox.a1.clients import granted_scope
from ecoload.sandbox.a1.oauth import OAuthError, challenge_of, digest, same
from ecoload.sandbox.a1.request import AuthRequest

SIGN_IN_MS = 10 * 60_000
CODE_MS = 60_000
REFRESH_MS = 60 * 60_000
KEPT_MS = 10 * 60_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS sign_ins (
    digest BLOB PRIMARY KEY,
    browser BLOB NOT NULL,
    request BLOB NOT NULL,
    run_id TEXT,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sign_ins_by_end ON sign_ins (expires_at);
CREATE TABLE IF NOT EXISTS grants (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    sub TEXT NOT NULL,
    scope TEXT NOT NULL,
    nonce TEXT,
    redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL,
    signed_in_at INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0,
    run_id TEXT,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS grants_by_end ON grants (expires_at);
CREATE TABLE IF NOT EXISTS credentials (
    digest BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS credentials_by_end ON credentials (expires_at);
CREATE INDEX IF NOT EXISTS credentials_by_grant ON credentials (grant_id);
"""

Kind = Literal["code", "refresh"]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person granted a client by signing in. `scope` is that of the tokens to be issued now."""

    grant_id: str
    client_id: str
    sub: str
    scope: str
    nonce: str | None
    redirect_uri: str
    challenge: str
    signed_in_at: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing is issued: OAuth's error, and a sentence."""

    description: str
    error: str = "invalid_grant"


def begin(
    database: sqlite3.Connection,
    sign_in: str,
    browser: str,
    wanted: AuthRequest,
    run_id: str | None,
    now: int,
) -> None:
    """Keeps a sign-in that a form will finish, bound to the browser that began it."""
    database.execute(
        "INSERT INTO sign_ins VALUES (?, ?, ?, ?, ?)",
        (digest(sign_in), digest(browser), orjson.dumps(wanted), run_id, now + SIGN_IN_MS),
    )


def is_open(database: sqlite3.Connection, sign_in: str, now: int) -> bool:
    """Whether a sign-in can still be finished."""
    return (
        database.execute(
            "SELECT 1 FROM sign_ins WHERE digest = ? AND expires_at > ?", (digest(sign_in), now)
        ).fetchone()
        is not None
    )


def finish(
    database: sqlite3.Connection,
    sign_in: str,
    wanted: AuthRequest,
    sub: str,
    code: str,
    run_id: str | None,
    now: int,
) -> bool:
    """Ends a sign-in with a grant and its code; False when it was ended before, or is too old."""
    if not is_open(database, sign_in, now):
        return False
    database.execute("DELETE FROM sign_ins WHERE digest = ?", (digest(sign_in),))
    grant_id = digest(code).hex()[:32]
    expires_at = now + CODE_MS
    database.execute(
        "INSERT INTO grants VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
        (
            grant_id,
            wanted.client_id,
            sub,
            wanted.scope,
            wanted.nonce,
            wanted.redirect_uri,
            wanted.challenge,
            now,
            run_id,
            expires_at,
        ),
    )
    _issue(database, "code", code, grant_id, expires_at)
    return True


def exchange_code(
    database: sqlite3.Connection,
    code: str,
    client_id: str,
    redirect_uri: str,
    verifier: str,
    refresh_token: str,
    now: int,
) -> Grant | Refused:
    """The grant of a code, which is used by this; `refresh_token` is kept as its first."""
    found = _find(database, "code", code, client_id, now)
    if isinstance(found, Refused):
        return found
    if redirect_uri != found.redirect_uri:
        return Refused("redirect_uri is not the one that the code was asked for")
    if not same(challenge_of(verifier), found.challenge):
        return Refused("code_verifier does not belong to the code's challenge")
    _rotate(database, code, refresh_token, found.grant_id, now)
    return found


def exchange_refresh(
    database: sqlite3.Connection,
    token: str,
    client_id: str,
    scope: str | None,
    refresh_token: str,
    now: int,
) -> Grant | Refused:
    """The grant of a refresh token, which is used by this and replaced; `scope` may ask for less."""
    found = _find(database, "refresh", token, client_id, now)
    if isinstance(found, Refused):
        return found
    try:
        granted = granted_scope(scope, tuple(found.scope.split(" ")))
    except OAuthError as error:
        return Refused(error.description, error.error)
    _rotate(database, token, refresh_token, found.grant_id, now)
    return Grant(
        found.grant_id,
        found.client_id,
        found.sub,
        granted,
        None,  # an ID token of a refresh answers no request, so it carries no nonce
        found.redirect_uri,
        found.challenge,
        found.signed_in_at,
    )


def sweep(database: sqlite3.Connection, now: int) -> None:
    """Deletes what has expired."""
    database.execute("DELETE FROM sign_ins WHERE expires_at < ?", (now,))
    for table in ("credentials", "grants"):
        database.execute(f"DELETE FROM {table} WHERE expires_at < ?", (now - KEPT_MS,))


def clean_up(database: sqlite3.Connection, run_id: str | None) -> dict[str, int]:
    """Deletes all that is no seed, of one run or all; how many rows by table."""
    where, arguments = ("1", ()) if run_id is None else ("run_id = ?", (run_id,))
    statements = {
        "credentials": f"grant_id IN (SELECT id FROM grants WHERE {where})",
        "grants": where,
        "sign_ins": where,
        "accounts": f"NOT seeded AND {where}",
    }
    return {
        table: database.execute(f"DELETE FROM {table} WHERE {condition}", arguments).rowcount
        for table, condition in statements.items()
    }


def _find(database: sqlite3.Connection, kind: Kind, secret: str, client_id: str, now: int) -> Grant | Refused:
    row = database.execute(
        "SELECT c.used, c.expires_at, g.revoked, g.id, g.client_id, g.sub, g.scope, g.nonce, g.redirect_uri,"
        " g.challenge, g.signed_in_at FROM credentials c JOIN grants g ON g.id = c.grant_id"
        " WHERE c.digest = ? AND c.kind = ?",
        (digest(secret), kind),
    ).fetchone()
    name = "code" if kind == "code" else "refresh token"
    if row is None:
        return Refused(f"there is no such {name}")
    used, expires_at, revoked, *rest = row
    found = Grant(*rest)
    if found.client_id != client_id:
        return Refused(f"the {name} was issued to another client")
    if used:
        database.execute("UPDATE grants SET revoked = 1 WHERE id = ?", (found.grant_id,))
        return Refused(f"the {name} was used before: all that came of it is revoked")
    if revoked:
        return Refused(f"the {name} is revoked")
    if expires_at <= now:
        return Refused(f"the {name} has expired")
    return found


def _rotate(database: sqlite3.Connection, used: str, fresh: str, grant_id: str, now: int) -> None:
    database.execute("UPDATE credentials SET used = 1 WHERE digest = ?", (digest(used),))
    database.execute("UPDATE grants SET expires_at = ? WHERE id = ?", (now + REFRESH_MS, grant_id))
    _issue(database, "refresh", fresh, grant_id, now + REFRESH_MS)


def _issue(database: sqlite3.Connection, kind: Kind, secret: str, grant_id: str, expires_at: int) -> None:
    database.execute(
        "INSERT INTO credentials VALUES (?, ?, ?, 0, ?)", (digest(secret), kind, grant_id, expires_at)
    )

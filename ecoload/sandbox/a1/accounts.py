"""The synthetic people of A1 and their passwords.

Rules
-----
- No real addresses: accounts are only in domains that are reserved for tests and examples.
- Passwords are hashed by scrypt, off the event loop, with a small cost (2 ms and 1 MiB rather than the
  100 ms of a provider with real people): the people are made up, and what is measured here is the model
  of a provider, not scrypt.
- A wrong password and an unknown account take the same work and get the same answer.
- The seeds share one salt, so that two hundred of them cost one hash at the start.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import sqlite3
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

SEEDS = 200
PASSWORD_RULE = "8 to 128 characters"
DOMAIN_RULE = "example.test, example.com, or a domain under .test or .example"

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    sub TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password BLOB NOT NULL,
    seeded INTEGER NOT NULL,
    run_id TEXT,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
"""

_COST = 2**10
_SALT_BYTES = 16
_THREADS = 2
_EMAIL = re.compile(r"[a-z0-9._%+-]{1,64}@((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,20})")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,80}")


@dataclass(frozen=True, slots=True)
class Registration:
    """What a new account is made of."""

    email: str
    name: str
    password: str = field(repr=False)


class Passwords:
    """Hashes and compares passwords in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="scrypt")

    async def hashed(self, password: str) -> bytes:
        """The salt and the hash of a password."""
        return await self._run(password, secrets.token_bytes(_SALT_BYTES))

    async def match(self, password: str, kept: bytes | None) -> bool:
        """Whether a password is the one that was kept; False after the same work for None."""
        salt = bytes(_SALT_BYTES) if kept is None else kept[:_SALT_BYTES]
        given = await self._run(password, salt)
        return kept is not None and hmac.compare_digest(given, kept)

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(cancel_futures=True)

    async def _run(self, password: str, salt: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _scrypt, password, salt)


def normal_email(text: str) -> str:
    """An address as it is compared and kept."""
    return text.strip().lower()


def parse_registration(form: Mapping[str, str]) -> tuple[Registration | None, dict[str, str]]:
    """The registration of a form's fields, or None and what is wrong by field."""
    email, name = normal_email(form.get("email", "")), form.get("name", "").strip()
    password = form.get("password", "")
    wrong = {}
    found = _EMAIL.fullmatch(email)
    if found is None or len(email) > 254:
        wrong["email"] = "must be an email address"
    elif not _is_synthetic(found[1]):
        wrong["email"] = f"no real addresses here: only in {DOMAIN_RULE}"
    if not _NAME.fullmatch(name):
        wrong["name"] = "must be 1 to 80 characters"
    if not 8 <= len(password) <= 128:
        wrong["password"] = f"must be {PASSWORD_RULE}"
    return (None, wrong) if wrong else (Registration(email, name, password), {})


def seed(database: sqlite3.Connection, password: bytes, now: int) -> None:
    """The synthetic students, with the password of this start: it is another each time the sandbox starts."""
    students = [f"student-{number:04}" for number in range(1, SEEDS + 1)]
    database.executemany(
        "INSERT INTO accounts VALUES (?, ?, ?, ?, 1, NULL, ?)"
        " ON CONFLICT (sub) DO UPDATE SET password = excluded.password",
        [(sub, f"{sub}@example.test", sub.replace("-", " ").title(), password, now) for sub in students],
    )


def add(
    database: sqlite3.Connection, person: Registration, password: bytes, run_id: str | None, now: int
) -> str | None:
    """Keeps a new account; its subject, or None when the address is taken."""
    sub = f"user-{uuid.uuid4().hex}"
    kept = database.execute(
        "INSERT OR IGNORE INTO accounts VALUES (?, ?, ?, ?, 0, ?, ?)",
        (sub, person.email, person.name, password, run_id, now),
    ).rowcount
    return sub if kept else None


def _scrypt(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=8, p=1)


def _is_synthetic(domain: str) -> bool:
    return domain == "example.com" or domain.endswith((".test", ".example"))

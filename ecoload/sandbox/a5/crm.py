"""A5's customer records: one for each person, written together with the event that tells of it.

Rules
-----
- The first sign-in of a person makes the record and emits `signup`, in one transaction; a later one
  changes neither. The record keeps the lineage the signup began with.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from dataclasses import asdict, dataclass

from aiohttp import web

from ecoload.sandbox.common.emitter import Emitter
from ecoload.sandbox.common.problems import Problem, answer, is_name
from ecoload.sandbox.common.store import Store

MOST_RECORDS = 100

SCHEMA = """
CREATE TABLE IF NOT EXISTS crm (
    crm_id TEXT PRIMARY KEY,
    sub TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    lineage_id TEXT NOT NULL,
    run_id TEXT,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS crm_of_lineage ON crm (lineage_id);
"""

_COLUMNS = "crm_id, sub, name, email, lineage_id, run_id, at"


@dataclass(frozen=True, slots=True)
class Person:
    """Who A1 says has signed in."""

    sub: str
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Record:
    """What the CRM holds of a person."""

    crm_id: str
    sub: str
    name: str
    email: str
    lineage_id: str
    run_id: str | None
    at: int


class Crm:
    """The records; they are in A5's store, whose schema has `SCHEMA`."""

    def __init__(self, store: Store, emitter: Emitter) -> None:
        self._store = store
        self._emitter = emitter

    def routes(self) -> list[web.RouteDef]:
        """Both are for who has a token."""
        return [
            web.get("/api/crm", self._of_lineage, name="crm"),
            web.get("/api/crm/{crm_id}", self._one, name="crm_record"),
        ]

    def keep(
        self, database: sqlite3.Connection, person: Person, *, lineage_id: str, run_id: str | None
    ) -> None:
        """Inside the writer's transaction: the record and its event, if the person has none."""
        crm_id = f"crm_{secrets.token_hex(10)}"
        kept = database.execute(
            f"INSERT INTO crm ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sub) DO NOTHING",
            (crm_id, person.sub, person.name, person.email, lineage_id, run_id, time.time_ns() // 1_000_000),
        )
        if kept.rowcount:
            data = {"user": person.sub, "crm_id": crm_id}
            self._emitter.add(database, "signup", data, lineage_id=lineage_id, run_id=run_id)

    async def find(self, by: str, value: str) -> list[Record]:
        """The records with this `crm_id`, `sub` or `lineage_id`, the newest first."""
        rows = await self._store.read(
            f"SELECT {_COLUMNS} FROM crm WHERE {by} = ? ORDER BY at DESC LIMIT {MOST_RECORDS}", (value,)
        )
        return [Record(*row) for row in rows]

    async def _one(self, request: web.Request) -> web.Response:
        found = await self.find("crm_id", request.match_info["crm_id"])
        if not found:
            raise Problem(404, "there is no such CRM record")
        return answer(asdict(found[0]))

    async def _of_lineage(self, request: web.Request) -> web.Response:
        lineage_id = request.query.get("lineage_id", "")
        if not is_name(lineage_id):
            raise Problem(422, "the query must say which lineage_id")
        return answer({"records": [asdict(record) for record in await self.find("lineage_id", lineage_id)]})

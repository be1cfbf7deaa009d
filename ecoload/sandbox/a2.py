"""A2, ingest: takes events, keeps each exactly once, and can be asked what it holds.

Rules
-----
- An acknowledged event is committed. Sequences count up from 1 in the order of commits.
- The idempotency key decides: the same key with the same body is the same event, with another body a
  conflict. An event id is unique too, whatever its key.
"""

from __future__ import annotations

import hashlib
import random
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from ecoload.sandbox import outbox
from ecoload.sandbox.behaviour import Faults, LogNormal
from ecoload.sandbox.outbox import Outbox
from ecoload.sandbox.service import RUN_HEADER, Config, Problem, answer, json_body, query_int
from ecoload.sandbox.store import Store

NAMESPACE = "perf_test"
MAX_PAGE = 1000

_NAME = re.compile(r"[A-Za-z0-9._:@~-]{1,128}")
_NAME_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ : @ ~ -"
_GIVEN_HERE = ("sequence", "received_at")
_MAX_INT = 2**53

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    run_id TEXT,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS events_of_run ON events (namespace, run_id);
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, digest BLOB NOT NULL, sequence INTEGER NOT NULL
) WITHOUT ROWID;
{outbox.SCHEMA}
"""

_COLUMNS = "sequence, run_id, received_at, body"


@dataclass(frozen=True, slots=True)
class Event:
    """A valid event: `body` as it came, in canonical JSON; `digest` its SHA-256."""

    event_id: str
    kind: str
    at: int
    run_id: str | None
    body: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an event."""

    sequence: int
    duplicate: bool = False
    conflict: str = ""


class Ingest:
    """The app; its state is `a2.db` in its folder."""

    laws: Mapping[str, LogNormal] = {
        "ingest": LogNormal(12, 30),
        "event": LogNormal(4, 9),
        "events": LogNormal(6, 14),
        "count": LogNormal(3, 7),
    }
    read_only = False

    def __init__(self, config: Config) -> None:
        self.faults = Faults()
        self._store = Store(config.folder / "a2.db", _SCHEMA)
        self._outbox = Outbox(self._store, config.internal_token)
        self._losing = random.Random(f"{config.seed}/a2/lose")

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/v1/events", self._ingest, name="ingest"),
            web.get("/v1/events", self._page, name="events"),
            web.get("/v1/events/count", self._count, name="count"),
            web.get("/v1/events/{event_id}", self._event, name="event"),
        ]

    async def checks(self) -> dict[str, Any]:
        return {"outbox_pending": await self._outbox.pending(), "database": "ok"}

    async def connect(self, peers: Mapping[str, str]) -> None:
        if "a8" in peers:
            self._outbox.start(peers["a8"])

    async def close(self) -> None:
        await self._outbox.close()
        await self._store.close()

    async def _ingest(self, request: web.Request) -> web.Response:
        event, wrong = parse_event(await json_body(request), request.headers.get(RUN_HEADER))
        key = request.headers.get("Idempotency-Key")
        if key is not None and not _NAME.fullmatch(key):
            wrong.append(f"Idempotency-Key: must be {_NAME_RULE}")
        if event is None or wrong:
            raise Problem(422, "the event is not valid", wrong)
        kept = self._losing.random() >= self.faults.lose_events
        receipt: Receipt = await self._store.write(
            lambda database: _keep(database, event, key or event.event_id, kept)
        )
        if receipt.conflict:
            raise Problem(409, receipt.conflict)
        self._outbox.wake()
        return answer(
            {
                "accepted": True,
                "event_id": event.event_id,
                "sequence": receipt.sequence,
                "duplicate": receipt.duplicate,
            },
            status=202,
        )

    async def _count(self, request: web.Request) -> web.Response:
        where, arguments = _filter(request)
        rows = await self._store.read(f"SELECT COUNT(*) FROM events WHERE {where}", arguments)
        return answer({"count": rows[0][0]})

    async def _event(self, request: web.Request) -> web.Response:
        event_id = request.match_info["event_id"]
        rows = await self._store.read(f"SELECT {_COLUMNS} FROM events WHERE event_id = ?", (event_id,))
        if not rows:
            raise Problem(404, "there is no such event")
        return answer(_document(rows[0]))

    async def _page(self, request: web.Request) -> web.Response:
        after = query_int(request, "after", 0, _MAX_INT)
        limit = max(1, query_int(request, "limit", 100, MAX_PAGE))
        where, arguments = _filter(request)
        rows = await self._store.read(
            f"SELECT {_COLUMNS} FROM events WHERE {where} AND sequence > ? ORDER BY sequence LIMIT ?",
            (*arguments, after, limit + 1),
        )
        page = rows[:limit]
        following = page[-1][0] if len(rows) > limit else None
        return answer({"events": [_document(row) for row in page], "next": following})


def parse_event(document: Any, run_of_header: str | None) -> tuple[Event | None, list[str]]:
    """The event of a JSON document, or None and everything wrong with it. The run is the one the
    document names, else the header's."""
    if not isinstance(document, dict):
        return None, ["the body must be a JSON object"]
    wrong = [f"{name}: is given by the server" for name in _GIVEN_HERE if name in document]
    unnamed = [name for name in ("event_id", "kind") if not _is_name(document.get(name))]
    wrong += [f"{name}: must be a string of {_NAME_RULE}" for name in unnamed]
    if document.get("event_id") == "count":
        wrong.append("event_id: count is the name of a route")
    if document.get("namespace") != NAMESPACE:
        wrong.append(f"namespace: must be {NAMESPACE}")
    at = document.get("at")
    if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < _MAX_INT:
        wrong.append("at: must be a time in whole ms since 1970")
    run_id = document.get("run_id", run_of_header)
    if run_id is not None and not _is_name(run_id):
        wrong.append(f"run_id: must be a string of {_NAME_RULE}")
    if not isinstance(document.get("data", {}), dict):
        wrong.append("data: must be an object")
    if wrong:
        return None, wrong
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(body).digest()
    return Event(document["event_id"], document["kind"], document["at"], run_id, body, digest), []


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _keep(database: sqlite3.Connection, event: Event, key: str, kept: bool) -> Receipt:
    """One event inside the writer's transaction. `kept` False is the fault that acknowledges and forgets."""
    known = database.execute("SELECT digest, sequence FROM keys WHERE key = ?", (key,)).fetchone()
    if known is not None:
        if known[0] == event.digest:
            return Receipt(known[1], duplicate=True)
        return Receipt(0, conflict="this idempotency key came with another body before")
    same = database.execute(
        "SELECT digest, sequence FROM events WHERE event_id = ?", (event.event_id,)
    ).fetchone()
    if same is not None and same[0] != event.digest:
        return Receipt(0, conflict="this event_id came with another body before")
    if same is not None:
        sequence = same[1]
    elif not kept:
        return Receipt(database.execute("SELECT COALESCE(MAX(sequence), 0) + 1 FROM events").fetchone()[0])
    else:
        sequence = database.execute(
            "INSERT INTO events (event_id, namespace, run_id, kind, at, received_at, digest, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event.event_id,
                NAMESPACE,
                event.run_id,
                event.kind,
                event.at,
                time.time_ns() // 1_000_000,
                event.digest,
                event.body,
            ),
        ).lastrowid
    database.execute("INSERT INTO keys VALUES (?, ?, ?)", (key, event.digest, sequence))
    return Receipt(sequence, duplicate=same is not None)


def _filter(request: web.Request) -> tuple[str, tuple[Any, ...]]:
    namespace = request.query.get("namespace", NAMESPACE)
    run_id = request.query.get("run_id")
    if run_id is None:
        return "namespace = ?", (namespace,)
    return "namespace = ? AND run_id = ?", (namespace, run_id)


def _document(row: tuple[Any, ...]) -> dict[str, Any]:
    sequence, run_id, received_at, body = row
    document: dict[str, Any] = orjson.loads(body)
    return document | {"run_id": run_id, "sequence": sequence, "received_at": received_at}

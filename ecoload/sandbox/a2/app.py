"""A2, ingest: takes events, keeps each exactly once, and can be asked what it holds.

Rules
-----
- An acknowledged event is committed. Sequences count up from 1 in the order of commits.
- The idempotency key decides: the same key with the same body is the same event, with another body a
  conflict. An event id is unique too, whatever its key.
"""

from __future__ import annotations

import hashlib
import logging
import random
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from ecoload.sandbox.common import outbox
from ecoload.sandbox.common.behaviour import LogNormal
from ecoload.sandbox.common.emitter import PATH
from ecoload.sandbox.common.outbox import Outbox
from ecoload.sandbox.common.peers import PeerFailed, Peers
from ecoload.sandbox.common.problems import (
    INTERNAL_HEADER,
    LINEAGE_HEADER,
    NAME_RULE,
    NAMESPACE,
    RUN_HEADER,
    Problem,
    answer,
    is_name,
    json_body,
    query_int,
)
from ecoload.sandbox.common.service import App, Config, internal_batch
from ecoload.sandbox.common.store import Store

COMMAND_CENTRE = "a8"
TELEMETRY_PATH = "/internal/telemetry"
CLEANUP_PATH = "/internal/cleanup"
MAX_PAGE = 1000

_GIVEN_HERE = ("sequence", "received_at")
_MAX_INT = 2**53

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    copy INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    run_id TEXT,
    lineage_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (event_id, copy)
);
CREATE INDEX IF NOT EXISTS events_of_run ON events (namespace, run_id);
CREATE INDEX IF NOT EXISTS events_of_lineage ON events (lineage_id);
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, digest BLOB NOT NULL, sequence INTEGER NOT NULL
) WITHOUT ROWID;
{outbox.SCHEMA}
"""

_COLUMNS = "sequence, run_id, lineage_id, received_at, body"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """A valid event: `body` as it came, in canonical JSON; `digest` its SHA-256."""

    event_id: str
    kind: str
    at: int
    run_id: str | None
    lineage_id: str
    body: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an event; the lineage is the one it was first kept with."""

    sequence: int
    lineage_id: str = ""
    duplicate: bool = False
    conflict: str = ""


class Ingest(App):
    """The app; its state is `a2.db` in its folder."""

    laws: Mapping[str, LogNormal] = {
        "ingest": LogNormal(12, 30),
        "event": LogNormal(4, 9),
        "events": LogNormal(6, 14),
        "count": LogNormal(3, 7),
    }
    protected = frozenset(laws)
    special_faults = frozenset({"lose_events", "duplicate_events"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._store = Store(config.folder / "a2.db", _SCHEMA)
        self._outbox = Outbox(
            self._store,
            config.internal_token,
            table="events",
            columns="event_id, namespace, run_id, lineage_id, kind, at, body",
            event=_telemetry,
            app=COMMAND_CENTRE,
            path=TELEMETRY_PATH,
        )
        self._losing = random.Random(f"{config.seed}/a2/lose")
        self._doubling = random.Random(f"{config.seed}/a2/double")
        self._peers: Peers | None = None

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/v1/events", self._ingest, name="ingest"),
            web.get("/v1/events", self._page, name="events"),
            web.get("/v1/events/count", self._count, name="count"),
            web.get("/v1/events/{event_id}", self._event, name="event"),
            web.post(PATH, self._from_apps, name="internal"),
        ]

    async def checks(self) -> dict[str, Any]:
        return {"outbox_pending": await self._outbox.pending(), "database": "ok"}

    async def connect(self, peers: Peers) -> None:
        self._peers = peers
        self._outbox.start(peers)

    async def close(self) -> None:
        await self._outbox.close()
        await self._store.close()

    async def clean_up(self, run_id: str | None) -> dict[str, int]:
        """Here first, then what A8 has of it; a batch on its way would come there after that."""
        async with self._outbox.under_way:
            return await self._clean_up(run_id)

    async def _clean_up(self, run_id: str | None) -> dict[str, int]:
        deleted: dict[str, int] = await self._store.write(lambda database: _forget(database, run_id))
        if self._peers is not None and COMMAND_CENTRE in self._peers.urls:
            status, document = await self._peers.call(
                COMMAND_CENTRE,
                "POST",
                CLEANUP_PATH,
                json={"namespace": NAMESPACE, "run_id": run_id},
                headers={INTERNAL_HEADER: self.config.internal_token},
            )
            if status != 200:
                raise PeerFailed(COMMAND_CENTRE, f"{CLEANUP_PATH} answered {status}", status)
            deleted["telemetry"] = document["deleted"]
        return deleted

    async def _ingest(self, request: web.Request) -> web.Response:
        event, wrong = parse_event(
            await json_body(request), request.headers.get(RUN_HEADER), request.headers.get(LINEAGE_HEADER)
        )
        key = request.headers.get("Idempotency-Key")
        if key is not None and not is_name(key):
            wrong.append(f"Idempotency-Key: must be {NAME_RULE}")
        if event is None or wrong:
            raise Problem(422, "the event is not valid", wrong)
        copies = self._copies()
        receipt: Receipt = await self._store.write(
            lambda database: _keep(database, event, key or event.event_id, copies)
        )
        if receipt.conflict:
            raise Problem(409, receipt.conflict)
        self._outbox.wake()
        return answer(
            {
                "accepted": True,
                "event_id": event.event_id,
                "lineage_id": receipt.lineage_id,
                "sequence": receipt.sequence,
                "duplicate": receipt.duplicate,
            },
            status=202,
        )

    async def _from_apps(self, request: web.Request) -> web.Response:
        """What other apps tell of themselves: the same events, in batches, under the ids they gave."""
        found = [
            parse_event(document, None, None)
            for document in await internal_batch(request, self.config.internal_token)
        ]
        if wrong := [reason for _, reasons in found for reason in reasons]:
            _log.error("an app emits what is no event: %s", wrong)
            raise Problem(422, "an event is not valid", wrong)
        events = [(event, self._copies()) for event, _ in found if event is not None]

        def keep(database: sqlite3.Connection) -> list[Receipt]:
            return [_keep(database, event, event.event_id, copies) for event, copies in events]

        receipts: list[Receipt] = await self._store.write(keep)
        self._outbox.wake()
        return answer({"received": len(receipts), "new": sum(not r.duplicate for r in receipts)})

    def _copies(self) -> int:
        """How often the next event is kept: once, but for the faults."""
        lost = self._losing.random() < self.faults.lose_events
        doubled = self._doubling.random() < self.faults.duplicate_events
        return 0 if lost else 2 if doubled else 1

    async def _count(self, request: web.Request) -> web.Response:
        where, arguments = _filter(request)
        rows = await self._store.read(f"SELECT COUNT(*) FROM events WHERE {where}", arguments)
        return answer({"count": rows[0][0]})

    async def _event(self, request: web.Request) -> web.Response:
        event_id = request.match_info["event_id"]
        rows = await self._store.read(
            f"SELECT {_COLUMNS} FROM events WHERE event_id = ? AND copy = 0", (event_id,)
        )
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


def parse_event(
    document: Any, run_of_header: str | None, lineage_of_header: str | None
) -> tuple[Event | None, list[str]]:
    """The event of a JSON document, or None and everything wrong with it. Run and lineage are those the
    document names, else the headers'; an event without a lineage begins one, by its own id."""
    if not isinstance(document, dict):
        return None, ["the body must be a JSON object"]
    wrong = [f"{name}: is given by the server" for name in _GIVEN_HERE if name in document]
    run_id = document.get("run_id", run_of_header)
    lineage_id = document.get("lineage_id", lineage_of_header)
    optional = {
        "run_id": run_id,
        "lineage_id": lineage_id,
        "app": document.get("app"),
        "state": document.get("state"),
    }
    names = {"event_id": document.get("event_id"), "kind": document.get("kind")}
    names |= {name: value for name, value in optional.items() if value is not None}
    wrong += [
        f"{name}: must be a string of {NAME_RULE}" for name, value in names.items() if not is_name(value)
    ]
    if document.get("event_id") == "count":
        wrong.append("event_id: count is the name of a route")
    if document.get("namespace") != NAMESPACE:
        wrong.append(f"namespace: must be {NAMESPACE}")
    at = document.get("at")
    if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < _MAX_INT:
        wrong.append("at: must be a time in whole ms since 1970")
    if not isinstance(document.get("data", {}), dict):
        wrong.append("data: must be an object")
    if wrong:
        return None, wrong
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(body).digest()
    event_id = document["event_id"]
    event = Event(event_id, document["kind"], document["at"], run_id, lineage_id or event_id, body, digest)
    return event, []


def _keep(database: sqlite3.Connection, event: Event, key: str, copies: int) -> Receipt:
    """One event inside the writer's transaction. `copies` 0 is the fault that acknowledges and forgets, 2 the
    one that keeps it twice."""
    known = database.execute(
        "SELECT keys.digest, sequence, lineage_id FROM keys JOIN events USING (sequence) WHERE key = ?",
        (key,),
    ).fetchone()
    if known is not None:
        if known[0] == event.digest:
            return Receipt(known[1], known[2], duplicate=True)
        return Receipt(0, conflict="this idempotency key came with another body before")
    same = database.execute(
        "SELECT digest, sequence, lineage_id FROM events WHERE event_id = ? AND copy = 0", (event.event_id,)
    ).fetchone()
    if same is not None and same[0] != event.digest:
        return Receipt(0, conflict="this event_id came with another body before")
    lineage_id = event.lineage_id
    if same is not None:
        _, sequence, lineage_id = same
    elif not copies:
        (sequence,) = database.execute("SELECT COALESCE(MAX(sequence), 0) + 1 FROM events").fetchone()
        return Receipt(sequence, lineage_id)
    else:
        sequence = _insert(database, event, 0)
        for copy in range(1, copies):
            _insert(database, event, copy)
    database.execute("INSERT INTO keys VALUES (?, ?, ?)", (key, event.digest, sequence))
    return Receipt(sequence, lineage_id, duplicate=same is not None)


def _insert(database: sqlite3.Connection, event: Event, copy: int) -> int:
    """Its sequence."""
    row = database.execute(
        "INSERT INTO events"
        " (event_id, copy, namespace, run_id, lineage_id, kind, at, received_at, digest, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.event_id,
            copy,
            NAMESPACE,
            event.run_id,
            event.lineage_id,
            event.kind,
            event.at,
            time.time_ns() // 1_000_000,
            event.digest,
            event.body,
        ),
    )
    assert row.lastrowid is not None
    return row.lastrowid


def _forget(database: sqlite3.Connection, run_id: str | None) -> dict[str, int]:
    which, arguments = ("1", ()) if run_id is None else ("run_id = ?", (run_id,))
    keys = f"DELETE FROM keys WHERE sequence IN (SELECT sequence FROM events WHERE {which})"
    counts = {"keys": database.execute(keys, arguments).rowcount}
    return counts | {"events": database.execute(f"DELETE FROM events WHERE {which}", arguments).rowcount}


def _filter(request: web.Request) -> tuple[str, tuple[Any, ...]]:
    where, arguments = "namespace = ?", [request.query.get("namespace", NAMESPACE)]
    for name in ("run_id", "lineage_id"):
        if name in request.query:
            where += f" AND {name} = ?"
            arguments.append(request.query[name])
    return where, tuple(arguments)


def _telemetry(row: tuple[Any, ...]) -> dict[str, Any]:
    """What A8 is told of an event."""
    *known, body = row
    document = orjson.loads(body)
    names = ("sequence", "event_id", "namespace", "run_id", "lineage_id", "kind", "at")
    told = dict(zip(names, known, strict=True))
    return told | {name: document.get(name) for name in ("app", "state", "data")}


def _document(row: tuple[Any, ...]) -> dict[str, Any]:
    sequence, run_id, lineage_id, received_at, body = row
    document: dict[str, Any] = orjson.loads(body)
    given = {"run_id": run_id, "lineage_id": lineage_id, "sequence": sequence, "received_at": received_at}
    return document | given

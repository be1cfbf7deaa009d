"""A5's telemetry: events told to A8 by way of A2, and whether they arrive there.

Rules
-----
- Up to `MOST_WATCHED` events of the last minute are watched: A8 is asked once a second for the lineage of
  each until it shows. The others are only sent, so that watching costs the same at any load.
- What A8 was slow to show is never forgotten: one watched event above `LIMIT_S` makes the answer false.
- An event that has not shown for `GIVE_UP_S` is not asked for any more; it stays unconfirmed.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ecoload.sandbox.common.emitter import Emitter
from ecoload.sandbox.common.peers import PeerFailed, Peers
from ecoload.sandbox.common.problems import (
    NAME_RULE,
    NAMESPACE,
    Problem,
    answer,
    is_name,
    json_object,
    lineage_of,
    query_namespace,
    run_of,
)
from ecoload.sandbox.common.store import Store, StoreFailed

COMMAND_CENTRE = "a8"
KIND = "student_telemetry"
LIMIT_S = 60
GIVE_UP_S = 600
EVERY_S = 1.0
MOST_WATCHED = 20
MOST_ASKED = 50
MOST_JUDGED = 1000
MOST_TEXT = 200
MOST_NUMBER = 2**53

SCHEMA = """
CREATE TABLE IF NOT EXISTS telemetry (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    lineage_id TEXT NOT NULL,
    run_id TEXT,
    at INTEGER NOT NULL,
    watched INTEGER NOT NULL,
    confirmed_at INTEGER
);
CREATE INDEX IF NOT EXISTS telemetry_of_run ON telemetry (run_id);
CREATE INDEX IF NOT EXISTS telemetry_watched ON telemetry (run_id, number) WHERE watched = 1;
CREATE INDEX IF NOT EXISTS telemetry_open ON telemetry (at) WHERE watched = 1 AND confirmed_at IS NULL;
"""

_STATE = re.compile(r"[A-Z]{2}")

_log = logging.getLogger(__name__)


class Telemetry:
    """Sends and watches; the events are in A5's store, whose schema has `SCHEMA`."""

    def __init__(self, store: Store, emitter: Emitter) -> None:
        self._store = store
        self._emitter = emitter
        self._new = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def routes(self) -> list[web.RouteDef]:
        """Both are for who has a token."""
        return [
            web.post("/api/telemetry", self._send, name="telemetry"),
            web.get("/api/telemetry/status", self._status, name="telemetry_status"),
        ]

    def start(self, peers: Peers) -> None:
        """Watch from now on, if there is an A8 to ask."""
        if COMMAND_CENTRE in peers.urls:
            self._task = asyncio.create_task(self._watch(peers))

    async def close(self) -> None:
        """Stops; what is open stays in the database."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self, request: web.Request) -> web.Response:
        query_namespace(request)
        document = await json_object(request)
        if wrong := wrong_with(document):
            raise Problem(422, "the telemetry is not valid", wrong)
        lineage_id, run_id, state = lineage_of(request), run_of(request), document.pop("state", None)

        def send(database: sqlite3.Connection) -> str:
            event_id = self._emitter.add(
                database, KIND, document, lineage_id=lineage_id, run_id=run_id, state=state
            )
            _keep(database, event_id, lineage_id, run_id, _now_ms())
            return event_id

        event_id: str = await self._store.write(send)
        self._emitter.wake()
        self._new.set()
        return answer({"accepted": True, "event_id": event_id, "lineage_id": lineage_id}, status=202)

    async def _status(self, request: web.Request) -> web.Response:
        run_id = request.query.get("run_id")
        which, arguments = ("1", ()) if run_id is None else ("run_id = ?", (run_id,))
        sent = await self._store.read(f"SELECT COUNT(*) FROM telemetry WHERE {which}", arguments)
        watched = await self._store.read(
            f"SELECT at, confirmed_at FROM telemetry WHERE watched = 1 AND {which}"
            f" ORDER BY number DESC LIMIT {MOST_JUDGED}",
            arguments,
        )
        return answer({"run_id": run_id, "sent": sent[0][0], **judged(watched, _now_ms())})

    async def _watch(self, peers: Peers) -> None:
        while True:
            self._new.clear()
            open_still = True
            try:
                open_still = await self._ask_for_all(peers)
            except (PeerFailed, StoreFailed) as error:
                _log.warning("telemetry: %s", error)
            if not open_still:
                await self._new.wait()
            await asyncio.sleep(EVERY_S)

    async def _ask_for_all(self, peers: Peers) -> bool:
        """Asks A8 for each event that is open; whether there was one."""
        rows = await self._store.read(
            "SELECT number, event_id, lineage_id FROM telemetry"
            " WHERE watched = 1 AND confirmed_at IS NULL AND at > ? ORDER BY at DESC LIMIT ?",
            (_now_ms() - GIVE_UP_S * 1000, MOST_ASKED),
        )
        for number, event_id, lineage_id in rows:
            if await _shows(peers, event_id, lineage_id):
                await self._confirm(number)
        return bool(rows)

    async def _confirm(self, number: int) -> None:
        seen = (_now_ms(), number)
        sql = "UPDATE telemetry SET confirmed_at = ? WHERE number = ?"
        await self._store.write(lambda database: database.execute(sql, seen))


def wrong_with(document: dict[str, Any]) -> list[str]:
    """Everything wrong with a telemetry document."""
    known = ("name", "value", "state")
    wrong = [
        f"{key[:64]}: no such field; there are {', '.join(known)}" for key in document if key not in known
    ]
    if not is_name(document.get("name")):
        wrong.append(f"name: must be a string of {NAME_RULE}")
    value = document.get("value")
    fits = len(value) <= MOST_TEXT if isinstance(value, str) else _is_small(value)
    if not fits:
        wrong.append(f"value: must be a number, true, false or at most {MOST_TEXT} characters")
    state = document.get("state")
    if state is not None and not (isinstance(state, str) and _STATE.fullmatch(state)):
        wrong.append("state: must be two capital letters")
    return wrong[:20]


def judged(watched: Sequence[tuple[int, int | None]], now_ms: int) -> dict[str, Any]:
    """What events say that were sent at, and seen in A8 at (or not yet)."""
    took = sorted(seen - sent for sent, seen in watched if seen is not None)
    waiting = max((now_ms - sent for sent, seen in watched if seen is None), default=None)
    late = max([*took[-1:], waiting or 0], default=0) > LIMIT_S * 1000
    return {
        "watched": len(watched),
        "confirmed": len(took),
        "last_confirmed_ms": max((seen for _, seen in watched if seen is not None), default=None),
        "visible_within_ms": {"p50": took[(len(took) - 1) // 2], "max": took[-1]} if took else None,
        "oldest_unconfirmed_s": None if waiting is None else round(waiting / 1000, 1),
        "confirmed_within_60s": False if late else (True if took else None),
    }


async def _shows(peers: Peers, event_id: str, lineage_id: str) -> bool:
    """Whether A8 shows an event. Raises PeerFailed."""
    query = urlencode({"namespace": NAMESPACE, "lineage_id": lineage_id, "event_id": event_id})
    status, document = await peers.call(COMMAND_CENTRE, "GET", f"/api/events?{query}")
    if status != 200 or not isinstance(document, dict):
        raise PeerFailed(COMMAND_CENTRE, f"/api/events answered {status}", status)
    return bool(document.get("rows"))


def _keep(
    database: sqlite3.Connection, event_id: str, lineage_id: str, run_id: str | None, now_ms: int
) -> None:
    recent = "SELECT COUNT(*) FROM telemetry WHERE watched = 1 AND confirmed_at IS NULL AND at > ?"
    (watched,) = database.execute(recent, (now_ms - LIMIT_S * 1000,)).fetchone()
    database.execute(
        "INSERT INTO telemetry (event_id, lineage_id, run_id, at, watched) VALUES (?, ?, ?, ?, ?)",
        (event_id, lineage_id, run_id, now_ms, watched < MOST_WATCHED),
    )


def _is_small(value: Any) -> bool:
    """Whether a value is nothing, true, false, or a number that every reader takes for the same."""
    return value is None or (isinstance(value, int | float) and abs(value) <= MOST_NUMBER)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

"""A8, the event tile: shows what A2 told it. To the outside it is read-only.

Rules
-----
- A2 delivers at least once; an event counts once, by its id.
- Counts are kept as events come in, so that a tile costs the same however many there are.
- Every method from outside but GET and HEAD is refused with 405.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from ecoload.sandbox import outbox
from ecoload.sandbox.behaviour import Faults, LogNormal
from ecoload.sandbox.service import Config, Problem, answer, json_body, token_given
from ecoload.sandbox.store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (event_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (
    namespace TEXT NOT NULL,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    count INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id, kind)
) WITHOUT ROWID;
"""

_COUNT = """
INSERT INTO counts VALUES (:namespace, :run_id, :kind, 1, :sequence, :event_id, :at)
ON CONFLICT DO UPDATE SET
    count = count + 1, sequence = excluded.sequence, event_id = excluded.event_id, at = excluded.at
"""

Telemetry = list[dict[str, Any]]


class EventTile:
    """The app; its state is `a8.db` in its folder."""

    laws: Mapping[str, LogNormal] = {"tile": LogNormal(8, 20)}
    read_only = True

    def __init__(self, config: Config) -> None:
        self.faults = Faults()
        self._store = Store(config.folder / "a8.db", _SCHEMA)
        self._token = config.internal_token

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post(outbox.PATH, self._telemetry, name="internal"),
            web.get("/api/tiles/events", self._tile, name="tile"),
        ]

    async def checks(self) -> dict[str, Any]:
        await self._store.read("SELECT 1")
        return {"database": "ok"}

    async def connect(self, peers: Mapping[str, str]) -> None:
        """A8 calls nobody."""

    async def close(self) -> None:
        await self._store.close()

    async def _telemetry(self, request: web.Request) -> web.Response:
        if not token_given(request, outbox.TOKEN_HEADER, self._token):
            raise Problem(405, "a8 is read-only: POST is not allowed")
        document = await json_body(request)
        events: Telemetry = document["events"]
        new: int = await self._store.write(lambda database: _take_in(database, events))
        return answer({"received": len(events), "new": new})

    async def _tile(self, request: web.Request) -> web.Response:
        namespace = request.query.get("namespace", "perf_test")
        run_id = request.query.get("run_id")
        where = "namespace = ?" if run_id is None else "namespace = ? AND run_id = ?"
        rows = await self._store.read(
            f"SELECT kind, count, sequence, event_id, at FROM counts WHERE {where}",
            (namespace,) if run_id is None else (namespace, run_id),
        )
        by_kind: dict[str, int] = {}
        for kind, count, *_ in rows:
            by_kind[kind] = by_kind.get(kind, 0) + count
        last = max(rows, key=lambda row: row[2], default=None)
        return answer(
            {
                "namespace": namespace,
                "run_id": run_id,
                "total": sum(by_kind.values()),
                "by_kind": dict(sorted(by_kind.items())),
                "latest": last and {"event_id": last[3], "kind": last[0], "at": last[4], "sequence": last[2]},
            }
        )


def _take_in(database: sqlite3.Connection, events: Telemetry) -> int:
    """Counts those of `events` that are new, inside the writer's transaction; how many that were."""
    new = 0
    for event in events:
        seen = database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (event["event_id"],))
        if seen.rowcount:
            database.execute(_COUNT, event | {"run_id": event["run_id"] or ""})
            new += 1
    return new

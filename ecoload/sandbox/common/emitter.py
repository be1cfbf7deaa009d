"""Events that an app tells A2, at least once, through an outbox in the app's own database.

Rules
-----
- An event is added in the transaction of what it tells of: both are kept, or neither.
- Its id is made here, so that A2 takes a repeated delivery as the same event.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from typing import Any

import orjson

from ecoload.sandbox.common import outbox
from ecoload.sandbox.common.outbox import Outbox
from ecoload.sandbox.common.problems import NAMESPACE
from ecoload.sandbox.common.store import Store

INGEST = "a2"
PATH = "/internal/events"

EMITTER_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS outgoing (sequence INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
{outbox.SCHEMA}
"""


class Emitter(Outbox):
    """Adds events inside the app's writes and delivers them; the store's schema has `EMITTER_SCHEMA`."""

    def __init__(self, store: Store, app: str, internal_token: str) -> None:
        self._source = app
        super().__init__(
            store,
            internal_token,
            table="outgoing",
            columns="body",
            event=lambda row: orjson.loads(row[1]),
            app=INGEST,
            path=PATH,
            forget=True,
        )

    def add(
        self,
        database: sqlite3.Connection,
        kind: str,
        data: dict[str, Any],
        *,
        lineage_id: str,
        run_id: str | None,
        state: str | None = None,
    ) -> str:
        """One event inside the writer's transaction; its id. `wake` sends it once that is committed."""
        event = {
            "event_id": uuid.uuid4().hex,
            "kind": kind,
            "namespace": NAMESPACE,
            "at": time.time_ns() // 1_000_000,
            "lineage_id": lineage_id,
            "app": self._source,
            "data": data,
        }
        event |= {name: value for name, value in (("run_id", run_id), ("state", state)) if value is not None}
        database.execute("INSERT INTO outgoing (body) VALUES (?)", (orjson.dumps(event),))
        return str(event["event_id"])

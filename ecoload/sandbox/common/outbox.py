"""Delivers what a table holds to another app, at least once and in order.

Rules
-----
- A cursor in the same database says how far the other app has it, and moves only after it
  acknowledged. What is pending at a kill goes out after the restart.
- Batches, with a rest between: delivering never competes with what the app is for.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Any

from ecoload.sandbox.common.peers import PeerFailed, Peers
from ecoload.sandbox.common.problems import INTERNAL_HEADER
from ecoload.sandbox.common.store import Store, StoreFailed

BATCH = 100  # its longest names and data stay under the cap on internal bodies
REST_S = 0.1
MAX_WAIT_S = 2.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (one INTEGER PRIMARY KEY CHECK (one = 1), cursor INTEGER NOT NULL);
INSERT OR IGNORE INTO outbox VALUES (1, 0);
"""

_log = logging.getLogger(__name__)


class Outbox:
    """Delivers `{"events": [event, …]}` to `path` of `app`, for each batch of rows of `table` beyond the
    cursor; `event` makes one of a row, which is `sequence` and `columns`. With `forget`, rows go when they
    are delivered.

    Delivers from `start` on; `wake` says that there may be something new.
    """

    def __init__(
        self,
        store: Store,
        internal_token: str,
        *,
        table: str,
        columns: str,
        event: Callable[[tuple[Any, ...]], dict[str, Any]],
        app: str,
        path: str,
        forget: bool = False,
    ) -> None:
        self._store = store
        self._headers = {INTERNAL_HEADER: internal_token}
        self._pending = (
            f"SELECT sequence, {columns} FROM {table}"
            " WHERE sequence > (SELECT cursor FROM outbox) ORDER BY sequence LIMIT ?"
        )
        self._count = f"SELECT COUNT(*) FROM {table} WHERE sequence > (SELECT cursor FROM outbox)"
        self._forget = f"DELETE FROM {table} WHERE sequence <= ?" if forget else ""
        self._event = event
        self._app = app
        self._path = path
        self.under_way = asyncio.Lock()
        """Held by each batch from its reading to its acknowledgement."""
        self._new = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, peers: Peers) -> None:
        """Deliver from now on, if there is anybody to deliver to."""
        if self._app in peers.urls and self._task is None:
            self._task = asyncio.create_task(self._deliver(peers))

    def wake(self) -> None:
        """Something was committed."""
        self._new.set()

    async def pending(self) -> int:
        """How many rows the other app has not acknowledged."""
        rows = await self._store.read(self._count)
        return int(rows[0][0])

    async def close(self) -> None:
        """Stops; what is pending stays in the database."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _deliver(self, peers: Peers) -> None:
        wait_s = REST_S
        while True:
            self._new.clear()
            try:
                async with self.under_way:
                    sent = await self._send_batch(peers)
                wait_s = REST_S
            except (PeerFailed, StoreFailed) as error:
                _log.warning("outbox: %s", error)
                wait_s = min(wait_s * 2, MAX_WAIT_S)
                sent = True
            if not sent:
                await self._new.wait()
            await asyncio.sleep(wait_s)

    async def _send_batch(self, peers: Peers) -> bool:
        """Sends the next batch; whether there was one."""
        rows = await self._store.read(self._pending, (BATCH,))
        if not rows:
            return False
        batch = {"events": [self._event(row) for row in rows]}
        status, _ = await peers.call(
            self._app, "POST", self._path, json=batch, headers=self._headers, timeout_s=10.0
        )
        if status != 200:
            raise PeerFailed(self._app, f"{self._path} answered {status}", status)
        cursor = rows[-1][0]
        await self._store.write(lambda database: self._delivered(database, cursor))
        return True

    def _delivered(self, database: sqlite3.Connection, cursor: int) -> None:
        database.execute("UPDATE outbox SET cursor = ?", (cursor,))
        if self._forget:
            database.execute(self._forget, (cursor,))

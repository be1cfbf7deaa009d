"""Forwards A2's events to A8, at least once and in order.

Rules
-----
- The log of events is the outbox: a cursor in the same database says how far A8 has them, and moves
  only after A8 acknowledged. What is pending at a kill goes out after the restart.
- Batches, with a rest between: forwarding never competes with ingest.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import orjson

from ecoload.sandbox.store import Store, StoreFailed

BATCH = 100  # its longest names stay under the cap on bodies
REST_S = 0.1
MAX_WAIT_S = 2.0
TOKEN_HEADER = "X-Sandbox-Internal"
PATH = "/internal/telemetry"

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (one INTEGER PRIMARY KEY CHECK (one = 1), cursor INTEGER NOT NULL);
INSERT OR IGNORE INTO outbox VALUES (1, 0);
"""

_PENDING = """
SELECT sequence, event_id, namespace, run_id, kind, at FROM events
WHERE sequence > (SELECT cursor FROM outbox) ORDER BY sequence LIMIT ?
"""

_log = logging.getLogger(__name__)


class Outbox:
    """Starts to forward when it learns where to; `wake` says that there may be something new."""

    def __init__(self, store: Store, token: str) -> None:
        self._store = store
        self._token = token
        self._new = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, base_url: str) -> None:
        """Forward to A8 at `base_url` from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._forward(base_url + PATH))

    def wake(self) -> None:
        """Something was committed."""
        self._new.set()

    async def pending(self) -> int:
        """How many events A8 has not acknowledged."""
        rows = await self._store.read(
            "SELECT COALESCE((SELECT MAX(sequence) FROM events), 0) - cursor FROM outbox"
        )
        return int(rows[0][0])

    async def close(self) -> None:
        """Stops; what is pending stays in the database."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _forward(self, url: str) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout, headers={TOKEN_HEADER: self._token}) as session:
            wait_s = REST_S
            while True:
                self._new.clear()
                try:
                    sent = await self._send_batch(session, url)
                    wait_s = REST_S
                except (aiohttp.ClientError, TimeoutError, OSError, StoreFailed) as error:
                    _log.warning("outbox: %s", error)
                    wait_s = min(wait_s * 2, MAX_WAIT_S)
                    sent = True
                if not sent:
                    await self._new.wait()
                await asyncio.sleep(wait_s)

    async def _send_batch(self, session: aiohttp.ClientSession, url: str) -> bool:
        """Sends the next batch; whether there was one."""
        rows = await self._store.read(_PENDING, (BATCH,))
        if not rows:
            return False
        names = ("sequence", "event_id", "namespace", "run_id", "kind", "at")
        body = orjson.dumps({"events": [dict(zip(names, row, strict=True)) for row in rows]})
        headers = {"Content-Type": "application/json"}
        async with session.post(url, data=body, headers=headers) as response:
            response.raise_for_status()
        cursor = rows[-1][0]
        await self._store.write(lambda database: database.execute("UPDATE outbox SET cursor = ?", (cursor,)))
        return True

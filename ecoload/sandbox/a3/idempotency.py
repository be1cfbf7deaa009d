"""One effect for one idempotency key, however often and however closely together it is asked for.

Rules
-----
- The answer and the effect of a key are kept in one transaction: both, or neither.
- A key that is being worked on is waited for; who waits gets what the first gets, be it a failure. A
  failure is not kept: the next to come with the key is the first again.
- A key lives for `KEEP_MS`; then it is swept, and what comes with it is new.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ecoload.sandbox.common.problems import Problem
from ecoload.sandbox.common.store import Store

KEEP_MS = 24 * 3600 * 1000
WAIT_S = 5.0
"""How long a call waits for the one before it with the same key."""

KEYS_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, digest BLOB NOT NULL, body BLOB NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_by_age ON keys (at);
"""

_OTHER_BODY = "this Idempotency-Key came with another body before"


@dataclass(frozen=True, slots=True)
class Result:
    """What work came to: the body of its answer, and what it does in the transaction that keeps it."""

    body: bytes
    effect: Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class _Flight:
    digest: bytes
    task: asyncio.Task[tuple[bytes, bool]]


class Keys:
    """The keys in `store`, whose schema has `KEYS_SCHEMA`. The clock gives ms since 1970."""

    def __init__(self, store: Store, clock: Callable[[], int], wait_s: float = WAIT_S) -> None:
        self._store = store
        self._clock = clock
        self._wait_s = wait_s
        self._flights: dict[str, _Flight] = {}

    async def once(
        self, key: str, digest: bytes, work: Callable[[], Awaitable[Result]]
    ) -> tuple[bytes, bool]:
        """The body of the answer for `key`, and whether it was there before. `digest` says what is the
        same. Raises Problem (another digest; the first takes too long), and whatever `work` raises."""
        deadline_s = asyncio.get_running_loop().time() + self._wait_s
        while (flight := self._flights.get(key)) is not None:
            await asyncio.wait({flight.task}, timeout=deadline_s - asyncio.get_running_loop().time())
            if not flight.task.done():
                raise Problem(
                    409,
                    "a request with this Idempotency-Key is being worked on",
                    headers={"Retry-After": "1"},
                )
            if flight.digest == digest:
                return flight.task.result()[0], True
        task = asyncio.create_task(self._carry_out(key, digest, work))
        self._flights[key] = _Flight(digest, task)
        return await asyncio.shield(task)  # those who wait depend on it, whatever becomes of the first

    async def anew(self, work: Callable[[], Awaitable[Result]]) -> bytes:
        """The body of work that is done whatever its key has done before: what keys are there to prevent."""
        result = await work()
        await self._store.write(result.effect)
        return result.body

    async def close(self) -> None:
        """Lets what is being worked on end."""
        tasks = [flight.task for flight in self._flights.values()]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(
        self, key: str, digest: bytes, work: Callable[[], Awaitable[Result]]
    ) -> tuple[bytes, bool]:
        try:
            rows = await self._store.read(
                "SELECT digest, body FROM keys WHERE key = ? AND at > ?", (key, self._clock() - KEEP_MS)
            )
            if rows:
                known, body = rows[0]
                if known != digest:
                    raise Problem(422, _OTHER_BODY)
                return body, True
            result = await work()
            at = self._clock()

            def keep(database: sqlite3.Connection) -> None:
                database.execute("DELETE FROM keys WHERE at <= ?", (at - KEEP_MS,))
                database.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", (key, digest, result.body, at))
                result.effect(database)

            await self._store.write(keep)
            return result.body, False
        finally:
            del self._flights[key]

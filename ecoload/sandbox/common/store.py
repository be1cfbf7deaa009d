"""An app's state in SQLite: one writer thread with group commit, and readers, a thread each.

Rules
-----
- A write is settled only after its transaction is committed, so that what was acknowledged outlives a
  kill of the process (WAL; `synchronous=NORMAL`, which a power cut could roll back: the state of a
  sandbox need not outlive that, and the disk's own stalls stay out of the latency that is modelled).
- Writes that wait together share one transaction; they all commit or all fail.
- SQLite never runs on the event loop.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MAX_GROUP = 500

Work = Callable[[sqlite3.Connection], Any]


class StoreFailed(Exception):
    """The database could not carry out what it was asked."""


class Reader:
    """Reads the database at `path` on a thread of its own, so that long reads hold up no others."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA query_only=ON")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")

    async def read(self, sql: str, arguments: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; raises StoreFailed."""
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._database.execute(sql, arguments).fetchall()
            )
        except sqlite3.Error as error:
            raise StoreFailed(str(error)) from error

    def close(self) -> None:
        """Closes the file, when what is being read has been."""
        self._thread.shutdown()
        self._database.close()


class Store:
    """Opens or creates the database at `path`; raises sqlite3.Error when that fails."""

    def __init__(self, path: Path, schema: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Work, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._writing = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._writing.execute("PRAGMA journal_mode=WAL")
        self._writing.execute("PRAGMA synchronous=NORMAL")
        self._writing.executescript(schema)
        self._reader = Reader(path)
        self.read = self._reader.read
        self._writer = threading.Thread(target=self._write_groups, name="writer", daemon=True)
        self._writer.start()

    def write(self, work: Work) -> asyncio.Future[Any]:
        """`work` in the next transaction; its result once that is committed, or StoreFailed."""
        settled: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put((work, settled))
        return settled

    async def close(self) -> None:
        """Commits what waits and closes the files."""
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._writer.join)
        self._reader.close()
        self._writing.close()

    def _write_groups(self) -> None:
        ended = False
        while not ended:
            entry = self._queue.get()
            group = []
            while entry is not None:
                group.append(entry)
                if len(group) == MAX_GROUP:
                    break
                try:
                    entry = self._queue.get_nowait()
                except queue.Empty:
                    break
            else:
                ended = True
            if group:
                self._loop.call_soon_threadsafe(_settle, self._commit(group))

    def _commit(
        self, group: list[tuple[Work, asyncio.Future[Any]]]
    ) -> list[tuple[asyncio.Future[Any], Any, StoreFailed | None]]:
        database = self._writing
        try:
            database.execute("BEGIN IMMEDIATE")
            results = [work(database) for work, _ in group]
            database.execute("COMMIT")
        except Exception as error:  # whatever it was, nothing of this group was kept, and each must hear it
            if database.in_transaction:
                database.execute("ROLLBACK")
            return [(settled, None, StoreFailed(str(error))) for _, settled in group]
        return [(settled, result, None) for (_, settled), result in zip(group, results, strict=True)]


def _settle(group: list[tuple[asyncio.Future[Any], Any, StoreFailed | None]]) -> None:
    for settled, result, error in group:
        if settled.done():  # whoever waited has gone
            continue
        if error is None:
            settled.set_result(result)
        else:
            settled.set_exception(error)

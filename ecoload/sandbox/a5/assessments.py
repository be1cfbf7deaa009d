"""A5's assessments: every document goes to A4 and comes out with an outcome, sooner or later.

Rules
-----
- A document stays `pending` until A4 has answered, across failures and restarts; a failure is tried again
  after 1 s, then ever later, up to `MOST_WAIT_S`. At most `MOST_AT_ONCE` are with A4 at a time.
- The outcome depends on the document alone. It is marked, and the event that tells of it added, in one
  transaction, once.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from ecoload.sandbox.common.emitter import Emitter
from ecoload.sandbox.common.peers import PeerFailed, Peers
from ecoload.sandbox.common.store import Store, StoreFailed

SAGE = "a4"
PATH = "/chat/completions"
MODEL = "scholarship-sage"
MOST_TOKENS = 32
MOST_AT_ONCE = 8
MOST_WAIT_S = 30
TIMEOUT_S = 15.0
REST_S = 0.5

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    document_id TEXT PRIMARY KEY,
    owner TEXT,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    digest TEXT NOT NULL,
    excerpt TEXT NOT NULL,
    lineage_id TEXT NOT NULL,
    run_id TEXT,
    at INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    outcome TEXT,
    tokens INTEGER,
    tries INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL DEFAULT 0,
    processed_at INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS documents_pending ON documents (due_at) WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS documents_of_owner ON documents (owner, at);
"""

_JOB = "document_id, name, content_type, size, digest, excerpt, lineage_id, run_id, tries"
_TASK = "Say in one sentence what this document of a student is good for in an application."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A document that waits for its assessment."""

    document_id: str
    name: str
    content_type: str
    size: int
    digest: str
    excerpt: str
    lineage_id: str
    run_id: str | None
    tries: int


class Assessments:
    """Takes up what is pending in the table of `SCHEMA`, from `start` on; `wake` says that there is more."""

    def __init__(self, store: Store, emitter: Emitter) -> None:
        self._store = store
        self._emitter = emitter
        self._new = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, peers: Peers) -> None:
        """Assess from now on."""
        self._task = asyncio.create_task(self._run(peers))

    def wake(self) -> None:
        """A document was committed."""
        self._new.set()

    async def settled(self, document_id: str, within_s: float) -> None:
        """Returns when the document has been with A4, or after `within_s`."""
        done = self._waiting.setdefault(document_id, asyncio.Event())
        try:
            async with asyncio.timeout(within_s):
                tried = "SELECT 1 FROM documents WHERE document_id = ? AND tries = 0"
                if await self._store.read(tried, (document_id,)):
                    await done.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting.pop(document_id, None)

    async def pending(self) -> int:
        """How many documents wait."""
        rows = await self._store.read("SELECT COUNT(*) FROM documents WHERE status = 'pending'")
        return int(rows[0][0])

    async def close(self) -> None:
        """Stops; what is pending stays in the database."""
        tasks = [task for task in (self._task, *self._busy.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, peers: Peers) -> None:
        while True:
            self._new.clear()
            try:
                await self._take_up(peers)
                waiting = await self.pending() > 0
            except StoreFailed as error:
                _log.warning("assessments: %s", error)
                waiting = True
            try:
                async with asyncio.timeout(REST_S if waiting else None):
                    await self._new.wait()
            except TimeoutError:
                pass  # something may have become due

    async def _take_up(self, peers: Peers) -> None:
        rows = await self._store.read(
            f"SELECT {_JOB} FROM documents WHERE status = 'pending' AND due_at <= ? ORDER BY due_at LIMIT ?",
            (_now_ms(), MOST_AT_ONCE),
        )
        for job in (Job(*row) for row in rows):
            if job.document_id not in self._busy and len(self._busy) < MOST_AT_ONCE:
                self._busy[job.document_id] = asyncio.create_task(self._assess(peers, job))

    async def _assess(self, peers: Peers, job: Job) -> None:
        try:
            try:
                tokens = await _ask(peers, job)
            except PeerFailed as error:
                if job.tries == 0:  # once for each document, however long A4 is away
                    _log.warning("document %s: %s", job.document_id, error)
                await self._store.write(lambda database: _put_off(database, job, _now_ms()))
            else:
                await self._store.write(lambda database: self._mark(database, job, tokens))
                self._emitter.wake()
        except StoreFailed as error:
            _log.warning("document %s: %s", job.document_id, error)
            await asyncio.sleep(REST_S)
        finally:
            del self._busy[job.document_id]
            if (done := self._waiting.get(job.document_id)) is not None:
                done.set()
            self._new.set()

    def _mark(self, database: sqlite3.Connection, job: Job, tokens: int) -> None:
        outcome = outcome_of(job.digest)
        marked = database.execute(
            "UPDATE documents SET status = 'processed', outcome = ?, tokens = ?, tries = tries + 1,"
            " processed_at = ? WHERE document_id = ? AND status = 'pending'",
            (outcome, tokens, _now_ms(), job.document_id),
        )
        if marked.rowcount:  # it may have been cleaned up meanwhile
            data = {"document_id": job.document_id, "outcome": outcome, "tokens": tokens}
            self._emitter.add(
                database, "document_processed", data, lineage_id=job.lineage_id, run_id=job.run_id
            )


def outcome_of(digest: str) -> str:
    """`eligible` for three of four digests, `review` for the fourth: the same for the same document."""
    return "review" if int(digest[:2], 16) < 64 else "eligible"


def wait_s(tries: int) -> int:
    """How long a document rests after its n-th try failed."""
    return int(min(2 ** min(tries - 1, 10), MOST_WAIT_S))


async def _ask(peers: Peers, job: Job) -> int:
    """What A4's assessment took in tokens. Raises PeerFailed."""
    about = f"{job.name} ({job.content_type}, {job.size} bytes, sha256 {job.digest})\n\n{job.excerpt}"
    chat = {
        "model": MODEL,
        "max_tokens": MOST_TOKENS,
        "messages": [{"role": "system", "content": _TASK}, {"role": "user", "content": about}],
    }
    status, document = await peers.call(
        SAGE, "POST", PATH, json=chat, timeout_s=TIMEOUT_S, run_id=job.run_id, lineage_id=job.lineage_id
    )
    if status != 200:
        raise PeerFailed(SAGE, f"{PATH} answered {status}", status)
    return _tokens_of(document)


def _tokens_of(document: Any) -> int:
    usage = document.get("usage") if isinstance(document, dict) else None
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    if not isinstance(tokens, int):
        raise PeerFailed(SAGE, f"{PATH} answered without its usage")
    return tokens


def _put_off(database: sqlite3.Connection, job: Job, now_ms: int) -> None:
    tries = job.tries + 1
    database.execute(
        "UPDATE documents SET tries = ?, due_at = ? WHERE document_id = ? AND status = 'pending'",
        (tries, now_ms + wait_s(tries) * 1000, job.document_id),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

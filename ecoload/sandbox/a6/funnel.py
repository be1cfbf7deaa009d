"""The providers of A6 on their way: Lead, Demo, Contract, Live.

Rules
-----
- A step and the event that tells of it are one transaction, and all events of a provider carry the
  lineage that began with its registration.
- The stages have one order, and none is left out. To ask for the present stage again changes nothing
  and gives what the first asking gave.
- Inside a transaction a Problem is returned, and before anything is written: what raises there undoes
  the writes of others.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import astuple, dataclass

from ecoload.sandbox.a6.billing import Bill
from ecoload.sandbox.a6.contracts import CONTRACTS_SCHEMA, Contracts, Document, Origin
from ecoload.sandbox.common.emitter import EMITTER_SCHEMA, Emitter
from ecoload.sandbox.common.problems import Problem
from ecoload.sandbox.common.store import Store

STAGES = ("lead", "demo", "contract", "live")
"""In their order; also the kinds of the events."""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS providers (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    provider_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    kind TEXT,
    state TEXT,
    email TEXT,
    stage TEXT NOT NULL,
    lineage_id TEXT NOT NULL,
    run_id TEXT,
    created_at INTEGER NOT NULL,
    key TEXT UNIQUE
);
CREATE INDEX IF NOT EXISTS providers_by_stage ON providers (stage);
CREATE INDEX IF NOT EXISTS providers_by_run ON providers (run_id);
CREATE TABLE IF NOT EXISTS steps (
    provider_id TEXT NOT NULL,
    stage TEXT NOT NULL,
    event_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (provider_id, stage)
) WITHOUT ROWID;
{CONTRACTS_SCHEMA}
{EMITTER_SCHEMA}
"""

_SHOWN = tuple("sequence provider_id name kind state email stage lineage_id run_id created_at".split())
_COLUMNS = ", ".join(_SHOWN)
_NO_PROVIDER = "there is no such provider"


@dataclass(frozen=True, slots=True)
class Registration:
    """What a provider says of itself."""

    name: str
    kind: str | None
    state: str | None
    email: str | None


class Funnel:
    """The providers in `store`, whose schema is `SCHEMA`."""

    def __init__(self, store: Store, emitter: Emitter) -> None:
        self._store = store
        self._emitter = emitter
        self._contracts = Contracts(store, emitter)

    async def register(
        self, registration: Registration, key: str | None, lineage_id: str, run_id: str | None
    ) -> Document:
        """A new provider at `lead`; the one of before where the key and the registration are the same.
        Raises Problem."""
        origin = Origin(lineage_id, run_id, registration.state)
        return await self._write(lambda database: self._register(database, registration, key, origin))

    async def advance(self, provider_id: str, to: str, bill: Bill | None, run_id: str | None) -> Document:
        """A provider at the stage `to`; `contract` comes with its bill. Raises Problem."""
        return await self._write(lambda database: self._advance(database, provider_id, to, bill, run_id))

    async def bill(self, contract_id: str, bill: Bill, origin: Origin) -> Document:
        """The bill of a contract, whoever's it is. Raises Problem."""
        return await self._write(
            lambda database: (
                self._contracts.refusal(database, contract_id, bill)
                or self._contracts.bill(database, contract_id, bill, origin)
            )
        )

    async def contract(self, contract_id: str) -> Document:
        """What was billed for a contract. Raises Problem."""
        return await self._contracts.read(contract_id)

    async def provider(self, provider_id: str) -> Document:
        """A provider and its steps. Raises Problem."""
        rows = await self._store.read(
            f"SELECT {_COLUMNS} FROM providers WHERE provider_id = ?", (provider_id,)
        )
        if not rows:
            raise Problem(404, _NO_PROVIDER)
        steps = await self._store.read(
            "SELECT stage, event_id, at FROM steps WHERE provider_id = ?", (provider_id,)
        )
        history = [dict(zip(("stage", "event_id", "at"), step, strict=True)) for step in steps]
        history.sort(key=lambda step: STAGES.index(step["stage"]))
        return dict(zip(_SHOWN, rows[0], strict=True)) | {"history": history}

    async def providers(self, stage: str | None, after: int, limit: int) -> list[Document]:
        """Those after a sequence number, in the order of their registration."""
        where, arguments = ("", ()) if stage is None else ("stage = ? AND", (stage,))
        rows = await self._store.read(
            f"SELECT {_COLUMNS} FROM providers WHERE {where} sequence > ? ORDER BY sequence LIMIT ?",
            (*arguments, after, limit),
        )
        return [dict(zip(_SHOWN, row, strict=True)) for row in rows]

    async def counts(self) -> dict[str, int]:
        """How many providers are at each stage."""
        rows = await self._store.read("SELECT stage, COUNT(*) FROM providers GROUP BY stage")
        return dict.fromkeys(STAGES, 0) | dict(rows)

    async def clean_up(self, run_id: str | None) -> dict[str, int]:
        """Deletes what was registered and billed in a run, or in all; how many rows by table."""
        of_run = "?1 IS NULL OR run_id = ?1"
        of_providers = f"provider_id IN (SELECT provider_id FROM providers WHERE {of_run})"
        wheres = {"steps": of_providers, "providers": of_run, "contracts": of_run}

        def delete(database: sqlite3.Connection) -> dict[str, int]:
            return {
                table: database.execute(f"DELETE FROM {table} WHERE {where}", (run_id,)).rowcount
                for table, where in wheres.items()
            }

        deleted: dict[str, int] = await self._store.write(delete)
        return deleted

    async def _write(self, work: Callable[[sqlite3.Connection], Document | Problem]) -> Document:
        done: Document | Problem = await self._store.write(work)
        if isinstance(done, Problem):
            raise done
        self._emitter.wake()
        return done

    # --- inside a transaction ---------------------------------------------------------------------------

    def _register(
        self, database: sqlite3.Connection, registration: Registration, key: str | None, origin: Origin
    ) -> Document | Problem:
        known = database.execute(
            "SELECT provider_id, lineage_id, name, kind, state, email FROM providers WHERE key = ?", (key,)
        ).fetchone()
        if known is not None:
            provider_id, lineage_id, *before = known
            if Registration(*before) != registration:
                return Problem(422, "this Idempotency-Key came with another body before")
            return _step(provider_id, "lead", lineage_id, _event_of(database, provider_id, "lead"))
        provider_id = uuid.uuid4().hex
        database.execute(
            "INSERT INTO providers (provider_id, name, kind, state, email, stage, lineage_id, run_id,"
            " created_at, key) VALUES (?, ?, ?, ?, ?, 'lead', ?, ?, ?, ?)",
            (provider_id, *astuple(registration), origin.lineage_id, origin.run_id, _now_ms(), key),
        )
        event_id = self._take_step(database, "lead", origin, {"provider_id": provider_id})
        return _step(provider_id, "lead", origin.lineage_id, event_id)

    def _advance(
        self, database: sqlite3.Connection, provider_id: str, to: str, bill: Bill | None, run_id: str | None
    ) -> Document | Problem:
        found = database.execute(
            "SELECT stage, lineage_id, state FROM providers WHERE provider_id = ?", (provider_id,)
        ).fetchone()
        if found is None:
            return Problem(404, _NO_PROVIDER)
        present, lineage_id, state = found
        if to != present and STAGES.index(to) != STAGES.index(present) + 1:
            return Problem(409, f"the provider is at {present}, from where it cannot go to {to}")
        contract_id = f"contract-{provider_id}"
        if bill is not None and (refused := self._contracts.refusal(database, contract_id, bill)) is not None:
            return refused
        origin = Origin(lineage_id, run_id, state)
        if to == present:
            event_id = _event_of(database, provider_id, to)
        else:
            database.execute("UPDATE providers SET stage = ? WHERE provider_id = ?", (to, provider_id))
            about = {"provider_id": provider_id} | ({} if bill is None else {"contract_id": contract_id})
            event_id = self._take_step(database, to, origin, about)
        step = _step(provider_id, to, lineage_id, event_id)
        if bill is not None:
            step["billing"] = self._contracts.bill(database, contract_id, bill, origin)
        return step

    def _take_step(
        self, database: sqlite3.Connection, stage: str, origin: Origin, about: dict[str, str]
    ) -> str:
        event_id = self._emitter.add(
            database,
            stage,
            about,
            lineage_id=origin.lineage_id,
            run_id=origin.run_id,
            state=origin.state,
        )
        database.execute(
            "INSERT INTO steps VALUES (?, ?, ?, ?)", (about["provider_id"], stage, event_id, _now_ms())
        )
        return event_id


def _event_of(database: sqlite3.Connection, provider_id: str, stage: str) -> str:
    row = database.execute(
        "SELECT event_id FROM steps WHERE provider_id = ? AND stage = ?", (provider_id, stage)
    ).fetchone()
    return str(row[0])


def _step(provider_id: str, stage: str, lineage_id: str, event_id: str) -> Document:
    return {"provider_id": provider_id, "stage": stage, "lineage_id": lineage_id, "event_id": event_id}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

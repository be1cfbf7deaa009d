"""The contracts of A6: each is billed once, with the event that tells of it.

Rules
-----
- The same figures again are the same bill; other figures are a conflict.
- What was billed is kept and read back as it was, not computed again.
- Inside a transaction a Problem is returned, not raised: what raises there undoes the writes of others.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, astuple, dataclass
from typing import Any

from ecoload.sandbox.a6.billing import ROUNDING, Bill
from ecoload.sandbox.common.emitter import Emitter
from ecoload.sandbox.common.problems import Problem
from ecoload.sandbox.common.store import Store

CONTRACTS_SCHEMA = """
CREATE TABLE IF NOT EXISTS contracts (
    contract_id TEXT PRIMARY KEY,
    amount_cents INTEGER NOT NULL,
    fee_cents INTEGER NOT NULL,
    ai_cost_cents INTEGER NOT NULL,
    ai_price_cents INTEGER NOT NULL,
    lineage_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    run_id TEXT
) WITHOUT ROWID;
"""

_READ = (
    "SELECT amount_cents, fee_cents, ai_cost_cents, ai_price_cents, lineage_id, event_id"
    " FROM contracts WHERE contract_id = ?"
)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from, as far as it is known."""

    lineage_id: str
    run_id: str | None
    state: str | None = None


class Contracts:
    """The contracts in `store`, whose schema has `CONTRACTS_SCHEMA`."""

    def __init__(self, store: Store, emitter: Emitter) -> None:
        self._store = store
        self._emitter = emitter

    async def read(self, contract_id: str) -> Document:
        """What was billed for a contract. Raises Problem."""
        rows = await self._store.read(_READ, (contract_id,))
        if not rows:
            raise Problem(404, "there is no such contract")
        return _document(contract_id, rows[0])

    def refusal(self, database: sqlite3.Connection, contract_id: str, bill: Bill) -> Problem | None:
        """Why a contract cannot have this bill, inside a transaction."""
        row = database.execute(_READ, (contract_id,)).fetchone()
        if row is None or Bill(*row[:4]) == bill:
            return None
        return Problem(409, "this contract was billed with other figures before")

    def bill(self, database: sqlite3.Connection, contract_id: str, bill: Bill, origin: Origin) -> Document:
        """The bill of a contract, inside a transaction: a new one, or the one that is there. The caller
        has asked for a `refusal`."""
        row = database.execute(_READ, (contract_id,)).fetchone()
        if row is None:
            event_id = self._emitter.add(
                database,
                "contract_billed",
                {"contract_id": contract_id, **asdict(bill)},
                lineage_id=origin.lineage_id,
                run_id=origin.run_id,
                state=origin.state,
            )
            row = (*astuple(bill), origin.lineage_id, event_id)
            database.execute(
                "INSERT INTO contracts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (contract_id, *row, origin.run_id)
            )
        return _document(contract_id, row)


def _document(contract_id: str, row: tuple[Any, ...]) -> Document:
    *figures, lineage_id, event_id = row
    bill = Bill(*figures)
    return {
        "contract_id": contract_id,
        **asdict(bill),
        "total_cents": bill.total_cents,
        "lineage_id": lineage_id,
        "event_id": event_id,
        "rounding": ROUNDING,
    }

"""The mock provider of payments: live mode by name, and never a cent of anybody's money.

Rules
-----
- Only test customers are served. Any other is refused with 402.
- Every attempt at a charge is kept, refused ones too, in the transaction that decides on it.
- Nothing is captured: the table itself refuses a charge with a captured amount.
- An idempotency key gives its first answer again, whatever that was; with other parameters it is a
  conflict. All runs inside the caller's transaction, so of many at once with one key one has an effect.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from ecoload.sandbox.a5.stripe import (
    CUSTOMER_COLUMNS,
    INTENT_COLUMNS,
    NOT_TEST,
    SIMULATED,
    UNEXPECTED_STATE,
    NewCustomer,
    NewIntent,
    customer_document,
    intent_document,
)

TEST_CUSTOMERS = tuple(f"cus_test_{number:04}" for number in range(1, 21))
OTHER_CUSTOMERS = ("cus_live_0001", "cus_live_0002")
"""There to be refused."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (
    id TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    name TEXT,
    email TEXT,
    description TEXT,
    metadata TEXT NOT NULL,
    test INTEGER NOT NULL,
    seeded INTEGER NOT NULL,
    run_id TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intents (
    id TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    customer TEXT NOT NULL,
    description TEXT,
    metadata TEXT NOT NULL,
    charge TEXT,
    run_id TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS charges (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    amount_captured INTEGER NOT NULL DEFAULT 0 CHECK (amount_captured = 0),
    customer TEXT NOT NULL,
    intent TEXT,
    outcome TEXT NOT NULL,
    run_id TEXT
);
CREATE INDEX IF NOT EXISTS charges_of_run ON charges (run_id);
CREATE TABLE IF NOT EXISTS payment_keys (
    key TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    reply BLOB NOT NULL,
    run_id TEXT
) WITHOUT ROWID;
"""

CUSTOMER_BY_ID = f"SELECT {CUSTOMER_COLUMNS} FROM customers WHERE id = ?"
INTENT_BY_ID = f"SELECT {INTENT_COLUMNS} FROM intents WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a request came, in ms, and of which run it is."""

    at: int
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request gets: a document, or (without one) a refusal's detail and errors."""

    status: int
    document: dict[str, Any] | None = None
    detail: str = ""
    errors: tuple[str, ...] = ()
    replayed: bool = False


def seed(database: sqlite3.Connection, at: int) -> None:
    """Puts the known customers there, if they are not."""
    for customer in (*TEST_CUSTOMERS, *OTHER_CUSTOMERS):
        test = customer in TEST_CUSTOMERS
        database.execute(
            f"INSERT OR IGNORE INTO customers ({CUSTOMER_COLUMNS}, test, seeded)"
            " VALUES (?, ?, NULL, NULL, NULL, ?, ?, 1)",
            (customer, at // 1000, '{"test":"true"}' if test else "{}", test),
        )


def once(
    database: sqlite3.Connection,
    key: str | None,
    asked: tuple[Any, ...],
    stamp: Stamp,
    work: Callable[[], Reply],
) -> Reply:
    """`work`'s reply; under a key that came with the same before, the first one. `asked` is what the
    request wants, and decides whether it is the same."""
    if key is None:
        return work()
    digest = hashlib.sha256(orjson.dumps(asked)).digest()
    known = database.execute("SELECT digest, reply FROM payment_keys WHERE key = ?", (key,)).fetchone()
    if known is None:
        reply = work()
        kept = orjson.dumps([reply.status, reply.document, reply.detail, reply.errors])
        database.execute("INSERT INTO payment_keys VALUES (?, ?, ?, ?)", (key, digest, kept, stamp.run_id))
        return reply
    if known[0] != digest:
        reason = "this idempotency key came with other parameters before"
        return Reply(409, detail=reason, errors=("type: idempotency_error",))
    status, document, detail, errors = orjson.loads(known[1])
    return Reply(status, document, detail, tuple(errors), replayed=True)


def create_customer(database: sqlite3.Connection, wanted: NewCustomer, stamp: Stamp) -> Reply:
    """A customer, if it is a test customer."""
    if not wanted.test:
        return _refused("a customer must have metadata[test]=true here", "metadata[test]")
    customer = f"cus_{secrets.token_hex(12)}"
    database.execute(
        f"INSERT INTO customers ({CUSTOMER_COLUMNS}, test, seeded, run_id)"
        " VALUES (?, ?, ?, ?, ?, ?, 1, 0, ?)",
        (
            customer,
            stamp.at // 1000,
            wanted.name,
            wanted.email,
            wanted.description,
            wanted.metadata,
            stamp.run_id,
        ),
    )
    return customer_reply(database.execute(CUSTOMER_BY_ID, (customer,)).fetchall())


def create_intent(database: sqlite3.Connection, wanted: NewIntent, stamp: Stamp) -> Reply:
    """A payment intent of a test customer; for any other the attempt is kept and refused."""
    test = database.execute("SELECT test FROM customers WHERE id = ?", (wanted.customer,)).fetchone()
    if test is None or not test[0]:
        _keep(database, wanted.amount, wanted.customer[:128], None, NOT_TEST, stamp)
        return _refused("only test customers can be charged here", "customer")
    intent = f"pi_{secrets.token_hex(12)}"
    database.execute(
        f"INSERT INTO intents ({INTENT_COLUMNS}, run_id) VALUES (?, ?, ?, ?, ?, ?, NULL, ?)",
        (
            intent,
            stamp.at // 1000,
            wanted.amount,
            wanted.customer,
            wanted.description,
            wanted.metadata,
            stamp.run_id,
        ),
    )
    return intent_reply(database.execute(INTENT_BY_ID, (intent,)).fetchall())


def confirm_intent(database: sqlite3.Connection, intent: str, stamp: Stamp) -> Reply:
    """The attempt at a charge: kept, stopped before any money moves, and answered as a simulated success.
    A second one of the same intent is an attempt too, and refused."""
    found = database.execute(
        "SELECT amount, customer, charge FROM intents WHERE id = ?", (intent,)
    ).fetchone()
    if found is None:
        return intent_reply([])
    amount, customer, charge = found
    if charge is not None:
        _keep(database, amount, customer, intent, UNEXPECTED_STATE, stamp)
        reason = "this payment intent has succeeded before and cannot be confirmed again"
        return Reply(409, detail=reason, errors=("code: payment_intent_unexpected_state",))
    charge = _keep(database, amount, customer, intent, SIMULATED, stamp)
    database.execute("UPDATE intents SET charge = ? WHERE id = ?", (charge, intent))
    return intent_reply(database.execute(INTENT_BY_ID, (intent,)).fetchall())


def customer_reply(rows: list[tuple[Any, ...]]) -> Reply:
    """The reply of what `CUSTOMER_BY_ID` found."""
    return Reply(200, customer_document(rows[0])) if rows else _missing("customer")


def intent_reply(rows: list[tuple[Any, ...]]) -> Reply:
    """The reply of what `INTENT_BY_ID` found."""
    return Reply(200, intent_document(rows[0])) if rows else _missing("payment_intent")


def _keep(
    database: sqlite3.Connection, amount: int, customer: str, intent: str | None, outcome: str, stamp: Stamp
) -> str:
    """Keeps one attempt at a charge; its id."""
    charge = f"ch_{secrets.token_hex(12)}"
    database.execute(
        "INSERT INTO charges (id, at, amount, customer, intent, outcome, run_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (charge, stamp.at, amount, customer, intent, outcome, stamp.run_id),
    )
    return charge


def _refused(reason: str, parameter: str) -> Reply:
    errors = (
        "type: card_error",
        "code: card_declined",
        "decline_code: test_customers_only",
        f"param: {parameter}",
    )
    return Reply(402, detail=reason, errors=errors)


def _missing(what: str) -> Reply:
    errors = ("type: invalid_request_error", "code: resource_missing", f"param: {what}")
    return Reply(404, detail=f"there is no such {what}", errors=errors)

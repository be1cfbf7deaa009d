"""The rows of A8: what an event becomes, how it comes in, and how it goes.

Rules
-----
- A row per event, by its id: what comes again changes nothing. A second copy is the fault's alone.
- Everything comes in through `waiting`. What has waited as long as the fault `stale_telemetry_s` says
  (0 s when it is off) moves on to `events` in one transaction; nothing else is ever shown.
- `cells` holds the sums of `events`, changed in the same transaction, so that a tile costs the same
  however many events there are.
- Columns are never NULL: a text that an event does not have is '', a number 0.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import orjson

from ecoload.sandbox.common.behaviour import Faults
from ecoload.sandbox.common.problems import NAME_RULE, is_name
from ecoload.sandbox.common.store import Store

DAY_MS = 86_400_000
MAX_INT = 2**53
MAX_CENTS = 10**12
"""The most of one amount: millions of such sums fit SQLite's integers."""
MAX_TOKENS = 10**9
MAX_PAGE_NAME = 200
MAX_REASONS = 20

_FIRST_ORDINAL = date(1970, 1, 1).toordinal()
AMOUNTS = ("amount_cents", "fee_cents", "ai_cost_cents", "ai_price_cents")


class Row(NamedTuple):
    """One event as A8 keeps it, in the order of the columns. `ingest_sequence` is A2's, 0 for the history
    that A8 starts with; `billed` is 1 when the event carries the four amounts of a bill."""

    event_id: str
    ingest_sequence: int
    namespace: str
    run_id: str
    lineage_id: str
    kind: str
    app: str
    state: str
    date: str
    at: int
    received_at: int
    page: str
    outcome: str
    tokens: int
    contract_id: str
    billed: int
    amount_cents: int
    fee_cents: int
    ai_cost_cents: int
    ai_price_cents: int
    data: bytes
    copy: int = 0


_COLUMNS = ", ".join(Row._fields)
_TYPED = """
    event_id TEXT NOT NULL, ingest_sequence INTEGER NOT NULL, namespace TEXT NOT NULL,
    run_id TEXT NOT NULL, lineage_id TEXT NOT NULL, kind TEXT NOT NULL, app TEXT NOT NULL,
    state TEXT NOT NULL, date TEXT NOT NULL, at INTEGER NOT NULL, received_at INTEGER NOT NULL,
    page TEXT NOT NULL, outcome TEXT NOT NULL, tokens INTEGER NOT NULL, contract_id TEXT NOT NULL,
    billed INTEGER NOT NULL, amount_cents INTEGER NOT NULL, fee_cents INTEGER NOT NULL,
    ai_cost_cents INTEGER NOT NULL, ai_price_cents INTEGER NOT NULL, data BLOB NOT NULL,
    copy INTEGER NOT NULL, UNIQUE (event_id, copy)
"""
_CELL = "namespace, kind, billed, run_id, date, app, state, page, outcome"
_MEASURES = ("tokens", *AMOUNTS)
_CELLS_OF = f"""
SELECT {_CELL}, COUNT(*), MAX(sequence), {", ".join(f"SUM({name})" for name in _MEASURES)} FROM events
"""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS events (sequence INTEGER PRIMARY KEY AUTOINCREMENT, {_TYPED});
CREATE INDEX IF NOT EXISTS events_overview ON events (namespace, date, kind, app, state);
CREATE INDEX IF NOT EXISTS events_billed ON events (namespace, billed, {", ".join(AMOUNTS)}) WHERE billed = 1;
CREATE INDEX IF NOT EXISTS events_contract ON events (contract_id) WHERE billed = 1;
CREATE INDEX IF NOT EXISTS events_lineage ON events (lineage_id);
CREATE INDEX IF NOT EXISTS events_of ON events (namespace);
CREATE INDEX IF NOT EXISTS events_run ON events (namespace, run_id);
CREATE INDEX IF NOT EXISTS events_date ON events (namespace, date);
CREATE INDEX IF NOT EXISTS events_kind ON events (namespace, kind);
CREATE INDEX IF NOT EXISTS events_app ON events (namespace, app);
CREATE INDEX IF NOT EXISTS events_state ON events (namespace, state);
CREATE TABLE IF NOT EXISTS waiting (position INTEGER PRIMARY KEY, {_TYPED});
CREATE TABLE IF NOT EXISTS cells (
    namespace TEXT NOT NULL, kind TEXT NOT NULL, billed INTEGER NOT NULL, run_id TEXT NOT NULL,
    date TEXT NOT NULL, app TEXT NOT NULL, state TEXT NOT NULL, page TEXT NOT NULL,
    outcome TEXT NOT NULL,
    events INTEGER NOT NULL, latest INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in _MEASURES)},
    PRIMARY KEY ({_CELL})
) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS single AS SELECT *, 1 AS events, sequence AS latest FROM events;
"""
"""`single` is the events in the form of cells, one cell each."""

_TAKE = f"""
INSERT OR IGNORE INTO waiting ({_COLUMNS}) SELECT {", ".join(f"?{n + 1}" for n in range(len(Row._fields)))}
WHERE NOT EXISTS (SELECT 1 FROM events WHERE event_id = ?1 AND copy = ?{len(Row._fields)})
"""
_RELEASE = f"""
INSERT INTO events ({_COLUMNS}) SELECT {_COLUMNS} FROM waiting WHERE received_at <= ?
ORDER BY received_at, position
"""
_COUNT = f"""
INSERT INTO cells {_CELLS_OF} WHERE sequence > ? GROUP BY {_CELL} ON CONFLICT DO UPDATE SET
    {", ".join(f"{name} = {name} + excluded.{name}" for name in ("events", *_MEASURES))},
    latest = excluded.latest
"""


class Intake:
    """Takes telemetry in. `fill` comes before all else, `settle` before what is shown is read."""

    def __init__(self, store: Store, now_ms: Callable[[], int], chance: random.Random) -> None:
        self._store = store
        self._now_ms = now_ms
        self._chance = chance
        self._oldest: int | None = None  # when what has waited longest came in

    async def fill(self, history: Iterable[Row]) -> None:
        """Lets a database that is empty start with `history`, and knows again what waits in another."""
        self._oldest = await self._store.write(lambda database: _fill(database, history))

    async def take(self, events: Sequence[Row], faults: Faults) -> int:
        """Takes in what is new and is not lost; how many events that were."""
        kept = [row for row in events if self._chance.random() >= faults.lose_events]
        if faults.duplicate_events:
            doubled = [row for row in kept if self._chance.random() < faults.duplicate_events]
            kept += [row._replace(copy=1) for row in doubled]
        shown = self._shown_until(faults)
        new, self._oldest = await self._store.write(lambda database: _take(database, kept, shown))
        return int(new)

    async def settle(self, faults: Faults) -> None:
        """Shows what has waited long enough under `faults`."""
        shown = self._shown_until(faults)
        if self._oldest is not None and self._oldest <= shown:
            self._oldest = await self._store.write(lambda database: _release(database, shown))

    async def forget(self, namespace: str, run_id: str | None) -> int:
        """Deletes what A2 sent of a namespace, of one run or of all; how many events. The history stays."""
        gone, self._oldest = await self._store.write(lambda database: _forget(database, namespace, run_id))
        return int(gone)

    def _shown_until(self, faults: Faults) -> int:
        return self._now_ms() - round(faults.stale_telemetry_s * 1000)


def rows_of(events: Sequence[Mapping[str, Any]], received_at: int) -> tuple[list[Row], list[str]]:
    """The rows of a batch of A2, or what is wrong with it. What an event need not have, and what A8 cannot
    count, is left out of the row rather than refused: a batch that is refused would hold up all others."""
    rows, wrong = [], []
    for number, event in enumerate(events):
        unnamed = [name for name in ("event_id", "namespace", "kind") if not is_name(event.get(name))]
        wrong += [f"events[{number}].{name}: must be {NAME_RULE}" for name in unnamed]
        least = {"sequence": 1, "at": 0}
        uncounted = [name for name in least if _whole(event.get(name), MAX_INT, least[name]) is None]
        wrong += [f"events[{number}].{name}: must be a whole number from {least[name]}" for name in uncounted]
        if not (unnamed or uncounted):
            rows.append(row_of(event, received_at))
    return ([], wrong[:MAX_REASONS]) if wrong else (rows, [])


def row_of(event: Mapping[str, Any], received_at: int) -> Row:
    """The row of an event that is one."""
    data = event.get("data")
    facts = data if isinstance(data, dict) else {}
    is_bill = event["kind"] == "contract_billed"
    amounts = [_whole(facts.get(name), MAX_CENTS) if is_bill else None for name in AMOUNTS]
    billed = None not in amounts
    amount, fee, ai_cost, ai_price = (cents or 0 if billed else 0 for cents in amounts)
    page = facts.get("page")
    return Row(
        event["event_id"],
        event["sequence"],
        event["namespace"],
        _name(event.get("run_id")),
        _name(event.get("lineage_id")),
        event["kind"],
        _name(event.get("app")),
        _name(event.get("state")),
        date_of(event["at"]),
        event["at"],
        received_at,
        page if isinstance(page, str) and len(page) <= MAX_PAGE_NAME else "",
        _name(facts.get("outcome")),
        _whole(facts.get("tokens"), MAX_TOKENS) or 0,
        _name(facts.get("contract_id")) if is_bill else "",
        int(billed),
        amount,
        fee,
        ai_cost,
        ai_price,
        orjson.dumps(data),
    )


def date_of(at: int) -> str:
    """The day (UTC) of a time in ms; '' beyond the year 9999."""
    try:
        return date.fromordinal(_FIRST_ORDINAL + at // DAY_MS).isoformat()
    except (ValueError, OverflowError):
        return ""


def _name(value: Any) -> str:
    return value if is_name(value) else ""


def _whole(value: Any, most: int, least: int = 0) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and least <= value <= most else None


def _fill(database: sqlite3.Connection, history: Iterable[Row]) -> int | None:
    if database.execute("SELECT 1 FROM (SELECT 1 FROM events UNION ALL SELECT 1 FROM waiting)").fetchone():
        return _oldest(database)
    return _take(database, history, MAX_INT)[1]


def _take(database: sqlite3.Connection, rows: Iterable[Row], shown: int) -> tuple[int, int | None]:
    new = database.executemany(_TAKE, rows).rowcount
    return new, _release(database, shown)


def _release(database: sqlite3.Connection, shown: int) -> int | None:
    (last,) = database.execute("SELECT COALESCE(MAX(sequence), 0) FROM events").fetchone()
    if database.execute(_RELEASE, (shown,)).rowcount:
        database.execute(_COUNT, (last,))
        database.execute("DELETE FROM waiting WHERE received_at <= ?", (shown,))
    return _oldest(database)


def _oldest(database: sqlite3.Connection) -> int | None:
    oldest: int | None = database.execute("SELECT MIN(received_at) FROM waiting").fetchone()[0]
    return oldest


def _forget(database: sqlite3.Connection, namespace: str, run_id: str | None) -> tuple[int, int | None]:
    where, which = ("namespace = ?", [namespace]) if run_id is None else (
        "namespace = ? AND run_id = ?", [namespace, run_id])  # fmt: skip
    gone = sum(
        database.execute(f"DELETE FROM {table} WHERE {where} AND ingest_sequence > 0", which).rowcount
        for table in ("events", "waiting")
    )
    database.execute(f"DELETE FROM cells WHERE {where}", which)
    database.execute(f"INSERT INTO cells {_CELLS_OF} WHERE {where} GROUP BY {_CELL}", which)
    return gone, _oldest(database)

"""What A8 shows: the figures of its tiles and of the overview, and rows.

Rules
-----
- A tile sums `cells`, or single events where it is narrowed to what cells do not know (a lineage, a
  contract). The overview groups the events themselves, each time it is asked.
- A figure of money is whole cents; in dollars it is text, exact to the cent.
- A list by name ends at its 100 largest entries, so that no answer grows without bound.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import orjson

from ecoload.sandbox.a8.filters import Query
from ecoload.sandbox.a8.rows import AMOUNTS

MAX_ENTRIES = 100
MAX_LINEAGE = 200

_IN_CELLS = frozenset({"namespace", "run_id", "kind", "date", "app", "state"})
_GROWTH = {"signups": "signup", "cta_impressions": "cta_impression", "cta_clicks": "cta_click"}
_FUNNEL = ("lead", "demo", "contract", "live")
_SHOWN = (
    "sequence", "event_id", "lineage_id", "namespace", "run_id", "kind", "app", "state", "date", "at",
    "received_at", "ingest_sequence", "data",
)  # fmt: skip
_ROW = ", ".join(_SHOWN)
_BRIEF = ("event_id", "kind", "lineage_id", "at", "sequence")

_BILL = "kind = 'contract_billed' AND billed = 1"
_BILLS = ", ".join(("SUM(events)", *(f"SUM({name})" for name in AMOUNTS)))
_GROUPS = """
SELECT date, kind, app, state, COUNT(*) AS events FROM events WHERE namespace = ?
GROUP BY date, kind, app, state
"""

Read = Callable[[str, tuple[Any, ...]], Awaitable[list[tuple[Any, ...]]]]
Document = dict[str, Any]
List = tuple[str, str, str]
"""One list of figures: its name, the column it goes by, and which rows it counts."""
Lists = dict[str, dict[str, list[int]]]
"""Figures by the name of a list and by the value they are of; `total` has one value, ''."""


class Tiles:
    """What is shown, by `read` of the database; `now_ms` says when that was. `as_it_was` gives the time (ms)
    that the next figures of a tile are as of, None for this moment."""

    def __init__(
        self, read: Read, now_ms: Callable[[], int], as_it_was: Callable[[], int | None] = lambda: None
    ) -> None:
        self._read = read
        self._now_ms = now_ms
        self._as_it_was = as_it_was

    async def events(self, query: Query) -> Document:
        """How many events there are, by kind, and the latest."""
        lists = await self._lists(query, "1", ["kind"], "SUM(events)", [("by_kind", "kind", "1")])
        ((total, latest),) = lists["total"].values()
        by_kind = _first_figures(lists, "by_kind")
        return await self._tile(query, latest, {"total": total, "by_kind": by_kind})

    async def finance(self, query: Query) -> Document:
        """The sums of the bills, and the latest bill."""
        contracts, *amounts, latest = await self._sums(query, _BILL, _BILLS)
        document = await self._tile(query, latest, {"contracts": contracts} | _money(amounts))
        if latest:
            columns = f"contract_id, {', '.join(AMOUNTS)}"
            rows = await self._read(f"SELECT {columns} FROM events WHERE sequence = ?", (latest,))
            for contract_id, *bill in rows:
                document["latest"] |= {"contract_id": contract_id} | _money(bill)
        return document

    async def growth(self, query: Query) -> Document:
        """Signups, impressions and clicks, and where they came from."""
        counted = ", ".join(f"SUM(IIF(kind = '{kind}', events, 0))" for kind in _GROWTH.values())
        by = [(f"by_{name}", name, "1") for name in ("app", "page", "state")]
        columns = ["kind", "app", "page", "state"]
        lists = await self._lists(query, _one_of(_GROWTH.values()), columns, counted, by)
        ((*sums, latest),) = lists.pop("total").values()
        attribution = {
            name: {
                value: dict(zip(_GROWTH, figures, strict=False)) for value, figures in sorted(found.items())
            }
            for name, found in lists.items()
        }
        document = dict(zip(_GROWTH, sums, strict=True)) | {"attribution": attribution}
        return await self._tile(query, latest, document)

    async def outcomes(self, query: Query) -> Document:
        """What became of documents, and what that took."""
        counted = {
            "documents": "SUM(events)",
            "eligible": "SUM(IIF(outcome = 'eligible', events, 0))",
            "review": "SUM(IIF(outcome = 'review', events, 0))",
            "tokens": "SUM(tokens)",
            "runs": "COUNT(DISTINCT NULLIF(run_id, ''))",
        }
        *sums, latest = await self._sums(query, "kind = 'document_processed'", ", ".join(counted.values()))
        return await self._tile(query, latest, dict(zip(counted, sums, strict=True)))

    async def overview(self, namespace: str) -> Document:
        """Everything of a namespace, from its events."""
        by = {"by_kind": "kind", "by_app": "app", "by_state": "state", "by_day": "date"}
        steps = _one_of((*_GROWTH.values(), *_FUNNEL))
        listed = _listed(
            _GROUPS,
            "SUM(events), 0, 0, 0, 0",
            [(name, column, "1") for name, column in by.items()]
            + [("steps", "kind", steps), ("signups_by_day", "date", "kind = 'signup'")],
        )
        bills = f"SELECT 'finance', '', {_BILLS} FROM single WHERE namespace = ? AND billed = 1"
        lists = _by_list(await self._read(f"{listed} UNION ALL {bills}", (namespace, namespace)))
        contracts, *amounts = lists["finance"][""]
        counts = _first_figures(lists, "steps")
        growth: Document = {name: counts.get(kind, 0) for name, kind in _GROWTH.items()}
        return {
            "namespace": namespace,
            "total": lists["total"][""][0],
            **{name: _first_figures(lists, name) for name in by},
            "finance": {"contracts": contracts} | _money(amounts),
            "funnel": {step: counts.get(step, 0) for step in _FUNNEL},
            "growth": growth | {"signups_by_day": _first_figures(lists, "signups_by_day")},
            **await self._times(namespace),
        }

    async def rows(self, query: Query) -> Document:
        """A page of what a query finds, in the order it came in, and how many there are in all."""
        where, which = query.where()
        found = await self._read(
            f"SELECT {_ROW} FROM events WHERE {where} AND sequence > ? ORDER BY sequence LIMIT ?",
            (*which, query.after, query.limit + 1),
        )
        page = found[: query.limit]
        following = page[-1][0] if len(found) > query.limit else None
        return {
            "rows": [_row(row, orjson.Fragment) for row in page],
            "total": await self._total(query),
            "next": following,
        }

    async def newest(self, query: Query) -> Document:
        """The newest of what a query finds, the newest first, with `data` as text; and how many there are."""
        where, which = query.where()
        found = await self._read(
            f"SELECT {_ROW} FROM events WHERE {where} ORDER BY sequence DESC LIMIT ?", (*which, query.limit)
        )
        return {"rows": [_row(row, bytes.decode) for row in found], "total": await self._total(query)}

    async def lineage(self, lineage_id: str) -> Document:
        """What happened to one thing, in the order it happened. One query, so that the total is that of the
        very rows: between two an event may come in."""
        found = await self._read(
            f"SELECT {_ROW}, COUNT(*) OVER () FROM events WHERE lineage_id = ? ORDER BY at, sequence LIMIT ?",
            (lineage_id, MAX_LINEAGE),
        )
        return {
            "lineage_id": lineage_id,
            "rows": [_row(row[:-1], orjson.Fragment) for row in found],
            "total": found[0][-1] if found else 0,
        }

    async def _sums(self, query: Query, condition: str, measures: str) -> list[int]:
        """The measures of what meets the condition, and the sequence of the latest of it."""
        source, which = _source(query, self._as_it_was())
        rows = await self._read(f"SELECT {measures}, MAX(latest) FROM {source} AND {condition}", which)
        return [figure or 0 for figure in rows[0]]

    async def _lists(
        self, query: Query, condition: str, columns: Sequence[str], measures: str, by: Sequence[List]
    ) -> Lists:
        """The same by lists, which go by some of `columns`."""
        source, which = _source(query, self._as_it_was())
        group = ", ".join(columns)
        picked = (
            f"SELECT {group}, SUM(events) AS events, MAX(latest) AS latest FROM {source} AND {condition}"
            f" GROUP BY {group}"
        )
        found = _by_list(await self._read(_listed(picked, f"{measures}, MAX(latest)", by), which))
        return {name: {} for name, *_ in by} | found

    async def _total(self, query: Query) -> int:
        source, which = _source(query)
        rows = await self._read(f"SELECT COALESCE(SUM(events), 0) FROM {source}", which)
        return int(rows[0][0])

    async def _tile(self, query: Query, latest: int, figures: Document) -> Document:
        """`figures` with what every tile says."""
        rows = await self._read(f"SELECT {', '.join(_BRIEF)} FROM events WHERE sequence = ?", (latest,))
        brief = dict(zip(_BRIEF, rows[0], strict=True)) if rows else None
        asked = dict.fromkeys(("run_id", "lineage_id")) | dict(query.equal)
        return asked | figures | {"latest": brief} | await self._times(query.namespace)

    async def _times(self, namespace: str) -> Document:
        rows = await self._read(
            "SELECT received_at FROM events WHERE namespace = ? ORDER BY sequence DESC LIMIT 1", (namespace,)
        )
        return {"as_of": self._now_ms(), "fresh_as_of": rows[0][0] if rows else None}


def dollars(cents: int) -> str:
    """An amount of at least 0 as people write it: `$1,234.50`."""
    return f"${cents // 100:,}.{cents % 100:02d}"


def _money(amounts: Sequence[int]) -> Document:
    named: Document = dict(zip(AMOUNTS, amounts, strict=True))
    return named | {"fee": dollars(named["fee_cents"]), "ai_price": dollars(named["ai_price_cents"])}


def _source(query: Query, as_of: int | None = None) -> tuple[str, tuple[str | int, ...]]:
    where, which = query.where()
    if as_of is not None:
        return f"single WHERE {where} AND received_at <= ?", (*which, as_of)
    return f"{'cells' if query.equal.keys() <= _IN_CELLS else 'single'} WHERE {where}", which


def _one_of(kinds: Iterable[str]) -> str:
    return f"kind IN ({', '.join(repr(kind) for kind in kinds)})"


def _listed(picked: str, measures: str, by: Sequence[List]) -> str:
    """One statement, so that all figures are of the same moment: the measures of all that is `picked`,
    and of the largest parts of it by each list."""
    parts = [f"SELECT 'total', '', {measures} FROM picked"]
    parts += (
        f"SELECT * FROM (SELECT '{name}', IIF({column} = '', 'unknown', {column}) AS value, {measures}"
        f" FROM picked WHERE {condition} GROUP BY value ORDER BY SUM(events) DESC, value LIMIT {MAX_ENTRIES})"
        for name, column, condition in by
    )
    return f"WITH picked AS MATERIALIZED ({picked}) {' UNION ALL '.join(parts)}"


def _by_list(rows: Sequence[tuple[Any, ...]]) -> Lists:
    found: Lists = {}
    for name, value, *figures in rows:
        found.setdefault(name, {})[value] = [figure or 0 for figure in figures]  # the sum of nothing is NULL
    return found


def _first_figures(lists: Lists, name: str) -> dict[str, int]:
    return {value: figures[0] for value, figures in sorted(lists.get(name, {}).items())}


def _row(row: tuple[Any, ...], data: Callable[[bytes], Any]) -> Document:
    shown: Document = {name: None if value == "" else value for name, value in zip(_SHOWN, row, strict=True)}
    return shown | {"ingest_sequence": shown["ingest_sequence"] or None, "data": data(shown["data"])}

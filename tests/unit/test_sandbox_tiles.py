"""What A8 of the sandbox makes of events: rows, filters, tiles, and an overview with a cache."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecoload.sandbox.a8.filters import FILTERS, MAX_ROWS, Query, parse_query
from ecoload.sandbox.a8.overview import TTL_S, Overview
from ecoload.sandbox.a8.rows import MAX_CENTS, SCHEMA, Intake, Row, date_of, row_of, rows_of
from ecoload.sandbox.a8.seeds import DEMO, EVENTS, REFERENCE, RUN, history
from ecoload.sandbox.a8.tiles import MAX_ENTRIES, Tiles, dollars
from ecoload.sandbox.common.behaviour import Faults
from ecoload.sandbox.common.problems import Problem
from ecoload.sandbox.common.states import STATES
from ecoload.sandbox.common.store import Store

T = TypeVar("T")
HISTORY = sorted(history(1), key=lambda row: row.received_at)
BILL = {"contract_id": "c-1", "amount_cents": 1999, "fee_cents": 60, "ai_cost_cents": 7, "ai_price_cents": 28}


def event(event_id: str, kind: str = "signup", **changes: Any) -> dict[str, Any]:
    whole = {
        "event_id": event_id,
        "sequence": 1,
        "namespace": "perf_test",
        "kind": kind,
        "at": 0,
        "run_id": "r",
    }
    return whole | {"lineage_id": "l", "app": "a5", "state": "TX", "data": {}} | changes


@dataclass
class Centre:
    """The parts of A8 on a real database, under a clock that only a test moves."""

    store: Store
    now_ms: int = 1_000_000

    def __post_init__(self) -> None:
        self.faults = Faults()
        self.intake = Intake(self.store, lambda: self.now_ms, random.Random(1))
        self.as_it_was: int | None = None
        self.tiles = Tiles(self.read, lambda: self.now_ms, lambda: self.as_it_was)
        self.overview = Overview(self.tiles, lambda: self.now_ms / 1000)

    async def read(self, sql: str, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        await self.intake.settle(self.faults)
        return await self.store.read(sql, arguments)

    async def take(self, *events: dict[str, Any]) -> int:
        rows, wrong = rows_of(events, self.now_ms)
        assert wrong == []
        return await self.intake.take(rows, self.faults)

    async def total(self, **narrowed: str) -> int:
        tile = await self.tiles.events(Query({"namespace": "perf_test"} | narrowed))
        assert tile["total"] == sum(tile["by_kind"].values())
        return int(tile["total"])


def on(folder: Path, body: Callable[[Centre], Awaitable[T]], history: Iterable[Row] = ()) -> T:
    """Runs `body` on the database of `folder`, which starts with `history`."""

    async def run() -> T:
        centre = Centre(Store(folder / "a8.db", SCHEMA))
        try:
            await centre.intake.fill(history)
            return await body(centre)
        finally:
            await centre.store.close()

    return asyncio.run(run())


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (0, "1970-01-01"),
        (86_399_999, "1970-01-01"),
        (86_400_000, "1970-01-02"),
        (1_767_225_600_000, "2026-01-01"),
        (253_402_300_799_999, "9999-12-31"),
        (253_402_300_800_000, ""),
        (2**53 - 1, ""),
    ],
)
def test_the_day_of_a_time_is_the_utc_day_where_a_calendar_has_one(at: int, day: str) -> None:
    assert date_of(at) == day


def test_a_bill_is_counted_with_its_amounts() -> None:
    row = row_of(event("e", "contract_billed", data=BILL), 5)
    assert row.billed == 1
    assert (row.amount_cents, row.fee_cents, row.ai_cost_cents, row.ai_price_cents) == (1999, 60, 7, 28)
    assert row.contract_id == "c-1"


@pytest.mark.parametrize("name", ["amount_cents", "fee_cents", "ai_cost_cents", "ai_price_cents"])
@pytest.mark.parametrize("amount", [None, True, -1, 1.5, "100", [], MAX_CENTS + 1])
def test_a_bill_with_an_amount_that_is_none_is_an_event_and_no_bill(name: str, amount: Any) -> None:
    row = row_of(event("e", "contract_billed", data=BILL | {name: amount}), 5)
    assert (row.billed, row.amount_cents, row.fee_cents, row.ai_cost_cents, row.ai_price_cents) == (0,) * 5


def test_only_a_bill_bills() -> None:
    assert row_of(event("e", "live", data=BILL), 5).billed == 0


def test_what_an_older_a2_does_not_tell_is_left_out() -> None:
    rows, wrong = rows_of(
        [{"event_id": "e", "sequence": 3, "namespace": "perf_test", "kind": "k", "at": 1, "run_id": None}], 9
    )
    assert wrong == []
    assert (rows[0].run_id, rows[0].lineage_id, rows[0].app, rows[0].state, rows[0].data) == ("",) * 4 + (
        b"null",
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"event_id": None}, "event_id"),
        ({"event_id": "a b"}, "event_id"),
        ({"namespace": ""}, "namespace"),
        ({"kind": 5}, "kind"),
        ({"sequence": True}, "sequence"),
        ({"sequence": 0}, "sequence"),
        ({"at": -1}, "at"),
        ({"at": 2**60}, "at"),
    ],
)
def test_a_batch_with_an_event_that_is_none_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    rows, wrong = rows_of([event("good"), event("bad") | change], 9)
    assert rows == []
    assert [reason.partition(":")[0] for reason in wrong] == [f"events[1].{named}"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
facts = st.dictionaries(st.sampled_from(["page", "outcome", "tokens", *BILL]), json_values)


@given(json_values | facts, st.sampled_from(["contract_billed", "document_processed", "cta_click", "x"]))
def test_whatever_data_an_event_has_its_row_keeps_all_of_it(data: Any, kind: str) -> None:
    row = row_of(event("e", kind, data=data), 1)
    assert orjson.loads(row.data) == data
    assert all(value is not None for value in row)
    assert 0 <= row.tokens <= 10**9
    assert len(row.page) <= 200


# --- the history ----------------------------------------------------------------------------------


def test_the_same_seed_tells_the_same_history_and_another_a_different_one() -> None:
    assert list(history(1)) == list(history(1))
    assert list(history(1)) != list(history(2))


def test_the_history_is_thirty_days_of_both_namespaces_each_event_once() -> None:
    assert len({row.event_id for row in HISTORY}) == len(HISTORY)
    assert {row.date for row in HISTORY} == {f"2026-01-{day:02d}" for day in range(1, 31)}
    assert {row.state for row in HISTORY} == set(STATES)
    assert {row.app for row in HISTORY} == {"a5", "a6", "a7"}
    for namespace, least in EVENTS.items():
        assert least <= sum(row.namespace == namespace for row in HISTORY) < least + 10
    assert all(row.run_id == RUN and row.lineage_id and row.received_at > row.at for row in HISTORY)


def test_every_bill_of_the_history_adds_up_and_one_is_the_reference() -> None:
    bills = [row for row in HISTORY if row.kind == "contract_billed"]
    assert len(bills) > 50
    for row in bills:
        assert row.billed
        assert row.fee_cents * 100 == row.amount_cents * 3
        assert row.ai_price_cents == row.ai_cost_cents * 4
    (reference,) = (row for row in bills if row.contract_id == REFERENCE)
    assert reference.namespace == "perf_test"
    assert (reference.amount_cents, reference.fee_cents) == (100_000, 3_000)
    assert (reference.ai_cost_cents, reference.ai_price_cents) == (1_000, 4_000)


def test_a_provider_goes_through_the_funnel_in_order() -> None:
    funnel = ["lead", "demo", "contract", "live", "contract_billed"]
    by_lineage: dict[str, list[str]] = {}
    for row in sorted(HISTORY, key=lambda row: row.at):
        if row.app == "a6":
            by_lineage.setdefault(row.lineage_id, []).append(row.kind)
    assert all(kinds == funnel[: len(kinds)] for kinds in by_lineage.values())
    assert {len(kinds) for kinds in by_lineage.values()} == {1, 2, 3, 5}


def test_only_an_empty_database_gets_a_history(tmp_path: Path) -> None:
    async def total(centre: Centre) -> int:
        return await centre.total()

    assert on(tmp_path, total, HISTORY) == sum(row.namespace == "perf_test" for row in HISTORY)
    assert on(tmp_path, total, history(2)) == sum(row.namespace == "perf_test" for row in HISTORY)


def test_a_database_of_the_first_event_tile_is_carried_on_from(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "a8.db")
    database.execute("CREATE TABLE seen (event_id TEXT PRIMARY KEY) WITHOUT ROWID")
    database.execute("CREATE TABLE counts (namespace TEXT PRIMARY KEY, count INTEGER) WITHOUT ROWID")
    database.close()

    async def body(centre: Centre) -> int:
        await centre.take(event("e"))
        return await centre.total(run_id="r")

    assert on(tmp_path, body, HISTORY) == 1


# --- filters --------------------------------------------------------------------------------------


def predicate(equal: dict[str, str]) -> Callable[[Row], bool]:
    return lambda row: all(getattr(row, name) == value for name, value in equal.items())


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiles]:
    """The tiles on the history alone, without a thread or a loop of their own."""
    folder = tmp_path_factory.mktemp("history")

    async def fill(centre: Centre) -> None:
        await centre.total()

    on(folder, fill, HISTORY)
    database = sqlite3.connect(folder / "a8.db")

    async def read(sql: str, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return database.execute(sql, arguments).fetchall()

    yield Tiles(read, lambda: 0)
    database.close()


async def every_page(tiles: Tiles, equal: dict[str, str], limit: int) -> tuple[list[dict[str, Any]], int]:
    rows, after, total = [], 0, 0
    while after is not None:
        page = await tiles.rows(Query(equal, after, limit))
        assert len(page["rows"]) <= limit
        rows += page["rows"]
        after, total = page["next"], page["total"]
    return rows, total


values = st.fixed_dictionaries(
    {"namespace": st.sampled_from(["perf_test", DEMO, "nowhere"])},
    optional={
        name: st.sampled_from(sorted({getattr(row, name) for row in HISTORY})) | st.just(none)
        for name, none in (
            ("date", "2025-12-31"), ("state", "ZZ"), ("app", "a1"), ("kind", "none"),
            ("lineage_id", "none"), ("run_id", "none"), ("event_id", "none"),
        )
    },
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    equal=values, some=st.integers(0, len(HISTORY) - 1), names=st.sets(st.sampled_from(FILTERS), min_size=1)
)
def test_any_filters_together_show_exactly_the_rows_that_have_it_all(
    shown: Tiles, equal: dict[str, str], some: int, names: set[str]
) -> None:
    of_a_row = {"namespace": HISTORY[some].namespace} | {name: getattr(HISTORY[some], name) for name in names}
    for asked in (equal, of_a_row):
        rows, total = asyncio.run(every_page(shown, asked, MAX_ROWS))
        expected = [row.event_id for row in HISTORY if predicate(asked)(row)]
        assert [row["event_id"] for row in rows] == expected
        assert total == len(expected)


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_alone_divides_the_rows_without_rest(shown: Tiles, name: str) -> None:
    async def found_by(value: str) -> int:
        rows, total = await every_page(shown, {"namespace": "perf_test"} | {name: value}, 150)
        assert total == len(rows) > 0
        assert {row[name] for row in rows} == {value}
        return total

    async def found_by_any() -> int:
        return sum([await found_by(value) for value in {getattr(row, name) for row in rows}])

    rows = [row for row in HISTORY if row.namespace == "perf_test"]
    assert asyncio.run(found_by_any()) == len(rows)


def test_a_row_is_shown_as_it_came(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        await centre.take(
            event("whole", data={"deep": [1, {"x": None}]}, sequence=17),
            {"event_id": "bare", "sequence": 18, "namespace": "perf_test", "kind": "k", "at": 2**53 - 1},
        )
        page = await centre.tiles.rows(Query({"namespace": "perf_test"}))
        whole, bare = orjson.loads(orjson.dumps(page["rows"]))
        assert whole == {
            "sequence": 1, "ingest_sequence": 17, "event_id": "whole", "lineage_id": "l", "run_id": "r",
            "namespace": "perf_test", "kind": "signup", "app": "a5", "state": "TX", "date": "1970-01-01",
            "at": 0, "received_at": 1_000_000, "data": {"deep": [1, {"x": None}]},
        }  # fmt: skip
        assert [bare[name] for name in ("lineage_id", "run_id", "app", "state", "date", "data")] == [None] * 6

    on(tmp_path, body)


def test_a_query_without_filters_is_of_perf_test() -> None:
    assert parse_query([], FILTERS) == Query({"namespace": "perf_test"}, 0, 50)
    asked = parse_query([("app", "a6"), ("after", "7"), ("limit", "200")], (*FILTERS, "after", "limit"))
    assert asked == Query({"namespace": "perf_test", "app": "a6"}, 7, 200)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("namespace", ""), ("namespace", "a b"), ("date", "2026-1-01"), ("date", "2026-02-30"),
        ("date", "today"),
        ("date", "20260101"), ("date", "٢٠٢٦-٠١-٠١"), ("date", "2026-01-01 "), ("date", "0000-01-01"),
        ("state", "tx"), ("state", "TEX"), ("state", ""), ("app", "a9"), ("app", "A5"), ("app", "a1\n"),
        ("kind", "'"), ("lineage_id", "x" * 129), ("run_id", "a/b"), ("event_id", "e\0"),
        ("after", "-1"), ("after", "1.5"), ("after", "²"), ("after", "9" * 30), ("limit", "0"),
        ("limit", "1001"),
        ("unknown", "x"), ("Namespace", "perf_test"), ("contract_id", "c"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_none_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_query([(name, text)], (*FILTERS, "after", "limit"))
    assert refused.value.status == 422
    assert [reason.partition(":")[0] for reason in refused.value.errors] == [name]


def test_everything_wrong_with_a_query_is_said_at_once() -> None:
    wrong = [("state", "x"), ("date", "x"), ("limit", "x"), ("sort", "x"), ("app", "a1"), ("app", "a2")]
    with pytest.raises(Problem) as refused:
        parse_query(wrong, (*FILTERS, "after", "limit"))
    assert [reason.partition(":")[0] for reason in refused.value.errors] == [
        "state",
        "date",
        "limit",
        "sort",
        "app",
    ]


@given(st.lists(st.tuples(st.sampled_from([*FILTERS, "limit", "after"]) | st.text(), st.text()), max_size=6))
def test_whatever_is_asked_is_a_query_or_has_reasons(pairs: list[tuple[str, str]]) -> None:
    try:
        query = parse_query(pairs, (*FILTERS, "after", "limit"))
    except Problem as problem:
        assert problem.errors
    else:
        assert {name for name, _ in pairs} | {"namespace"} >= query.equal.keys()
        assert 1 <= query.limit <= MAX_ROWS


# --- tiles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cents", "text"),
    [(0, "$0.00"), (5, "$0.05"), (99, "$0.99"), (3_000, "$30.00"), (100_000, "$1,000.00"),
     (123_456_789, "$1,234,567.89"), (2**53 * 1000 + 1, "$90,071,992,547,409,920.01")],
)  # fmt: skip
def test_cents_are_written_as_dollars_exactly(cents: int, text: str) -> None:
    assert dollars(cents) == text


def tile(tiles: Tiles, name: str, **equal: str) -> dict[str, Any]:
    query = Query({"namespace": "perf_test"} | equal)
    found: dict[str, Any] = asyncio.run(getattr(tiles, name)(query))
    return found


def test_the_reference_contract_costs_thirty_and_forty_dollars(shown: Tiles) -> None:
    finance = tile(shown, "finance", contract_id=REFERENCE)
    assert (finance["contracts"], finance["fee"], finance["ai_price"]) == (1, "$30.00", "$40.00")
    assert (finance["amount_cents"], finance["ai_cost_cents"]) == (100_000, 1_000)
    assert (finance["latest"]["contract_id"], finance["latest"]["fee"]) == (REFERENCE, "$30.00")
    assert tile(shown, "finance", lineage_id="seed-reference")["fee"] == "$30.00"


NARROWED: list[dict[str, str]] = [
    {}, {"run_id": RUN}, {"run_id": "none"}, {"namespace": DEMO}, {"namespace": "nowhere"},
    {"lineage_id": "seed-reference"}, {"lineage_id": HISTORY[100].lineage_id}, {"lineage_id": "none"},
]  # fmt: skip


@pytest.mark.parametrize("equal", NARROWED)
def test_each_tile_is_the_sum_of_its_rows(shown: Tiles, equal: dict[str, str]) -> None:
    rows = [row for row in HISTORY if predicate({"namespace": "perf_test"} | equal)(row)]
    by_kind = Counter(row.kind for row in rows)

    events = tile(shown, "events", **equal)
    assert (events["total"], events["by_kind"]) == (len(rows), dict(by_kind))
    assert (events["latest"] or {}).get("event_id") == (rows[-1].event_id if rows else None)

    finance = tile(shown, "finance", **equal)
    for name in ("amount_cents", "fee_cents", "ai_cost_cents", "ai_price_cents"):
        assert finance[name] == sum(getattr(row, name) for row in rows)
    assert finance["contracts"] == by_kind["contract_billed"]
    assert finance["fee"] == dollars(finance["fee_cents"])

    growth = tile(shown, "growth", **equal)
    kinds = {"signups": "signup", "cta_impressions": "cta_impression", "cta_clicks": "cta_click"}
    assert {name: growth[name] for name in kinds} == {name: by_kind[kind] for name, kind in kinds.items()}
    for by, of in (("by_app", "app"), ("by_page", "page"), ("by_state", "state")):
        expected: dict[str, Counter[str]] = {}
        for row in rows:
            if row.kind in kinds.values():
                expected.setdefault(getattr(row, of) or "unknown", Counter())[row.kind] += 1
        assert growth["attribution"][by] == {
            value: {name: counts[kind] for name, kind in kinds.items()} for value, counts in expected.items()
        }

    outcomes = tile(shown, "outcomes", **equal)
    documents = [row for row in rows if row.kind == "document_processed"]
    assert {name: outcomes[name] for name in ("documents", "eligible", "review", "tokens", "runs")} == {
        "documents": len(documents),
        "eligible": sum(row.outcome == "eligible" for row in documents),
        "review": sum(row.outcome == "review" for row in documents),
        "tokens": sum(row.tokens for row in documents),
        "runs": len({row.run_id for row in documents}),
    }


@pytest.mark.parametrize("namespace", ["perf_test", DEMO, "nowhere"])
def test_the_overview_is_the_sum_of_the_rows(shown: Tiles, namespace: str) -> None:
    rows = [row for row in HISTORY if row.namespace == namespace]
    overview = asyncio.run(shown.overview(namespace))
    assert overview["total"] == len(rows)
    for by, of in (("by_kind", "kind"), ("by_app", "app"), ("by_state", "state"), ("by_day", "date")):
        assert overview[by] == dict(sorted(Counter(getattr(row, of) for row in rows).items()))
    kinds = Counter(row.kind for row in rows)
    assert overview["funnel"] == {step: kinds[step] for step in ("lead", "demo", "contract", "live")}
    assert overview["growth"]["signups"] == kinds["signup"]
    assert overview["growth"]["signups_by_day"] == dict(
        sorted(Counter(row.date for row in rows if row.kind == "signup").items())
    )
    assert overview["finance"]["fee_cents"] == sum(row.fee_cents for row in rows)
    assert overview["finance"]["ai_price"] == dollars(sum(row.ai_price_cents for row in rows))
    assert overview["finance"]["contracts"] == sum(row.billed for row in rows)


def test_a_list_ends_and_its_total_does_not(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        many = [
            event(f"e{n}", "cta_click", data={"page": f"/{n}"}, state="") for n in range(MAX_ENTRIES + 50)
        ]
        await centre.take(*many, event("more", "cta_click", data={"page": "/7"}))
        growth = await centre.tiles.growth(Query({"namespace": "perf_test"}))
        assert growth["cta_clicks"] == MAX_ENTRIES + 51
        assert len(growth["attribution"]["by_page"]) == MAX_ENTRIES
        assert growth["attribution"]["by_page"]["/7"]["cta_clicks"] == 2
        assert growth["attribution"]["by_state"]["unknown"]["cta_clicks"] == MAX_ENTRIES + 50

    on(tmp_path, body)


def test_a_tile_names_the_latest_of_what_it_counts(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        query = Query({"namespace": "perf_test"})
        for number in range(3):  # alike, so that they fall into one cell
            await centre.take(event(f"s{number}"), event(f"x{number}", "other"))
            assert (await centre.tiles.growth(query))["latest"]["event_id"] == f"s{number}"
            assert (await centre.tiles.events(query))["latest"]["event_id"] == f"x{number}"
        assert (await centre.tiles.outcomes(query))["latest"] is None

    on(tmp_path, body)


def test_documents_without_a_run_are_of_none(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        await centre.take(*(event(f"d{n}", "document_processed", run_id=run) for n, run in enumerate("aab")))
        await centre.take(event("none", "document_processed", run_id=None))
        outcomes = await centre.tiles.outcomes(Query({"namespace": "perf_test"}))
        assert (outcomes["documents"], outcomes["runs"]) == (4, 2)

    on(tmp_path, body)


def test_a_page_that_holds_all_there_is_has_no_next(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        await centre.take(*(event(f"e{n}") for n in range(3)))
        for limit, following in ((2, 2), (3, None), (4, None)):
            page = await centre.tiles.rows(Query({"namespace": "perf_test"}, 0, limit))
            assert (page["next"], page["total"]) == (following, 3)

    on(tmp_path, body)


def test_a_bill_that_does_not_add_up_changes_no_sum(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        await centre.take(
            event("good", "contract_billed", data=BILL),
            event("bad", "contract_billed", data=BILL | {"fee_cents": "60"}),
        )
        for equal in ({"namespace": "perf_test"}, {"namespace": "perf_test", "lineage_id": "l"}):
            finance = await centre.tiles.finance(Query(equal))
            assert (finance["contracts"], finance["fee_cents"], finance["fee"]) == (1, 60, "$0.60")
            assert finance["latest"]["event_id"] == "good"
        assert (await centre.tiles.overview("perf_test"))["finance"]["contracts"] == 1
        assert await centre.total() == 2

    on(tmp_path, body)


# --- what comes in, and goes ----------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(batches=st.lists(st.lists(st.integers(0, 15), max_size=6), max_size=8), stale=st.booleans())
def test_however_often_an_event_is_delivered_it_counts_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], stale: bool
) -> None:
    async def body(centre: Centre) -> None:
        centre.faults = Faults(stale_telemetry_s=60.0 * stale)
        seen: set[int] = set()
        for batch in batches:
            new = await centre.take(*(event(f"e{n}", f"k{n % 3}", run_id=f"r{n % 2}") for n in batch))
            assert new == len(set(batch) - seen)
            seen |= set(batch)
        centre.faults = Faults()
        assert await centre.total() == len(seen)
        assert await centre.total(run_id="r1") == sum(n % 2 for n in seen)
        assert await centre.total(lineage_id="l") == len(seen)
        rows = (await centre.tiles.rows(Query({"namespace": "perf_test"})))["rows"]
        assert len(rows) == len(seen)

    on(tmp_path_factory.mktemp("once"), body)


def test_lost_telemetry_is_not_there_and_comes_in_when_told_again(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        centre.faults = Faults(lose_events=1.0)
        assert await centre.take(event("e")) == 0
        assert await centre.total() == 0
        centre.faults = Faults()
        assert await centre.take(event("e")) == 1

    on(tmp_path, body)


def test_which_events_are_lost_follows_from_the_seed(tmp_path: Path) -> None:
    async def body(centre: Centre) -> list[str]:
        centre.faults = Faults(lose_events=0.5)
        await centre.take(*(event(f"e{n}") for n in range(40)))
        rows = (await centre.tiles.rows(Query({"namespace": "perf_test"})))["rows"]
        return [row["event_id"] for row in rows]

    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first, second = (on(folder, body) for folder in folders)
    assert first == second
    assert 5 < len(first) < 35


def test_stale_telemetry_shows_only_after_its_time(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        await centre.take(event("before"))
        centre.faults = Faults(stale_telemetry_s=90)
        await centre.take(event("held", lineage_id="h"))
        for passed_ms, expected in ((0, 1), (89_999, 1), (1, 2)):
            centre.now_ms += passed_ms
            assert await centre.total() == expected
            assert len((await centre.tiles.lineage("h"))["rows"]) == expected - 1
            assert (await centre.tiles.overview("perf_test"))["total"] == expected
        fresh = (await centre.tiles.events(Query({"namespace": "perf_test"})))["fresh_as_of"]
        assert fresh == 1_000_000  # when it came in, not when it was shown

    on(tmp_path, body)


def test_what_is_held_shows_at_once_when_the_switch_goes_off(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        centre.faults = Faults(stale_telemetry_s=3600)
        assert await centre.take(event("held")) == 1
        assert await centre.take(event("held")) == 0
        assert await centre.total() == 0
        centre.faults = Faults()
        assert await centre.total() == 1

    on(tmp_path, body)


def test_tiles_that_are_not_refreshed_show_what_they_showed_then_and_rows_are_of_now(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        of_all, of_one = (
            Query({"namespace": "perf_test"}),
            Query({"namespace": "perf_test", "lineage_id": "l"}),
        )
        await centre.take(event("before"))
        centre.as_it_was = centre.now_ms
        centre.now_ms += 1000
        await centre.take(event("after"), event("bill", "contract_billed", data=BILL))
        for query in (of_all, of_one):
            assert (await centre.tiles.growth(query))["signups"] == 1
            assert (await centre.tiles.finance(query))["contracts"] == 0
            assert (await centre.tiles.events(query))["total"] == 1
            assert (await centre.tiles.rows(query))["total"] == 3
        centre.as_it_was = None
        assert (await centre.tiles.growth(of_all))["signups"] == 2
        assert (await centre.tiles.finance(of_one))["contracts"] == 1

    on(tmp_path, body)


def test_what_is_held_outlives_a_restart(tmp_path: Path) -> None:
    async def hold(centre: Centre) -> None:
        centre.faults = Faults(stale_telemetry_s=3600)
        await centre.take(event("held"))
        assert await centre.total() == 0

    async def look(centre: Centre) -> int:
        return await centre.total()

    on(tmp_path, hold)
    assert on(tmp_path, look, HISTORY) == 1


def test_a_run_that_is_cleaned_up_leaves_the_others_and_the_history(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        seeded = await centre.total()
        await centre.take(event("one"), event("two", run_id="other"), event("three", run_id=None))
        centre.faults = Faults(stale_telemetry_s=60)
        await centre.take(event("held"))
        assert await centre.intake.forget("perf_test", "r") == 2
        assert await centre.intake.forget("perf_test", "r") == 0
        centre.faults = Faults()
        assert (await centre.total(run_id="r"), await centre.total()) == (0, seeded + 2)
        await centre.take(event("pretends", run_id=RUN))
        assert await centre.intake.forget(DEMO, None) == 0
        assert await centre.intake.forget("perf_test", None) == 3
        assert (await centre.total(), await centre.total(run_id=RUN)) == (seeded, seeded)
        assert await centre.take(event("one")) == 1

    on(tmp_path, body, HISTORY)


# --- the cache of the overview --------------------------------------------------------------------


def test_the_cache_is_off_until_it_is_warmed_and_off_again_after_its_time(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        overview = centre.overview
        await centre.take(event("one"))
        assert (await overview.read("perf_test"))["total"] == 1
        assert overview.kept("perf_test") is None
        await overview.warm("perf_test")
        await centre.take(event("two"))
        for passed_ms in (0, 1_000, round(TTL_S * 1000) - 1_001):
            centre.now_ms += passed_ms
            kept = overview.kept("perf_test")
            assert kept is not None
            assert kept[0]["total"] == 1
        assert kept[1] == pytest.approx(TTL_S - 0.001)
        centre.now_ms += 1
        assert overview.kept("perf_test") is None
        await overview.read("perf_test")
        assert overview.kept("perf_test") is None  # reading does not warm
        await overview.warm("perf_test")
        assert overview.kept("perf_test") == ((await overview.read("perf_test")), 0)

    on(tmp_path, body)


def test_each_namespace_is_warmed_by_itself_and_no_other_can_be(tmp_path: Path) -> None:
    async def body(centre: Centre) -> None:
        await centre.overview.warm(DEMO)
        kept = centre.overview.kept(DEMO)
        assert kept is not None
        assert kept[0]["namespace"] == DEMO
        assert centre.overview.kept("perf_test") is None
        for refused in (lambda: centre.overview.kept("other"), lambda: centre.overview.warm("other")):
            with pytest.raises(Problem, match="no overview"):
                found = refused()
                assert found is not None
                await found

    on(tmp_path, body)

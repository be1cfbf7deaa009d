"""A8 of the sandbox, the command centre, through its public endpoints."""

from __future__ import annotations

import json
import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import call, eventually, faults, fetch, token

TILES = ("events", "finance", "growth", "outcomes")
READABLE = (
    "/",
    "/health",
    "/healthz",
    "/metrics",
    "/assets/style.css",
    "/api/executive/overview",
    "/api/executive/overview/warm",
    *(f"/api/tiles/{tile}" for tile in TILES),
    "/api/events",
    "/api/lineage/seed-reference",
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(("a2", "a8")) as running:
        yield running


@pytest.fixture
def a8(sandbox: Sandbox) -> str:
    return sandbox.urls["a8"]


def emit(sandbox: Sandbox, kind: str, **changes: Any) -> str:
    """An event taken by A2, of a run of its own unless that is named; its id."""
    event = {
        "event_id": uuid.uuid4().hex,
        "namespace": "perf_test",
        "kind": kind,
        "at": time.time_ns() // 10**6,
    }
    status, _ = call(f"{sandbox.urls['a2']}/v1/events", event | changes)
    assert status == 202
    return str(event["event_id"])


def tell(sandbox: Sandbox, *events: dict[str, Any]) -> Any:
    """Telemetry as A2 delivers it."""
    internal = {"X-Sandbox-Internal": sandbox._internal_token}
    status, answer = call(f"{sandbox.urls['a8']}/internal/telemetry", {"events": events}, internal)
    assert status == 200, answer
    return answer


def tile(sandbox: Sandbox, name: str, **query: str) -> dict[str, Any]:
    status, found = call(f"{sandbox.urls['a8']}/api/tiles/{name}?{urllib.parse.urlencode(query)}")
    assert status == 200, found
    assert isinstance(found, dict)
    return found


def all_rows(a8: str, **query: str) -> list[dict[str, Any]]:
    rows, after = [], 0
    while after is not None:
        asked = urllib.parse.urlencode(query | {"limit": "200", "after": str(after)})
        status, page = call(f"{a8}/api/events?{asked}")
        assert status == 200
        rows += page["rows"]
        after = page["next"]
    assert page["total"] == len(rows)
    return rows


class Page(HTMLParser):
    """The text of a page by the ids of its elements, and its tags."""

    def __init__(self, url: str) -> None:
        super().__init__()
        status, headers, content = fetch(url)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        self.text: dict[str, str] = {}
        self.tags: list[str] = []
        self.source = content.decode()
        self._open: list[tuple[str, str | None]] = []
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "link", "input", "br"):
            self._open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name is not None:
                self.text[name] = self.text.get(name, "") + data


# --- what comes in --------------------------------------------------------------------------------


def test_an_event_is_followed_from_a2_by_its_lineage(sandbox: Sandbox, a8: str) -> None:
    lineage = uuid.uuid4().hex
    for number, kind in enumerate(("lead", "demo", "contract", "live")):
        emit(
            sandbox,
            kind,
            lineage_id=lineage,
            app="a6",
            state="TX",
            at=1000 + number,
            data={"provider_id": "p"},
        )
    eventually(lambda: call(f"{a8}/api/lineage/{lineage}")[1]["total"], 4)
    _, found = call(f"{a8}/api/lineage/{lineage}")
    assert [row["kind"] for row in found["rows"]] == ["lead", "demo", "contract", "live"]
    assert {(row["app"], row["state"], row["date"]) for row in found["rows"]} == {("a6", "TX", "1970-01-01")}
    assert all(row["data"] == {"provider_id": "p"} for row in found["rows"])
    assert [row["ingest_sequence"] for row in found["rows"]] == sorted(
        row["ingest_sequence"] for row in found["rows"]
    )


def test_what_is_delivered_again_is_shown_once(sandbox: Sandbox, a8: str) -> None:
    events = [
        {"event_id": f"again-{n}", "sequence": n + 1, "namespace": "perf_test", "kind": "signup", "at": n,
         "run_id": "again", "lineage_id": "again", "app": "a5", "state": None, "data": {"n": n}}
        for n in range(100)
    ]  # fmt: skip
    assert tell(sandbox, *events[:60]) == {"received": 60, "new": 60}
    assert tell(sandbox, *events) == {"received": 100, "new": 40}
    assert tell(sandbox, *events, *events) == {"received": 200, "new": 0}
    assert tile(sandbox, "events", run_id="again")["total"] == 100
    assert tile(sandbox, "growth", lineage_id="again")["signups"] == 100
    assert [row["data"]["n"] for row in all_rows(a8, run_id="again")] == list(range(100))


def test_telemetry_that_is_none_is_refused_and_nothing_of_it_is_kept(sandbox: Sandbox, a8: str) -> None:
    internal = {"X-Sandbox-Internal": sandbox._internal_token}
    good = {
        "event_id": "half",
        "sequence": 1,
        "namespace": "perf_test",
        "kind": "k",
        "at": 1,
        "run_id": "half",
    }
    for body, status in (
        (b"", 400),
        (b"[]", 400),
        ({"events": {}}, 422),
        ({"events": [1]}, 422),
        ({"events": [good, good | {"event_id": "other", "at": "now"}]}, 422),
    ):
        assert call(f"{a8}/internal/telemetry", body, internal)[0] == status
    for body in ({}, {"namespace": "a b"}, {"namespace": "perf_test", "run_id": 5}, []):
        assert call(f"{a8}/internal/cleanup", body, internal)[0] == 422
    assert tile(sandbox, "events", run_id="half")["total"] == 0


def test_a_cleanup_of_a2_takes_a_run_out_of_every_tile(sandbox: Sandbox, a8: str) -> None:
    before = tile(sandbox, "events")["total"]
    bill = {"contract_id": "c", "amount_cents": 1, "fee_cents": 1, "ai_cost_cents": 1, "ai_price_cents": 1}
    emit(sandbox, "contract_billed", run_id="gone", data=bill)
    emit(sandbox, "signup", run_id="gone")
    eventually(lambda: tile(sandbox, "events", run_id="gone")["total"], 2)
    status, answer = call(f"{sandbox.urls['a2']}/test-data?namespace=perf_test&run_id=gone", method="DELETE")
    assert (status, answer["deleted"]["telemetry"]) == (200, 2)
    assert tile(sandbox, "events", run_id="gone")["total"] == 0
    assert tile(sandbox, "finance", run_id="gone")["contracts"] == 0
    assert (tile(sandbox, "events")["total"], all_rows(a8, run_id="gone")) == (before, [])


def test_events_are_lost_while_the_fault_is_on(sandbox: Sandbox) -> None:
    with faults(sandbox, "a8", lose_events=1):
        emit(sandbox, "lost", run_id="lost")
        pending = f"{sandbox.urls['a2']}/healthz"
        eventually(lambda: call(pending)[1]["checks"]["outbox_pending"], 0)
        assert tile(sandbox, "events", run_id="lost")["total"] == 0
    emit(sandbox, "kept", run_id="lost")
    eventually(lambda: tile(sandbox, "events", run_id="lost")["by_kind"], {"kept": 1})


def test_stale_telemetry_shows_when_the_fault_goes_off(sandbox: Sandbox, a8: str) -> None:
    with faults(sandbox, "a8", stale_telemetry_s=3600):
        emit(sandbox, "stale", run_id="stale", lineage_id="stale")
        eventually(lambda: call(f"{sandbox.urls['a2']}/healthz")[1]["checks"]["outbox_pending"], 0)
        assert tile(sandbox, "events", run_id="stale")["total"] == 0
        assert call(f"{a8}/api/lineage/stale")[1]["rows"] == []
        assert all_rows(a8, run_id="stale") == []
    assert tile(sandbox, "events", run_id="stale")["total"] == 1


def test_a_restart_keeps_every_row_and_adds_no_history(tmp_path: Path) -> None:
    with Sandbox(("a2", "a8"), state=tmp_path) as sandbox:
        emit(sandbox, "signup", run_id="kept")
        eventually(lambda: tile(sandbox, "events", run_id="kept")["total"], 1)
        before = tile(sandbox, "events")
        sandbox.kill("a8")
        emit(sandbox, "signup", run_id="later")
        sandbox.start("a8")
        eventually(lambda: tile(sandbox, "events", run_id="later")["total"], 1)
        assert tile(sandbox, "events")["total"] == before["total"] + 1


# --- what is shown --------------------------------------------------------------------------------


def test_the_overview_is_what_the_rows_add_up_to(a8: str) -> None:
    rows = all_rows(a8, namespace="demo")
    assert len(rows) >= 500
    status, overview = call(f"{a8}/api/executive/overview?namespace=demo")
    assert (status, overview["total"]) == (200, len(rows))
    for by, of in (("by_kind", "kind"), ("by_app", "app"), ("by_state", "state"), ("by_day", "date")):
        assert overview[by] == Counter(row[of] for row in rows)
    bills = [row["data"] for row in rows if row["kind"] == "contract_billed"]
    assert overview["finance"]["contracts"] == len(bills)
    for name in ("amount_cents", "fee_cents", "ai_cost_cents", "ai_price_cents"):
        assert overview["finance"][name] == sum(bill[name] for bill in bills)
    kinds = Counter(row["kind"] for row in rows)
    assert overview["funnel"] == {kind: kinds[kind] for kind in ("lead", "demo", "contract", "live")}
    assert overview["growth"]["cta_clicks"] == kinds["cta_click"]


def test_the_overview_is_slow_until_it_is_warmed_and_then_answers_from_its_cache() -> None:
    with Sandbox(("a8",), seed=3) as sandbox:
        a8 = sandbox.urls["a8"]

        def ask(run: str, path: str = "/api/executive/overview?namespace=perf_test") -> tuple[Any, Any]:
            status, headers, body = fetch(a8 + path, headers={"X-Ecoload-Run": run})
            assert status == 200
            return headers, json.loads(body)

        def model(run: str, route: str = "overview") -> Any:
            return call(f"{a8}/__truth?run_id={run}")[1]["by_route"][route]["model_ms"]

        with ThreadPoolExecutor(3) as pool:
            asked = list(pool.map(ask, ["cold"] * 3))
        assert [(headers["X-Cache"], headers["Age"]) for headers, _ in asked] == [("bypass", "0")] * 3
        cold = asked[-1][1]
        _, warming = ask("warming", "/api/executive/overview/warm?namespace=perf_test")
        assert (warming["cache"], warming["ttl_s"], warming["total"]) == ("on", 300, cold["total"])
        event = {"sequence": 1, "namespace": "perf_test", "kind": "signup", "at": 0}
        tell(sandbox, event | {"event_id": "after-warming"})
        for _ in range(3):
            headers, warm = ask("warm")
            assert headers["X-Cache"] == "hit"
            assert int(headers["Age"]) >= 0
            assert warm == cold | {name: warm[name] for name in ("as_of", "fresh_as_of")}
        eventually(lambda: int(ask("older")[0]["Age"]) >= 1, True)
        assert ask("demo", "/api/executive/overview?namespace=demo")[0]["X-Cache"] == "bypass"
        assert tile(sandbox, "events")["total"] == warm["total"] + 1

        # By the law itself, whatever else the machine is doing.
        assert min(model("cold")["p50"], model("warming", "warm")["p50"]) > 300
        assert model("warm")["max"] < 300
        assert call(f"{a8}/__truth?run_id=cold")[1]["by_route"]["overview"]["latency_ms"]["p50"] >= 300


def test_the_reference_contract_reads_thirty_and_forty_dollars(sandbox: Sandbox) -> None:
    finance = tile(sandbox, "finance", contract_id="reference")
    assert (finance["contracts"], finance["fee"], finance["ai_price"]) == (1, "$30.00", "$40.00")
    bill = {"amount_cents": 123456789, "fee_cents": 3703704, "ai_cost_cents": 1, "ai_price_cents": 4}
    emit(
        sandbox, "contract_billed", run_id="billed", lineage_id="billed", data=bill | {"contract_id": "mine"}
    )
    eventually(lambda: tile(sandbox, "finance", contract_id="mine")["contracts"], 1)
    for narrowed in ({"contract_id": "mine"}, {"lineage_id": "billed"}, {"run_id": "billed"}):
        finance = tile(sandbox, "finance", **narrowed)
        assert (finance["fee"], finance["ai_price"]) == ("$37,037.04", "$0.04")
        assert finance["latest"]["contract_id"] == "mine"


def test_growth_and_outcomes_tell_where_events_came_from(sandbox: Sandbox) -> None:
    seen = {"page": "/browse", "cta": "hero"}
    emit(sandbox, "cta_impression", run_id="g", app="a7", state="TX", data=seen)
    emit(sandbox, "cta_click", run_id="g", app="a7", state="TX", data=seen)
    emit(sandbox, "signup", run_id="g", app="a5", data={"user": "u", "crm_id": "c"})
    for outcome, tokens in (("eligible", 7), ("review", 5)):
        emit(sandbox, "document_processed", run_id="g", data={"outcome": outcome, "tokens": tokens})
    eventually(lambda: tile(sandbox, "events", run_id="g")["total"], 5)
    growth = tile(sandbox, "growth", run_id="g")
    assert (growth["signups"], growth["cta_impressions"], growth["cta_clicks"]) == (1, 1, 1)
    assert growth["attribution"]["by_page"] == {
        "/browse": {"signups": 0, "cta_impressions": 1, "cta_clicks": 1},
        "unknown": {"signups": 1, "cta_impressions": 0, "cta_clicks": 0},
    }
    assert growth["attribution"]["by_app"]["a5"]["signups"] == 1
    outcomes = tile(sandbox, "outcomes", run_id="g")
    assert [outcomes[name] for name in ("documents", "eligible", "review", "tokens", "runs")] == [
        2,
        1,
        1,
        12,
        1,
    ]


@pytest.mark.parametrize("name", TILES)
def test_a_tile_says_of_when_it_is(sandbox: Sandbox, name: str) -> None:
    before = time.time_ns() // 10**6
    event_id = emit(sandbox, "fresh", run_id=f"fresh-{name}")
    eventually(lambda: tile(sandbox, "events", run_id=f"fresh-{name}")["total"], 1)
    shown = tile(sandbox, name)
    assert before <= shown["fresh_as_of"] <= shown["as_of"] <= time.time_ns() // 10**6
    assert tile(sandbox, "events", run_id=f"fresh-{name}")["latest"]["event_id"] == event_id


@pytest.mark.parametrize(
    "query",
    [
        {"namespace": "demo"}, {"date": "2026-01-15"}, {"state": "TX"}, {"app": "a6"}, {"kind": "signup"},
        {"run_id": "seed"}, {"lineage_id": "seed-reference"},
        {"event_id": "seed-demo-0001-1", "namespace": "demo"},
        {"namespace": "demo", "app": "a5", "kind": "signup"},
        {"date": "2026-01-15", "state": "TX", "app": "a6", "kind": "lead", "lineage_id": "seed-reference"},
        {"app": "a5", "kind": "lead"}, {"date": "2025-12-31"},
    ],
)  # fmt: skip
def test_filters_show_only_rows_that_have_it_all(a8: str, query: dict[str, str]) -> None:
    rows = all_rows(a8, **query)
    assert bool(rows) == (query not in ({"app": "a5", "kind": "lead"}, {"date": "2025-12-31"}))
    for row in rows:
        assert {name: row[name] for name in query} == query
        assert row["namespace"] == query.get("namespace", "perf_test")
    assert [row["sequence"] for row in rows] == sorted({row["sequence"] for row in rows})


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/api/events?colour=red", 422, ["colour"]),
        ("/api/events?date=2026-02-30&state=tx&app=b1&limit=0", 422, ["date", "state", "app", "limit"]),
        ("/api/events?state=TX&state=CA", 422, ["state"]),
        ("/api/events?state=", 422, ["state"]),
        ("/api/events?kind=%ff%ED%A0%80%00", 422, ["kind"]),
        ("/api/events?%ff%00=1", 422, None),
        ("/api/tiles/events?date=2026-01-01", 422, ["date"]),
        ("/api/tiles/finance?contract_id=a%20b", 422, ["contract_id"]),
        ("/api/tiles/growth?contract_id=c", 422, ["contract_id"]),
        ("/api/tiles/none", 404, []),
        ("/api/executive/overview?namespace=other", 422, ["namespace"]),
        ("/api/executive/overview?run_id=seed", 422, ["run_id"]),
        ("/api/executive/overview/warm?namespace=other", 422, ["namespace"]),
        ("/api/lineage/a%20b", 422, ["lineage_id"]),
        ("/api/lineage/%ff%00", 422, ["lineage_id"]),
        ("/api/lineage/", 404, []),
        ("/?state=nowhere", 422, ["state"]),
        ("/?limit=5", 422, ["limit"]),
    ],
)
def test_a_question_that_is_none_is_a_problem_with_its_reasons(
    a8: str, path: str, status: int, named: list[str] | None
) -> None:
    found, problem = call(a8 + path)
    assert found == status
    if named is not None:
        assert [reason.partition(":")[0] for reason in problem.get("errors", [])] == named


# --- read only ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_nothing_but_reading_is_allowed_anywhere(sandbox: Sandbox, a8: str, method: str) -> None:
    before = tile(sandbox, "events")["total"]
    event = {"event_id": "forged", "sequence": 1, "namespace": "perf_test", "kind": "k", "at": 1}
    for path in (
        *READABLE,
        "/internal/telemetry",
        "/internal/cleanup",
        "/test-data",
        "/v1/events",
        "/nowhere",
    ):
        status, headers, _ = fetch(
            a8 + path,
            json.dumps({"events": [event], "namespace": "perf_test"}).encode(),
            {"Content-Type": "application/json", "X-Sandbox-Internal": "guess"},
            method,
        )
        assert status == 405, path
        assert headers["Content-Type"] == "application/problem+json"
    assert tile(sandbox, "events")["total"] == before


@pytest.mark.parametrize("path", READABLE)
def test_everything_can_be_read(a8: str, path: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(fetch, a8 + path, method=method) for method in ("GET", "HEAD")]
    assert [answer.result()[0] for answer in asked] == [200, 200]


def test_where_there_is_an_a1_the_api_wants_its_token_and_the_page_does_not() -> None:
    with Sandbox(("a1", "a8")) as sandbox:
        a8 = sandbox.urls["a8"]

        def look(path: str) -> None:
            protected = path.startswith("/api/")
            status, headers, _ = fetch(a8 + path)
            assert status == (401 if protected else 200), path
            assert ("WWW-Authenticate" in headers) == protected
            if protected:
                assert fetch(a8 + path, headers=token(sandbox, "a2"))[0] == 403
                assert fetch(a8 + path, headers=token(sandbox, "a8"))[0] == 200

        with ThreadPoolExecutor(len(READABLE)) as pool:
            assert list(pool.map(look, READABLE)) == [None] * len(READABLE)


# --- the page -------------------------------------------------------------------------------------


def test_the_page_shows_the_tiles_and_does_not_wait_for_the_overview() -> None:
    with Sandbox(("a8",)) as sandbox:
        a8 = sandbox.urls["a8"]
        shown = Page(a8)
        assert "overview-cold" in shown.text
        finance, growth = tile(sandbox, "finance"), tile(sandbox, "growth")
        assert (shown.text["finance-fee"], shown.text["finance-ai-price"]) == (
            finance["fee"],
            finance["ai_price"],
        )
        assert shown.text["growth-signups"] == str(growth["signups"])
        assert shown.text["outcomes-tokens"] == str(tile(sandbox, "outcomes")["tokens"])
        assert shown.text["events-total"] == str(tile(sandbox, "events")["total"])
        call(f"{a8}/api/executive/overview/warm")
        assert Page(a8).text["overview-total"] == shown.text["events-total"]
        assert "overview-cold" in Page(f"{a8}/?namespace=demo").text


def test_the_page_finds_an_event_by_its_lineage(sandbox: Sandbox, a8: str) -> None:
    lineage = uuid.uuid4().hex
    event_id = emit(sandbox, "signup", lineage_id=lineage, app="a5", state="CA")
    eventually(lambda: call(f"{a8}/api/lineage/{lineage}")[1]["total"], 1)
    shown = Page(f"{a8}/?lineage_id={lineage}&state=&date=&app=&kind=")
    assert shown.text["found-total"] == shown.text["growth-signups"] == "1"
    assert "signup" in shown.text[f"event-{event_id}"]
    assert [name for name in shown.text if name.startswith("event-")] == [f"event-{event_id}"]
    assert Page(f"{a8}/?lineage_id=nobody").text["found-total"] == "0"


def test_what_an_event_carries_is_shown_as_text_and_never_as_markup(sandbox: Sandbox, a8: str) -> None:
    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;{{7*7}}"
    data = {"page": evil, "cta": evil, evil: [evil]}
    event_id = emit(sandbox, "cta_click", lineage_id="evil", app="a7", data=data, at=2**53 - 1)
    eventually(lambda: call(f"{a8}/api/lineage/evil")[1]["total"], 1)
    shown = Page(f"{a8}/?lineage_id=evil")
    assert not {"script", "img"} & set(shown.tags)
    assert evil in shown.text["attribution-page"]
    assert "<script>alert(1)</script>" in shown.text[f"event-{event_id}"]
    assert "{{7*7}}" in shown.source
    headers = fetch(a8)[1]
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert call(f"{a8}/api/lineage/evil")[1]["rows"][0]["data"] == data

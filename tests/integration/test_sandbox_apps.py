"""A2 of the sandbox through its public endpoints, and what A8 hears of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import aiohttp
import pytest

from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import call, eventually, faults

GOOD: dict[str, Any] = {"namespace": "perf_test", "kind": "click", "at": 1}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(("a2", "a8")) as running:
        yield running


@pytest.fixture
def a2(sandbox: Sandbox) -> str:
    return sandbox.urls["a2"]


@pytest.fixture
def a8(sandbox: Sandbox) -> str:
    return sandbox.urls["a8"]


def count(a2: str, query: str) -> int:
    status, document = call(f"{a2}/v1/events/count?{query}")
    assert status == 200
    return int(document["count"])


def total(a8: str, run_id: str) -> int:
    return int(call(f"{a8}/api/tiles/events?namespace=perf_test&run_id={run_id}")[1]["total"])


# --- events --------------------------------------


def test_an_event_is_accepted_and_can_be_read_back(a2: str) -> None:
    event = GOOD | {"event_id": "read-back", "run_id": "rb", "data": {"x": [1, None]}, "own": "kept"}
    status, receipt = call(f"{a2}/v1/events", event)
    assert status == 202
    assert receipt == {
        "accepted": True,
        "event_id": "read-back",
        "lineage_id": "read-back",
        "sequence": receipt["sequence"],
        "duplicate": False,
    }
    status, found = call(f"{a2}/v1/events/read-back")
    assert status == 200
    assert {key: found[key] for key in event} == event
    assert found["sequence"] == receipt["sequence"]
    assert count(a2, "namespace=perf_test&run_id=rb") == 1
    assert count(a2, "namespace=other&run_id=rb") == 0


def test_the_same_key_is_the_same_event_and_another_body_a_conflict(a2: str) -> None:
    event, key = GOOD | {"event_id": "idem"}, {"Idempotency-Key": "key-1"}
    _, first = call(f"{a2}/v1/events", event, key)
    status, again = call(f"{a2}/v1/events", event, key)
    assert (status, again) == (202, first | {"duplicate": True})
    assert call(f"{a2}/v1/events", event | {"at": 2}, key)[0] == 409
    assert call(f"{a2}/v1/events", event, {"Idempotency-Key": "key-2"}) == (202, again)
    assert call(f"{a2}/v1/events", event | {"at": 2}, {"Idempotency-Key": "key-3"})[0] == 409


def test_of_twenty_at_once_with_one_key_one_is_kept(a2: str) -> None:
    async def post(session: aiohttp.ClientSession) -> dict[str, Any]:
        event = GOOD | {"event_id": "at-once", "run_id": "at-once"}
        async with session.post(f"{a2}/v1/events", json=event, headers={"Idempotency-Key": "k"}) as answer:
            assert answer.status == 202
            found: dict[str, Any] = await answer.json()
            return found

    async def post_all() -> list[dict[str, Any]]:
        async with aiohttp.ClientSession() as session:
            return await asyncio.gather(*(post(session) for _ in range(20)))

    receipts = asyncio.run(post_all())
    assert sorted(receipt["duplicate"] for receipt in receipts) == [False] + [True] * 19
    assert len({receipt["sequence"] for receipt in receipts}) == 1
    assert count(a2, "run_id=at-once") == 1


def test_pages_follow_each_other_to_the_end(a2: str) -> None:
    for number in range(5):
        call(f"{a2}/v1/events", GOOD | {"event_id": f"page-{number}", "run_id": "pages"})
    seen, after = [], 0
    while after is not None:
        _, page = call(f"{a2}/v1/events?run_id=pages&limit=2&after={after}")
        seen.append([event["event_id"] for event in page["events"]])
        after = page["next"]
    assert seen == [["page-0", "page-1"], ["page-2", "page-3"], ["page-4"]]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"[" * 50_000, {}, 400),
        (b"[]", {}, 422),
        (b"{}", {}, 422),
        (GOOD, {}, 422),
        (GOOD | {"event_id": "bad", "namespace": "production"}, {}, 422),
        (GOOD | {"event_id": "bad"}, {"Idempotency-Key": "a b"}, 422),
        (GOOD | {"event_id": "bad"}, {"X-Lineage-Id": "a b"}, 422),
        (GOOD | {"event_id": "bad"}, {"X-Ecoload-Run": "a b"}, 422),
        (GOOD | {"event_id": "bad"}, {"Content-Type": "text/html"}, 415),
        (GOOD | {"event_id": "bad", "data": {"x": "y" * 70_000}}, {}, 413),
        (GOOD | {"event_id": "bad", "more": 2**63}, {"Idempotency-Key": "gu\u00e9ss"}, 422),
    ],
)
def test_a_bad_event_is_a_problem_and_is_not_kept(
    a2: str, body: Any, headers: dict[str, str], status: int
) -> None:
    found, problem = call(f"{a2}/v1/events", body, headers)
    assert (found, problem["status"]) == (status, status)
    assert problem["title"] and problem["detail"]
    assert call(f"{a2}/v1/events/bad")[0] == 404


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nowhere", "GET", 404),
        ("/v1/events/never-sent", "GET", 404),
        ("/v1/events", "DELETE", 405),
        ("/v1/events?after=-1", "GET", 400),
        ("/v1/events?limit=1001", "GET", 400),
        ("/v1/events?after=99999999999999999999", "GET", 400),
        ("/v1/events?after=%C2%B2", "GET", 400),
        ("/v1/events/%ff", "GET", 404),
        ("/v1/events/%ED%A0%80", "GET", 404),
        ("/v1/events/%00", "GET", 404),
        ("/v1/events/count?run_id=%ff%ED%A0%80%00", "GET", 200),
        ("/v1/events/count?lineage_id=%ff%ED%A0%80%00", "GET", 200),
        ("/__truth?run_id=%ff%ED%A0%80%00", "GET", 200),
        ("/%ff%ED%A0%80", "GET", 404),
    ],
)
def test_a_strange_request_is_answered_as_what_it_is(a2: str, path: str, method: str, status: int) -> None:
    assert call(a2 + path, method=method)[0] == status


def test_readiness_says_what_is_still_to_be_told(a2: str) -> None:
    eventually(lambda: call(f"{a2}/healthz")[1]["checks"], {"database": "ok", "outbox_pending": 0})


# --- lineage --------------------------------------


def test_what_belongs_together_is_found_by_its_lineage(a2: str, a8: str) -> None:
    for number, headers in enumerate(({}, {"X-Lineage-Id": "of-header"}, {"X-Lineage-Id": "of-header"})):
        event = GOOD | {"event_id": f"lineage-{number}", "run_id": "lineage"}
        status, receipt = call(f"{a2}/v1/events", event, headers)
        assert (status, receipt["lineage_id"]) == (202, "of-header" if headers else "lineage-0")
    again = call(
        f"{a2}/v1/events", GOOD | {"event_id": "lineage-1", "run_id": "lineage"}, {"X-Lineage-Id": "other"}
    )
    assert (again[1]["duplicate"], again[1]["lineage_id"]) == (True, "of-header")
    own = GOOD | {"event_id": "lineage-3", "lineage_id": "of-document", "run_id": "lineage"}
    assert call(f"{a2}/v1/events", own, {"X-Lineage-Id": "of-header"})[1]["lineage_id"] == "of-document"

    _, page = call(f"{a2}/v1/events?lineage_id=of-header")
    assert [event["event_id"] for event in page["events"]] == ["lineage-1", "lineage-2"]
    assert count(a2, "lineage_id=of-document") == count(a2, "lineage_id=lineage-0") == 1
    assert count(a2, "lineage_id=nobody") == 0
    eventually(partial(total, a8, "lineage"), 4)
    for lineage_id, events in (("of-header", 2), ("of-document", 1), ("lineage-0", 1)):
        _, told = call(f"{a8}/api/lineage/{lineage_id}")
        assert told["total"] == len(told["rows"]) == events


# --- A8 hears of it --------------------------------------


def test_the_tile_counts_what_was_ingested_each_once(a2: str, a8: str) -> None:
    for number, kind in enumerate(["click", "view", "click", "buy"]):
        event = GOOD | {"event_id": f"tile-{number}", "kind": kind, "run_id": "tile"}
        call(f"{a2}/v1/events", event)
        call(f"{a2}/v1/events", event)
    eventually(partial(total, a8, "tile"), 4)
    _, shown = call(f"{a8}/api/tiles/events?namespace=perf_test&run_id=tile")
    assert shown["by_kind"] == {"buy": 1, "click": 2, "view": 1}
    assert shown["latest"]["event_id"] == "tile-3"


def test_the_internal_door_is_open_to_the_apps_only(sandbox: Sandbox, a2: str) -> None:
    door, events = f"{a2}/internal/events", {"events": [GOOD | {"event_id": "inside", "run_id": "inside"}]}
    for headers in ({}, {"X-Sandbox-Internal": ""}, {"X-Sandbox-Internal": sandbox.admin_token}):
        assert call(door, events, headers)[0] == 405
    assert count(a2, "run_id=inside") == 0
    internal = {"X-Sandbox-Internal": sandbox._internal_token}
    assert call(door, events, internal) == (200, {"received": 1, "new": 1})
    assert call(door, events, internal) == (200, {"received": 1, "new": 0})
    assert count(a2, "run_id=inside") == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), ([], 400), ({}, 400), ({"events": 1}, 422), ({"events": [1]}, 422), ({"events": [{}]}, 422)],
)
def test_even_the_apps_bring_in_nothing_that_is_no_event(
    sandbox: Sandbox, a2: str, body: Any, status: int
) -> None:
    internal = {"X-Sandbox-Internal": sandbox._internal_token}
    assert call(f"{a2}/internal/events", body, internal)[0] == status


# --- cleanup --------------------------------------


def test_test_data_of_one_run_goes_in_a2_and_a8_and_the_rest_stays(a2: str, a8: str) -> None:
    for run_id in ("gone", "stays"):
        for number in range(3):
            call(f"{a2}/v1/events", GOOD | {"event_id": f"{run_id}-{number}", "run_id": run_id})
        eventually(partial(total, a8, run_id), 3)
    status, document = call(f"{a2}/test-data?namespace=perf_test&run_id=gone", method="DELETE")
    assert (status, document) == (200, {"deleted": {"events": 3, "keys": 3, "telemetry": 3}})
    assert (count(a2, "run_id=gone"), total(a8, "gone")) == (0, 0)
    assert (count(a2, "run_id=stays"), total(a8, "stays")) == (3, 3)
    again = call(f"{a2}/test-data?namespace=perf_test&run_id=gone", method="DELETE")[1]
    assert again == {"deleted": {"events": 0, "keys": 0, "telemetry": 0}}
    # What was deleted can come again, and is told again.
    assert call(f"{a2}/v1/events", GOOD | {"event_id": "gone-0", "run_id": "gone"})[1]["duplicate"] is False
    eventually(partial(total, a8, "gone"), 1)


def test_all_test_data_goes_and_sequences_do_not_come_again(a2: str, a8: str) -> None:
    _, before = call(f"{a2}/v1/events", GOOD | {"event_id": "all-1", "run_id": "all"})
    status, document = call(f"{a2}/test-data?namespace=perf_test", method="DELETE")
    assert status == 200
    assert document["deleted"]["events"] >= 1
    assert count(a2, "") == 0
    _, after = call(f"{a2}/v1/events", GOOD | {"event_id": "all-2", "run_id": "all"})
    assert after["sequence"] > before["sequence"]
    eventually(partial(total, a8, "all"), 1)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?run_id=gone",
        "?namespace=production",
        "?namespace=perf_test&namespace=perf_test",
        "?namespace=perf_test&run_id=a%20b",
        "?namespace=perf_test&run_id=",
    ],
)
def test_cleanup_deletes_nothing_unless_it_says_what(a2: str, query: str) -> None:
    call(f"{a2}/v1/events", GOOD | {"event_id": "still-here", "run_id": "still-here"})
    assert call(f"{a2}/test-data{query}", method="DELETE")[0] == 422
    assert count(a2, "run_id=still-here") == 1


def test_cleanup_says_so_when_a8_cannot_be_cleaned() -> None:
    with Sandbox(("a2", "a8")) as sandbox:
        call(f"{sandbox.urls['a2']}/v1/events", GOOD | {"event_id": "e", "run_id": "run"})
        eventually(partial(total, sandbox.urls["a8"], "run"), 1)
        sandbox.kill("a8")
        cleanup = f"{sandbox.urls['a2']}/test-data?namespace=perf_test"
        status, problem = call(cleanup, method="DELETE")
        assert status == 503
        assert "a8" in problem["detail"]
        sandbox.start("a8")
        assert call(cleanup, method="DELETE")[1]["deleted"]["telemetry"] == 1


def test_cleanup_reaches_what_is_on_its_way_to_a8() -> None:
    with Sandbox(("a2", "a8")) as sandbox, ThreadPoolExecutor(8) as pool:
        a2, a8 = sandbox.urls["a2"], sandbox.urls["a8"]
        os.kill(sandbox.pids["a8"], signal.SIGSTOP)  # a batch has gone out, and is not read
        heavy = GOOD | {"run_id": "run", "data": {"x": "y" * 60_000}}
        for status, _ in pool.map(
            lambda number: call(f"{a2}/v1/events", heavy | {"event_id": f"e-{number}"}), range(120)
        ):
            assert status == 202
        cleaned = pool.submit(call, f"{a2}/test-data?namespace=perf_test&run_id=run", method="DELETE")
        time.sleep(0.3)  # the cleanup is on its way as well
        os.kill(sandbox.pids["a8"], signal.SIGCONT)
        status, document = cleaned.result()
        assert (status, document["deleted"]["events"]) == (200, 120)
        call(f"{a2}/v1/events", GOOD | {"event_id": "last", "run_id": "last"})
        eventually(partial(total, a8, "last"), 1)  # and so has come whatever went before
        assert total(a8, "run") == 0


# --- lost events --------------------------------------


def test_events_can_be_lost_though_they_are_acknowledged(sandbox: Sandbox, a2: str) -> None:
    event = GOOD | {"event_id": "lost", "run_id": "lost"}
    with faults(sandbox, "a2", lose_events=1):
        status, receipt = call(f"{a2}/v1/events", event)
        assert (status, receipt["accepted"], receipt["duplicate"]) == (202, True, False)
    assert call(f"{a2}/v1/events/lost")[0] == 404
    assert count(a2, "run_id=lost") == 0
    assert call(f"{a2}/v1/events", event)[1]["duplicate"] is False
    assert count(a2, "run_id=lost") == 1


def test_events_can_be_kept_twice(sandbox: Sandbox, a2: str, a8: str) -> None:
    event = GOOD | {"event_id": "twice", "run_id": "twice", "lineage_id": "twice"}
    with faults(sandbox, "a2", duplicate_events=1):
        status, receipt = call(f"{a2}/v1/events", event)
        assert (status, receipt["duplicate"]) == (202, False)
    assert count(a2, "run_id=twice") == 2
    page = call(f"{a2}/v1/events?run_id=twice")[1]["events"]
    assert [one["event_id"] for one in page] == ["twice", "twice"]
    assert page[0]["sequence"] < page[1]["sequence"]
    # Who has the id has the first, comes again or not, and A8 takes an event once.
    assert call(f"{a2}/v1/events", event)[1] == receipt | {"duplicate": True}
    assert call(f"{a2}/v1/events/twice")[1]["sequence"] == receipt["sequence"]
    eventually(lambda: call(f"{a2}/healthz")[1]["checks"]["outbox_pending"], 0)
    assert total(a8, "twice") == 1


def test_events_can_be_kept_twice_by_a8(sandbox: Sandbox, a2: str, a8: str) -> None:
    with faults(sandbox, "a8", duplicate_events=1):
        call(f"{a2}/v1/events", GOOD | {"event_id": "two", "run_id": "two", "lineage_id": "two"})
        eventually(partial(total, a8, "two"), 2)
    rows = call(f"{a8}/api/lineage/two")[1]["rows"]
    assert [row["event_id"] for row in rows] == ["two", "two"]
    assert count(a2, "run_id=two") == 1


def test_events_can_be_lost_between_a2_and_a8(sandbox: Sandbox, a2: str, a8: str) -> None:
    with faults(sandbox, "a8", lose_events=1):
        call(f"{a2}/v1/events", GOOD | {"event_id": "lost-later", "run_id": "lost-later"})
        eventually(lambda: call(f"{a2}/healthz")[1]["checks"]["outbox_pending"], 0)
    assert (count(a2, "run_id=lost-later"), total(a8, "lost-later")) == (1, 0)
    call(f"{a2}/v1/events", GOOD | {"event_id": "kept-later", "run_id": "lost-later"})
    eventually(partial(total, a8, "lost-later"), 1)

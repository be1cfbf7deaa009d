"""The sandbox's apps, through their public endpoints."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest

from ecoload.sandbox import Sandbox

GOOD: dict[str, Any] = {"namespace": "perf_test", "kind": "click", "at": 1}


def call(
    url: str, body: Any = None, headers: dict[str, str] | None = None, method: str | None = None
) -> tuple[int, Any]:
    """Status and JSON of an answer; `body` is bytes, or a document."""
    raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        url, raw, {"Content-Type": "application/json", **(headers or {})}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            assert error.headers["Content-Type"] == "application/problem+json"
            problem = json.loads(error.read() or b"{}")
            assert "Traceback" not in str(problem)
            return error.code, problem


def eventually(figure: Callable[[], Any], expected: Any, within_s: float = 10.0) -> None:
    """Fails when `figure` is not `expected` in time."""
    deadline = time.monotonic() + within_s
    while (found := figure()) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def a2(sandbox: Sandbox) -> str:
    return sandbox.urls["a2"]


@pytest.fixture
def a8(sandbox: Sandbox) -> str:
    return sandbox.urls["a8"]


@pytest.fixture
def faults(sandbox: Sandbox) -> Iterator[Callable[..., None]]:
    """Switches faults of A2 on, and off after the test."""

    def switch(**switches: float) -> None:
        url = f"{sandbox.urls['a2']}/__faults"
        status, _ = call(url, switches, {"X-Sandbox-Admin": sandbox.admin_token})
        assert status == 200

    yield switch
    switch()


def test_an_event_is_accepted_and_can_be_read_back(a2: str) -> None:
    event = GOOD | {"event_id": "read-back", "run_id": "rb", "data": {"x": [1, None]}, "own": "kept"}
    status, receipt = call(f"{a2}/v1/events", event)
    assert status == 202
    assert receipt == {
        "accepted": True,
        "event_id": "read-back",
        "sequence": receipt["sequence"],
        "duplicate": False,
    }
    status, found = call(f"{a2}/v1/events/read-back")
    assert status == 200
    assert {key: found[key] for key in event} == event
    assert found["sequence"] == receipt["sequence"]
    assert call(f"{a2}/v1/events/count?namespace=perf_test&run_id=rb") == (200, {"count": 1})
    assert call(f"{a2}/v1/events/count?namespace=other&run_id=rb") == (200, {"count": 0})


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
    assert call(f"{a2}/v1/events/count?run_id=at-once")[1] == {"count": 1}


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
        (GOOD | {"event_id": "bad"}, {"Content-Type": "text/html"}, 415),
        (GOOD | {"event_id": "bad", "data": {"x": "y" * 70_000}}, {}, 413),
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
        ("/__truth?run_id=%ff%ED%A0%80%00", "GET", 200),
        ("/%ff%ED%A0%80", "GET", 404),
    ],
)
def test_a_strange_request_is_answered_as_what_it_is(a2: str, path: str, method: str, status: int) -> None:
    assert call(a2 + path, method=method)[0] == status


def test_a_header_that_is_no_text_is_a_problem_like_any_other(a2: str) -> None:
    event = GOOD | {"event_id": "header"}
    for name in ("Idempotency-Key", "X-Ecoload-Run"):
        assert call(f"{a2}/v1/events", event, {name: "gu\u00e9ss"})[0] == 422


def test_what_is_no_http_gets_no_traceback(a2: str) -> None:
    host, _, port = a2.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"\x00\xff this is no request\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.")
    assert b" 400 " in answer
    assert b"Traceback" not in answer


@pytest.mark.parametrize("app", ["a2", "a8"])
@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_names_the_version_and_the_parts(sandbox: Sandbox, app: str, path: str) -> None:
    status, health = call(sandbox.urls[app] + path)
    assert status == 200
    assert (health["status"], health["app"], health["checks"]["database"]) == ("ok", app, "ok")
    assert health["version"]


def test_the_tile_counts_what_was_ingested_each_once(a2: str, a8: str) -> None:
    for number, kind in enumerate(["click", "view", "click", "buy"]):
        event = GOOD | {"event_id": f"tile-{number}", "kind": kind, "run_id": "tile"}
        call(f"{a2}/v1/events", event)
        call(f"{a2}/v1/events", event)
    tile = f"{a8}/api/tiles/events?namespace=perf_test&run_id=tile"
    eventually(lambda: call(tile)[1]["total"], 4)
    _, shown = call(tile)
    assert shown["by_kind"] == {"buy": 1, "click": 2, "view": 1}
    assert shown["latest"]["event_id"] == "tile-3"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/api/tiles/events", "/internal/telemetry", "/nowhere"])
def test_a8_is_read_only_to_the_outside(a8: str, path: str, method: str) -> None:
    assert call(a8 + path, {"events": []}, {"X-Sandbox-Internal": "guess"}, method)[0] == 405


def test_a8_can_be_read(a8: str) -> None:
    for method in ("GET", "HEAD"):
        assert call(f"{a8}/api/tiles/events", method=method)[0] == 200


def test_the_truth_counts_what_names_a_run_and_no_probe(a2: str) -> None:
    run = {"X-Ecoload-Run": "truth"}
    for number in range(30):
        call(f"{a2}/v1/events", GOOD | {"event_id": f"truth-{number}"}, run)
    call(f"{a2}/v1/events", {}, run)
    call(f"{a2}/v1/events/truth-1", headers=run)
    call(f"{a2}/v1/events/truth-1", headers=run | {"X-Ecoload-Probe": "1"})
    call(f"{a2}/v1/events/truth-1")
    _, truth = call(f"{a2}/__truth?run_id=truth")
    assert truth["requests"] == 32
    assert truth["by_route"]["ingest"]["status"] == {"202": 30, "422": 1}
    assert truth["by_route"]["event"]["requests"] == 1
    # The run was named by the header alone, and the events are of it.
    assert call(f"{a2}/v1/events/count?run_id=truth")[1] == {"count": 30}
    for latency, model in zip(
        truth["by_route"]["ingest"]["latency_ms"].values(),
        truth["by_route"]["ingest"]["model_ms"].values(),
        strict=True,
    ):
        assert latency >= model * 0.999


def test_faults_need_the_token(a2: str) -> None:
    for headers in ({}, {"X-Sandbox-Admin": "guess"}, {"X-Sandbox-Admin": "gu\u00e9ss"}):
        assert call(f"{a2}/__faults", {"error_rate": 1}, headers)[0] == 403
    assert call(f"{a2}/v1/events/count")[0] == 200


def test_faults_that_make_no_sense_are_refused(sandbox: Sandbox, a2: str) -> None:
    admin = {"X-Sandbox-Admin": sandbox.admin_token}
    assert call(f"{a2}/__faults", {"error_rate": 2}, admin)[0] == 422
    assert call(f"{a2}/v1/events/count")[0] == 200


def test_errors_can_be_switched_on_and_spare_probes_and_health(a2: str, faults: Callable[..., None]) -> None:
    faults(error_rate=1)
    assert call(f"{a2}/v1/events", GOOD | {"event_id": "fault-503"})[0] == 503
    assert call(f"{a2}/v1/events/count", headers={"X-Ecoload-Probe": "1"})[0] == 200
    assert call(f"{a2}/health")[0] == 200
    faults()
    assert call(f"{a2}/v1/events", GOOD | {"event_id": "fault-503"})[1]["duplicate"] is False


def test_resets_can_be_switched_on(a2: str, faults: Callable[..., None]) -> None:
    faults(reset_rate=1)
    with pytest.raises(ConnectionResetError):
        call(f"{a2}/v1/events/count", headers={"X-Ecoload-Run": "resets"})
    faults()
    _, truth = call(f"{a2}/__truth?run_id=resets")
    assert truth["by_route"]["count"]["status"] == {"reset": 1}


def test_latency_can_be_added(a2: str, faults: Callable[..., None]) -> None:
    faults(added_latency_ms=200)
    call(f"{a2}/v1/events/count", headers={"X-Ecoload-Run": "slow"})
    _, truth = call(f"{a2}/__truth?run_id=slow")
    assert truth["by_route"]["count"]["latency_ms"]["max"] >= 200


def test_events_can_be_lost_though_they_are_acknowledged(a2: str, faults: Callable[..., None]) -> None:
    faults(lose_events=1)
    status, receipt = call(f"{a2}/v1/events", GOOD | {"event_id": "lost", "run_id": "lost"})
    assert (status, receipt["accepted"], receipt["duplicate"]) == (202, True, False)
    assert call(f"{a2}/v1/events/lost")[0] == 404
    assert call(f"{a2}/v1/events/count?run_id=lost")[1] == {"count": 0}

"""What every app of the sandbox has in common: health, identity, problems, faults, truth, metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ecoload.sandbox import Sandbox
from ecoload.sandbox.common.behaviour import LogNormal
from ecoload.sandbox.common.peers import PeerFailed, Peers
from ecoload.sandbox.common.problems import Problem, answer
from ecoload.sandbox.common.service import CLAIMS, DRAWN_US, App, Config, Service
from ecoload.sandbox.common.store import StoreFailed
from ecoload.sandbox.common.tokens import AUDIENCE, Signer
from tests.integration.ecosystem import call, eventually, faults, fetch, metrics, raw, token

EVENT: dict[str, Any] = {"namespace": "perf_test", "kind": "click", "at": 1}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A2 and A8 without an A1: there is no identity to trust, and everybody may."""
    with Sandbox(("a2", "a8")) as running:
        yield running


@pytest.fixture
def a2(sandbox: Sandbox) -> str:
    return sandbox.urls["a2"]


@pytest.fixture(scope="module")
def identified() -> Iterator[Sandbox]:
    """The same with an A1."""
    with Sandbox(("a1", "a2", "a8")) as running:
        yield running


def truth(sandbox: Sandbox, run_id: str, route: str, app: str = "a2") -> Any:
    """What an app knows of the requests of a run to a route."""
    return call(f"{sandbox.urls[app]}/__truth?run_id={run_id}")[1]["by_route"].get(route)


# --- health --------------------------------------


@pytest.mark.parametrize("app", ["a2", "a8"])
def test_health_says_who_is_alive_and_readiness_what_it_stands_on(sandbox: Sandbox, app: str) -> None:
    status, health = call(f"{sandbox.urls[app]}/health")
    assert (status, health) == (200, {"status": "ok", "app": app, "version": health["version"]})
    status, ready = call(f"{sandbox.urls[app]}/healthz")
    assert status == 200
    assert ready["checks"]["database"] == "ok"
    assert {name: ready[name] for name in health} == health


def test_an_app_whose_peer_is_dead_is_alive_and_not_ready_until_it_is_back() -> None:
    with Sandbox(("a3", "a4")) as sandbox:
        a3 = sandbox.urls["a3"]
        assert call(f"{a3}/healthz")[1]["checks"]["a4"] == "ok"
        sandbox.kill("a4")
        status, problem = call(f"{a3}/healthz")
        assert status == 503
        assert [reason.partition(":")[0] for reason in problem["errors"]] == ["a4"]
        assert call(f"{a3}/health")[0] == 200
        sandbox.start("a4")
        assert call(f"{a3}/healthz")[0] == 200


def test_an_app_without_a_peer_it_needs_is_not_ready() -> None:
    with Sandbox(("a3",)) as sandbox:
        status, problem = call(f"{sandbox.urls['a3']}/healthz")
        assert (status, problem["errors"]) == (503, ["a4: is not part of this sandbox"])


# --- identity --------------------------------------


def sign(sandbox: Sandbox, typ: str = "at+jwt", life_s: int = 60, **change: Any) -> str:
    """A token by A1's own key, as A1 would never issue it."""
    claims = {"aud": AUDIENCE, "sub": "somebody", "client_id": "somebody", "scope": "a2"}
    return Signer(sandbox.state / "a1" / "key.pem", sandbox.urls["a1"]).sign(claims | change, typ, life_s)


def with_token(sandbox: Sandbox, authorization: str | None) -> tuple[int, str | None, Any]:
    """Status, challenge and document of A2 for an `Authorization` header."""
    headers = {} if authorization is None else {"Authorization": authorization}
    status, got, content = fetch(f"{sandbox.urls['a2']}/v1/events/count", headers=headers)
    return status, got["WWW-Authenticate"], json.loads(content)


def test_a_token_of_a1_with_the_apps_scope_lets_in(identified: Sandbox) -> None:
    a2 = identified.urls["a2"]
    allowed = token(identified, "a2")
    assert call(f"{a2}/v1/events", EVENT | {"event_id": "allowed"}, allowed)[0] == 202
    assert call(f"{a2}/v1/events/allowed", headers=allowed)[0] == 200
    assert with_token(identified, allowed["Authorization"].replace("Bearer", "bEARER"))[0] == 200
    assert with_token(identified, f"Bearer {sign(identified)}")[0] == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic eDp5", "token"])
def test_without_a_token_one_is_asked_for(identified: Sandbox, authorization: str | None) -> None:
    status, challenge, problem = with_token(identified, authorization)
    assert (status, challenge) == (401, "Bearer")
    assert problem["status"] == 401


def test_a_token_that_is_not_good_is_refused_with_its_reason(identified: Sandbox, tmp_path: Path) -> None:
    foreign = Signer(tmp_path / "key.pem", identified.urls["a1"])
    for made, reason in (
        (sign(identified, life_s=-60), "expired_token"),
        (sign(identified, iss="http://127.0.0.1:1"), "invalid_claim (iss)"),
        (sign(identified, aud="a5"), "invalid_claim (aud)"),
        (sign(identified, typ="JWT"), "not of type at+jwt"),
        (foreign.sign({"aud": AUDIENCE, "scope": "a2"}, "at+jwt"), "invalid_key_id"),
        (sign(identified)[:-8] + "AAAAAAAA", "bad_signature"),
        ("x", "decode_error"),
        ("gu\u00e9ss", "cannot be read"),
        ("ImFsZyI.e30.x", "cannot be read"),
    ):
        status, challenge, problem = with_token(identified, f"Bearer {made}")
        assert (status, challenge) == (401, 'Bearer error="invalid_token"')
        assert reason in problem["detail"]
        assert made not in str(problem)


def test_a_token_for_another_app_is_forbidden(identified: Sandbox) -> None:
    for scope in ("a8", "a1 a3 a4"):
        status, challenge, problem = with_token(identified, token(identified, scope)["Authorization"])
        assert (status, challenge) == (403, 'Bearer error="insufficient_scope", scope="a2"')
        assert problem["status"] == 403


def test_what_is_refused_has_no_effect(identified: Sandbox) -> None:
    a2 = identified.urls["a2"]
    event = EVENT | {"event_id": "refused"}
    assert call(f"{a2}/v1/events", event)[0] == 401
    assert call(f"{a2}/v1/events", event, token(identified, "a8"))[0] == 403
    assert call(f"{a2}/test-data?namespace=perf_test", method="DELETE")[0] == 401
    assert call(f"{a2}/v1/events/refused", headers=token(identified, "a2"))[0] == 404


@pytest.mark.parametrize("path", ["/health", "/healthz", "/metrics", "/__truth", "/nowhere"])
def test_what_is_not_protected_wants_no_token(identified: Sandbox, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        assert fetch(identified.urls["a2"] + path, headers=headers)[0] == (404 if path == "/nowhere" else 200)


def test_without_an_a1_everybody_may(sandbox: Sandbox, a2: str) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        assert call(f"{a2}/v1/events/count", headers=headers)[0] == 200


def test_tokens_outlive_their_a1_and_its_return() -> None:
    with Sandbox(("a1", "a2")) as sandbox:
        count, allowed = f"{sandbox.urls['a2']}/v1/events/count", token(sandbox, "a2")
        sandbox.kill("a1")
        assert call(count, headers=allowed)[0] == 200
        sandbox.start("a1")
        assert call(count, headers=allowed)[0] == 200
        assert call(count, headers=token(sandbox, "a2"))[0] == 200


def test_an_app_that_never_saw_the_keys_lets_nobody_in_and_is_not_ready() -> None:
    with Sandbox(("a1", "a2")) as sandbox:
        a2, allowed = sandbox.urls["a2"], token(sandbox, "a2")
        for app in ("a1", "a2"):
            sandbox.kill(app)
        sandbox.start("a2")
        assert call(f"{a2}/v1/events/count", headers=allowed)[0] == 503
        assert call(f"{a2}/v1/events/count")[0] == 401
        status, problem = call(f"{a2}/healthz")
        assert (status, problem["errors"][0].partition(":")[0]) == (503, "a1")
        assert call(f"{a2}/health")[0] == 200
        sandbox.start("a1")
        assert call(f"{a2}/v1/events/count", headers=allowed)[0] == 200
        assert call(f"{a2}/healthz")[1]["checks"]["identity"] == "ok"


# --- problems --------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "kind", "body", "status"),
    [
        ("GET", "/nowhere", "application/json", None, 404),
        ("GET", "/v1/events/", "application/json", None, 404),
        ("DELETE", "/v1/events", "application/json", None, 405),
        ("PROPFIND", "/v1/events", "application/json", None, 405),
        ("POST", "/v1/events", "application/json", b"{", 400),
        ("POST", "/v1/events", "text/plain", b"{}", 415),
        ("POST", "/v1/events", FORM, b"a=1", 415),
        ("POST", "/v1/events", "application/json", b" " * (64 * 1024 + 1), 413),
        ("POST", "/v1/events", "application/json", b" " * (64 * 1024), 400),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_one_form(
    a2: str, method: str, path: str, kind: str, body: bytes | None, status: int
) -> None:
    found, headers, content = fetch(a2 + path, body, {"Content-Type": kind}, method)
    problem = json.loads(content)
    assert (found, headers["Content-Type"]) == (status, "application/problem+json")
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"] and problem["detail"]
    if status == 405:
        assert {"GET", "POST"} <= set(headers["Allow"].replace(" ", "").split(","))


HEAD = b"Host: x\r\nConnection: close\r\n"
POST = b"POST /v1/events HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff this is no request\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /health HTTP/3.0\r\n\r\n",
        b"GET /hea lth HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /hea\0lth HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET http://[::1/health HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /health HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + HEAD + b"X: a\0b\r\n\r\n",
        POST + b"Content-Length: x\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_problem_too(a2: str, sent: bytes) -> None:
    head, _, body = raw(a2, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.") and b" 400 " in head.splitlines()[0]
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["status"] == 400


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"nonsense"])
def test_a_body_is_never_unpacked(a2: str, coding: bytes) -> None:
    for body in (b"\x1f\x8b\x08\0\0\0\0\0\0\3", b"not packed at all"):
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        found = raw(a2, POST + b"Content-Encoding: " + coding + b"\r\n" + length + body)
        assert found.startswith(b"HTTP/1.1 400 ")


def test_a_header_that_is_no_text_is_a_problem_like_any_other(a2: str) -> None:
    for name in ("Idempotency-Key", "X-Ecoload-Run", "X-Lineage-Id"):
        assert call(f"{a2}/v1/events", EVENT | {"event_id": "header"}, {name: "gu\u00e9ss"})[0] == 422


def test_a_caller_that_goes_away_is_no_error_of_the_app(sandbox: Sandbox, a2: str) -> None:
    async def leave() -> None:
        host, _, port = a2.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(POST + b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    for _ in range(5):
        asyncio.run(leave())
    assert call(f"{a2}/v1/events/count")[0] == 200
    assert "Traceback" not in (sandbox.state / "a2" / "log").read_text()


# --- faults --------------------------------------


def switch(sandbox: Sandbox, **switches: float) -> Any:
    """Faults of A2 as they are after the switch."""
    admin = {"X-Sandbox-Admin": sandbox.admin_token}
    status, state = call(f"{sandbox.urls['a2']}/__faults", switches, admin)
    assert status == 200
    return state


def faults_of(sandbox: Sandbox) -> dict[str, Any]:
    """The switches of A2 that are on."""
    admin = {"X-Sandbox-Admin": sandbox.admin_token}
    status, state = call(f"{sandbox.urls['a2']}/__faults", headers=admin)
    assert status == 200
    return {name: value for name, value in state.items() if value}


@pytest.mark.parametrize("body", [None, {"error_rate": 1}])
def test_faults_are_seen_and_switched_with_the_token_only(sandbox: Sandbox, a2: str, body: Any) -> None:
    for headers in ({}, *({"X-Sandbox-Admin": guess} for guess in ("", "guess", "gu\u00e9ss"))):
        assert call(f"{a2}/__faults", body, headers)[0] == 403
    internal = {"X-Sandbox-Admin": sandbox._internal_token}
    assert call(f"{a2}/__faults", body, internal)[0] == 403
    assert faults_of(sandbox) == {}


def test_a_token_of_a1_opens_no_faults(identified: Sandbox) -> None:
    for app in ("a1", "a2", "a8"):
        url, allowed = f"{identified.urls[app]}/__faults", token(identified, "a1 a2 a8")
        assert call(url, {"error_rate": 1}, allowed)[0] == 403
        assert call(url, {}, {"X-Sandbox-Admin": identified.admin_token})[0] == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error_rate": 2}, 422),
        ({"crm_silent": 1}, 422),
        ({"ttl_s": 0}, 422),
        ([], 422),
        (b"{", 400),
        (b"", 400),
    ],
)
def test_faults_that_make_no_sense_change_nothing(sandbox: Sandbox, a2: str, body: Any, status: int) -> None:
    with faults(sandbox, "a2", added_latency_ms=1):
        assert call(f"{a2}/__faults", body, {"X-Sandbox-Admin": sandbox.admin_token})[0] == status
        assert faults_of(sandbox) == {"added_latency_ms": 1}


def test_a_switch_sets_all_at_once_and_what_is_not_named_is_off(sandbox: Sandbox) -> None:
    state = switch(sandbox, added_latency_ms=1, lose_events=0.5)
    assert (state["added_latency_ms"], state["lose_events"], state["error_rate"]) == (1, 0.5, 0)
    assert state["ends_in_s"] is None
    switch(sandbox, error_rate=0.25)
    assert faults_of(sandbox) == {"error_rate": 0.25}
    switch(sandbox)
    assert faults_of(sandbox) == {}


def test_a_fault_with_a_time_to_live_switches_itself_off(sandbox: Sandbox, a2: str) -> None:
    state = switch(sandbox, error_rate=1, ttl_s=0.5)
    assert 0 < state["ends_in_s"] <= 0.5
    eventually(partial(faults_of, sandbox), {})
    assert call(f"{a2}/v1/events/count")[0] == 200


def test_a_second_switch_replaces_the_first_and_its_time_to_live(sandbox: Sandbox, a2: str) -> None:
    switch(sandbox, error_rate=1, ttl_s=0.3)
    switch(sandbox, error_rate=1)
    time.sleep(0.6)  # the first would have ended
    assert faults_of(sandbox) == {"error_rate": 1}
    switch(sandbox, error_rate=1, ttl_s=3600)
    assert 3500 < faults_of(sandbox)["ends_in_s"] <= 3600
    switch(sandbox)
    assert faults_of(sandbox) == {}


def test_errors_can_be_switched_on_and_have_no_effect(sandbox: Sandbox, a2: str) -> None:
    event, run = EVENT | {"event_id": "fault-503"}, {"X-Ecoload-Run": "errors"}
    with faults(sandbox, "a2", error_rate=1):
        assert call(f"{a2}/v1/events", event, run)[0] == 503
        assert call(f"{a2}/nowhere", headers=run)[0] == 503
    assert truth(sandbox, "errors", "ingest")["status"] == {"503": 1}
    assert call(f"{a2}/v1/events", event)[1]["duplicate"] is False


def test_a_share_of_errors_is_that_share(sandbox: Sandbox, a2: str) -> None:
    with faults(sandbox, "a2", error_rate=0.5):
        found = [call(f"{a2}/v1/events/count")[0] for _ in range(60)]
    assert set(found) == {200, 503}  # each side missing once in 10^18


def test_resets_can_be_switched_on(sandbox: Sandbox, a2: str) -> None:
    with faults(sandbox, "a2", reset_rate=1), pytest.raises(ConnectionResetError):
        call(f"{a2}/v1/events/count", headers={"X-Ecoload-Run": "resets"})
    eventually(lambda: (truth(sandbox, "resets", "count") or {}).get("status"), {"reset": 1})


def test_latency_can_be_added(sandbox: Sandbox, a2: str) -> None:
    run = {"X-Ecoload-Run": "slow"}
    with faults(sandbox, "a2", added_latency_ms=200):
        call(f"{a2}/v1/events/count", headers=run)
    found = truth(sandbox, "slow", "count")
    assert found["latency_ms"]["max"] >= 200 + found["model_ms"]["max"] * 0.999


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_and_probes_and_control_are_spared(sandbox: Sandbox, a2: str, path: str) -> None:
    with faults(sandbox, "a2", error_rate=1):
        assert call(a2 + path)[0] == 200
        assert call(f"{a2}/v1/events/count", headers={"X-Ecoload-Probe": "1"})[0] == 200
        assert call(f"{a2}/__truth")[0] == 200
        assert fetch(f"{a2}/metrics")[0] == 200


def test_latency_can_leak(sandbox: Sandbox, a2: str) -> None:
    with faults(sandbox, "a2", leak_latency_ms_per_min=10_000):
        time.sleep(0.6)  # at least so long under the fault
        call(f"{a2}/v1/events/count", headers={"X-Ecoload-Run": "leak"})
    assert truth(sandbox, "leak", "count")["latency_ms"]["max"] >= 0.6 / 60 * 10_000


def test_memory_can_leak_and_is_given_back(sandbox: Sandbox, a2: str) -> None:
    def held_mb() -> float:
        return float(metrics(sandbox, "a2")["process_resident_memory_bytes"].samples[0].value) / 2**20

    def grown() -> bool:
        call(f"{a2}/v1/events/count")
        return held_mb() > before + 20

    before = held_mb()
    with faults(sandbox, "a2", leak_memory_mb_per_min=1_000):
        eventually(grown, True)
    eventually(lambda: held_mb() < before + 10, True)


# --- truth and metrics --------------------------------------


def test_the_truth_counts_what_names_a_run_and_no_probe(sandbox: Sandbox, a2: str) -> None:
    run = {"X-Ecoload-Run": "truth"}
    for number in range(30):
        call(f"{a2}/v1/events", EVENT | {"event_id": f"truth-{number}"}, run)
    call(f"{a2}/v1/events", {}, run)
    call(f"{a2}/v1/events/truth-1", headers=run)
    call(f"{a2}/v1/events/truth-1", headers=run | {"X-Ecoload-Probe": "1"})
    call(f"{a2}/v1/events/truth-1")
    call(f"{a2}/nowhere", headers=run)
    call(f"{a2}/__truth", headers=run)
    _, found = call(f"{a2}/__truth?run_id=truth")
    assert found["requests"] == 33
    assert {name: route["status"] for name, route in found["by_route"].items()} == {
        "ingest": {"202": 30, "422": 1},
        "event": {"200": 1},
        "unmatched": {"404": 1},
    }
    # The run was named by the header alone, and the events are of it.
    assert call(f"{a2}/v1/events/count?run_id=truth")[1] == {"count": 30}
    ingest = found["by_route"]["ingest"]
    for latency, model in zip(ingest["latency_ms"].values(), ingest["model_ms"].values(), strict=True):
        assert latency >= model * 0.999


def test_the_metrics_are_those_of_the_process(sandbox: Sandbox) -> None:
    for app, pid in sandbox.pids.items():
        families = metrics(sandbox, app).items()
        found = {name: family.samples[0].value for name, family in families if family.samples}
        assert found["process_resident_memory_bytes"] > 10 * 2**20
        assert found["process_open_fds"] > 3
        assert found["process_cpu_seconds"] > 0
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert found["process_resident_memory_bytes"] == pytest.approx(resident, rel=0.2)
        assert found["process_start_time_seconds"] <= time.time()


def requests_counted(sandbox: Sandbox, app: str) -> dict[tuple[str, str], float]:
    """Requests by route and status."""
    samples = metrics(sandbox, app)["http_requests"].samples
    return {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in samples
        if sample.name == "http_requests_total"
    }


def test_the_metrics_count_requests_by_route_and_status(sandbox: Sandbox, a2: str) -> None:
    call(f"{a2}/v1/events/count")
    before = requests_counted(sandbox, "a2")
    for _ in range(3):
        call(f"{a2}/v1/events/count")
    call(f"{a2}/v1/events?limit=x")
    after = requests_counted(sandbox, "a2")
    assert after["count", "200"] - before["count", "200"] == 3
    assert after["events", "400"] - before.get(("events", "400"), 0) == 1
    durations = {
        sample.labels["route"]: sample.value
        for sample in metrics(sandbox, "a2")["http_request_duration_seconds"].samples
        if sample.name.endswith("_count")
    }
    assert durations["count"] == sum(value for (route, _), value in after.items() if route == "count")


def test_no_path_and_no_name_becomes_a_label(sandbox: Sandbox, a2: str) -> None:
    routes = {"ingest", "event", "events", "count", "health", "healthz", "test_data", "unmatched"}
    for number in range(20):
        call(f"{a2}/nowhere/{number}")
        call(f"{a2}/v1/events/never-{number}", headers={"X-Ecoload-Run": f"label-{number}"})
    assert {route for route, _ in requests_counted(sandbox, "a2")} <= routes


# --- an app of the test's own --------------------------------------

in_this_process = pytest.mark.filterwarnings("ignore::aiohttp.web.NotAppKeyWarning")


class Odd(App):
    """Everything that can go wrong inside an app."""

    laws = {"slow": LogNormal(50, 60)}  # noqa: RUF012
    needs = ("a4",)
    protected = frozenset({"secret"})

    def routes(self) -> Sequence[web.RouteDef]:
        def failing(error: Exception) -> Any:
            async def handle(request: web.Request) -> web.Response:
                raise error

            return handle

        async def slow(request: web.Request) -> web.Response:
            return answer({"drawn_us": request[DRAWN_US]})

        async def stream(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for piece in (b"one ", b"two"):
                await response.write(piece)
            return response

        async def secret(request: web.Request) -> web.Response:
            return answer(request.get(CLAIMS))

        return [
            web.get("/error", failing(RuntimeError("a secret of the app")), name="error"),
            web.get("/store", failing(StoreFailed("disk is full of secrets")), name="store"),
            web.get("/peer", failing(PeerFailed("a4", "no answer")), name="peer"),
            web.get("/problem", failing(Problem(418, "tea", ["a: b"], {"X-Pot": "1"})), name="problem"),
            web.get("/slow", slow, name="slow"),
            web.get("/stream", stream, name="stream"),
            web.get("/secret", secret, name="secret"),
        ]

    async def checks(self) -> dict[str, Any]:
        return {"own": "ok"}


@asynccontextmanager
async def served(folder: Path, **peers: str) -> AsyncIterator[str]:
    """The address of an Odd that knows of `peers`."""
    config = Config("a3", 1, folder, "admin", "internal")
    service = Service(Odd(config), config)
    runner = web.AppRunner(service.web)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        await service.connect({"a3": url, **peers})
        yield url
    finally:
        await runner.cleanup()
        await service.close()


async def get(url: str, **headers: str) -> tuple[int, Any, str]:
    """Status, headers and text."""
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as got:
        return got.status, got.headers, await got.text()


@pytest.mark.parametrize(
    ("path", "status", "said", "unsaid"),
    [
        ("/error", 500, "an error inside the app", "secret"),
        ("/store", 503, "the database is not available", "secret"),
        ("/peer", 503, "a4: no answer", "Traceback"),
        ("/problem", 418, "tea", "Traceback"),
    ],
)
@in_this_process
def test_whatever_fails_inside_an_app_leaves_it_as_a_problem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, status: int, said: str, unsaid: str
) -> None:
    async def ask() -> tuple[int, Any, str]:
        async with served(tmp_path) as url:
            return await get(url + path)

    found, headers, text = asyncio.run(ask())
    assert (found, headers["Content-Type"]) == (status, "application/problem+json")
    assert said in text and unsaid not in text
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert bool(errors) == (status == 500 or path == "/store")
    assert headers.get("X-Pot") == ("1" if path == "/problem" else None)


@in_this_process
def test_an_answer_waits_for_what_its_law_drew_and_the_handler_is_told(tmp_path: Path) -> None:
    async def ask() -> tuple[str, float]:
        async with served(tmp_path) as url:
            started_s = time.monotonic()
            _, _, text = await get(f"{url}/slow")
            return text, time.monotonic() - started_s

    text, taken_s = asyncio.run(ask())
    assert taken_s >= json.loads(text)["drawn_us"] / 1e6 > 0.03


@in_this_process
def test_an_answer_that_has_begun_is_ended_by_the_service(tmp_path: Path) -> None:
    async def ask() -> tuple[int, Any, str]:
        async with served(tmp_path) as url:
            return await get(f"{url}/stream")

    assert asyncio.run(ask())[::2] == (200, "one two")


class Issuer(App):
    """An A1 that publishes a key, answers with a token, and can be told to fail."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.signer = Signer(config.folder / "key.pem")
        self.asked = {"keys": 0, "tokens": 0}
        self.expires_in = 300

    async def connect(self, peers: Peers) -> None:
        self.signer.issuer = peers.urls["a1"]

    def routes(self) -> Sequence[web.RouteDef]:
        async def keys(request: web.Request) -> web.Response:
            self.asked["keys"] += 1
            return answer(self.signer.jwks())

        async def tokens(request: web.Request) -> web.Response:
            self.asked["tokens"] += 1
            issued = self.signer.sign({"aud": AUDIENCE, "scope": "a3"}, "at+jwt")
            return answer({"access_token": issued, "expires_in": self.expires_in})

        return [web.get("/oidc/jwks", keys, name="jwks"), web.post("/oidc/token", tokens, name="token")]


@asynccontextmanager
async def issuing(folder: Path) -> AsyncIterator[tuple[str, Issuer]]:
    """The address of an Issuer, and itself."""
    config = Config("a1", 1, folder, "admin", "internal")
    issuer = Issuer(config)
    service = Service(issuer, config)
    runner = web.AppRunner(service.web)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        await service.connect({"a1": url})
        yield url, issuer
    finally:
        await runner.cleanup()
        await service.close()


@in_this_process
def test_a_handler_of_a_protected_route_is_told_the_claims(tmp_path: Path) -> None:
    async def ask() -> list[tuple[int, Any, str]]:
        async with issuing(tmp_path) as (a1, issuer), served(tmp_path, a1=a1) as url:
            before = issuer.asked["keys"]
            good = issuer.signer.sign({"aud": AUDIENCE, "scope": "a3", "sub": "s"}, "at+jwt")
            found = [await get(f"{url}/secret"), await get(f"{url}/secret", Authorization=f"Bearer {good}")]
            assert issuer.asked["keys"] == before  # they were fetched before the first request
        async with served(tmp_path) as url:
            return [*found, await get(f"{url}/secret")]

    without, told, nobody = asyncio.run(ask())
    assert without[0] == 401
    assert (told[0], json.loads(told[2])["sub"]) == (200, "s")
    assert (nobody[0], nobody[2]) == (200, "null")


@in_this_process
def test_apps_fetch_one_token_for_many_calls_and_a_new_one_before_it_expires(tmp_path: Path) -> None:
    async def ask() -> tuple[int, int, int]:
        async with issuing(tmp_path) as (a1, issuer), served(tmp_path, a1=a1) as a3:
            peers = Peers("a6", {"a1": a1, "a3": a3}, "internal")
            try:
                before = issuer.asked["tokens"]
                answers = await asyncio.gather(*(peers.call("a3", "GET", "/secret") for _ in range(20)))
                once = issuer.asked["tokens"] - before
                issuer.expires_in = 0
                fresh = Peers("a6", peers.urls, "internal")
                for _ in range(3):
                    await fresh.call("a3", "GET", "/secret")
                await fresh.close()
                return once, issuer.asked["tokens"] - before - once, len({status for status, _ in answers})
            finally:
                await peers.close()

    assert asyncio.run(ask()) == (1, 3, 1)


@in_this_process
def test_a_call_to_a_peer_has_an_answer_or_says_who_failed(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as url:
            peers = Peers("a6", {"a3": url, "a4": "http://127.0.0.1:1"}, "internal")
            try:
                assert (await peers.call("a3", "GET", "/problem"))[0] == 418
                assert await peers.call("a3", "GET", "/stream") == (200, None)
                for app in ("a4", "a5"):
                    with pytest.raises(PeerFailed, match=f"^{app}: ") as failed:
                        await peers.call(app, "GET", "/health")
                    assert (failed.value.app, failed.value.status) == (app, None)
                with pytest.raises(PeerFailed, match=r"^a3: ") as failed:
                    await peers.call("a3", "GET", "/slow", timeout_s=0.001)
            finally:
                await peers.close()

    asyncio.run(ask())

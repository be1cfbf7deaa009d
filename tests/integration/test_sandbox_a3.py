"""A3 through its public endpoints: runs and their one effect, and the circuit breaker to A4."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from ecoload.sandbox import Sandbox
from tests.integration.ecosystem import call, eventually, faults, fetch, token

ORDER: dict[str, Any] = {
    "namespace": "perf_test",
    "student_id": "student-1",
    "goal": "Pay for the first year",
}
Headers = dict[str, str]

_numbers = count()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(apps=("a1", "a3", "a4")) as running:
        yield running


@pytest.fixture(scope="module")
def allowed(sandbox: Sandbox) -> Headers:
    return token(sandbox, "a3")


@pytest.fixture
def a3(sandbox: Sandbox) -> str:
    return sandbox.urls["a3"]


@pytest.fixture
def run_id() -> str:
    """A run of ecoload that no other test uses."""
    return f"run-{next(_numbers)}"


def run(
    a3: str, key: str, headers: Mapping[str, str], order: Mapping[str, Any] = ORDER
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and the very bytes of a run's answer."""
    sent = {"Content-Type": "application/json", "Idempotency-Key": key, **headers}
    return fetch(f"{a3}/orchestration/run", json.dumps(order).encode(), sent, "POST")


def effects(a3: str, key: str, headers: Headers) -> int:
    status, found = call(f"{a3}/orchestration/effects?key={key}", headers=headers)
    assert status == 200
    return int(found["effects"])


def breaker(a3: str) -> dict[str, Any]:
    status, found = call(f"{a3}/breaker")
    assert status == 200
    document: dict[str, Any] = found
    return document


def ways(a3: str, known: int = 0) -> list[tuple[str, str]]:
    """The breaker's transitions but the first `known`."""
    return [(step["from"], step["to"]) for step in breaker(a3)["transitions"][known:]]


def at_rest(a3: str, headers: Headers) -> None:
    """Calls until the breaker is closed."""

    def tried() -> str:
        run(a3, f"rest-{next(_numbers)}", headers)
        return str(breaker(a3)["state"])

    eventually(tried, "closed", 30.0)


# --- runs ----------------------------------------------------------------------------------------------


def test_preflight_says_whether_a_run_can_be_had_and_has_no_effect(
    a3: str, allowed: Headers, run_id: str
) -> None:
    known = allowed | {"X-Ecoload-Run": run_id}
    status, found = call(f"{a3}/preflight?student_id=student-1", headers=known)
    assert status == 200
    assert set(found.pop("needs")) <= {"transcript", "essay", "reference", "financial_form"}
    assert found == {
        "student_id": "student-1",
        "eligible": True,
        "ready": True,
        "matches": 5,
        "breaker": "closed",
    }
    summary = f"{a3}/orchestration/effects/summary?run_id={run_id}"
    assert call(summary, headers=allowed)[1] == {
        "run_id": run_id,
        "keys": 0,
        "effects": 0,
        "doubled_keys": 0,
        "doubled": [],
    }


def test_a_run_finds_scholarships_has_them_summed_up_and_can_be_read_back(
    sandbox: Sandbox, a3: str, allowed: Headers, run_id: str
) -> None:
    known = allowed | {"X-Ecoload-Run": run_id, "X-Lineage-Id": "lineage-1"}
    status, headers, body = run(a3, f"{run_id}-key", known)
    found = json.loads(body)
    assert (status, headers["Idempotency-Replayed"]) == (200, "false")
    assert {name: found[name] for name in ORDER} == ORDER
    assert (found["status"], found["effects"], found["lineage_id"]) == ("completed", 1, "lineage-1")
    assert len(found["matches"]) == 5
    assert set(found["matches"][0]) == {"scholarship_id", "title", "amount_cents"}
    assert found["summary"]
    _, kept = call(f"{a3}/orchestration/runs/{found['run_id']}", headers=allowed)
    assert kept == found | {"key": f"{run_id}-key", "ecoload_run": run_id}
    _, usage = call(f"{sandbox.urls['a4']}/usage?run_id={run_id}")
    assert (usage["requests"], usage["completion_tokens"]) == (1, 12)


def test_the_same_key_gives_the_same_bytes_and_one_effect(a3: str, allowed: Headers, run_id: str) -> None:
    answers = [run(a3, run_id, allowed) for _ in range(3)]
    assert {status for status, _, _ in answers} == {200}
    assert len({body for _, _, body in answers}) == 1
    assert [headers["Idempotency-Replayed"] for _, headers, _ in answers] == ["false", "true", "true"]
    turned = dict(reversed(ORDER.items()))
    assert run(a3, run_id, allowed, turned)[2] == answers[0][2]
    assert effects(a3, run_id, allowed) == 1


def test_another_body_under_the_same_key_is_refused(a3: str, allowed: Headers, run_id: str) -> None:
    first = run(a3, run_id, allowed)
    status, _, body = run(a3, run_id, allowed, ORDER | {"goal": "Something else"})
    assert (status, json.loads(body)["status"]) == (422, 422)
    assert run(a3, run_id, allowed)[2] == first[2]
    assert effects(a3, run_id, allowed) == 1


def test_twenty_at_once_with_one_key_have_one_effect_and_twenty_equal_results(
    sandbox: Sandbox, a3: str, allowed: Headers, run_id: str
) -> None:
    known = allowed | {"X-Ecoload-Run": run_id}
    with ThreadPoolExecutor(20) as callers:
        answers = list(callers.map(lambda _: run(a3, run_id, known), range(20)))
    assert {status for status, _, _ in answers} == {200}
    assert len({body for _, _, body in answers}) == 1
    assert sorted(headers["Idempotency-Replayed"] for _, headers, _ in answers) == ["false"] + ["true"] * 19
    _, summary = call(f"{a3}/orchestration/effects/summary?run_id={run_id}", headers=allowed)
    assert summary == {"run_id": run_id, "keys": 1, "effects": 1, "doubled_keys": 0, "doubled": []}
    assert call(f"{sandbox.urls['a4']}/usage?run_id={run_id}")[1]["requests"] == 1


def test_a_run_of_ecoload_is_cleaned_up_and_the_others_stay(a3: str, allowed: Headers, run_id: str) -> None:
    mine, other = allowed | {"X-Ecoload-Run": run_id}, allowed | {"X-Ecoload-Run": f"{run_id}-other"}
    first = run(a3, f"{run_id}-1", mine)
    run(a3, f"{run_id}-2", other)
    status, found = call(
        f"{a3}/test-data?namespace=perf_test&run_id={run_id}", headers=allowed, method="DELETE"
    )
    assert (status, found) == (200, {"deleted": {"keys": 1, "effects": 1, "runs": 1}})
    assert effects(a3, f"{run_id}-1", allowed) == 0
    assert effects(a3, f"{run_id}-2", allowed) == 1
    assert run(a3, f"{run_id}-1", mine)[2] != first[2]


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "key", "status"),
    [
        (ORDER, None, 400),
        (ORDER, "a b", 422),
        (ORDER, "x" * 129, 422),
        (ORDER, "gu\u00e9ss", 422),
        (b"", "k", 400),
        (b"{", "k", 400),
        (b"\xff\xfe", "k", 400),
        (b"[" * 50_000, "k", 400),
        (b"[]", "k", 422),
        ({}, "k", 422),
        (ORDER | {"namespace": "production"}, "k", 422),
        (ORDER | {"student_id": True}, "k", 422),
        (ORDER | {"goal": "x" * 501}, "k", 422),
        (ORDER | {"more": 1}, "k", 422),
        (ORDER | {"goal": "x" * 70_000}, "k", 413),
    ],
)
def test_a_bad_run_is_a_problem_and_leaves_nothing(
    a3: str, allowed: Headers, body: Any, key: str | None, status: int
) -> None:
    headers = allowed if key is None else allowed | {"Idempotency-Key": key}
    assert call(f"{a3}/orchestration/run", body, headers)[0] == status
    assert effects(a3, "k", allowed) == 0


def test_a_lineage_that_is_none_is_refused(a3: str, allowed: Headers) -> None:
    sent = allowed | {"Idempotency-Key": "lineage", "X-Lineage-Id": "a b"}
    assert call(f"{a3}/orchestration/run", ORDER, sent)[0] == 422


def test_a_goal_may_be_any_text_of_five_hundred_characters(a3: str, allowed: Headers, run_id: str) -> None:
    goal = ("\0奨学金 <b>'; DROP TABLE runs; --" * 20)[:500]
    status, _, body = run(a3, run_id, allowed, ORDER | {"goal": goal})
    assert (status, json.loads(body)["goal"]) == (200, goal)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/preflight", "GET", 422),
        ("/preflight?student_id=", "GET", 422),
        ("/preflight?student_id=%ff%ED%A0%80%00", "GET", 422),
        ("/preflight", "DELETE", 405),
        ("/orchestration/run", "GET", 405),
        ("/orchestration/runs/never", "GET", 404),
        ("/orchestration/runs/%ff%00", "GET", 404),
        ("/orchestration/effects", "GET", 422),
        ("/orchestration/effects?key=a%20b", "GET", 422),
        ("/orchestration/effects/summary", "GET", 422),
        ("/orchestration/effects/summary?run_id=%00", "GET", 422),
        ("/test-data?namespace=production", "DELETE", 422),
        ("/nowhere", "GET", 404),
    ],
)
def test_a_strange_request_is_answered_as_what_it_is(
    a3: str, allowed: Headers, path: str, method: str, status: int
) -> None:
    assert call(a3 + path, headers=allowed, method=method)[0] == status


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/preflight?student_id=s", "GET"),
        ("/orchestration/run", "POST"),
        ("/orchestration/runs/r", "GET"),
        ("/orchestration/effects?key=k", "GET"),
        ("/orchestration/effects/summary?run_id=r", "GET"),
        ("/test-data?namespace=perf_test", "DELETE"),
    ],
)
def test_a_token_of_a1_with_the_right_scope_is_needed(
    sandbox: Sandbox, a3: str, path: str, method: str
) -> None:
    assert call(a3 + path, headers={"Idempotency-Key": "k"}, method=method)[0] == 401
    forged = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}
    assert call(a3 + path, headers=forged, method=method)[0] == 401
    assert call(a3 + path, headers=token(sandbox, "a4"), method=method)[0] == 403


# --- the breaker ---------------------------------------------------------------------------------------


def test_injected_503s_open_the_breaker_and_it_closes_after_they_end(
    sandbox: Sandbox, a3: str, allowed: Headers, run_id: str
) -> None:
    at_rest(a3, allowed)
    before = breaker(a3)
    known = allowed | {"X-Ecoload-Run": run_id}
    with faults(sandbox, "a3", upstream_error_rate=1, ttl_s=5):
        failed = [run(a3, f"{run_id}-{number}", known) for number in range(5)]
        assert [(status, headers["X-Breaker"]) for status, headers, _ in failed] == [(503, None)] * 5
        status, headers, _ = run(a3, f"{run_id}-0", known)
        assert (status, headers["X-Breaker"]) == (503, "open")
        assert 1 <= int(headers["Retry-After"]) <= 5
        assert headers["Content-Type"] == "application/problem+json"
        opened = breaker(a3)
        assert opened["state"] == "open"
        assert opened["opened_count"] == before["opened_count"] + 1
        assert opened["calls_refused"] == before["calls_refused"] + 1
        assert opened["next_attempt_ms"] == opened["since_ms"] + 5000
        ready = call(f"{a3}/preflight?student_id=s", headers=allowed)[1]
        assert (ready["ready"], ready["breaker"]) == (False, "open")
        # Nobody switches the fault off: it ends by itself, and the breaker finds out.
        eventually(lambda: breaker(a3)["state"], "half_open")
    assert run(a3, f"{run_id}-0", known)[0] == 200
    assert breaker(a3)["state"] == "half_open"
    assert run(a3, f"{run_id}-1", known)[0] == 200
    assert ways(a3, len(before["transitions"])) == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ]
    # A4 was asked only by the two that succeeded, and a key that failed before was good for one effect.
    assert call(f"{sandbox.urls['a4']}/usage?run_id={run_id}")[1]["requests"] == 2
    _, summary = call(f"{a3}/orchestration/effects/summary?run_id={run_id}", headers=allowed)
    assert summary == {"run_id": run_id, "keys": 2, "effects": 2, "doubled_keys": 0, "doubled": []}


def test_a_fault_that_lasts_opens_the_breaker_again_from_half_open(
    sandbox: Sandbox, a3: str, allowed: Headers
) -> None:
    at_rest(a3, allowed)
    known = len(ways(a3))
    with faults(sandbox, "a3", upstream_error_rate=1):
        for number in range(5):
            run(a3, f"again-{number}", allowed)
        eventually(lambda: breaker(a3)["state"], "half_open")
        assert run(a3, "again-0", allowed)[0] == 503
        assert ways(a3, known) == [("closed", "open"), ("open", "half_open"), ("half_open", "open")]
    at_rest(a3, allowed)


def test_a_breaker_that_never_opens_lets_every_call_through(
    sandbox: Sandbox, a3: str, allowed: Headers, run_id: str
) -> None:
    at_rest(a3, allowed)
    known = len(ways(a3))
    with faults(sandbox, "a3", upstream_error_rate=1, breaker_never_opens=1):
        found = [run(a3, f"{run_id}-{number}", allowed) for number in range(8)]
        assert [(status, headers["X-Breaker"]) for status, headers, _ in found] == [(503, None)] * 8
    assert ways(a3, known) == []


def test_a_key_is_worked_on_again_where_idempotency_is_off(
    sandbox: Sandbox, a3: str, allowed: Headers, run_id: str
) -> None:
    at_rest(a3, allowed)
    known = allowed | {"X-Ecoload-Run": run_id}
    with faults(sandbox, "a3", idempotency_off=1):
        first, second = (run(a3, run_id, known) for _ in range(2))
    assert [headers["Idempotency-Replayed"] for _, headers, _ in (first, second)] == ["false", "false"]
    assert orjson.loads(first[2])["run_id"] != orjson.loads(second[2])["run_id"]
    _, summary = call(f"{a3}/orchestration/effects/summary?run_id={run_id}", headers=allowed)
    assert (summary["keys"], summary["effects"], summary["doubled"]) == (1, 2, [run_id])


def test_the_fault_is_shut_to_whoever_has_no_admin_token(a3: str, allowed: Headers) -> None:
    assert call(f"{a3}/__faults", {"upstream_error_rate": 1}, allowed)[0] == 403
    assert call(f"{a3}/__faults", {"upstream_error_rate": 1}, {"X-Sandbox-Admin": "guess"})[0] == 403


def test_an_a4_that_is_gone_opens_the_breaker_and_one_that_came_back_closes_it(
    sandbox: Sandbox, a3: str, allowed: Headers
) -> None:
    at_rest(a3, allowed)
    assert call(f"{a3}/healthz")[0] == 200
    sandbox.kill("a4")
    assert [run(a3, f"gone-{number}", allowed)[0] for number in range(5)] == [503] * 5
    assert breaker(a3)["state"] == "open"
    assert call(f"{a3}/healthz")[0] == 503
    assert call(f"{a3}/health")[0] == 200
    sandbox.start("a4")
    at_rest(a3, allowed)
    assert call(f"{a3}/healthz")[1]["checks"]["a4"] == "ok"


def test_an_answer_of_a4_that_is_too_late_is_a_failure(sandbox: Sandbox, a3: str, allowed: Headers) -> None:
    at_rest(a3, allowed)
    failures = breaker(a3)["failures"]
    with faults(sandbox, "a4", added_latency_ms=2_500):
        assert run(a3, "too-late", allowed)[0] == 503
    assert breaker(a3)["failures"] == failures + 1
    assert run(a3, "too-late", allowed)[0] == 200
    assert effects(a3, "too-late", allowed) == 1


def test_the_breaker_can_be_watched(sandbox: Sandbox, a3: str, allowed: Headers) -> None:
    at_rest(a3, allowed)
    lines = fetch(f"{a3}/metrics")[2].decode().splitlines()
    assert 'breaker_state{state="closed"} 1.0' in lines
    assert 'breaker_state{state="open"} 0.0' in lines
    assert f"breaker_opened_total {float(breaker(a3)['opened_count'])}" in lines
    assert call(f"{a3}/healthz")[1]["checks"]["breaker"] == "closed"


# --- kills, and sandboxes of other apps ----------------------------------------------------------------


def test_keys_outlive_a_kill_and_a_run_that_was_killed_has_its_effect_once(tmp_path: Path) -> None:
    with Sandbox(apps=("a3", "a4"), state=tmp_path) as sandbox:
        a3 = sandbox.urls["a3"]
        first = run(a3, "kept", {})
        with ThreadPoolExecutor(1) as caller, faults(sandbox, "a4", added_latency_ms=1_500):
            killed = caller.submit(run, a3, "killed", {})
            time.sleep(0.3)  # under way, most likely; what follows holds wherever it was
            sandbox.kill("a3")
            killed.exception(timeout=20)
        sandbox.start("a3")
        again = run(a3, "kept", {})
        assert (again[2], again[1]["Idempotency-Replayed"]) == (first[2], "true")
        assert run(a3, "killed", {})[0] == 200
        assert [effects(a3, key, {}) for key in ("kept", "killed")] == [1, 1]
        assert run(a3, "kept", {}, ORDER | {"goal": "Something else"})[0] == 422


def test_after_a_day_a_key_its_run_and_its_effect_are_gone(tmp_path: Path) -> None:
    with Sandbox(apps=("a3", "a4"), state=tmp_path) as sandbox:
        a3 = sandbox.urls["a3"]
        old, young = (json.loads(run(a3, key, {})[2])["run_id"] for key in ("old", "young"))
        sandbox.kill("a3")
        with closing(sqlite3.connect(tmp_path / "a3" / "a3.db", isolation_level=None)) as database:
            for table in ("keys", "runs", "effects"):
                database.execute(f"UPDATE {table} SET at = at - 24 * 3600 * 1000 WHERE key = 'old'")
        sandbox.start("a3")
        assert run(a3, "new", {})[0] == 200
        assert [call(f"{a3}/orchestration/runs/{run_id}")[0] for run_id in (old, young)] == [404, 200]
        assert [effects(a3, key, {}) for key in ("old", "young", "new")] == [0, 1, 1]
        assert run(a3, "old", {})[1]["Idempotency-Replayed"] == "false"
        assert effects(a3, "old", {}) == 1


def test_without_an_a1_everybody_may_and_without_an_a4_nobody_gets_a_summary() -> None:
    with Sandbox(apps=("a3",)) as sandbox:
        a3 = sandbox.urls["a3"]
        assert call(f"{a3}/preflight?student_id=s")[0] == 200
        status, problem = call(f"{a3}/orchestration/run", ORDER, {"Idempotency-Key": "k"})
        assert status == 503
        assert "a4" in problem["detail"]
        assert effects(a3, "k", {}) == 0
        assert breaker(a3)["failures"] == 1
        assert call(f"{a3}/healthz")[0] == 503

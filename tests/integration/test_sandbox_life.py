"""The sandbox comes up, goes down, and what it acknowledged outlives a kill of any part of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ecoload.sandbox import Sandbox, SandboxError
from tests.integration.ecosystem import alive, call, eventually

PAIR = ("a2", "a8")
LANES = 8


async def ingest(url: str, run_id: str, acknowledged: list[str], count: int) -> bool:
    """Lanes side by side post events one after the other; `acknowledged` has the ids that came back 202.
    Whether the server was there to the end."""

    async def post(session: aiohttp.ClientSession, lane: int) -> None:
        for number in range(count):
            event_id = f"{run_id}-{lane}-{number}"
            event = {"event_id": event_id, "namespace": "perf_test", "kind": "k", "at": 1, "run_id": run_id}
            async with session.post(f"{url}/v1/events", json=event) as answer:
                assert answer.status == 202
                await answer.read()
                acknowledged.append(event_id)

    async with aiohttp.ClientSession() as session:
        results = await asyncio.gather(
            *(post(session, lane) for lane in range(LANES)), return_exceptions=True
        )
    broken = [result for result in results if result is not None]
    assert all(isinstance(result, aiohttp.ClientError) for result in broken), broken
    return not broken


def all_events(url: str) -> list[str]:
    """The ids of every event, page by page."""
    found, after = [], 0
    while after is not None:
        page = call(f"{url}/v1/events?limit=1000&after={after}")[1]
        found += [event["event_id"] for event in page["events"]]
        after = page["next"]
    return found


def pending(url: str) -> int:
    """How many events A2 has still to forward."""
    count: int = call(f"{url}/healthz")[1]["checks"]["outbox_pending"]
    return count


def shown(sandbox: Sandbox, run_id: str) -> int:
    """How many events of a run A8 counts."""
    total: int = call(f"{sandbox.urls['a8']}/api/tiles/events?run_id={run_id}")[1]["total"]
    return total


def in_rows(state: Path, app: str, sql: str) -> list[tuple[Any, ...]]:
    """What an app's database holds, read beside the app."""
    with closing(sqlite3.connect(state / app / f"{app}.db")) as database:
        return database.execute(sql).fetchall()


def rewind(state: Path, app: str, cursor: int) -> None:
    """As after a kill between the other app's acknowledgement and the note of it."""
    with closing(sqlite3.connect(state / app / f"{app}.db")) as database, database:
        database.execute("UPDATE outbox SET cursor = ?", (cursor,))


# --- what was acknowledged --------------------------------------


def test_what_was_acknowledged_outlives_kills_of_a2_and_reaches_a8_once(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    async def stream_and_kill(sandbox: Sandbox, run_id: str) -> None:
        before = len(acknowledged)
        streaming = asyncio.create_task(ingest(sandbox.urls["a2"], run_id, acknowledged, 10_000))
        while len(acknowledged) < before + 200:
            await asyncio.sleep(0.01)
        sandbox.kill("a2")
        assert not await streaming

    with Sandbox(PAIR, state=tmp_path) as sandbox:
        for run_id in ("one", "two", "three"):
            asyncio.run(stream_and_kill(sandbox, run_id))
            sandbox.start("a2")
        kept = all_events(sandbox.urls["a2"])
        assert len(set(kept)) == len(kept)
        assert set(acknowledged) <= set(kept)
        eventually(partial(pending, sandbox.urls["a2"]), 0)
        told = in_rows(tmp_path, "a8", "SELECT event_id FROM events WHERE ingest_sequence > 0")
    assert sorted(event_id for (event_id,) in told) == sorted(kept)


def test_a_kill_of_both_and_of_the_whole_sandbox_loses_nothing(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with Sandbox(PAIR, state=tmp_path) as sandbox:
        assert asyncio.run(ingest(sandbox.urls["a2"], "run", acknowledged, 40))
        for app in PAIR:
            sandbox.kill(app)
    with Sandbox(PAIR, state=tmp_path) as sandbox:
        assert sorted(all_events(sandbox.urls["a2"])) == sorted(acknowledged)
        eventually(partial(shown, sandbox, "run"), len(acknowledged))


def test_while_a8_is_dead_a2_takes_everything_and_a8_has_it_once_it_is_back(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with Sandbox(PAIR, state=tmp_path) as sandbox:
        a2 = sandbox.urls["a2"]
        assert asyncio.run(ingest(a2, "before", acknowledged, 10))
        sandbox.kill("a8")
        assert asyncio.run(ingest(a2, "while-dead", acknowledged, 40))
        assert pending(a2) >= LANES * 40
        assert call(f"{a2}/health")[0] == 200
        sandbox.start("a8")
        eventually(partial(pending, a2), 0)
        assert shown(sandbox, "before") == LANES * 10
        assert shown(sandbox, "while-dead") == LANES * 40


def test_a8_killed_in_the_middle_of_telemetry_counts_each_event_once(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with Sandbox(PAIR, state=tmp_path) as sandbox:
        for round_ in range(3):
            assert asyncio.run(ingest(sandbox.urls["a2"], f"run-{round_}", acknowledged, 40))
            sandbox.kill("a8")
            sandbox.start("a8")
        eventually(partial(pending, sandbox.urls["a2"]), 0)
        assert [shown(sandbox, f"run-{round_}") for round_ in range(3)] == [LANES * 40] * 3


def test_what_the_tile_has_already_is_not_counted_again(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with Sandbox(("a2",), state=tmp_path) as sandbox:
        assert asyncio.run(ingest(sandbox.urls["a2"], "run", acknowledged, 20))
        assert pending(sandbox.urls["a2"]) == 160
    for _ in range(2):
        with Sandbox(PAIR, state=tmp_path) as sandbox:
            eventually(partial(pending, sandbox.urls["a2"]), 0)
            assert shown(sandbox, "run") == 160
        rewind(tmp_path, "a2", 50)


# --- up and down --------------------------------------


def test_it_goes_down_without_leftovers() -> None:
    with Sandbox(PAIR) as sandbox:
        pids, state = list(sandbox.pids.values()), sandbox.state
        assert all(map(alive, pids))
        assert (state / "a2" / "a2.db").exists()
    assert not any(map(alive, pids))
    assert not state.exists()
    assert sandbox.urls == {}


def test_a_state_that_was_given_stays(tmp_path: Path) -> None:
    with Sandbox(PAIR, state=tmp_path / "kept"):
        pass
    assert (tmp_path / "kept" / "a2" / "a2.db").exists()


def test_an_app_that_is_told_to_end_closes_what_it_has_open(tmp_path: Path) -> None:
    with Sandbox(PAIR, state=tmp_path) as sandbox:
        assert asyncio.run(ingest(sandbox.urls["a2"], "run", [], 1))
        assert list(tmp_path.glob("*/*.db-wal"))
    assert not list(tmp_path.glob("*/*.db-wal"))


def test_it_goes_down_after_an_error_inside() -> None:
    with pytest.raises(RuntimeError), Sandbox(PAIR) as sandbox:
        pids, state = list(sandbox.pids.values()), sandbox.state
        raise RuntimeError
    assert not any(map(alive, pids))
    assert not state.exists()


PARENT = """
import sys
from ecoload.sandbox import Sandbox
with Sandbox(("a2", "a8")) as sandbox:
    print(*sandbox.pids.values(), sandbox.state, flush=True)
    sys.stdin.read()
"""


def test_a_parent_that_is_killed_leaves_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        *pids, state = parent.stdout.readline().split()
        assert all(alive(int(pid)) for pid in pids)
        parent.kill()
    eventually(lambda: [pid for pid in pids if alive(int(pid))], [])
    eventually(lambda: Path(state).exists(), False)


def test_an_app_cleans_up_at_the_end_of_its_pipe_before_its_parent_is_seen_to_be_gone() -> None:
    with Sandbox(("a2",)) as sandbox:
        child = sandbox._children["a2"]
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(10) == 0
        assert not sandbox.state.exists()


def test_a_hanging_app_is_killed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecoload.sandbox.STOP_TIMEOUT_S", 0.2)
    with Sandbox(("a8",)) as sandbox:
        pid = sandbox.pids["a8"]
        os.kill(pid, signal.SIGSTOP)
    assert not alive(pid)


def test_a_killed_app_can_stay_dead_to_the_end() -> None:
    with Sandbox(PAIR) as sandbox:
        pids, state = list(sandbox.pids.values()), sandbox.state
        sandbox.kill("a8")
        assert not alive(sandbox.pids["a8"])
    assert not any(map(alive, pids))
    assert not state.exists()


def test_a_killed_app_comes_back_at_its_address_as_another_process() -> None:
    with Sandbox(PAIR) as sandbox:
        url, pid = sandbox.urls["a8"], sandbox.pids["a8"]
        sandbox.kill("a8")
        sandbox.start("a8")
        assert sandbox.urls["a8"] == url
        assert sandbox.pids["a8"] != pid
        assert call(f"{url}/healthz")[0] == 200


def test_an_app_that_runs_is_not_started_twice() -> None:
    with Sandbox(("a8",)) as sandbox:
        pids = dict(sandbox.pids)
        with pytest.raises(SandboxError, match="a8 of the sandbox is running"):
            sandbox.start("a8")
        assert sandbox.pids == pids
        assert alive(pids["a8"])


def test_an_app_that_ended_by_itself_can_be_started_again() -> None:
    with Sandbox(("a8",)) as sandbox:
        os.kill(sandbox.pids["a8"], signal.SIGTERM)
        eventually(partial(alive, sandbox.pids["a8"]), False)
        sandbox.start("a8")
        assert call(f"{sandbox.urls['a8']}/healthz")[0] == 200


def test_two_sandboxes_stand_side_by_side() -> None:
    with Sandbox(PAIR) as one, Sandbox(PAIR) as other:
        urls = [*one.urls.values(), *other.urls.values()]
        assert len(set(urls)) == 4
        assert one.admin_token != other.admin_token
        assert not set(one.secrets.values()) & set(other.secrets.values())
        for url in urls:
            assert call(f"{url}/health")[1]["status"] == "ok"


def test_one_app_can_stand_alone() -> None:
    with Sandbox(("a8",)) as sandbox:
        assert list(sandbox.urls) == ["a8"]
        assert shown(sandbox, "run") == 0


def test_an_app_that_is_named_twice_is_started_once() -> None:
    with Sandbox(("a8", "a8")) as sandbox:
        assert list(sandbox.pids) == ["a8"]


# --- what cannot start --------------------------------------


def test_an_app_that_is_not_there_is_named() -> None:
    with pytest.raises(SandboxError, match=r"no such app.*a9.*a1, a2.*a8"):
        Sandbox(("a2", "a9"))


def test_a_state_in_use_is_refused_and_nothing_is_left_running(tmp_path: Path) -> None:
    with Sandbox(PAIR, state=tmp_path) as first:
        second = Sandbox(PAIR, state=tmp_path)
        with pytest.raises(SandboxError, match="another sandbox is using"):
            second.__enter__()
        assert second.pids == {}
        assert call(f"{first.urls['a2']}/health")[1]["status"] == "ok"


def test_a_database_that_is_none_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "a2").mkdir()
    (tmp_path / "a2" / "a2.db").write_bytes(b"this is no database " * 500)
    with pytest.raises(SandboxError, match="a2 of the sandbox cannot start: file is not a database"):
        Sandbox(PAIR, state=tmp_path).__enter__()


def test_a_database_of_another_make_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "a3").mkdir()
    with closing(sqlite3.connect(tmp_path / "a3" / "a3.db")) as database, database:
        database.execute("CREATE TABLE scholarships (other)")
    with pytest.raises(SandboxError, match="a3 of the sandbox cannot start: table scholarships has"):
        Sandbox(("a3",), state=tmp_path).__enter__()


def test_a_workspace_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SandboxError):
        Sandbox(PAIR, state=tmp_path / "file").__enter__()

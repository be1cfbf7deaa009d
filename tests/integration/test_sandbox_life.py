"""The sandbox comes up, goes down, and what it acknowledged outlives a kill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ecoload.sandbox import Sandbox, SandboxError


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def eventually(figure: Callable[[], Any], expected: Any, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while (found := figure()) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def ingest(url: str, acknowledged: list[str], until_broken: bool, count: int) -> None:
    """Eight at a time post events one after the other; `acknowledged` has the ids that came back 202."""

    async def post(session: aiohttp.ClientSession, lane: int) -> None:
        for number in range(count):
            event_id = f"{lane}-{number}"
            event = {"event_id": event_id, "namespace": "perf_test", "kind": "k", "at": 1, "run_id": "run"}
            async with session.post(f"{url}/v1/events", json=event) as answer:
                assert answer.status == 202
                await answer.read()
                acknowledged.append(event_id)

    async with aiohttp.ClientSession() as session:
        results = await asyncio.gather(*(post(session, lane) for lane in range(8)), return_exceptions=True)
    broken = [result for result in results if result is not None]
    assert all(isinstance(result, aiohttp.ClientError) for result in broken), broken
    assert bool(broken) == until_broken


def all_events(url: str) -> list[str]:
    """The ids of every event, page by page."""
    found, after = [], 0
    while after is not None:
        page = get(f"{url}/v1/events?limit=1000&after={after}")
        found += [event["event_id"] for event in page["events"]]
        after = page["next"]
    return found


def pending(url: str) -> int:
    """How many events A2 has still to forward."""
    count: int = get(f"{url}/health")["checks"]["outbox_pending"]
    return count


def test_what_was_acknowledged_outlives_a_kill_and_reaches_the_tile_once(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    async def stream_and_kill(sandbox: Sandbox) -> None:
        streaming = asyncio.create_task(ingest(sandbox.urls["a2"], acknowledged, True, 10_000))
        while len(acknowledged) < 200:
            await asyncio.sleep(0.01)
        os.kill(sandbox.pids["a2"], signal.SIGKILL)
        await streaming

    with Sandbox(state=tmp_path) as sandbox:
        asyncio.run(stream_and_kill(sandbox))
    with Sandbox(state=tmp_path) as sandbox:
        kept = all_events(sandbox.urls["a2"])
        assert len(set(kept)) == len(kept)
        assert set(acknowledged) <= set(kept)
        tile = f"{sandbox.urls['a8']}/api/tiles/events?run_id=run"
        eventually(lambda: get(tile)["total"], len(kept))
        eventually(partial(pending, sandbox.urls["a2"]), 0)
        assert get(tile)["total"] == len(kept)


def test_what_the_tile_has_already_is_not_counted_again(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with Sandbox(("a2",), state=tmp_path) as sandbox:
        asyncio.run(ingest(sandbox.urls["a2"], acknowledged, False, 20))
        assert pending(sandbox.urls["a2"]) == 160
    for _ in range(2):
        with Sandbox(state=tmp_path) as sandbox:
            tile = f"{sandbox.urls['a8']}/api/tiles/events"
            eventually(partial(pending, sandbox.urls["a2"]), 0)
            assert get(tile)["total"] == 160
        rewind(tmp_path / "a2" / "a2.db")  # as after a kill between A8's acknowledgement and A2's note of it


def rewind(path: Path) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE outbox SET cursor = 50")
    database.close()


def test_it_goes_down_without_leftovers() -> None:
    with Sandbox() as sandbox:
        pids, state = list(sandbox.pids.values()), sandbox.state
        assert all(map(alive, pids))
        assert (state / "a2" / "a2.db").exists()
    assert not any(map(alive, pids))
    assert not state.exists()
    assert sandbox.urls == {}


def test_a_state_that_was_given_stays(tmp_path: Path) -> None:
    with Sandbox(state=tmp_path / "kept"):
        pass
    assert (tmp_path / "kept" / "a2" / "a2.db").exists()


def test_it_goes_down_after_an_error_inside() -> None:
    with pytest.raises(RuntimeError), Sandbox() as sandbox:
        pids, state = list(sandbox.pids.values()), sandbox.state
        raise RuntimeError
    assert not any(map(alive, pids))
    assert not state.exists()


PARENT = """
import sys
from ecoload.sandbox import Sandbox
with Sandbox() as sandbox:
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


def test_a_hanging_app_is_killed_at_the_end() -> None:
    with Sandbox(("a8",)) as sandbox:
        pid = sandbox.pids["a8"]
        os.kill(pid, signal.SIGSTOP)
    assert not alive(pid)


def test_two_sandboxes_stand_side_by_side() -> None:
    with Sandbox() as one, Sandbox() as other:
        urls = [*one.urls.values(), *other.urls.values()]
        assert len(set(urls)) == 4
        for url in urls:
            assert get(f"{url}/health")["status"] == "ok"


def test_one_app_can_stand_alone() -> None:
    with Sandbox(("a8",)) as sandbox:
        assert list(sandbox.urls) == ["a8"]
        assert get(f"{sandbox.urls['a8']}/api/tiles/events")["total"] == 0


def test_an_app_that_is_not_there_is_named() -> None:
    with pytest.raises(SandboxError, match=r"a9.*a2, a8"):
        Sandbox(("a2", "a9"))


def test_a_state_in_use_is_refused_and_nothing_is_left_running(tmp_path: Path) -> None:
    with Sandbox(state=tmp_path) as first:
        second = Sandbox(state=tmp_path)
        with pytest.raises(SandboxError, match="another sandbox is using"):
            second.__enter__()
        assert second.pids == {}
        assert get(f"{first.urls['a2']}/health")["status"] == "ok"


def test_a_database_that_is_none_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "a2").mkdir()
    (tmp_path / "a2" / "a2.db").write_bytes(b"this is no database " * 500)
    with pytest.raises(SandboxError, match="a2 of the sandbox cannot start: file is not a database"):
        Sandbox(state=tmp_path).__enter__()


def test_a_workspace_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SandboxError):
        Sandbox(state=tmp_path / "file").__enter__()

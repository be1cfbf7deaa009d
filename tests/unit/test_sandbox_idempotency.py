"""One effect for one key, on a store of its own and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ecoload.sandbox.a3.idempotency import KEEP_MS, KEYS_SCHEMA, Keys, Result
from ecoload.sandbox.common.problems import Problem
from ecoload.sandbox.common.store import Store

SCHEMA = f"{KEYS_SCHEMA} CREATE TABLE IF NOT EXISTS effects (name TEXT);"
ONE, OTHER = b"digest-1", b"digest-2"


class Bench:
    """A store, its keys, and work that can be held up."""

    def __init__(self, path: Path) -> None:
        self.now_ms = KEEP_MS
        self.store = Store(path, SCHEMA)
        self.keys = Keys(self.store, lambda: self.now_ms)
        self.began = 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    def work(self, name: str, fails: bool = False) -> Callable[[], Awaitable[Result]]:
        async def run() -> Result:
            self.began += 1
            await self.may_end.wait()
            if fails:
                raise Problem(503, "not now")

            def effect(database: sqlite3.Connection) -> None:
                database.execute("INSERT INTO effects VALUES (?)", (name,))

            return Result(name.encode(), effect)

        return run

    async def effects(self) -> list[str]:
        return [name for (name,) in await self.store.read("SELECT name FROM effects ORDER BY rowid")]


def on_a_bench(path: Path, story: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench(path / "keys.db")
        await story(bench)
        await bench.keys.close()
        await bench.store.close()

    asyncio.run(run())


async def status_of(answer: Awaitable[Any]) -> int:
    with pytest.raises(Problem) as refused:
        await answer
    return refused.value.status


def test_the_same_key_gives_the_same_answer_and_one_effect(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        assert await bench.keys.once("k", ONE, bench.work("first")) == (b"first", False)
        assert await bench.keys.once("k", ONE, bench.work("second")) == (b"first", True)
        assert await bench.keys.once("other", ONE, bench.work("third")) == (b"third", False)
        assert await bench.effects() == ["first", "third"]

    on_a_bench(tmp_path, story)


def test_another_body_under_the_same_key_is_refused(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.keys.once("k", ONE, bench.work("first"))
        assert await status_of(bench.keys.once("k", OTHER, bench.work("second"))) == 422
        assert await bench.effects() == ["first"]

    on_a_bench(tmp_path, story)


def test_whoever_comes_while_the_first_is_at_it_waits_and_gets_its_answer(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.may_end.clear()
        calls = [asyncio.create_task(bench.keys.once("k", ONE, bench.work(f"{n}"))) for n in range(20)]
        while not bench.began:
            await asyncio.sleep(0)
        bench.may_end.set()
        answers = await asyncio.gather(*calls)
        assert answers == [(b"0", False)] + [(b"0", True)] * 19
        assert bench.began == 1
        assert await bench.effects() == ["0"]

    on_a_bench(tmp_path, story)


def test_another_body_waits_too_and_is_then_refused_or_the_first_of_its_own(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        for key, fails in (("kept", False), ("failed", True)):
            bench.may_end.clear()
            first = asyncio.create_task(bench.keys.once(key, ONE, bench.work(f"{key} 1", fails)))
            second = asyncio.create_task(bench.keys.once(key, OTHER, bench.work(f"{key} 2")))
            await asyncio.sleep(0)
            bench.may_end.set()
            if fails:
                assert await status_of(first) == 503
                assert await second == (b"failed 2", False)
            else:
                assert await first == (b"kept 1", False)
                assert await status_of(second) == 422
        assert await bench.effects() == ["kept 1", "failed 2"]

    on_a_bench(tmp_path, story)


def test_a_first_that_takes_too_long_is_waited_for_no_more(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        impatient = Keys(bench.store, lambda: bench.now_ms, wait_s=0)
        bench.may_end.clear()
        first = asyncio.create_task(impatient.once("k", ONE, bench.work("first")))
        await asyncio.sleep(0)
        assert await status_of(impatient.once("k", ONE, bench.work("second"))) == 409
        bench.may_end.set()
        assert await first == (b"first", False)
        assert await impatient.once("k", ONE, bench.work("third")) == (b"first", True)

    on_a_bench(tmp_path, story)


def test_a_failure_is_shared_by_those_who_waited_and_does_not_use_up_the_key(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.may_end.clear()
        calls = [asyncio.create_task(bench.keys.once("k", ONE, bench.work("failed", True))) for _ in range(5)]
        await asyncio.sleep(0)
        bench.may_end.set()
        assert [await status_of(call) for call in calls] == [503] * 5
        assert bench.began == 1
        assert await bench.keys.once("k", ONE, bench.work("retried")) == (b"retried", False)
        assert await bench.effects() == ["retried"]

    on_a_bench(tmp_path, story)


def test_the_first_may_go_and_those_who_wait_still_get_their_answer(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.may_end.clear()
        first = asyncio.create_task(bench.keys.once("k", ONE, bench.work("first")))
        second = asyncio.create_task(bench.keys.once("k", ONE, bench.work("second")))
        while not bench.began:
            await asyncio.sleep(0)
        first.cancel()
        bench.may_end.set()
        assert await second == (b"first", True)
        assert await bench.effects() == ["first"]

    on_a_bench(tmp_path, story)


def test_an_effect_that_cannot_be_kept_leaves_no_answer_either(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        def broken(database: sqlite3.Connection) -> None:
            database.execute("INSERT INTO effects VALUES ('half')")
            database.execute("INSERT INTO nowhere VALUES (1)")

        async def work() -> Result:
            return Result(b"broken", broken)

        with pytest.raises(Exception, match="nowhere"):
            await bench.keys.once("k", ONE, work)
        assert await bench.effects() == []
        assert await bench.keys.once("k", ONE, bench.work("whole")) == (b"whole", False)

    on_a_bench(tmp_path, story)


def test_a_key_outlives_the_process(tmp_path: Path) -> None:
    async def before(bench: Bench) -> None:
        await bench.keys.once("k", ONE, bench.work("first"))

    async def after(bench: Bench) -> None:
        assert await bench.keys.once("k", ONE, bench.work("second")) == (b"first", True)
        assert await status_of(bench.keys.once("k", OTHER, bench.work("third"))) == 422

    on_a_bench(tmp_path, before)
    on_a_bench(tmp_path, after)


def test_a_key_lives_for_a_day_and_is_then_swept(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.keys.once("k", ONE, bench.work("first"))
        await bench.keys.once("forgotten", ONE, bench.work("forgotten"))
        bench.now_ms += KEEP_MS - 1
        assert await bench.keys.once("k", ONE, bench.work("second")) == (b"first", True)
        bench.now_ms += 1
        assert await bench.keys.once("k", OTHER, bench.work("third")) == (b"third", False)
        assert await bench.store.read("SELECT key FROM keys") == [("k",)]

    on_a_bench(tmp_path, story)

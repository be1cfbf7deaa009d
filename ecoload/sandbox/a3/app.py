"""A3, the scholarship agent: finds a student's scholarships, lets A4 sum them up, drafts one application.

Rules
-----
- A run and its one effect, the draft, are kept together with the answer to their idempotency key; a run
  that failed leaves nothing behind.
- A4 is called only through the circuit breaker.
- A run takes as long as its own work or its call to A4, whichever is longer.
"""

from __future__ import annotations

import functools
import hashlib
import random
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from ecoload.sandbox.a3.breaker import Breaker
from ecoload.sandbox.a3.idempotency import KEEP_MS, KEYS_SCHEMA, Keys, Result
from ecoload.sandbox.a3.scholarships import MATCHING, SCHOLARSHIPS_SCHEMA, SEED_ROW, scholarships, student_of
from ecoload.sandbox.a3.upstream import UPSTREAM, BreakerFigures, Upstream, steady_clock
from ecoload.sandbox.common.behaviour import LogNormal
from ecoload.sandbox.common.peers import Peers
from ecoload.sandbox.common.problems import (
    NAME_RULE,
    NAMESPACE,
    Problem,
    answer,
    is_name,
    json_object,
    lineage_of,
    run_of,
)
from ecoload.sandbox.common.service import App, Config
from ecoload.sandbox.common.store import Store

MAX_GOAL = 500
MAX_DOUBLED = 100

_FIELDS = ("namespace", "student_id", "goal")

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, key TEXT NOT NULL, ecoload_run TEXT, at INTEGER NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_of_ecoload_run ON runs (ecoload_run);
CREATE INDEX IF NOT EXISTS runs_by_age ON runs (at);
CREATE TABLE IF NOT EXISTS effects (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, run_id TEXT NOT NULL, ecoload_run TEXT,
    at INTEGER NOT NULL, draft TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS effects_of_key ON effects (key);
CREATE INDEX IF NOT EXISTS effects_of_ecoload_run ON effects (ecoload_run);
CREATE INDEX IF NOT EXISTS effects_by_age ON effects (at);
{KEYS_SCHEMA}
{SCHOLARSHIPS_SCHEMA}
"""


@dataclass(frozen=True, slots=True)
class Order:
    """A valid request for a run; `digest` says what is the same."""

    student_id: str
    goal: str
    digest: bytes


class Agent(App):
    """The app; its state is `a3.db` in its folder."""

    laws: Mapping[str, LogNormal] = {
        "preflight": LogNormal(12, 30),
        "run": LogNormal(25, 60),
        "run_state": LogNormal(4, 9),
        "effects": LogNormal(4, 9),
        "effects_summary": LogNormal(6, 14),
        "breaker": LogNormal(1, 2),
    }
    protected = frozenset({"preflight", "run", "run_state", "effects", "effects_summary"})
    special_faults = frozenset(
        {"upstream_error_rate", "breaker_never_opens", "breaker_never_closes", "idempotency_off"}
    )
    needs = (UPSTREAM,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._clock = steady_clock()
        self._store = Store(config.folder / "a3.db", _SCHEMA)
        self._keys = Keys(self._store, self._clock)
        self._breaker = Breaker(self._clock)
        self._chance = random.Random(f"{config.seed}/a3/broken")
        self._upstream = Upstream(self._breaker, random.Random(f"{config.seed}/a3/upstream"))
        self.metrics.registry.register(BreakerFigures(self._breaker))

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/preflight", self._preflight, name="preflight"),
            web.post("/orchestration/run", self._run, name="run"),
            web.get("/orchestration/runs/{run_id}", self._run_state, name="run_state"),
            web.get("/orchestration/effects", self._effects, name="effects"),
            web.get("/orchestration/effects/summary", self._effects_summary, name="effects_summary"),
            web.get("/breaker", self._show_breaker, name="breaker"),
        ]

    async def checks(self) -> dict[str, Any]:
        await self._store.read("SELECT 1")
        return {"database": "ok", "breaker": self._breaker.state}

    async def connect(self, peers: Peers) -> None:
        self._upstream.peers = peers
        rows = scholarships(self.config.seed)
        await self._store.write(lambda database: database.executemany(SEED_ROW, rows))

    async def close(self) -> None:
        await self._keys.close()
        await self._store.close()

    async def clean_up(self, run_id: str | None) -> dict[str, int]:
        deleted: dict[str, int] = await self._store.write(lambda database: _delete(database, run_id))
        return deleted

    # --- the agent --------------------------------------------------------------------------------

    async def _preflight(self, request: web.Request) -> web.Response:
        student_id = _name_asked(request, "student_id")
        matches, state = await self._matches(student_id), self._breaker.state
        return answer(
            {
                "student_id": student_id,
                "eligible": bool(matches),
                "ready": state != "open",
                "matches": len(matches),
                "needs": student_of(student_id).missing,
                "breaker": state,
            }
        )

    async def _run(self, request: web.Request) -> web.Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            raise Problem(400, "Idempotency-Key: must be given")
        order, wrong = parse_order(await json_object(request))
        if not is_name(key):
            wrong.append(f"Idempotency-Key: must be {NAME_RULE}")
        if order is None or wrong:
            raise Problem(422, "the run is not valid", wrong)
        work = functools.partial(self._work, key, order, run_of(request), lineage_of(request))
        if self._happens(self.faults.idempotency_off):
            body, replayed = await self._keys.anew(work), False
        else:
            body, replayed = await self._keys.once(key, order.digest, work)
        return web.Response(
            body=body,
            content_type="application/json",
            headers={"Idempotency-Replayed": "true" if replayed else "false"},
        )

    async def _work(self, key: str, order: Order, ecoload_run: str | None, lineage_id: str) -> Result:
        """The steps of a run. Raises Problem when A4 cannot be asked."""
        matches = await self._matches(order.student_id)
        self._upstream.failing_share = self.faults.upstream_error_rate
        self._breaker.never_opens = self._happens(self.faults.breaker_never_opens)
        self._breaker.never_closes = self._happens(self.faults.breaker_never_closes)
        summary = await self._upstream.summary(order.goal, matches, ecoload_run, lineage_id)
        run_id, at = uuid.uuid4().hex, self._clock()
        body = orjson.dumps(
            {
                "run_id": run_id,
                "status": "completed",
                "namespace": NAMESPACE,
                "student_id": order.student_id,
                "goal": order.goal,
                "lineage_id": lineage_id,
                "at": at,
                "matches": matches,
                "summary": summary,
                "effects": 1,
            }
        )
        draft = f"{order.student_id} {matches[0]['scholarship_id'] if matches else 'none'}"

        def keep(database: sqlite3.Connection) -> None:
            for table in ("runs", "effects"):
                database.execute(f"DELETE FROM {table} WHERE at <= ?", (at - KEEP_MS,))
            database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", (run_id, key, ecoload_run, at, body))
            database.execute(
                "INSERT INTO effects (key, run_id, ecoload_run, at, draft) VALUES (?, ?, ?, ?, ?)",
                (key, run_id, ecoload_run, at, draft),
            )

        return Result(body, keep)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._chance.random() < share

    async def _matches(self, student_id: str) -> list[dict[str, Any]]:
        student = student_of(student_id)
        rows = await self._store.read(MATCHING, (student.state, student.major, student.gpa_hundredths))
        return [dict(zip(("scholarship_id", "title", "amount_cents"), row, strict=True)) for row in rows]

    # --- what a proof reads -----------------------------------------------------------------------

    async def _run_state(self, request: web.Request) -> web.Response:
        run_id = request.match_info["run_id"]
        rows = await self._store.read(
            "SELECT body, key, ecoload_run, (SELECT COUNT(*) FROM effects WHERE effects.key = runs.key)"
            " FROM runs WHERE run_id = ?",
            (run_id if is_name(run_id) else "",),
        )
        if not rows:
            raise Problem(404, "there is no such run")
        body, key, ecoload_run, effects = rows[0]
        return answer(orjson.loads(body) | {"key": key, "ecoload_run": ecoload_run, "effects": effects})

    async def _effects(self, request: web.Request) -> web.Response:
        key = _name_asked(request, "key")
        rows = await self._store.read("SELECT run_id FROM effects WHERE key = ? ORDER BY sequence", (key,))
        return answer(
            {"key": key, "effects": len(rows), "runs": [run_id for (run_id,) in rows[:MAX_DOUBLED]]}
        )

    async def _effects_summary(self, request: web.Request) -> web.Response:
        ecoload_run = _name_asked(request, "run_id")
        rows = await self._store.read(
            "SELECT (SELECT COUNT(DISTINCT key) FROM runs WHERE ecoload_run = ?1),"
            " (SELECT COUNT(*) FROM effects WHERE ecoload_run = ?1),"
            " (SELECT COUNT(*) FROM"
            " (SELECT 1 FROM effects WHERE ecoload_run = ?1 GROUP BY key HAVING COUNT(*) > 1))",
            (ecoload_run,),
        )
        doubled = await self._store.read(
            "SELECT key FROM effects WHERE ecoload_run = ? GROUP BY key HAVING COUNT(*) > 1"
            " ORDER BY key LIMIT ?",
            (ecoload_run, MAX_DOUBLED),
        )
        return answer(
            {
                "run_id": ecoload_run,
                "keys": rows[0][0],
                "effects": rows[0][1],
                "doubled_keys": rows[0][2],
                "doubled": [key for (key,) in doubled],
            }
        )

    async def _show_breaker(self, request: web.Request) -> web.Response:
        return answer(self._breaker.document())


def parse_order(document: dict[str, Any]) -> tuple[Order | None, list[str]]:
    """The order of a JSON object, or None and everything wrong with it."""
    wrong = [
        f"{name}: is not known; there are {', '.join(_FIELDS)}" for name in document if name not in _FIELDS
    ]
    if document.get("namespace") != NAMESPACE:
        wrong.append(f"namespace: must be {NAMESPACE}")
    if not is_name(document.get("student_id")):
        wrong.append(f"student_id: must be {NAME_RULE}")
    goal = document.get("goal")
    if not isinstance(goal, str) or not goal.strip() or len(goal) > MAX_GOAL:
        wrong.append(f"goal: must be a text of 1 to {MAX_GOAL} characters")
    if wrong:
        return None, wrong
    digest = hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).digest()
    return Order(document["student_id"], document["goal"], digest), []


def _name_asked(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if value is None or not is_name(value):
        raise Problem(422, f"{name}: must be given in the query, {NAME_RULE}")
    return value


def _delete(database: sqlite3.Connection, ecoload_run: str | None) -> dict[str, int]:
    of_run = "SELECT key FROM runs WHERE ?1 IS NULL OR ecoload_run = ?1"
    return {
        "keys": database.execute(f"DELETE FROM keys WHERE key IN ({of_run})", (ecoload_run,)).rowcount,
        "effects": database.execute(
            "DELETE FROM effects WHERE ?1 IS NULL OR ecoload_run = ?1", (ecoload_run,)
        ).rowcount,
        "runs": database.execute(
            "DELETE FROM runs WHERE ?1 IS NULL OR ecoload_run = ?1", (ecoload_run,)
        ).rowcount,
    }

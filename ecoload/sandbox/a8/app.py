"""A8, the command centre: shows what A2 told it, in tiles, an overview, rows and a page.

Rules
-----
- To the outside it is read-only: every method but GET and HEAD is refused with 405. Only another app of
  the sandbox, by its token, brings events in and has test data deleted.
- A2 delivers at least once; an event is shown once, by its id.
- Tiles and rows are of this moment. Only the overview is ever answered from a cache.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from ecoload.sandbox.a8.filters import COUNTED, FILTERS, Query, parse_query
from ecoload.sandbox.a8.overview import COLD, NAMESPACES, TTL_S, WARM, Overview
from ecoload.sandbox.a8.rows import SCHEMA, Intake, rows_of
from ecoload.sandbox.a8.seeds import history
from ecoload.sandbox.a8.tiles import Document, Tiles, dollars
from ecoload.sandbox.common.behaviour import LatencyModel, LogNormal
from ecoload.sandbox.common.pages import asset_routes, page
from ecoload.sandbox.common.peers import Peers
from ecoload.sandbox.common.problems import (
    INTERNAL_HEADER,
    NAME_RULE,
    Problem,
    answer,
    is_name,
    json_object,
    token_given,
)
from ecoload.sandbox.common.service import DRAWN_US, App, Config, Handler, internal_batch
from ecoload.sandbox.common.store import Reader, Store

_TILE = LogNormal(15, 40)
_PAGE = ("after", "limit")


class CommandCentre(App):
    """The app; its state is `a8.db` in its folder."""

    laws: Mapping[str, LogNormal] = {
        "overview": WARM,
        "warm": COLD,
        "tile_events": _TILE,
        "tile_finance": _TILE,
        "tile_growth": _TILE,
        "tile_outcomes": _TILE,
        "rows": LogNormal(20, 50),
        "lineage": _TILE,
        "home": LogNormal(25, 60),
    }
    read_only = True
    protected = frozenset(laws) - {"home"}
    special_faults = frozenset(
        {"lose_events", "duplicate_events", "stale_telemetry_s", "tiles_not_refreshed"}
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._store = Store(config.folder / "a8.db", SCHEMA)
        self._intake = Intake(self._store, _now_ms, random.Random(f"{config.seed}/a8/lose"))
        self._chance = random.Random(f"{config.seed}/a8/tiles")
        self._tiles = Tiles(self._read, _now_ms, self._as_it_was)
        # The overview reads all rows each time: on a thread of its own it does not hold up the tiles.
        self._aggregating = Reader(config.folder / "a8.db")
        self._overview = Overview(Tiles(self._aggregate, _now_ms), time.monotonic)
        self._cold = LatencyModel(config.seed, "a8", {"overview_cold": COLD})
        # Before the first telemetry, which may come before `connect`: only an empty database gets a history.
        self._filled = asyncio.create_task(self._intake.fill(history(config.seed)))

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/", self._home, name="home"),
            web.get("/api/executive/overview", self._show_overview, name="overview"),
            web.get("/api/executive/overview/warm", self._warm, name="warm"),
            web.get("/api/tiles/events", _tile(self._tiles.events), name="tile_events"),
            web.get("/api/tiles/finance", _tile(self._tiles.finance, "contract_id"), name="tile_finance"),
            web.get("/api/tiles/growth", _tile(self._tiles.growth), name="tile_growth"),
            web.get("/api/tiles/outcomes", _tile(self._tiles.outcomes), name="tile_outcomes"),
            web.get("/api/events", self._rows, name="rows"),
            web.get("/api/lineage/{lineage_id}", self._lineage, name="lineage"),
            web.post("/internal/telemetry", self._telemetry, name="internal"),
            web.post("/internal/cleanup", self._forget, name="internal_cleanup"),
            *asset_routes(),
        ]

    async def checks(self) -> dict[str, Any]:
        await self._store.read("SELECT 1")
        return {"database": "ok"}

    async def connect(self, peers: Peers) -> None:
        await self._filled

    async def close(self) -> None:
        await asyncio.gather(self._filled, return_exceptions=True)
        self._aggregating.close()
        await self._store.close()

    # --- what comes in ----------------------------------------------------------------------------

    async def _telemetry(self, request: web.Request) -> web.Response:
        events = await internal_batch(request, self.config.internal_token)
        rows, wrong = rows_of(events, _now_ms())
        if wrong:
            raise Problem(422, "the telemetry is not valid", wrong)
        return answer({"received": len(events), "new": await self._intake.take(rows, self.faults)})

    async def _forget(self, request: web.Request) -> web.Response:
        if not token_given(request, INTERNAL_HEADER, self.config.internal_token):
            raise Problem(405, "a8 is read-only: POST is not allowed", headers={"Allow": "GET, HEAD"})
        document = await json_object(request)
        namespace, run_id = document.get("namespace"), document.get("run_id")
        if not is_name(namespace) or not (run_id is None or is_name(run_id)):
            raise Problem(422, f"namespace, and run_id unless it is null, must be {NAME_RULE}")
        return answer({"deleted": await self._intake.forget(str(namespace), run_id)})

    # --- what is shown ----------------------------------------------------------------------------

    async def _aggregate(self, sql: str, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        await self._intake.settle(self.faults)
        return await self._aggregating.read(sql, arguments)

    async def _read(self, sql: str, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        await self._intake.settle(self.faults)
        return await self._store.read(sql, arguments)

    def _as_it_was(self) -> int | None:
        """The time that a tile shows in place of now, while its cache is never refreshed."""
        return self.switches.since_ms if self._chance.random() < self.faults.tiles_not_refreshed else None

    async def _show_overview(self, request: web.Request) -> web.Response:
        namespace = _asked(request, ("namespace",)).namespace
        kept = self._overview.kept(namespace)
        if kept is not None:
            document, age_s = kept
            return _cached(document, "hit", int(age_s))
        request[DRAWN_US] = max(request[DRAWN_US], self._cold.draw_us("overview_cold"))
        return _cached(await self._overview.read(namespace), "bypass", 0)

    async def _warm(self, request: web.Request) -> web.Response:
        document = await self._overview.warm(_asked(request, ("namespace",)).namespace)
        shown = {name: document[name] for name in ("namespace", "total", "as_of")}
        return answer(shown | {"cache": "on", "ttl_s": int(TTL_S)})

    async def _rows(self, request: web.Request) -> web.Response:
        return answer(await self._tiles.rows(_asked(request, (*FILTERS, *_PAGE))))

    async def _lineage(self, request: web.Request) -> web.Response:
        lineage_id = request.match_info["lineage_id"]
        if not is_name(lineage_id):
            raise Problem(422, "the lineage id is none", [f"lineage_id: must be {NAME_RULE}"])
        return answer(await self._tiles.lineage(lineage_id))

    async def _home(self, request: web.Request) -> web.Response:
        filled = [(name, text) for name, text in request.query.items() if text]  # a form sends all its fields
        query = parse_query(filled, FILTERS)
        narrowed = Query({name: query.equal[name] for name in COUNTED if name in query.equal})
        kept = self._overview.kept(query.namespace) if query.namespace in NAMESPACES else None
        return page(
            "a8_home.html",
            asked=dict.fromkeys(FILTERS, "") | dict(query.equal),
            overview=kept and kept[0],
            events=await self._tiles.events(narrowed),
            finance=await self._tiles.finance(narrowed),
            growth=await self._tiles.growth(narrowed),
            outcomes=await self._tiles.outcomes(narrowed),
            found=await self._tiles.newest(query),
            dollars=dollars,
            when=_when,
        )


def _tile(figures: Callable[[Query], Awaitable[Document]], *more: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        return answer(await figures(_asked(request, (*COUNTED, *more))))

    return handle


def _asked(request: web.Request, allowed: Collection[str]) -> Query:
    return parse_query(request.query.items(), allowed)


def _cached(document: Document, outcome: str, age_s: int) -> web.Response:
    response = answer(document)
    response.headers.update({"X-Cache": outcome, "Age": str(age_s)})
    return response


def _when(at: int | None) -> str:
    """A time as people read it; one that no calendar has stays a number."""
    if at is None:
        return "never"
    try:
        return f"{datetime.fromtimestamp(at // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):
        return f"{at} ms"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

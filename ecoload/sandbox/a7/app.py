"""A7, the page maker: pages and assets for browsers, the sitemap, and what became of the call to action.

Rules
-----
- A page is the same for everybody and is made anew each time; its ETag is of its content.
- An asset's address has a fingerprint of its content, so that it may be kept for ever.
- Nothing is kept by address but the sitemap, so that memory does not grow with what is asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ecoload.sandbox.a7 import sitemap
from ecoload.sandbox.a7.catalogue import MAJORS, SCHOLARSHIPS, Catalogue
from ecoload.sandbox.a7.cta import MAX_BYTES, SCHEMA, Actions, parse_action
from ecoload.sandbox.a7.sitemap import Sitemap
from ecoload.sandbox.common.behaviour import LatencyModel, LogNormal, until
from ecoload.sandbox.common.emitter import Emitter
from ecoload.sandbox.common.pages import FOLDER, asset_routes, page
from ecoload.sandbox.common.peers import Peers
from ecoload.sandbox.common.problems import Problem, answer, json_object, lineage_of, run_of
from ecoload.sandbox.common.service import DRAWN_US, App, Config
from ecoload.sandbox.common.states import STATES
from ecoload.sandbox.common.store import Store

_COLD = {"sitemap": LogNormal(1500, 2500)}
_PAGES = ("home", "browse", "states", "majors", "state", "major", "scholarship")
_ASSETS = {"a7.css": "text/css", "a7.js": "text/javascript", "a7.svg": "image/svg+xml"}
_FEATURED = range(0, SCHOLARSHIPS, 1123)
"""Numbers of scholarships for the first page: each of another state and major."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load."""

    content: bytes
    content_type: str
    tag: str


class PageMaker(App):
    """The app; its state is `a7.db` in its folder."""

    laws: Mapping[str, LogNormal] = {
        **dict.fromkeys(_PAGES, LogNormal(20, 60)),
        **dict.fromkeys(("assets", "asset", "robots"), LogNormal(2, 5)),
        "cta": LogNormal(10, 25),
        "sitemap": LogNormal(60, 150),
    }
    special_faults = frozenset({"cta_silent", "sitemap_cold"})
    needs = ("a2",)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._store = Store(config.folder / "a7.db", SCHEMA)
        self._emitter = Emitter(self._store, config.app, config.internal_token)
        self._actions = Actions(self._store, self._emitter)
        self._silence = random.Random(f"{config.seed}/a7/cta")
        self._coldness = random.Random(f"{config.seed}/a7/sitemap")
        self._catalogue = Catalogue(config.seed)
        self._assets = _read_assets()
        self._links = {name.rpartition(".")[2]: f"/assets/{name}" for name in self._assets}
        self._cold = LatencyModel(config.seed, "a7/cold", _COLD)
        self._sitemap = sitemap.Shared(self._make_sitemap, time.monotonic)
        self._sitemap_due_ns = 0
        self._base_url = ""
        self._signup_url = "/browse/majors"

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/", self._home, name="home"),
            web.get("/browse", self._browse, name="browse"),
            web.get("/browse/states", self._states, name="states"),
            web.get("/browse/states/{code}", self._state, name="state"),
            web.get("/browse/majors", self._majors, name="majors"),
            web.get("/browse/majors/{slug}", self._major, name="major"),
            web.get("/scholarships/{slug}", self._scholarship, name="scholarship"),
            web.get("/sitemap.xml", self._show_sitemap, name="sitemap"),
            web.get("/robots.txt", self._robots, name="robots"),
            web.post("/api/cta", self._cta, name="cta"),
            *asset_routes(),
            web.get("/assets/{name}", self._asset, name="asset"),
            web.get("/{path:.*}", self._missing, name="missing"),
        ]

    async def checks(self) -> dict[str, Any]:
        return {"outbox_pending": await self._emitter.pending(), "database": "ok"}

    async def connect(self, peers: Peers) -> None:
        self._base_url = peers.urls[self.config.app]
        if "a5" in peers.urls:
            self._signup_url = f"{peers.urls['a5']}/signup"
        self._emitter.start(peers)

    async def close(self) -> None:
        await self._sitemap.close()
        await self._emitter.close()
        await self._store.close()

    async def clean_up(self, run_id: str | None) -> dict[str, int]:
        return await self._actions.clean_up(run_id)

    # --- pages ------------------------------------------------------------------------------------------

    async def _home(self, request: web.Request) -> web.Response:
        featured = [self._catalogue.scholarship(number) for number in _FEATURED]
        return self._page(request, "a7_home.html", scholarships=featured)

    async def _browse(self, request: web.Request) -> web.Response:
        return self._page(request, "a7_browse.html")

    async def _states(self, request: web.Request) -> web.Response:
        return self._page(request, "a7_states.html")

    async def _majors(self, request: web.Request) -> web.Response:
        return self._page(request, "a7_majors.html")

    async def _state(self, request: web.Request) -> web.Response:
        code = request.match_info["code"]
        if code not in STATES:
            return await self._missing(request)
        found = self._catalogue.of_state(code)
        return self._page(request, "a7_list.html", by="states", name=STATES[code], scholarships=found)

    async def _major(self, request: web.Request) -> web.Response:
        slug = request.match_info["slug"]
        if slug not in MAJORS:
            return await self._missing(request)
        found = self._catalogue.of_major(slug)
        return self._page(request, "a7_list.html", by="majors", name=MAJORS[slug], scholarships=found)

    async def _scholarship(self, request: web.Request) -> web.Response:
        found = self._catalogue.find(request.match_info["slug"])
        if found is None:
            return await self._missing(request)
        return self._page(request, "a7_scholarship.html", scholarship=found)

    async def _missing(self, request: web.Request) -> web.Response:
        if "text/html" not in request.headers.get("Accept", ""):
            raise Problem(404, "there is no such page")
        return page("a7_missing.html", 404, **self._common())

    def _page(self, request: web.Request, template: str, **values: Any) -> web.Response:
        response = page(template, **self._common(), **values)
        assert isinstance(response.body, bytes)
        response.headers["Cache-Control"] = "no-cache"  # kept, and asked for again by its ETag
        response.headers["ETag"] = f'"{_tag(response.body)}"'
        return _unless_known(request, response)

    def _common(self) -> dict[str, Any]:
        return {
            "links": self._links,
            "signup_url": self._signup_url,
            "states": STATES,
            "majors": MAJORS,
            "total": SCHOLARSHIPS,
        }

    # --- files ------------------------------------------------------------------------------------------

    async def _asset(self, request: web.Request) -> web.Response:
        asset = self._assets.get(request.match_info["name"])
        if asset is None:
            raise Problem(404, "there is no such asset")
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "ETag": f'"{asset.tag}"',
            "X-Content-Type-Options": "nosniff",
        }
        return _unless_known(
            request,
            web.Response(
                body=asset.content, content_type=asset.content_type, charset="utf-8", headers=headers
            ),
        )

    async def _robots(self, request: web.Request) -> web.Response:
        return web.Response(text=f"User-agent: *\nAllow: /\n\nSitemap: {self._base()}/sitemap.xml\n")

    async def _show_sitemap(self, request: web.Request) -> web.Response:
        started_ns = time.perf_counter_ns()
        cold = self._coldness.random() < self.faults.sitemap_cold
        kept = None if cold else self._sitemap.kept()
        if kept is not None:
            found, age_s = kept
        else:
            found, age_s = await self._sitemap.made(keep=not cold), 0.0
            request[DRAWN_US] = max(request[DRAWN_US], (self._sitemap_due_ns - started_ns) // 1000)
        gzipped = takes_gzip(request.headers.get("Accept-Encoding", ""))
        headers = {
            "Cache-Control": f"public, max-age={sitemap.TTL_S:.0f}",
            "Age": str(int(age_s)),
            "ETag": f'"{found.tag}{"-gzip" if gzipped else ""}"',
            "Vary": "Accept-Encoding",
            "X-Cache": "miss" if kept is None else "hit",
        }
        if gzipped:
            headers["Content-Encoding"] = "gzip"
        body = found.gzipped if gzipped else found.xml
        return _unless_known(
            request, web.Response(body=body, content_type="application/xml", charset="utf-8", headers=headers)
        )

    async def _make_sitemap(self) -> Sitemap:
        """Takes at least as long as a cold sitemap's law says."""
        self._sitemap_due_ns = time.perf_counter_ns() + self._cold.draw_us("sitemap") * 1000
        made = await asyncio.to_thread(sitemap.make, self._base(), self._catalogue)
        await until(self._sitemap_due_ns)
        return made

    def _base(self) -> str:
        if not self._base_url:  # not from the request: what it says of this host is anybody's word
            raise Problem(503, "this app does not know its own address yet")
        return self._base_url

    # --- the call to action -----------------------------------------------------------------------------

    async def _cta(self, request: web.Request) -> web.Response:
        small = request.clone(client_max_size=MAX_BYTES)
        document = await json_object(small)
        action = parse_action(document, run_of(request), lineage_of(request), self._state_of)
        silent = self._silence.random() < self.faults.cta_silent
        event_id = await self._actions.keep(action, silent)
        return answer(
            {"event_id": event_id, "lineage_id": action.lineage_id, "emitted": event_id is not None},
            status=202,
        )

    def _state_of(self, path: str) -> str | None:
        """The state that the page at `path` is about, if any. Raises LookupError for no page."""
        parent, _, last = path.rpartition("/")
        if path in sitemap.PAGES or (parent == "/browse/majors" and last in MAJORS):
            return None
        if parent == "/browse/states" and last in STATES:
            return last
        found = self._catalogue.find(last) if parent == "/scholarships" else None
        if found is None:
            raise LookupError("there is no such page")
        return found.state


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding names gzip, and not as what must not come."""
    for one in accepted.lower().split(","):
        name, _, weight = one.replace(" ", "").partition(";q=")
        if name == "gzip":
            return not weight or weight.strip("0.") != ""
    return False


def _read_assets() -> dict[str, Asset]:
    """By name, which has the fingerprint in it."""
    assets = {}
    for name, content_type in _ASSETS.items():
        content = (FOLDER / name).read_bytes()
        stem, _, kind = name.partition(".")
        assets[f"{stem}.{_tag(content)}.{kind}"] = Asset(content, content_type, _tag(content))
    return assets


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _unless_known(request: web.Request, response: web.Response) -> web.Response:
    """The response, or that the caller has it already."""
    tag = response.headers["ETag"].strip('"')
    if not any(known.value in (tag, "*") for known in request.if_none_match or ()):
        return response
    kept = ("Cache-Control", "ETag", "Vary", "Age", "X-Cache")
    return web.Response(
        status=304, headers={name: response.headers[name] for name in kept if name in response.headers}
    )

"""The sitemap: the address of every page, made when it is asked for and kept for an hour.

Rules
-----
- It follows sitemaps.org: absolute addresses under the base it is told (never what a request says of
  itself), at most 50,000 of them.
- One making at a time: whoever asks meanwhile waits for the same one. One that failed is not kept.
- It is made in slices with a rest between: a thread that computes would hold the interpreter's lock,
  and every other route would wait for it.
- What goes out is made once, the compressed form too: a warm answer costs its bytes and no more.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape

from ecoload.sandbox.a7.catalogue import MAJORS, SCHOLARSHIPS, Catalogue
from ecoload.sandbox.common.cache import Cached
from ecoload.sandbox.common.states import STATES

TTL_S = 3600.0
PAGES = ("/", "/browse", "/browse/states", "/browse/majors")
UPDATED = date(2025, 12, 31)
"""When the pages that list scholarships changed: with the last of what they list."""

_SLICE = 50
_REST_S = 0.0005
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
)


@dataclass(frozen=True, slots=True)
class Sitemap:
    """A sitemap as it goes out; `tag` names its content."""

    xml: bytes
    gzipped: bytes
    tag: str


def addresses(catalogue: Catalogue) -> Iterator[tuple[str, date]]:
    """The path of every page and the day it changed."""
    yield from ((path, UPDATED) for path in PAGES)
    yield from ((f"/browse/states/{code}", UPDATED) for code in STATES)
    yield from ((f"/browse/majors/{slug}", UPDATED) for slug in MAJORS)
    for number in range(SCHOLARSHIPS):
        scholarship = catalogue.scholarship(number)
        yield f"/scholarships/{scholarship.slug}", scholarship.updated


def make(base_url: str, catalogue: Catalogue, rest: Callable[[float], None] = time.sleep) -> Sitemap:
    """The sitemap of all pages; blocks, so it belongs in a thread."""
    base, rows = escape(base_url), []
    for number, (path, day) in enumerate(addresses(catalogue), 1):
        rows.append(f"<url><loc>{base}{path}</loc><lastmod>{day}</lastmod></url>\n")
        if number % _SLICE == 0:
            rest(_REST_S)
    xml = (_HEAD + "".join(rows) + "</urlset>\n").encode()
    return Sitemap(xml, gzip.compress(xml, mtime=0), hashlib.sha256(xml).hexdigest()[:16])


class Shared:
    """The sitemap that `work` makes, kept for `TTL_S` by `clock` (seconds)."""

    def __init__(self, work: Callable[[], Awaitable[Sitemap]], clock: Callable[[], float]) -> None:
        self._work = work
        self._kept: Cached[Sitemap] = Cached(TTL_S, clock)
        self._making: asyncio.Task[Sitemap] | None = None
        self._keep = False

    def kept(self) -> tuple[Sitemap, float] | None:
        """The one that is there and its age in seconds, if there is one."""
        age_s, sitemap = self._kept.age_s(), self._kept.get()
        return None if age_s is None or sitemap is None else (sitemap, age_s)

    async def made(self, *, keep: bool = True) -> Sitemap:
        """A new one: the one that is being made, else this call makes it. It is kept if anybody who waits
        for it says so. Raises what `work` raises."""
        if self._making is None:
            self._keep = False
            self._making = asyncio.create_task(self._make())
        self._keep = self._keep or keep
        return await asyncio.shield(self._making)  # others wait for it, whatever becomes of this caller

    async def close(self) -> None:
        """Ends a making that goes on."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)

    async def _make(self) -> Sitemap:
        try:
            sitemap = await self._work()
            if self._keep:
                self._kept.put(sitemap)
            return sitemap
        finally:
            self._making = None

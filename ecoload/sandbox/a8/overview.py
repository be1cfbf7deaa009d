"""The executive overview and its cache, which is off until it is warmed (known issue A8-PERF-001).

Rules
-----
- Without the cache every call reads all rows of the namespace, and takes as long as `COLD` says.
- Warming reads them once and switches the cache of that namespace on. It answers for `TTL_S`, however
  much comes in meanwhile; then it is off again until it is warmed again.
"""

from __future__ import annotations

from collections.abc import Callable

from ecoload.sandbox.a8.seeds import DEMO
from ecoload.sandbox.a8.tiles import Document, Tiles
from ecoload.sandbox.common.behaviour import LogNormal
from ecoload.sandbox.common.cache import Cached
from ecoload.sandbox.common.problems import NAMESPACE, Problem

TTL_S = 300.0
COLD = LogNormal(760, 1085)
WARM = LogNormal(12, 30)
NAMESPACES = (NAMESPACE, DEMO)
"""Those with an overview: each may hold a place in the cache."""


class Overview:
    """The overview of each namespace; `clock` gives seconds that only go forward."""

    def __init__(self, tiles: Tiles, clock: Callable[[], float]) -> None:
        self._tiles = tiles
        self._cached: dict[str, Cached[Document]] = {name: Cached(TTL_S, clock) for name in NAMESPACES}

    def kept(self, namespace: str) -> tuple[Document, float] | None:
        """What the cache holds, and its age in s; None while it is off. A Problem when there is no such
        overview."""
        cached = self._of(namespace)
        document, age_s = cached.get(), cached.age_s()
        return None if document is None or age_s is None else (document, age_s)

    async def read(self, namespace: str) -> Document:
        """The figures of this moment."""
        return await self._tiles.overview(namespace)

    async def warm(self, namespace: str) -> Document:
        """The figures of this moment; from now on the cache answers with them."""
        cached = self._of(namespace)
        document = await self.read(namespace)
        cached.put(document)
        return document

    def _of(self, namespace: str) -> Cached[Document]:
        if namespace not in self._cached:
            known = f"namespace: must be one of {', '.join(NAMESPACES)}"
            raise Problem(422, "there is no overview of this namespace", [known])
        return self._cached[namespace]

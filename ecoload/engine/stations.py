"""Reading back what a station holds of a run's events, page by page.

Rules
-----
- Pages are probes: GETs of the plan, to the pinned address, with the token of the station's app.
- A station is read on from its last page, until it holds as many as it must, or its time is over; then,
  unless all are there, once more from its beginning: what stands is what counts.
- What is no page as declared, a cursor that comes again, or more pages than could be, is a ProbeFailed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from ecoload.engine.answers import find_json
from ecoload.engine.probe import ProbeFailed, get
from ecoload.plan import Plan, Probe, Ref, Station, StringTemplate, Text

MOST_PAGES = 1_000_000
CURSOR = ("cursor",)
FIRST_S, MOST_S = 0.25, 2.0
"""Between two looks at a station that does not hold everything yet."""

Item = tuple[str, int | None]
"""An id, and when it came in (ms since the epoch; None: not told)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its items, and the cursor of the next one (None: it is the last)."""

    items: list[Item]
    next: str | None


def pages(
    plan: Plan, station: Station, run_id: str, token: Callable[[], str], first: str = ""
) -> Iterator[Page]:
    """The pages from the cursor `first` on. Raises ProbeFailed."""
    read = _reader(station)
    cursor, seen = first, set[str]()
    for _ in range(MOST_PAGES):
        asked = Probe(station.origin, with_cursor(station.path, cursor), "$")
        said, status, body = get(plan, asked, run_id, token())
        if status != 200:
            raise ProbeFailed(f"{said} answered {status}")
        try:
            page = read(orjson.loads(body))
        except orjson.JSONDecodeError as error:
            raise ProbeFailed(f"{said} did not answer JSON: {error}") from error
        except (LookupError, TypeError, ValueError) as error:
            raise ProbeFailed(f"{said}: {error}") from None
        yield page
        if page.next is None:
            return
        if page.next in seen or page.next == cursor:
            raise ProbeFailed(f"{said}: its next cursor {page.next[:40]!r} came before: the pages go round")
        seen.add(page.next)
        cursor = page.next
    raise ProbeFailed(f"{station.name}: more than {MOST_PAGES:,} pages")


def with_cursor(path: StringTemplate, cursor: str) -> StringTemplate:
    """The path with its cursor in place."""
    if isinstance(path, Ref):
        return cursor if path.name == CURSOR else path
    if isinstance(path, Text):
        # A whole `${…}` is escaped where it stands; so the cursor stays one.
        parts = tuple(Text((cursor,)) if part == Ref(CURSOR) else part for part in path.parts)
        return replace(path, parts=parts)  # type: ignore[arg-type]
    return path


def _reader(station: Station) -> Callable[[Any], Page]:
    """A function from a document to its page; it raises ValueError with what is wrong."""
    items, identifier = find_json(station.items), find_json(station.id)
    time = find_json(station.time) if station.time else None
    following = find_json(station.next)

    def read(document: Any) -> Page:
        try:
            listed = items(document)
        except LookupError:
            raise ValueError(f"there is nothing at {station.items}") from None
        if not isinstance(listed, list):
            raise ValueError(f"{station.items} is no list")
        try:
            cursor = following(document)
        except LookupError:
            cursor = None
        if cursor is not None and (isinstance(cursor, bool) or not isinstance(cursor, int | str)):
            raise ValueError(f"{station.next} is no cursor")
        return Page([_item(one) for one in listed], None if cursor is None else str(cursor))

    def _item(one: Any) -> Item:
        try:
            name, at = identifier(one), time(one) if time is not None else None
        except LookupError as error:
            raise ValueError(f"an item has nothing at {error}") from None
        if not isinstance(name, str):
            raise ValueError(f"{station.id} is no text")
        if at is not None and (isinstance(at, bool) or not isinstance(at, int)):
            raise ValueError(f"{station.time} is no time in whole ms since the epoch")
        return name, at

    return read

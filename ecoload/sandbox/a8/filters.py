"""What a reader of A8 asks for: the filters of a query, checked, and their condition in SQL.

Rules
-----
- A parameter that is unknown, empty, there twice or no possible value is refused, and all of them at
  once: a filter that silently did nothing would show rows that nobody asked for.
- Filters are joined by AND. Without `namespace` it is `perf_test`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from ecoload.sandbox.a8.rows import MAX_INT
from ecoload.sandbox.common.problems import NAME_RULE, NAMESPACE, Problem, is_name

COUNTED = ("namespace", "run_id", "lineage_id")
"""What every tile can be narrowed to."""
FILTERS = ("namespace", "date", "state", "app", "kind", "lineage_id", "run_id", "event_id")
"""What rows can be narrowed to."""
MAX_ROWS = 1000
"""The most rows of one answer."""

_DEFAULT_ROWS = 50
_MAX_REASONS = 20
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_STATE = re.compile(r"[A-Z]{2}")
_APP = re.compile(r"a[1-8]")
_ALONE = ("event_id", "contract_id", "lineage_id")
_RAREST_FIRST = (*_ALONE, "run_id", "state", "kind", "date", "app")


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked for: `equal` holds the value of each column that was named."""

    equal: Mapping[str, str]
    after: int = 0
    limit: int = _DEFAULT_ROWS

    @property
    def namespace(self) -> str:
        """Where to look."""
        return self.equal["namespace"]

    def where(self) -> tuple[str, tuple[str, ...]]:
        """The condition and its arguments. SQLite cannot know which of several indexes finds the fewest
        rows: the rarest column is named plainly, and the `+` keeps the others from being searched by."""
        rarest = next((name for name in _RAREST_FIRST if name in self.equal), "namespace")
        searched = {rarest} if rarest in _ALONE else {rarest, "namespace"}
        terms = (f"{'' if name in searched else '+'}{name} = ?" for name in self.equal)
        return " AND ".join(terms), tuple(self.equal.values())


def parse_query(pairs: Iterable[tuple[str, str]], allowed: Collection[str]) -> Query:
    """The query of a request that may name `allowed`; a Problem with everything that is wrong."""
    given: dict[str, str] = {}
    wrong = []
    for name, text in pairs:
        if name not in allowed:
            wrong.append(f"{name[:40]}: no such parameter here; there are {', '.join(allowed)}")
        elif name in given:
            wrong.append(f"{name}: is there twice")
        else:
            given[name] = text
            rule, allows = _RULES[name]
            if not allows(text):
                wrong.append(f"{name}: must be {rule}")
    if wrong:
        raise Problem(422, "the query is not valid", wrong[:_MAX_REASONS])
    after, limit = int(given.pop("after", 0)), int(given.pop("limit", _DEFAULT_ROWS))
    return Query({"namespace": NAMESPACE} | given, after, limit)


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _is_number(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most


_NAMED: tuple[str, Callable[[str], bool]] = (NAME_RULE, is_name)
_RULES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "namespace": _NAMED,
    "date": ("a day as YYYY-MM-DD", _is_day),
    "state": ("two capital letters", lambda text: _STATE.fullmatch(text) is not None),
    "app": ("a1 to a8", lambda text: _APP.fullmatch(text) is not None),
    "kind": _NAMED,
    "lineage_id": _NAMED,
    "run_id": _NAMED,
    "event_id": _NAMED,
    "contract_id": _NAMED,
    "after": ("a whole number from 0", lambda text: _is_number(text, 0, MAX_INT)),
    "limit": (f"a whole number from 1 to {MAX_ROWS}", lambda text: _is_number(text, 1, MAX_ROWS)),
}

"""What visitors of A7 do with the call to action: it was seen, or it was clicked.

Rules
-----
- What was done and the event that tells of it are one transaction.
- Anybody may tell, for a browser does; so what is told is small, of the test's namespace, and about a
  page that is there.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ecoload.sandbox.common.emitter import EMITTER_SCHEMA, Emitter
from ecoload.sandbox.common.problems import NAME_RULE, NAMESPACE, Problem, is_name
from ecoload.sandbox.common.store import Store

ACTIONS = ("impression", "click")
MAX_BYTES = 2048

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS actions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    action TEXT NOT NULL,
    page TEXT NOT NULL,
    cta TEXT NOT NULL,
    lineage_id TEXT NOT NULL,
    run_id TEXT,
    event_id TEXT,
    at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS actions_by_run ON actions (run_id);
{EMITTER_SCHEMA}
"""

_FIELDS = ("namespace", "page", "cta", "action", "run_id", "lineage_id")


@dataclass(frozen=True, slots=True)
class Action:
    """One impression or click. `state` is the one that the page is about, if it is about one."""

    action: str
    page: str
    cta: str
    lineage_id: str
    run_id: str | None
    state: str | None


class Actions:
    """The actions in `store`, whose schema is `SCHEMA`."""

    def __init__(self, store: Store, emitter: Emitter) -> None:
        self._store = store
        self._emitter = emitter

    async def keep(self, action: Action, silent: bool) -> str | None:
        """The id of the action's event; None where it is `silent`, the fault that emits none."""

        def keep(database: sqlite3.Connection) -> str | None:
            event_id = None if silent else self._emit(database, action)
            database.execute(
                "INSERT INTO actions (action, page, cta, lineage_id, run_id, event_id, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    action.action,
                    action.page,
                    action.cta,
                    action.lineage_id,
                    action.run_id,
                    event_id,
                    time.time_ns() // 1_000_000,
                ),
            )
            return event_id

        event_id: str | None = await self._store.write(keep)
        self._emitter.wake()
        return event_id

    async def clean_up(self, run_id: str | None) -> dict[str, int]:
        """Deletes those of one run, or all; how many."""
        count: int = await self._store.write(
            lambda database: (
                database.execute("DELETE FROM actions WHERE ?1 IS NULL OR run_id = ?1", (run_id,)).rowcount
            )
        )
        return {"actions": count}

    def _emit(self, database: sqlite3.Connection, action: Action) -> str:
        return self._emitter.add(
            database,
            f"cta_{action.action}",
            {"page": action.page, "cta": action.cta},
            lineage_id=action.lineage_id,
            run_id=action.run_id,
            state=action.state,
        )


def parse_action(
    document: dict[str, Any],
    run_of_header: str | None,
    lineage_of_header: str,
    state_of: Callable[[str], str | None],
) -> Action:
    """The action of a JSON object; run and lineage are those it names, else the headers'. `state_of`
    gives the state a page is about and raises LookupError for no page. Raises Problem with what is wrong."""
    wrong = [f"{name[:80]}: no such field" for name in document if name not in _FIELDS]
    if document.get("namespace") != NAMESPACE:
        wrong.append(f"namespace: must be {NAMESPACE}")
    if document.get("action") not in ACTIONS:
        wrong.append(f"action: must be one of {', '.join(ACTIONS)}")
    run_id = document.get("run_id", run_of_header)
    lineage_id = document.get("lineage_id", lineage_of_header)
    names = {"cta": document.get("cta"), "lineage_id": lineage_id}
    names |= {} if run_id is None else {"run_id": run_id}
    wrong += [f"{name}: must be {NAME_RULE}" for name, value in names.items() if not is_name(value)]
    page, state = document.get("page"), None
    try:
        state = state_of(page if isinstance(page, str) else "")
    except LookupError as error:
        wrong.append(f"page: {error}")
    if wrong:
        raise Problem(422, "the action is not valid", wrong[:20])
    return Action(document["action"], str(page), document["cta"], lineage_id, run_id, state)

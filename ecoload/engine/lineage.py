"""Following a run's events to every station, after the load: what was sent against what each holds.

Rules
-----
- Ids are computed, sorted on disk, and compared there; what is kept in memory is what does not match.
- A station that lacks something is asked until its time after the last acknowledgement is over; only then
  is what is missing lost. A second look from the beginning is what counts.
- A station that could not be read, or was not read to its end because of a Ctrl-C, proves nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ecoload.engine.event_ids import LOST_ITERATIONS, IdOf, id_of
from ecoload.engine.probe import ProbeFailed
from ecoload.engine.stations import FIRST_S, MOST_S, Item, pages
from ecoload.guard.peaks import peak_vus
from ecoload.measure.ledger import ACKNOWLEDGED, Ledger
from ecoload.measure.reconcile import (
    Held,
    LineageFound,
    Sorter,
    StationFound,
    reconcile,
    roots,
    said_of,
)
from ecoload.plan import Plan, Station

Wait = Callable[[float], bool]
"""Waits so many s; True says that nobody waits any longer."""


def ids_of(plan: Plan, run_id: str) -> dict[int, IdOf]:
    """The ids of each scenario that names the events of a plan's lineage."""
    assert plan.lineage is not None, "the plan of a lineage"
    name = plan.lineage.id
    return {
        index: id_of(scenario, name, plan.seed, run_id, plan.protocol, dict(plan.env))
        for index, scenario in enumerate(plan.scenarios)
        if name in dict(scenario.lets)
    }


def follow_up(
    plan: Plan,
    run_id: str,
    ledger: Ledger,
    tokens: Mapping[str, Callable[[], str]],
    wait: Wait,
    clock: Callable[[], float] = time.time,
) -> LineageFound:
    """Asks every station. `tokens` gives the token of each app that wants one; `clock` is s since the
    epoch."""
    assert plan.lineage is not None, "the plan of a lineage"
    ids = ids_of(plan, run_id)
    with tempfile.TemporaryDirectory(prefix="ecoload-lineage-") as folder:
        sent = sorted_ids(ledger, ids, Path(folder))
        every, acknowledged = roots(sent.lines())
        last_ms = max((int(one.at_ms.max()) for one in ledger.sent if len(one)), default=0)
        lost = _lost_second(plan, ledger, ids)
        found = []
        for number, station in enumerate(plan.lineage.stations):
            app = plan.origins[station.origin].app
            token = tokens.get(app, _none)
            begun = clock()
            try:
                look = _Look(plan, station, run_id, token, Path(folder), f"station{number}")
                held = _until(
                    look, station, sent, ledger.count(ACKNOWLEDGED), last_ms / 1000, lost, wait, clock
                )
                found.append(StationFound(station, app, held, took_s=clock() - begun))
            except (ProbeFailed, _CutShort) as error:
                found.append(StationFound(station, app, problem=str(error), took_s=clock() - begun))
        return LineageFound(ledger, every, acknowledged, tuple(found))


def sorted_ids(ledger: Ledger, ids: Mapping[int, IdOf], folder: Path) -> Sorter:
    """The ids of everything that was sent, with what became of it."""
    sent = Sorter(folder, "sent")
    for one in ledger.sent:
        of = ids[one.scenario]
        rows = zip(
            one.vu.tolist(), one.iteration.tolist(), one.state.tolist(), one.at_ms.tolist(), strict=True
        )
        for vu, iteration, state, at_ms in rows:
            sent.add(of(vu, iteration), said_of(state, at_ms))
    return sent


class _CutShort(Exception):
    """Nobody waits any longer."""


class _Look:
    """What was read of a station so far."""

    def __init__(
        self, plan: Plan, station: Station, run_id: str, token: Callable[[], str], folder: Path, name: str
    ) -> None:
        self._asked = (plan, station, run_id, token)
        self._folder, self._name, self._looks = folder, name, 0
        self.again()

    def again(self) -> None:
        """Begins anew."""
        self._looks += 1
        self._whole = Sorter(self._folder, f"{self._name}.{self._looks}")
        self._last: list[Item] = []
        self._cursor = self._asked[1].first

    def on(self) -> None:
        """Reads on, from the last page. Raises ProbeFailed."""
        self._last = []
        for page in pages(*self._asked, self._cursor):
            self._last = page.items
            if page.next is not None:
                self._keep(self._whole, page.items)
                self._last, self._cursor = [], page.next

    @property
    def count(self) -> int:
        return self._whole.count + len(self._last)

    def finish(self) -> Sorter:
        """Everything that was read. Nothing is read on after it."""
        self._keep(self._whole, self._last)
        self._last = []
        return self._whole

    @staticmethod
    def _keep(sorter: Sorter, items: list[Item]) -> None:
        for identifier, at in items:
            sorter.add(identifier, b"" if at is None else b"%d" % at)


def _until(
    look: _Look,
    station: Station,
    sent: Sorter,
    needed: int,
    last_s: float,
    lost: Callable[[], frozenset[str]],
    wait: Wait,
    clock: Callable[[], float],
) -> Held:
    """What the station holds when everything is there, or when its time is over."""
    within_ms = station.within_ns // 1_000_000 if station.within_ns else None
    deadline, pause = last_s + station.within_ns / 1e9, FIRST_S
    look.on()
    while look.count < needed and clock() < deadline:
        if wait(min(pause, max(0.05, deadline - clock()))):
            raise _CutShort("interrupted before its time was over")
        pause = min(2 * pause, MOST_S)
        look.on()
    held = reconcile(sent.lines(), look.finish().lines(), within_ms, lost)
    while held.lost:
        # Something is missing though there are enough, or its time is over: what stands now counts.
        in_time = clock() < deadline
        if wait(min(pause, max(0.05, deadline - clock())) if in_time else FIRST_S):
            raise _CutShort("interrupted before its time was over")
        look.again()
        look.on()
        held = reconcile(sent.lines(), look.finish().lines(), within_ms, lost)
        if not in_time:
            break
    return held


def _lost_second(plan: Plan, ledger: Ledger, ids: Mapping[int, IdOf]) -> Callable[[], frozenset[str]]:
    """The ids that could have been sent in what is missing of the ledger: the next iterations of each VU."""

    def ids_of_it() -> frozenset[str]:
        if ledger.whole:
            return frozenset()
        found: set[str] = set()
        for scenario, of in ids.items():
            last: dict[int, int] = {}
            for one in ledger.sent:
                if one.scenario == scenario:
                    last = dict(zip(one.vu.tolist(), one.iteration.tolist(), strict=True))
            # Columns are in order: what is left of each VU is its last iteration.
            for vu in range(1, max([*last, peak_vus(plan)]) + 1):
                begin = last.get(vu, -1) + 1
                found.update(of(vu, n) for n in range(begin, begin + LOST_ITERATIONS))
        return frozenset(found)

    return ids_of_it


def _none() -> str:
    return ""

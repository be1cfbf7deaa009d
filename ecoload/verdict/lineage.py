"""The lineage of a run's events, judged: each station a proof.

Rules
-----
- FAIL where something acknowledged is lost, there more than once or there too late, or where something is
  there that nobody sent. Whatever was not acknowledged may be there or not: it is named, and is no loss.
- A station that could not be read, or a run that acknowledged nothing, is INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ecoload.guard.paths import HOLE, with_holes
from ecoload.measure.ledger import ACKNOWLEDGED
from ecoload.measure.reconcile import Held, LineageFound, StationFound
from ecoload.measure.result import ProofResult, Verdict

MOST_IDS = 3
"""Of a reason; the proof's file has all of them."""


def judge_lineage(found: LineageFound | None) -> tuple[ProofResult, ...]:
    """A proof for each station; none where no lineage was followed."""
    return () if found is None else tuple(_judged(found, one) for one in found.stations)


def discrepancies(held: Held) -> dict[str, list[str]]:
    """What tells against a station, by its name: ids."""
    return {
        "lost": held.lost,
        "duplicated": [identifier for identifier, _ in held.duplicated],
        "late": held.late,
        "never_sent": held.never_sent,
    }


def _judged(found: LineageFound, one: StationFound) -> ProofResult:
    acknowledged = found.ledger.count(ACKNOWLEDGED)
    verdict, reason = _verdict(acknowledged, one)
    path = with_holes(one.station.path).replace(HOLE, "…")
    return ProofResult(
        name=f"lineage at {one.station.name}",
        question=f"{one.app}: GET {path} {one.station.items}",
        expected=acknowledged,
        found=None if one.held is None else acknowledged - len(one.held.lost),
        within_s=one.station.within_ns / 1e9,
        took_s=round(one.took_s, 3),
        verdict=verdict,
        reason=reason,
    )


def verdict_of(acknowledged: int, against: Mapping[str, Sequence[Any]] | None) -> Verdict:
    """The verdict of a station by what tells against it, by name; None: it could not be read."""
    if against is None:
        return Verdict.INCONCLUSIVE
    if any(against.values()):
        return Verdict.FAIL
    return Verdict.PASS if acknowledged else Verdict.INCONCLUSIVE


def _verdict(acknowledged: int, one: StationFound) -> tuple[Verdict, str]:
    against = None if one.held is None else discrepancies(one.held)
    verdict = verdict_of(acknowledged, against)
    if one.held is None or against is None:
        return verdict, f"could not be read: {one.problem}"
    if verdict is Verdict.FAIL:
        return verdict, "; ".join(_wrong(against))
    if verdict is Verdict.INCONCLUSIVE:
        return verdict, "nothing was acknowledged"
    reason = f"all {acknowledged:,} acknowledged events are there, once"
    if one.held.lag.total:
        p95, most = one.held.lag.percentile(0.95) / 1000, one.held.lag.maximum / 1000
        reason += f"; P95 {p95:,.0f} ms after the acknowledgement, at most {most:,.0f} ms"
    rest = len(one.held.unacknowledged) + len(one.held.unknown)
    return verdict, reason + (f"; {rest:,} without an acknowledgement are there too" if rest else "")


def _wrong(against: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, ids in against.items():
        if ids:
            more = f" and {len(ids) - MOST_IDS:,} more" if len(ids) > MOST_IDS else ""
            yield f"{len(ids):,} {name.replace('_', ' ')}: {', '.join(ids[:MOST_IDS])}{more}"

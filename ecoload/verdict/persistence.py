"""The proof that what the target acknowledged was kept.

Rules
-----
- Acknowledged are the `ok` answers of the route, warm-up included; unacknowledged are its other
  requests that may have reached the target: such a write may have been kept or not.
- Fewer kept than acknowledged is a FAIL, whatever else the run was.
- PASS needs a proof: every write accounted for. A count that doubtful writes could have filled up,
  or that holds writes from elsewhere, could hide a loss: INCONCLUSIVE.
"""

from __future__ import annotations

from ecoload.measure.figures import RouteFigures
from ecoload.measure.outcome import Outcome
from ecoload.measure.result import PersistenceResult, Verdict


def judge_persistence(route: RouteFigures, persisted: int | None, problem: str = "") -> PersistenceResult:
    """`persisted` is the target's own count of this run's writes; None where it could not be read, and
    then `problem` says why."""
    acknowledged = route.whole.get(Outcome.OK, 0)
    doubtful = sum(
        count
        for outcome, count in route.whole.items()
        if outcome is not Outcome.OK and outcome.may_have_arrived
    )
    verdict, reason = _verdict(acknowledged, doubtful, persisted, problem)
    lost = None if persisted is None else max(acknowledged - persisted, 0)
    return PersistenceResult(acknowledged, doubtful, persisted, lost, verdict, reason)


def _verdict(acknowledged: int, doubtful: int, persisted: int | None, problem: str) -> tuple[Verdict, str]:
    if persisted is None:
        return Verdict.INCONCLUSIVE, problem or "the target's count could not be read"
    if persisted < acknowledged:
        return Verdict.FAIL, f"{acknowledged - persisted} of {acknowledged} acknowledged writes are lost"
    if not acknowledged:
        return Verdict.INCONCLUSIVE, "nothing was acknowledged"
    if persisted == acknowledged + doubtful:
        return Verdict.PASS, f"all {acknowledged} acknowledged writes are kept"
    if persisted > acknowledged + doubtful:
        surplus = persisted - acknowledged - doubtful
        return Verdict.INCONCLUSIVE, f"the target holds {surplus} more than were sent; they could hide a loss"
    return Verdict.INCONCLUSIVE, (
        f"{persisted} kept, {acknowledged} acknowledged, {doubtful} without an acknowledgement: "
        "those kept could hide a loss"
    )
